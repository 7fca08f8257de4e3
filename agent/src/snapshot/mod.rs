//! Plain data: what a tick measured, and what happened since the one before.
//!
//! Sections and snapshots are shared with the sinks and come back to the pools they were taken from, so that a steady
//! tick allocates nothing. Nothing here reads, writes or sleeps, and but for [`read`] and [`describe`], which are for
//! those who have the JSON, nothing knows a format.
#![forbid(unsafe_code)]

pub mod aggregate;
pub mod derive;
pub mod describe;
#[cfg(test)]
pub(crate) mod draft;
pub mod pool;
pub mod read;
pub mod schema;

use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::frame::{Frame, Limits};

pub use schema::Schema;

/// Nanoseconds since the Unix epoch, by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub u64);

/// Nanoseconds of a clock that never steps and stands still in a suspend (`CLOCK_MONOTONIC`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(pub u64);

impl Wall {
    /// The moment `by` later.
    pub fn plus(self, by: Duration) -> Wall {
        Wall(self.0.saturating_add(nanoseconds(by)))
    }

    /// How long from `earlier` to this; zero where it is not earlier.
    pub fn since(self, earlier: Wall) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Mono {
    /// The moment `by` later.
    pub fn plus(self, by: Duration) -> Mono {
        Mono(self.0.saturating_add(nanoseconds(by)))
    }

    /// How long from `earlier` to this; zero where it is not earlier.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in nanoseconds; 584 years at most.
pub fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// How a collector stood at a tick it was due at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It answered; a field that this kernel lacks is null.
    #[default]
    Ok,
    /// It answered; a part failed or was cut, and `_errors` says which.
    Partial,
    /// It has nothing to measure here, and that is fine.
    Unavailable,
    /// It could not be had, made or read.
    Failed,
    /// It had not answered at the cut-off and is still within its timeout: the reading comes with a later snapshot.
    Pending,
    /// It has not answered for longer than its timeout.
    Timeout,
    /// It had no turn before the cut-off.
    Skipped,
    /// It failed often and is not asked at every tick.
    Backoff,
    /// It is not asked any more.
    Quarantined,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 9] = [
        Status::Ok,
        Status::Partial,
        Status::Unavailable,
        Status::Failed,
        Status::Pending,
        Status::Timeout,
        Status::Skipped,
        Status::Backoff,
        Status::Quarantined,
    ];

    /// The status of a word in the data.
    pub fn of_word(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.word() == word)
    }

    /// The word in the data.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Partial => "partial",
            Status::Unavailable => "unavailable",
            Status::Failed => "failed",
            Status::Pending => "pending",
            Status::Timeout => "timeout",
            Status::Skipped => "skipped",
            Status::Backoff => "backoff",
            Status::Quarantined => "quarantined",
        }
    }

    /// Whether a section of this status has metrics, and not only `_` keys.
    pub const fn has_metrics(self) -> bool {
        matches!(self, Status::Ok | Status::Partial)
    }
}

/// What one collector has to say at one tick.
#[derive(Debug)]
pub struct Section {
    /// The configured name.
    pub name: Arc<str>,
    /// The collector's place, which may be another's when it has left.
    pub place: usize,
    /// What its cells mean.
    pub schema: Arc<Schema>,
    /// How it stood.
    pub status: Status,
    /// The moment of the read; of the call's start where there is no reading; none where there was no call.
    pub at: Option<Wall>,
    /// The same moment, for growth.
    pub at_mono: Mono,
    /// How long the call took.
    pub took: Option<Duration>,
    /// CPU time that went into it.
    pub cpu: Option<Duration>,
    /// How long the growth in it spans.
    pub window: Option<Duration>,
    /// Since when it has been so.
    pub since: Option<Wall>,
    /// What went wrong; empty where nothing did.
    pub error: String,
    /// The reading, with what is derived in its place.
    pub frame: Frame,
}

impl Section {
    /// An empty section of a collector.
    pub fn new(name: Arc<str>, place: usize, schema: Arc<Schema>, limits: Limits) -> Section {
        Section {
            name,
            place,
            schema,
            status: Status::Ok,
            at: None,
            at_mono: Mono(0),
            took: None,
            cpu: None,
            window: None,
            since: None,
            error: String::new(),
            frame: Frame::new(limits),
        }
    }

    /// Forgets the tick before, and keeps the memory.
    pub fn clear(&mut self) {
        self.status = Status::Ok;
        self.at = None;
        self.at_mono = Mono(0);
        self.took = None;
        self.cpu = None;
        self.window = None;
        self.since = None;
        self.error.clear();
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The agent started.
    Start,
    /// Ticks passed without a snapshot.
    Missed,
    /// The wall clock was set.
    Clock,
    /// The machine slept.
    Suspend,
    /// A collector is called in another place from now on.
    Moved,
    /// A collector's child died, or could not be started; it is started again.
    Restart,
    /// A collector is not asked any more.
    Quarantined,
    /// The configuration was read anew: what that changed, or why it changed nothing.
    Reload,
    /// Another library took over from a collector's.
    Swapped,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 9] = [
        EventKind::Start,
        EventKind::Missed,
        EventKind::Clock,
        EventKind::Suspend,
        EventKind::Moved,
        EventKind::Restart,
        EventKind::Quarantined,
        EventKind::Reload,
        EventKind::Swapped,
    ];

    /// The word in the data.
    pub const fn word(self) -> &'static str {
        match self {
            EventKind::Start => "start",
            EventKind::Missed => "missed",
            EventKind::Clock => "clock",
            EventKind::Suspend => "suspend",
            EventKind::Moved => "moved",
            EventKind::Restart => "restart",
            EventKind::Quarantined => "quarantined",
            EventKind::Reload => "reload",
            EventKind::Swapped => "swapped",
        }
    }
}

/// One thing that happened, each field where it says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// To which collector.
    pub collector: Option<Arc<str>>,
    /// From what state, or when.
    pub from: Option<String>,
    /// To what state, or until when.
    pub to: Option<String>,
    /// How many times.
    pub count: Option<u64>,
    /// Why.
    pub cause: Option<String>,
}

impl Event {
    /// An event of which only the kind is known.
    pub const fn new(kind: EventKind) -> Event {
        Event { kind, collector: None, from: None, to: None, count: None, cause: None }
    }
}

/// Who a snapshot is of: the same until a reload changes the host or the labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// The host's name, where it is known.
    pub host: Option<String>,
    /// This run of the agent: 32 hexadecimal digits, new at every start.
    pub run: String,
    /// The operator's labels.
    pub labels: Vec<(String, String)>,
}

/// All readings of a tick. (host, run, sequence) is its identity.
#[derive(Debug)]
pub struct Snapshot {
    /// The tick.
    pub timestamp: Wall,
    /// Counts from 0 without holes.
    pub sequence: u64,
    /// Whose.
    pub identity: Arc<Identity>,
    /// One a collector that was due or has something to hand in late, in the order of the configuration.
    pub sections: Vec<Arc<Section>>,
    /// The places of all collectors that there are, due or not, in the same order.
    pub roster: Arc<[usize]>,
    /// What happened since the snapshot before.
    pub events: Vec<Event>,
}
