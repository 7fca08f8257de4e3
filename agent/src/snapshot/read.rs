//! A line of JSON read back into data: for programs that take snapshots from a file, a pipe or a column.
//!
//! Promises that what the agent writes is read, and that a section written again is the JSON that it was. Refuses
//! nothing but what is no snapshot. Numbers are those of `serde_json`: one of more than 17 digits may differ in its
//! last bit. Keys of rows are as they stand in the JSON: one that begins with two underscores began with one.
//!
//! Not on the path of a tick: the flattened maps here cost a copy of every value.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::{Status, Wall};

/// All readings of a tick: the sections of all collectors that were due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregatedSnapshot {
    /// The tick, equal for all that belongs together.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub timestamp: Wall,
    /// The host's name, where it is known.
    pub host: Option<String>,
    /// The run of the agent.
    pub run: String,
    /// Counts from 0 without holes within a run: (host, run, sequence) is the identity of a snapshot.
    pub sequence: u64,
    /// The operator's labels.
    pub labels: BTreeMap<String, String>,
    /// What happened since the snapshot before.
    #[serde(rename = "_events", default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventRead>,
    /// Every other key: a section a collector.
    #[serde(flatten)]
    pub sections: BTreeMap<String, SectionRead>,
}

/// What one collector had to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SectionRead {
    /// How it stood.
    #[serde(rename = "_status", serialize_with = "write_status", deserialize_with = "read_status")]
    pub status: Status,
    /// The moment of the read, or of the call's start.
    #[serde(rename = "_timestamp", default, skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "write_some_time", deserialize_with = "read_some_time")]
    pub timestamp: Option<Wall>,
    /// How long the call took.
    #[serde(rename = "_duration_seconds", default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// How long the growth in it spans.
    #[serde(rename = "_window_seconds", default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<f64>,
    /// Since when it has been so.
    #[serde(rename = "_since", default, skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "write_some_time", deserialize_with = "read_some_time")]
    pub since: Option<Wall>,
    /// What went wrong.
    #[serde(rename = "_error", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Rows that failed, by table, and parts.
    #[serde(rename = "_errors", default, skip_serializing_if = "Map::is_empty")]
    pub errors: Map<String, Value>,
    /// What was measured.
    #[serde(flatten)]
    pub metrics: Map<String, Value>,
}

/// One thing that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRead {
    /// What. An open list of words.
    pub kind: String,
    /// To which collector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<String>,
    /// To which sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// From what state, or when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// To what state, or until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How many times, or how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// One collector's section as a row of a database: a time, a word, and a column of JSONB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSnapshot {
    /// The tick.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub timestamp: Wall,
    /// The collector's name.
    pub metric_type: String,
    /// Its section.
    pub metric_data: Value,
}

impl AggregatedSnapshot {
    /// The snapshot as rows, one a section, in order of name.
    pub fn rows(&self) -> impl Iterator<Item = MetricSnapshot> {
        self.sections.iter().map(|(name, section)| MetricSnapshot {
            timestamp: self.timestamp,
            metric_type: name.clone(),
            metric_data: serde_json::to_value(section).expect("a map whose keys are texts is JSON"),
        })
    }
}

fn write_status<S: Serializer>(status: &Status, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(status.word())
}

fn read_status<'de, D: Deserializer<'de>>(from: D) -> Result<Status, D::Error> {
    let word = String::deserialize(from)?;
    Status::of_word(&word).ok_or_else(|| de::Error::custom(format!("`{word}` is no status")))
}

fn write_time<S: Serializer>(at: &Wall, to: S) -> Result<S::Ok, S::Error> {
    let time = UNIX_EPOCH + Duration::from_nanos(at.0);
    // Ticks have milliseconds, readings microseconds.
    if at.0.is_multiple_of(1_000_000) {
        to.collect_str(&humantime::format_rfc3339_millis(time))
    } else {
        to.collect_str(&humantime::format_rfc3339_micros(time))
    }
}

fn read_time<'de, D: Deserializer<'de>>(from: D) -> Result<Wall, D::Error> {
    let text = String::deserialize(from)?;
    let no_time = || de::Error::custom(format!("`{text}` is no time of RFC 3339 since 1970"));
    let time = humantime::parse_rfc3339(&text).map_err(|_| no_time())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| no_time())?;
    u64::try_from(since.as_nanos()).map(Wall).map_err(|_| no_time())
}

fn write_some_time<S: Serializer>(at: &Option<Wall>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => write_time(at, to),
        None => to.serialize_none(),
    }
}

fn read_some_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Wall>, D::Error> {
    read_time(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"2026-11-24T03:30:05.000Z","host":"web-1","run":"5f0c","sequence":42,"labels":{"env":"prod"},"_events":[{"kind":"gap","sink":"archive","count":3}],"cpu":{"_status":"partial","_timestamp":"2026-11-24T03:30:05.000112Z","_duration_seconds":0.000061,"_window_seconds":1.0,"_errors":{"cores":{"7":"offline"},"frequency":"no driver"},"usage_percent":12.2,"count":18446744073709551615,"low":-5,"on":true,"per_core":{"__x":{"user":null}}},"disk":{"_status":"timeout","_since":"2026-11-24T03:30:01.000Z","_error":"no answer for 1s"}}"#;

    fn line() -> AggregatedSnapshot {
        serde_json::from_str(LINE).unwrap()
    }

    #[test]
    fn line_is_read_into_its_parts() {
        let read = line();
        assert_eq!((read.timestamp, read.sequence), (Wall(1_795_491_005_000_000_000), 42));
        assert_eq!((read.host.as_deref(), &*read.run, &*read.labels["env"]), (Some("web-1"), "5f0c", "prod"));
        let gap =
            EventRead { kind: "gap".into(), sink: Some("archive".into()), count: Some(3), ..EventRead::default() };
        assert_eq!(read.events, [gap]);
        let cpu = &read.sections["cpu"];
        assert_eq!((cpu.status, cpu.timestamp), (Status::Partial, Some(Wall(1_795_491_005_000_112_000))));
        assert_eq!((cpu.duration_seconds, cpu.window_seconds), (Some(0.000_061), Some(1.0)));
        assert_eq!((&cpu.errors["cores"]["7"], &cpu.metrics["count"]), (&"offline".into(), &u64::MAX.into()));
        assert_eq!(cpu.metrics.keys().collect::<Vec<_>>(), ["count", "low", "on", "per_core", "usage_percent"]);
        let disk = &read.sections["disk"];
        assert_eq!((disk.status, disk.error.as_deref()), (Status::Timeout, Some("no answer for 1s")));
        assert_eq!((disk.since, disk.timestamp), (Some(Wall(1_795_491_001_000_000_000)), None));
        assert!(disk.metrics.is_empty());
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let again = serde_json::to_value(line()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(LINE).unwrap());
    }

    #[test]
    fn rows_are_a_time_a_collector_and_its_section() {
        let rows: Vec<_> = line().rows().collect();
        let whole: Value = serde_json::from_str(LINE).unwrap();
        let parts: Vec<_> = rows.iter().map(|row| (row.timestamp, &*row.metric_type, &row.metric_data)).collect();
        let tick = Wall(1_795_491_005_000_000_000);
        assert_eq!(parts, [(tick, "cpu", &whole["cpu"]), (tick, "disk", &whole["disk"])]);
        let row = serde_json::to_value(&rows[1]).unwrap();
        assert_eq!(row["timestamp"], "2026-11-24T03:30:05.000Z");
        assert_eq!(serde_json::from_value::<MetricSnapshot>(row).unwrap(), rows[1]);
    }

    #[test]
    fn every_status_is_read_back_from_its_word() {
        for status in Status::ALL {
            assert_eq!(Status::of_word(status.word()), Some(status));
        }
    }

    #[test]
    fn what_is_no_snapshot_is_refused_and_said() {
        let refused = |from: &str, to: &str| {
            serde_json::from_str::<AggregatedSnapshot>(&LINE.replacen(from, to, 1)).unwrap_err().to_string()
        };
        assert!(refused("timeout", "tired").contains("`tired` is no status"));
        assert!(refused("2026-11-24T03:30:05.000Z", "today").contains("`today` is no time of RFC 3339"));
        assert!(refused("2026-11-24T03:30:05.000Z", "1914-07-28T00:00:00Z").contains("since 1970"));
        assert!(refused("\"sequence\":42,", "").contains("missing field `sequence`"));
        assert!(refused("\"_status\":\"timeout\",", "").contains("missing field `_status`"));
    }
}
