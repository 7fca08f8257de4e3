//! What the agent costs and which collector it is, as its own section tells it. CPU time is counted by the kernel and not by a clock on
//! the wall, so that these numbers are true on a busy machine too.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::Site;
use serde_json::Value;

/// A site with a collector that plays each of these scripts, in the agent and in a child: `burns_agent`, `burns_child`.
fn played(scripts: &[(&str, &str)], more: &str) -> Site {
    let site = Site::new();
    site.plugin("mock");
    let mut config = "[agent]\ninterval = \"100ms\"\ncollect = \"named\"\n".to_owned();
    for (name, script) in scripts {
        site.write(name, script);
        for (place, isolation) in [("agent", "none"), ("child", "process")] {
            config += &format!(
                "[collectors.{name}_{place}]\nplugin = \"mock\"\nisolation = \"{isolation}\"\ntimeout = \"30s\"\n\
                 budget = {{ cpu = \"1s\" }}\noptions = {{ script = {name:?} }}\n"
            );
        }
    }
    site.config(&(config + more));
    site
}

/// What the agent tells of itself once it has told it twice, so that there is growth.
fn own(site: &Site) -> Value {
    let mut agent = site.start(["run"]);
    let told = agent.snapshot_where(|snapshot| snapshot["agent"]["cpu_percent"].is_f64());
    told["agent"].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn collector_that_computes_is_told_from_one_that_waits_and_one_that_does_nothing() {
    let site = played(&[("burns", "burn=20ms"), ("waits", "sleep=20ms"), ("rests", "value=1")], "");
    let own = own(&site);
    let of = |name: &str, metric: &str| number(&own["collectors"][name][metric]);
    for place in ["agent", "child"] {
        let [burns, waits, rests] = ["burns", "waits", "rests"].map(|name| format!("{name}_{place}"));
        assert!(of(&burns, "cpu_seconds_per_call") >= 0.02, "{own}");
        assert!(of(&burns, "seconds_per_call") >= 0.02, "{own}");
        for cheap in [&waits, &rests] {
            assert!(of(cheap, "cpu_seconds_per_call") < of(&burns, "cpu_seconds_per_call") / 4.0, "{own}");
            assert!(of(cheap, "cpu_percent") < of(&burns, "cpu_percent") / 4.0, "{own}");
            assert!(of(cheap, "cpu_seconds_per_call") > 0.0, "{own}");
        }
        assert!(of(&waits, "seconds_per_call") >= 0.02, "{own}");
    }
    // What runs in the agent is in the agent's own, what runs in a child is not.
    let near: f64 = ["burns_agent", "waits_agent", "rests_agent"].map(|name| of(name, "cpu_percent")).iter().sum();
    assert!(number(&own["cpu_percent"]) >= near * 0.99, "{own}");
    for name in ["burns_agent", "rests_agent"] {
        assert!(own["collectors"][name]["child_memory_bytes"].is_null(), "{own}");
    }
    assert!(of("rests_child", "child_memory_bytes") > 0.0, "{own}");
}

#[test]
fn command_that_a_collector_runs_is_in_what_the_collector_costs() {
    let site = Site::new();
    site.bundled("exec");
    // Some milliseconds of a shell; the child itself only starts it and reads what it prints.
    let program = site.write("busy", "#!/bin/sh\ni=0\nwhile [ $i -lt 100000 ]; do i=$((i+1)); done\necho value 1\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    site.config(&format!(
        "[agent]\ninterval = \"500ms\"\ncollect = \"named\"\n\
         [collectors.busy]\nplugin = \"exec\"\ninterval = \"1s\"\ntimeout = \"30s\"\n\
         [collectors.busy.options]\nprogram = {program:?}\n"
    ));
    let own = own(&site);
    let busy = &own["collectors"]["busy"];
    // A hundred thousand rounds of a shell take more than 10 ms on any machine, what starts it a tenth of that.
    assert!(number(&busy["cpu_seconds_per_call"]) > 0.01, "{own}");
    assert_eq!(busy["over_budget"], 0, "{own}");
}

#[test]
fn agent_tells_how_much_memory_threads_and_descriptors_it_has() {
    let site = played(&[("rests", "value=1")], "");
    let own = own(&site);
    let (all, anonymous) = (number(&own["memory_bytes"]), number(&own["anonymous_memory_bytes"]));
    assert!(0.0 < anonymous && anonymous < all, "{own}");
    assert!(number(&own["threads"]) > 2.0, "{own}");
    // Before Linux 6.2 the kernel does not tell.
    let told = fs::metadata("/proc/self/fd").unwrap().len() > 0;
    assert_eq!(own["descriptors"].as_u64().is_some_and(|count| count > 5), told, "{own}");
}
