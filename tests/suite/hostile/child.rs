//! In a child, nothing that a library does costs more than its own section: it is killed, with all that it started, and
//! begins anew.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::beside::{Beside, Scene, events, eventually, kill, processes, tick};

/// What dies in this way, two readings after it began, and the words in which that is told.
const DEATHS: [(&str, &str); 5] = [
    ("segv", "signal: 11 (SIGSEGV)"),
    ("abort", "signal: 6 (SIGABRT)"),
    ("overflow", "signal: 6 (SIGABRT)"),
    ("exit_0", "exit status: 0"),
    ("exit_3", "exit status: 3"),
];

/// What dies before its first reading.
const NEVER: [(&str, &str, &str, &str); 9] = [
    ("segv_new", "segv", ", at = \"new\"", "signal: 11 (SIGSEGV)"),
    ("exit_0_new", "exit_0", ", at = \"new\"", "exit status: 0"),
    ("abort_new", "abort", ", at = \"new\"", "signal: 6 (SIGABRT)"),
    ("load_segv", "nothing", "", "signal: 11 (SIGSEGV)"),
    ("load_overflow", "nothing", "", "signal: 6 (SIGABRT)"),
    ("load_exit_0", "nothing", "", "exit status: 0"),
    ("load_exit_3", "nothing", "", "exit status: 3"),
    ("load_panic", "nothing", "", "signal: 6 (SIGABRT)"),
    // A thread of it that the narrower filter does not reach must not go on.
    ("load_filter", "nothing", "", "exit status: 64"),
];

#[test]
fn child_that_dies_is_told_at_that_tick_and_begins_anew() {
    let mut scene = Scene::new(250);
    for (way, _) in DEATHS {
        scene.wild(way, way, ", after = 2");
    }
    let small = ", after = 2\nbudget = { memory = \"8MiB\" }\ninterval = \"1s\"";
    scene.wild("leak", "leak_memory", small);
    for (name, does, more, _) in NEVER {
        scene.wild(name, does, more);
    }
    let mut beside = scene.start();
    for (way, words) in DEATHS {
        let told = beside.find(&format!("{way} has died and is failed in one tick"), |snapshot| {
            let section = &snapshot[way];
            let failed = section["_status"] == "failed" && section["_error"].as_str().unwrap().contains(words);
            failed
                && events(snapshot, way).any(|event| event["kind"] == "restart" && event["cause"] == section["_error"])
        });
        assert_begins_anew(&mut beside, way, tick(&told));
    }
    let (_, told) = beside.event("leak", "restart", "when it gets no memory: budget.memory is 8 MiB");
    assert_begins_anew(&mut beside, "leak", tick(&told));
    for (name, _, _, words) in NEVER {
        beside.event(name, "restart", words);
        beside.section(name, "backoff", words);
    }
    let log = beside.end();
    for (name, words) in DEATHS.into_iter().chain(NEVER.map(|(name, _, _, words)| (name, words))) {
        assert!(log.lines().any(|line| line.contains(name) && line.contains(words)), "{name}: {log}");
    }
}

/// It comes back, and what another instance counted before is not held against what it counts now.
#[track_caller]
fn assert_begins_anew(beside: &mut Beside, name: &str, after: u64) {
    let is_ok = |told: &&Value| told[name]["_status"] == "ok";
    beside.until(&format!("{name} begins anew"), |told| {
        told.iter().filter(is_ok).skip(1).any(|told| tick(told) >= after && told[name]["clock_per_sec"].is_null())
    });
    let ok: Vec<_> = beside.told.iter().filter(is_ok).map(|told| &told[name]).collect();
    // The same instance would have gone on counting.
    for pair in ok.windows(2).filter(|pair| pair[1]["count"].as_u64() <= pair[0]["count"].as_u64()) {
        assert!(pair[1]["clock_per_sec"].is_null() && pair[1]["count_per_sec"].is_null(), "{pair:?}");
    }
}

#[test]
fn child_that_hangs_is_killed_by_its_next_tick_or_by_three_timeouts() {
    let mut scene = Scene::new(250);
    scene.wild("hang", "hang", ", after = 2").wild("hang_new", "hang", ", at = \"new\"").wild(
        "load_hang",
        "nothing",
        "",
    );
    scene.wild("half", "socket_half", ", after = 2").wild("late", "sleep", ", after = 2");
    scene.wild("seldom", "hang", "\ninterval = \"10s\"\ntimeout = \"200ms\"");
    for name in ["stopped", "killed"] {
        scene.wild(name, "nothing", "");
    }
    let mut beside = scene.start();
    for name in ["stopped", "killed"] {
        beside.section(name, "ok", "");
    }
    kill(beside.child("stopped"), Signal::STOP);
    kill(beside.child("killed"), Signal::KILL);
    for name in ["hang", "hang_new", "load_hang", "half", "late", "stopped"] {
        let section = beside.section(name, "timeout", "no answer for 200ms");
        assert!(section["_since"].is_string() && section.get("count").is_none(), "{section}");
        beside.event(name, "restart", "killed, as it had not answered by its next tick");
    }
    beside.event("killed", "restart", "signal: 9 (SIGKILL)");
    for name in ["hang", "half", "late", "stopped", "killed"] {
        let (_, told) = beside.event(name, "restart", "");
        assert_begins_anew(&mut beside, name, tick(&told));
    }
    // Its next tick is up to 10 s away.
    let (_, told) = beside.event("seldom", "restart", "killed, as it did not answer for ");
    let since =
        beside.told.iter().rfind(|snapshot| tick(snapshot) < tick(&told) && snapshot.get("seldom").is_some()).unwrap();
    assert!(tick(&told) - tick(since) < 5_000, "{since}\n{told}");
    beside.end();
}

#[test]
fn garbage_on_the_socket_of_a_child_is_its_own_end() {
    let ways = [
        ("noise", "a message of kind 2779096485"),
        ("short", "a message of 4 bytes, which is too short"),
        ("long", "a message of 4294967299 bytes"),
        ("kind", "a message of kind 77"),
        ("zeros", "an answer to request 0 instead of "),
        ("trickle", "an answer in too many pieces"),
        ("lines", "more log lines than one reading may have"),
        ("unasked", "an answer that nobody asked for"),
    ];
    let mut scene = Scene::new(250);
    for (way, _) in ways {
        scene.wild(way, &format!("socket_{way}"), ", after = 2");
    }
    scene.wild("closed", "socket_closed", ", after = 2");
    let mut beside = scene.start();
    for (way, words) in ways {
        let (_, told) = beside.event(way, "restart", &format!("killed, as it sent garbage: {words}"));
        assert_begins_anew(&mut beside, way, tick(&told));
    }
    let (_, told) = beside.event("closed", "restart", "the child died");
    assert_begins_anew(&mut beside, "closed", tick(&told));
    for snapshot in &beside.told {
        for way in ways.map(|(way, _)| way).into_iter().chain(["closed"]) {
            let section = &snapshot[way];
            assert!(section["_status"] != "ok" || section["count"].as_u64() <= Some(30), "{section}");
        }
    }
    beside.end();
}

#[test]
fn floods_of_a_child_cost_its_own_section() {
    let mut scene = Scene::new(500);
    for way in ["log", "stdout", "stderr", "panic", "fork"] {
        scene.wild(way, way, ", after = 1");
    }
    // What its threads burn is its own, too, and here within its means.
    scene.wild("threads", "threads", ", after = 1\nbudget = { cpu = \"1h\" }");
    scene.wild("panic_new", "panic", ", at = \"new\"").wild("load_thread", "nothing", "");
    scene.wild("leak", "leak_descriptors", ", after = 1");
    scene.mock("rows", "value=1 flood=20000", "timeout = \"30s\"");
    scene.mock("text", "value=1 flood_text=100000000", "timeout = \"30s\"");
    let mut beside = scene.start();
    for name in ["log", "stdout", "stderr", "load_thread", "threads"] {
        let what = format!("{name} goes on");
        beside
            .find(&what, |snapshot| snapshot[name]["_status"] == "ok" && snapshot[name]["count"].as_u64() >= Some(30));
    }
    beside.section("rows", "partial", "over its budget, cut: 10000 rows");
    beside.section("text", "partial", "over its budget, cut: 1 texts");
    beside.section("panic", "failed", "panicked: lost my head");
    beside.section("panic_new", "failed", "panicked: lost my head");
    beside.section("leak", "failed", "Too many open files");
    let forbidden = beside.section("fork", "failed", "Operation not permitted");
    assert!(forbidden["_error"].as_str().unwrap().contains("isolation = \"none\""), "{forbidden}");
    let log = beside.end();
    assert!(log.contains("more log lines at one reading are not told"), "{log}");
}

#[test]
fn with_a_child_dies_what_it_started() {
    let mut scene = Scene::new(250);
    for way in ["program", "bomb", "fork"] {
        scene.wild(way, way, "\ngrant = [\"exec:/bin/sleep\"]\ninterval = \"5s\"\ntimeout = \"1s\"");
    }
    scene.wild("ungranted", "program", "\ninterval = \"10s\"\ntimeout = \"1s\"");
    let mut beside = scene.start();
    // What a fork bomb gets is bounded, at the latest by what it wants.
    // One more is its guard.
    for (name, many) in [("program", 3), ("bomb", 16)] {
        let child = beside.child(name);
        eventually(&format!("{name} has started others"), || group(child).count() >= many);
        beside.event(name, "restart", "killed, as it did not answer");
        eventually(&format!("the end of all of {name}"), || group(child).count() == 0);
    }
    let refused = beside.section("ungranted", "failed", "exec:/bin/sleep");
    assert!(refused["_error"].as_str().unwrap().contains("grant = [\"exec:/bin/sleep\"]"), "{refused}");
    // It answers, and leaves another process behind.
    let child = beside.child("fork");
    eventually("a process beside the child", || group(child).count() >= 3);
    kill(child, Signal::KILL);
    eventually("the end of both", || group(child).count() == 0);
    beside.end();
}

/// The living processes of a child's group.
fn group(child: u32) -> impl Iterator<Item = u32> {
    processes().filter(move |process| process.group == child && process.state != 'Z').map(|process| process.number)
}

#[test]
fn deaths_are_waited_for_bounded_and_leave_nothing_behind() {
    let mut scene = Scene::new(200);
    let often = ["often_1", "often_2", "often_3"];
    for name in often {
        scene.wild(name, "exit_3", ", after = 1");
    }
    scene.wild("always", "segv", "").wild("never", "nothing", "");
    let mut beside = scene.start();
    beside.section("never", "ok", "");
    let before = descriptors(&beside);
    for name in often {
        beside.section(name, "quarantined", "its child died too often, the last time: the child died: exit status: 3");
    }
    let deaths = |told: &[Value], name: &str| -> Vec<u64> {
        let of_it = |snapshot: &&Value| events(snapshot, name).any(|event| event["kind"] == "restart");
        told.iter().filter(of_it).map(tick).collect()
    };
    beside.until("always has died often enough", |told| deaths(told, "always").len() >= 7);
    for name in often {
        assert_eq!(deaths(&beside.told, name).len(), 20, "{name}");
        assert!(
            beside.told.iter().any(|snapshot| events(snapshot, name).any(|event| event["kind"] == "quarantined")),
            "{name}"
        );
    }
    let gaps: Vec<_> = deaths(&beside.told, "always").windows(2).map(|pair| pair[1] - pair[0]).collect();
    // From the second on there is a wait, to which the time to die is added, and what a busy machine takes.
    for (gap, wait) in gaps[1..].iter().zip([500, 1000, 2000, 4000, 4000]) {
        assert!((wait..wait + 4_000).contains(gap), "{gaps:?}");
    }
    assert!(deaths(&beside.told, "never").is_empty());
    // Those who were quarantined have none any more.
    eventually("only the living have descriptors", || descriptors(&beside) <= before);
    let agent = beside.agent.pid();
    eventually("no child but the living, and no zombie", || {
        let children: Vec<_> = processes().filter(|process| process.parent == agent).collect();
        children
            .iter()
            .all(|child| ["always", "never"].iter().any(|name| child.line.starts_with(&format!("perfwatch: {name}\0"))))
    });
    beside.end();
}

fn descriptors(beside: &Beside) -> usize {
    fs::read_dir(format!("/proc/{}/fd", beside.agent.pid())).unwrap().count()
}

#[test]
fn no_child_outlives_an_agent_that_is_killed() {
    let mut scene = Scene::new(250);
    scene.wild("hang", "hang", ", after = 2").wild("idle", "nothing", "").wild("stopped", "nothing", "");
    scene.wild("drop", "hang", ", at = \"drop\"").wild("load_hang", "nothing", "").wild(
        "threads",
        "threads",
        ", after = 1",
    );
    let names = ["hang", "idle", "stopped", "drop", "load_hang", "threads"];
    for signal in [Signal::KILL, Signal::TERM] {
        let mut beside = scene.start();
        let stopped = beside.child("stopped");
        beside.section("idle", "ok", "");
        kill(stopped, Signal::STOP);
        let children = names.map(|name| beside.child(name));
        match signal {
            Signal::KILL => kill(beside.agent.pid(), signal),
            // It waits for nobody.
            _ => drop(beside.end()),
        }
        for (name, child) in names.iter().zip(children) {
            eventually(&format!("the end of {name}"), || group(child).count() == 0);
        }
    }
}
