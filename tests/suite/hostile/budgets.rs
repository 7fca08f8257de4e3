//! Budgets: the same six words in a manifest and in a collector's table, in the agent and in a child. What is over one is
//! cut and told, then asked less often, then not at all.

use serde_json::Value;

use super::super::mocked::mocked;
use super::beside::{Scene, events};

/// What is asked for, and what is left of it under this budget.
const OURS: &str =
    "\nbudget = { cpu = \"20ms\", memory = \"4MiB\", descriptors = 16, rows = 10, cells = 30, text = \"1KiB\" }";

#[test]
fn each_word_of_a_budget_holds_from_the_manifest_and_from_the_table_in_the_agent_and_in_a_child() {
    let mut scene = Scene::new(500);
    scene.site.plugin("frugal");
    let places = ["process", "none"];
    let mut names = Vec::new();
    for place in places {
        for (plugin, written) in [("wild", OURS), ("frugal", "")] {
            for word in ["rows", "cells", "text", "burn", "leak_memory", "leak_descriptors"] {
                // The agent's memory and descriptors are no plugin's.
                if place == "process" || !word.starts_with("leak") {
                    let name = format!("{plugin}_{word}_{place}");
                    let more = format!("\nisolation = \"{place}\"\ninterval = \"1s\"\ntimeout = \"30s\"{written}");
                    scene.table(&name, plugin, &format!("does = \"{word}\""), &more);
                    names.push((name, word));
                }
            }
        }
    }
    // What is in the table goes before what is in the manifest; what is in neither is the default.
    scene.table("table_first", "frugal", "does = \"leak_descriptors\"", "\nbudget = { descriptors = 40 }");
    scene.table("default", "wild", "does = \"leak_descriptors\"", "");
    let mut beside = scene.start();
    for (name, word) in &names {
        match *word {
            "rows" => {
                let section = beside.section(name, "partial", "over its budget, cut: 90 rows");
                assert_eq!(rows(&section, "thin"), 10, "{section}");
            }
            "cells" => {
                let section = beside.section(name, "partial", "over its budget, cut: ");
                assert!((1..10).contains(&rows(&section, "wide")), "{section}");
            }
            "text" => {
                let section = beside.section(name, "partial", "over its budget, cut: 1 texts");
                assert!(section["text"].is_null() && section["count"].is_u64(), "{section}");
            }
            "burn" => {
                let section = beside.section(name, "partial", "of CPU time, where budget.cpu is 20ms");
                assert!(section["count"].is_u64(), "{section}");
            }
            "leak_memory" => drop(beside.event(name, "restart", "budget.memory is 4 MiB")),
            _ => drop(beside.section(name, "failed", "Too many open files")),
        }
    }
    // Its own descriptors are beside the budget.
    let opened = |section: &Value| -> u32 {
        let error = section["_error"].as_str().unwrap();
        error.split("could not open file ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap()
    };
    for (name, budget) in [("frugal_leak_descriptors_process", 16), ("table_first", 40), ("default", 64)] {
        let opened = opened(&beside.section(name, "failed", "Too many open files"));
        assert!((budget..budget + 16).contains(&opened), "{name}: {opened}");
    }
    let books = beside.books();
    for (name, word) in &names {
        let over = books["collectors"][name.as_str()]["over_budget"].as_u64().unwrap();
        assert!(over > 0 || word.starts_with("leak"), "{name}: {over}");
    }
    beside.end();
}

fn rows(section: &Value, table: &str) -> usize {
    section[table].as_object().unwrap().len()
}

#[test]
fn what_stays_over_its_budget_is_asked_less_often_and_then_not_at_all() {
    for place in ["none", "process"] {
        // The agent waits longer from failure to failure, by its interval.
        let more = format!(
            "[collectors.flood]\nplugin = \"mock\"\nisolation = \"{place}\"\noptions = {{ script = \"flood\" }}\nbudget = {{ rows = 5 }}\n"
        );
        let site = mocked("10ms", "value=1", &more);
        site.write("flood", "value=1 flood=6");
        let mut agent = site.start(["run"]);
        let (mut partial, mut backoff, mut told) = (0, 0, false);
        let last = agent.snapshot_where(|snapshot| {
            partial += usize::from(snapshot["flood"]["_status"] == "partial");
            backoff += usize::from(snapshot["flood"]["_status"] == "backoff");
            told |= events(snapshot, "flood").any(|event| event["kind"] == "quarantined");
            snapshot["flood"]["_status"] == "quarantined"
        });
        let error = last["flood"]["_error"].as_str().unwrap();
        assert_eq!(error, "10 readings in a row were over its budget");
        assert!(partial <= 10 && backoff > 0 && told, "{place}: {partial}, {backoff}, {told}");
        let after = agent.snapshot_where(|snapshot| snapshot["agent"]["_status"] == "ok");
        assert_eq!(after["agent"]["collectors"]["flood"]["over_budget"], 10, "{place}");
        let log = agent.stderr();
        let lines = log.lines().filter(|line| line.contains("over its budget, cut")).count();
        assert_eq!(lines, 1, "{place}: {log}");
    }
}
