//! From a configuration to what runs: reads it, finds the plugins, plans; then loads the libraries and opens the sinks.
//!
//! Up to [`Setup::read`] no code of a plugin has run, so that `check` and `plugins` stop there.
#![forbid(unsafe_code)]

mod again;
mod error;
mod recruiting;
mod remarks;
mod sinks;

use self::again::Before;
pub(crate) use self::again::Reread;
pub use self::error::SetupError;
pub(crate) use self::recruiting::Recruiting;
pub(crate) use self::remarks::log_remark;
pub use self::sinks::Opened;
use self::sinks::sink_check;
pub(crate) use self::sinks::{open, start_sink};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::roots::Roots;

use crate::agent::{Agent, Feed, Parts};
use crate::assemble::{self, Timing};
use crate::config::agent::Trust;
use crate::config::good;
use crate::config::layers::{self, Environment};
use crate::config::plan::{Available, CollectorPlan, Plan, Plugins, Unavailable};
use crate::config::{Config, Refused};
use crate::harmless;
use crate::libraries::{Libraries, Library};
use crate::own::Sources;
use crate::plugin::find::{Found, find, folders};
use crate::plugin::known::{Bundled, Known, Origin};
use crate::plugin::lock::Held;
use crate::plugin::trust::Authority;
use crate::record::Slots;
use crate::reload::{Memory, Operator, Running};
use crate::schedule::ledger::Ledger;
use crate::schedule::member::Recruit;
use crate::sink::Sinks;
use crate::snapshot::{Identity, Schema};

/// Of a configuration in memory that requires a lock.
const NO_LOCK: &str = "a config that is no file has no plugins.lock beside it: read it from a file, or leave this out";
/// How often the agent reads itself.
pub(crate) const OWN_INTERVAL: Duration = Duration::from_secs(10);

/// The collectors of a plan, ready to be started, and what they hold in common.
pub struct Crew {
    /// As the schedule takes them.
    pub(crate) recruits: Vec<Recruit>,
    /// As a reload compares them.
    pub(crate) members: Vec<Member>,
    pub(crate) libraries: Libraries,
    pub(crate) roots: Arc<Roots>,
    /// Where their calls are taken down.
    pub(crate) slots: Slots,
}

/// A collector that runs.
#[derive(Clone)]
pub struct Member {
    /// Its place in the schedule.
    pub(crate) place: usize,
    /// By what it runs.
    pub(crate) plan: CollectorPlan,
    /// What it runs; none where that cannot be had.
    pub(crate) library: Option<Arc<Library>>,
}

/// A configuration, and the plugins that it finds.
pub struct Setup {
    /// What was read.
    pub config: Config,
    /// What runs.
    pub plan: Plan,
    /// What the plugin folders hold.
    pub found: Found,
    /// The libraries that the configuration names by their path.
    pub at_paths: Vec<Arc<Known>>,
    authority: Authority,
    from: From,
}

/// What a configuration is read from.
#[derive(Clone)]
enum From {
    /// The file that was named, or the usual one.
    File(Option<PathBuf>),
    /// A text of the program's.
    Text(String),
}

impl Setup {
    /// Reads the configuration at `path`, or where it is by default, and looks for plugins.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn read(path: Option<&Path>) -> Result<Setup, SetupError> {
        Setup::of(
            Config::read(path, Environment::of_process()),
            From::File(path.map(Path::to_owned)),
            &Before::default(),
        )
    }

    /// The same with all plugins, whatever is locked: for whoever writes a lock.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn read_unlocked(path: Option<&Path>) -> Result<Setup, SetupError> {
        let config = Config::read(path, Environment::of_process());
        Setup::looked(config, From::File(path.map(Path::to_owned)), &Before::default(), false)
    }

    /// As [`Setup::read`]; and where it is refused, of the copy of the last one that was good, which the remarks then tell.
    ///
    /// # Errors
    /// The configuration is wrong, and no copy can stand in for it: both are told.
    pub fn read_or_last_good(path: Option<&Path>) -> Result<Setup, SetupError> {
        let refused = match Setup::read(path) {
            Err(SetupError::Config(refused)) => *refused,
            read => return read,
        };
        Setup::of_last_good(path, refused)
    }

    fn of_last_good(path: Option<&Path>, refused: Refused) -> Result<Setup, SetupError> {
        let copy = good::stand_in(path, Environment::of_process(), refused);
        let stand_in = copy.as_ref().ok().and_then(Config::stands_in).cloned();
        Setup::of(copy, From::File(path.map(Path::to_owned)), &Before::default()).map_err(|error| {
            match (error, stand_in) {
                (SetupError::Config(copy), Some(stand_in)) => {
                    SetupError::Config(Box::new(good::refused_too(&stand_in, *copy)))
                }
                (error, _) => error,
            }
        })
    }

    /// Keeps a copy of a configuration that has proved good, where `agent.last_good` wants one. Waits for the disk.
    pub(crate) fn keep_good(config: &Config) {
        if let Err(cause) = config.keep_good() {
            let copy = config.agent().last_good.as_deref().map(|path| harmless::path(path).to_string());
            tracing::warn!(copy, %cause, "could not keep a copy of the config as agent.last_good wants it");
        }
    }

    /// As [`Setup::read`] of a configuration that is no file: of this text and the variables alone.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn of_text(text: &str) -> Result<Setup, SetupError> {
        Setup::of(Config::of_text(text, Environment::of_process()), From::Text(text.to_owned()), &Before::default())
    }

    fn of(config: Result<Config, Refused>, from: From, before: &Before) -> Result<Setup, SetupError> {
        Setup::looked(config, from, before, true)
    }

    /// The same, `locked` where what `agent.require_lock` says counts.
    fn looked(config: Result<Config, Refused>, from: From, before: &Before, locked: bool) -> Result<Setup, SetupError> {
        let refused = |refused| SetupError::Config(Box::new(refused));
        let mut config = config.map_err(refused)?;
        let mut authority = Authority::of_this_agent().relaxed(config.agent().trust == Trust::Relaxed);
        let mut doubts = Vec::new();
        if config.agent().require_lock && locked {
            let From::File(path) = &from else { return Err(refused(config.refuse("require_lock", NO_LOCK))) };
            let (path, is_named) = layers::main_file(path.as_deref(), &Environment::of_process());
            let (lock, told) = Held::beside(&path, is_named, &authority);
            (authority, doubts) = (authority.holding(Some(lock)), told);
        }
        let bundled = Bundled::of_this_agent();
        let mut found = find(&folders(&config.agent().plugin_dirs), &bundled, &authority);
        found.doubts.splice(0..0, doubts);
        found.plugins = found.plugins.into_iter().map(|known| before.or(known)).collect();
        found.leave(&before.unfinished);
        found.keep(&before.faulty);
        if let Some(before) = &before.found {
            found.plugins.clone_from(before);
        }
        let (mut at_paths, mut plugins) = (Vec::new(), Plugins::default());
        plugins.found = found.plugins.iter().map(|known| available(known)).collect();
        plugins.searched.clone_from(&found.searched);
        for path in config.plugin_paths() {
            match Known::read(&path, &bundled).and_then(|known| Ok((known.may_be_loaded(&authority)?, known))) {
                Ok(_) if let (true, Some(known)) = (before.is_unfinished(&path), before.of(&path)) => {
                    at_paths.push(Arc::clone(known));
                }
                Ok((doubts, known)) => {
                    at_paths.push(before.or(Arc::new(known)));
                    found.doubts.extend(doubts);
                }
                Err(fault) => match before.of(&path) {
                    Some(known) => {
                        at_paths.push(Arc::clone(known));
                        found.faults.extend((!before.is_unfinished(&path)).then_some(fault));
                    }
                    None => plugins.unavailable.push(unavailable(&fault)),
                },
            }
        }
        plugins.at_paths = at_paths.iter().map(|known| available(known)).collect();
        plugins.unavailable.extend(found.faults.iter().map(unavailable));
        let plan = config.plan(&plugins, &sink_check).map_err(refused)?;
        Ok(Setup { config, plan, found, at_paths, authority, from })
    }

    /// Starts the agent with collectors that [`Setup::recruits`] gave, and the sinks of [`Setup::open`]. With it comes who changes
    /// it while it runs.
    ///
    /// # Errors
    /// The system has run out of something.
    pub fn start(self, crew: Crew, opened: Opened, streams: Vec<Feed>) -> Result<(Agent, Operator), SetupError> {
        let Crew { mut recruits, members, libraries, roots, slots } = crew;
        let Opened { sinks, closed, output } = opened;
        let ledger = Arc::new(Ledger::default());
        let own = recruits.len();
        recruits.push(self.own(&ledger, &sinks, &|timing| timing));
        let identity = self.identity()?;
        let (host, run) = (identity.host.clone(), identity.run.clone());
        let (books, outlets, notes) = (Arc::clone(&ledger), sinks.clone(), slots.clone());
        let parts = Parts { identity, ledger: books, recruits, slots: notes, sinks: outlets, streams, snapshots: None };
        let agent = Agent::start(parts, closed).map_err(|cause| SetupError::System("start the collection", cause))?;
        Setup::keep_good(&self.config);
        let running = Running {
            setup: self,
            members,
            libraries,
            roots,
            slots,
            own,
            host,
            run,
            output,
            sinks,
            ledger,
            changes: agent.changes(),
            nursery: agent.nursery(),
            memory: Memory::default(),
        };
        Ok((agent, Operator::new(running)))
    }

    /// Whether anything is there to run.
    ///
    /// # Errors
    /// A required plugin cannot be had, or no collector is configured or found.
    pub fn can_run(&self) -> Result<(), SetupError> {
        let missed =
            self.plan.missed().map(|(collector, why)| format!("collector {} is required: {why}", collector.name));
        let mut missed: Vec<_> = missed.collect();
        if self.plan.collectors.is_empty() {
            missed.push(self.nothing());
        }
        if missed.is_empty() { Ok(()) } else { Err(SetupError::Unavailable(missed)) }
    }

    fn nothing(&self) -> String {
        let searched: Vec<_> = self.found.searched.iter().map(|folder| folder.display().to_string()).collect();
        let searched = if searched.is_empty() { "no folder of plugins is there".into() } else { searched.join(", ") };
        if self.found.plugins.is_empty() && !self.found.faults.is_empty() {
            format!("no plugin can be used of those that are found, in: {searched}; what is wrong with each is told")
        } else if self.found.plugins.is_empty() {
            // Where the executable lies is told by /proc/self/exe alone, and libraries are loaded through /proc/self/fd.
            let proc = if Path::new("/proc/self/fd").exists() { "" } else { "; /proc is not mounted, and has to be" };
            format!("no plugin is found, in: {searched}; name a folder in agent.plugin_dirs{proc}")
        } else {
            "no collector runs: agent.collect is \"named\" and no table [collectors.NAME] names one".into()
        }
    }

    /// The plugin of a library that was found or named.
    pub(crate) fn known(&self, path: &Path) -> Option<&Arc<Known>> {
        self.plugins().find(|known| known.path == path)
    }

    /// All plugins that can be had.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Known>> {
        self.at_paths.iter().chain(&self.found.plugins)
    }

    /// The schema of a collector; of nothing where its plugin cannot be had.
    pub fn schema(collector: &CollectorPlan) -> Schema {
        match &collector.plugin {
            Ok(plugin) => Schema::new(Arc::clone(&plugin.manifest), |option| plugin.options.is_on(option)),
            Err(_) => Schema::of_nothing(),
        }
    }

    /// Makes what the schedule needs of each collector. Libraries of what comes with the agent are loaded: from here on
    /// plugin code runs, and may never come back. `timing` may have the last word.
    ///
    /// # Errors
    /// A required plugin cannot be loaded.
    pub fn recruits(&self, timing: &dyn Fn(Timing) -> Timing) -> Result<Crew, SetupError> {
        let root = &self.plan.agent.host_root;
        let roots = Arc::new(Roots::at(root).map_err(|why| SetupError::Unavailable(vec![why]))?);
        let (mut libraries, mut missed, slots) = (Libraries::default(), Vec::new(), self.slots());
        let (mut recruits, mut members) = (Vec::new(), Vec::new());
        let mut recruiting = Recruiting::new(self, &roots, &mut libraries, &slots, false)?;
        recruiting.blame_the_dead();
        for (place, collector) in self.plan.collectors.iter().enumerate() {
            let recruited = recruiting.recruit(place, collector, timing(self.timing(collector)));
            if let (Some(why), Ok(_)) = (&recruited.missing, &collector.plugin) {
                tracing::error!(collector = collector.name, "{why}");
                if collector.required {
                    missed.push(format!("collector {} is required: {why}", collector.name));
                }
            }
            recruits.push(recruited.recruit);
            members.push(Member { place, plan: collector.clone(), library: recruited.library });
        }
        if missed.is_empty() {
            Ok(Crew { recruits, members, libraries, roots, slots })
        } else {
            Err(SetupError::Unavailable(missed))
        }
    }

    /// When a collector is called.
    pub(crate) fn timing(&self, collector: &CollectorPlan) -> Timing {
        Timing { interval: collector.interval, offset: self.offset(), timeout: collector.timeout }
    }

    /// Where this agent takes down whom it calls, for the one after it. Without a folder for that it is not taken down.
    fn slots(&self) -> Slots {
        let Some(folder) = &self.plan.agent.runtime_dir else { return Slots::nowhere() };
        Slots::open(folder).unwrap_or_else(|cause| {
            tracing::debug!(folder = %folder.display(), %cause, "could not make the file of calls");
            Slots::nowhere()
        })
    }

    /// The `agent` section, which reads the books and the queues of these sinks.
    pub fn own(&self, ledger: &Arc<Ledger>, sinks: &Sinks, timing: &dyn Fn(Timing) -> Timing) -> Recruit {
        let timing = timing(self.own_timing());
        let sources = Sources { ledger: Arc::clone(ledger), sinks: sinks.clone() };
        assemble::own(timing, sources, &self.plan.agent.host_root)
    }

    pub(crate) fn own_timing(&self) -> Timing {
        Timing { interval: OWN_INTERVAL, offset: self.offset(), timeout: Duration::from_secs(1) }
    }

    /// By how much ticks are moved.
    pub(crate) fn offset(&self) -> Duration {
        let machine_id = std::fs::read_to_string(self.plan.agent.host_root.join("etc/machine-id")).ok();
        self.plan.agent.offset.resolve(machine_id.as_deref(), self.plan.agent.interval)
    }

    /// Who the snapshots are of.
    ///
    /// # Errors
    /// No random number is to be had.
    pub fn identity(&self) -> Result<Identity, SetupError> {
        let mut bytes = [0u8; 16];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|cause| SetupError::System("get a random number", cause.into()))?;
        let run = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Identity { host: self.host(), run, labels: self.plan.agent.labels.clone() })
    }

    /// The name of the host that is measured.
    pub(crate) fn host(&self) -> Option<String> {
        let agent = &self.plan.agent;
        agent.hostname.clone().or_else(|| host_name(&agent.host_root))
    }
}

fn available(known: &Known) -> Available {
    let bundled = known.origin == Origin::Bundled;
    Available { path: known.path.clone(), manifest: Arc::clone(&known.manifest), bundled }
}

fn unavailable(fault: &crate::plugin::fault::Fault) -> Unavailable {
    let plugin = fault.problem.plugin().map(str::to_owned);
    Unavailable { path: fault.path.clone(), plugin, reason: assemble::chain(&fault.problem) }
}

/// The host's own name; under a host root what its `etc/hostname` says, since this process's is the container's.
fn host_name(root: &Path) -> Option<String> {
    let name = if root == Path::new("/") {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        std::fs::read_to_string(root.join("etc/hostname")).ok()?
    };
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
