//! The agent as a service: a config that is refused at the start does not end it where a good one was kept.

use std::fs;

use perfwatch::cli::code;

use crate::mocked::{mocked, wait_until};

/// A line of a config that the agent refuses.
const TYPO: &str = "\n[collectors.other]\nplugin = \"mock\"\nintervall = \"1s\"\n";

#[test]
fn typing_error_and_a_reboot_leave_it_running_with_what_it_ran_with() {
    let site = mocked("50ms", "value=1", "");
    let good = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    let good = good.replace("[agent]", "[agent]\nlast_good = \"state/last-good.toml\"");
    let with = |more: &str| site.config(&format!("{good}{more}"));
    with("");
    let copy = site.path("state/last-good.toml");
    let agent = site.start(["run"]);
    wait_until("a copy is kept", || copy.exists());
    drop(agent);
    let config = with(TYPO);
    let mut agent = site.start(["run"]);
    assert_eq!(agent.snapshot()["mock"]["value"], 1.0);
    for said in ["perfwatch.toml:", "unknown key `intervall`", "did you mean `interval`?", "`perfwatch reload`"] {
        agent.wait_for_stderr(said);
    }
    drop(agent);
    // Those who look at a config want to know what is wrong with it.
    for command in [&["check"][..], &["once"], &["config", "show"], &["schema"]] {
        let finished = site.output(command);
        assert_eq!(finished.code(), i32::from(code::CONFIG), "{command:?}: {finished}");
    }
    fs::remove_file(config).unwrap();
    let mut agent = site.start(["run"]);
    agent.snapshot();
    agent.wait_for_stderr("perfwatch.toml: could not read it");
    drop(agent);
    fs::remove_file(copy).unwrap();
    assert_eq!(site.output(["run"]).code(), i32::from(code::CONFIG));
}
