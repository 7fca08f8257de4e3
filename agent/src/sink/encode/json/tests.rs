use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::Limits;
use plugin_api::{IntoCell, host_side::manifest::Manifest};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Data, json};

use super::*;
use crate::snapshot::describe::json_schema;
use crate::snapshot::describe::tests::validate;
use crate::snapshot::draft::{Draft, schema};
use crate::snapshot::read::AggregatedSnapshot;
use crate::snapshot::{EventKind, Identity, Status};

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

/// JSON that a JSONB column takes and keeps whole: no key comes twice, no text has U+0000.
#[derive(Debug, PartialEq)]
struct Jsonb(Data);

impl<'de> Deserialize<'de> for Jsonb {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Jsonb, D::Error> {
        struct Strict;
        impl<'de> Visitor<'de> for Strict {
            type Value = Data;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSONB")
            }

            fn visit_unit<E>(self) -> Result<Data, E> {
                Ok(Data::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
                Ok(value.into())
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Data, E> {
                if value.is_finite() { Ok(value.into()) } else { Err(E::custom("a number is not finite")) }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Data, E> {
                if text.contains('\0') { Err(E::custom("a text has U+0000")) } else { Ok(text.into()) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Data, A::Error> {
                let mut list = Vec::new();
                while let Some(Jsonb(value)) = from.next_element()? {
                    list.push(value);
                }
                Ok(list.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Data, A::Error> {
                let mut map = Map::new();
                while let Some((Jsonb(key), Jsonb(value))) = from.next_entry()? {
                    let key = key.as_str().unwrap_or_default().to_owned();
                    if map.insert(key.clone(), value).is_some() {
                        return Err(de::Error::custom(format!("key {key:?} comes twice")));
                    }
                }
                Ok(map.into())
            }
        }
        from.deserialize_any(Strict).map(Jsonb)
    }
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
    let mut line = Vec::new();
    Json::default().line(snapshot, gap, &mut line);
    String::from_utf8(line).unwrap()
}

fn strict(line: &str) -> Data {
    let Jsonb(value) = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    value
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
    let cpu = |value: f64| [("cpu", value.into_cell())];
    let draft = draft().row("tasks", &["7", "init"], &cpu(0.5)).row("tasks", &["9", "sh"], &cpu(1.0)).row(
        "tasks",
        &["7", "_x"],
        &cpu(0.25),
    );
    let wanted = json!({"7": {"init": {"cpu": 0.5}, "__x": {"cpu": 0.25}}, "9": {"sh": {"cpu": 1.0}}});
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

#[test]
fn keys_are_those_of_the_schema_at_hand() {
    let mut json = Json::default();
    let mut keys = |schema: &Arc<Schema>| {
        let mut out = Vec::new();
        json.section(&Draft::new(schema).section("mock", 3), &mut out);
        serde_json::from_slice::<Map<String, Data>>(&out).unwrap().contains_key("peers")
    };
    let (all, less) = (schema(MANIFEST), without_sockets());
    assert_eq!([keys(&all), keys(&all), keys(&less), keys(&all)], [true, true, false, true]);
}

#[test]
fn steady_snapshot_is_written_into_the_memory_of_the_one_before() {
    let snapshot = snapshot(vec![draft().row("mounts", &["/"], &[]).section("mock", 0)]);
    let (mut json, mut out) = (Json::default(), Vec::new());
    json.line(&snapshot, 0, &mut out);
    let (first, place) = (out.clone(), out.as_ptr());
    out.clear();
    json.line(&snapshot, 0, &mut out);
    assert_eq!((out.as_ptr(), out), (place, first));
}

fn any_text() -> impl Strategy<Value = String> {
    let odd =
        prop::sample::select(vec!['\0', '"', '\\', '\n', '\u{1f}', '\u{7f}', '\u{2028}', '\u{fffd}', '_', '/', 'a']);
    vec(prop_oneof![3 => odd, 1 => any::<char>()], 0..8).prop_map(String::from_iter)
}

/// A reading of [`MANIFEST`], as one knows it before it is written.
#[derive(Clone, Debug)]
struct Known {
    usage: Option<i32>,
    established: Option<u64>,
    signed: Option<i64>,
    by_age: Option<bool>,
    health: Option<u64>,
    boot: Option<u64>,
    model: Option<String>,
    mounts: Vec<(String, Option<u64>)>,
    tasks: Vec<(String, String, Option<i16>)>,
}

fn any_known() -> impl Strategy<Value = Known> {
    let scalars = (option::of(any::<i32>()), option::of(any::<u64>()), option::of(any::<i64>()), any::<Option<bool>>());
    let words = (option::of(0u64..3), option::of(any::<u64>()), option::of(any_text()));
    let key = prop_oneof![any_text(), "[ab_]{0,2}"];
    let mounts = vec((key.clone(), any::<Option<u64>>()), 0..6);
    let tasks = vec((key.clone(), key, any::<Option<i16>>()), 0..6);
    (scalars, words, mounts, tasks).prop_map(
        |((usage, established, signed, by_age), (health, boot, model), mounts, tasks)| Known {
            usage,
            established,
            signed,
            by_age,
            health,
            boot,
            model,
            mounts,
            tasks,
        },
    )
}

/// A number of few enough digits to be read back exactly.
fn exact(value: impl Into<f64>) -> f64 {
    value.into() / 64.0
}

impl Known {
    fn draft(&self) -> Draft {
        let mut draft = draft()
            .set("usage", self.usage.map(exact))
            .set("tcp.established", self.established)
            .set("signed", self.signed)
            .set("tcp.by.age", self.by_age)
            .set("health", self.health)
            .set("boot", self.boot);
        if let Some(model) = &self.model {
            draft = draft.set_text("model", model);
        }
        // The rows of the two tables are mixed.
        for place in 0..self.mounts.len().max(self.tasks.len()) {
            if let Some((mount, total)) = self.mounts.get(place) {
                draft = draft.row("mounts", &[mount], &[("total", total.into_cell())]);
            }
            if let Some((pid, name, cpu)) = self.tasks.get(place) {
                draft = draft.row("tasks", &[pid, name], &[("cpu", cpu.map(exact).into_cell())]);
            }
        }
        draft
    }

    /// What is to be read back.
    fn data(&self) -> Data {
        let mend = |text: &str| text.replace('\0', "\u{fffd}");
        let key = |text: &str| if text.starts_with('_') { format!("_{}", mend(text)) } else { mend(text) };
        let time =
            |at: u64| humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + Duration::from_nanos(at)).to_string();
        let (mut mounts, mut tasks) = (Map::new(), Map::new());
        for (mount, total) in self.mounts.iter().filter(|(mount, _)| !mount.is_empty()) {
            mounts.insert(key(mount), json!({"device": null, "total": total, "sockets": null}));
        }
        for (pid, name, cpu) in self.tasks.iter().filter(|(pid, name, _)| !pid.is_empty() && !name.is_empty()) {
            let of_pid = tasks.entry(key(pid)).or_insert_with(|| Map::new().into()).as_object_mut().unwrap();
            of_pid.insert(key(name), json!({"cpu": cpu.map(exact)}));
        }
        json!({
            "usage": self.usage.map(exact),
            "tcp": {"established": self.established, "by": {"age": self.by_age}},
            "signed": self.signed,
            "health": self.health.map(|index| ["good", "so \"so\"", "bad"][index as usize]),
            "boot": self.boot.map(time),
            "model": self.model.as_deref().map(mend),
            "raw_per_sec": null,
            "mounts": mounts,
            "tasks": tasks,
            "peers": {},
        })
    }
}

/// A reading of [`MANIFEST`] that no plugin of ours writes.
fn any_hostile() -> impl Strategy<Value = Draft> {
    let tag = prop_oneof![4 => (0u32..6).prop_map(Tag), 1 => any::<u32>().prop_map(Tag)];
    let bits = prop_oneof![0u64..40, any::<u64>(), any::<f64>().prop_map(f64::to_bits)];
    let cell = (tag, prop_oneof![0u32..6, any::<u32>()], bits);
    let text_cell = (0u32..6, 0u64..40).prop_map(|(aux, bits)| Cell { tag: Tag::TEXT, aux, bits });
    let cell = prop_oneof![cell.prop_map(|(tag, aux, bits)| Cell { tag, aux, bits }), text_cell];
    let head = (0u32..4, 0u32..60).prop_map(|(table, first)| RowHead { table, first });
    let place = (0u32..40, 0u32..6).prop_map(|(offset, len)| plugin_api::abi::Text { offset, len });
    let note = (prop_oneof![Just(Note::PART), 0u32..60], place.clone(), place);
    let note = note.prop_map(|(row, subject, message)| Note { row, subject, message });
    let byte = prop_oneof![Just(b'_'), Just(b'a'), Just(0), Just(b'"'), any::<u8>()];
    (vec(cell, 0..60), vec(head, 0..20), vec(note, 0..8), vec(byte, 0..40), any::<bool>()).prop_map(
        |(cells, mut rows, notes, text, sorted)| {
            if sorted {
                rows.sort_by_key(|row| row.first);
            }
            Draft { schema: schema(MANIFEST), cells, rows, notes, text }
        },
    )
}

fn hostile_frame(draft: &Draft) -> Frame {
    let mut frame = Frame::new(Limits::default());
    let mut cells = draft.cells.clone();
    cells.resize(cells.len().max(draft.schema.shape.scalars.len()), Cell::NULL);
    frame.receive(&cells, &draft.rows, &draft.notes, &draft.text);
    Check::default().pass(&mut frame, &draft.schema.shape);
    frame
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(known in any_known(), window in any::<Option<u32>>()) {
        let mut section = known.draft().section("mock", 0);
        section.window = window.map(|window| Duration::from_millis(window.into()));
        section.at = Some(Wall(1_795_491_005_000_112_000));
        let line = line(&snapshot(vec![section]), 0);
        let read: AggregatedSnapshot = serde_json::from_str(&line).unwrap();
        let back = &read.sections["mock"];
        prop_assert_eq!(&Data::from(back.metrics.clone()), &known.data());
        prop_assert_eq!(back.window_seconds, window.map(|window| f64::from(window) / 1000.0));
        prop_assert_eq!(back.timestamp, Some(Wall(1_795_491_005_000_112_000)));
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), strict(&line));
    }

    #[test]
    fn what_is_written_is_as_it_is_described(
        known in any_known(), less in any::<bool>(), status in prop::sample::select(Status::ALL.to_vec()), errors in vec(any_text(), 2),
    ) {
        let mut draft = known.draft().row("mounts", &["/"], &[]).row_failed(&errors[0]).part_failed("fan", &errors[1]);
        if less {
            draft.schema = without_sockets();
        }
        let schema = Arc::clone(&draft.schema);
        let mut section = draft.section("mock", 0);
        (section.status, section.at) = (status, Some(Wall(1)));
        let described = json_schema([("mock", &*schema)]);
        let valid = validate(&strict(&line(&snapshot(vec![section]), 1)), &described);
        prop_assert!(valid.is_ok(), "{}", valid.unwrap_err());
    }

    #[test]
    fn every_snapshot_is_valid_jsonb(
        hostile in vec(any_hostile(), 1..3), texts in vec(any_text(), 5), numbers in vec(any::<u64>(), 4), partial in any::<bool>(),
    ) {
        let sections = hostile.iter().enumerate().map(|(place, draft)| {
            let mut section = draft.section(&format!("mock-{place}"), place);
            section.frame = hostile_frame(draft);
            section.status = if partial { Status::Partial } else { Status::Ok };
            (section.at, section.since) = (Some(Wall(numbers[0])), Some(Wall(numbers[1])));
            (section.took, section.window) = (Some(Duration::from_nanos(numbers[2])), Some(Duration::from_nanos(numbers[3])));
            section.error.clone_from(&texts[0]);
            section
        });
        let mut snapshot = snapshot(sections.collect());
        snapshot.timestamp = Wall(numbers[2]);
        let labels = vec![("env".to_owned(), texts[1].clone())];
        snapshot.identity = Arc::new(Identity { host: Some(texts[2].clone()), run: texts[3].clone(), labels });
        snapshot.events.push(Event { cause: Some(texts[4].clone()), ..Event::new(EventKind::Start) });
        let line = line(&snapshot, numbers[0] % 2);
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        let strict: Result<Jsonb, _> = serde_json::from_str(&line);
        prop_assert!(strict.is_ok(), "{}: {line}", strict.unwrap_err());
        prop_assert!(serde_json::from_str::<AggregatedSnapshot>(&line).is_ok());
    }
}
