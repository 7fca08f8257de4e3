//! A collector that has a child, as the keeper holds it: alive, waited for or not wanted; and when it comes back after a
//! death. Pure, but for the look whether somebody has spoken.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::frame::Limits;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use rustix::time::Timespec;

use super::super::{Family, Printed, Start};
use super::news::Life;
use crate::snapshot::Mono;

/// The waits before a child is started again, by how often it died without a good answer in between.
const WAITS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// So many deaths in [`DEATHS_WITHIN`] are no accident. One that never answers does not come to it: its waits are too
/// long; one that answers and dies at every other call does.
const DEATHS_MAX: usize = 20;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);
/// A call that is out for so many timeouts has hung.
pub(super) const TIMEOUTS_MAX: u32 = 3;
/// What a child of a collector is started from: found out at its first start, in the keeper's thread.
pub type Starter = Box<dyn FnMut() -> Result<Start, String> + Send>;

/// A collector that has, or may come to have, a child.
pub struct Ward {
    /// Its place in the schedule, which is another's when it has left.
    pub place: usize,
    /// What it is told by from who had the place before, and from who has it after.
    pub tenant: u64,
    /// How a child of it is started.
    pub starter: Starter,
    /// What an answer may hold.
    pub limits: Limits,
    /// Its budget of memory, for the words of a death.
    pub memory: u64,
}

/// A ward, and how it stands.
pub(super) struct Kept {
    pub(super) ward: Ward,
    pub(super) start: Option<Start>,
    pub(super) state: State,
    /// Its collector has left: it goes when its child is buried.
    pub(super) dismissed: bool,
    /// How often it died since it last answered well.
    pub(super) failures: usize,
    pub(super) deaths: VecDeque<Mono>,
}

pub(super) enum State {
    /// Without a child, which is as it should be.
    Absent,
    Alive(Box<Alive>),
    /// To be started again then.
    Waits(Mono),
}

pub(super) struct Alive {
    pub(super) family: Family,
    pub(super) printed: Printed,
    pub(super) life: Arc<Life>,
    /// Why it was killed.
    pub(super) killed: Option<String>,
    /// It is to be killed then, if this call is still out.
    pub(super) watched: Option<Watched>,
    /// Nobody is to be told of its end.
    pub(super) left: bool,
    /// It was left, and the next one is wanted before this one is buried.
    pub(super) comes_back: bool,
}

pub(super) struct Watched {
    pub(super) until: Mono,
    pub(super) asked: u64,
    pub(super) line: Option<OwnedFd>,
}

impl Watched {
    /// Whether there is something on the line.
    pub(super) fn has_spoken(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let said = self.line.as_ref().map(|line| poll(&mut [PollFd::new(line, PollFlags::IN)], Some(&now)));
        said.is_some_and(|said| said.is_ok_and(|count| count > 0))
    }
}

impl Kept {
    pub(super) fn new(ward: Ward) -> Kept {
        Kept { ward, start: None, state: State::Absent, dismissed: false, failures: 0, deaths: VecDeque::new() }
    }

    /// When something is to be done about it.
    pub(super) fn moment(&self, now: Mono) -> Option<Mono> {
        match &self.state {
            State::Waits(at) => Some(*at),
            State::Alive(alive) => {
                let watched = alive.watched.as_ref().map(|watched| watched.until);
                watched.into_iter().chain(alive.printed.rests(now)).min()
            }
            State::Absent => None,
        }
    }

    /// Counts a death and tells after what wait it comes back.
    pub(super) fn died(&mut self, answered: bool, now: Mono) -> Option<Duration> {
        self.failures = if answered { 0 } else { self.failures };
        let wait = WAITS[self.failures.min(WAITS.len() - 1)];
        self.failures += 1;
        self.deaths.push_back(now);
        while self.deaths.front().is_some_and(|&death| now.since(death) > DEATHS_WITHIN) {
            self.deaths.pop_front();
        }
        (self.deaths.len() < DEATHS_MAX).then_some(wait)
    }
}

/// A child that is killed ends of that, or by itself as its line is closed too.
pub(super) fn is_of_a_kill(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.success() || status.signal() == Some(Signal::KILL.as_raw())
}

pub(in crate::child) fn words(status: std::process::ExitStatus, memory: u64) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    let memory = memory >> 20;
    match status.signal() {
        Some(signal) if signal == Signal::ABORT.as_raw() => {
            format!(
                "the child died: {status}; a program aborts, too, when it gets no memory: budget.memory is {memory} MiB"
            )
        }
        _ => format!("the child died: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let ward = Ward {
            place: 0,
            tenant: 0,
            starter: Box::new(|| Err("a test".into())),
            limits: Limits::default(),
            memory: 0,
        };
        Kept::new(ward)
    }

    fn at(milliseconds: u64) -> Mono {
        Mono(milliseconds * 1_000_000)
    }

    #[test]
    fn child_that_dies_is_back_at_once_and_then_after_waits_that_double_up_to_four_seconds() {
        let mut kept = kept();
        let waits: Vec<_> = (0..7).map(|death| kept.died(false, at(death * 10_000)).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 500, 1000, 2000, 4000, 4000, 4000]);
    }

    #[test]
    fn child_whose_late_answer_nobody_has_heard_yet_has_not_hung() {
        let (line, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let watched = Watched { until: at(0), asked: 1, line: Some(line.into()) };
        assert!(!watched.has_spoken());
        std::io::Write::write_all(&mut &theirs, b"x").unwrap();
        assert!(watched.has_spoken());
        assert!(!Watched { until: at(0), asked: 1, line: None }.has_spoken());
    }

    #[test]
    fn child_that_died_of_something_else_before_it_was_killed_is_not_told_as_killed() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |status| is_of_a_kill(std::process::ExitStatus::from_raw(status));
        // As wait(2) has them: exit codes 0 and 3, SIGKILL, SIGSEGV.
        assert_eq!([0, 3 << 8, 9, 11].map(ended), [true, false, true, false]);
    }

    #[test]
    fn good_answer_ends_the_waits() {
        let mut kept = kept();
        (0..3).for_each(|death| assert!(kept.died(false, at(death)).is_some()));
        assert_eq!(kept.died(true, at(4)), Some(Duration::ZERO));
    }

    #[test]
    fn twenty_deaths_within_a_minute_are_the_last() {
        let mut kept = kept();
        let deaths: Vec<_> = (0..20).map(|death| kept.died(true, at(death * 3_000)).is_some()).collect();
        assert_eq!(deaths.iter().position(|again| !again), Some(19));
        let mut kept = self::kept();
        assert!((0..100).all(|death| kept.died(true, at(death * 3_200)).is_some()));
    }
}
