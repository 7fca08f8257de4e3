//! Joins the rooms: collectors into a schedule, its snapshots into the sinks. Nothing else does.
#![forbid(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use crate::child::keep::{Keeper, Orders, Ward};
use crate::record::Slots;
use crate::schedule::change::{Change, Changes, Comer};
use crate::schedule::clock::{Stop, SystemClock};
use crate::schedule::collect::Collection;
use crate::schedule::far::{Answers, lock};
use crate::schedule::ledger::Ledger;
use crate::schedule::member::{Home, Recruit};
use crate::schedule::tick::Schedule;
use crate::sink::Sinks;
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
    /// Where it takes down whom it calls.
    pub slots: Slots,
    /// Its sinks, at work.
    pub sinks: Sinks,
    /// Where snapshots go besides the sinks.
    pub streams: Vec<Feed>,
    /// It ends after so many snapshots; none for no end.
    pub snapshots: Option<u64>,
}

/// An agent that runs. Dropped, it ends as well, and nobody waits for it.
pub struct Agent {
    collection: Collection,
    nursery: Nursery,
    calls: Calls,
    stop: Stop,
    changes: Changes,
    /// Told when the first snapshot has left.
    begun: Arc<Notify>,
    sinks: Sinks,
    /// Told when nobody reads a sink any more, or nothing is collected any more.
    closed: Arc<Notify>,
}

/// How an agent ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The collection thread did not come back from a call.
    pub stuck: bool,
    /// Sinks that had not written what waited for them, and how many snapshots that is.
    pub unwritten: Vec<(Arc<str>, usize)>,
    /// Sinks whose last snapshots could not be written, and how many: no later line tells of them.
    pub untold: Vec<(Arc<str>, u64)>,
}

impl Ending {
    /// Whether nothing was lost.
    pub fn is_clean(&self) -> bool {
        !self.stuck && self.unwritten.is_empty() && self.untold.is_empty()
    }
}

impl Agent {
    /// Starts it. `closed` is told by sinks whose readers have gone.
    ///
    /// # Errors
    /// Threads or timers have run out.
    pub fn start(parts: Parts, closed: Arc<Notify>) -> io::Result<Agent> {
        let (clock, stop) = SystemClock::new()?;
        let streams = parts.streams;
        let end = Ends { sinks: parts.sinks.clone(), closed: Arc::clone(&closed) };
        let begun = Arc::new(Notify::new());
        let begins = Arc::clone(&begun);
        let emit = Box::new(move |snapshot: &Arc<Snapshot>| {
            end.sinks.push(snapshot);
            streams.iter().for_each(|stream| stream.push(snapshot));
            if snapshot.sequence == 0 {
                begins.notify_one();
            }
        });
        let aggregator = Aggregator::new(Arc::new(parts.identity));
        let answers = Arc::new(Answers::new()?);
        let mut schedule =
            Schedule::new(Arc::new(clock), aggregator, parts.ledger, Arc::clone(&answers), parts.snapshots, emit);
        let wards: Vec<_> = parts.recruits.into_iter().filter_map(|recruit| schedule.add(recruit)).collect();
        let ring = stop.clone();
        let changes = schedule.changes(move || ring.call());
        let nursery = Nursery::of(wards, &answers)?;
        if let Some(orders) = nursery.orders() {
            schedule.keep(orders);
        }
        let calls = Calls(parts.slots.clone());
        let collection = Collection::start(schedule, answers, parts.slots)?;
        Ok(Agent { collection, nursery, calls, stop, changes, begun, sinks: parts.sinks, closed })
    }

    /// Waits until nobody reads a sink any more, or nothing is collected any more.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Waits until the first snapshot has left.
    pub async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Who keeps its children.
    pub(crate) fn nursery(&self) -> Nursery {
        self.nursery.clone()
    }

    /// Where changes of its collectors are asked for.
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// The calls that are taken down.
    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }

    /// Has the sinks reopen what they write to.
    pub fn reopen(&self) {
        self.sinks.reopen();
    }

    /// Ends it: the tick that is going on, then what waits in the queues, [`SHUTDOWN`] in all.
    pub fn stop(self) -> Ending {
        let until = Instant::now() + SHUTDOWN;
        let left = || until.saturating_duration_since(Instant::now());
        self.stop.stop();
        // Half of the time for the tick to end as it would, then it leaves with those that have answered; a quarter is
        // left to the sinks.
        let mut stuck = !self.collection.wait(left().mul_f64(0.5));
        if stuck {
            self.collection.hurry();
            stuck = !self.collection.wait(left().mul_f64(0.5));
        }
        // A call that is still out at a clean end is no death.
        self.calls.forget();
        self.sinks.close();
        let mut ending = Ending { stuck, ..Ending::default() };
        for (sink, has_ended) in self.sinks.end(until) {
            let name = Arc::clone(&sink.name);
            if !has_ended {
                ending.unwritten.push((name, sink.queue.standing().depth));
            } else if sink.queue.untold() > 0 {
                ending.untold.push((name, sink.queue.untold()));
            }
        }
        // One that is stuck in the kernel ends when it is let go of: it was killed, and nobody needs to wait.
        if !self.nursery.end(left()) {
            tracing::debug!("a child has not ended yet");
        }
        ending
    }
}

/// Who keeps the children: started with the first collector that may have one.
#[derive(Clone)]
pub(crate) struct Nursery(Arc<Nurse>);

struct Nurse {
    answers: Arc<Answers>,
    keeper: Mutex<Option<Keeper>>,
    /// The schedule has its orders.
    is_known: AtomicBool,
}

impl Nursery {
    fn of(wards: Vec<Ward>, answers: &Arc<Answers>) -> io::Result<Nursery> {
        let is_known = AtomicBool::new(!wards.is_empty());
        let keeper = if wards.is_empty() { None } else { Some(Keeper::start(wards, Arc::clone(answers))?) };
        Ok(Nursery(Arc::new(Nurse { answers: Arc::clone(answers), keeper: Mutex::new(keeper), is_known })))
    }

    fn orders(&self) -> Option<Orders> {
        lock(&self.0.keeper).as_ref().map(Keeper::orders)
    }

    /// What the schedule is to be told for a change: none where it knows it, or nobody who comes may have a child.
    ///
    /// # Errors
    /// No thread or no descriptor is to be had.
    pub(crate) fn orders_for(&self, change: &Change) -> io::Result<Option<Orders>> {
        let may_have_a_child = |comer: &Comer| matches!(comer.recruit.home, Ok(Home::Child(_) | Home::Either { .. }));
        if self.0.is_known.load(Ordering::Relaxed) || !change.come.iter().any(may_have_a_child) {
            return Ok(None);
        }
        let mut keeper = lock(&self.0.keeper);
        if keeper.is_none() {
            *keeper = Some(Keeper::start(Vec::new(), Arc::clone(&self.0.answers))?);
        }
        Ok(keeper.as_ref().map(Keeper::orders))
    }

    /// The schedule was told.
    pub(crate) fn is_known(&self) {
        self.0.is_known.store(true, Ordering::Relaxed);
    }

    fn end(&self, patience: Duration) -> bool {
        lock(&self.0.keeper).as_ref().is_none_or(|keeper| keeper.stop(patience))
    }
}

/// What tells the agent after this one of a call that this one died in.
#[derive(Clone)]
pub struct Calls(Slots);

impl Calls {
    /// Takes it away: the end that comes is meant, whoever is still in a call.
    pub fn forget(&self) {
        if let Err(cause) = self.0.end() {
            tracing::debug!(%cause, "could not take away the file of calls");
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// Goes with the schedule: closes the sinks, and tells that nothing is collected any more, whatever it was that ended
/// the collection.
struct Ends {
    sinks: Sinks,
    closed: Arc<Notify>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.sinks.close();
        self.closed.notify_one();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::{Timing, own};
    use crate::own::Sources;
    use crate::sink::worker::Worker;
    use crate::sink::{Sink, SinkError};

    /// An agent of its own section alone, which ends after one snapshot.
    fn once(sinks: Sinks) -> Agent {
        let (ledger, closed) = (Arc::new(Ledger::default()), Arc::new(Notify::new()));
        let sources = Sources { ledger: Arc::clone(&ledger), sinks: sinks.clone() };
        let second = Duration::from_secs(1);
        let timing = Timing { interval: second, offset: Duration::ZERO, timeout: second };
        let recruits = vec![own(timing, sources, std::path::Path::new("/"))];
        let identity = Identity { host: None, run: String::new(), labels: Vec::new() };
        let parts = Parts {
            identity,
            ledger,
            recruits,
            slots: Slots::nowhere(),
            sinks,
            streams: Vec::new(),
            snapshots: Some(1),
        };
        let agent = Agent::start(parts, closed).unwrap();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(agent.closed());
        agent
    }

    #[test]
    fn agent_whose_collection_has_ended_by_itself_is_not_waited_for() {
        assert!(once(Sinks::default()).stop().is_clean());
    }

    /// A sink on a full disk.
    struct Full;

    impl Sink for Full {
        fn accept(&mut self, _: &Snapshot, _: u64) -> Result<(), SinkError> {
            Err(SinkError::Failed(io::ErrorKind::StorageFull.into()))
        }
    }

    #[test]
    fn end_tells_of_what_was_lost_last_and_no_line_tells_of() {
        let sink = Worker::start("full".into(), "file", Box::new(Full), Box::new(|| ())).unwrap();
        let sinks = Sinks::default();
        sinks.change(&[], vec![sink]);
        let ending = once(sinks).stop();
        assert_eq!(ending.untold, [("full".into(), 1)]);
        assert!(!ending.is_clean());
    }
}
