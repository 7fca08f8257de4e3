//! The config: one TOML file, drop-ins beside it and variables, into a [`Plan`] of what runs.
//!
//! In the order of use: [`Config::read`] reads and merges the layers and checks `[agent]`, which says where plugins are looked for;
//! whoever found them gives what their manifests declare to [`Config::plan`], which is pure but for the files of secrets.
//!
//! Promises that every key was declared and every value checked, by the one checker of the option vocabulary; that all faults are
//! told at once, each with its line; that a faulty file of `conf.d` costs what it configures and nothing else, unless
//! `agent.strict`. Refuses keys that do nothing. Imports no other room of the agent.
#![forbid(unsafe_code)]

mod again;
pub mod agent;
pub(crate) mod collectors;
pub mod good;
mod kept;
pub mod layers;
mod merge;
pub mod partly;
pub mod plan;
pub mod schema;
pub mod show;
mod sinks;
#[cfg(test)]
mod tests;
mod variables;

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use plugin_api::host_side::fault::{Fault, Origin, Sources, render_all};
use plugin_api::host_side::options::{Settings, check};
use plugin_api::host_side::tree::{Data, Table};

use agent::AgentSettings;
use good::StandIn;
use layers::{Environment, Layer, Rank};
use plan::{Plan, Planner, Plugins, SinkCheck};

/// Every layer, read and merged, with `[agent]` checked.
#[derive(Clone, Debug)]
pub struct Config {
    sources: Sources,
    layers: Vec<Layer>,
    environment: Environment,
    left_out: Vec<LeftOut>,
    merged: Table,
    agent: AgentSettings,
    settings: Settings,
    /// Faults of `[agent]`, told with those of the rest.
    pending: Vec<Fault>,
    /// Set where this is a copy.
    stands_in: Option<StandIn>,
}

/// A file of `conf.d` that is at fault and left out. What it configures is failed and does not run with defaults instead.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// The file.
    pub path: String,
    /// Why.
    pub faults: Vec<Fault>,
    /// The collectors whose tables could be read in it.
    pub collectors: Vec<String>,
    /// The plugins that those name.
    pub plugins: Vec<String>,
    /// The sinks whose tables could be read in it.
    pub sinks: Vec<String>,
}

/// A config that is not taken: exit code 78. Its text is every fault.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// The texts that the faults point into.
    pub sources: Sources,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(render_all(&self.faults, &self.sources).trim_end())
    }
}

impl Error for Refused {}

impl Config {
    /// Reads every layer. `explicit` is the file of `-c`. Faults of `[agent]` wait for [`Config::plan`], which tells all at once;
    /// until then a value at fault is its default.
    ///
    /// # Errors
    /// A file other than one of `conf.d` that cannot be read or is no TOML, or a variable that fills nothing in.
    pub fn read(explicit: Option<&Path>, environment: Environment) -> Result<Config, Refused> {
        Config::read_with(explicit, &|_| None, environment)
    }

    fn read_with(explicit: Option<&Path>, held: layers::Held<'_>, environment: Environment) -> Result<Config, Refused> {
        let mut sources = Sources::default();
        let layers = layers::read(explicit, held, &environment, &mut sources);
        Config::of_layers(layers, sources, environment)
    }

    /// The same of a text in the place of all files.
    ///
    /// # Errors
    /// It is no TOML, or a variable fills nothing in.
    pub fn of_text(text: &str, environment: Environment) -> Result<Config, Refused> {
        let mut sources = Sources::default();
        let layers = layers::of_text(text, &environment, &mut sources);
        Config::of_layers(layers, sources, environment)
    }

    /// How an agent runs that was started with this config, and whether the config would be refused now. Then it runs with what it
    /// was before, or from the copy that was kept of that; where there is none, with what can be read. For whoever looks for it.
    #[must_use]
    pub fn agent_that_runs(explicit: Option<&Path>, environment: &Environment) -> (AgentSettings, bool) {
        let refused = match Config::read(explicit, environment.clone()) {
            Ok(config) if config.pending.is_empty() => return (config.agent, false),
            Ok(config) => Refused { faults: config.pending, sources: config.sources },
            Err(refused) => refused,
        };
        let copy = good::stand_in(explicit, environment.clone(), refused);
        (copy.map_or_else(|_| partly::read(explicit, environment), |copy| copy.agent), true)
    }

    fn of_layers(layers: Vec<Layer>, sources: Sources, environment: Environment) -> Result<Config, Refused> {
        let settings = Settings::default();
        let agent = AgentSettings::new(&settings, &environment);
        let (merged, left_out) = (Table::default(), Vec::new());
        let pending = Vec::new();
        let stands_in = None;
        let mut config = Config { sources, layers, environment, left_out, merged, agent, settings, pending, stands_in };
        let faults: Vec<Fault> = config.layers.iter().flat_map(|layer| layer.faults.clone()).collect();
        config.leave_out(faults)?;
        config.settle();
        Ok(config)
    }

    /// How the agent itself runs.
    #[must_use]
    pub fn agent(&self) -> &AgentSettings {
        &self.agent
    }

    /// Refuses it for what a key of `[agent]` says, where that shows only later.
    #[must_use]
    pub fn refuse(&self, key: &str, message: &str) -> Refused {
        let written = self.settings.list.iter().find(|setting| setting.name == key);
        let origin = written.and_then(|setting| setting.origin).unwrap_or_default();
        Refused { faults: vec![Fault::new(origin, message)], sources: self.sources.clone() }
    }

    /// The files of `conf.d` that are at fault and left out.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The texts of everything read, to show faults with.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The libraries that collectors name by path, each once, whether they run or not.
    #[must_use]
    pub fn plugin_paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for (_, table) in tables(&self.merged, "collectors") {
            if let Some(Data::String(path)) = table.value("path").map(|value| &value.data) {
                let path = PathBuf::from(path);
                if !path.as_os_str().is_empty() && !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
        paths
    }

    /// What runs, with these plugins, where sinks have nothing against their settings: pure but for the files of secrets.
    ///
    /// # Errors
    /// Every fault of what is not a file of `conf.d`; with `agent.strict` of those too.
    pub fn plan(&mut self, plugins: &Plugins, sink_check: SinkCheck<'_>) -> Result<Plan, Refused> {
        // Each turn leaves a file out, so that there are at most as many as files.
        loop {
            let mut planner = Planner::new(&self.agent, plugins, sink_check, &self.left_out, &mut self.sources);
            let (collectors, sinks) = (planner.collectors(&self.merged), planner.sinks(&self.merged));
            let (mut faults, notes, disabled) = (planner.faults, planner.notes, planner.disabled);
            faults.extend(self.pending.iter().cloned());
            if faults.is_empty() {
                let (agent, settings) = (self.agent.clone(), self.settings.clone());
                return Ok(Plan { agent, settings, collectors, sinks, disabled, notes });
            }
            self.leave_out(faults)?;
            self.settle();
        }
    }

    /// Merges what is not left out and checks `[agent]`, until nothing more has to be left out for it.
    fn settle(&mut self) {
        loop {
            self.merged = Table::default();
            for layer in &self.layers {
                merge::merge(&mut self.merged, layer.table.clone());
            }
            let mut faults = Vec::new();
            self.check_agent(&mut faults);
            self.pending = Vec::new();
            if self.agent.strict {
                self.pending.extend(self.left_out.iter().flat_map(|left_out| left_out.faults.clone()));
            }
            if faults.is_empty() {
                return;
            }
            if let Err(refused) = self.leave_out(faults) {
                self.pending = refused.faults;
                return;
            }
        }
    }

    fn check_agent(&mut self, faults: &mut Vec<Fault>) {
        const KNOWN: [&str; 3] = ["agent", "collectors", "sinks"];
        for entry in &self.merged.entries {
            if !KNOWN.contains(&entry.key.as_str()) {
                let fault = Fault::new(entry.key_origin, format!("unknown table `{}`", entry.key));
                faults.push(fault.among(&entry.key, KNOWN));
            } else if !matches!(entry.value.data, Data::Table(_)) {
                let message = format!("`{}` is {}", entry.key, entry.value.data.kind());
                faults.push(Fault::new(entry.value.origin, message).allowed("a table"));
            }
        }
        let (given, at) = agent_table(&self.merged);
        self.settings = check(&agent::declared(), given, at, &layers::read_secret, &mut self.sources, faults);
        self.agent = AgentSettings::new(&self.settings, &self.environment);
    }

    /// Leaves out the drop-ins that have these faults, or refuses where others have some, or none may be left out.
    fn leave_out(&mut self, faults: Vec<Fault>) -> Result<(), Refused> {
        let of_drop_in =
            |layer: &Layer, fault: &Fault| layer.rank == Rank::DropIn && layer.source == fault.origin.source;
        let whole = faults.iter().any(|fault| !self.layers.iter().any(|layer| of_drop_in(layer, fault)));
        if whole || self.agent.strict {
            let mut all = faults;
            for fault in self.left_out.iter().flat_map(|left_out| &left_out.faults) {
                if !all.contains(fault) {
                    all.push(fault.clone());
                }
            }
            return Err(Refused { faults: all, sources: self.sources.clone() });
        }
        let (kept, at_fault) = std::mem::take(&mut self.layers)
            .into_iter()
            .partition(|layer| !faults.iter().any(|fault| of_drop_in(layer, fault)));
        self.layers = kept;
        for layer in Vec::<Layer>::into_iter(at_fault) {
            let names = |key| tables(&layer.table, key).map(|(name, _)| name.to_owned()).collect();
            let plugin = |(_, table): (_, &Table)| match table.value("plugin").map(|value| &value.data) {
                Some(Data::String(plugin)) => Some(plugin.clone()),
                _ => None,
            };
            self.left_out.push(LeftOut {
                path: self.sources.name(layer.source).to_owned(),
                faults: faults.iter().filter(|fault| of_drop_in(&layer, fault)).cloned().collect(),
                collectors: names("collectors"),
                plugins: tables(&layer.table, "collectors").filter_map(plugin).collect(),
                sinks: names("sinks"),
            });
        }
        Ok(())
    }
}

/// `[agent]`, and where it stands.
fn agent_table(merged: &Table) -> (&Table, Origin) {
    static NOTHING: Table = Table { entries: Vec::new() };
    match merged.entry("agent") {
        Some(entry) => match &entry.value.data {
            Data::Table(table) => (table, entry.key_origin),
            _ => (&NOTHING, entry.key_origin),
        },
        None => (&NOTHING, Origin::default()),
    }
}

/// The tables below a key, by name.
fn tables<'a>(table: &'a Table, key: &str) -> impl Iterator<Item = (&'a str, &'a Table)> {
    let entries = match table.value(key).map(|value| &value.data) {
        Some(Data::Table(inner)) => &inner.entries[..],
        _ => &[],
    };
    entries.iter().filter_map(|entry| match &entry.value.data {
        Data::Table(inner) => Some((entry.key.as_str(), inner)),
        _ => None,
    })
}
