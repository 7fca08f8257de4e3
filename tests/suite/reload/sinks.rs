//! Sinks that come, go and change: what each writes is whole.

use std::fs;
use std::path::Path;

use harness::jsonb;
use serde_json::Value;

use super::super::mocked::{lines, snapshots, wait_until};
use super::scene::{STEADY, Scene};

const STDOUT: &str = "[sinks.out]\ntype = \"stdout\"\nformat = \"json\"\n";

fn file(name: &str, path: &str, more: &str) -> String {
    format!("[sinks.{name}]\ntype = \"file\"\npath = \"{path}\"\nmin_free = \"0B\"\n{more}\n")
}

fn sequence(snapshot: &Value) -> u64 {
    snapshot["sequence"].as_u64().unwrap()
}

/// The sequences that a file sink has written, in the file and in those that it has put aside.
fn sequences(folder: &Path) -> Vec<u64> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files.flat_map(|path| snapshots(&path)).map(|snapshot| sequence(&snapshot)).collect();
    all.sort_unstable();
    all
}

/// Holds them to the promise that none is lost and none is there twice.
#[track_caller]
fn assert_whole(sequences: &[u64]) {
    let broken: Vec<_> = sequences.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(broken.is_empty() && !sequences.is_empty(), "{broken:?} of {sequences:?}");
}

#[test]
fn sinks_that_come_go_and_change_in_place_lose_nothing_and_write_nothing_twice() {
    let scene = Scene::new();
    let all = |sinks: &[String]| scene.configure("", &(STDOUT.to_owned() + &sinks.concat()));
    let small = "rotate = { size = \"4KiB\" }\nkeep = { files = 1000 }";
    for folder in ["a", "b"] {
        fs::create_dir(scene.site.path(folder)).unwrap();
    }
    all(&[file("a", "a/s.jsonl", "")]);
    let mut live = scene.start();
    live.more(3);
    for (sinks, told) in [
        (vec![file("a", "a/s.jsonl", ""), file("b", "b/s.jsonl", "")], "+ sink b: file\n"),
        (vec![file("a", "a/s.jsonl", small), file("b", "b/s.jsonl", "")], "~ sink a: opened anew; "),
        (vec![file("a", "a/s.jsonl", "compress = \"none\"\nkeep = { files = 1000 }")], "- sink b\n"),
        (vec![file("renamed", "a/s.jsonl", "keep = { files = 1000 }")], "+ sink renamed: file\n"),
        (vec![file("renamed", "a/s.jsonl", small)], "~ sink renamed: opened anew; "),
    ] {
        all(&sinks);
        let text = live.reload();
        assert!(text.contains(told), "{told}: {text}");
        live.more(8);
    }
    live.assert_untouched(&STEADY);
    let ended = live.end();
    let last = sequence(ended.told.last().unwrap());
    let a = sequences(&scene.site.path("a"));
    assert_whole(&a);
    assert_eq!((a.first(), a.last()), (Some(&0), Some(&last)));
    assert!(fs::read_dir(scene.site.path("a")).unwrap().count() > 2, "it is put aside at 4 KiB");
    // What came later and left earlier has all of its time.
    let b = sequences(&scene.site.path("b"));
    assert_whole(&b);
    assert!(b.len() >= 16 && b[0] > 0 && *b.last().unwrap() < last, "{b:?}");
}

#[test]
fn two_sinks_that_change_places_lose_nothing() {
    let scene = Scene::new();
    for folder in ["a", "b"] {
        fs::create_dir(scene.site.path(folder)).unwrap();
    }
    let paths = |one: &str, two: &str| {
        scene.configure("", &(STDOUT.to_owned() + &file("one", one, "") + &file("two", two, "")));
    };
    paths("a/s.jsonl", "b/s.jsonl");
    let mut live = scene.start();
    live.more(2);
    paths("b/s.jsonl", "a/s.jsonl");
    live.reload();
    live.more(3);
    live.assert_untouched(&STEADY);
    live.end();
    for folder in ["a", "b"] {
        let mut written = sequences(&scene.site.path(folder));
        assert_eq!(written[0], 0);
        assert_whole(&written);
        written.dedup();
        assert_eq!(written.len(), sequences(&scene.site.path(folder)).len());
    }
}

#[test]
fn format_of_standard_output_changes_between_two_snapshots() {
    let scene = Scene::new();
    fs::create_dir(scene.site.path("a")).unwrap();
    let format = |format: &str, name: &str| {
        let out = format!("[sinks.{name}]\ntype = \"stdout\"\nformat = \"{format}\"\n");
        scene.configure("", &(out + &file("a", "a/s.jsonl", "")));
    };
    format("json", "out");
    let live = scene.start();
    format("table", "out");
    live.reload();
    let written = || lines(&scene.site.path("a/s.jsonl"));
    let before = written();
    wait_until("some tables", || written() > before + 4);
    format("json", "out");
    live.reload();
    let before = written();
    wait_until("some lines", || written() > before + 4);
    // Another name is another sink, which writes to the same.
    format("json", "other");
    live.reload();
    let before = written();
    wait_until("some lines", || written() > before + 4);
    live.agent.signal(rustix::process::Signal::TERM);
    let (told, agent) = (live.told, live.agent);
    let finished = agent.wait();
    assert_eq!(finished.code(), 0, "{finished}");
    let (lines, tables): (Vec<&str>, Vec<&str>) = finished.stdout.lines().partition(|line| line.starts_with('{'));
    assert!(tables.iter().any(|line| line.contains("near")), "{finished}");
    let mut json: Vec<_> = told.iter().map(sequence).collect();
    json.extend(lines.iter().map(|line| sequence(&jsonb::snapshot(line).unwrap())));
    let whole = sequences(&scene.site.path("a"));
    assert_whole(&whole);
    // What came as tables is missing once, between the two.
    let holes: Vec<_> = json.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(holes.len() == 1 && holes[0][1] > holes[0][0], "{holes:?} of {json:?}");
    assert_eq!(json.last(), whole.last());
}

#[test]
fn reload_that_would_leave_no_sink_is_refused() {
    let scene = Scene::new();
    scene.configure("", STDOUT);
    let mut live = scene.start();
    scene.configure("", &STDOUT.replace("type", "enabled = false\ntype"));
    let told = live.refused(78);
    assert!(told.contains("no sink is left to write to"), "{told}");
    live.more(3);
    live.assert_untouched(&STEADY);
    live.end();
}
