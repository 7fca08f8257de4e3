//! What runs, as a reload sees it: by which plan, at which places, of which libraries. Held by whoever reloads, one at a time.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use plugin_api::host_side::roots::Roots;
use tracing::Level;

use super::diff::{Changed, Diff, Side, Step, diff};
use super::outlets::Outlets;
use super::prepare::{Beside, Prepared};
use super::{Ask, Facts, NotReloaded, Reloaded};
use crate::agent::Nursery;
use crate::assemble::chain;
use crate::config::agent::Collect;
use crate::config::plan::CollectorPlan;
use crate::libraries::Libraries;
use crate::plugin::known::Known;
use crate::record::Slots;
use crate::schedule::call::Caller;
use crate::schedule::change::{Change, Changes};
use crate::schedule::grid::Grid;
use crate::schedule::ledger::Ledger;
use crate::setup::{Member, Reread, Setup, SetupError};
use crate::sink::Sinks;
use crate::snapshot::aggregate::brief;
use crate::snapshot::{Event, EventKind, Status};

/// How long a change may wait for the edge of a tick. A tick that goes on is hurried after a second, and a call gives the
/// collection thread back after 20 ms.
const EDGE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the copy of the last good configuration is waited for: a disk takes milliseconds, one that hangs is not to hold reloads up.
const DISK_PATIENCE: Duration = Duration::from_secs(2);
/// How many destructors of what has left may hang, each on a thread of its own. What leaves beyond that is forgotten.
const FAREWELLS_MAX: usize = 8;

/// What runs.
pub(crate) struct Running {
    pub(crate) setup: Setup,
    pub(crate) members: Vec<Member>,
    pub(crate) libraries: Libraries,
    pub(crate) roots: Arc<Roots>,
    pub(crate) slots: Slots,
    /// The place of the agent's own section.
    pub(crate) own: usize,
    pub(crate) host: Option<String>,
    pub(crate) run: String,
    /// The process's own standard output, moved away; none in a program of somebody else.
    pub(crate) output: Option<Arc<File>>,
    pub(crate) sinks: Sinks,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) changes: Changes,
    pub(crate) nursery: Nursery,
    pub(crate) memory: Memory,
}

/// What is kept from one reload to the next.
#[derive(Default)]
pub(crate) struct Memory {
    vacant: Vec<usize>,
    /// The next place that never was in use; 0 before the first reload.
    places: usize,
    /// The replacement of each collector that did not do last.
    refused: HashMap<String, String>,
    /// What was told of configuration and plugins, so that it is not told again for as long as it is so.
    remarks: HashSet<String>,
    /// Why nothing was taken up the last time.
    told: String,
    /// Threads in which destructors run.
    farewells: Vec<thread::JoinHandle<()>>,
    /// The thread that keeps the last good configuration.
    keeps: Option<thread::JoinHandle<()>>,
    facts: Option<Facts>,
}

impl Running {
    /// What is known of it without asking it.
    pub(super) fn facts(&mut self) -> Facts {
        let facts = Facts::new(Arc::clone(&self.ledger), self.sinks.clone(), &self.run);
        self.hold(&facts);
        self.memory.facts = Some(facts.clone());
        self.memory.remarks = self.setup.remarks().into_iter().map(|(_, remark)| remark).collect();
        facts
    }

    fn hold(&self, facts: &Facts) {
        facts.hold(&self.setup, self.host.clone(), &self.members, (self.own, crate::setup::OWN_INTERVAL));
    }

    pub(super) fn log_level(&self) -> Level {
        self.setup.plan.agent.log_level
    }

    /// Whether this was not told the last time.
    pub(super) fn is_news(&mut self, text: &str) -> bool {
        let is_news = self.memory.told != text;
        text.clone_into(&mut self.memory.told);
        is_news
    }

    /// Reads all anew and says what would change; and what is wrong with files of `conf.d`, which stay as they were.
    pub(super) fn look(&mut self, ask: &Ask) -> Result<(Setup, Diff, Vec<String>), NotReloaded> {
        let nothing = HashSet::new();
        let (reread, unfinished) = match ask {
            Ask::All => (Reread::All, &nothing),
            Ask::Seen(unfinished) => (Reread::DropIns, unfinished),
            Ask::Released(_) => (Reread::Nothing, &nothing),
        };
        let mut setup = self.setup.again(reread, unfinished)?;
        let mut faults = setup.faulty("is at fault");
        match ask {
            Ask::All if !faults.is_empty() => return Err(NotReloaded::at_fault(&faults)),
            Ask::All => {}
            Ask::Seen(_) | Ask::Released(_) => {
                // What was left out all along is nothing new.
                let before = self.setup.faulty("is at fault");
                faults.retain(|fault| !before.contains(fault));
                let left_out = |setup: &Setup| -> HashSet<PathBuf> {
                    setup.config.left_out().iter().map(|left_out| PathBuf::from(&left_out.path)).collect()
                };
                let (now, before) = (left_out(&setup), left_out(&self.setup));
                // What they said holds, and keeps nothing else from being taken up.
                let held: HashSet<PathBuf> = now.difference(&before).chain(unfinished).cloned().collect();
                if held.len() > unfinished.len() {
                    setup = self.setup.again(reread, &held)?;
                }
            }
        }
        if matches!(ask, Ask::All) {
            setup.can_run()?;
            let damaged: Vec<_> = self.members.iter().filter_map(|member| damaged(member, &setup)).collect();
            if !damaged.is_empty() {
                return Err(SetupError::Unavailable(damaged).into());
            }
        } else if let Some((collector, why)) = setup.plan.missed().next() {
            let why = format!("collector {} is required: {why}", collector.name);
            return Err(SetupError::Unavailable(vec![why]).into());
        }
        if self.output.is_some() && setup.plan.sinks.iter().all(|sink| sink.kind.is_err()) {
            return Err(SetupError::NoSink.into());
        }
        setup.plan.agent.keep_until_next_start(&self.setup.plan.agent);
        let old = Side {
            collectors: self.members.iter().map(|member| &member.plan).collect(),
            ..Side::of(&self.setup.plan, self.setup.offset())
        };
        let mut diff = diff(&old, &Side::of(&setup.plan, setup.offset()), &|plan| self.library(&setup, plan));
        if let Ask::Released(names) = ask {
            diff.collectors.retain(|(name, _)| names.contains(name));
            for name in names {
                if !diff.collectors.iter().any(|(other, _)| other == name) {
                    diff.collectors.push((name.clone(), Step::Anew(Vec::new())));
                }
            }
        }
        Ok((setup, diff, faults))
    }

    /// How the library of a collector that runs has changed.
    fn library(&self, setup: &Setup, plan: &CollectorPlan) -> Option<Changed> {
        let path = &plan.plugin.as_ref().ok()?.path;
        let member = self.members.iter().find(|member| member.plan.name == plan.name)?;
        let (before, after) = (member.library.as_ref()?.known(), setup.known(path)?);
        let is_the_same = member.library.as_ref().is_some_and(|library| library.is(after) && !library.has_failed());
        (!is_the_same).then(|| Changed { key: "library".into(), from: Some(build(before)), to: Some(build(after)) })
    }

    /// Takes up what has changed.
    pub(super) fn take(&mut self, ask: &Ask) -> Result<Reloaded, NotReloaded> {
        let done = self.look(ask).and_then(|(setup, diff, faults)| {
            let told = self.memory.told.clone();
            let made = self.make(ask, setup, diff)?;
            if faults.is_empty() {
                return Ok(made);
            }
            self.memory.told = told;
            if !made.text.is_empty() {
                tracing::info!("taken up: {}", made.text.trim_end());
            }
            Err(NotReloaded::at_fault(&faults))
        });
        if let (Ask::All, Err(refused)) = (ask, &done) {
            let cause = Some(format!("refused: {}", brief(refused.text.lines().next().unwrap_or_default())));
            let event = Event { cause, ..Event::new(EventKind::Reload) };
            // Who asked is told; that it stands in no snapshot where the collection is stuck is its own trouble.
            let _ = self.changes.make(Change { events: vec![event], ..Change::default() }, EDGE_PATIENCE);
        }
        done
    }

    fn make(&mut self, ask: &Ask, setup: Setup, diff: Diff) -> Result<Reloaded, NotReloaded> {
        let unseen = if let Ask::Released(names) = ask { names.iter().cloned().collect() } else { HashSet::new() };
        let beside = Beside {
            members: &self.members,
            roots: &self.roots,
            slots: &self.slots,
            vacant: self.memory.vacant.clone(),
            places: self.memory.places.max(self.own + 1),
            failing: self.failing(),
            unseen,
            refused: &self.memory.refused,
            whole: matches!(ask, Ask::All),
        };
        let Prepared { mut change, members, places, kept } = beside.prepare(&setup, &mut self.libraries, &diff)?;
        let offset = setup.offset();
        if offset != self.setup.offset() {
            let timing = setup.own_timing();
            change.retime.push((self.own, Grid::new(timing.interval, timing.offset), timing.timeout));
        }
        let identity = setup.host();
        if identity != self.host || setup.plan.agent.labels != self.setup.plan.agent.labels {
            change.labels = Some((identity.clone(), setup.plan.agent.labels.clone()));
        }
        for (kept, why) in kept.iter().filter_map(|kept| Some((kept, kept.why.as_ref()?))) {
            tracing::error!(
                collector = kept.name,
                "goes on as it was: what was to replace it was started beside it and failed (perfwatch reload tries it again): {why}"
            );
            change.events.push(Event {
                collector: Some(kept.name.as_str().into()),
                cause: Some(format!("goes on as it was, as what was to replace it failed: {}", brief(why))),
                ..Event::new(EventKind::Reload)
            });
        }
        if matches!(ask, Ask::All) && !diff.is_empty() {
            change.events.insert(0, Event { count: Some(diff.count() as u64), ..Event::new(EventKind::Reload) });
        }
        change.order = members.iter().map(|member| member.place).chain([self.own]).collect();
        let (sinks, output) = (self.sinks.clone(), self.output.clone());
        let plans = (&*self.setup.plan.sinks, &*setup.plan.sinks);
        let outlets = Outlets::open(&sinks, output.as_deref(), plans, &diff)?;
        if is_something(&change) {
            change.keeper = self.nursery.orders_for(&change).map_err(|cause| {
                NotReloaded::failed(format!("could not start the thread that keeps children: {cause}"))
            })?;
            let is_told = change.keeper.is_some();
            let applied = self.changes.make(change, EDGE_PATIENCE);
            let applied = applied.map_err(|cause| NotReloaded::failed(cause.to_string()))?;
            if is_told {
                self.nursery.is_known();
            }
            self.memory.vacant = applied.vacant;
            self.farewell(applied.left);
        }
        outlets.keep();
        // From here on this is what runs.
        self.memory.places = places;
        self.memory.refused.retain(|name, _| members.iter().any(|member| member.plan.name == *name));
        self.memory.refused.extend(kept.iter().map(|kept| (kept.name.clone(), kept.candidate.clone())));
        let stays: HashSet<&str> = kept.iter().map(|kept| &*kept.name).collect();
        let told = Diff {
            collectors: diff.collectors.into_iter().filter(|(name, _)| !stays.contains(&**name)).collect(),
            ..diff
        };
        let text = told.to_string();
        (self.setup, self.members, self.host) = (setup, members, identity);
        self.libraries.sweep();
        let notes = self.remark();
        self.keep_good();
        if let Some(facts) = &self.memory.facts {
            self.hold(facts);
        }
        Ok(Reloaded { text, notes })
    }

    /// Keeps the copy of what was good, on a thread that is not waited for longer than [`DISK_PATIENCE`].
    fn keep_good(&mut self) {
        if self.memory.keeps.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return tracing::warn!("the copy before it is still being written: none is kept of this configuration");
        }
        let (config, (done, kept)) = (self.setup.config.clone(), std::sync::mpsc::channel());
        let keep = move || {
            Setup::keep_good(&config);
            // Nobody may be waiting any more.
            let _ = done.send(());
        };
        match thread::Builder::new().name("last good".into()).spawn(keep) {
            Ok(thread) => self.memory.keeps = Some(thread),
            Err(cause) => tracing::warn!(%cause, "no thread to keep a copy of the configuration in"),
        }
        // Either way it goes on.
        let _ = kept.recv_timeout(DISK_PATIENCE);
    }

    /// Collectors whose last reading was none: what takes their place need not be better.
    fn failing(&self) -> HashSet<String> {
        let well = |status| {
            matches!(
                status,
                None | Some(Status::Ok | Status::Partial | Status::Unavailable | Status::Pending | Status::Skipped)
            )
        };
        let status =
            |place: usize| self.ledger.with(|books| books.collectors.get(place).and_then(|entry| entry.status));
        let failing = self.members.iter().filter(|member| !well(status(member.place)));
        failing.map(|member| member.plan.name.clone()).collect()
    }

    /// Says of configuration and plugins what was not said yet, in the log and to who asked.
    fn remark(&mut self) -> String {
        let (remarks, mut text) = (self.setup.remarks(), String::new());
        for (level, remark) in &remarks {
            if !self.memory.remarks.contains(remark) {
                crate::setup::log_remark(*level, remark);
                let mark = if *level == Level::INFO { "note" } else { "warning" };
                text.push_str(&format!("{mark}: {remark}\n"));
            }
        }
        self.memory.remarks = remarks.into_iter().map(|(_, remark)| remark).collect();
        self.memory.told.clear();
        text
    }

    /// Has destructors run where nobody waits for them.
    fn farewell(&mut self, left: Vec<Caller>) {
        self.memory.farewells.retain(|thread| !thread.is_finished());
        if left.is_empty() {
            return;
        }
        if self.memory.farewells.len() >= FAREWELLS_MAX {
            tracing::warn!(
                "{} collectors that have left are not taken down, as {FAREWELLS_MAX} others hang in that",
                left.len()
            );
            return std::mem::forget(left);
        }
        match thread::Builder::new().name("farewell".into()).spawn(move || drop(left)) {
            Ok(thread) => self.memory.farewells.push(thread),
            Err(cause) => tracing::debug!(%cause, "no thread to take down a collector that has left"),
        }
    }

    /// Folders in which something may appear that is to be taken up, with the ending of its name.
    pub(super) fn watched(&self) -> Vec<(PathBuf, &'static str)> {
        self.setup.watched()
    }
}

/// What is wrong with the file that lies where the library of a collector that is to go on was: one that is gone is the operator's
/// word, one that is cut or anybody's is a mistake.
fn damaged(member: &Member, setup: &Setup) -> Option<String> {
    member.library.as_ref()?;
    let path = &member.plan.plugin.as_ref().ok()?.path;
    let name = &member.plan.name;
    match setup.plan.collectors.iter().find(|plan| plan.name == *name) {
        Some(plan) if plan.plugin.is_ok() => return None,
        None if setup.plan.agent.collect == Collect::Named => return None,
        _ => {}
    }
    let fault = setup.found.fault(path)?;
    Some(format!("collector {name}: {}; its library goes on as it was, until it is mended or gone", chain(fault)))
}

fn is_something(change: &Change) -> bool {
    let Change { leave, come, retime, order: _, labels, keeper: _, events } = change;
    !(leave.is_empty() && come.is_empty() && retime.is_empty() && labels.is_none() && events.is_empty())
}

/// A build of a plugin: its version, and which of those with the same it is.
fn build(known: &Known) -> String {
    let sha256 = known.sha256().map_or_else(|_| "?".into(), |sha256| format!("sha256 {:.8}", sha256.to_string()));
    match &known.manifest.plugin.version {
        Some(version) => format!("{version} ({sha256})"),
        None => sha256,
    }
}
