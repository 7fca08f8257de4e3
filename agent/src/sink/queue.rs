//! The bounded queue between the collection thread, which never waits, and a sink's worker, which does.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::QUEUE_SNAPSHOTS;
use super::worker::Replacement;
use crate::snapshot::Snapshot;

/// The queue of one sink.
#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<Arc<Snapshot>>,
    /// Lost since the last one that was taken.
    gap: u64,
    lost: u64,
    written: u64,
    /// Why the last one was not written; none where it was.
    trouble: Option<String>,
    reopen: bool,
    replacement: Option<Replacement>,
    closed: bool,
    abandoned: bool,
}

/// What a worker is to do next.
#[derive(Debug)]
pub enum Next {
    /// Write this, and say that so many were lost before it.
    Snapshot(Arc<Snapshot>, u64),
    /// Reopen what is written to.
    Reopen,
    /// Write to something else.
    Replace(Replacement),
    /// End.
    Closed,
}

/// How a queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Snapshots that wait.
    pub depth: usize,
    /// Snapshots that were written.
    pub written: u64,
    /// Snapshots that were lost: pushed out, or not written.
    pub lost: u64,
}

impl Default for Queue {
    fn default() -> Queue {
        let inner = Inner {
            waiting: VecDeque::with_capacity(QUEUE_SNAPSHOTS),
            gap: 0,
            lost: 0,
            written: 0,
            trouble: None,
            reopen: false,
            replacement: None,
            closed: false,
            abandoned: false,
        };
        Queue { inner: Mutex::new(inner), changed: Condvar::new() }
    }
}

impl Queue {
    /// Puts a snapshot in; where the queue is full, the oldest goes, and where it is closed, this one.
    pub fn push(&self, snapshot: Arc<Snapshot>) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        if inner.waiting.len() == QUEUE_SNAPSHOTS {
            inner.waiting.pop_front();
            inner.gap += 1;
            inner.lost += 1;
        }
        inner.waiting.push_back(snapshot);
        self.changed.notify_one();
    }

    /// Asks the worker to reopen what it writes to, before it writes what waits.
    pub fn reopen(&self) {
        self.lock().reopen = true;
        self.changed.notify_one();
    }

    /// Asks the worker to let go of what it writes to for something else, before it writes what waits. One that was asked for before and not
    /// taken up is dropped, and whoever waits for it hears that.
    pub fn replace(&self, replacement: Replacement) {
        self.lock().replacement = Some(replacement);
        self.changed.notify_one();
    }

    /// Takes that back; false where the worker is at it.
    pub fn take_back(&self) -> bool {
        self.lock().replacement.take().is_some()
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Nobody reads the sink any more: what waits is let go of, and nothing more is taken in.
    pub fn abandon(&self) {
        let mut inner = self.lock();
        (inner.closed, inner.abandoned) = (true, true);
        inner.waiting.clear();
        // There is nobody to be told.
        inner.gap = 0;
    }

    /// Whether nobody reads the sink any more.
    pub fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// Waits for something to do. What is in the queue comes before its end.
    pub fn next(&self) -> Next {
        let mut inner = self.lock();
        loop {
            if inner.reopen {
                inner.reopen = false;
                return Next::Reopen;
            }
            if let Some(replacement) = inner.replacement.take() {
                return Next::Replace(replacement);
            }
            if let Some(snapshot) = inner.waiting.pop_front() {
                return Next::Snapshot(snapshot, std::mem::take(&mut inner.gap));
            }
            if inner.closed {
                return Next::Closed;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A snapshot was written.
    pub fn wrote(&self) {
        let mut inner = self.lock();
        inner.written += 1;
        inner.trouble = None;
    }

    /// A snapshot was not written: it, and the gap it was to tell of, are told of in the next.
    pub fn lost(&self, gap: u64, why: String) {
        let mut inner = self.lock();
        inner.gap += gap + 1;
        inner.lost += 1;
        inner.trouble = Some(why);
    }

    /// Why the last snapshot was not written; none where it was.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// How many were lost without a later line that tells of them.
    pub fn untold(&self) -> u64 {
        self.lock().gap
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let inner = self.lock();
        Standing { depth: inner.waiting.len(), written: inner.written, lost: inner.lost }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Identity, Wall};

    fn snapshot(sequence: u64) -> Arc<Snapshot> {
        let identity = Arc::new(Identity { host: None, run: String::new(), labels: Vec::new() });
        Arc::new(Snapshot {
            timestamp: Wall(0),
            sequence,
            identity,
            sections: Vec::new(),
            roster: Arc::default(),
            events: Vec::new(),
        })
    }

    fn take(queue: &Queue) -> (u64, u64) {
        match queue.next() {
            Next::Snapshot(snapshot, gap) => (snapshot.sequence, gap),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_gap_is_what_is_missing_between_two_lines_that_were_written() {
        let queue = Queue::default();
        queue.push(snapshot(0));
        assert_eq!(take(&queue), (0, 0));
        queue.wrote();
        (1..=QUEUE_SNAPSHOTS as u64 + 3).for_each(|sequence| queue.push(snapshot(sequence)));
        let (sequence, gap) = take(&queue);
        assert_eq!((sequence, gap), (4, 3));
        // It is not written, and one more is pushed out while it is tried.
        queue.push(snapshot(1000));
        queue.push(snapshot(1001));
        queue.lost(gap, "the disk is full".into());
        assert_eq!(queue.untold(), 5);
        assert_eq!(take(&queue), (6, 5));
        assert_eq!(queue.untold(), 0);
        assert_eq!((queue.standing().written, queue.standing().lost), (1, 5));
    }

    #[test]
    fn queue_that_nobody_reads_any_more_holds_and_loses_nothing() {
        let queue = Queue::default();
        (0..=QUEUE_SNAPSHOTS as u64).for_each(|sequence| queue.push(snapshot(sequence)));
        queue.abandon();
        (0..300).for_each(|sequence| queue.push(snapshot(sequence)));
        assert_eq!(queue.standing(), Standing { depth: 0, written: 0, lost: 1 });
        assert_eq!(queue.untold(), 0);
        assert!(matches!(queue.next(), Next::Closed));
    }
}
