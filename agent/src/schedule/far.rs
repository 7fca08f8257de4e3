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
    closed: bool,
}

/// Where calls return to.
#[derive(Default)]
pub struct Answers {
    returned: Mutex<Vec<Returned>>,
    arrived: Condvar,
}

impl Mailbox {
    /// Puts a call in. There is never another in it: a collector is asked again only when it has answered.
    pub fn post(&self, call: Call) {
        lock(&self.inner).call = Some(call);
        self.posted.notify_one();
    }

    /// There will be no more calls.
    pub fn close(&self) {
        lock(&self.inner).closed = true;
        self.posted.notify_one();
    }

    fn next(&self) -> Option<Call> {
        let mut inner = lock(&self.inner);
        while !inner.closed {
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
        lock(&self.returned).push(returned);
        self.arrived.notify_one();
    }

    /// Moves what has returned into `out`, after waiting for as long as nothing has, `patience` at most.
    pub fn collect(&self, patience: Duration, out: &mut Vec<Returned>) {
        let mut returned = lock(&self.returned);
        if returned.is_empty() && !patience.is_zero() {
            (returned, _) = self.arrived.wait_timeout(returned, patience).unwrap_or_else(PoisonError::into_inner);
        }
        out.append(&mut returned);
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
