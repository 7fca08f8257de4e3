//! What a child knows of itself, which goes with each answer: its memory, and the CPU time of the programs that it started. [E read]
//!
//! The descriptor is opened before the sandbox is drawn. A child that cannot have it answers all the same, with zeros.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use plugin_api::scan;

/// What the kernel tells a process of itself, by a descriptor that was opened before the sandbox was drawn.
pub(super) struct Stat(Option<File>);

/// What of it counts; 0 where nobody knows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Bytes of memory.
    pub(super) resident: u64,
    /// CPU time of the programs that it started and waited for.
    pub(super) programs: Duration,
}

impl Stat {
    /// Opens it.
    pub(super) fn open() -> Stat {
        Stat(File::open("/proc/self/stat").ok())
    }

    /// Reads it: one system call.
    pub(super) fn read(&self) -> Seen {
        // 52 fields of 20 digits at most, and a name of 64 bytes.
        let mut text = [0; 1200];
        let read = self.0.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        Seen::of(&text[..read], rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64)
    }
}

impl Seen {
    /// By proc_pid_stat(5): of the fields from the third on, as the name before them may have blanks and brackets.
    fn of(stat: &[u8], ticks_per_second: u64, page_size: u64) -> Seen {
        let behind_name = stat.iter().rposition(|byte| *byte == b')').map_or(stat.len(), |at| at + 1);
        let mut fields = scan::fields(&stat[behind_name..]);
        let mut skip = |count| fields.nth(count).and_then(scan::u64).unwrap_or(0);
        // Fields 16, 17 and 24.
        let ticks = skip(13).saturating_add(skip(0));
        let pages = skip(6);
        let nanoseconds = ticks.saturating_mul(1_000_000_000 / ticks_per_second.max(1));
        Seen { resident: pages.saturating_mul(page_size), programs: Duration::from_nanos(nanoseconds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_knows_its_memory() {
        let before = Stat::open().read().resident;
        let taken = vec![1u8; 64 << 20];
        let after = Stat::open().read().resident;
        assert!(before > 1 << 20 && after > before + (32 << 20), "{before} {after} {}", taken.len());
    }

    #[test]
    fn programs_and_memory_are_found_behind_any_name() {
        let stat = b"42 (a) b (7 8) S 1 42 42 0 -1 4194560 900 800 0 0 11 12 130 7 20 0 1 0 99 8192 25 18446744073709551615 1\n";
        let seen = Seen::of(stat, 100, 4096);
        assert_eq!((seen.programs, seen.resident), (Duration::from_millis(1370), 25 * 4096));
        let nothing = Seen::of(b"", 100, 4096);
        assert_eq!((nothing.programs, nothing.resident), (Duration::ZERO, 0));
    }
}
