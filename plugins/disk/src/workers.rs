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

/// What is done with a path: `statvfs`, in a test something that can be let go.
type Ask = Arc<dyn Fn(&Path) -> Result<Space, Error> + Send + Sync>;

pub(crate) struct Workers {
    ask: Ask,
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
        let host = host.clone();
        Workers::with(Arc::new(move |path| host.statvfs(path)))
    }

    fn with(ask: Ask) -> Workers {
        Workers { ask, shared: Arc::default() }
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
        let (ask, shared) = (Arc::clone(&self.ask), Arc::clone(&self.shared));
        let thread = std::thread::Builder::new().name("perfwatch-space".into()).stack_size(STACK);
        // Never joined: it may hang for good.
        thread
            .spawn(move || work(&ask, &shared))
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

fn work(ask: &Ask, shared: &Shared) {
    let mut state = shared.lock();
    while !state.closed {
        if let Some(question) = state.next() {
            state.taken += 1;
            state.asking.push(question.id);
            drop(state);
            let started = Instant::now();
            let space = ask(&question.path);
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// File systems below `/hangs` answer when they are let go.
    #[derive(Default)]
    struct Gate {
        open: Mutex<bool>,
        opened: Condvar,
    }

    fn workers() -> (Workers, Arc<Gate>) {
        let gate = Arc::new(Gate::default());
        let held = Arc::clone(&gate);
        let ask = move |path: &Path| {
            if path.starts_with("/hangs") {
                drop(held.opened.wait_while(held.open.lock().unwrap(), |open| !*open).unwrap());
            }
            Ok(Space { total_bytes: path.as_os_str().len() as u64, ..Space::default() })
        };
        (Workers::with(Arc::new(ask)), gate)
    }

    impl Gate {
        fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.opened.notify_all();
        }
    }

    impl Workers {
        fn ask_for(&self, first: u64, paths: &[&str], is_slow: bool) {
            let question = |(id, path): (u64, &&str)| Question { id, path: Path::new(path).into(), is_slow };
            self.ask(&mut (first..).zip(paths).map(question).collect()).unwrap();
        }

        /// Waits as readings do, until so many have answered; their numbers.
        fn answered(&self, count: usize) -> Vec<u64> {
            let (mut answers, end) = (Vec::new(), Instant::now() + DEADLINE);
            while answers.len() < count {
                assert!(Instant::now() < end, "{} of {count} have answered", answers.len());
                self.wait(Instant::now() + 5 * HAND_ON).unwrap();
                self.take(&mut answers);
            }
            let mut ids: Vec<u64> = answers.iter().map(|answer| answer.id).collect();
            ids.sort();
            ids
        }

        fn until(&self, what: impl Fn(&State) -> bool) {
            let end = Instant::now() + DEADLINE;
            while !what(&self.shared.lock()) {
                assert!(Instant::now() < end, "it never came to that");
                self.wait(Instant::now() + 5 * HAND_ON).unwrap();
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn one_thread_answers_what_does_not_hang_and_stays_for_more() {
        let (workers, _gate) = workers();
        workers.ask_for(0, &["/", "/a", "/bb"], false);
        assert_eq!(workers.answered(3), [0, 1, 2]);
        workers.until(|state| state.idle == 1);
        workers.ask_for(3, &["/ccc"], false);
        assert_eq!(workers.answered(1), [3]);
        assert_eq!(workers.shared.lock().alive, 1);
    }

    #[test]
    fn one_that_hangs_holds_up_nobody_and_answers_when_it_can() {
        let (workers, gate) = workers();
        workers.ask_for(0, &["/hangs", "/a", "/b"], false);
        assert_eq!(workers.answered(2), [1, 2]);
        assert!(workers.is_with(0) && !workers.is_with(1));
        workers.ask_for(3, &["/a"], false);
        assert_eq!(workers.answered(1), [3], "the other worker is there for the next reading");
        assert_eq!(workers.shared.lock().alive, 2);
        gate.open();
        assert_eq!(workers.answered(1), [0]);
        workers.until(|state| state.alive == 1 && state.idle == 1);
    }

    #[test]
    fn slow_file_systems_that_hang_leave_workers_for_the_others() {
        let (workers, gate) = workers();
        let six = ["/hangs/0", "/hangs/1", "/hangs/2", "/hangs/3", "/hangs/4", "/hangs/5"];
        workers.ask_for(0, &six, true);
        workers.until(|state| state.asking.len() == SLOW_MAX);
        workers.ask_for(6, &["/", "/a"], false);
        assert_eq!(workers.answered(2), [6, 7]);
        assert_eq!(workers.shared.lock().asking, [0, 1, 2, 3]);
        gate.open();
        assert_eq!(workers.answered(6), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn there_are_never_more_workers_than_the_most() {
        let (workers, gate) = workers();
        workers.ask_for(0, &["/hangs"; WORKERS_MAX + 4], false);
        workers.until(|state| state.asking.len() == WORKERS_MAX);
        workers.wait(Instant::now() + 5 * HAND_ON).unwrap();
        assert_eq!(workers.shared.lock().alive, WORKERS_MAX);
        gate.open();
        assert_eq!(workers.answered(WORKERS_MAX + 4).len(), WORKERS_MAX + 4);
        workers.until(|state| state.alive == 1);
    }

    #[test]
    fn workers_end_with_the_collector() {
        let (workers, _gate) = workers();
        workers.ask_for(0, &["/"], false);
        workers.answered(1);
        let shared = Arc::downgrade(&workers.shared);
        drop(workers);
        let end = Instant::now() + DEADLINE;
        while shared.upgrade().is_some() {
            assert!(Instant::now() < end, "a worker is still there");
            std::thread::yield_now();
        }
    }
}
