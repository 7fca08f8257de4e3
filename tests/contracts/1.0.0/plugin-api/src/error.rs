//! What can go wrong in a plugin, and how it crosses the boundary: a kind from an open list, and a text.
#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::fmt;

/// Why a collector could not be made or read. An open list: an agent treats a kind it does not know as [`ErrorKind::FAILED`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorKind(pub u32);

impl ErrorKind {
    /// No error. Only ever the outcome of a call.
    pub const NONE: ErrorKind = ErrorKind(0);
    /// It should have worked and did not. The section's status is `failed`.
    pub const FAILED: ErrorKind = ErrorKind(1);
    /// Nothing here, and that is fine: no sensor, no such subsystem in this kernel. The section's status is `unavailable`, and
    /// no failure is counted.
    pub const UNAVAILABLE: ErrorKind = ErrorKind(2);
    /// Not permitted; the message names the capability or the file mode that is missing. The section's status is `failed`.
    pub const DENIED: ErrorKind = ErrorKind(3);
    /// The plugin's code panicked: `failed`, and a new instance for the next call. Made by the guard around it, not by authors.
    pub const PANICKED: ErrorKind = ErrorKind(4);
}

/// An error of a plugin: lower case, the operation and its object; the cause is the source.
///
/// ```
/// # use plugin_api::Error;
/// let cause = "5parsecs".parse::<u64>().unwrap_err();
/// let error = Error::failed("could not parse /proc/uptime").because(cause);
/// assert_eq!(error.chain(), "could not parse /proc/uptime: invalid digit found in string");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// It should have worked and did not.
    pub fn failed(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::FAILED, message: message.into(), source: None }
    }

    /// Nothing here, and that is fine.
    pub fn unavailable(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::UNAVAILABLE, message: message.into(), source: None }
    }

    /// Not permitted; say which capability or file mode is missing.
    pub fn denied(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::DENIED, message: message.into(), source: None }
    }

    /// Adds the cause. A message never repeats it: whoever prints walks the chain.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole chain as one line, `a: b: c`.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// For `?`. It names no file and no operation: [`ProcFile`](crate::ProcFile)'s errors do, and where a plugin reads by other means,
/// [`Error::because`] puts the two together.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorKind::DENIED,
            _ => ErrorKind::FAILED,
        };
        Error { kind, message: error.to_string(), source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_says_each_thing_once() {
        let io = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Error::failed("could not read /proc/stat").because(io);
        assert_eq!(error.to_string(), "could not read /proc/stat");
        assert_eq!(error.chain(), "could not read /proc/stat: entity not found");
    }
}
