//! A file that is not used, and why: each check that a library has to pass before its code runs.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::{error, fmt};

use plugin_api::abi::MANIFEST_SECTION;

use super::elf::ElfError;
use super::lock::LockError;
use super::open::OpenError;
use super::seal::SealError;
use super::trust::TrustError;
use crate::harmless;

/// A file that is not used, and why.
#[derive(Debug)]
pub struct Fault {
    /// The file, or the folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong before a plugin's code runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// A folder could not be searched.
    Folder(std::io::Error),
    /// A folder holds more libraries than are looked at.
    TooManyLibraries {
        /// How many are.
        max: usize,
    },
    /// It could not be opened.
    Open(OpenError),
    /// It is no library for this agent.
    Elf(ElfError),
    /// It has no section `.perfwatch`.
    NoManifest,
    /// The section is not UTF-8.
    ManifestIsNoText,
    /// The section is no manifest of a contract that this agent speaks: all faults, rendered.
    Manifest(String),
    /// It could have been changed by others.
    Trust {
        /// Its name, by which an operator knows it: the path that matters may be that of a folder.
        plugin: String,
        /// Whose it is, and who writes where.
        error: TrustError,
    },
    /// It is not what was locked.
    Lock {
        /// Its name.
        plugin: String,
        /// Why.
        error: Box<LockError>,
    },
    /// No private copy.
    Seal(SealError),
    /// Other bytes than those that were checked.
    Changed,
}

impl Problem {
    /// The name of the plugin that has it, where that is known.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Problem::Trust { plugin, .. } | Problem::Lock { plugin, .. } => Some(plugin),
            _ => None,
        }
    }

    /// Whether only a library with a manifest can have it.
    pub(super) fn is_of_a_plugin(&self) -> bool {
        !matches!(self, Problem::Open(_) | Problem::NoManifest)
            && !matches!(self, Problem::Elf(error) if !matches!(error, ElfError::OtherMachine { .. }))
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Problem {
        Problem::Open(error)
    }
}

impl From<ElfError> for Problem {
    fn from(error: ElfError) -> Problem {
        Problem::Elf(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem.plugin() {
            Some(plugin) => write!(f, "{plugin}: {}", self.problem),
            None => write!(f, "{}: {}", harmless::path(&self.path), self.problem),
        }
    }
}

impl error::Error for Fault {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.problem.source()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Folder(_) => f.write_str("could not search the folder for plugins"),
            Problem::TooManyLibraries { max } => {
                write!(
                    f,
                    "more than {max} libraries in one folder: not searched; keep the plugins in a folder of their own"
                )
            }
            Problem::Open(error) => error.fmt(f),
            Problem::Elf(error) => error.fmt(f),
            Problem::NoManifest => {
                write!(
                    f,
                    "no section {MANIFEST_SECTION}: another library; a plugin gets it from perfwatch_plugin!, in C from PERFWATCH_PLUGIN, and strip keeps it"
                )
            }
            Problem::ManifestIsNoText => write!(f, "its section {MANIFEST_SECTION} is not UTF-8 text: build it again"),
            Problem::Manifest(told) => f.write_str(told.trim_end()),
            Problem::Trust { error, .. } => write!(f, "not loaded: {error}"),
            Problem::Lock { error, .. } => write!(f, "not loaded: {error}"),
            Problem::Seal(error) => error.fmt(f),
            Problem::Changed => f.write_str("it was written since it was checked: replace it by a rename, then reload"),
        }
    }
}

impl error::Error for Problem {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Problem::Folder(error) => Some(error),
            Problem::Open(error) => error.source(),
            Problem::Elf(error) => error.source(),
            Problem::Trust { error, .. } => error.source(),
            Problem::Lock { error, .. } => error.source(),
            Problem::Seal(error) => error.source(),
            _ => None,
        }
    }
}
