//! A setup that is read again while the agent runs by it: what was known before stands in for what cannot be read now.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{From, Setup, SetupError};
use crate::config::Config;
use crate::config::agent::Watch;
use crate::config::layers::Environment;
use crate::plugin::find::folders;
use crate::plugin::known::Known;

/// What was known of libraries, by the paths of some.
#[derive(Default)]
pub(super) struct Before {
    /// Those that are being written: what can be read of them now says nothing.
    pub(super) unfinished: Vec<(PathBuf, Option<Arc<Known>>)>,
    /// Those that go on where they are at fault now.
    pub(super) faulty: Vec<Arc<Known>>,
    /// All: who is as it was stays the same one, so that two of each do not stay, one with what runs and one with the configuration.
    pub(super) all: Vec<Arc<Known>>,
    /// Those that were found, where no others are to be.
    pub(super) found: Option<Vec<Arc<Known>>>,
}

impl Before {
    pub(super) fn is_unfinished(&self, path: &Path) -> bool {
        self.unfinished.iter().any(|(other, _)| other == path)
    }

    /// The one that was known before where it is unchanged, else this one.
    pub(super) fn or(&self, known: Arc<Known>) -> Arc<Known> {
        let before = self.all.iter().find(|before| known.is_unchanged(before));
        before.map_or(known, Arc::clone)
    }

    pub(super) fn of(&self, path: &Path) -> Option<&Arc<Known>> {
        let unfinished = self.unfinished.iter().filter_map(|(_, known)| known.as_ref());
        // One that is gone is no fault of the file that was there.
        let faulty = self.faulty.iter().filter(|known| known.path.exists());
        unfinished.chain(faulty).find(|known| known.path == path)
    }
}

/// What of a configuration is read again. The plugins are, but for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reread {
    /// All of it.
    All,
    /// The files of `conf.d`. The main file may be in the middle of being edited: it is taken by a reload.
    DropIns,
    /// Nothing.
    Nothing,
}

impl Setup {
    /// Reads it again, and looks for plugins again. Of a file that is being written the state that is here holds, or it is not there
    /// yet. So it does of a library that cannot be had any more, where nobody has asked for a reload of all: what runs goes on.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub(crate) fn again(&self, reread: Reread, unfinished: &HashSet<PathBuf>) -> Result<Setup, SetupError> {
        let environment = Environment::of_process;
        let config = match (reread, &self.from) {
            (Reread::Nothing, _) => Ok(self.config.clone()),
            (_, From::Text(text)) => Config::of_text(text, environment()),
            // What stands in for a configuration that was refused is no state to go on from.
            (Reread::DropIns, From::File(path)) if self.config.stands_in().is_none() => {
                self.config.again(path.as_deref(), environment(), unfinished)
            }
            (_, From::File(path)) => Config::read(path.as_deref(), environment()),
        };
        let known = |path: &PathBuf| (path.clone(), self.known(path).cloned());
        let unfinished = unfinished.iter().map(known).collect();
        let all: Vec<_> = self.plugins().cloned().collect();
        let faulty = if reread == Reread::All { Vec::new() } else { all.clone() };
        // A library that appears is nobody's business where files of the config alone are watched.
        let is_fixed = match reread {
            Reread::All => false,
            Reread::DropIns => self.plan.agent.watch == Watch::ConfD,
            // Who asks for one collector has not asked for what else has changed.
            Reread::Nothing => true,
        };
        let found = is_fixed.then(|| self.found.plugins.clone());
        Setup::of(config, self.from.clone(), &Before { unfinished, faulty, all, found })
    }

    /// The folders in which something may appear that is to be taken up, with the ending of its name.
    pub(crate) fn watched(&self) -> Vec<(PathBuf, &'static str)> {
        let (watch, mut watched) = (self.plan.agent.watch, Vec::new());
        if let (Watch::All | Watch::ConfD, From::File(path)) = (watch, &self.from) {
            let folder = Config::drop_in_folder(path.as_deref(), &Environment::of_process());
            // A library there has gone astray, which is told at once.
            watched.extend(["toml", "so"].map(|ending| (folder.clone(), ending)));
        }
        if watch == Watch::All {
            let at_paths = self.config.plugin_paths().into_iter().filter_map(|path| path.parent().map(Path::to_owned));
            let searched = folders(&self.plan.agent.plugin_dirs).into_iter().map(|folder| folder.path);
            watched.extend(searched.chain(at_paths).map(|folder| (folder, "so")));
        }
        watched
    }
}
