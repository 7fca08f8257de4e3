//! Types of option values, for an author's `Options` struct. Options cross the boundary as one JSON text in which a
//! duration is an integer of nanoseconds and a size an integer of bytes.
#![forbid(unsafe_code)]

use serde::Deserialize;

/// A plugin without options.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct NoOptions {}

/// A length of time, from an integer of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "u64")]
pub struct Duration(pub std::time::Duration);

impl From<u64> for Duration {
    fn from(nanoseconds: u64) -> Duration {
        Duration(std::time::Duration::from_nanos(nanoseconds))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);
