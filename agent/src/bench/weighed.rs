//! What is measured from inside the agent: a sink that is weighed while it encodes and writes, a collector and a thread that do nothing.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use plugin_api::host_side::manifest::Manifest;
use plugin_api::options::NoOptions;
use plugin_api::{Collector, Error, Host, Recorder, Schema};

use super::threads::OURS;
use crate::assemble::{self, Timing};
use crate::schedule::clock::{Clock, Stop, SystemClock, Wake, thread_cpu};
use crate::schedule::far::lock;
use crate::schedule::member::Recruit;
use crate::sink::encode::json::Json;
use crate::sink::{Sink, SinkError};
use crate::snapshot::{Snapshot, Status, Wall};

/// What one snapshot told and cost.
#[derive(Clone, Debug)]
pub(super) struct Tick {
    pub(super) at: Wall,
    pub(super) readings: Vec<Reading>,
    /// CPU time.
    pub(super) encode: Duration,
    pub(super) write: Duration,
    /// That of taking this down, which is no sink's.
    pub(super) ours: Duration,
    pub(super) bytes: usize,
}

/// What one section told and cost.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) place: usize,
    pub(super) status: Status,
    pub(super) cpu: Option<Duration>,
    pub(super) took: Option<Duration>,
    pub(super) rows: usize,
    /// Numbers, texts and truths that are not null, but for what each section has.
    pub(super) values: usize,
    pub(super) bytes: usize,
}

/// All ticks so far.
pub(super) type Ticks = Arc<Mutex<Vec<Tick>>>;

/// As the sink of an agent, to nowhere.
pub(super) struct Weighed {
    json: Json,
    nowhere: File,
    ticks: Ticks,
}

impl Weighed {
    /// # Errors
    /// `/dev/null` cannot be opened.
    pub(super) fn new(ticks: Ticks) -> io::Result<Weighed> {
        let nowhere = File::options().write(true).open("/dev/null")?;
        Ok(Weighed { json: Json::default(), nowhere, ticks })
    }
}

impl Sink for Weighed {
    fn accept(&mut self, snapshot: &Snapshot, gap: u64) -> Result<(), SinkError> {
        let begun = thread_cpu();
        let line = self.json.line(snapshot, gap);
        let encoded = thread_cpu();
        self.nowhere.write_all(line).map_err(SinkError::Failed)?;
        let (written, bytes) = (thread_cpu(), line.len());
        let mut readings = Vec::with_capacity(snapshot.sections.len());
        for section in &snapshot.sections {
            let json = self.json.section(section);
            readings.push(Reading {
                place: section.place,
                status: section.status,
                cpu: section.cpu,
                took: section.took,
                rows: section.frame.rows().len(),
                values: values(json),
                bytes: json.len(),
            });
        }
        lock(&self.ticks).push(Tick {
            at: snapshot.timestamp,
            readings,
            encode: encoded.saturating_sub(begun),
            write: written.saturating_sub(encoded),
            ours: thread_cpu().saturating_sub(written),
            bytes,
        });
        Ok(())
    }
}

/// Values of a section in JSON.
fn values(json: &[u8]) -> usize {
    fn leaves(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Null => 0,
            serde_json::Value::Object(map) => map.values().map(leaves).sum(),
            serde_json::Value::Array(list) => list.iter().map(leaves).sum(),
            _ => 1,
        }
    }
    let Ok(serde_json::Value::Object(section)) = serde_json::from_slice(json) else { return 0 };
    section.iter().filter(|(key, _)| !key.starts_with('_')).map(|(_, value)| leaves(value)).sum()
}

/// The collector that does nothing: what a call costs before anything is read.
struct Nothing;

/// Its name; it is told apart by its place.
pub(super) const NOTHING: &str = "nothing";

impl Collector for Nothing {
    type Options = NoOptions;

    fn new(_: NoOptions, _: &Host, _: &mut Schema) -> Result<Nothing, Error> {
        Ok(Nothing)
    }

    fn collect(&mut self, _: &mut Recorder) -> Result<(), Error> {
        Ok(())
    }
}

/// The collector that does nothing, as the schedule takes it.
pub(super) fn nothing(timing: Timing) -> Recruit {
    let text = "contract = \"1.0\"\n[plugin]\nname = \"nothing\"\ndescription = \"nothing\"\n[metrics.nothing]\nunit = \"1\"\ndescription = \"always null\"\n";
    let manifest = Manifest::parse(text).expect("a test runs this");
    assemble::linked(NOTHING, manifest, timing, Path::new("/"), |_, _| Ok(Nothing))
}

/// A thread that wakes up once a cycle and does nothing.
pub(super) struct Empty {
    stop: Stop,
    wakes: Arc<Mutex<Vec<Awake>>>,
    thread: Option<JoinHandle<()>>,
}

/// What one such waking cost, and how late it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awake {
    pub(super) cpu: Duration,
    pub(super) late: Duration,
}

impl Empty {
    /// Starts it: it wakes at `first` and each `interval` after.
    ///
    /// # Errors
    /// No timer or thread is to be had.
    pub(super) fn start(first: Wall, interval: Duration) -> io::Result<Empty> {
        let (clock, stop) = SystemClock::new()?;
        let wakes = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&wakes);
        let sleep = move || {
            let mut due = first;
            let mut before = thread_cpu();
            loop {
                if clock.sleep_until(due) == Wake::Stopped {
                    return;
                }
                let late = clock.wall().since(due);
                // Since the last time: the waking, this, and going to sleep.
                let cpu = thread_cpu();
                lock(&told).push(Awake { cpu: cpu.saturating_sub(before), late });
                before = cpu;
                due = Wall(due.0 + crate::snapshot::nanoseconds(interval));
            }
        };
        let thread = std::thread::Builder::new().name(format!("{OURS} empty")).spawn(sleep)?;
        Ok(Empty { stop, wakes, thread: Some(thread) })
    }

    /// Ends it, and gives all but the first, which began it.
    pub(super) fn end(mut self) -> Vec<Awake> {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
        std::mem::take(&mut *lock(&self.wakes)).into_iter().skip(1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_a_reader_gets_of_a_section() {
        let section = br#"{"_status":"ok","_errors":{"a":"b"},"a":1,"b":null,"t":{"x":{"c":2.5,"d":"text","e":null},"y":{"c":true}}}"#;
        assert_eq!(values(section), 4);
        assert_eq!(values(b"no JSON"), 0);
    }

    #[test]
    fn collector_that_does_nothing_is_one() {
        let second = Duration::from_secs(1);
        let recruit = nothing(Timing { interval: second, offset: Duration::ZERO, timeout: second });
        let Ok(crate::schedule::member::Home::Agent(mut make)) = recruit.home else { panic!("it runs in the agent") };
        assert!(make().is_ok());
    }
}
