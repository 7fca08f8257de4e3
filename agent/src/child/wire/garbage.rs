//! What is wrong with what a child sent, by name.
#![forbid(unsafe_code)]

use std::fmt;

/// What is wrong with what a child sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Garbage {
    /// A message of no kind that a child sends.
    Kind(u32),
    /// More bytes than the limits allow.
    TooLong {
        /// What the message says that it has.
        bytes: usize,
        /// What it may have.
        most: usize,
    },
    /// Fewer bytes than every such message has.
    TooShort(usize),
    /// An answer without a question.
    Unasked,
    /// An answer to another question.
    Number {
        /// The question's.
        asked: u64,
        /// The answer's.
        answered: u64,
    },
    /// More of something than the limits allow.
    Count(&'static str, u32),
    /// The parts do not add up to the message's length.
    Length {
        /// What the parts have.
        parts: u64,
        /// What the message has.
        bytes: usize,
    },
    /// A flag that is neither 0 nor 1, or a level of no log.
    Flag(u32),
    /// A log line that is no text.
    NoText,
    /// More log lines for one reading than are sent.
    Lines,
    /// Bytes that come in too small pieces.
    Trickle,
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Garbage::Kind(kind) => write!(f, "a message of kind {kind}"),
            Garbage::TooLong { bytes, most } => write!(f, "a message of {bytes} bytes, where {most} are the most"),
            Garbage::TooShort(bytes) => write!(f, "a message of {bytes} bytes, which is too short"),
            Garbage::Unasked => f.write_str("an answer that nobody asked for"),
            Garbage::Number { asked, answered } => write!(f, "an answer to request {answered} instead of {asked}"),
            Garbage::Count(what, count) => write!(f, "a reading with {count} {what}, more than the limit"),
            Garbage::Length { parts, bytes } => write!(f, "a message of {bytes} bytes whose parts have {parts}"),
            Garbage::Flag(flag) => write!(f, "a flag of {flag}"),
            Garbage::NoText => f.write_str("a log line that is not UTF-8"),
            Garbage::Lines => f.write_str("more log lines than one reading may have"),
            Garbage::Trickle => f.write_str("an answer in too many pieces"),
        }
    }
}

impl std::error::Error for Garbage {}
