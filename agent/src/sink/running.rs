//! The sinks that run: a list that a reload changes while snapshots go through it.
//!
//! A snapshot goes to all that are in the list at one moment, so that a change is seen by whole snapshots.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::worker::Worker;
use crate::schedule::far::lock;
use crate::snapshot::Snapshot;

/// Between two looks whether a sink has ended that is to: it has a file to finish, which takes milliseconds of a disk.
const PAUSE: Duration = Duration::from_millis(5);

/// The list; a clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Sinks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    running: Mutex<Vec<Worker>>,
    /// Those that are to write what waits for them, and end.
    leaving: Mutex<Vec<Worker>>,
    /// Told when the last of them has lost its reader.
    closed: Arc<Notify>,
}

impl Sinks {
    /// None yet; `closed` is told when the last of them has lost its reader.
    pub fn new(closed: Arc<Notify>) -> Sinks {
        Sinks(Arc::new(Inner { closed, ..Inner::default() }))
    }

    /// What a worker of this list does when its reader has gone.
    pub fn on_closed(&self) -> super::worker::OnClosed {
        let list = Arc::downgrade(&self.0);
        Box::new(move || {
            if let Some(list) = list.upgrade() {
                Sinks(list).tell_if_closed();
            }
        })
    }

    fn tell_if_closed(&self) {
        let closed = |worker: &Worker| worker.queue.is_abandoned();
        if self.with(|running| !running.is_empty() && running.iter().all(closed)) {
            self.0.closed.notify_one();
        }
    }

    /// Hands a snapshot to all of them.
    pub fn push(&self, snapshot: &Arc<Snapshot>) {
        lock(&self.0.running).iter().for_each(|worker| worker.queue.push(Arc::clone(snapshot)));
    }

    /// Has them reopen what they write to.
    pub fn reopen(&self) {
        lock(&self.0.running).iter().for_each(|worker| worker.queue.reopen());
    }

    /// Looks at them. Short: a snapshot may be waiting.
    pub fn with<T>(&self, look: impl FnOnce(&mut Vec<Worker>) -> T) -> T {
        look(&mut lock(&self.0.running))
    }

    /// From the next snapshot on, those that are named are gone and these are there. Who goes writes what waits for it first.
    pub fn change(&self, gone: &[&str], come: Vec<Worker>) {
        let left: Vec<Worker> = self.with(|running| {
            let left = running.extract_if(.., |worker| gone.contains(&&*worker.name)).collect();
            running.extend(come);
            left
        });
        left.iter().for_each(|worker| worker.queue.close());
        let mut leaving = lock(&self.0.leaving);
        leaving.retain(|worker| !worker.has_ended());
        leaving.extend(left);
        drop(leaving);
        self.tell_if_closed();
    }

    /// Waits until those that are to end have, `patience` at most; tells whether there were any.
    pub fn await_leaving(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut were_any = false;
        loop {
            let mut leaving = lock(&self.0.leaving);
            leaving.retain(|worker| !worker.has_ended());
            let is_over = leaving.is_empty() || Instant::now() >= until;
            were_any |= !leaving.is_empty();
            drop(leaving);
            if is_over {
                return were_any;
            }
            // The end of the agent wants the list as well.
            thread::sleep(PAUSE);
        }
    }

    /// Nothing more comes.
    pub fn close(&self) {
        lock(&self.0.running).iter().for_each(|worker| worker.queue.close());
    }

    /// Waits until all have ended, until this moment at most, and gives each, with whether it has.
    pub fn end(&self, until: Instant) -> Vec<(Worker, bool)> {
        let mut all = std::mem::take(&mut *lock(&self.0.running));
        all.append(&mut lock(&self.0.leaving));
        let ended = |worker: &Worker| worker.wait(until.saturating_duration_since(Instant::now()).max(Duration::ZERO));
        all.into_iter().map(|worker| (ended(&worker), worker)).map(|(ended, worker)| (worker, ended)).collect()
    }
}
