//! `perfwatch plugins release` while the agent runs: what was held against a plugin is forgotten at once.

use std::os::unix::process::ExitStatusExt as _;

use super::super::hostile::beside::events;
use super::super::mocked::wait_until;
use super::scene::{INTERVAL, STEADY, Scene, counting};

#[test]
fn collector_that_is_quarantined_for_its_crashes_comes_back_at_once() {
    let scene = Scene::new();
    // It is back at once after a death, for as long as it answers in between.
    scene.site.write("crash", "count=1\nabort=now");
    let crash = scene.table("crash", "crash", "isolation = \"process\"\ninterval = \"50ms\"");
    scene.configure("", &crash);
    let mut live = scene.start();
    let (place, event) = live.event(0, "quarantined", "crash");
    assert!(event["cause"].as_str().unwrap().contains("died too often"), "{event}");
    live.find("it is quarantined", place, |snapshot| snapshot["crash"]["_status"] == "quarantined");
    assert_eq!(live.child("crash"), None);
    scene.site.write("crash", counting());
    // A reload alone is no word of the operator's about it.
    assert_eq!(live.reload(), "nothing has changed\n");
    let before = live.now();
    let released = scene.site.output(["plugins", "release", "crash"]);
    assert_eq!(released.code(), 0, "{released}");
    assert!(released.stdout.contains("released: crash, quarantined"), "{released}");
    live.find("it is back", before, |snapshot| snapshot["crash"]["count"] == 3);
    assert!(live.child("crash").is_some());
    let again = scene.site.output(["plugins", "release", "crash"]);
    assert_eq!(again.code(), 1, "{again}");
    assert!(again.stderr.contains("has nothing against it"), "{again}");
    let typo = scene.site.output(["plugins", "release", "crahs"]);
    assert!(typo.code() == 1 && typo.stderr.contains("did you mean `crash`?"), "{typo}");
    // Snapshots of its 50 ms say nothing of theirs.
    for _ in 0..3 {
        let from = live.now();
        live.find("they are read", from, |snapshot| {
            ["near", "far"].iter().all(|name| snapshot[name]["_status"] == "ok")
        });
    }
    live.assert_goes_on("near");
    live.assert_goes_on("far");
    live.end();
}

#[test]
fn collector_that_the_record_holds_in_a_child_moves_back_into_the_agent() {
    let scene = Scene::new();
    // It comes with the agent, so that it runs in it until it has killed one.
    let built = &harness::built().test_plugins["perfwatch_frugal"];
    std::fs::copy(built, scene.site.path("bin/libperfwatch_frugal.so")).unwrap();
    let table = |after: u64| {
        let options = format!("options = {{ does = \"segv\", after = {after} }}");
        scene.configure("", &format!("[collectors.bad]\nplugin = \"frugal\"\n{options}\n"));
    };
    table(1);
    let died = scene.site.output(["run"]);
    assert_eq!(died.status.signal(), Some(11), "{died}");
    table(1_000_000);
    let mut live = scene.start();
    live.find("it is read", 0, |snapshot| snapshot["bad"]["_status"] == "ok");
    assert!(live.child("bad").is_some(), "{}", live.agent.stderr());
    let before = live.now();
    let released = scene.site.output(["plugins", "release", "bad"]);
    assert_eq!(released.code(), 0, "{released}");
    assert!(released.stdout.contains("released: frugal, held in a child"), "{released}");
    let (place, _) = live.find("it begins anew", before, |snapshot| snapshot["bad"]["count"] == 10);
    live.find("it goes on", place, |snapshot| snapshot["bad"]["count"] == 40);
    assert_eq!(live.child("bad"), None, "it runs in the agent");
    let status = live.ask("{\"ask\":\"status\"}");
    let collectors = status["status"]["collectors"].as_array().unwrap();
    let bad = collectors.iter().find(|collector| collector["name"] == "bad").unwrap();
    assert!(["agent", "thread"].iter().any(|place| bad["placement"] == *place), "{bad}");
    assert_eq!(live.reload(), "nothing has changed\n");
    live.assert_on_grid("bad", INTERVAL);
    live.assert_untouched(&STEADY);
    live.end();
}

#[test]
fn collector_that_auto_has_moved_out_of_the_agent_may_move_in_again() {
    let scene = Scene::new();
    scene.site.plugin("wild");
    scene.configure(
        "",
        "[collectors.auto]\nplugin = \"wild\"\nisolation = \"auto\"\noptions = { does = \"panic\", at = \"agent\", after = 2 }\n",
    );
    let mut live = scene.start();
    let moved = |live: &mut super::scene::Live, from: usize, to: &str| {
        let is = |event: &serde_json::Value| event["kind"] == "moved" && event["to"] == to && event["from"] != "thread";
        live.find(&format!("it moves to {to}"), from, |snapshot| events(snapshot, "auto").any(is)).0
    };
    let place = moved(&mut live, 0, "agent");
    let is_out = |snapshot: &serde_json::Value| {
        events(snapshot, "auto").any(|event| event["kind"] == "moved" && event["to"] == "child")
    };
    live.find("it moves out", place, is_out);
    // That stands on record a moment later.
    let record = || std::fs::read_to_string(scene.site.path("state/placement.json")).unwrap_or_default();
    wait_until("it is on record", || record().contains("it panicked") || record().contains("panicked"));
    let before = live.now();
    let released = scene.site.output(["plugins", "release", "auto"]);
    assert_eq!(released.code(), 0, "{released}");
    moved(&mut live, before, "agent");
    live.assert_untouched(&STEADY);
    live.end();
}

#[test]
fn release_takes_up_nothing_of_what_else_has_changed() {
    let scene = Scene::new();
    let library = scene.site.bundled("memory");
    scene.site.write("crash", "count=1\nabort=now");
    let crash = scene.table("crash", "crash", "isolation = \"process\"\ninterval = \"50ms\"");
    scene.configure("", &crash);
    let text = std::fs::read_to_string(scene.site.path("perfwatch.toml")).unwrap();
    scene.site.config(&text.replace("collect = \"named\"", "collect = \"all\""));
    let mut live = scene.start();
    live.event(0, "quarantined", "crash");
    // By a reload it would go, and another come.
    std::fs::remove_file(library).unwrap();
    scene.site.bundled("cpu");
    scene.site.write("crash", counting());
    let before = live.now();
    let released = scene.site.output(["plugins", "release", "crash"]);
    assert_eq!(released.code(), 0, "{released}");
    live.find("it is back", before, |snapshot| snapshot["crash"]["count"] == 3);
    let before = live.now();
    live.find("memory goes on", before, |snapshot| snapshot["memory"]["_status"] == "ok");
    assert!(live.told.iter().all(|snapshot| snapshot.get("cpu").is_none()));
    let told = live.reload();
    assert!(told.contains("+ collector cpu: ") && told.contains("- collector memory\n"), "{told}");
    let (place, _) = live.event(0, "start", "cpu");
    live.more(20);
    assert!(live.told[place..].iter().all(|snapshot| snapshot.get("memory").is_none()));
    live.end();
}
