//! In the agent, what hangs, panics, floods or burns costs its own section. What ends the process ends the agent, once:
//! the next one calls that library in a child.
//!
//! Left out, since there the agent's process is the plugin's: what leaks memory or descriptors without end, and forks.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use super::beside::{GOOD, Scene, events};

const NONE: &str = "\nisolation = \"none\"";

#[test]
fn what_goes_wrong_in_the_agent_costs_its_own_section() {
    let mut scene = Scene::new(500);
    for way in ["panic", "log", "stdout", "stderr", "threads", "rows", "text"] {
        scene.wild(way, way, &format!(", after = 1{NONE}"));
    }
    scene.wild("burn", "burn", &format!("{NONE}\ninterval = \"1s\"\ntimeout = \"30s\"\nbudget = {{ cpu = \"20ms\" }}"));
    scene.wild("panic_new", "panic", &format!(", at = \"new\"{NONE}"));
    scene.wild("panic_drop", "panic", &format!(", at = \"drop\"{NONE}"));
    let mut beside = scene.start();
    for name in ["log", "stdout", "stderr", "threads", "panic_drop"] {
        let what = format!("{name} goes on");
        beside
            .find(&what, |snapshot| snapshot[name]["_status"] == "ok" && snapshot[name]["count"].as_u64() >= Some(50));
    }
    for name in ["panic", "panic_new"] {
        beside.section(name, "failed", "panicked: lost my head");
    }
    beside.section("burn", "partial", "of CPU time, where budget.cpu is 20ms");
    beside.find("another instance after a panic", |snapshot| {
        snapshot["panic"]["count"] == 10 && {
            snapshot["panic"]["clock_per_sec"].is_null() && snapshot["sequence"].as_u64() > Some(1)
        }
    });
    beside.end();
}

#[test]
fn any_number_of_hanging_collectors_keeps_eight_threads_and_no_good_one_from_its_tick() {
    for (does, more) in [("hang", ", at = \"new\""), ("hang", ", after = 1")] {
        let names: Vec<_> = (0..12).map(|number| format!("hang_{number}")).collect();
        let mut scene = Scene::new(500);
        for name in &names {
            scene.wild(name, does, &format!("{more}{NONE}"));
        }
        let mut beside = scene.start();
        let of = |snapshot: &serde_json::Value, status: &str| {
            names.iter().filter(|name| snapshot[&***name]["_status"] == status).count()
        };
        beside.until("all hang", |told| {
            let last = told.last().unwrap();
            of(last, "timeout") + of(last, "quarantined") == names.len()
        });
        let last = beside.next().clone();
        let (out, given_up) = (of(&last, "timeout"), of(&last, "quarantined"));
        // A good one that was slow for once, on a machine that is starved, has one of the threads for as long.
        let slow = beside.told.iter().any(|snapshot| GOOD.iter().any(|name| events(snapshot, name).next().is_some()));
        assert!(
            (out, given_up) == (8, 4) || slow && out < 8 && out + given_up == 12,
            "{out} hang, {given_up} are given up"
        );
        let quarantined = |snapshot: &serde_json::Value, name: &str| {
            events(snapshot, name).any(|event| event["kind"] == "quarantined")
        };
        let many = names.iter().filter(|name| beside.told.iter().any(|snapshot| quarantined(snapshot, name))).count();
        assert_eq!(many, given_up);
        // Shutdown does not wait for any of them.
        beside.end();
    }
}

#[test]
fn hangs_of_other_kinds_cost_no_more() {
    let mut scene = Scene::new(250);
    scene.wild("late", "sleep", &format!(", after = 1{NONE}"));
    for name in ["load_hang", "load_segv", "load_exit_0"] {
        scene.copy_of_wild(name, NONE);
    }
    // Last, as it is dropped beside the others.
    scene.wild("drop", "hang", &format!(", at = \"drop\"{NONE}"));
    let mut beside = scene.start();
    beside.section("late", "timeout", "no answer for 200ms");
    beside.section("drop", "ok", "");
    for (name, words) in [
        ("load_hang", "its constructors hung while it was loaded"),
        ("load_segv", "a process that loaded it died: signal: 11 (SIGSEGV)"),
        ("load_exit_0", "a process that loaded it died: exit status: 0"),
    ] {
        beside.section(name, "failed", words);
    }
    beside.end();
}

/// A plugin that comes with the agent, and ends it.
fn deadly(way: &str, more: &str) -> Scene {
    let mut scene = Scene::new(250);
    // What may start programs is kept in a child even so: `wild` asks for it, `frugal` does not.
    scene.comes_with_the_agent("frugal");
    scene.table("bad", "frugal", &format!("does = \"{way}\""), more);
    scene
}

const BLAMED: &str = "the agent before this one died in a call of plugin frugal";

#[test]
fn agent_that_died_in_a_call_makes_that_call_in_a_child_the_next_time() {
    for (way, more) in [
        ("segv", ", after = 1"),
        ("abort", ", at = \"new\""),
        ("overflow", ", after = 1"),
        ("exit_0", ", after = 1"),
        ("exit_3", ", at = \"new\""),
    ] {
        let scene = deadly(way, more);
        let finished = scene.run_to_its_end();
        assert!(finished.status.signal().is_some() || way.starts_with("exit"), "{way}: {finished}");
        let mut beside = scene.start();
        beside.child("bad");
        beside.event("bad", "restart", "the child died");
        let log = beside.end();
        assert!(log.contains(BLAMED) && log.contains("until: perfwatch plugins release bad"), "{way}: {log}");
    }
}

#[test]
fn blame_ends_by_release_by_the_operators_word_and_by_a_new_file() {
    let scene = deadly("segv", ", after = 1");
    let dies = |what: &str| {
        let finished = scene.run_to_its_end();
        assert_eq!(finished.status.signal(), Some(11), "{what}: {finished}");
    };
    let lives = |what: &str| {
        let mut beside = scene.start();
        beside.event("bad", "restart", "SIGSEGV");
        let log = beside.end();
        assert!(
            log.contains("runs in a child since") && log.contains("perfwatch plugins release bad"),
            "{what}: {log}"
        );
    };
    dies("at first");
    lives("after a death");
    lives("for good");
    let released = scene.site.output(["plugins", "release", "bad"]);
    assert_eq!(released.code(), 0, "{released}");
    assert!(released.stdout.contains("released: frugal"), "{released}");
    dies("when it is released");
    lives("after another death");
    let mut insists = deadly("segv", ", after = 1\nisolation = \"none\"");
    insists.site = scene.site;
    let finished = insists.run_to_its_end();
    assert_eq!(finished.status.signal(), Some(11), "by the operator's word: {finished}");
    // Another build has no past.
    let library = insists.site.path("bin/libperfwatch_frugal.so");
    let bytes = [fs::read(&library).unwrap(), vec![0; 8]].concat();
    fs::remove_file(&library).unwrap();
    fs::write(&library, bytes).unwrap();
    let mut another = deadly("segv", ", after = 1");
    another.site = insists.site;
    let finished = another.run_to_its_end();
    assert_eq!(finished.status.signal(), Some(11), "with a new file: {finished}");
}
