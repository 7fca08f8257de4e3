//! `perfwatch bench`: which collector is dear, and what nothing costs beside it. CPU time is counted, never a clock on the wall, and what is
//! compared was measured in the same run.

use std::fs;

use harness::{Site, root};
use rustix::process::Signal;
use serde_json::Value;

use crate::mocked::wait_until;

#[test]
fn report_in_the_readme_has_the_lines_that_are_printed() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("$ perfwatch bench -c four.toml --for 12s\n").unwrap();
    let (told, _) = rest.split_once("```").unwrap();
    let finished = played(&[("rests", "value=1")]).output(["bench", "--for", "400ms", "--interval", "200ms"]);
    assert_eq!(finished.code(), 0, "{finished}");
    let words = |text: &str, start: &str| {
        let line =
            text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no line {start}: {text}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    for heading in ["COLLECTOR ", "A CYCLE ", "NOISE"] {
        assert_eq!(words(told, heading), words(&finished.stdout, heading));
    }
    let (_, below) = told.split_once("A CYCLE").unwrap();
    let names = below.lines().filter_map(|line| line.split_once("  ")).map(|(name, _)| name.trim());
    for name in names.filter(|name| !name.is_empty()) {
        words(&finished.stdout, name);
    }
}

/// A site with a collector that plays each of these scripts in the agent.
fn played(scripts: &[(&str, &str)]) -> Site {
    let site = Site::new();
    site.plugin("mock");
    let mut config = "[agent]\ncollect = \"named\"\n".to_owned();
    for (name, script) in scripts {
        site.write(name, script);
        config += &format!(
            "[collectors.{name}]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = {name:?} }}\n\
             interval = \"10s\"\nbudget = {{ cpu = \"1s\" }}\n"
        );
    }
    // Were it written, the test would see it.
    config += "[sinks.archive]\ntype = \"file\"\npath = \"archive.jsonl\"\n";
    site.config(&config);
    site
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn names(report: &Value) -> Vec<&str> {
    report["collectors"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn collector_that_computes_is_the_dearest_wherever_it_runs_and_nothing_costs_next_to_nothing() {
    let site = played(&[("burns", "burn=5ms value=1"), ("rests", "value=1 count=2 rows.a.value=1 rows.b.value=1")]);
    let child = "[collectors.apart]\nplugin = \"mock\"\nisolation = \"process\"\noptions = { script = \"burns\" }\ninterval = \"10s\"\n";
    let config = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    site.config(&(config + child));
    let finished = site.output(["bench", "--for", "2s", "--interval", "200ms", "--report", "json"]);
    assert_eq!(finished.code(), 0, "{finished}");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let mut known = names(&report);
    let mut dearest = known.drain(..2).collect::<Vec<_>>();
    known.sort_unstable();
    dearest.sort_unstable();
    assert_eq!((dearest, known), (vec!["apart", "burns"], vec!["agent", "rests"]), "{report:#}");
    let of = |name: &str| report["collectors"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    let cpu = |name: &str| number(&of(name)["cpu_seconds"]["median"]);
    for (name, is_child) in [("burns", false), ("apart", true)] {
        assert!(number(&of(name)["cpu_seconds"]["least"]) >= 0.005, "{report:#}");
        assert!(cpu("rests") < cpu(name) / 4.0, "{report:#}");
        assert_eq!((of(name)["placement"] == "child", &of(name)["failed"]), (is_child, &0.into()), "{report:#}");
        // Once in 10 s, as it is configured.
        let share = number(&of(name)["configured_cpu_percent"]);
        assert!((share - cpu(name) * 10.0).abs() < 1e-9, "{report:#}");
    }
    let rests = of("rests");
    // A value and a count, which has a rate; and in each row a value.
    assert_eq!((&rests["values"], &rests["rows"]), (&5.into(), &2.into()), "{report:#}");
    assert!(number(&of("apart")["memory_bytes"]) > 0.0 && rests["memory_bytes"].is_null(), "{report:#}");
    let cycle = &report["cycle"];
    assert!(number(&cycle["cpu_seconds"]["least"]) >= 0.01, "{report:#}");
    assert!(number(&cycle["context_switches"]["median"]) >= 1.0, "{report:#}");
    let noise = &report["noise"];
    for nothing in ["empty_collector_seconds", "empty_wake_up_seconds"] {
        let nothing = number(&noise[nothing]["median"]);
        assert!(0.0 < nothing && nothing < cpu("burns") / 4.0, "{report:#}");
    }
    assert!(noise["trust"]["verdict"].is_string() && noise["machine"]["processors"].as_u64() > Some(0), "{report:#}");
    assert!(!site.path("archive.jsonl").exists());
}

#[test]
fn figures_of_a_few_cycles_are_told_for_a_person_and_said_to_be_few() {
    let site = played(&[("burns", "burn=2ms value=1"), ("breaks", "error=\"no luck\"")]);
    let finished = site.output(["bench", "--for", "600ms", "--interval", "200ms", "--collectors", "breaks"]);
    assert_eq!(finished.code(), 0, "{finished}");
    let lines: Vec<_> = finished.stdout.lines().collect();
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    // The other one was not asked for.
    assert!(has("breaks ") && has("agent ") && has("all of it ") && !has("burns"), "{finished}");
    // It failed, and is asked more seldom after four times.
    assert!(has("breaks: ") && finished.stdout.contains(" readings without metrics, the last: "), "{finished}");
    assert!(lines.last().unwrap().ends_with("cycles are too few to tell: give it at least 10"), "{finished}");
}

#[test]
fn collector_that_is_not_there_and_a_time_that_tells_nothing_are_refused() {
    let site = played(&[("burns", "value=1"), ("rests", "value=1")]);
    let refused = |arguments: &[&str]| {
        let finished = site.output([&["bench"], arguments].concat());
        assert_eq!((finished.code(), &*finished.stdout), (2, ""), "{finished}");
        finished.stderr
    };
    let told = refused(&["--collectors", "rests,burn"]);
    assert_eq!(told, "no collector `burn` runs by this config, of burns, rests, did you mean `burns`?\n");
    assert_eq!(refused(&["--for", "1s"]), "--for is less than two intervals: nothing could be told from chance\n");
    assert_eq!(refused(&["--for", "300d", "--interval", "10ms"]), "--for is more than 360000 intervals\n");
    assert!(refused(&["--interval", "1ms"]).contains("10ms to 1h"));
}

#[test]
fn ctrl_c_ends_it_early_with_what_there_is() {
    let site = played(&[("rests", "value=1 print=read")]);
    let agent = site.start(["bench", "--for", "1h", "--interval", "100ms", "--report", "json"]);
    // What is printed has gone to standard error: the start, the tick after it, and some that count.
    wait_until("it reads", || agent.stderr().lines().filter(|line| *line == "read").count() > 6);
    agent.signal(Signal::INT);
    let finished = agent.wait();
    assert_eq!(finished.code(), 0, "{finished}");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(report["interrupted"], true, "{report:#}");
    assert!((1..36_000).contains(&report["cycles"].as_u64().unwrap()), "{report:#}");
    assert_eq!(names(&report).iter().filter(|name| **name == "rests").count(), 1, "{report:#}");
}
