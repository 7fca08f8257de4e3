//! The worker: it asks file systems for their space, so that one that never answers holds up nobody else.
//!
//! One thread, started when there is something to ask and ended after a minute without. A question that keeps it for
//! longer than [`HAND_ON`] while others wait leaves it behind, and another goes on: at most [`WORKERS_MAX`], of which
//! no more than [`SLOW_MAX`] are with file systems that may have to ask others. Nothing here can end a thread that the
//! kernel does not let go; it is counted until it comes back.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::{Error, Host, Space};

/// How long a question may keep a worker while others wait. A local file system answers in 2 µs, one that has to look
/// at its disk in 1 ms.
const HAND_ON: Duration = Duration::from_millis(2);
/// Threads at once. Each that hangs is 20 KB and one task in the state D; more than a few say nothing new.
const WORKERS_MAX: usize = 8;
/// Of these, with file systems that may have to ask others: the mounts of one dead server must not use up all.
const SLOW_MAX: usize = 4;
/// How long a worker waits for the next question before it ends: longer than the pace of slow file systems.
const REST: Duration = Duration::from_secs(60);
/// A system call, and the agent's half of it: 128 KiB is plenty, and is address space rather than memory.
const STACK: usize = 128 << 10;

pub(crate) struct Question {
    pub(crate) id: u64,
    pub(crate) path: Arc<Path>,
    pub(crate) is_slow: bool,
}

pub(crate) struct Answered {
    pub(crate) id: u64,
    pub(crate) space: Result<Space, Error>,
    pub(crate) at: Instant,
    pub(crate) took: Duration,
}

pub(crate) struct Workers {
    host: Host,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    quick: VecDeque<Question>,
    slow: VecDeque<Question>,
    /// The questions that workers are with.
    asking: Vec<u64>,
    answers: Vec<Answered>,
    /// Threads, and those of them that wait for a question.
    alive: usize,
    idle: usize,
    /// How many questions from `first` on have no answer yet.
    awaited: usize,
    first: u64,
    /// Counts what workers took up: whether they get on.
    taken: u64,
    closed: bool,
}

impl State {
    fn is_ready(&self) -> bool {
        !self.quick.is_empty() || (!self.slow.is_empty() && self.asking.len() < SLOW_MAX)
    }

    fn next(&mut self) -> Option<Question> {
        let slow = self.asking.len() < SLOW_MAX;
        self.quick.pop_front().or_else(|| if slow { self.slow.pop_front() } else { None })
    }
}

impl Workers {
    pub(crate) fn new(host: &Host) -> Workers {
        Workers { host: host.clone(), shared: Arc::default() }
    }

    /// Hands over questions, whose numbers go up from `first` and were never used before.
    ///
    /// # Errors
    /// There is no worker and none could be started; the questions stay for the next time.
    pub(crate) fn ask(&self, questions: &mut Vec<Question>) -> Result<(), Error> {
        let Some(first) = questions.first().map(|question| question.id) else { return Ok(()) };
        let mut state = self.shared.lock();
        (state.first, state.awaited) = (first, questions.len());
        for question in questions.drain(..) {
            let queue = if question.is_slow { &mut state.slow } else { &mut state.quick };
            queue.push_back(question);
        }
        if state.idle > 0 {
            self.shared.asked.notify_one();
        } else if state.alive == 0 {
            self.start(&mut state)?;
        }
        Ok(())
    }

    /// Waits for what was asked last.
    ///
    /// # Errors
    /// Another worker was needed and could not be started.
    pub(crate) fn wait(&self, until: Instant) -> Result<(), Error> {
        let mut state = self.shared.lock();
        while state.awaited > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let taken = state.taken;
            let waited = self.shared.answered.wait_timeout(state, left.min(HAND_ON));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let is_stuck = state.awaited > 0 && state.taken == taken && state.asking.len() == state.alive;
            if is_stuck && state.is_ready() && state.alive < WORKERS_MAX {
                self.start(&mut state)?;
            }
        }
        Ok(())
    }

    /// Takes the answers that have come.
    pub(crate) fn take(&self, into: &mut Vec<Answered>) {
        into.append(&mut self.shared.lock().answers);
    }

    /// Whether a worker is with this question, rather than not yet come to it.
    pub(crate) fn is_with(&self, question: u64) -> bool {
        self.shared.lock().asking.contains(&question)
    }

    fn start(&self, state: &mut State) -> Result<(), Error> {
        let (host, shared) = (self.host.clone(), Arc::clone(&self.shared));
        let thread = std::thread::Builder::new().name("perfwatch-space".into()).stack_size(STACK);
        // Never joined: it may hang for good.
        thread
            .spawn(move || work(&host, &shared))
            .map_err(|cause| Error::failed("could not start a thread to ask for the space of mounts").because(cause))?;
        state.alive += 1;
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.asked.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding it; if so, what it holds is counters and queues, whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(host: &Host, shared: &Shared) {
    let mut state = shared.lock();
    while !state.closed {
        if let Some(question) = state.next() {
            state.taken += 1;
            state.asking.push(question.id);
            drop(state);
            let started = Instant::now();
            let space = host.statvfs(&*question.path);
            let at = Instant::now();
            state = shared.lock();
            state.asking.retain(|asking| *asking != question.id);
            state.answers.push(Answered { id: question.id, space, at, took: at - started });
            if question.id >= state.first {
                state.awaited -= 1;
                if state.awaited == 0 {
                    shared.answered.notify_one();
                }
            }
        } else if state.idle > 0 {
            break; // one that waits is enough
        } else {
            state.idle += 1;
            let (woken, timeout) = shared.asked.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && !state.is_ready() {
                break;
            }
        }
    }
    state.alive -= 1;
}
