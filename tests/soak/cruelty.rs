//! What befalls the children from outside: killed, stopped and made to crash at random moments; and how long the agent took to notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;

use crate::chance::Chance;
use crate::sample::{Stat, children};

/// A child that is stopped while nobody asks it (it backs off) is let go after that.
const PATIENCE: Timespec = Timespec { tv_sec: 3, tv_nsec: 0 };
/// Between two looks whether a dead child was taken away.
const PAUSE: Duration = Duration::from_micros(100);
/// Rust takes a SIGSEGV for a fault of the program and lets it happen again, so that one that was sent kills only the second time.
const TWICE: Duration = Duration::from_millis(20);
const SIGNALS: [(&str, Signal); 3] = [("SIGKILL", Signal::KILL), ("SIGSTOP", Signal::STOP), ("SIGSEGV", Signal::SEGV)];

pub(crate) struct Cruelty {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Acts>,
}

/// What was done.
#[derive(Default)]
pub(crate) struct Acts {
    of_signals: [Act; SIGNALS.len()],
    /// From a death to the moment when the child was no zombie any more.
    noticed: Vec<Duration>,
}

#[derive(Default)]
struct Act {
    times: u64,
    /// It was stopped and not asked meanwhile.
    let_go: u64,
    /// From the signal to the death.
    took: Vec<Duration>,
}

impl Cruelty {
    pub(crate) fn start(agent: u32, mut chance: Chance) -> Cruelty {
        let stop = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut acts = Acts::default();
            thread::sleep(Duration::from_secs(3));
            while !end.load(Ordering::Relaxed) {
                act(agent, &mut chance, &mut acts);
                thread::sleep(Duration::from_millis(300 + chance.below(2500)));
            }
            acts
        });
        Cruelty { stop, thread }
    }

    pub(crate) fn stop(self) -> Acts {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

fn act(agent: u32, chance: &mut Chance, acts: &mut Acts) {
    let children = children(agent);
    if children.is_empty() {
        return;
    }
    let (number, _) = *chance.of(&children.iter().map(|(pid, stat)| (*pid, stat.state)).collect::<Vec<_>>());
    let Some(pid) = i32::try_from(number).ok().and_then(Pid::from_raw) else { return };
    let Ok(child) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    // The number may have been given to somebody else in between; from here on it is held.
    if Stat::of(number).is_none_or(|stat| stat.parent != agent) {
        return;
    }
    let which = chance.below(SIGNALS.len() as u64) as usize;
    let sent = Instant::now();
    if pidfd_send_signal(&child, SIGNALS[which].1).is_err() {
        return;
    }
    if SIGNALS[which].1 == Signal::SEGV {
        thread::sleep(TWICE);
        // It may have died meanwhile.
        let _ = pidfd_send_signal(&child, Signal::SEGV);
    }
    let act = &mut acts.of_signals[which];
    act.times += 1;
    let mut dead = [PollFd::new(&child, PollFlags::IN)];
    if !poll(&mut dead, Some(&PATIENCE)).is_ok_and(|events| events > 0) {
        act.let_go += 1;
        // It may have died this very moment.
        let _ = pidfd_send_signal(&child, Signal::CONT);
        return;
    }
    let died = Instant::now();
    act.took.push(died - sent);
    while Stat::of(number).is_some_and(|stat| stat.parent == agent) && died.elapsed() < Duration::from_secs(3) {
        thread::sleep(PAUSE);
    }
    acts.noticed.push(died.elapsed());
}

impl Acts {
    pub(crate) fn print(&self) {
        for ((name, _), act) in SIGNALS.iter().zip(&self.of_signals) {
            println!(
                "{name} to a child: {} times, dead after {}; not dead for 3 s, since it was not asked: {}",
                act.times,
                spread(&act.took),
                act.let_go
            );
        }
        println!("from a child's death to the agent having taken it away: {}", spread(&self.noticed));
    }
}

fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default();
    format!("{:.2?} (p50), {:.2?} (p99), {:.2?} (most)", at(50), at(99), at(100))
}
