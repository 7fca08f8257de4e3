//! The libraries that collectors run: each loaded into the agent at most once, copied for children at most once, and known again when a
//! configuration is read anew.
//!
//! A library is the same as long as its bytes are: one that was copied over itself, or touched, is no other. What was loaded stays loaded
//! for good (unloading is unsound with threads and thread-locals), so it is kept here for whoever wants the same bytes again.
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
    /// The digest of that copy, which nobody can write to.
    digest: OnceLock<Sha256>,
}

/// What was loaded stays for good, since the dynamic loader knows it by its descriptor's name; one copy in memory serves the agent and
/// the children. Kept here and not just forgotten, so that valgrind, by which an author looks at a plugin in C, finds nothing lost.
static LOADED: Mutex<Vec<Arc<Loadable>>> = Mutex::new(Vec::new());

impl Library {
    /// A library that is not loaded yet.
    pub fn new(known: Arc<Known>, authority: Authority, state_dir: PathBuf) -> Library {
        Library { known, authority, state_dir, module: OnceLock::new(), copy: OnceLock::new(), digest: OnceLock::new() }
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
            let copy = self.copy()?;
            LOADED.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&copy));
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
        self.is_of(known, &OnceCell::new())
    }

    /// The same, with the digest of the other, which is found once for all that it is compared with.
    fn is_of(&self, known: &Known, digest: &OnceCell<Option<Sha256>>) -> bool {
        let mine = &self.known;
        if mine.identity() == known.identity() {
            return true;
        }
        let other = || *digest.get_or_init(|| known.sha256().ok());
        mine.identity().size == known.identity().size
            && mine.elf == known.elf
            && self.sha256().is_some_and(|mine| other() == Some(mine))
    }

    /// The digest of what runs: of the private copy where there is one. One that was written over in place has lost the bytes
    /// that it had.
    pub fn sha256(&self) -> Option<Sha256> {
        match self.copy.get() {
            Some(Ok(copy)) if self.known.origin == Origin::Other => {
                let found = self.digest.get().copied().or_else(|| copy.sha256().ok());
                found.map(|digest| *self.digest.get_or_init(|| digest))
            }
            _ => self.known.sha256().ok().filter(|_| self.known.is_as_it_was()),
        }
    }

    /// Whether it could not be had: the next who asks tries again.
    pub fn has_failed(&self) -> bool {
        matches!(self.copy.get(), Some(Err(_))) || matches!(self.module.get(), Some(Err(_)))
    }

    /// As it is kept once another lies at its path.
    fn retired(&self, copy: &Loadable) -> Library {
        Library {
            known: Arc::new(self.known.of_what_is_mapped(copy)),
            authority: self.authority.clone(),
            state_dir: self.state_dir.clone(),
            module: self.module.clone(),
            copy: self.copy.clone(),
            digest: self.digest.clone(),
        }
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
        let digest = OnceCell::new();
        let is = |library: &&Arc<Library>| !library.has_failed() && library.is_of(known, &digest);
        let replaced = self.0.iter().filter(|(key, library)| **key != library.known.path).map(|(_, library)| library);
        let mut replaced = replaced.filter(|library| library.known.path == known.path);
        self.0.get(&known.path).filter(is).or_else(|| replaced.find(is))
    }

    /// One that was replaced at its path goes, unless it is loaded: then it stays under the name of its descriptor.
    fn keep(&mut self, library: &Arc<Library>, path: &Path) {
        let before = self.0.insert(path.to_owned(), Arc::clone(library));
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, library) && before.loaded().is_some())
            && let Ok(copy) = before.copy()
        {
            self.0.insert(copy.path(), Arc::new(before.retired(&copy)));
        }
    }

    /// Lets go of those that nobody runs and that are not loaded.
    pub fn sweep(&mut self) {
        self.0.retain(|_, library| Arc::strong_count(library) > 1 || library.loaded().is_some());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::plugin::known::Bundled;
    use crate::plugin::sample::{Sample, manifest};

    #[test]
    fn library_that_runs_from_its_copy_keeps_its_digest_when_its_file_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libperfwatch_ups.so");
        let write = |name: &str| {
            fs::write(&path, Sample { manifest: Some(manifest(name).as_bytes()), ..Sample::default() }.bytes())
                .unwrap();
        };
        write("ups");
        let known = Arc::new(Known::read(&path, &Bundled::default()).unwrap());
        let before = known.sha256().unwrap();
        let library = Library::new(Arc::clone(&known), Authority::of_this_agent(), folder.path().to_owned());
        library.copy().unwrap();
        write("usv");
        assert_ne!(known.sha256().unwrap(), before);
        assert_eq!(library.sha256(), Some(before), "trust and blame are of what runs");
        // Without a copy nobody knows its bytes any more.
        assert_eq!(Library::new(known, Authority::of_this_agent(), folder.path().to_owned()).sha256(), None);
    }
}
