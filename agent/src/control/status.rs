//! The agent as it stands: what `perfwatch status` shows and `perfwatch status --json` prints.
//!
//! Plain data that goes both ways through JSON. A client passes over keys that it does not know and takes a default for those
//! that an older agent does not have. Moments are RFC 3339 in UTC with milliseconds, as in the snapshots; times are
//! seconds; counts are since the agent started, of a collector since it did.

pub mod table;

use std::time::{Duration, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::snapshot::{self, Wall};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The agent itself.
    pub agent: Agent,
    /// What came of the last reload, also of one that was refused; null before the first.
    pub reload: Option<Reload>,
    /// The collectors, in the order of their sections.
    pub collectors: Vec<Collector>,
    /// The sinks, in the order of the configuration.
    pub sinks: Vec<Sink>,
}

/// The agent itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Its version: `0.1.0`.
    pub version: String,
    /// Its process, as numbered where it runs.
    pub pid: u32,
    /// The identity of this run, as `run` in its snapshots.
    pub run: String,
    /// Whose snapshots it makes, as `host` in them; null where nobody knows.
    pub host: Option<String>,
    /// The moment of this status.
    pub at: Moment,
    /// When it started.
    pub started: Moment,
    /// For how long it has run, by a clock that never steps.
    pub uptime_seconds: f64,
    /// The configuration file; null where there is none.
    pub config: Option<String>,
    /// The files of `conf.d` that hold, in their order.
    pub drop_ins: Vec<String>,
    /// The copy of the last good configuration, where it runs from that as the configuration was refused; else null.
    pub last_good: Option<String>,
    /// Where it keeps files of its own.
    pub state_dir: String,
    /// The socket at which it is asked.
    pub control: String,
    /// What is watched and taken up: `all`, `conf.d` or `off`.
    pub watch: String,
    /// Whether libraries that others could have changed are loaded: `strict`, where they are not, or `relaxed`.
    pub trust: String,
    /// Whether only what stands in `plugins.lock` is loaded.
    pub locked: bool,
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// The last tick; null before the first.
    pub tick: Option<Moment>,
    /// How late that tick began.
    pub late_seconds: f64,
    /// Snapshots emitted.
    pub snapshots: u64,
}

/// What came of a reload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reload {
    /// When it ended.
    pub at: Moment,
    /// Whether it was applied; where not, the agent is as it was.
    pub applied: bool,
    /// What it changed, or why it was refused. Lines.
    pub text: String,
}

/// A collector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Collector {
    /// Its name, which is that of its section.
    pub name: String,
    /// The plugin that it is of.
    pub plugin: String,
    /// The version that the plugin says; null where it says none.
    pub version: Option<String>,
    /// The file of the plugin; null for the agent's own section, and where the plugin cannot be had.
    pub library: Option<String>,
    /// How it stood at its last tick, as `_status` in its section; null before the first.
    pub status: Option<String>,
    /// Since when that goes wrong which `error` says; null where it is well.
    pub since: Option<Moment>,
    /// What went wrong last, as it was when it began to: of one that is well again, what did before; null where nothing ever did.
    pub error: Option<String>,
    /// Where it is called: `agent`, `thread` (in the agent, in a thread of its own) or `child`.
    pub placement: String,
    /// The process of its child; null where it has none, or it is not told.
    pub pid: Option<u32>,
    /// Where it may be called: `none` (in the agent), `process` (in a child) or `auto`.
    pub isolation: String,
    /// Every so often.
    pub interval_seconds: f64,
    /// How long a call may take.
    pub timeout_seconds: f64,
    /// How long the last call took; null before the first that returned.
    pub last_seconds: Option<f64>,
    /// How long a call took in the mean; null before the first that returned.
    pub mean_seconds: Option<f64>,
    /// How much CPU time a call took in the mean, in a child that of the process and of the programs that it started; null before the first
    /// that returned.
    pub mean_cpu_seconds: Option<f64>,
    /// When it is due next; null where it is not.
    pub next_due: Option<Moment>,
    /// Calls that returned.
    pub calls: u64,
    /// Readings that failed.
    pub failures: u64,
    /// Calls that went past their timeout.
    pub timeouts: u64,
    /// Ticks without a turn before the cut-off.
    pub skipped: u64,
    /// Ticks that passed while the agent slept or was starved.
    pub missed: u64,
    /// Readings that came back too late and were thrown away.
    pub dropped: u64,
    /// Values that were not what was declared.
    pub refused: u64,
    /// Rows that came twice, without a key, or beyond the budget.
    pub rows_lost: u64,
    /// Readings that went over the budget.
    pub over_budget: u64,
    /// Children of it that died or could not be started.
    pub restarts: u64,
    /// What it may cost.
    pub budget: Budget,
    /// Resident memory of its child; null where it has none.
    pub memory_bytes: Option<u64>,
    /// Whether it is not asked any more until it is changed or released.
    pub quarantined: bool,
}

/// What a collector may cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// CPU time of a reading.
    pub cpu_seconds: f64,
    /// Memory of its child.
    pub memory_bytes: u64,
    /// Open files of its child.
    pub descriptors: u64,
}

/// A sink.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// What it is, as `type` in the configuration.
    #[serde(rename = "type")]
    pub kind: String,
    /// Snapshots that wait for it.
    pub depth: u64,
    /// How many can wait before the oldest goes.
    pub capacity: u64,
    /// Snapshots that were written.
    pub written: u64,
    /// Snapshots that were lost: pushed out, or not written.
    pub lost: u64,
    /// Why the last one could not be written, while that holds; null where it writes.
    pub error: Option<String>,
}

/// A moment by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Wall);

impl From<Wall> for Moment {
    fn from(at: Wall) -> Moment {
        Moment(at)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let at = UNIX_EPOCH + Duration::from_nanos(self.0.0);
        to.collect_str(&humantime::format_rfc3339_millis(at))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        let text = String::deserialize(from)?;
        let at = humantime::parse_rfc3339(&text).map_err(D::Error::custom)?;
        let since = at.duration_since(UNIX_EPOCH).map_err(D::Error::custom)?;
        Ok(Moment(Wall(snapshot::nanoseconds(since))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_as_in_the_snapshots_and_come_back() {
        let at = Moment(Wall(1_795_541_405_250_000_000));
        assert_eq!(serde_json::to_string(&at).unwrap(), "\"2026-11-24T17:30:05.250Z\"");
        assert_eq!(serde_json::from_str::<Moment>("\"2026-11-24T17:30:05.250Z\"").unwrap(), at);
        for strange in ["\"yesterday\"", "\"1969-12-31T23:59:59Z\"", "5"] {
            assert!(serde_json::from_str::<Moment>(strange).is_err(), "{strange}");
        }
    }

    #[test]
    fn status_of_an_older_and_of_a_newer_agent_can_be_read() {
        let text = r#"{"agent":{"pid":7,"mood":"good"},"collectors":[{"name":"cpu"}],"sinks":[{"type":"file"}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!((status.agent.pid, &*status.collectors[0].name, &*status.sinks[0].kind), (7, "cpu", "file"));
        assert_eq!((status.reload, status.agent.tick), (None, None));
    }
}
