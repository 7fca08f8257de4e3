//! `plugin.toml`: what a plugin says of itself before any of its code runs.
//!
//! Promises a [`Manifest`] that is resolved and consistent (every operand, condition and name checked, every `rate` an entry of
//! its own), or every fault with its line. The grammar is frozen in contract 1.0 and all its vocabularies are closed. Of a
//! newer minor contract unknown keys are passed over and unknown words refused, as what they mean cannot be guessed.
//!
#![forbid(unsafe_code)]
#![doc = include_str!("grammar.md")]

mod budget;
mod contract;
mod derive;
mod kernel;
mod metrics;
mod plugin;
mod reads;
mod tables;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use budget::{Allowance, Budget, DEFAULT_CPU, DEFAULT_DESCRIPTORS, DEFAULT_MEMORY};
pub use contract::Contract;
pub use derive::MAX_OPERANDS;
pub use kernel::{CAPABILITIES, NETLINK};
pub use metrics::MAX_METRICS;
pub use plugin::INTERVAL;
pub use reads::{MAX_READS, Read, ReadKind, ungranted};
pub use tables::{DEFAULT_MAX_ROWS, MAX_KEYS, MAX_ROWS, MAX_TABLES};

use super::fault::{Fault, Origin};
use super::keys::Keys;
use super::options::{OptionSpec, OptionType, Presence, Scalar, Settings};
use super::tree;

/// The most bytes of a manifest. The largest we can think of, 4096 metrics of 200 bytes, is below.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// What a plugin declares.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The contract that it was written for.
    pub contract: Contract,
    /// Who it is and how it likes to run.
    pub plugin: PluginInfo,
    /// Its options, as declared.
    pub options: Vec<OptionSpec>,
    /// Its scalars, as declared, each `rate` right after its counter.
    pub metrics: Vec<Metric>,
    /// Its tables, as declared.
    pub tables: Vec<Table>,
}

/// The `[plugin]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginInfo {
    /// Its name, and that of its section unless a config says otherwise.
    pub name: String,
    /// What it collects, in one line.
    pub description: String,
    /// Its own version.
    pub version: Option<String>,
    /// Its licence, as an SPDX expression.
    pub licence: Option<String>,
    /// How often it likes to be read.
    pub interval: Option<Duration>,
    /// How long one reading may take.
    pub timeout: Option<Duration>,
    /// What one reading may cost.
    pub budget: Budget,
    /// What it reads, as declared.
    pub reads: Vec<Read>,
}

/// A scalar, or a column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name; dots of a scalar's nest.
    pub name: String,
    /// What it measures.
    pub description: String,
    /// Its unit in UCUM, `1` for none; absent where it is no number.
    pub unit: Option<String>,
    /// What its cell holds.
    pub value: ValueType,
    /// How its values relate over time.
    pub kind: Kind,
    /// Whether the plugin reports it or the agent derives it.
    pub source: Source,
    /// It exists only where all of these hold.
    pub when: Vec<Condition>,
    /// Whether it stands in the JSON.
    pub json: bool,
    /// Whether this text column is a label in formats that have labels.
    pub label: bool,
    /// The words of a state, by the index in its cell.
    pub values: Vec<String>,
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// An unsigned integer.
    U64,
    /// A signed integer.
    I64,
    /// A float.
    F64,
    /// True or false.
    Bool,
    /// A text.
    Text,
}

/// How a metric's values relate over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value of the moment.
    Gauge,
    /// A count since some start; always `u64`.
    Counter {
        /// Where it wraps.
        width: Width,
        /// Whether a fall is growth of 0, as with the kernel's idle and iowait, and no reset.
        may_decrease: bool,
    },
    /// One of the words of `values`; the cell is the index (`u64`), the JSON the word.
    State,
    /// A text that is constant for a run.
    Info,
    /// A moment: nanoseconds since the Unix epoch in the cell (`u64`), RFC 3339 in the JSON.
    Time,
}

impl Kind {
    /// Whether it is a counter, of whatever width.
    #[must_use]
    pub fn is_counter(self) -> bool {
        matches!(self, Kind::Counter { .. })
    }
}

/// Where a counter wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// At 2^32.
    W32,
    /// At 2^64, which is never.
    W64,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The plugin sets it.
    Reported,
    /// The agent computes it.
    Derived(Derivation),
}

/// `scale` × the growth of the counters `of` over the growth of the counters `over`. The indices are into the list that the entry
/// itself stands in, and all are reported counters.
#[derive(Clone, Debug, PartialEq)]
pub struct Derivation {
    /// The counters whose growth is summed.
    pub of: Vec<usize>,
    /// The counters that it is divided by; absent for the elapsed seconds.
    pub over: Option<Vec<usize>>,
    /// The factor, finite and not 0.
    pub scale: f64,
}

/// A table: rows under keys, and columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What a row of it is.
    pub description: String,
    /// The names of its keys, in the order in which they nest; always text and not columns.
    pub keys: Vec<String>,
    /// The most rows of a reading.
    pub max_rows: u32,
    /// It exists only where all of these hold.
    pub when: Vec<Condition>,
    /// Its columns, as declared, each `rate` right after its counter.
    pub columns: Vec<Metric>,
}

/// That a bool option is on, or off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The option's name.
    pub option: String,
    /// Which value it must have.
    pub is: bool,
}

impl Condition {
    /// Whether it holds with these options.
    #[must_use]
    pub fn holds(&self, options: &Settings) -> bool {
        options.is_on(&self.option) == self.is
    }
}

impl Manifest {
    /// Reads a `plugin.toml`.
    ///
    /// # Errors
    /// Every fault of it; only the first of a contract that cannot be read, and only those of syntax where there are any.
    pub fn parse(text: &str) -> Result<Manifest, Vec<Fault>> {
        if text.len() > MAX_MANIFEST_BYTES {
            let message = format!("manifest has {} bytes, more than {MAX_MANIFEST_BYTES}", text.len());
            return Err(vec![Fault::new(Origin::default(), message)]);
        }
        let contract = Contract::of(text).map_err(|fault| vec![fault])?;
        let (document, faults) = tree::parse(0, text);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut reader = Reader { contract, options: Vec::new(), faults };
        let manifest = reader.manifest(&document);
        if reader.faults.is_empty() { Ok(manifest) } else { Err(reader.faults) }
    }

    /// Whether an option has to be given, so that the plugin runs only where a config says so.
    #[must_use]
    pub fn needs_options(&self) -> bool {
        self.options.iter().any(|option| option.presence == Presence::Required)
    }
}

/// What every part of the grammar reads with.
struct Reader {
    contract: Contract,
    options: Vec<OptionSpec>,
    faults: Vec<Fault>,
}

impl Reader {
    fn manifest(&mut self, document: &tree::Table) -> Manifest {
        let known = ["contract", "plugin", "options", "metrics", "tables"];
        let root = self.keys(document, Origin::default(), "the manifest", &known);
        let contract = self.contract;
        let unknown_type = |fault: Fault, word: &str| {
            if contract.is_newer() { contract.needed(fault) } else { fault.among(word, super::options::type_words()) }
        };
        self.options = super::options::declared(&root, contract.is_newer(), &unknown_type, &mut self.faults);
        let plugin = self.plugin(&root);
        let metrics = self.scalars(&root);
        let tables = self.tables(&root, &metrics);
        if metrics.is_empty() && tables.is_empty() && self.faults.is_empty() {
            self.faults.push(Fault::new(Origin::default(), "the manifest has no metrics and no tables"));
        }
        Manifest { contract, plugin, options: std::mem::take(&mut self.options), metrics, tables }
    }

    fn keys<'a>(&mut self, table: &'a tree::Table, at: Origin, owner: &str, known: &[&str]) -> Keys<'a> {
        Keys::new(table, at, owner, known, self.contract.is_newer(), &mut self.faults)
    }

    /// A word that is not in a closed vocabulary.
    fn unknown_word(&mut self, origin: Origin, what: &str, word: &str, known: &[&str]) {
        let fault = Fault::new(origin, format!("unknown {what} `{word}`"));
        self.faults.push(if self.contract.is_newer() {
            self.contract.needed(fault)
        } else {
            fault.among(word, known.iter().copied())
        });
    }

    /// `when`, on metrics, columns and tables.
    fn conditions(&mut self, keys: &Keys<'_>) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for (word, origin) in keys.texts("when", &mut self.faults) {
            let (name, is) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
            match self.options.iter().find(|option| option.name == name) {
                None => {
                    let fault = Fault::new(origin, format!("`when` names no option `{name}`"));
                    self.faults.push(fault.among(name, self.options.iter().map(|option| option.name.as_str())));
                }
                Some(option) if option.option_type != OptionType::One(Scalar::Bool) => {
                    self.faults.push(Fault::new(origin, format!("`when` names option `{name}`, which is no bool")));
                }
                Some(option) if option.presence == Presence::Optional => {
                    let message = format!("`when` names option `{name}`, which may have no value");
                    self.faults
                        .push(Fault::new(origin, message).allowed("a bool option with a default, or a required one"));
                }
                Some(_) => conditions.push(Condition { option: name.to_owned(), is }),
            }
        }
        conditions
    }
}
