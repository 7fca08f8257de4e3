//! A collector that fails, hangs, panics, floods or lies costs its own section, and nothing else.

use harness::{Running, Site};
use rustix::process::Signal;
use serde_json::Value;

/// What takes long on a busy machine, and is to come all the same.
const PATIENT: &str = "timeout = \"30s\"\n";

/// An agent with a good collector, and a bad one that plays this script, both in its own process.
fn beside(bad: &str) -> Site {
    beside_with(bad, "")
}

/// The same, with more of the bad one's config.
fn beside_with(bad: &str, more: &str) -> Site {
    let site = Site::new();
    site.plugin("mock");
    site.write("good", "value=1.5");
    site.write("bad", bad);
    site.config(&format!(
        "[agent]\ninterval = \"100ms\"\ncollect = \"named\"\n\
         [collectors.good]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = \"good\" }}\n\
         [collectors.bad]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = \"bad\" }}\n{more}",
    ));
    site
}

/// The bad section once it has this status, after which the good one is seen to go on.
fn bad_section(agent: &mut Running, status: &str) -> Value {
    let seen = agent.snapshot_where(|snapshot| snapshot["bad"]["_status"] == status);
    for _ in 0..3 {
        let later = agent.snapshot_where(|snapshot| snapshot["good"]["_status"] == "ok");
        assert_eq!(later["good"]["value"], 1.5);
    }
    seen["bad"].clone()
}

#[track_caller]
fn assert_told(section: &Value, text: &str) {
    assert!(section["_error"].as_str().is_some_and(|told| told.contains(text)), "{section}");
}

#[test]
fn error_is_told_in_the_section_of_its_collector() {
    let mut agent = beside("error=\"no luck\"").start(["run"]);
    assert_told(&bad_section(&mut agent, "failed"), "no luck");
}

#[test]
fn nothing_to_measure_is_no_failure() {
    let mut agent = beside("unavailable=\"no sensor here\"").start(["run"]);
    assert_told(&bad_section(&mut agent, "unavailable"), "no sensor here");
}

#[test]
fn collector_that_fails_and_recovers_is_ok_again() {
    let mut agent = beside("error=once\nvalue=2").start(["run"]);
    bad_section(&mut agent, "failed");
    assert_eq!(bad_section(&mut agent, "ok")["value"], 2.0);
}

#[test]
fn collector_that_cannot_be_made_has_a_failed_section() {
    let mut agent = beside("new error=\"no luck\"\nvalue=1").start(["run"]);
    assert_told(&bad_section(&mut agent, "failed"), "no luck");
}

#[test]
fn panic_in_the_constructor_is_told() {
    let mut agent = beside("new panic=\"lost my head\"\nvalue=1").start(["run"]);
    assert_told(&bad_section(&mut agent, "failed"), "lost my head");
}

#[test]
fn panic_in_a_reading_is_told() {
    let mut agent = beside("value=1\npanic=\"lost my head\"").start(["run"]);
    assert_told(&bad_section(&mut agent, "failed"), "lost my head");
}

#[test]
fn panic_at_the_end_does_not_hinder_the_end() {
    let mut agent = beside("value=1\ndrop panic=\"lost my head\"").start(["run"]);
    bad_section(&mut agent, "ok");
    agent.signal(Signal::TERM);
    let finished = agent.wait();
    assert_eq!(finished.code(), 0, "{finished}");
}

#[test]
fn hang_is_a_timeout_with_its_beginning() {
    let mut agent = beside("value=1\nhang=forever").start(["run"]);
    let section = bad_section(&mut agent, "timeout");
    assert!(section["_since"].is_string(), "{section}");
    assert!(section.get("value").is_none(), "no old value is repeated: {section}");
}

#[test]
fn hang_does_not_hinder_the_end() {
    let mut agent = beside("hang=forever").start(["run"]);
    bad_section(&mut agent, "timeout");
    agent.signal(Signal::TERM);
    // Whatever its code: the thread that hangs is left behind.
    let _ended = agent.wait();
}

#[test]
fn library_that_hangs_while_it_is_loaded_is_not_loaded_into_the_agent() {
    let mut agent = beside_plugin("hangs_on_load", "").start(["run"]);
    agent.wait_for_stderr("the code of hangs_on_load was run");
    assert_told(&bad_section(&mut agent, "failed"), "its constructors hung while it was loaded");
    agent.signal(Signal::INT);
    assert_eq!(agent.wait().code(), 0);
}

#[test]
fn part_and_row_that_failed_make_a_partial_section() {
    let mut agent =
        beside("value=1 rows.eth0.count=1 rows.eth1!=\"no answer\" part.sockets=\"no luck\"").start(["run"]);
    let section = bad_section(&mut agent, "partial");
    assert_eq!(section["value"], 1.0);
    assert_eq!(section["rows"]["eth0"]["count"], 1);
    assert_eq!(section["rows"]["eth1"]["count"], Value::Null);
    assert_eq!(section["_errors"]["rows"]["eth1"], "no answer");
    assert_eq!(section["_errors"]["sockets"], "no luck");
}

#[test]
fn flood_of_rows_is_cut_and_told() {
    let mut agent = beside_with("value=1 flood=20000", PATIENT).start(["run"]);
    let section = bad_section(&mut agent, "partial");
    let rows = section["rows"].as_object().unwrap().len();
    assert!((1..=10_000).contains(&rows), "{rows} rows");
}

#[test]
fn flood_of_text_is_cut_and_told() {
    let mut agent = beside_with("value=1 flood_text=100000000", PATIENT).start(["run"]);
    let section = bad_section(&mut agent, "partial");
    assert_eq!((&section["value"], &section["text"]), (&1.0.into(), &Value::Null));
}

#[test]
fn what_a_plugin_prints_is_not_in_the_data() {
    let mut agent = beside("new print=\"made one\"\nvalue=1 print=\"read one\"").start(["run"]);
    bad_section(&mut agent, "ok");
    agent.wait_for_stderr("made one");
    agent.wait_for_stderr("read one");
}

/// An agent with a good collector and one of another plugin of the tests.
fn beside_plugin(plugin: &str, options: &str) -> Site {
    let site = beside("value=1");
    site.plugin(plugin);
    site.config(&format!(
        "[agent]\ninterval = \"100ms\"\ncollect = \"named\"\n\
         [collectors.good]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = \"good\" }}\n\
         [collectors.bad]\nplugin = \"{plugin}\"\nisolation = \"none\"\noptions = {{ {options} }}\n",
    ));
    site
}

#[test]
fn plugins_that_cannot_be_loaded_have_a_failed_section_that_says_why() {
    for (plugin, why) in [
        ("newer_contract", "contract 2.0"),
        ("newer_symbol", "contract 2.0"),
        ("no_module", "perfwatch_contract"),
        ("wrong_layout", "layout"),
    ] {
        let mut agent = beside_plugin(plugin, "").start(["run"]);
        assert_told(&bad_section(&mut agent, "failed"), why);
    }
}

fn liar(lie: &str) -> Running {
    beside_plugin("lies", &format!("lie = \"{lie}\"")).start(["run"])
}

#[test]
fn lie_in_a_reading_costs_what_it_is_about() {
    for lie in ["tag", "bool", "nan", "text_outside", "row_outside", "row_of_no_table", "note_outside"] {
        let section = bad_section(&mut liar(lie), "ok");
        assert_eq!(
            (&section["honest"], &section["value"], &section["text"]),
            (&7.into(), &Value::Null, &Value::Null),
            "{lie}"
        );
        assert_eq!(section["rows"], serde_json::json!({}), "{lie}");
    }
}

#[test]
fn failure_whose_reason_is_a_lie_is_a_failure_all_the_same() {
    for lie in ["message_outside", "outcome"] {
        assert_told(&bad_section(&mut liar(lie), "failed"), "did not say why");
    }
}

#[test]
fn text_that_is_no_utf_8_is_mended() {
    assert_eq!(bad_section(&mut liar("text_not_utf8"), "ok")["text"], "\u{fffd}\u{fffd}\u{fffd}");
}
