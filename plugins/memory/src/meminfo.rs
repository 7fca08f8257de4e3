//! `/proc/meminfo`: a name, a colon, a number and, for sizes, the unit kB, which is 1024 bytes (proc(5)).
//!
//! What is in use, cached and swapped is counted as psutil and free(1) count it, so that numbers can be compared.

use plugin_api::scan::{self, Unexpected};

/// What one reading of the file says, in bytes and pages. A field that this kernel lacks is none.
#[derive(Debug, Default, PartialEq)]
pub struct Meminfo {
    pub total: Option<u64>,
    pub free: Option<u64>,
    pub available: Option<u64>,
    pub buffers: Option<u64>,
    pub page_cache: Option<u64>,
    pub reclaimable_slab: Option<u64>,
    pub slab: Option<u64>,
    pub dirty: Option<u64>,
    pub swap_total: Option<u64>,
    pub swap_free: Option<u64>,
    pub hugepages_total: Option<u64>,
    pub hugepages_free: Option<u64>,
    pub hugepages_reserved: Option<u64>,
}

impl Meminfo {
    /// Parses the file.
    ///
    /// # Errors
    /// A number is none, or the one field is missing that every kernel has: the file was cut short.
    pub fn parse(file: &[u8]) -> Result<Meminfo, Unexpected> {
        let mut meminfo = Meminfo::default();
        for line in scan::lines(file) {
            let Some(colon) = line.text.iter().position(|byte| *byte == b':') else { continue };
            let (name, rest) = line.text.split_at(colon);
            let Some((field, unit)) = meminfo.field(name) else { continue };
            let token = scan::fields(&rest[1..]).next();
            let number = token.and_then(scan::u64).ok_or_else(|| line.expected("a number", token))?;
            *field = Some(number.saturating_mul(unit));
        }
        match meminfo.total {
            Some(_) => Ok(meminfo),
            None => Err(Unexpected::missing("MemTotal")),
        }
    }

    /// The field of this name, and its unit.
    fn field(&mut self, name: &[u8]) -> Option<(&mut Option<u64>, u64)> {
        const KIB: u64 = 1024;
        const PAGE: u64 = 1;
        Some(match name {
            b"MemTotal" => (&mut self.total, KIB),
            b"MemFree" => (&mut self.free, KIB),
            b"MemAvailable" => (&mut self.available, KIB),
            b"Buffers" => (&mut self.buffers, KIB),
            b"Cached" => (&mut self.page_cache, KIB),
            b"SReclaimable" => (&mut self.reclaimable_slab, KIB),
            b"Slab" => (&mut self.slab, KIB),
            b"Dirty" => (&mut self.dirty, KIB),
            b"SwapTotal" => (&mut self.swap_total, KIB),
            b"SwapFree" => (&mut self.swap_free, KIB),
            b"HugePages_Total" => (&mut self.hugepages_total, PAGE),
            b"HugePages_Free" => (&mut self.hugepages_free, PAGE),
            b"HugePages_Rsvd" => (&mut self.hugepages_reserved, PAGE),
            _ => return None,
        })
    }

    /// Bytes in use: what is not available. A container whose MemTotal was lowered (lxcfs) may have more available
    /// than there is: then nothing is in use.
    pub fn used(&self) -> Option<u64> {
        Some(self.total?.saturating_sub(self.available?))
    }

    /// The share of the total that is in use, to two decimals: further ones would only make every line longer.
    pub fn usage_percent(&self) -> Option<f64> {
        let (used, total) = (self.used()?, self.total?);
        (total > 0).then(|| (used as f64 * 1e4 / total as f64).round() / 1e2)
    }

    /// Bytes of caches that can be given back. Before Linux 2.6.19 there is no SReclaimable: then page cache alone.
    pub fn cached(&self) -> Option<u64> {
        Some(self.page_cache?.saturating_add(self.reclaimable_slab.unwrap_or(0)))
    }

    /// Bytes of swap in use.
    pub fn swap_used(&self) -> Option<u64> {
        Some(self.swap_total?.saturating_sub(self.swap_free?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_field_that_the_kernel_lacks_is_none_and_so_is_what_needs_it() {
        let meminfo = Meminfo::parse(b"MemTotal: 1000 kB\nMemFree: 400 kB\n").unwrap();
        assert_eq!((meminfo.total, meminfo.free), (Some(1_024_000), Some(409_600)));
        assert_eq!((meminfo.available, meminfo.used(), meminfo.usage_percent()), (None, None, None));
    }

    #[test]
    fn more_available_than_there_is_counts_as_nothing_used() {
        let meminfo = Meminfo::parse(b"MemTotal: 100 kB\nMemAvailable: 200 kB\n").unwrap();
        assert_eq!((meminfo.used(), meminfo.usage_percent()), (Some(0), Some(0.0)));
    }

    #[test]
    fn a_size_past_64_bits_saturates() {
        let meminfo = Meminfo::parse(b"MemTotal: 18446744073709551615 kB\n").unwrap();
        assert_eq!(meminfo.total, Some(u64::MAX));
    }

    #[test]
    fn what_is_no_number_is_named_with_its_line() {
        let wrong = Meminfo::parse(b"MemTotal: 100 kB\nMemFree: x1 kB\n").unwrap_err();
        assert_eq!(
            wrong.of("/proc/meminfo").chain(),
            "could not parse /proc/meminfo: line 2: expected a number, found \"x1\""
        );
    }

    #[test]
    fn a_file_without_a_total_was_cut_short() {
        assert!(Meminfo::parse(b"MemFree: 1 kB\n").is_err());
        assert!(Meminfo::parse(b"").is_err());
    }

    #[test]
    fn of_no_memory_there_is_no_share() {
        assert_eq!(Meminfo::parse(b"MemTotal: 0 kB\nMemAvailable: 0 kB\n").unwrap().usage_percent(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..200) {
            let at = at.min(bytes.len());
            bytes.splice(at..at, *b"\nMemTotal: 100 kB\nMemAvailable: ");
            if let Ok(meminfo) = Meminfo::parse(&bytes) {
                prop_assert!(meminfo.usage_percent().is_none_or(|share| (0.0..=100.0).contains(&share)));
            }
        }
    }
}
