//! A line of JSON as a program that reads snapshots gets it.

use std::fs;

use perfwatch::snapshot::read::AggregatedSnapshot;

use crate::{files, root};

pub(crate) const WORDS: &[&str] = &[
    "\"_status\":\"ok\"",
    "\"_errors\":{}",
    "\"_since\":null",
    "\"timestamp\":\"2026-11-24T03:30:05.000Z\"",
    "\"1970-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59Z\"",
    "\"2554-07-21T23:34:33.709551615Z\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "1e308",
    "-0",
    "\\u0000",
    "\\ud800",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let golden =
        files(&root().join("tests/golden"), &|path| path.extension().is_some_and(|extension| extension == "json"));
    golden.iter().filter_map(|path| fs::read(path).ok()).filter(|text| text.len() < 64 << 10).collect()
}

pub(crate) fn run(input: &[u8]) {
    let Ok(read) = serde_json::from_slice::<AggregatedSnapshot>(input) else { return };
    let again = serde_json::to_string(&read).expect("what was read has a JSON text");
    let again: AggregatedSnapshot = serde_json::from_str(&again).expect("and that is a snapshot");
    assert_eq!((again.sequence, &again.run, &again.labels), (read.sequence, &read.run, &read.labels));
    assert!(again.sections.keys().eq(read.sections.keys()) && again.events == read.events);
    assert_eq!(read.rows().count(), read.sections.len());
}
