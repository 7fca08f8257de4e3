//! `perfwatch plugins release NAME`: a library that is held in a child for what it did may run where the configuration says again.
#![forbid(unsafe_code)]

use super::ask::{self, Answer};
use super::{Invocation, code, fail, print};
use crate::config::plan::Isolation;
use crate::control::wire::Request;
use crate::harmless;
use crate::plugin::known::Known;
use crate::record::Record;
use crate::reload;
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
    match reload::release(&setup, name) {
        Ok(released) => print(&(released + "This holds from the next start of the agent.\n")),
        Err(refused) => {
            fail(&refused.to_string());
            if refused.is_not_permitted() { code::NOT_PERMITTED } else { code::FAILED }
        }
    }
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
