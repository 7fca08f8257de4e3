//! What can be wrong with a library's file, in words that say what to do about it.

use std::{error, fmt, io};

use super::Machine;

/// Why a file is no library that could be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum ElfError {
    /// Text, an archive, an empty file.
    NotElf,
    /// A 32-bit object.
    Not64Bit,
    /// Bytes in the other order, as of s390x.
    BigEndian,
    /// An object file, a program, a core dump: `kind` is `e_type` of elf(5).
    NotShared {
        /// `e_type` as it stands there.
        kind: u16,
    },
    /// A part ends beyond the end of the file.
    Truncated {
        /// The part.
        what: String,
        /// The byte at which it should end.
        end: u64,
        /// Bytes that the file has.
        size: u64,
    },
    /// It contradicts itself.
    Malformed(&'static str),
    /// More entries than any linker writes.
    TooMany {
        /// Entries of what.
        what: &'static str,
        /// How many it claims.
        count: u64,
        /// How many are read.
        max: u64,
    },
    /// A part longer than it can be in earnest.
    TooLong {
        /// The part.
        what: String,
        /// Its size in bytes.
        bytes: u64,
        /// The longest that is read, in bytes.
        max: u64,
    },
    /// Sound, but of another machine.
    OtherMachine {
        /// The one it was built for.
        built_for: Machine,
    },
    /// The file could not be read.
    Read {
        /// The part.
        what: String,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElfError::NotElf => f.write_str(
                "not an ELF file, so no shared library: build it with crate-type = [\"cdylib\"], or cc -shared",
            ),
            ElfError::Not64Bit => {
                f.write_str("a 32-bit library, and the agent loads 64-bit ones: build it for a 64-bit target")
            }
            ElfError::BigEndian => {
                write!(f, "built for a big-endian machine, this machine is {}: build it for this one", Machine::HERE)
            }
            ElfError::NotShared { kind } => {
                let what = match kind {
                    1 => "an object file",
                    2 => "a program",
                    4 => "a core dump",
                    _ => "of an unknown type",
                };
                write!(f, "{what}, not a shared library: build it with crate-type = [\"cdylib\"], or cc -shared")
            }
            ElfError::Truncated { what, end, size } => {
                write!(f, "truncated: {what} ends at byte {end} of {size}; copy the file again")
            }
            ElfError::Malformed(what) => write!(f, "malformed: {what}; build or copy it again"),
            ElfError::TooMany { what, count, max } => write!(f, "malformed: it has {count} {what}, {max} are allowed"),
            ElfError::TooLong { what, bytes, max } => write!(f, "{what} has {bytes} bytes, {max} are allowed"),
            ElfError::OtherMachine { built_for } => {
                write!(f, "built for {built_for}, this machine is {}: build it for this one", Machine::HERE)
            }
            ElfError::Read { what, .. } => write!(f, "could not read {what}"),
        }
    }
}

impl error::Error for ElfError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            ElfError::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}
