//! How a collector has been doing, and what that means for its next turn. Pure.

use std::time::Duration;

use super::HANDOVER;
use crate::snapshot::{Mono, Status, Wall};

/// Failures in a row at a collector's own interval, before it is asked less often.
const FAILURES_AT_INTERVAL: u32 = 3;
/// The longest back-off: what is mended is seen within five minutes.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Readings in a row that were over the budget, before a collector is not asked any more. Asked less and less from the
/// third on, it comes to this after some minutes.
pub const OVER_BUDGET_MAX: u32 = 10;
/// Quick calls in a row on a thread of its own, before a collector is called in the collection thread again: a machine
/// that was starved for a moment must not cost two context switches a tick for ever.
const QUICK_AGAIN: u32 = 100;

/// The record of one collector.
#[derive(Debug)]
pub struct Health {
    status: Option<Status>,
    since: Wall,
    error: String,
    failures: u32,
    not_before: Mono,
    cost_ns: u64,
    known: bool,
    quick: u32,
    over: u32,
    told: bool,
    /// Since when, and why.
    quarantine: Option<(Wall, String)>,
}

impl Health {
    /// Of a collector that was never called.
    pub const fn new() -> Health {
        Health {
            status: None,
            since: Wall(0),
            error: String::new(),
            failures: 0,
            not_before: Mono(0),
            cost_ns: 0,
            known: false,
            quick: 0,
            over: 0,
            told: false,
            quarantine: None,
        }
    }

    /// Takes down what a section says, and tells whether that is news: a change of status, or of what went wrong.
    pub fn note(&mut self, status: Status, error: &str, tick: Wall) -> bool {
        // These say nothing about the collector itself.
        if matches!(status, Status::Backoff | Status::Skipped | Status::Pending) {
            return false;
        }
        // That a collector begins well is what everybody expects.
        let begins_well = self.status.is_none() && status == Status::Ok;
        let news = !begins_well && (self.status != Some(status) || !same_words(&self.error, error));
        if self.status != Some(status) {
            self.status = Some(status);
            self.since = tick;
        }
        if self.error != error {
            self.error.clear();
            self.error.push_str(error);
        }
        news
    }

    /// Takes down how a call ended.
    pub fn called(&mut self, failed: bool, took: Duration, interval: Duration, now: Mono) {
        // A moving average over about eight calls: it orders the calls of a tick, cheapest first.
        let took_ns = took.as_nanos().try_into().unwrap_or(u64::MAX);
        self.cost_ns = if self.known { self.cost_ns / 8 * 7 + took_ns / 8 } else { took_ns };
        // A quick failure is an answer too: it is no reason to think that the collector hangs.
        self.known |= !failed || took < HANDOVER;
        if !failed {
            self.failures = 0;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if let Some(beyond) = self.failures.checked_sub(FAILURES_AT_INTERVAL) {
            let wait = interval.saturating_mul(1 << beyond.min(16)).min(BACKOFF_MAX.max(interval));
            // Half an interval less, so that the tick at the end of the wait is not missed by a hair.
            self.not_before = now.plus(wait.saturating_sub(interval / 2));
        }
    }

    /// Whether the collector is to be left alone for now.
    pub fn backs_off(&self, now: Mono) -> bool {
        self.failures >= FAILURES_AT_INTERVAL && now < self.not_before
    }

    /// Takes down a call on a thread of its own, and tells whether it may be called in the collection thread again.
    pub fn was_quick(&mut self, quick: bool) -> bool {
        self.quick = if quick { self.quick + 1 } else { 0 };
        let again = self.quick >= QUICK_AGAIN;
        if again {
            self.quick = 0;
        }
        again
    }

    /// Takes down whether a reading was over the budget, and tells whether it was one too many.
    pub fn went_over(&mut self, over: bool) -> bool {
        self.over = if over { self.over + 1 } else { 0 };
        self.over == OVER_BUDGET_MAX
    }

    /// Not asked any more, since when and why.
    pub fn quarantine(&mut self, since: Wall, why: String) {
        self.quarantine = Some((since, why));
    }

    /// Since when it is not asked any more, and why.
    pub fn quarantined(&self) -> Option<(Wall, &str)> {
        self.quarantine.as_ref().map(|(since, why)| (*since, &**why))
    }

    /// True once: what a plugin keeps doing wrong is said once.
    pub fn tell_once(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    /// What a call costs, for the order of calls: those that never answered come last.
    pub fn order(&self) -> (bool, u64) {
        (!self.known, self.cost_ns)
    }

    /// Whether it has ever answered.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// How it was last.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Since when it has been as it is.
    pub fn since(&self) -> Wall {
        self.since
    }

    /// What went wrong last.
    pub fn error(&self) -> &str {
        &self.error
    }
}

/// Whether two errors say the same but for numbers: one that counts or measures would be news at every tick.
pub(super) fn same_words(a: &str, b: &str) -> bool {
    let words = |text| str::bytes(text).filter(|byte| !byte.is_ascii_digit());
    words(a).eq(words(b))
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    #[test]
    fn three_failures_come_at_the_interval_and_then_the_waits_double() {
        let mut health = Health::new();
        let mut asked = Vec::new();
        for second in 0..40 {
            if !health.backs_off(at(second)) {
                asked.push(second);
                health.called(true, SECOND, SECOND, at(second));
            }
        }
        assert_eq!(asked, [0, 1, 2, 3, 5, 9, 17, 33]);
    }

    #[test]
    fn one_good_call_ends_the_back_off() {
        let mut health = Health::new();
        (0..4).for_each(|second| health.called(true, SECOND, SECOND, at(second)));
        assert!(health.backs_off(at(4)));
        health.called(false, SECOND, SECOND, at(5));
        assert!(!health.backs_off(at(5)));
    }

    #[test]
    fn the_wait_is_bounded_by_five_minutes() {
        let mut health = Health::new();
        (0..100).for_each(|_| health.called(true, SECOND, SECOND, at(0)));
        assert!(health.backs_off(at(299)) && !health.backs_off(at(300)));
    }

    #[test]
    fn news_is_a_change_of_status_or_of_what_went_wrong() {
        let mut health = Health::new();
        assert!(!health.note(Status::Ok, "", Wall(1)));
        assert!(!health.note(Status::Ok, "", Wall(2)));
        assert!(health.note(Status::Failed, "a", Wall(3)));
        assert!(health.note(Status::Failed, "b", Wall(4)));
        assert_eq!(health.since(), Wall(3));
        assert!(!health.note(Status::Backoff, "b", Wall(5)));
        assert!(health.note(Status::Ok, "", Wall(6)));
    }

    #[test]
    fn error_that_counts_is_news_once_and_is_told_as_it_was_last() {
        let mut health = Health::new();
        assert!(health.note(Status::Failed, "no answer after 1.003 s", Wall(1)));
        assert!(!health.note(Status::Failed, "no answer after 12.1 s", Wall(2)));
        assert_eq!(health.error(), "no answer after 12.1 s");
    }

    #[test]
    fn cheap_collectors_come_first_and_unknown_ones_last() {
        let (mut cheap, mut dear, unknown) = (Health::new(), Health::new(), Health::new());
        cheap.called(false, Duration::from_micros(10), SECOND, at(0));
        dear.called(false, Duration::from_micros(90), SECOND, at(0));
        assert!(cheap.order() < dear.order() && dear.order() < unknown.order());
    }
}
