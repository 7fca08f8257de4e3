//! A config that is read again while the agent runs by it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::layers::{self, Environment, Layer, Rank};
use super::{Config, Refused};

impl Config {
    /// The same main file, as it was read, with the files of `conf.d` and the variables as they are now; of those that are being written
    /// what was read before holds, or they are not there yet. `explicit` is the file of `-c`.
    ///
    /// # Errors
    /// As of [`Config::read`].
    pub fn again(
        &self,
        explicit: Option<&Path>,
        environment: Environment,
        unfinished: &HashSet<PathBuf>,
    ) -> Result<Config, Refused> {
        let (main, _) = layers::main_file(explicit, &environment);
        let held = |path: &Path| {
            let (is_main, is_unfinished) = (path == main, unfinished.contains(path));
            let layer = |rank| {
                let is_it = |layer: &&Layer| layer.rank == rank && (is_main || layer.path.as_deref() == Some(path));
                self.layers.iter().find(|layer| layer.path.is_some() && is_it(layer))
            };
            let layer = layer(if is_main { Rank::Whole } else { Rank::DropIn });
            (is_main || is_unfinished).then(|| layer.map(|layer| self.sources.text(layer.source).to_owned()))
        };
        Config::read_with(explicit, &held, environment)
    }

    /// The main file; none where there is none.
    #[must_use]
    pub fn main_file(&self) -> Option<String> {
        let main = self.layers.iter().find(|layer| layer.rank == Rank::Whole && layer.path.is_some());
        main.map(|layer| self.sources.name(layer.source).to_owned())
    }

    /// The files of `conf.d` that hold, in their order.
    #[must_use]
    pub fn drop_ins(&self) -> Vec<String> {
        let drop_ins = self.layers.iter().filter(|layer| layer.rank == Rank::DropIn);
        drop_ins.map(|layer| self.sources.name(layer.source).to_owned()).collect()
    }

    /// Where `conf.d` is, whether it is there or not.
    #[must_use]
    pub fn drop_in_folder(explicit: Option<&Path>, environment: &Environment) -> PathBuf {
        let (main, _) = layers::main_file(explicit, environment);
        layers::drop_in_folder(&main)
    }
}
