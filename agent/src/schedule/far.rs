//! What is not called in the collection thread: a request goes into a collector's mailbox, or down the line of a child;
//! what comes back goes to the one place where the collection thread looks.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::time::Timespec;

use super::call::{Call, Returned};
use crate::child::keep::News;
use crate::record::Slot;

/// Lines that are told of at once. The next round tells of the others.
const READY_MAX: usize = 64;
/// What the bell is called among the lines, which are called by their collectors' places.
const BELL: u64 = u64::MAX;

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

/// Where calls return to, and where lines to children are listened at. The bell rings only for a thread that waits.
pub struct Answers {
    inner: Mutex<Arrived>,
    bell: OwnedFd,
    all: OwnedFd,
}

#[derive(Default)]
struct Arrived {
    returned: Vec<Returned>,
    news: Vec<News>,
    /// The lines that are listened at; where there are none, nothing is asked of the system.
    lines: usize,
    waits: bool,
    /// For good: the end has come.
    hurried: bool,
    /// For the tick that is going on: somebody waits for the edge of it.
    pressed: bool,
}

/// What was found there.
#[derive(Default)]
pub struct Arrivals {
    /// Calls that returned.
    pub returned: Vec<Returned>,
    /// What became of children.
    pub news: Vec<News>,
    /// Collectors whose child has said something.
    pub ready: Vec<usize>,
}

impl Arrivals {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.news.is_empty() && self.ready.is_empty()
    }
}

impl Mailbox {
    /// Puts a call in. There is never another in it: a collector is asked again only when it has answered.
    pub fn post(&self, call: Call) {
        lock(&self.inner).call = Some(call);
        self.posted.notify_one();
    }

    /// The collector is called elsewhere from now on, and its thread may go. If it ever hangs again, it brings another.
    /// Gives back a call that was posted and not begun.
    pub fn dismiss(&self) -> Option<Call> {
        let mut inner = lock(&self.inner);
        inner.dismissed = true;
        self.posted.notify_one();
        inner.call.take()
    }

    /// There will be no more calls. Gives back one that was not begun, which holds on to this mailbox.
    pub fn close(&self) -> Option<Call> {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        self.posted.notify_one();
        inner.call.take()
    }

    /// Whether the collector has left for good.
    pub fn is_closed(&self) -> bool {
        lock(&self.inner).closed
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
    /// An empty place.
    ///
    /// # Errors
    /// Descriptors have run out.
    pub fn new() -> io::Result<Answers> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let all = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&all, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(Answers { inner: Mutex::default(), bell, all })
    }

    /// Hands in what a call came back with.
    pub fn hand_in(&self, returned: Returned) {
        let mut inner = lock(&self.inner);
        inner.returned.push(returned);
        self.ring(inner);
    }

    /// Tells what became of a child.
    pub fn tell(&self, news: News) {
        let mut inner = lock(&self.inner);
        news.add_to(&mut inner.news);
        self.ring(inner);
    }

    /// Nobody waits for answers any more: the end has come, and the snapshot leaves with those that are there.
    pub fn hurry(&self) {
        let mut inner = lock(&self.inner);
        inner.hurried = true;
        self.ring(inner);
    }

    /// Nobody waits for answers in the tick that is going on, or that is over again.
    pub fn press(&self, pressed: bool) {
        let mut inner = lock(&self.inner);
        inner.pressed = pressed;
        if pressed {
            self.ring(inner);
        }
    }

    fn ring(&self, inner: MutexGuard<'_, Arrived>) {
        let waits = inner.waits;
        drop(inner);
        if waits {
            // It fails only where it has rung 2^64 times and nobody came.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Listens at the line of the collector at `place`, until [`Answers::leave`].
    ///
    /// # Errors
    /// The system has no room for it.
    pub fn listen(&self, place: usize, line: impl AsFd) -> io::Result<()> {
        epoll::add(&self.all, line, epoll::EventData::new_u64(place as u64), epoll::EventFlags::IN)?;
        lock(&self.inner).lines += 1;
        Ok(())
    }

    /// Listens there no more.
    pub fn leave(&self, line: impl AsFd) {
        // It was added, so it is there.
        let _ = epoll::delete(&self.all, line);
        lock(&self.inner).lines -= 1;
    }

    /// Moves what has arrived into `out`, after waiting for as long as nothing has, `patience` at most. False where
    /// there is no use in waiting again.
    pub fn collect(&self, patience: Duration, out: &mut Arrivals) -> bool {
        let mut inner = lock(&self.inner);
        let quiet = inner.returned.is_empty() && inner.news.is_empty() && !inner.hurried && !inner.pressed;
        let waits = quiet && !patience.is_zero();
        if waits || inner.lines > 0 {
            inner.waits = waits;
            drop(inner);
            if waits {
                self.wait(patience);
            }
            self.look(out);
            inner = lock(&self.inner);
            inner.waits = false;
        }
        out.returned.append(&mut inner.returned);
        out.news.append(&mut inner.news);
        !inner.hurried && !inner.pressed && !patience.is_zero()
    }

    /// To the nanosecond, where `epoll_wait` has steps of a millisecond and the cut-off of a 10 ms tick is one away from it.
    fn wait(&self, patience: Duration) {
        let patience = Timespec { tv_sec: patience.as_secs() as _, tv_nsec: patience.subsec_nanos().into() };
        // Interrupted, it is as if nothing had come: whoever waits looks at the time.
        let _ = poll(&mut [PollFd::new(&self.all, PollFlags::IN)], Some(&patience));
    }

    fn look(&self, out: &mut Arrivals) {
        let mut found = [const { std::mem::MaybeUninit::uninit() }; READY_MAX];
        // Interrupted, what is there will be there at the next look.
        let Ok((found, _)) = epoll::wait(&self.all, &mut found, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) else {
            return;
        };
        for event in found {
            match event.data.u64() {
                BELL => {
                    // Nobody else reads it, so it has rung.
                    let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
                }
                place => out.ready.push(place as usize),
            }
        }
    }
}

/// The life of a thread that one collector has for itself, from the return of the call that it hung in.
pub fn serve(first: Returned, answers: &Arc<Answers>, slot: &Slot) {
    let mailbox = Arc::clone(first.caller.mailbox());
    answers.hand_in(first);
    while let Some(call) = mailbox.next() {
        answers.hand_in(call.run(slot));
    }
}

/// What the lock guards is whole between any two statements, so a panic elsewhere does not spoil it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
