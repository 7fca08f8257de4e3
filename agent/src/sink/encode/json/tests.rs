use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::{IntoCell, host_side::manifest::Manifest};
use serde_json::{Map, Value as Data, json};

use super::*;
use crate::snapshot::draft::{Draft, schema};
use crate::snapshot::{EventKind, Identity, Schema, Status};

mod any;
mod known;
#[path = "../../../../../tests/harness/strict.rs"]
mod strict;

const MANIFEST: &str = r#"
[options.sockets]
type = "bool"
default = true
description = "d"
[metrics.usage]
unit = "%"
description = "d"
[metrics."tcp.established"]
type = "u64"
unit = "1"
when = "sockets"
description = "d"
[metrics.signed]
type = "i64"
unit = "1"
description = "d"
[metrics."tcp.by.age"]
type = "bool"
description = "d"
[metrics.health]
kind = "state"
values = ["good", "so \"so\"", "bad"]
description = "d"
[metrics.boot]
kind = "time"
description = "d"
[metrics.model]
kind = "info"
description = "d"
[metrics.raw]
kind = "counter"
unit = "1"
rate = "raw_per_sec"
json = false
description = "d"
[tables.mounts]
key = "mount"
description = "d"
[tables.mounts.columns.raw]
type = "u64"
unit = "1"
json = false
description = "d"
[tables.mounts.columns.device]
type = "text"
description = "d"
[tables.mounts.columns.total]
type = "u64"
unit = "By"
description = "d"
[tables.mounts.columns.sockets]
type = "u64"
unit = "1"
when = "sockets"
description = "d"
[tables.tasks]
key = ["pid", "name"]
description = "d"
[tables.tasks.columns.cpu]
unit = "1"
description = "d"
[tables.tasks.columns.state]
kind = "state"
values = ["running", "asleep"]
description = "d"
[tables.tasks.columns.since]
kind = "time"
description = "d"
[tables.peers]
key = "peer"
when = "sockets"
description = "d"
[tables.peers.columns.count]
type = "u64"
unit = "1"
description = "d"
"#;

/// What is left where `sockets` is off.
fn without_sockets() -> Arc<Schema> {
    let text = format!("contract = \"1.0\"\n[plugin]\nname = \"mock\"\ndescription = \"d\"\n{MANIFEST}");
    Arc::new(Schema::new(Arc::new(Manifest::parse(&text).unwrap()), |_| false))
}

fn draft() -> Draft {
    Draft::new(&schema(MANIFEST))
}

fn snapshot(sections: Vec<Section>) -> Snapshot {
    let labels = vec![("env".to_owned(), "prod".to_owned())];
    let identity = Identity { host: Some("web-1".to_owned()), run: "5f0c".to_owned(), labels };
    let sections = sections.into_iter().map(Arc::new).collect();
    let timestamp = Wall(1_795_491_005_000_000_000);
    Snapshot {
        timestamp,
        sequence: 42,
        identity: Arc::new(identity),
        sections,
        roster: Arc::default(),
        events: Vec::new(),
    }
}

fn line(snapshot: &Snapshot, gap: u64) -> String {
    String::from_utf8(Json::default().line(snapshot, gap).into()).unwrap()
}

fn strict(line: &str) -> Data {
    strict::value(line).unwrap_or_else(|told| panic!("{told}: {line}"))
}

/// The section of a reading, as data.
fn section(draft: &Draft) -> Data {
    strict(&line(&snapshot(vec![draft.section("mock", 0)]), 0))["mock"].clone()
}

/// The same without its `_` keys.
fn metrics(draft: &Draft) -> Map<String, Data> {
    let all = section(draft).as_object().unwrap().clone();
    all.into_iter().filter(|(key, _)| !key.starts_with('_')).collect()
}

#[test]
fn line_is_an_envelope_then_what_happened_then_the_sections() {
    let mut cpu =
        Draft::new(&schema("[metrics.usage]\nunit = \"%\"\ndescription = \"d\"")).set("usage", 12.5).section("cpu", 0);
    cpu.at = Some(Wall(1_795_491_005_000_112_999));
    cpu.took = Some(Duration::from_nanos(61_250));
    cpu.window = Some(Duration::from_secs(1));
    let mut disk = draft().section("disk", 1);
    (disk.status, disk.since, disk.error) =
        (Status::Timeout, Some(Wall(1_795_491_001_000_000_000)), "no answer".into());
    let mut snapshot = snapshot(vec![cpu, disk]);
    snapshot.events.push(Event { count: Some(2), ..Event::new(EventKind::Missed) });
    let wanted = concat!(
        r#"{"timestamp":"2026-11-24T03:30:05.000Z","host":"web-1","run":"5f0c","sequence":42,"labels":{"env":"prod"},"#,
        r#""_events":[{"kind":"gap","count":3},{"kind":"missed","count":2}],"#,
        r#""cpu":{"_status":"ok","_timestamp":"2026-11-24T03:30:05.000112Z","_duration_seconds":0.00006125,"_window_seconds":1.0,"usage":12.5},"#,
        r#""disk":{"_status":"timeout","_since":"2026-11-24T03:30:01.000Z","_error":"no answer"}}"#,
        "\n"
    );
    assert_eq!(line(&snapshot, 3), wanted);
}

#[test]
fn unknown_host_is_null_and_no_news_is_no_key() {
    let mut snapshot = snapshot(vec![]);
    snapshot.identity = Arc::new(Identity { host: None, run: "5f0c".to_owned(), labels: Vec::new() });
    let wanted =
        json!({"timestamp": "2026-11-24T03:30:05.000Z", "host": null, "run": "5f0c", "sequence": 42, "labels": {}});
    assert_eq!(strict(&line(&snapshot, 0)), wanted);
}

#[test]
fn event_has_the_keys_that_say_something() {
    let mut snapshot = snapshot(vec![]);
    let all = Event {
        kind: EventKind::Moved,
        collector: Some("disk".into()),
        from: Some("agent".into()),
        to: Some("thread".into()),
        count: Some(0),
        cause: Some("\"slow\"".into()),
    };
    snapshot.events = vec![Event::new(EventKind::Start), all];
    let moved =
        json!({"kind": "moved", "collector": "disk", "from": "agent", "to": "thread", "count": 0, "cause": "\"slow\""});
    assert_eq!(strict(&line(&snapshot, 0))["_events"], json!([{"kind": "start"}, moved]));
}

#[test]
fn what_is_not_known_is_null_and_always_there() {
    let wanted = json!({
        "usage": null, "tcp": {"established": null, "by": {"age": null}}, "signed": null, "health": null, "boot": null,
        "model": null, "raw_per_sec": null, "mounts": {"/": {"device": null, "total": null, "sockets": null}},
        "tasks": {}, "peers": {},
    });
    assert_eq!(Data::from(metrics(&draft().row("mounts", &["/"], &[]))), wanted);
}

#[test]
fn value_is_written_as_its_metric_declares() {
    let draft = draft()
        .set("usage", 7u64)
        .set("tcp.established", u64::MAX)
        .set("signed", i64::MIN)
        .set("tcp.by.age", true)
        .set("health", 1u64)
        .set("boot", 1_795_491_005_123_456_789u64)
        .set_text("model", "a \"b\"\\\n\u{1}\u{7f}\u{e4}");
    let metrics = metrics(&draft);
    assert_eq!(metrics["usage"], json!(7.0));
    assert_eq!(metrics["tcp"], json!({"established": u64::MAX, "by": {"age": true}}));
    assert_eq!((&metrics["signed"], &metrics["health"]), (&json!(i64::MIN), &json!("so \"so\"")));
    assert_eq!(metrics["boot"], "2026-11-24T03:30:05.123Z");
    assert_eq!(metrics["model"], "a \"b\"\\\n\u{1}\u{7f}\u{e4}");
}

#[test]
fn what_an_option_turns_off_and_what_is_not_for_json_is_absent() {
    let row = [("total", 1u64.into_cell()), ("sockets", 2u64.into_cell()), ("raw", 3u64.into_cell())];
    let draft = Draft::new(&without_sockets())
        .set("raw", 1u64)
        .set("tcp.established", 1u64)
        .row("mounts", &["/"], &row)
        .row("peers", &["x"], &[])
        .row_failed("no answer");
    let metrics = metrics(&draft);
    let keys: BTreeSet<_> = metrics.keys().map(String::as_str).collect();
    let wanted = ["usage", "tcp", "signed", "health", "boot", "model", "raw_per_sec", "mounts", "tasks"];
    assert_eq!(keys, BTreeSet::from(wanted));
    assert_eq!(
        (&metrics["tcp"], &metrics["mounts"]),
        (&json!({"by": {"age": null}}), &json!({"/": {"device": null, "total": 1}}))
    );
    assert_eq!(section(&draft).get("_errors"), None, "nor is what failed of it");
}

#[test]
fn keys_of_every_length_are_written_whole() {
    let names: Vec<_> = (1..=63).map(|length| "x".repeat(length)).collect();
    let metrics_of = |kind: &str| -> String {
        names.iter().map(|name| format!("[{kind}.{name}]\ntype = \"bool\"\ndescription = \"d\"\n")).collect()
    };
    let table = format!("[tables.t]\nkey = \"k\"\ndescription = \"d\"\n{}", metrics_of("tables.t.columns"));
    let written = metrics(&Draft::new(&schema(&(metrics_of("metrics") + &table))).row("t", &["r"], &[]));
    let all: Map<_, _> = names.iter().map(|name| (name.clone(), Data::Null)).collect();
    assert_eq!(written["t"]["r"], Data::from(all.clone()));
    assert_eq!(written.into_iter().filter(|(name, _)| name != "t").collect::<Map<_, _>>(), all);
}

#[test]
fn objects_of_nothing_are_absent() {
    let schema = schema(
        "[options.on]\ntype = \"bool\"\ndefault = true\ndescription = \"d\"\n[metrics.\"a.b\"]\ntype = \"bool\"\nwhen = \"!on\"\ndescription = \"d\"\n[metrics.c]\ntype = \"bool\"\ndescription = \"d\"",
    );
    assert_eq!(Data::from(metrics(&Draft::new(&schema))), json!({"c": null}));
}

#[test]
fn row_keys_are_never_split_and_one_that_begins_with_an_underscore_gets_one_more() {
    let mut draft = draft();
    for key in ["eth0.100", "_", "_status", "__x", "x_", "\"q\"", "a\0b"] {
        draft = draft.row("mounts", &[key], &[]);
    }
    let mounts = metrics(&draft)["mounts"].clone();
    let keys: BTreeSet<_> = mounts.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["eth0.100", "__", "__status", "___x", "x_", "\"q\"", "a\u{fffd}b"]));
}

#[test]
fn rows_stand_in_the_order_in_which_they_were_reported() {
    let mut draft = draft();
    for key in ["/z", "/a", "/m"] {
        draft = draft.row("mounts", &[key], &[]).row("peers", &[key], &[]);
    }
    let line = line(&snapshot(vec![draft.section("mock", 0)]), 0);
    let places: Vec<_> = ["\"/z\"", "\"/a\"", "\"/m\""].map(|key| line.find(key).unwrap()).into();
    assert!(places.is_sorted(), "{line}");
}

#[test]
fn several_keys_nest_in_their_order() {
    let task = |cpu: f64| json!({"cpu": cpu, "state": null, "since": null});
    let cpu = |value: f64| [("cpu", value.into_cell())];
    let draft = draft().row("tasks", &["7", "init"], &cpu(0.5)).row("tasks", &["9", "sh"], &cpu(1.0)).row(
        "tasks",
        &["7", "_x"],
        &cpu(0.25),
    );
    let wanted = json!({"7": {"init": task(0.5), "__x": task(0.25)}, "9": {"sh": task(1.0)}});
    assert_eq!(metrics(&draft)["tasks"], wanted);
}

#[test]
fn what_failed_stands_under_the_keys_that_it_has_in_the_data() {
    let mut draft = draft()
        .row("mounts", &["_nfs"], &[])
        .row_failed("slow")
        .row_failed("stalled")
        .row("mounts", &["/"], &[])
        .row("tasks", &["7", "a/b"], &[])
        .row_failed("gone")
        .row("tasks", &["7/a", "b"], &[])
        .row_failed("gone, too")
        .part_failed("sensors", "first")
        .part_failed("sensors", "no driver");
    let mut section_of = draft.section("mock", 0);
    section_of.status = Status::Partial;
    let data = strict(&line(&snapshot(vec![section_of]), 0))["mock"].clone();
    let wanted = json!({
        "mounts": {"__nfs": "stalled"}, "tasks": {"7": {"a/b": "gone"}, "7/a": {"b": "gone, too"}}, "sensors": "no driver",
    });
    assert_eq!(data["_errors"], wanted);
    assert!(data["mounts"]["__nfs"].is_object() && data["tasks"]["7/a"]["b"].is_object());
    draft.notes.clear();
    assert_eq!(section(&draft).get("_errors"), None);
}

#[test]
fn part_that_is_called_like_a_table_stands_beside_its_rows() {
    let draft = draft()
        .row("mounts", &["/"], &[])
        .row_failed("stalled")
        .part_failed("mounts", "no list")
        .part_failed("_mounts", "odd")
        .part_failed("tasks", "no list");
    let wanted = json!({"mounts": {"/": "stalled"}, "_mounts": "no list", "__mounts": "odd", "_tasks": "no list"});
    assert_eq!(section(&draft)["_errors"], wanted);
}

#[test]
fn section_has_metrics_only_where_there_is_a_reading() {
    for status in Status::ALL {
        let mut of_status = draft().part_failed("fan", "stuck").section("mock", 0);
        of_status.status = status;
        let data = strict(&line(&snapshot(vec![of_status]), 0))["mock"].clone();
        assert_eq!(data["_status"], status.word());
        let metrics = data.as_object().unwrap().keys().filter(|key| !key.starts_with('_')).count();
        let wanted = if matches!(status, Status::Ok | Status::Partial) { 9 + 1 } else { 0 };
        assert_eq!((metrics, data.get("_errors").is_some()), (wanted, wanted > 0), "{status:?}");
    }
}
