//! Where the schedule lies while its thread is in a call: what a hang is taken over from.
//!
//! The collection thread puts the schedule down before it calls into a plugin and picks it up after. If it comes back
//! within [`HANDOVER`] and before the cut-off, that is all. If not, the standby thread finds the schedule here and goes
//! on with it, and the caller, when it returns, finds the seat empty.

use std::io;
use std::sync::Mutex;

use super::clock::Alarm;
use super::far::lock;
use super::tick::Schedule;
use super::{HANDOVER, clock};
use crate::snapshot::Mono;

/// The seat, and the alarm that wakes the standby.
pub struct Seat {
    inner: Mutex<Inner>,
    alarm: Alarm,
}

struct Inner {
    schedule: Option<Box<Schedule>>,
    /// The call that is going on, by number: the seat may have been taken, put back and filled again meanwhile.
    call: u64,
    /// When the call is given up.
    give_up: Mono,
    armed: bool,
    /// A standby is there.
    attended: bool,
    closed: bool,
}

impl Seat {
    /// An empty seat.
    ///
    /// # Errors
    /// No timer is to be had.
    pub fn new() -> io::Result<Seat> {
        let inner = Inner { schedule: None, call: 0, give_up: Mono(0), armed: false, attended: false, closed: false };
        Ok(Seat { inner: Mutex::new(inner), alarm: Alarm::monotonic()? })
    }

    /// Puts the schedule down for a call that begins now. The alarm is armed for the first call of a tick only: a wake-up costs 50 µs, setting a timer 0.3.
    pub fn put_down(&self, schedule: Box<Schedule>, cut_off: Mono) -> u64 {
        let mut inner = lock(&self.inner);
        inner.call += 1;
        inner.give_up = clock::mono().plus(HANDOVER).min(cut_off);
        inner.schedule = Some(schedule);
        if !inner.armed && !inner.closed {
            inner.armed = true;
            self.alarm.set(inner.give_up.0.max(1));
        }
        inner.call
    }

    /// Picks the schedule up after a call; none where the standby has taken over.
    pub fn pick_up(&self, call: u64) -> Option<Box<Schedule>> {
        let mut inner = lock(&self.inner);
        if inner.call == call { inner.schedule.take() } else { None }
    }

    /// After the last call of a tick.
    pub fn disarm(&self) {
        let mut inner = lock(&self.inner);
        // The alarm of a closed seat is what ends the standby: it stays set.
        if inner.armed && !inner.closed {
            inner.armed = false;
            self.alarm.set(0);
        }
    }

    /// Whether no standby would take over from the next call.
    pub fn is_unattended(&self) -> bool {
        !lock(&self.inner).attended
    }

    /// A standby has been started.
    pub fn attend(&self) {
        lock(&self.inner).attended = true;
    }

    /// Nothing is taken over any more.
    pub fn close(&self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        self.alarm.set(1);
    }

    /// Sleeps until a call is to be given up, and takes the schedule over; none once the seat is closed.
    pub fn take_over(&self) -> Option<Box<Schedule>> {
        loop {
            if self.alarm.wait().is_err() {
                continue;
            }
            let mut inner = lock(&self.inner);
            if inner.closed {
                return None;
            }
            if inner.schedule.is_none() {
                // Between two calls: the next one arms the alarm again.
                inner.armed = false;
            } else if clock::mono() < inner.give_up {
                self.alarm.set(inner.give_up.0);
            } else if let Some(schedule) = inner.schedule.take() {
                (inner.armed, inner.attended) = (false, false);
                inner.call += 1;
                return Some(schedule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn seat_that_was_taken_over_is_unattended_until_another_standby_is_there() {
        let seat = Seat::new().unwrap();
        seat.attend();
        assert!(!seat.is_unattended());
        let call = seat.put_down(crate::schedule::tests::idle(), clock::mono());
        assert!(seat.take_over().is_some() && seat.pick_up(call).is_none());
        assert!(seat.is_unattended());
    }

    #[test]
    fn standby_of_a_seat_that_is_closed_in_the_middle_of_a_tick_ends() {
        let seat = Arc::new(Seat::new().unwrap());
        seat.put_down(crate::schedule::tests::idle(), clock::mono().plus(Duration::from_secs(60)));
        seat.close();
        seat.disarm();
        let (end, ended) = mpsc::channel();
        let standby = Arc::clone(&seat);
        thread::spawn(move || end.send(standby.take_over().is_none()).unwrap());
        assert_eq!(ended.recv_timeout(Duration::from_secs(30)), Ok(true));
    }
}
