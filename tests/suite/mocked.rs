//! An agent with one collector that plays a script, and what the tests of its output need.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use harness::{DEADLINE, Site, jsonb};
use serde_json::Value;

/// A site whose collector `mock` plays the script every `interval`, with the rest of a config.
pub fn mocked(interval: &str, script: &str, rest: &str) -> Site {
    let site = Site::new();
    site.plugin("mock");
    site.write("script", script);
    site.config(&format!(
        "[agent]\ninterval = \"{interval}\"\ncollect = \"named\"\n\
         [collectors.mock]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = \"script\" }}\n{rest}",
    ));
    site
}

/// Waits until this holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "for {DEADLINE:?} not so: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The snapshots of a file of whole lines.
#[track_caller]
pub fn snapshots(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    jsonb::snapshots(&text)
}

/// Lines of a file; none where it is not there.
pub fn lines(path: &Path) -> usize {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// How many snapshots these say were lost before them.
pub fn gap(snapshot: &Value) -> u64 {
    let events = snapshot["_events"].as_array().into_iter().flatten();
    events.filter(|event| event["kind"] == "gap").map(|event| event["count"].as_u64().unwrap()).sum()
}

/// Holds snapshots of one run to the promise that each follows the one before, but for those that a gap says were lost. The number
/// that were lost.
#[track_caller]
pub fn assert_told_whole(snapshots: &[Value]) -> u64 {
    let mut lost = 0;
    for pair in snapshots.windows(2) {
        assert_eq!(pair[0]["run"], pair[1]["run"]);
        let [one, next] = [0, 1].map(|place| pair[place]["sequence"].as_u64().unwrap());
        assert_eq!(
            next - one - 1,
            gap(&pair[1]),
            "what is lost between {one} and {next} is not what is told: {}",
            pair[1]
        );
        lost += gap(&pair[1]);
    }
    lost
}
