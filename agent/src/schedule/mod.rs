//! Who is read when, where, and what becomes of a call that does not return.
//!
//! One collection thread does all the work of a tick. The state of the schedule is one value that this thread owns;
//! for the time of a call into a plugin it lies in the [`seat`], so that the standby thread can take it over from a
//! call that hangs. Ticks are never late for a collector's sake: what has not answered is said to be missing.
//! This room knows readings and a clock; snapshots leave it through a closure, and it has not heard of sinks.
#![forbid(unsafe_code)]

mod apply;
pub mod call;
pub mod change;
pub mod clock;
pub mod collect;
pub mod far;
pub mod grid;
pub mod health;
pub mod ledger;
pub mod member;
mod outcome;
mod remote;
pub mod seat;
pub mod tick;
mod wake;

#[cfg(test)]
mod tests;

use std::time::Duration;

/// The collectors' intervals. Below the first a wake-up costs more than what it reads; past the second a cron job serves better.
pub const INTERVALS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(86_400));
/// A call that takes longer keeps its thread: a hang costs the others this much, once. Every collector that comes with
/// the agent answers within a twentieth of it.
pub const HANDOVER: Duration = Duration::from_millis(20);
/// After so many good readings in a child a collector with `isolation = "auto"` moves into the agent.
pub const GOOD_READINGS: u32 = 10;
/// How many collectors may hang on threads of their own; the next to hang is not asked again.
pub const SET_ASIDE_MAX: usize = 8;
