//! Who is due when: wall-clock multiples of each interval, moved as a whole by an offset. Pure.

use std::time::Duration;

use crate::snapshot::{Wall, nanoseconds};

/// The ticks of one collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    interval: u64,
    offset: u64,
}

impl Grid {
    /// Every `interval`, `offset` after its multiples. An interval below a nanosecond counts as one.
    pub fn new(interval: Duration, offset: Duration) -> Grid {
        let interval = nanoseconds(interval).max(1);
        Grid { interval, offset: nanoseconds(offset) % interval }
    }

    /// The interval.
    pub fn interval(self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// The last tick that is not after `at`.
    pub fn latest(self, at: Wall) -> Wall {
        match at.0.checked_sub(self.offset) {
            Some(along) => Wall(at.0 - along % self.interval),
            None => Wall(0),
        }
    }

    /// The first tick after `at`.
    pub fn after(self, at: Wall) -> Wall {
        match at.0.checked_sub(self.offset) {
            Some(along) => Wall(at.0.saturating_add(self.interval - along % self.interval)),
            None => Wall(self.offset),
        }
    }

    /// The first tick of an agent that started at `start`, where everything was read off the grid: the first that is
    /// not nearer to it than half an interval.
    pub fn first(self, start: Wall) -> Wall {
        self.after(Wall(start.0.saturating_add((self.interval / 2).saturating_sub(1))))
    }

    /// How many ticks lie behind `due` up to `at`, and the last of them: those between were missed.
    pub fn catch_up(self, due: Wall, at: Wall) -> (u64, Wall) {
        let latest = self.latest(at).max(due);
        ((latest.0 - due.0) / self.interval, latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn grid(interval_s: u64, offset_s: u64) -> Grid {
        Grid::new(Duration::from_secs(interval_s), Duration::from_secs(offset_s))
    }

    #[test]
    fn ticks_are_multiples_of_the_interval_moved_by_the_offset() {
        assert_eq!(grid(5, 0).after(Wall(12 * SECOND)), Wall(15 * SECOND));
        assert_eq!(grid(5, 0).after(Wall(15 * SECOND)), Wall(20 * SECOND));
        assert_eq!(grid(5, 2).after(Wall(15 * SECOND)), Wall(17 * SECOND));
        assert_eq!(grid(5, 2).latest(Wall(17 * SECOND)), Wall(17 * SECOND));
    }

    #[test]
    fn a_tick_nearer_to_the_start_than_half_an_interval_is_passed_over() {
        assert_eq!(grid(10, 0).first(Wall(14 * SECOND)), Wall(20 * SECOND));
        assert_eq!(grid(10, 0).first(Wall(15 * SECOND)), Wall(20 * SECOND));
        assert_eq!(grid(10, 0).first(Wall(15 * SECOND + 1)), Wall(30 * SECOND));
        assert_eq!(grid(10, 0).first(Wall(10 * SECOND)), Wall(20 * SECOND));
    }

    #[test]
    fn ticks_slept_over_are_counted() {
        assert_eq!(grid(5, 0).catch_up(Wall(10 * SECOND), Wall(10 * SECOND + 3)), (0, Wall(10 * SECOND)));
        assert_eq!(grid(5, 0).catch_up(Wall(10 * SECOND), Wall(27 * SECOND)), (3, Wall(25 * SECOND)));
    }

    proptest! {
        #[test]
        fn the_next_tick_is_ahead_and_never_by_more_than_an_interval(
            interval in 10_000_000u64..86_400 * SECOND, offset in 0u64..86_400 * SECOND, now in 86_400 * SECOND..1 << 62,
        ) {
            let grid = Grid::new(Duration::from_nanos(interval), Duration::from_nanos(offset));
            let next = grid.after(Wall(now));
            prop_assert!(next.0 > now && next.0 - now <= interval);
            prop_assert_eq!(grid.latest(next), next);
            prop_assert_eq!(next.0 - grid.latest(Wall(now)).0, interval);
            let first = grid.first(Wall(now));
            prop_assert!(first.0 - now >= interval / 2 && first.0 - now <= interval + interval / 2 + 1);
        }
    }
}
