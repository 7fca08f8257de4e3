//! Collectors, labels and intervals that change: each as the plan says, and the rest goes on.

use rustix::process::Signal;
use serde_json::Value;

use super::super::hostile::beside::{events, tick};
use super::scene::{Live, STEADY, Scene};

/// `changed` and `timed` as they are at the start, beside one that will go.
fn at_the_start(scene: &Scene) {
    scene.site.write("one", "value=1");
    scene.site.write("two", "value=2");
    let rest = scene.table("gone", "counting", "isolation = \"process\"")
        + &scene.table("changed", "one", "isolation = \"none\"")
        + &scene.table("timed", "counting", "isolation = \"none\"");
    scene.configure("", &rest);
}

fn afterwards(scene: &Scene) {
    let rest = scene.table("changed", "two", "isolation = \"none\"")
        + &scene.table("timed", "counting", "isolation = \"none\"\ninterval = \"1s\"")
        + &scene.table("come", "counting", "isolation = \"process\"");
    scene.configure("", &rest);
}

/// Holds all that was told to the change that [`afterwards`] is.
fn assert_changed(live: &mut Live, from: usize) {
    let (place, event) = live.reload_event(from);
    assert_eq!((&event["count"], event.get("cause")), (&4.into(), None), "{event}");
    let (left, event) = live.event(from, "reload", "gone");
    assert!(left == place && event["cause"] == "it ends", "{event}");
    let (came, _) = live.event(from, "start", "come");
    assert_eq!(came, place, "who comes is read at once");
    assert_eq!(live.told[came]["come"]["count"], 1, "{}", live.told[came]);
    let (_, event) = live.event(from, "reload", "changed");
    assert_eq!(event["cause"], "options.script: \"one\" → \"two\"", "{event}");
    live.find("changed is another", from, |snapshot| snapshot["changed"]["value"] == 2.0);
    live.more(8);
    let after = &live.told[place + 1..];
    assert!(live.told[place..].iter().all(|snapshot| snapshot.get("gone").is_none()));
    assert!(after.iter().filter_map(|snapshot| snapshot["changed"]["value"].as_f64()).all(|value| value == 2.0));
    for snapshot in after.iter().filter(|snapshot| snapshot.get("timed").is_some()) {
        assert!(tick(snapshot).is_multiple_of(1000), "{snapshot}");
    }
    assert!(after.iter().any(|snapshot| snapshot.get("timed").is_none()), "twice as often as before");
    live.assert_untouched(&STEADY);
    live.assert_goes_on("timed");
    live.assert_goes_on("come");
    // Who replaces another is not late by that.
    live.assert_on_grid("changed", super::scene::INTERVAL);
}

#[test]
fn what_comes_goes_changes_and_is_retimed_does_and_nothing_else_is_touched() {
    let scene = Scene::new();
    at_the_start(&scene);
    let mut live = scene.start();
    afterwards(&scene);
    let planned = scene.site.output(["config", "diff"]);
    assert_eq!((planned.code(), &*planned.stderr), (0, ""), "{planned}");
    for line in [
        "~ collector changed: starts anew; options.script: \"one\" → \"two\"\n",
        "~ collector timed: goes on; interval: 500ms → 1s, timeout: 400ms → 800ms\n",
        "+ collector come: plugin mock, every 500ms, isolation process\n",
        "- collector gone\n",
    ] {
        assert!(planned.stdout.contains(line), "{line}{planned}");
    }
    // A plan is only a plan.
    let before = live.now();
    live.more(4);
    for snapshot in &live.told[before..] {
        assert!(snapshot.get("_events").is_none() && snapshot.get("come").is_none(), "{snapshot}");
        assert!(snapshot["gone"]["_status"] == "ok" && snapshot["changed"]["value"] == 1.0, "{snapshot}");
    }
    let before = live.now();
    let reloaded = scene.site.output(["reload"]);
    assert_eq!((reloaded.code(), &*reloaded.stdout, &*reloaded.stderr), (0, &*planned.stdout, ""), "{reloaded}");
    assert_changed(&mut live, before);
    let nothing = scene.site.output(["config", "diff"]);
    assert_eq!((nothing.code(), &*nothing.stdout), (0, "nothing would change\n"), "{nothing}");
    live.end();
}

#[test]
fn sighup_does_what_a_reload_does() {
    let scene = Scene::new();
    at_the_start(&scene);
    let mut live = scene.start();
    afterwards(&scene);
    let before = live.now();
    live.agent.signal(Signal::HUP);
    assert_changed(&mut live, before);
    live.end();
}

#[test]
fn reload_of_what_has_not_changed_touches_nothing_and_tells_nothing() {
    let scene = Scene::new();
    scene.configure("", "");
    let mut live = scene.start();
    let (before, child) = (live.now(), live.child("far"));
    for _ in 0..5 {
        assert_eq!(live.reload(), "nothing has changed\n");
        live.more(1);
    }
    live.more(3);
    assert!(live.told[before..].iter().all(|snapshot| snapshot.get("_events").is_none()));
    assert_eq!(live.child("far"), child);
    live.assert_untouched(&STEADY);
    live.end();
}

#[test]
fn other_labels_and_another_host_are_in_whole_snapshots_of_the_same_run() {
    let scene = Scene::new();
    scene.configure("hostname = \"one\"\nlabels = { site = \"a\" }", "");
    let mut live = scene.start();
    scene.configure("hostname = \"two\"\nlabels = { site = \"b\", rack = \"7\" }", "");
    live.reload();
    let before = live.now();
    let is_new = |snapshot: &Value| snapshot["host"] == "two";
    let (place, _) = live.find("another host", before, is_new);
    live.more(4);
    for (number, snapshot) in live.told.iter().enumerate() {
        let (host, labels) =
            if number < place { ("one", "{\"site\":\"a\"}") } else { ("two", "{\"rack\":\"7\",\"site\":\"b\"}") };
        let labels: Value = serde_json::from_str(labels).unwrap();
        assert!(snapshot["host"] == host && snapshot["labels"] == labels, "{snapshot}");
    }
    live.assert_untouched(&STEADY);
    live.end();
}

#[test]
fn another_interval_of_the_agent_retimes_all_and_starts_none_anew() {
    let scene = Scene::new();
    scene.configure("", "");
    let mut live = scene.start();
    let child = live.child("far");
    let text = std::fs::read_to_string(scene.site.path("perfwatch.toml")).unwrap();
    scene.site.config(&text.replace("interval = \"500ms\"", "interval = \"400ms\""));
    let told = live.reload();
    assert!(
        STEADY.iter().all(|name| told.contains(&format!("~ collector {name}: goes on; interval: 500ms → 400ms"))),
        "{told}"
    );
    let (place, _) = live.reload_event(0);
    live.more(5);
    assert!(live.told[place + 1..].iter().all(|snapshot| tick(snapshot).is_multiple_of(400)));
    STEADY.iter().for_each(|name| live.assert_goes_on(name));
    assert_eq!(live.child("far"), child);
    live.end();
}

#[test]
fn collector_that_goes_and_comes_again_begins_anew_at_once() {
    let scene = Scene::new();
    let guest = |isolation| scene.table("guest", "counting", &format!("isolation = \"{isolation}\""));
    for isolation in ["none", "process"] {
        scene.configure("", &guest(isolation));
        let mut live = scene.start();
        for _ in 0..3 {
            scene.configure("", "");
            live.reload();
            let before = live.now();
            live.more(2);
            assert_eq!(live.child("guest"), None);
            scene.configure("", &guest(isolation));
            live.reload();
            let (place, _) = live.event(before, "start", "guest");
            assert_eq!(live.told[place]["guest"]["count"], 1, "{}", live.told[place]);
            assert!(live.told[place]["guest"]["count_per_sec"].is_null(), "{}", live.told[place]);
            live.more(2);
        }
        assert!(live.told.iter().all(|snapshot| events(snapshot, "guest").all(|event| event["kind"] != "restart")));
        live.assert_untouched(&STEADY);
        live.end();
    }
}
