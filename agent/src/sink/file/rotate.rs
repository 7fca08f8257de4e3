//! When the live file is put aside: pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::settings::Rotate;

impl Rotate {
    /// Whether a live file of `len` bytes, whose first snapshot is of `first`, is put aside before `line` bytes of time
    /// `now`.
    ///
    /// By size, before it would grow past it: no file is larger, but for a single line that is. By time, when `now`
    /// lies in another slot of the UTC grid than `first`: a file never holds two slots, nor does a clock that was far
    /// ahead for a moment hold rotation up until then.
    pub(super) fn is_due(&self, first: Option<SystemTime>, len: u64, line: u64, now: SystemTime) -> bool {
        let Some(first) = first.filter(|_| len > 0) else { return false };
        let large = self.size.0 != 0 && len.saturating_add(line) > self.size.0;
        large || (self.every.0 != Duration::ZERO && slot(first, self.every.0) != slot(now, self.every.0))
    }
}

fn slot(time: SystemTime, every: Duration) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() / every.as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::options::{Duration as Nanoseconds, Size};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn rotate(size: u64, every: u64) -> Rotate {
        Rotate { size: Size(size), every: Nanoseconds(Duration::from_secs(every)) }
    }

    #[test]
    fn it_is_due_before_the_size_is_passed() {
        assert!(!rotate(100, 0).is_due(Some(at(5)), 90, 10, at(5)));
        assert!(rotate(100, 0).is_due(Some(at(5)), 90, 11, at(5)));
        assert!(!rotate(0, 0).is_due(Some(at(5)), u64::MAX, 11, at(5)));
    }

    #[test]
    fn it_is_due_when_the_day_changes_in_utc() {
        let daily = rotate(0, 86_400);
        assert!(!daily.is_due(Some(at(86_400)), 9, 9, at(2 * 86_400 - 1)));
        assert!(daily.is_due(Some(at(2 * 86_400 - 1)), 9, 9, at(2 * 86_400)));
        assert!(daily.is_due(Some(at(9 * 86_400)), 9, 9, at(2 * 86_400)), "a clock set back");
    }

    #[test]
    fn an_empty_file_is_never_put_aside() {
        assert!(!rotate(1, 1).is_due(None, 0, 100, at(5)));
        assert!(!rotate(1, 1).is_due(Some(at(1)), 0, 100, at(5)));
    }
}
