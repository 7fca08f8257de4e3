//! The libraries that collectors run: each loaded into the agent at most once, copied for children at most once, and known again when a
//! configuration is read anew.
//!
//! A library is the same as long as its bytes are: one that was copied over itself, or touched, is no other. What was loaded stays loaded
//! for good (unloading is unsound with threads and thread-locals), so it is kept here for whoever wants the same bytes again.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use plugin_api::host_side::door::Module;

use crate::assemble::chain;
use crate::plugin::digest::Sha256;
use crate::plugin::known::{Known, Loadable, Origin};
use crate::plugin::library;
use crate::plugin::trust::Authority;

/// A plugin's library: loaded into the agent at most once, copied for children at most once, for all of its collectors.
pub struct Library {
    known: Arc<Known>,
    authority: Authority,
    state_dir: PathBuf,
    module: OnceLock<Result<Module, String>>,
    copy: OnceLock<Result<Arc<Loadable>, String>>,
}

impl Library {
    /// A library that is not loaded yet.
    pub fn new(known: Arc<Known>, authority: Authority, state_dir: PathBuf) -> Library {
        Library { known, authority, state_dir, module: OnceLock::new(), copy: OnceLock::new() }
    }

    /// The plugin, whose code has not run.
    pub fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Its code in the agent. Loads it, which may take for ever, as its constructors run.
    ///
    /// # Errors
    /// As one line, what is wrong with it.
    pub fn module(&self) -> Result<Module, String> {
        let load = || {
            // One copy in memory serves the agent and the children, and it stays for good: the dynamic loader knows it by
            // its descriptor's name.
            let copy = std::mem::ManuallyDrop::new(self.copy()?);
            library::load(&copy.path()).map_err(|cause| self.at(&chain(&cause)))
        };
        self.module.get_or_init(load).clone()
    }

    /// What came of loading it, if that is over.
    pub fn loaded(&self) -> Option<Result<Module, String>> {
        self.module.get().cloned()
    }

    /// What children load.
    ///
    /// # Errors
    /// As of [`Library::module`].
    pub fn copy(&self) -> Result<Arc<Loadable>, String> {
        let copy = || self.known.loadable(&self.authority, &self.state_dir);
        let copy = || copy().map(Arc::new).map_err(|fault| self.at(&chain(&fault.problem)));
        self.copy.get_or_init(copy).clone()
    }

    /// Whether a plugin that was just read is this one, byte for byte.
    pub fn is(&self, known: &Known) -> bool {
        let mine = &self.known;
        if mine.identity() == known.identity() {
            return true;
        }
        mine.elf == known.elf && self.sha256().is_some_and(|mine| known.sha256().is_ok_and(|it| it == mine))
    }

    /// The digest of what runs: of the private copy where there is one. One that was written over in place has lost the bytes
    /// that it had.
    fn sha256(&self) -> Option<Sha256> {
        match self.copy.get() {
            Some(Ok(copy)) if self.known.origin == Origin::Other => copy.sha256().ok(),
            _ => self.known.sha256().ok().filter(|_| self.known.is_as_it_was()),
        }
    }

    /// Whether it could not be had: the next who asks tries again.
    pub fn has_failed(&self) -> bool {
        matches!(self.copy.get(), Some(Err(_))) || matches!(self.module.get(), Some(Err(_)))
    }

    /// What is wrong with it, with where it is.
    pub fn at(&self, why: &str) -> String {
        format!("{}: {why}", self.known.path.display())
    }
}

/// All of them, by path.
#[derive(Default)]
pub struct Libraries(HashMap<PathBuf, Arc<Library>>);

impl Libraries {
    /// That of a plugin: the one that is here where its bytes are the same.
    pub fn of(&mut self, known: &Arc<Known>, authority: &Authority, state_dir: &Path) -> Arc<Library> {
        let here = self.here(known);
        let library = here.map_or_else(
            || Arc::new(Library::new(Arc::clone(known), authority.clone(), state_dir.to_owned())),
            Arc::clone,
        );
        self.keep(&library, &known.path);
        library
    }

    /// The one that is here, if it is that of this plugin, byte for byte: at its path, or replaced there before. Two files with the same
    /// bytes are two libraries.
    pub fn here(&self, known: &Known) -> Option<&Arc<Library>> {
        let is = |library: &&Arc<Library>| !library.has_failed() && library.is(known);
        let replaced = self.0.iter().filter(|(key, library)| **key != library.known.path).map(|(_, library)| library);
        let mut replaced = replaced.filter(|library| library.known.path == known.path);
        self.0.get(&known.path).filter(is).or_else(|| replaced.find(is))
    }

    /// One that was replaced at its path goes, unless it is loaded: then it stays under the name of its descriptor.
    fn keep(&mut self, library: &Arc<Library>, path: &Path) {
        let before = self.0.insert(path.to_owned(), Arc::clone(library));
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, library) && before.loaded().is_some()) {
            let name = before.copy().map_or_else(|_| path.to_owned(), |copy| copy.path());
            self.0.insert(name, before);
        }
    }

    /// Lets go of those that nobody runs and that are not loaded.
    pub fn sweep(&mut self) {
        self.0.retain(|_, library| Arc::strong_count(library) > 1 || library.loaded().is_some());
    }
}
