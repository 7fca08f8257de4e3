//! The versions of the C library that a shared library asks for (`.gnu.version_r`).
//!
//! Only for telling: the dynamic loader refuses a version that it does not have by itself, with a clear message.

use std::fmt;

use super::ElfError;

/// Longest table of needed versions. Each takes 16 bytes and a library needs about ten.
pub(super) const NEEDED_BYTES_MAX: u64 = 64 << 10;
/// Longest name of a version that is looked at: `GLIBC_2.2.5` has 11 bytes.
pub(super) const NAME_BYTES_MAX: usize = 32;

const RECORD_BYTES: usize = 16;

/// A version of the GNU C library, as `2.34` or `2.2.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Glibc {
    /// From a version's name; none for names of other libraries and for those that are no number, as `GLIBC_PRIVATE`.
    pub(super) fn parse(name: &[u8]) -> Option<Glibc> {
        let mut numbers = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?.split('.').map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let patch = numbers.next().unwrap_or(Ok(0)).ok()?;
        numbers.next().is_none().then_some(Glibc { major, minor, patch })
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch == 0 { Ok(()) } else { write!(f, ".{}", self.patch) }
    }
}

/// Where the names of all needed versions lie in the table of names: a list of libraries, each with a list of versions.
pub(super) fn names(table: &[u8]) -> Result<Vec<u32>, ElfError> {
    let mut names = Vec::new();
    // Lists that lead back into themselves end here: no table holds more records than its size allows.
    let mut left = table.len() / RECORD_BYTES;
    let mut library = Some(0);
    while let Some(at) = library {
        let needed = record(table, at)?;
        let mut version = step(at, super::u32_at(needed, 8));
        library = step(at, super::u32_at(needed, 12));
        left = left.checked_sub(1).ok_or(CIRCULAR)?;
        while let Some(at) = version {
            let needed = record(table, at)?;
            names.push(super::u32_at(needed, 8));
            version = step(at, super::u32_at(needed, 12));
            left = left.checked_sub(1).ok_or(CIRCULAR)?;
        }
    }
    Ok(names)
}

const CIRCULAR: ElfError = ElfError::Malformed("its version table leads back into itself");

/// The next record's place; none at the end of a list.
fn step(at: usize, by: u32) -> Option<usize> {
    if by == 0 { None } else { Some(at.saturating_add(usize::try_from(by).unwrap_or(usize::MAX))) }
}

fn record(table: &[u8], at: usize) -> Result<&[u8; RECORD_BYTES], ElfError> {
    let bytes = table.get(at..).and_then(<[u8]>::first_chunk);
    bytes.ok_or(ElfError::Malformed("its version table leads out of itself"))
}
