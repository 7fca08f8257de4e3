//! Why a file sink cannot be opened, for the operator; and why it is not writing now, for the data and the log.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// Why the live file cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be followed.
    Setting {
        /// Its key below the sink's table.
        key: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The path is something that snapshots cannot be written to.
    Unusable {
        /// The path.
        path: PathBuf,
        /// What it is, and what to do.
        problem: &'static str,
    },
    /// Another open file sink has the live file.
    Locked {
        /// The live file.
        path: PathBuf,
        /// Who holds the lock, as far as this machine tells.
        holder: String,
    },
    /// The system refused an operation.
    Operation {
        /// What was tried, as in "could not open".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Setting { key, problem } => write!(out, "{key}: {problem}"),
            Error::Unusable { path, problem } => write!(out, "{} {problem}", path.display()),
            Error::Locked { path, holder } => {
                write!(out, "{} is being written by {holder}: give each file sink a path of its own", path.display())
            }
            Error::Operation { doing, path, .. } => write!(out, "could not {doing} {}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Operation { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// The cause of loss while this error lasts.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Error::Operation { source, .. } => Cause::of(source),
            Error::Locked { .. } => Cause::Locked,
            Error::Setting { .. } | Error::Unusable { .. } => Cause::Unusable,
        }
    }
}

/// Why snapshots are being lost. Few and closed, so that it can be counted, compared and written into a `gap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// ENOSPC: the file system has no room.
    Full,
    /// EDQUOT: the quota of this user, group or project is used up.
    Quota,
    /// Less than `min_free` is left on the file system.
    Floor,
    /// The path is a pipe and nothing has it open for reading.
    Unread,
    /// Another process has taken the live file.
    Locked,
    /// The path has become something that snapshots cannot be written to.
    Unusable,
    /// Another error of the system, by its number (errno(3)).
    System(i32),
}

impl Cause {
    /// The cause in an error of the system.
    pub(super) fn of(error: &io::Error) -> Cause {
        match error.raw_os_error() {
            Some(number) => match Errno::from_raw_os_error(number) {
                Errno::NOSPC => Cause::Full,
                Errno::DQUOT => Cause::Quota,
                Errno::NXIO | Errno::PIPE => Cause::Unread,
                _ => Cause::System(number),
            },
            // Only std's own errors have no number; none of the calls made here gives one but a write of 0 bytes.
            None => Cause::System(Errno::IO.raw_os_error()),
        }
    }

    /// Whether it is a want of space: it passes by itself, and the open file is as good as before.
    pub(super) fn is_space(self) -> bool {
        matches!(self, Cause::Full | Cause::Quota | Cause::Floor)
    }

    /// Whether an agent that starts should go on and wait for it to pass.
    pub(super) fn passes(self) -> bool {
        self.is_space() || self == Cause::Unread
    }
}

impl std::error::Error for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Full => out.write_str("the disk is full"),
            Cause::Quota => out.write_str("the disk quota is used up"),
            Cause::Floor => out.write_str("less than min_free is left on the disk"),
            Cause::Unread => out.write_str("nothing reads the pipe"),
            Cause::Locked => out.write_str("another process writes the file"),
            Cause::Unusable => out.write_str("the path is not a file that can be written"),
            Cause::System(number) => io::Error::from_raw_os_error(*number).fmt(out),
        }
    }
}
