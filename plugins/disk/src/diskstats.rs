//! /proc/diskstats, Documentation/admin-guide/iostats.rst of the kernel: a line a block device.
//!
//! Pure and borrowed. The first eleven numbers are all that is read: Linux 4.18 added four of discards and 5.5 two of
//! flushes behind them. A line that makes no sense costs its device.

use plugin_api::scan::{self, Line, Unexpected};

/// Bytes of a sector in this file, whatever the device's own are.
const SECTOR: u64 = 512;

/// A device and what is counted of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Device<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) counts: Result<Counts, Unexpected>,
}

/// Reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) count: u64,
    /// None where it does not fit 64 bits.
    pub(crate) bytes: Option<u64>,
    pub(crate) time_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) read: Traffic,
    pub(crate) write: Traffic,
    pub(crate) busy_time_ms: u64,
    pub(crate) queue_time_ms: u64,
}

/// The lines of the file that name a device.
pub(crate) fn devices(file: &[u8]) -> impl Iterator<Item = Device<'_>> {
    scan::lines(file).filter_map(|line| {
        let mut fields = line.fields();
        let name = fields.nth(2)?;
        Some(Device { name, counts: counts(&line, fields) })
    })
}

fn counts(line: &Line<'_>, mut fields: scan::Fields<'_>) -> Result<Counts, Unexpected> {
    let mut numbers = [0; 11];
    for number in &mut numbers {
        let field = fields.next();
        *number = field.and_then(scan::u64).ok_or_else(|| line.expected("a number", field))?;
    }
    // Between them: how many were merged with another, and how many are in flight at this moment.
    let [reads, _, read_sectors, read_ms, writes, _, write_sectors, write_ms, _, busy_ms, queue_ms] = numbers;
    let traffic = |count, sectors: u64, time_ms| Traffic { count, bytes: sectors.checked_mul(SECTOR), time_ms };
    Ok(Counts {
        read: traffic(reads, read_sectors, read_ms),
        write: traffic(writes, write_sectors, write_ms),
        busy_time_ms: busy_ms,
        queue_time_ms: queue_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_count_is_taken_from_its_column() {
        let file = b"   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";
        let expected = Counts {
            read: Traffic { count: 1, bytes: Some(3 * 512), time_ms: 4 },
            write: Traffic { count: 5, bytes: Some(7 * 512), time_ms: 8 },
            busy_time_ms: 10,
            queue_time_ms: 11,
        };
        let found: Vec<_> = devices(file).collect();
        assert_eq!(found, [Device { name: b"sda", counts: Ok(expected) }]);
    }

    #[test]
    fn eleven_numbers_are_enough_and_fewer_are_that_devices_trouble() {
        let file =
            b"8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 2 3 4\n8 16 sdb 1 x\n 8 32\n\n8 48 sdd 0 0 0 0 0 0 0 0 0 0 0";
        let found: Vec<_> = devices(file).map(|device| (device.name, device.counts.is_ok())).collect();
        assert_eq!(found, [(&b"sda"[..], true), (b"sda1", false), (b"sdb", false), (b"sdd", true)]);
        let wrong = devices(file).nth(2).expect("a third device").counts.expect_err("an x");
        assert_eq!(wrong.to_string(), "line 3: expected a number, found \"x\"");
    }

    #[test]
    fn bytes_that_do_not_fit_are_unknown_rather_than_wrapped() {
        let most = u64::MAX;
        let file = format!("8 0 sda {most} 0 {most} {most} 0 0 36028797018963967 0 0 {most} {most}\n");
        let counts = devices(file.as_bytes()).next().expect("a device").counts.expect("numbers");
        assert_eq!(counts.read, Traffic { count: most, bytes: None, time_ms: most });
        assert_eq!(counts.write.bytes, Some(most - 511));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(devices(&bytes).count() <= bytes.len());
        }
    }
}
