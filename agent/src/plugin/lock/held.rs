//! A lock that is held to, or why nothing is admitted.
#![forbid(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use super::super::digest::Sha256;
use super::super::trust::{Authority, Doubt};
use super::store::{self, ReadError};
use super::{Lock, LockError, NAME};
use crate::harmless;

/// The lock of a configuration that requires one. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Held(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    path: PathBuf,
    /// What writes it anew.
    command: String,
    lock: Result<Lock, Arc<ReadError>>,
}

impl Held {
    /// The lock beside a configuration, which may be `named` where a command is to find it. What is left to doubt of it is in the warnings;
    /// one that cannot be used admits nothing.
    #[must_use]
    pub fn beside(config: &Path, named: bool, authority: &Authority) -> (Held, Vec<Doubt>) {
        let path = store::beside(config).unwrap_or_else(|_gone| NAME.into());
        let mut command = "perfwatch plugins lock".to_owned();
        if named {
            let config = absolute(config).unwrap_or_else(|_gone| config.to_owned());
            command.push_str(&format!(" -c {}", harmless::word(&config)));
        }
        let (lock, doubts) = match store::read(&path, authority) {
            Ok((lock, doubts)) => (Ok(lock), doubts),
            Err(error) => (Err(Arc::new(error)), Vec::new()),
        };
        (Held(Arc::new(Inside { path, command, lock })), doubts)
    }

    /// Why there is no lock that can be used, if so.
    #[must_use]
    pub fn fault(&self) -> Option<LockError> {
        self.0.lock.as_ref().err().map(|cause| self.unusable(cause))
    }

    fn unusable(&self, cause: &Arc<ReadError>) -> LockError {
        let (lock, command) = (self.0.path.clone(), self.0.command.clone());
        match **cause {
            ReadError::Missing => LockError::Missing { lock, command },
            _ => LockError::Unusable { lock, command, cause: Arc::clone(cause) },
        }
    }

    /// Whether the library that is found at this path and has these bytes may be loaded.
    ///
    /// # Errors
    /// Why not.
    pub(in super::super) fn admit(&self, path: &Path, file: &File, bytes: u64) -> Result<(), Box<LockError>> {
        let Inside { path: lock, command, .. } = &*self.0;
        let read = |cause| Box::new(LockError::Read(cause));
        let entries = self.0.lock.as_ref().map_err(|cause| Box::new(self.unusable(cause)))?;
        let path = absolute(path).map_err(read)?;
        let Some(entry) = entries.entry(&path) else {
            return Err(Box::new(LockError::NotIn { path, lock: lock.clone(), command: command.clone() }));
        };
        let here = Sha256::of(file, bytes).map_err(read)?;
        if here == entry.sha256 {
            return Ok(());
        }
        let locked = entry.sha256;
        Err(Box::new(LockError::Differs { path, lock: lock.clone(), command: command.clone(), locked, here }))
    }
}
