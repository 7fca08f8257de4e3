//! The plan's collectors into those that the schedule takes: where each is called, and what it is started from.
//!
//! What is called in the agent is loaded here, after a [trial](crate::child::trial) where it does not come with the agent.
//! The record has a say: a library that the agent died in starts in a child, one that has shown itself may start in the
//! agent.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plugin_api::host_side::roots::Roots;

use super::Setup;
use crate::assemble::{self, Collecting, Timing};
use crate::child::keep::Starter;
use crate::child::sandbox::{Policy, Terms, Without};
use crate::child::{Probe, Start, Trial, probe, trial};
use crate::config::agent::SandboxMode;
use crate::config::plan::{CollectorPlan, Isolation, PluginPlan};
use crate::libraries::{Libraries, Library};
use crate::plugin::known::{Known, Loadable, Origin};
use crate::record::{Blame, Record, Sha256, Slot, Slots, What, agent_sha256};
use crate::schedule::member::{Home, Recruit, Verdict};
use crate::setup::SetupError;

/// How long a library may take to be loaded. On a quiet machine one takes 1 ms, and its process 4.
const LOAD_PATIENCE: Duration = Duration::from_secs(1);

/// How long a collector that is looked at may take at most, whatever its timeout: who reloads waits for it, for 60 s in all.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);

/// What is being recruited with.
pub(crate) struct Recruiting<'a> {
    setup: &'a Setup,
    roots: Arc<Roots>,
    record: Record,
    without: Without,
    libraries: &'a mut Libraries,
    slots: &'a Slots,
    slot: Slot,
    agent: Option<Sha256>,
    /// Also what comes with the agent is tried in a child before it is loaded: the agent runs, and a constructor that hangs would stop it.
    runs: bool,
}

/// What came of recruiting a collector.
pub(crate) struct Recruited {
    /// As the schedule takes it.
    pub(crate) recruit: Recruit,
    /// What it runs; none where that cannot be had.
    pub(crate) library: Option<Arc<Library>>,
    /// Why there is nothing to run. It is in the section of the collector.
    pub(crate) missing: Option<String>,
}

impl<'a> Recruiting<'a> {
    pub(crate) fn new(
        setup: &'a Setup,
        roots: &Arc<Roots>,
        libraries: &'a mut Libraries,
        slots: &'a Slots,
        runs: bool,
    ) -> Result<Recruiting<'a>, SetupError> {
        let without = Without::from_env()
            .map_err(|why| SetupError::System("read PERFWATCH_SANDBOX_WITHOUT", std::io::Error::other(why)))?;
        let record = Record::read(&setup.plan.agent.state_dir);
        if let Some(fault) = record.fault() {
            tracing::warn!("{fault}");
        }
        let (roots, slot) = (Arc::clone(roots), slots.slot());
        Ok(Recruiting { setup, roots, record, without, libraries, slots, slot, agent: None, runs })
    }

    /// Takes down of the agents before this one in which library they died.
    pub(crate) fn blame_the_dead(&mut self) {
        let died = self.setup.plan.agent.runtime_dir.as_deref().map_or_else(|| Ok(Vec::new()), Slots::dead);
        let died = died.unwrap_or_else(|cause| {
            tracing::debug!(%cause, "could not read whom an agent before this one called last");
            Vec::new()
        });
        for died in died {
            let here =
                self.setup.plugins().find(|known| known.path == died.library && known.identity() == died.identity);
            // Another file by now is another library.
            let Some(known) = here else { continue };
            tracing::error!(
                collector = died.collector,
                "the agent before this one died in a call of plugin {}",
                known.name()
            );
            note(&mut self.record, known, known.sha256().ok(), |record, library| {
                let (plugin, when) = (known.name().to_owned(), SystemTime::now());
                record.blame(library, Blame { collector: died.collector, plugin, when, what: What::AgentDied });
            });
        }
    }

    /// A collector, to be called at this place. Its library is loaded where it is called in the agent.
    pub(crate) fn recruit(&mut self, place: usize, collector: &CollectorPlan, timing: Timing) -> Recruited {
        let plugin = match &collector.plugin {
            Ok(plugin) => plugin,
            Err(why) => {
                let recruit = assemble::hopeless(&collector.name, timing, why.clone());
                return Recruited { recruit, library: None, missing: Some(why.clone()) };
            }
        };
        let collecting = Collecting {
            name: &collector.name,
            manifest: &plugin.manifest,
            settings: &plugin.options,
            timing,
            allowance: collector.allowance,
        };
        let mut used = None;
        let home = self.library(&plugin.path).and_then(|library| {
            used = Some(Arc::clone(&library));
            self.take_down(place, collector, library.known());
            self.home(place, collector, plugin, &collecting, &library)
        });
        let missing = home.as_ref().err().cloned();
        Recruited { recruit: collecting.recruit(home), library: used, missing }
    }

    /// What a collector of this plan would be, in words that differ where it would.
    pub(crate) fn candidate(&self, collector: &CollectorPlan) -> String {
        let library = |plugin: &PluginPlan| self.setup.known(&plugin.path).map(|known| known.identity());
        let of = collector.plugin.as_ref().map(|plugin| (library(plugin), plugin.options.json()));
        format!("{}: {of:?}, {}, {:?}", collector.name, collector.isolation.word(), collector.grants)
    }

    /// Starts a collector in a child of its own, where it would have one in its sandbox, reads it once and ends it. None where
    /// its plugin cannot be had.
    pub(crate) fn probe(&mut self, collector: &CollectorPlan) -> Option<Result<Probe, String>> {
        let plugin = collector.plugin.as_ref().ok()?;
        let library = match self.library(&plugin.path) {
            Ok(library) => library,
            Err(why) => return Some(Err(why)),
        };
        let isolation = self.isolation(collector, &library);
        let policy = (isolation != Isolation::None).then(|| self.policy(collector, plugin, &library));
        let copy = match library.copy() {
            Ok(copy) => copy,
            Err(why) => return Some(Err(why)),
        };
        let start = self.start(collector, plugin, policy)(copy);
        let patience = (collector.timeout + LOAD_PATIENCE).min(LOOK_PATIENCE);
        Some(Ok(probe(&start, &Setup::schema(collector), patience)))
    }

    fn library(&mut self, path: &Path) -> Result<Arc<Library>, String> {
        let known = self.setup.known(path).ok_or_else(|| format!("{}: it was not looked at", path.display()))?;
        Ok(self.libraries.of(known, &self.setup.authority, &self.setup.plan.agent.state_dir))
    }

    /// Says who it is that will be called, for whoever starts after a death.
    fn take_down(&self, place: usize, collector: &CollectorPlan, known: &Known) {
        if let Err(cause) = self.slots.name(place as u32, &collector.name, &known.path, known.identity()) {
            tracing::debug!(collector = collector.name, %cause, "could not take down whom a death would be of");
        }
    }

    fn home(
        &mut self,
        place: usize,
        collector: &CollectorPlan,
        plugin: &PluginPlan,
        collecting: &Collecting<'_>,
        library: &Arc<Library>,
    ) -> Result<Home, String> {
        let known = library.known();
        let maker = collecting.maker(library, &self.roots);
        match self.isolation(collector, library) {
            Isolation::Process => Ok(Home::Child(self.starter(collector, plugin, library))),
            Isolation::None => {
                if self.runs || known.origin != Origin::Bundled {
                    self.try_out(collector, plugin, library)?;
                }
                load(&self.slot, place, library).map(|()| Home::Agent(maker))
            }
            Isolation::Auto => {
                let settled = self.is_settled(library)
                    && (!self.runs || self.try_out(collector, plugin, library).is_ok())
                    && load(&self.slot, place, library).is_ok();
                let starter = self.starter(collector, plugin, library);
                Ok(Home::Either { maker, starter, settled, verdict: self.verdict(place, collector, library) })
            }
        }
    }

    /// Where it is called, when the record has been heard.
    fn isolation(&self, collector: &CollectorPlan, library: &Library) -> Isolation {
        // Nobody is blamed on most hosts: then no digest of half a megabyte is computed.
        if collector.isolation == Isolation::Process || self.record.blames().next().is_none() {
            return collector.isolation;
        }
        let blame = library.sha256().and_then(|library| self.record.blamed(library));
        let Some(blame) = blame else { return collector.isolation };
        let (name, when) = (&collector.name, humantime::format_rfc3339_seconds(blame.when));
        if collector.isolation == Isolation::None && collector.isolation_written {
            tracing::warn!(
                collector = name,
                "runs in the agent, as its isolation = \"none\" says, in spite of {when}: {}",
                blame.what
            );
            return Isolation::None;
        }
        tracing::warn!(
            collector = name,
            "runs in a child since {when}: {}; until: perfwatch plugins release {name}",
            blame.what
        );
        Isolation::Process
    }

    fn is_settled(&mut self, library: &Library) -> bool {
        let Some(library) = library.sha256() else { return false };
        let agent = self.agent.or_else(|| agent_sha256().ok());
        self.agent = agent;
        agent.is_some_and(|agent| self.record.trusts(library, agent))
    }

    fn verdict(&self, place: usize, collector: &CollectorPlan, library: &Arc<Library>) -> Verdict {
        let (state_dir, library) = (self.setup.plan.agent.state_dir.clone(), Arc::clone(library));
        let (collector, slots) = (collector.name.clone(), self.slots.clone());
        Arc::new(move |verdict| {
            let known = library.known();
            if verdict.is_ok() {
                load(&slots.slot(), place, &library)?;
            }
            let mut record = Record::read(&state_dir);
            note(&mut record, known, library.sha256(), |record, library| match verdict {
                Ok(()) => {
                    if let Ok(agent) = agent_sha256() {
                        record.trust(library, agent);
                    }
                }
                Err(what) => {
                    let (plugin, when) = (known.name().to_owned(), SystemTime::now());
                    record.blame(library, Blame { collector: collector.clone(), plugin, when, what });
                }
            });
            Ok(())
        })
    }

    fn starter(&self, collector: &CollectorPlan, plugin: &PluginPlan, library: &Arc<Library>) -> Starter {
        let start = self.start(collector, plugin, Some(self.policy(collector, plugin, library)));
        let library = Arc::clone(library);
        Box::new(move || library.copy().map(&start))
    }

    fn policy(&self, collector: &CollectorPlan, plugin: &PluginPlan, library: &Library) -> Policy {
        let agent = &self.setup.plan.agent;
        Policy::new(&Terms {
            collector: &collector.name,
            reads: &plugin.manifest.plugin.reads,
            options: &plugin.options,
            grants: &collector.grants,
            bundled: library.known().origin == Origin::Bundled,
            host_root: &agent.host_root,
            memory: collector.allowance.memory,
            descriptors: collector.allowance.descriptors,
            required: agent.sandbox == SandboxMode::Require,
            without: self.without,
        })
    }

    /// A child of a collector, but for the library.
    fn start(
        &self,
        collector: &CollectorPlan,
        plugin: &PluginPlan,
        policy: Option<Policy>,
    ) -> impl Fn(Arc<Loadable>) -> Start + Send + use<> {
        let agent = &self.setup.plan.agent;
        let (name, options, host_root) = (collector.name.clone(), plugin.options.json(), agent.host_root.clone());
        let limits = collector.allowance.limits.holding(plugin.manifest.metrics.len());
        let log_level = agent.log_level;
        move |library| Start {
            name: name.clone(),
            library,
            options: options.clone(),
            host_root: host_root.clone(),
            limits,
            policy: policy.clone(),
            log_level,
        }
    }

    /// Sees whether a library can be loaded, where that harms nobody.
    fn try_out(&self, collector: &CollectorPlan, plugin: &PluginPlan, library: &Library) -> Result<(), String> {
        if library.loaded().is_some() {
            return Ok(());
        }
        let start = self.start(collector, plugin, None)(library.copy()?);
        match trial(&start, LOAD_PATIENCE) {
            Trial::Passed => Ok(()),
            Trial::Failed(why) => Err(library.at(&why)),
            Trial::Omitted(cause) => {
                tracing::debug!(collector = collector.name, %cause, "its library is loaded without a trial");
                Ok(())
            }
        }
    }
}

/// Loads a library into the agent, and takes down for whom: its constructors run.
fn load(slot: &Slot, place: usize, library: &Library) -> Result<(), String> {
    slot.enter(place as u32);
    let loaded = library.module();
    slot.leave();
    loaded.map(drop)
}

/// Changes what is on record of a library. Where that fails, the next start knows nothing of it, which is said.
fn note(record: &mut Record, known: &Known, digest: Option<Sha256>, edit: impl FnOnce(&mut Record, Sha256)) {
    let Some(digest) = digest else {
        tracing::debug!(plugin = known.name(), "nothing is put on record of a library that was written over since");
        return;
    };
    let written = record.change(|record| edit(record, digest));
    if let Err(cause) = written {
        tracing::warn!(plugin = known.name(), %cause, "could not write {}", record.path().display());
    }
}
