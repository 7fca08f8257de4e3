//! `isolation = "auto"`: what shows itself in a child moves into the agent, and out of it for what it does there.

use serde_json::Value;

use super::beside::{Scene, events, tick};

const IN: &str = "10 good readings in a child";

#[test]
fn what_shows_itself_in_a_child_moves_into_the_agent_and_stays() {
    let mut scene = Scene::new(250);
    scene.wild("calm", "nothing", "\nisolation = \"auto\"");
    let mut beside = scene.start();
    let (event, told) = beside.event("calm", "moved", IN);
    assert_eq!((&event["from"], &event["to"]), (&"child".into(), &"agent".into()));
    // Another instance: its growth begins anew.
    let from = tick(&told);
    let first = beside.find("a reading in the agent", |snapshot| {
        tick(snapshot) >= from && snapshot["calm"]["_status"] == "ok" && snapshot["calm"]["count"] == 10
    });
    assert!(first["calm"]["clock_per_sec"].is_null(), "{first}");
    assert!(in_the_agent(&beside.books()));
    // That its child is let go of is no death of it.
    let mut since = beside.told.iter().filter(|snapshot| tick(snapshot) >= from);
    assert!(since.all(|snapshot| events(snapshot, "calm").all(|event| event["kind"] != "restart")));
    let log = beside.end();
    assert!(log.contains("called in the agent from now on"), "{log}");
    // It is known at the next start.
    let mut beside = scene.start();
    beside.find("goes on in the agent", |snapshot| snapshot["calm"]["count"].as_u64() >= Some(150));
    let from_a_child = |snapshot: &Value| events(snapshot, "calm").any(|event| event["from"] == "child");
    assert!(!beside.told.iter().any(from_a_child));
    assert!(in_the_agent(&beside.books()));
    beside.end();
}

/// In a thread of its own it is where the machine is so busy that a call of it took longer than it should.
fn in_the_agent(books: &Value) -> bool {
    ["agent", "thread"].iter().any(|place| books["collectors"]["calm"]["placement"] == *place)
}

#[test]
fn what_goes_wrong_in_the_agent_is_called_in_a_child_for_good() {
    let ways = [("panic", "it panicked"), ("hang", "it hung"), ("rows", "it broke its budget")];
    let mut scene = Scene::new(250);
    for (way, _) in ways {
        scene.wild(way, way, ", at = \"agent\", after = 2\nisolation = \"auto\"\nbudget = { rows = 50 }");
    }
    let mut beside = scene.start();
    for (way, why) in ways {
        beside.event(way, "moved", IN);
        let (event, told) = beside.event(way, "moved", why);
        assert!(event["to"] == "child" && event["from"] != "child", "{event}");
        let from = tick(&told);
        let anew = beside.find(&format!("{way} is ok in a child"), |snapshot| {
            tick(snapshot) >= from && snapshot[way]["_status"] == "ok"
        });
        assert!(anew[way]["clock_per_sec"].is_null(), "{}", anew[way]);
    }
    let books = beside.books();
    for (way, _) in ways {
        assert_eq!(books["collectors"][way]["placement"], "child", "{books}");
        let moves =
            beside.told.iter().flat_map(|snapshot| events(snapshot, way)).filter(|event| event["kind"] == "moved");
        let moves = moves.filter(|event| event["to"] != "thread").count();
        assert_eq!(moves, 2, "{way} moved in and out");
    }
    let log = beside.end();
    assert!(log.contains("called in the agent from now on: 10 good readings"), "{log}");
    for (_, why) in ways {
        assert!(log.contains(&format!("called in a child from now on: {why}")), "{why}: {log}");
    }
    // All of one library, which is on record.
    let mut beside = scene.start();
    for (way, _) in ways {
        beside.section(way, "ok", "");
        beside.child(way);
    }
    let log = beside.end();
    for (way, _) in ways {
        assert!(log.contains(&format!("perfwatch plugins release {way}")), "{way}: {log}");
    }
}

#[test]
fn what_ends_the_agent_after_it_has_moved_in_does_so_once() {
    let mut scene = Scene::new(250);
    scene.wild("late", "segv", ", at = \"agent\", after = 2\nisolation = \"auto\"");
    let finished = scene.run_to_its_end();
    assert!(finished.stdout.contains(IN), "{finished}");
    let mut beside = scene.start();
    beside.find("more good readings than it takes", |snapshot| snapshot["late"]["count"].as_u64() >= Some(150));
    let moved = beside.told.iter().flat_map(|snapshot| events(snapshot, "late")).any(|event| event["kind"] == "moved");
    assert!(!moved, "it has a past");
    beside.end();
}
