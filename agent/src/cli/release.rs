//! `perfwatch plugins release NAME`: a library that is held in a child for what it did may run where the configuration says again.
#![forbid(unsafe_code)]

use std::io::ErrorKind;

use plugin_api::host_side::fault::closest;

use super::ask::{self, Answer};
use super::{Invocation, code, fail, print};
use crate::config::plan::Isolation;
use crate::control::wire::Request;
use crate::harmless;
use crate::plugin::known::Known;
use crate::record::Record;
use crate::setup::Setup;

/// By the agent where one runs, now; else in the record that its next start reads.
pub(super) fn release(invocation: &Invocation, name: &str) -> u8 {
    match ask::ask(invocation, &Request::Release { name: name.to_owned() }) {
        Answer::Response(response) => ask::tell(&response),
        Answer::Nobody(_) => on_record(invocation, name),
        Answer::Failed(code) => code,
    }
}

fn on_record(invocation: &Invocation, name: &str) -> u8 {
    let setup = match invocation.setup() {
        Ok(setup) => setup,
        Err(code) => return code,
    };
    let mut record = Record::read(&setup.plan.agent.state_dir);
    if let Some(fault) = record.fault() {
        return fail(fault);
    }
    let mut names = vec![name];
    // What one collector did is on record under its name; another of the same plugin is held for it as well.
    let collector = setup.plan.collectors.iter().find(|collector| collector.name == name);
    names.extend(collector.and_then(|collector| Some(&*collector.plugin.as_ref().ok()?.manifest.plugin.name)));
    if !record.blames().any(|blame| names.contains(&&*blame.collector) || names.contains(&&*blame.plugin)) {
        return fail(&nothing(&setup, &record, name));
    }
    let mut released = Vec::new();
    let changed = record.change(|record| released.extend(names.iter().flat_map(|name| record.release(name))));
    if let Err(cause) = changed {
        fail(&format!("could not write {}: {cause}", harmless::path(&record.path())));
        return if cause.kind() == ErrorKind::PermissionDenied { code::NOT_PERMITTED } else { code::FAILED };
    }
    let lines = released.iter().map(|blame| format!("released: {}, held in a child {blame}\n", blame.plugin));
    print(&(lines.collect::<String>() + "This holds from the next start of the agent.\n"))
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

/// Whether the record says where any collector of this library runs: not where it runs in a child anyway, or in the agent by the
/// operator's own word.
fn obeys(setup: &Setup, known: &Known) -> bool {
    setup.plan.collectors.iter().any(|collector| {
        let obeys = match collector.isolation {
            Isolation::None => !collector.isolation_written,
            Isolation::Process => false,
            Isolation::Auto => true,
        };
        obeys && collector.plugin.as_ref().is_ok_and(|plugin| plugin.path == known.path)
    })
}

/// The plugins that are found and held in a child for what they did, a line each: why, since when, and what ends it.
pub(super) fn held(setup: &Setup) -> String {
    let record = Record::read(&setup.plan.agent.state_dir);
    if let Some(fault) = record.fault() {
        fail(&format!("warning: {fault}"));
    }
    let mut text = String::new();
    for known in setup.found.plugins.iter().chain(&setup.at_paths) {
        // A digest reads the whole library: of those alone that have something on record, of whichever build.
        if !record.blames().any(|blame| blame.plugin == known.name()) {
            continue;
        }
        match known.sha256() {
            Ok(library) => text.extend(record.blamed(library).map(|blame| {
                let (name, release) = (known.name(), "perfwatch plugins release");
                if obeys(setup, known) {
                    format!("{name}: held in a child {blame}; to end it: {release} {name}\n")
                } else {
                    format!("{name}: on record {blame}; its `isolation` holds all the same; to forget it: {release} {name}\n")
                }
            })),
            Err(cause) => {
                fail(&format!("warning: could not read {}: {cause}", harmless::path(&known.path)));
            }
        }
    }
    text
}
