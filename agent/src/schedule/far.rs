//! Calls on other threads: a request goes into a collector's mailbox, what returns goes to the one place where the
//! collection thread looks.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::call::{Call, Returned};

/// Where the thread of one collector finds its next call.
#[derive(Default)]
pub struct Mailbox {
    inner: Mutex<Post>,
    posted: Condvar,
}

#[derive(Default)]
struct Post {
    call: Option<Call>,
    dismissed: bool,
    closed: bool,
}

/// Where calls return to.
#[derive(Default)]
pub struct Answers {
    inner: Mutex<Arrived>,
    arrived: Condvar,
}

#[derive(Default)]
struct Arrived {
    returned: Vec<Returned>,
    hurried: bool,
}

impl Mailbox {
    /// Puts a call in. There is never another in it: a collector is asked again only when it has answered.
    pub fn post(&self, call: Call) {
        lock(&self.inner).call = Some(call);
        self.posted.notify_one();
    }

    /// The collector is called elsewhere from now on, and its thread may go. If it ever hangs again, it brings another.
    pub fn dismiss(&self) {
        lock(&self.inner).dismissed = true;
        self.posted.notify_one();
    }

    /// There will be no more calls.
    pub fn close(&self) {
        lock(&self.inner).closed = true;
        self.posted.notify_one();
    }

    /// Waits for the next call; none where the thread may go.
    pub(super) fn next(&self) -> Option<Call> {
        let mut inner = lock(&self.inner);
        while !inner.closed && !std::mem::take(&mut inner.dismissed) {
            match inner.call.take() {
                Some(call) => return Some(call),
                None => inner = self.posted.wait(inner).unwrap_or_else(PoisonError::into_inner),
            }
        }
        None
    }
}

impl Answers {
    /// Hands in what a call came back with.
    pub fn hand_in(&self, returned: Returned) {
        lock(&self.inner).returned.push(returned);
        self.arrived.notify_one();
    }

    /// Nobody waits for answers any more: the end has come, and the snapshot leaves with those that are there.
    pub fn hurry(&self) {
        lock(&self.inner).hurried = true;
        self.arrived.notify_one();
    }

    /// Moves what has returned into `out`, after waiting for as long as nothing has, `patience` at most. False where
    /// there is no use in waiting again.
    pub fn collect(&self, patience: Duration, out: &mut Vec<Returned>) -> bool {
        let mut inner = lock(&self.inner);
        if inner.returned.is_empty() && !inner.hurried && !patience.is_zero() {
            (inner, _) = self.arrived.wait_timeout(inner, patience).unwrap_or_else(PoisonError::into_inner);
        }
        out.append(&mut inner.returned);
        !inner.hurried && !patience.is_zero()
    }
}

/// The life of a thread that one collector has for itself, from the return of the call that it hung in.
pub fn serve(first: Returned, mailbox: &Arc<Mailbox>, answers: &Arc<Answers>) {
    answers.hand_in(first);
    while let Some(call) = mailbox.next() {
        answers.hand_in(call.run());
    }
}

/// What the lock guards is whole between any two statements, so a panic elsewhere does not spoil it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
