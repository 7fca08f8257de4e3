//! A library that is another by now: it is started beside the old one, read once and compared, and takes over at the edge of a tick.

use std::fs;

use super::super::hostile::beside::events;
use super::scene::{INTERVAL, Live, STEADY, Scene, counting};
use super::variant::Variant;

const ONE: Variant<'_> = Variant { version: "1.0.0", more: &[("gone", "u64"), ("typed", "u64")], tail: "" };
const TWO: Variant<'_> = Variant { version: "1.1.0", more: &[("added", "u64"), ("typed", "f64")], tail: "" };
const LESS: Variant<'_> = Variant { version: "1.2.0", more: &[("typed", "f64")], tail: "" };

fn scene(isolation: &str, more: &str) -> Scene {
    let scene = Scene::new();
    scene.site.write("swap", counting());
    ONE.install(&scene.site.path("plugins/swap.so"));
    let swap = format!("[collectors.swap]\nisolation = \"{isolation}\"\noptions = {{ script = \"swap\" }}\n{more}\n");
    scene.configure("", &swap);
    scene
}

/// The first reading of who took over, whose growth begins anew, and where it is.
#[track_caller]
fn takes_over(live: &mut Live, from: usize) -> usize {
    let (place, snapshot) = live.find("another takes over", from, |snapshot| snapshot["swap"]["count"] == 1);
    assert!(snapshot["swap"]["count_per_sec"].is_null(), "{snapshot}");
    place
}

#[test]
fn changed_library_takes_over_at_its_next_tick_and_what_is_in_it_is_told() {
    for isolation in ["none", "process", "auto"] {
        let scene = scene(isolation, "");
        let library = scene.site.path("plugins/swap.so");
        let mut live = scene.start();
        if isolation == "auto" {
            live.event(0, "moved", "swap");
        }
        live.more(4);
        let before = live.now();
        TWO.install(&library);
        let told = live.reload();
        assert!(told.contains("~ collector swap: starts anew; library: 1.0.0 (sha256 "), "{told}");
        let (place, event) = live.event(before, "swapped", "swap");
        let build = |key: &str| event[key].as_str().unwrap().to_owned();
        assert!(build("from").starts_with("1.0.0 (sha256 ") && build("to").starts_with("1.1.0 (sha256 "), "{event}");
        assert_eq!(event["cause"], "added: added; gone: gone; retyped: typed (u64 → f64)", "{event}");
        let first = takes_over(&mut live, place);
        // Before, the one; from then on, the other.
        for (number, snapshot) in live.told.iter().enumerate() {
            let Some(section) = snapshot.get("swap") else { continue };
            assert_eq!(section.get("added").is_some(), number >= first, "{isolation}: {snapshot}");
            assert_eq!(section.get("gone").is_some(), number < first, "{isolation}: {snapshot}");
        }
        let before = live.now();
        LESS.install(&library);
        live.reload();
        let (place, event) = live.event(before, "swapped", "swap");
        assert_eq!(event["cause"], "gone: added", "{event}");
        takes_over(&mut live, place);
        // Back to what it was, with the very bytes of before.
        let before = live.now();
        ONE.install(&library);
        live.reload();
        let (place, event) = live.event(before, "swapped", "swap");
        assert_eq!(event["cause"], "added: gone; retyped: typed (f64 → u64)", "{event}");
        takes_over(&mut live, place);
        live.more(4);
        live.assert_untouched(&STEADY);
        // No swap costs a reading.
        live.assert_on_grid("swap", INTERVAL);
        assert!(live.told.iter().all(|snapshot| events(snapshot, "swap").all(|event| event["kind"] != "restart")));
        live.end();
    }
}

#[test]
fn library_of_the_same_bytes_is_the_same_and_its_child_is_not_touched() {
    for isolation in ["none", "process", "auto"] {
        let scene = scene(isolation, "");
        let library = scene.site.path("plugins/swap.so");
        let mut live = scene.start();
        live.more(2);
        let (before, child) = (live.now(), live.child("swap"));
        assert_eq!(child.is_some(), isolation != "none");
        let same = "nothing has changed\n";
        ONE.install(&library);
        assert_eq!(live.reload(), same, "{isolation}: installed again");
        fs::write(&library, ONE.bytes()).unwrap();
        assert_eq!(live.reload(), same, "{isolation}: written over");
        fs::File::options().write(true).open(&library).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(live.reload(), same, "{isolation}: touched");
        if isolation != "auto" {
            live.more(3);
            assert_eq!(live.child("swap"), child);
            assert!(live.told[before..].iter().all(|snapshot| snapshot.get("_events").is_none()));
            live.assert_untouched(&["swap"]);
        }
        live.assert_untouched(&STEADY);
        live.end();
    }
}

#[test]
fn library_takes_over_from_one_that_hangs_in_a_call() {
    for isolation in ["none", "process"] {
        let scene = scene(isolation, "");
        scene.site.write("swap", "count=1\nhang=forever");
        let mut live = scene.start();
        live.find("it hangs", 0, |snapshot| snapshot["swap"]["_status"] == "timeout");
        scene.site.write("swap", counting());
        let before = live.now();
        TWO.install(&scene.site.path("plugins/swap.so"));
        live.reload();
        live.event(before, "swapped", "swap");
        live.find("it goes on", before, |snapshot| snapshot["swap"]["count"] == 3);
        // And once more, beside what still hangs.
        let before = live.now();
        LESS.install(&scene.site.path("plugins/swap.so"));
        live.reload();
        let (place, _) = live.event(before, "swapped", "swap");
        takes_over(&mut live, place);
        live.more(3);
        live.assert_untouched(&STEADY);
        live.end();
    }
}

#[test]
fn library_that_panics_only_later_costs_its_own_section_until_another_is_there() {
    for isolation in ["none", "process"] {
        let scene = scene(isolation, "");
        let mut live = scene.start();
        scene.site.write("swap", "count=1\ncount=2\npanic=later");
        TWO.install(&scene.site.path("plugins/swap.so"));
        live.reload();
        let (place, _) = live.event(0, "swapped", "swap");
        let is_failed = |snapshot: &serde_json::Value| snapshot["swap"]["_error"] == "panicked: later";
        live.find("it panics", place, is_failed);
        let before = live.now();
        scene.site.write("swap", counting());
        LESS.install(&scene.site.path("plugins/swap.so"));
        live.reload();
        live.event(before, "swapped", "swap");
        live.find("it goes on", before, |snapshot| snapshot["swap"]["count"] == 5);
        live.assert_untouched(&STEADY);
        live.end();
    }
}

#[test]
fn one_that_fails_is_replaced_by_one_that_does_no_better() {
    // What runs is of no use: an operator who corrects half of it is not refused.
    let scene = scene("process", "");
    scene.site.write("swap", "error=\"no key\"");
    let mut live = scene.start();
    live.find("it fails", 0, |snapshot| snapshot["swap"]["_error"] == "no key");
    scene.site.write("swap", "error=\"wrong key\"");
    TWO.install(&scene.site.path("plugins/swap.so"));
    live.reload();
    live.find("it fails otherwise", 0, |snapshot| snapshot["swap"]["_error"] == "wrong key");
    live.more(4);
    live.assert_untouched(&STEADY);
    live.end();
}

#[test]
fn two_collectors_of_one_library_are_swapped_together() {
    let scene = Scene::new();
    scene.site.write("swap", counting());
    let library = scene.site.path("plugins/swap.so");
    ONE.install(&library);
    let more = |name: &str, isolation: &str| {
        format!(
            "[collectors.{name}]\nplugin = \"swap\"\nisolation = \"{isolation}\"\noptions = {{ script = \"swap\" }}\n"
        )
    };
    scene.configure("", &(more("one", "none") + &more("two", "process") + &more("three", "none")));
    let mut live = scene.start();
    let before = live.now();
    TWO.install(&library);
    live.reload();
    let places = ["one", "two", "three"].map(|name| live.event(before, "swapped", name).0);
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    live.more(4);
    live.assert_untouched(&STEADY);
    ["one", "two", "three"].iter().for_each(|name| live.assert_on_grid(name, INTERVAL));
    live.end();
}
