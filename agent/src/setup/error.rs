//! Why nothing runs.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

use crate::config::Refused;

/// Why nothing runs.
#[derive(Debug)]
pub enum SetupError {
    /// The configuration is wrong.
    Config(Box<Refused>),
    /// Plugins that must not be missing cannot be had; or there are none at all. Each in one line.
    Unavailable(Vec<String>),
    /// A sink cannot be opened.
    Sink {
        /// Its name.
        name: String,
        /// Why.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// No sink is left to write to.
    NoSink,
    /// Threads, descriptors or random numbers have run out.
    System(&'static str, std::io::Error),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Config(refused) => refused.fmt(f),
            SetupError::Unavailable(lines) => f.write_str(&lines.join("\n")),
            SetupError::Sink { name, .. } => write!(f, "could not open sink `{name}`"),
            SetupError::NoSink => {
                f.write_str("no sink is left to write to: those of the configuration are at fault or not enabled")
            }
            SetupError::System(what, _) => write!(f, "could not {what}"),
        }
    }
}

impl Error for SetupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SetupError::Sink { cause, .. } => Some(&**cause),
            SetupError::System(_, cause) => Some(cause),
            _ => None,
        }
    }
}
