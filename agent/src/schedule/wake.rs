//! From one tick to the next: sleeping, and what became of time meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, Wake, at_once};
use super::tick::Schedule;
use crate::snapshot::{Event, EventKind, Wall, nanoseconds};

/// A difference between two readings of the clocks that is no step and no suspend.
const CLOCK_NOISE: Duration = Duration::from_millis(10);

/// The wall clock less the time since boot: what a step of the clock changes, and nothing else.
pub(super) fn drift(clock: &dyn Clock) -> i128 {
    at_once(|| {
        let (before, wall, slept) = (clock.mono(), clock.wall(), clock.slept());
        (before, i128::from(wall.0) - i128::from(before.0) - i128::from(slept), clock.mono())
    })
}

fn rfc3339(at: Wall) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_nanos(at.0);
    humantime::format_rfc3339_millis(at).to_string()
}

impl Schedule {
    /// Sleeps until somebody is due and begins that tick; false where the agent is to stop. Who came back meanwhile may
    /// be called again, and what it read goes with the snapshot of this tick.
    ///
    /// Where ticks were slept through, all who are behind are read in one tick, the latest of them: nothing is made up in
    /// a burst, and a reading a day is not lost with the minute that it was for.
    pub fn sleep(&mut self) -> bool {
        if self.left == Some(0) {
            return false;
        }
        loop {
            let due = self.members.iter().map(|member| member.next_due).min().unwrap_or(Wall(u64::MAX));
            match self.clock.sleep_until(due) {
                Wake::Stopped => return false,
                Wake::Stepped => self.stepped(),
                Wake::Called => {
                    if self.called() {
                        return true;
                    }
                }
                Wake::Due => {
                    let now = self.clock.wall();
                    self.look_for_suspend(now);
                    self.miss(now);
                    let behind = self.members.iter().map(|member| member.next_due).filter(|&due| due <= now);
                    let Some(tick) = behind.max() else { continue };
                    // Many children are told of a few at a time; who is not heard by now is taken for hung.
                    while self.take_answers(Duration::ZERO).0 {}
                    for member in &mut self.members {
                        member.due = member.next_due <= tick;
                        if member.due {
                            member.goes_on_from(tick);
                        }
                    }
                    self.begin(tick, now);
                    return true;
                }
            }
        }
    }

    /// The wall clock was set: ticks go on along the grid of the new time. A resume from a suspend looks the same to the timer.
    fn stepped(&mut self) {
        let now = self.clock.wall();
        self.look_for_suspend(now);
        let drift = drift(&*self.clock);
        let by = drift - self.drift;
        self.drift = drift;
        if by.unsigned_abs() < CLOCK_NOISE.as_nanos() {
            return;
        }
        let before = Wall(u64::try_from(i128::from(now.0) - by).unwrap_or(0));
        let event = Event { from: Some(rfc3339(before)), to: Some(rfc3339(now)), ..Event::new(EventKind::Clock) };
        tracing::warn!(from = event.from, to = event.to, "the wall clock was set");
        self.aggregator.happened(event);
        for member in self.members.iter_mut().filter(|member| !member.is_vacant) {
            // Who has just come is read now, as it was to be.
            member.next_due = if member.is_fresh { now } else { member.grid.after(now) };
        }
        self.book_due();
    }

    fn look_for_suspend(&mut self, now: Wall) {
        let slept = self.clock.slept();
        let by = Duration::from_nanos(slept.saturating_sub(self.slept));
        self.slept = slept;
        if by >= CLOCK_NOISE {
            let from = Wall(now.0.saturating_sub(nanoseconds(by)));
            let event = Event { from: Some(rfc3339(from)), to: Some(rfc3339(now)), ..Event::new(EventKind::Suspend) };
            tracing::warn!(from = event.from, to = event.to, "the machine was suspended");
            self.aggregator.happened(event);
        }
    }

    /// Counts the ticks that were slept through, and leaves each collector at its last one.
    fn miss(&mut self, now: Wall) {
        for (place, member) in self.members.iter_mut().enumerate() {
            if member.next_due > now || member.is_fresh {
                continue;
            }
            let (missed, latest) = member.grid.catch_up(member.next_due, now);
            member.next_due = latest;
            if missed > 0 {
                self.ledger.with(|books| books.collectors[place].missed += missed);
                self.aggregator.happened(Event {
                    collector: Some(Arc::clone(&member.name)),
                    count: Some(missed),
                    ..Event::new(EventKind::Missed)
                });
            }
        }
    }
}
