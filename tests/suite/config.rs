//! A bad config is told as a compiler tells it and never runs; what runs is what the layers say.

use std::fs;
use std::path::Path;

use harness::{Finished, Site, golden, jsonb, root};
use serde_json::Value;

use super::mocked::mocked;

/// sysexits(3), as the help says them.
const UNAVAILABLE: i32 = 69;
const BAD_CONFIG: i32 = 78;

/// A site with a plugin, a script for it, and no config.
fn site() -> Site {
    mocked("1s", "value=1", "")
}

/// What was told, without what differs from machine to machine.
fn told(site: &Site, finished: &Finished) -> String {
    finished.stderr.replace(site.path("").to_str().unwrap(), "SITE/")
}

#[track_caller]
fn once(site: &Site) -> Value {
    let finished = site.output(["once", "--window", "500ms", "--format", "json"]);
    assert_eq!(finished.code(), 0, "{finished}");
    jsonb::snapshots(&finished.stdout).remove(0)
}

#[test]
fn bad_configs_are_refused_with_every_fault_where_it_stands() {
    let mut tried = 0;
    for entry in fs::read_dir(root().join("tests/golden/config")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        let Some(name) = name.strip_suffix(".toml") else { continue };
        let site = site();
        site.config(&fs::read_to_string(&path).unwrap());
        let refused = site.output(["run"]);
        assert_eq!((refused.code(), &*refused.stdout), (BAD_CONFIG, ""), "{name}: {refused}");
        golden(&format!("config/{name}.txt"), &told(&site, &refused));
        assert!(!refused.stderr.contains("hunter2"), "{name}: {refused}");
        // Whoever asks before a start is told the same.
        for command in [&["check"][..], &["once"], &["config", "show"], &["schema"]] {
            let asked = site.output(command);
            assert_eq!((asked.code(), &asked.stderr), (BAD_CONFIG, &refused.stderr), "{name}: {command:?}");
        }
        tried += 1;
    }
    assert!(tried >= 12, "{tried}");
}

#[test]
fn variable_at_fault_is_told_by_its_name() {
    let site = site();
    for (name, value, fault) in [
        ("PERFWATCH__AGENT__INTERVAL", "soon", "$PERFWATCH__AGENT__INTERVAL: `soon` is no duration, in `interval`"),
        ("PERFWATCH__AGENT__INTERVALL", "1s", "$PERFWATCH__AGENT__INTERVALL: unknown key `intervall`"),
        ("PERFWATCH__SINKS__A__TYPE", "fil", "$PERFWATCH__SINKS__A__TYPE: unknown type `fil` of sink `a`"),
    ] {
        let mut command = site.command(["run"]);
        command.env(name, value);
        let refused = harness::Running::start(command).wait();
        assert_eq!(refused.code(), BAD_CONFIG, "{refused}");
        assert!(refused.stderr.starts_with(fault), "{refused}");
    }
}

#[test]
fn file_that_is_named_and_not_there_is_a_fault() {
    let refused = site().output(["run", "-c", "gone.toml"]);
    assert_eq!(refused.code(), BAD_CONFIG, "{refused}");
    assert_eq!(refused.stderr, "gone.toml: could not read it: No such file or directory (os error 2)\n");
}

#[test]
fn what_only_the_file_system_knows_of_a_sink_is_a_fault_of_the_config_too() {
    for (setting, fault) in [
        ("group = \"no-such-group\"", "could not open sink `file`: group: no-such-group is not in /etc/group"),
        ("min_free = \"4000000TiB\"", "could not open sink `file`: min_free: the file system of "),
    ] {
        let site = mocked("1s", "value=1", &format!("[sinks.file]\ntype = \"file\"\npath = \"s.jsonl\"\n{setting}\n"));
        let refused = site.output(["run"]);
        assert_eq!(refused.code(), BAD_CONFIG, "{refused}");
        assert!(refused.stderr.contains(fault), "{refused}");
        assert!(!site.path("s.jsonl").exists(), "nothing is left behind");
    }
}

#[test]
fn faulty_drop_in_costs_what_it_configures_and_nothing_else() {
    let site = site();
    site.write("conf.d/10-bad.toml", "[collectors.lost]\nplugin = \"mock\"\nintervall = \"1s\"\n");
    site.write("conf.d/20-good.toml", "[agent]\nlabels = { env = \"prod\" }\n");
    let snapshot = once(&site);
    assert_eq!((&snapshot["mock"]["value"], &snapshot["labels"]["env"]), (&1.0.into(), &"prod".into()));
    assert_eq!(snapshot["lost"]["_status"], "failed");
    let why = snapshot["lost"]["_error"].as_str().unwrap();
    assert!(why.contains("conf.d/10-bad.toml is left out, as that file is at fault"), "{why}");
    let mut agent = site.start(["run"]);
    agent.snapshot();
    let said = agent.stderr();
    assert!(said.contains("10-bad.toml is left out") && said.contains("unknown key `intervall`"), "{said}");
    let asked = site.output(["check"]);
    assert_eq!(asked.code(), BAD_CONFIG, "{asked}");
    assert!(asked.stderr.contains("10-bad.toml:3:1: unknown key `intervall`"), "{asked}");
}

#[test]
fn drop_in_whose_sink_contradicts_itself_is_left_out_like_any_other() {
    let site = site();
    let sink = "[sinks.archive]\ntype = \"file\"\npath = \"s.jsonl\"\nmode = \"0444\"\n";
    site.write("conf.d/10-bad.toml", sink);
    site.write("conf.d/20-good.toml", "[sinks.stdout]\ntype = \"stdout\"\n");
    let mut agent = site.start(["run"]);
    agent.snapshot();
    assert!(agent.stderr().contains("10-bad.toml:4:8: sink `archive`: mode: 0444"), "{}", agent.stderr());
    assert!(!site.path("s.jsonl").exists());
}

#[test]
fn strict_refuses_to_start_beside_a_faulty_drop_in() {
    let site = site();
    site.write("conf.d/10-bad.toml", "[collectors.lost]\nintervall = \"1s\"\n");
    site.write("conf.d/20-strict.toml", "[agent]\nstrict = true\n");
    let refused = site.output(["run"]);
    assert_eq!((refused.code(), &*refused.stdout), (BAD_CONFIG, ""), "{refused}");
    assert!(refused.stderr.contains("10-bad.toml:2:1: unknown key `intervall`"), "{refused}");
}

#[test]
fn required_plugin_that_is_missing_is_fatal() {
    let site = mocked("1s", "value=1", "[collectors.ups]\nrequired = true\n");
    for command in ["run", "once", "check"] {
        let refused = site.output([command]);
        assert_eq!((refused.code(), &*refused.stdout), (UNAVAILABLE, ""), "{refused}");
        assert!(refused.stderr.contains("collector ups is required: no plugin `ups` in "), "{refused}");
    }
}

#[test]
fn named_plugin_that_is_missing_has_a_failed_section_and_the_others_run() {
    let site = mocked("1s", "value=1", "[collectors.mokc]\n");
    let snapshot = once(&site);
    assert_eq!((&snapshot["mock"]["_status"], &snapshot["mokc"]["_status"]), (&"ok".into(), &"failed".into()));
    let why = snapshot["mokc"]["_error"].as_str().unwrap();
    assert!(why.starts_with("no plugin `mokc` in ") && why.ends_with("did you mean `mock`?"), "{why}");
    assert_eq!(site.output(["check"]).code(), UNAVAILABLE);
}

#[test]
fn nothing_that_is_named_to_run_is_told() {
    let site = site();
    site.config("[agent]\ncollect = \"named\"\n");
    let refused = site.output(["run"]);
    assert_eq!(refused.code(), UNAVAILABLE, "{refused}");
    assert!(refused.stderr.contains("no collector runs: agent.collect is \"named\""), "{refused}");
}

#[test]
fn check_of_a_good_config_says_so() {
    let asked = site().output(["check"]);
    assert_eq!((asked.code(), &*asked.stdout, &*asked.stderr), (0, "ok: 1 collector, 1 sink\n", ""));
}

#[test]
fn later_layer_wins_and_show_names_it() {
    let site = site();
    let shown = |site: &Site, variable: Option<&str>| {
        let mut command = site.command(["config", "show", "--origin"]);
        command.envs(variable.map(|value| ("PERFWATCH__AGENT__INTERVAL", value)));
        let finished = harness::Running::start(command).wait();
        assert_eq!(finished.code(), 0, "{finished}");
        let line = finished.stdout.lines().find(|line| line.starts_with("interval = ")).unwrap();
        let (value, origin) = line.split_once('#').unwrap();
        let origin = origin.trim().replace(site.path("").to_str().unwrap(), "");
        (value.trim().to_owned(), origin)
    };
    let is = |value: &str, origin: &str| (format!("interval = {value:?}"), origin.to_owned());
    assert_eq!(shown(&site, None), is("1s", "perfwatch.toml:2:12"));
    site.write("conf.d/20.toml", "[agent]\ninterval = \"3s\"\n");
    site.write("conf.d/10.toml", "\n[agent]\ninterval = \"2s\"\n");
    assert_eq!(shown(&site, None), is("3s", "conf.d/20.toml:2:12"));
    assert_eq!(shown(&site, Some("4s")), is("4s", "$PERFWATCH__AGENT__INTERVAL"));
    fs::remove_file(site.path("conf.d/20.toml")).unwrap();
    assert_eq!(shown(&site, None), is("2s", "conf.d/10.toml:3:12"));
}

#[test]
fn what_show_prints_is_a_config_that_says_the_same() {
    let site = mocked("1s", "value=1", "[sinks.file]\ntype = \"file\"\npath = \"s.jsonl\"\nkeep.files = 3\n");
    let first = site.output(["config", "show"]);
    site.config(&first.stdout);
    let second = site.output(["config", "show"]);
    assert_eq!((second.code(), second.stdout), (0, first.stdout), "{}", second.stderr);
}

#[test]
fn default_config_is_one_that_runs() {
    let site = site();
    let shipped = site.output(["config", "default"]);
    site.config(&shipped.stdout);
    site.bundled("memory");
    let snapshot = once(&site);
    assert_eq!(snapshot["memory"]["_status"], "ok");
    assert_eq!(fs::read_to_string(root().join(Path::new("config/perfwatch.toml"))).unwrap(), shipped.stdout);
}
