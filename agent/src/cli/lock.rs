//! `perfwatch plugins lock`: what is found becomes what may be loaded. No plugin's code runs.
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::path::Path;

use super::{Invocation, code, fail, print};
use crate::assemble::chain;
use crate::config::agent::Trust;
use crate::config::layers::{Environment, main_file};
use crate::harmless;
use crate::plugin::lock::store::{self, ReadError};
use crate::plugin::lock::{Held, Lock};
use crate::plugin::trust::Authority;
use crate::setup::Setup;

pub(super) fn lock(invocation: &Invocation, check: bool) -> u8 {
    let setup = match Setup::read_unlocked(invocation.config.as_deref()) {
        Ok(setup) => setup,
        Err(error) => return super::refuse(&error),
    };
    let (config, is_named) = main_file(invocation.config.as_deref(), &Environment::of_process());
    let lock = store::beside(&config).and_then(|path| Ok((path, Lock::of(setup.plugins())?)));
    let (path, new) = match lock {
        Ok(lock) => lock,
        Err(cause) => return fail(&format!("could not lock what is found: {cause}")),
    };
    let shown = harmless::path(&path).to_string();
    let old = match store::look_at(&path) {
        Ok(old) => Some(old),
        Err(ReadError::Missing) => None,
        // It says nothing that the new one could be compared with.
        Err(error @ ReadError::NotALock(_)) => {
            fail(&format!("warning: {shown}: {error}"));
            None
        }
        Err(error) => return fail(&format!("{shown}: {}", chain(&error))),
    };
    super::remark(&setup);
    let changes = new.compare(old.as_ref().unwrap_or(&Lock::default()));
    let mut text: String = changes.iter().flat_map(|line| [line, "\n"]).collect();
    let (s, is_same) = (if new.len() == 1 { "" } else { "s" }, old.is_some() && changes.is_empty());
    let plugins = format!("{} plugin{s}", new.len());
    if is_same {
        text.push_str(&format!("nothing changed: {shown} has {plugins}\n"));
    } else if check {
        let what = if old.is_some() { "does not fit what is there" } else { "is not there" };
        print(&text);
        return fail(&format!("{shown} {what}"));
    } else if let Err(cause) = store::write(&new, &path) {
        fail(&format!("could not write {shown}: {cause}"));
        return if cause.kind() == ErrorKind::PermissionDenied { code::NOT_PERMITTED } else { code::FAILED };
    } else {
        text.push_str(&format!("wrote {shown}: {plugins}\n"));
    }
    let printed = print(&text);
    tell_of_use(&setup, &config, is_named);
    printed
}

/// What an agent that reads this lock would have to say of it.
fn tell_of_use(setup: &Setup, config: &Path, is_named: bool) {
    if !setup.plan.agent.require_lock {
        fail("note: it is not held to: agent.require_lock is not set");
        return;
    }
    let authority = Authority::of_this_agent().relaxed(setup.plan.agent.trust == Trust::Relaxed);
    let (held, doubts) = Held::beside(config, is_named, &authority);
    if let Some(fault) = held.fault() {
        fail(&format!("warning: {}", chain(&fault)));
    }
    for doubt in doubts {
        fail(&format!("warning: {doubt}"));
    }
}
