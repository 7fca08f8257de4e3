//! A library that is held in a child for what it did may run where the configuration says again.

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::PathBuf;

use plugin_api::host_side::fault::closest;

use super::{NotReloaded, Running};
use crate::cli::code;
use crate::config::plan::Isolation;
use crate::harmless;
use crate::record::Record;
use crate::schedule::ledger::Place;
use crate::setup::{Member, Setup};

/// Why nothing is released.
#[derive(Debug)]
pub enum NotReleased {
    /// Nothing of that name is held, or the record cannot be read: why.
    Nothing(String),
    /// The record cannot be written.
    Unwritten(PathBuf, std::io::Error),
}

impl NotReleased {
    /// Whether it is for want of a right.
    pub fn is_not_permitted(&self) -> bool {
        matches!(self, NotReleased::Unwritten(_, cause) if cause.kind() == ErrorKind::PermissionDenied)
    }
}

impl std::fmt::Display for NotReleased {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotReleased::Nothing(why) => f.write_str(why),
            NotReleased::Unwritten(path, cause) => write!(f, "could not write {}: {cause}", harmless::path(path)),
        }
    }
}

/// Takes what is on record of a plugin, or of that of a collector, away. Gives a line for each thing that was.
///
/// # Errors
/// Nothing is on record, or the record cannot be written.
pub fn release(setup: &Setup, name: &str) -> Result<String, NotReleased> {
    let mut record = Record::read(&setup.plan.agent.state_dir);
    if let Some(fault) = record.fault() {
        return Err(NotReleased::Nothing(fault.to_owned()));
    }
    let mut names = vec![name];
    // What one collector did is on record under its name; another of the same plugin is held for it as well.
    let collector = setup.plan.collectors.iter().find(|collector| collector.name == name);
    names.extend(collector.and_then(|collector| Some(&*collector.plugin.as_ref().ok()?.manifest.plugin.name)));
    if !record.blames().any(|blame| names.contains(&&*blame.collector) || names.contains(&&*blame.plugin)) {
        return Err(NotReleased::Nothing(nothing(setup, &record, name)));
    }
    let mut released = Vec::new();
    let changed = record.change(|record| released.extend(names.iter().flat_map(|name| record.release(name))));
    changed.map_err(|cause| NotReleased::Unwritten(record.path(), cause))?;
    Ok(released.iter().map(|blame| format!("released: {}, held in a child {blame}\n", blame.plugin)).collect())
}

/// Why there is nothing to release.
fn nothing(setup: &Setup, record: &Record, name: &str) -> String {
    let on_record = record.blames().flat_map(|blame| [&*blame.plugin, &*blame.collector]);
    let collectors = setup.plan.collectors.iter().map(|collector| &*collector.name);
    let plugins = setup.found.plugins.iter().chain(&setup.at_paths).map(|known| known.name());
    // Those on record first: of two that are as close, the first is meant.
    let known: Vec<_> = on_record.chain(collectors).chain(plugins).collect();
    if known.contains(&name) {
        return format!("{name} is not held in a child: {} has nothing against it", harmless::path(&record.path()));
    }
    let meant = closest(name, &known).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    format!("no plugin and no collector is called `{name}`{meant}")
}

impl Running {
    /// Takes what is on record of a plugin away. Gives what was, and the collectors that it held.
    pub(super) fn release(&mut self, name: &str) -> Result<(String, Vec<String>), NotReloaded> {
        let of = |member: &&Member| {
            member.plan.name == name
                || member.plan.plugin.as_ref().is_ok_and(|plugin| plugin.manifest.plugin.name == name)
        };
        let held: Vec<&Member> = self.members.iter().filter(of).collect();
        let plugins: HashSet<_> =
            held.iter().filter_map(|member| Some(&member.plan.plugin.as_ref().ok()?.path)).collect();
        let is_of = |member: &&Member| member.plan.plugin.as_ref().is_ok_and(|plugin| plugins.contains(&plugin.path));
        let stands = |member: &Member| {
            self.ledger.with(|books| {
                let entry = books.collectors.get(member.place);
                entry.map_or((false, false), |entry| (entry.quarantined, entry.place == Place::Child))
            })
        };
        let quarantined: Vec<String> =
            held.iter().filter(|member| stands(member).0).map(|member| member.plan.name.clone()).collect();
        let told: String = quarantined.iter().map(|name| format!("released: {name}, quarantined\n")).collect();
        // Of the same plugin, whoever is called where the record says and the configuration does not.
        let is_held = |member: &&Member| member.plan.isolation != Isolation::Process && stands(member).1;
        let by_the_record = self.members.iter().filter(is_of).filter(is_held).map(|member| member.plan.name.clone());
        match release(&self.setup, name) {
            Ok(text) => {
                let both: BTreeSet<String> = by_the_record.chain(quarantined).collect();
                Ok((text + &told, both.into_iter().collect()))
            }
            Err(_) if !quarantined.is_empty() => Ok((told, quarantined)),
            Err(refused) => {
                let code = if refused.is_not_permitted() { code::NOT_PERMITTED } else { code::FAILED };
                Err(NotReloaded { code, text: refused.to_string() })
            }
        }
    }
}
