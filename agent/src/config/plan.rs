//! What runs: the merged config, with what the plugins that were found declare. Pure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::fault::{Fault, Origin, Sources};
use plugin_api::host_side::manifest::{Allowance, Manifest, Read, ReadKind};
use plugin_api::host_side::options::Settings;
use plugin_api::host_side::tree::{Data, Entry, Table};

use super::LeftOut;
use super::agent::AgentSettings;

/// What there is to run.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// Those found in the folders, one for each name.
    pub found: Vec<Available>,
    /// Those read at the paths that the config names.
    pub at_paths: Vec<Available>,
    /// Libraries that should be plugins and cannot be had.
    pub unavailable: Vec<Unavailable>,
    /// The folders that were searched.
    pub searched: Vec<PathBuf>,
}

/// A plugin that can be had. Its code has not run.
#[derive(Clone, Debug, PartialEq)]
pub struct Available {
    /// Its library, as it was found or named.
    pub path: PathBuf,
    /// What it declares.
    pub manifest: Arc<Manifest>,
    /// Whether it came with the agent.
    pub bundled: bool,
}

/// A library that should be a plugin and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The library.
    pub path: PathBuf,
    /// The plugin's name, where that could be read: a library need not be called after it.
    pub plugin: Option<String>,
    /// Why, in one line.
    pub reason: String,
}

/// What runs, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the agent itself runs.
    pub agent: AgentSettings,
    /// The checked keys of `[agent]`, with their origins.
    pub settings: Settings,
    /// The collectors, those of the config first, in its order, then what was found, in the order of finding.
    pub collectors: Vec<CollectorPlan>,
    /// The sinks, in the order of the config.
    pub sinks: Vec<SinkPlan>,
    /// What has a table that says `enabled = false`: it does not run, and a config without the table might run it.
    pub disabled: (Vec<CollectorPlan>, Vec<SinkPlan>),
    /// What the operator may want to know and what is no fault.
    pub notes: Vec<String>,
}

impl Plan {
    /// The collectors whose plugin cannot be had and which must not be missed: exit code 69.
    pub fn missed(&self) -> impl Iterator<Item = (&CollectorPlan, &str)> {
        self.failed().filter(|(collector, _)| collector.required)
    }

    /// The collectors that have no plugin to run, and why.
    pub fn failed(&self) -> impl Iterator<Item = (&CollectorPlan, &str)> {
        self.collectors.iter().filter_map(|collector| Some((collector, collector.plugin.as_ref().err()?.as_str())))
    }
}

/// One collector.
#[derive(Clone, Debug)]
pub struct CollectorPlan {
    /// The name of its section.
    pub name: String,
    /// How often it is read.
    pub interval: Duration,
    /// How long a reading may take.
    pub timeout: Duration,
    /// Whether the agent is not to start without it.
    pub required: bool,
    /// Where it runs.
    pub isolation: Isolation,
    /// Whether that is the operator's own word.
    pub isolation_written: bool,
    /// What one reading may cost.
    pub allowance: Allowance,
    /// What the operator grants it beside what needs no grant.
    pub grants: Vec<Read>,
    /// What it runs, or why there is nothing to run.
    pub plugin: Result<PluginPlan, String>,
    /// The checked keys of its table; empty where it has none.
    pub settings: Settings,
}

/// Where a collector runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In the agent.
    None,
    /// In a child process of its own.
    Process,
    /// In a child process, and in the agent once it has proved itself.
    Auto,
}

impl Isolation {
    /// Where a plugin runs that nobody says anything of. What may start programs is kept apart even where it came with the agent.
    #[must_use]
    pub fn of(manifest: &Manifest, bundled: bool) -> Isolation {
        if bundled && !may_exec(manifest) { Isolation::None } else { Isolation::Process }
    }

    /// The word of a config.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Isolation::None => "none",
            Isolation::Process => "process",
            Isolation::Auto => "auto",
        }
    }

    pub(super) fn named(word: &str) -> Option<Isolation> {
        [Isolation::None, Isolation::Process, Isolation::Auto].into_iter().find(|isolation| isolation.word() == word)
    }
}

/// Whether a plugin asks to start programs.
#[must_use]
pub fn may_exec(manifest: &Manifest) -> bool {
    manifest.plugin.reads.iter().any(|read| read.kind == ReadKind::Exec)
}

/// What a collector runs.
#[derive(Clone, Debug)]
pub struct PluginPlan {
    /// The library.
    pub path: PathBuf,
    /// What it declares.
    pub manifest: Arc<Manifest>,
    /// Its checked options; [`Settings::json`] is the text that crosses to it.
    pub options: Settings,
    /// Whether it came with the agent.
    pub bundled: bool,
}

impl PluginPlan {
    /// Where it runs where nobody says anything.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        Isolation::of(&self.manifest, self.bundled)
    }
}

/// One sink.
#[derive(Clone, Debug)]
pub struct SinkPlan {
    /// Its name.
    pub name: String,
    /// What it is, or why it does not run.
    pub kind: Result<SinkKind, String>,
    /// The checked keys of its table, `type` and `enabled` among them; [`Settings::json`] is the text to decode them from. Empty
    /// where it has no table.
    pub settings: Settings,
}

impl SinkPlan {
    /// Its type, in the word of a config.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.kind {
            Ok(SinkKind::Stdout(_)) => "stdout",
            Ok(SinkKind::File) => "file",
            Err(_) => "none",
        }
    }
}

/// What a sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Standard output.
    Stdout(Format),
    /// A rotated file.
    File,
}

/// How snapshots are shown on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table on a terminal, JSON lines elsewhere.
    Auto,
    /// JSON lines.
    Json,
    /// A table.
    Table,
}

impl Format {
    /// The word of a config.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Format::Auto => "auto",
            Format::Json => "json",
            Format::Table => "table",
        }
    }
}

/// What a sink knows of its settings that no declaration says: which of them go together. Gives the key at fault, and what is wrong
/// with it.
pub type SinkCheck<'a> = &'a dyn Fn(SinkKind, &Settings) -> Result<(), (String, String)>;

/// What is planned with.
pub(super) struct Planner<'a> {
    pub(super) agent: &'a AgentSettings,
    pub(super) plugins: &'a Plugins,
    pub(super) sink_check: SinkCheck<'a>,
    pub(super) left_out: &'a [LeftOut],
    pub(super) sources: &'a mut Sources,
    pub(super) faults: Vec<Fault>,
    pub(super) notes: Vec<String>,
    pub(super) disabled: (Vec<CollectorPlan>, Vec<SinkPlan>),
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        agent: &'a AgentSettings,
        plugins: &'a Plugins,
        sink_check: SinkCheck<'a>,
        left_out: &'a [LeftOut],
        sources: &'a mut Sources,
    ) -> Planner<'a> {
        let (faults, notes, disabled) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
        Planner { agent, plugins, sink_check, left_out, sources, faults, notes, disabled }
    }

    /// The tables `[KEY.NAME]`, each with its entry; what is no table is a fault.
    pub(super) fn named<'b>(&mut self, merged: &'b Table, key: &str) -> Vec<(&'b Entry, &'b Table)> {
        let Some(Data::Table(outer)) = merged.value(key).map(|value| &value.data) else { return Vec::new() };
        let mut named = Vec::new();
        for entry in &outer.entries {
            match &entry.value.data {
                Data::Table(table) => named.push((entry, table)),
                other => {
                    let message = format!("`{key}.{}` is {}", entry.key, other.kind());
                    let allowed = format!("a table, [{key}.{}]", entry.key);
                    self.faults.push(Fault::new(entry.value.origin, message).allowed(allowed));
                }
            }
        }
        named
    }

    pub(super) fn fault(&mut self, origin: Origin, message: String, allowed: &str) {
        self.faults.push(Fault::new(origin, message).allowed(allowed));
    }
}
