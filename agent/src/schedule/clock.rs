//! Time: the one file that asks the clocks and sleeps on them.
//!
//! Ticks are wall-clock moments, so the collection thread sleeps on a timerfd of `CLOCK_REALTIME`, absolute and
//! cancelled when the clock is set: alignment without arithmetic, and a step is told at once. tokio's timers have
//! steps of 1 ms and are not used. Growth is divided by `CLOCK_MONOTONIC`, which neither steps nor counts a suspend;
//! a suspend is what `CLOCK_BOOTTIME` gained on it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};

use crate::snapshot::{Mono, Wall};

/// Readings of several clocks that are not further apart than this are of one moment. They take less than a microsecond.
const NEAR: Duration = Duration::from_millis(1);
/// How often they are tried; on a machine where that is not enough, nobody knows the time.
const TRIES: usize = 10;

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The moment has come, or passed.
    Due,
    /// The wall clock was set.
    Stepped,
    /// The agent is to stop.
    Stopped,
    /// Somebody wants something of the sleeper, now.
    Called,
}

/// What a sleeper is told beside the time: for good, and once each.
const STOP: u8 = 1;
const CALL: u8 = 2;
const STEP: u8 = 4;

/// What tells the time to the schedule: the machine's clocks, or a manual one in tests.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn wall(&self) -> Wall;
    /// The monotonic clock.
    fn mono(&self) -> Mono;
    /// Nanoseconds that the machine has slept since it booted.
    fn slept(&self) -> u64;
    /// Sleeps until a moment of the wall clock.
    fn sleep_until(&self, due: Wall) -> Wake;
}

/// The machine's clocks.
pub struct SystemClock {
    alarm: Arc<Alarm>,
    signs: Arc<AtomicU8>,
}

/// Ends a sleep of a [`SystemClock`], once or for good, from any thread.
#[derive(Clone)]
pub struct Stop {
    alarm: Arc<Alarm>,
    signs: Arc<AtomicU8>,
}

impl SystemClock {
    /// The clock, and what stops it.
    ///
    /// # Errors
    /// No timer is to be had.
    pub fn new() -> io::Result<(SystemClock, Stop)> {
        let alarm = Arc::new(Alarm::new(TimerfdClockId::Realtime)?);
        // Never, but from now on the kernel takes down that the clock was set.
        alarm.arm(u64::MAX)?;
        let signs = Arc::new(AtomicU8::new(0));
        Ok((SystemClock { alarm: Arc::clone(&alarm), signs: Arc::clone(&signs) }, Stop { alarm, signs }))
    }

    /// What a sleeper was told, with what became of its timer. A step comes before a call: it is told once, the call stays.
    fn heed(&self, timer: rustix::io::Result<()>) -> Option<Wake> {
        let signs = self.signs.load(Ordering::Acquire);
        let heard = |sign: u8| {
            if signs & sign != 0 {
                self.signs.fetch_and(!sign, Ordering::AcqRel);
            }
            signs & sign != 0
        };
        if signs & STOP != 0 {
            Some(Wake::Stopped)
        } else if heard(STEP) || timer == Err(rustix::io::Errno::CANCELED) {
            Some(Wake::Stepped)
        } else {
            heard(CALL).then_some(Wake::Called)
        }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Wall {
        Wall(now(ClockId::Realtime))
    }

    fn mono(&self) -> Mono {
        mono()
    }

    fn slept(&self) -> u64 {
        at_once(|| {
            let (before, boot) = (mono(), now(ClockId::Boottime));
            (before, boot.saturating_sub(before.0), mono())
        })
    }

    fn sleep_until(&self, due: Wall) -> Wake {
        // That the clock was set during the tick is told here, and never by the wait (timerfd_create(2), notes). The
        // alarm is set all the same.
        let mut timer = self.alarm.arm(due.0);
        loop {
            if let Some(wake) = self.heed(timer) {
                return wake;
            }
            timer = self.alarm.wait();
            if timer.is_ok() {
                return self.heed(timer).unwrap_or(Wake::Due);
            }
        }
    }
}

impl Stop {
    /// Stops the clock.
    pub fn stop(&self) {
        self.tell(STOP);
    }

    /// Ends the sleep that is going on, or the next one, with [`Wake::Called`].
    pub fn call(&self) {
        self.tell(CALL);
    }

    fn tell(&self, sign: u8) {
        self.signs.fetch_or(sign, Ordering::AcqRel);
        // A moment long past: the sleeper wakes at once, and finds the sign. Woken for nothing, it finds nobody due.
        if self.alarm.arm(1) == Err(rustix::io::Errno::CANCELED) {
            // That the clock was set is told once, and was told here.
            self.signs.fetch_or(STEP, Ordering::AcqRel);
            self.alarm.set(1);
        }
    }
}

/// What was read of several clocks between two moments, where they are near enough to count as one. A thread that lost
/// its processor between two readings would take that for a suspend, or for a step of the clock.
pub(super) fn at_once<T>(mut read: impl FnMut() -> (Mono, T, Mono)) -> T {
    for _ in 0..TRIES {
        let (before, found, after) = read();
        if after.since(before) < NEAR {
            return found;
        }
    }
    read().1
}

/// The time of the monotonic clock.
pub fn mono() -> Mono {
    Mono(now(ClockId::Monotonic))
}

/// The time of the wall clock.
pub fn wall() -> Wall {
    Wall(now(ClockId::Realtime))
}

/// CPU time of this thread, to the nanosecond: a system call. getrusage(2) takes half as long and knows it to the scheduler's last tick
/// alone, which is milliseconds ago.
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(now(ClockId::ThreadCPUTime))
}

fn now(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// A timer that one thread waits for and any thread sets.
#[derive(Debug)]
pub struct Alarm {
    timer: OwnedFd,
    flags: TimerfdTimerFlags,
}

impl Alarm {
    fn new(clock: TimerfdClockId) -> io::Result<Alarm> {
        let mut flags = TimerfdTimerFlags::ABSTIME;
        if clock == TimerfdClockId::Realtime {
            flags |= TimerfdTimerFlags::CANCEL_ON_SET;
        }
        Ok(Alarm { timer: timerfd_create(clock, TimerfdFlags::CLOEXEC)?, flags })
    }

    /// An alarm of the monotonic clock.
    ///
    /// # Errors
    /// No timer is to be had.
    pub fn monotonic() -> io::Result<Alarm> {
        Alarm::new(TimerfdClockId::Monotonic)
    }

    /// Sets the moment, in nanoseconds of the clock; 0 is never.
    pub fn set(&self, moment: u64) {
        let set = self.arm(moment);
        // The kernel refuses a bad descriptor and a bad value; both are made here.
        debug_assert!(matches!(set, Ok(()) | Err(rustix::io::Errno::CANCELED)));
    }

    /// The same.
    ///
    /// # Errors
    /// `CANCELED` where the clock was set since the last wait; the moment is set none the less.
    fn arm(&self, moment: u64) -> rustix::io::Result<()> {
        let value = Timespec { tv_sec: (moment / 1_000_000_000) as _, tv_nsec: (moment % 1_000_000_000) as _ };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.timer, self.flags, &Itimerspec { it_interval: never, it_value: value }).map(drop)
    }

    /// Waits for it.
    ///
    /// # Errors
    /// `CANCELED` where the clock was set, `INTR` where a signal came.
    pub fn wait(&self) -> rustix::io::Result<()> {
        rustix::io::read(&self.timer, &mut [0u8; 8]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_ends_one_sleep_and_a_stop_ends_all() {
        let (clock, stop) = SystemClock::new().unwrap();
        let never = Wall(u64::MAX);
        // Before the sleep, and during it.
        stop.call();
        assert_eq!(clock.sleep_until(never), Wake::Called);
        assert_eq!(clock.sleep_until(Wall(1)), Wake::Due);
        let later = stop.clone();
        let caller = std::thread::spawn(move || later.call());
        while clock.sleep_until(never) != Wake::Called {}
        caller.join().unwrap();
        stop.stop();
        assert_eq!([clock.sleep_until(never), clock.sleep_until(Wall(1))], [Wake::Stopped; 2]);
    }

    #[test]
    fn clocks_between_which_the_thread_lost_its_processor_are_read_again() {
        let mut readings = [(Mono(0), 20, Mono(20_000_000)), (Mono(0), 7, Mono(300))].into_iter();
        assert_eq!(at_once(|| readings.next().unwrap()), 7);
    }
}
