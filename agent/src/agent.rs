//! Joins the rooms: collectors into a schedule, its snapshots into the sinks. Nothing else does.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use crate::schedule::clock::{Stop, SystemClock};
use crate::schedule::collect::Collection;
use crate::schedule::ledger::Ledger;
use crate::schedule::tick::{Recruit, Schedule};
use crate::sink::Sink;
use crate::sink::worker::Worker;
use crate::snapshot::aggregate::Aggregator;
use crate::snapshot::{Identity, Snapshot};

/// How long an end may take in all, before what is not written is given up.
pub const SHUTDOWN: Duration = Duration::from_secs(2);
/// How many snapshots wait for the reader of a stream.
const STREAM_SNAPSHOTS: usize = crate::sink::QUEUE_SNAPSHOTS;

/// What an agent is made of.
pub struct Parts {
    /// Who its snapshots are of.
    pub identity: Identity,
    /// Its books.
    pub ledger: Arc<Ledger>,
    /// Its collectors.
    pub recruits: Vec<Recruit>,
    /// Its sinks, at work.
    pub sinks: Vec<Worker>,
    /// Where snapshots go besides the sinks.
    pub streams: Vec<Feed>,
    /// It ends after so many snapshots; none for no end.
    pub snapshots: Option<u64>,
}

/// An agent that runs. Dropped, it ends as well, and nobody waits for it.
pub struct Agent {
    collection: Collection,
    stop: Stop,
    sinks: Vec<Worker>,
    /// Told when nobody reads a sink any more.
    closed: Arc<Notify>,
}

/// How an agent ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The collection thread did not come back from a call.
    pub stuck: bool,
    /// Sinks that had not written what waited for them, and how many snapshots that is.
    pub unwritten: Vec<(Arc<str>, usize)>,
}

impl Ending {
    /// Whether nothing was lost.
    pub fn is_clean(&self) -> bool {
        !self.stuck && self.unwritten.is_empty()
    }
}

impl Agent {
    /// Starts it. `closed` is told by sinks whose readers have gone.
    ///
    /// # Errors
    /// Threads or timers have run out.
    pub fn start(parts: Parts, closed: Arc<Notify>) -> io::Result<Agent> {
        let (clock, stop) = SystemClock::new()?;
        let queues: Vec<_> = parts.sinks.iter().map(|sink| Queues(Arc::clone(&sink.queue))).collect();
        let streams = parts.streams;
        let emit = Box::new(move |snapshot: &Arc<Snapshot>| {
            queues.iter().for_each(|queue| queue.0.push(Arc::clone(snapshot)));
            streams.iter().for_each(|stream| stream.push(snapshot));
        });
        let aggregator = Aggregator::new(Arc::new(parts.identity));
        let mut schedule = Schedule::new(Arc::new(clock), aggregator, parts.ledger, parts.snapshots, emit);
        let mailboxes = parts.recruits.into_iter().map(|recruit| schedule.add(recruit)).collect();
        let collection = Collection::start(schedule, mailboxes)?;
        Ok(Agent { collection, stop, sinks: parts.sinks, closed })
    }

    /// Waits until nobody reads a sink any more.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Waits until an agent of a given number of snapshots has made them, `patience` at most.
    pub fn wait(&self, patience: Duration) -> bool {
        self.collection.wait(patience)
    }

    /// Has the sinks reopen what they write to.
    pub fn reopen(&self) {
        self.sinks.iter().for_each(|sink| sink.queue.reopen());
    }

    /// Ends it: the tick that is going on, then what waits in the queues, [`SHUTDOWN`] in all.
    pub fn stop(self) -> Ending {
        let until = Instant::now() + SHUTDOWN;
        let left = || until.saturating_duration_since(Instant::now());
        self.stop.stop();
        // A quarter is left to the sinks.
        let stuck = !self.collection.wait(left().mul_f64(0.75));
        self.sinks.iter().for_each(|sink| sink.queue.close());
        let unwritten = self.sinks.iter().filter(|sink| !sink.wait(left()));
        let unwritten = unwritten.map(|sink| (Arc::clone(&sink.name), sink.queue.standing().depth)).collect();
        Ending { stuck, unwritten }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// The queue of a sink, closed with the schedule.
struct Queues(Arc<crate::sink::queue::Queue>);

impl Drop for Queues {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The agent's end of a [`Snapshots`].
pub struct Feed {
    sender: mpsc::Sender<Arc<Snapshot>>,
    lost: Arc<AtomicU64>,
}

/// A stream of snapshots, shared with the sinks.
pub struct Snapshots {
    receiver: mpsc::Receiver<Arc<Snapshot>>,
    lost: Arc<AtomicU64>,
}

impl Feed {
    fn push(&self, snapshot: &Arc<Snapshot>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(Arc::clone(snapshot)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Snapshots {
    /// A stream and the end that feeds it.
    pub fn channel() -> (Feed, Snapshots) {
        let (sender, receiver) = mpsc::channel(STREAM_SNAPSHOTS);
        let lost = Arc::new(AtomicU64::new(0));
        (Feed { sender, lost: Arc::clone(&lost) }, Snapshots { receiver, lost })
    }

    /// The next snapshot; none when the agent has ended.
    pub async fn next(&mut self) -> Option<Arc<Snapshot>> {
        self.receiver.recv().await
    }

    /// How many were lost because this stream was not read in time.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// A sink that has been opened, to be put to work under its name.
pub type NamedSink = (Arc<str>, Box<dyn Sink>);
