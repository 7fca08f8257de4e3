//! From a configuration to what runs: reads it, finds the plugins, plans; then loads the libraries and opens the sinks.
//!
//! Up to [`Setup::read`] no code of a plugin has run, so that `check` and `plugins` stop there.
#![forbid(unsafe_code)]

mod recruiting;

pub(crate) use self::recruiting::Recruiting;

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::options::Settings;
use plugin_api::host_side::roots::Roots;
use tokio::sync::Notify;
use tracing::Level;

use crate::agent::{Agent, Feed, Parts};
use crate::assemble::{self, Timing};
use crate::config::agent::{Trust, Watch};
use crate::config::good;
use crate::config::layers::{self, Environment};
use crate::config::plan::{Available, CollectorPlan, Format, Plan, Plugins, SinkKind, SinkPlan, Unavailable};
use crate::config::{Config, LeftOut, Refused};
use crate::harmless;
use crate::libraries::{Libraries, Library};
use crate::own::Sources;
use crate::plugin::astray::astray;
use crate::plugin::find::{Found, find, folders};
use crate::plugin::known::{Bundled, Known, Origin};
use crate::plugin::lock::Held;
use crate::plugin::trust::Authority;
use crate::record::Slots;
use crate::reload::{Memory, Operator, Running};
use crate::schedule::ledger::Ledger;
use crate::schedule::member::Recruit;
use crate::sink::encode::json::Json;
use crate::sink::file::{self, FileSettings, FileSink};
use crate::sink::stdout::{self, Stdout};
use crate::sink::worker::Worker;
use crate::sink::{Sink, Sinks};
use crate::snapshot::{Identity, Schema};

/// Of a configuration in memory that requires a lock.
const NO_LOCK: &str = "a config that is no file has no plugins.lock beside it: read it from a file, or leave this out";
/// How often the agent reads itself.
pub(crate) const OWN_INTERVAL: Duration = Duration::from_secs(10);

/// Why nothing runs.
#[derive(Debug)]
pub enum SetupError {
    /// The configuration is wrong.
    Config(Box<Refused>),
    /// Plugins that must not be missing cannot be had; or there are none at all. Each in one line.
    Unavailable(Vec<String>),
    /// A sink cannot be opened.
    Sink {
        /// Its name.
        name: String,
        /// Why.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// No sink is left to write to.
    NoSink,
    /// Threads, descriptors or random numbers have run out.
    System(&'static str, std::io::Error),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Config(refused) => refused.fmt(f),
            SetupError::Unavailable(lines) => f.write_str(&lines.join("\n")),
            SetupError::Sink { name, .. } => write!(f, "could not open sink `{name}`"),
            SetupError::NoSink => {
                f.write_str("no sink is left to write to: those of the configuration are at fault or not enabled")
            }
            SetupError::System(what, _) => write!(f, "could not {what}"),
        }
    }
}

impl Error for SetupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SetupError::Sink { cause, .. } => Some(&**cause),
            SetupError::System(_, cause) => Some(cause),
            _ => None,
        }
    }
}

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

/// Sinks that are open, and wait for snapshots.
pub struct Opened {
    sinks: Sinks,
    /// Told when the last of them has lost its reader.
    closed: Arc<Notify>,
    output: Option<Arc<File>>,
}

/// What a configuration is read from.
#[derive(Clone)]
enum From {
    /// The file that was named, or the usual one.
    File(Option<PathBuf>),
    /// A text of the program's.
    Text(String),
}

/// What was known of libraries, by the paths of some.
#[derive(Default)]
struct Before {
    /// Those that are being written: what can be read of them now says nothing.
    unfinished: Vec<(PathBuf, Option<Arc<Known>>)>,
    /// Those that go on where they are at fault now.
    faulty: Vec<Arc<Known>>,
    /// Those that were found, where no others are to be.
    found: Option<Vec<Arc<Known>>>,
}

impl Before {
    fn is_unfinished(&self, path: &Path) -> bool {
        self.unfinished.iter().any(|(other, _)| other == path)
    }

    fn of(&self, path: &Path) -> Option<&Arc<Known>> {
        let unfinished = self.unfinished.iter().filter_map(|(_, known)| known.as_ref());
        // One that is gone is no fault of the file that was there.
        let faulty = self.faulty.iter().filter(|known| known.path.exists());
        unfinished.chain(faulty).find(|known| known.path == path)
    }
}

/// What of a configuration is read again. The plugins are, but for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reread {
    /// All of it.
    All,
    /// The files of `conf.d`. The main file may be in the middle of being edited: it is taken by a reload.
    DropIns,
    /// Nothing.
    Nothing,
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

    /// The sinks of this configuration, open, and itself. Where one cannot be opened, those of the copy of the last one that was good,
    /// and that, with its remarks logged. Where those cannot be opened either, it is not the configuration that is at fault.
    ///
    /// # Errors
    /// One cannot be opened, or none is left.
    pub fn open_or_last_good(self, output: Option<Arc<File>>) -> Result<(Setup, Opened), SetupError> {
        let error = match self.open(output.clone()) {
            Ok(opened) => return Ok((self, opened)),
            Err(error) => error,
        };
        let copy = match &self.from {
            From::File(path) if self.config.stands_in().is_none() => {
                let refused = good::refused_for(&self.config, assemble::chain(&error));
                Setup::of_last_good(path.as_deref(), refused).ok()
            }
            From::File(_) | From::Text(_) => None,
        };
        let Some(copy) = copy.filter(|copy| copy.can_run().is_ok()) else { return Err(error) };
        let Ok(opened) = copy.open(output) else { return Err(error) };
        copy.log_remarks();
        Ok((copy, opened))
    }

    /// Opens the sinks and puts them to work. Without an `output`, in a program of somebody else, those of standard output are
    /// passed over, and there may be none at all.
    ///
    /// # Errors
    /// One cannot be opened, or none is left.
    pub fn open(&self, output: Option<Arc<File>>) -> Result<Opened, SetupError> {
        let closed = Arc::new(Notify::new());
        Ok(Opened { sinks: self.sinks(output.as_deref(), &closed)?, closed, output })
    }

    /// Keeps a copy of this configuration, which has proved good, where `agent.last_good` wants one. Waits for the disk.
    pub fn keep_good(&self) {
        if let Err(cause) = self.config.keep_good() {
            let copy = self.plan.agent.last_good.as_deref().map(|path| harmless::path(path).to_string());
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

    /// Reads it again, and looks for plugins again. Of a file that is being written the state that is here holds, or it is not there
    /// yet. So it does of a library that cannot be had any more, where nobody has asked for a reload of all: what runs goes on.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub(crate) fn again(&self, reread: Reread, unfinished: &HashSet<PathBuf>) -> Result<Setup, SetupError> {
        let environment = Environment::of_process;
        let config = match (reread, &self.from) {
            (Reread::Nothing, _) => Ok(self.config.clone()),
            (_, From::Text(text)) => Config::of_text(text, environment()),
            // What stands in for a configuration that was refused is no state to go on from.
            (Reread::DropIns, From::File(path)) if self.config.stands_in().is_none() => {
                self.config.again(path.as_deref(), environment(), unfinished)
            }
            (_, From::File(path)) => Config::read(path.as_deref(), environment()),
        };
        let known = |path: &PathBuf| (path.clone(), self.known(path).cloned());
        let unfinished = unfinished.iter().map(known).collect();
        let faulty = if reread == Reread::All { Vec::new() } else { self.plugins().cloned().collect() };
        // A library that appears is nobody's business where files of the config alone are watched.
        let is_fixed = match reread {
            Reread::All => false,
            Reread::DropIns => self.plan.agent.watch == Watch::ConfD,
            // Who asks for one collector has not asked for what else has changed.
            Reread::Nothing => true,
        };
        let found = is_fixed.then(|| self.found.plugins.clone());
        Setup::of(config, self.from.clone(), &Before { unfinished, faulty, found })
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
                    at_paths.push(Arc::new(known));
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

    /// What an operator wants to be told of the configuration and the plugins, and how much it matters.
    pub fn remarks(&self) -> Vec<(Level, String)> {
        let mut remarks = Vec::new();
        if let Some(stand_in) = self.config.stands_in() {
            remarks.push((Level::ERROR, stand_in.refused.to_string()));
            remarks.push((Level::ERROR, stand_in.told()));
        }
        remarks.extend(self.faulty("is left out").into_iter().map(|told| (Level::ERROR, told)));
        for fault in &self.found.faults {
            remarks.push((Level::ERROR, assemble::chain(fault)));
        }
        for doubt in &self.found.doubts {
            remarks.push((Level::WARN, doubt.to_string()));
        }
        for (collector, why) in self.plan.failed() {
            remarks.push((Level::ERROR, format!("collector {}: {why}", collector.name)));
        }
        for shadowed in &self.found.shadowed {
            let (path, by) = (harmless::path(&shadowed.path), harmless::path(&shadowed.by));
            remarks
                .push((Level::INFO, format!("{path} is not used: {by} is a plugin of the same name and comes first")));
        }
        if let From::File(path) = &self.from {
            let drop_ins = Config::drop_in_folder(path.as_deref(), &Environment::of_process());
            let astray = astray(&drop_ins, &self.plan.agent.plugin_dirs);
            remarks.extend(astray.into_iter().map(|told| (Level::WARN, told)));
        }
        remarks.extend(self.plan.notes.iter().map(|note| (Level::INFO, note.clone())));
        remarks
    }

    /// Puts the remarks into the log.
    pub fn log_remarks(&self) {
        self.remarks().iter().for_each(|(level, remark)| log_remark(*level, remark));
    }

    /// The files of `conf.d` that are at fault, what becomes of each, and why.
    pub(crate) fn faulty(&self, becomes: &str) -> Vec<String> {
        let told = |left_out: &LeftOut| {
            let refused = Refused { faults: left_out.faults.clone(), sources: self.config.sources().clone() };
            format!("{} {becomes}:\n{refused}", left_out.path)
        };
        self.config.left_out().iter().map(told).collect()
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
        self.keep_good();
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

    fn sinks(&self, output: Option<&File>, closed: &Arc<Notify>) -> Result<Sinks, SetupError> {
        let mut opened: Vec<(&SinkPlan, Box<dyn Sink>)> = Vec::new();
        for plan in &self.plan.sinks {
            match &plan.kind {
                Ok(_) => opened.extend(open(plan, output)?.map(|open| (plan, open))),
                Err(why) => tracing::error!(sink = plan.name, "{why}"),
            }
        }
        if opened.is_empty() && output.is_some() {
            return Err(SetupError::NoSink);
        }
        let sinks = Sinks::new(Arc::clone(closed));
        let workers = opened.into_iter().map(|(plan, sink)| start_sink(plan, sink, &sinks));
        let workers = workers.collect::<Result<_, _>>()?;
        sinks.change(&[], workers);
        Ok(sinks)
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

    /// The folders in which something may appear that is to be taken up, with the ending of its name.
    pub(crate) fn watched(&self) -> Vec<(PathBuf, &'static str)> {
        let (watch, mut watched) = (self.plan.agent.watch, Vec::new());
        if let (Watch::All | Watch::ConfD, From::File(path)) = (watch, &self.from) {
            let folder = Config::drop_in_folder(path.as_deref(), &Environment::of_process());
            // A library there has gone astray, which is told at once.
            watched.extend(["toml", "so"].map(|ending| (folder.clone(), ending)));
        }
        if watch == Watch::All {
            let at_paths = self.config.plugin_paths().into_iter().filter_map(|path| path.parent().map(Path::to_owned));
            let searched = folders(&self.plan.agent.plugin_dirs).into_iter().map(|folder| folder.path);
            watched.extend(searched.chain(at_paths).map(|folder| (folder, "so")));
        }
        watched
    }
}

/// Puts a remark into the log.
pub(crate) fn log_remark(level: Level, remark: &str) {
    match level {
        Level::ERROR => tracing::error!("{remark}"),
        Level::WARN => tracing::warn!("{remark}"),
        _ => tracing::info!("{remark}"),
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

fn file_settings(settings: &Settings) -> serde_json::Result<FileSettings> {
    serde_json::from_str(&settings.json())
}

/// What a sink has against its settings, before it is opened.
fn sink_check(kind: SinkKind, settings: &Settings) -> Result<(), (String, String)> {
    match kind {
        SinkKind::Stdout(_) => Ok(()),
        SinkKind::File => match file_settings(settings).map(|settings| settings.check()) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(file::Error::Setting { key, problem })) => Err((key.to_owned(), problem)),
            Ok(Err(error)) => Err(("path".to_owned(), assemble::chain(&error))),
            // Every value was checked against its declaration: the two differ.
            Err(error) => Err(("type".to_owned(), error.to_string())),
        },
    }
}

/// Puts an open sink to work.
pub(crate) fn start_sink(plan: &SinkPlan, sink: Box<dyn Sink>, sinks: &Sinks) -> Result<Worker, SetupError> {
    Worker::start(plan.name.as_str().into(), plan.word(), sink, sinks.on_closed())
        .map_err(|cause| SetupError::System("start a thread", cause))
}

/// Opens a sink; none where it is passed over, as nobody's standard output is given.
pub(crate) fn open(sink: &SinkPlan, output: Option<&File>) -> Result<Option<Box<dyn Sink>>, SetupError> {
    let failed = |cause| SetupError::Sink { name: sink.name.clone(), cause };
    match &sink.kind {
        Err(_) => Ok(None),
        Ok(SinkKind::Stdout(format)) => {
            let Some(output) = output else { return Ok(None) };
            let output = output.try_clone().map_err(|cause| failed(cause.into()))?;
            let format = match format {
                Format::Auto => stdout::Format::auto(&output, true),
                Format::Json => stdout::Format::Json(Json::default()),
                Format::Table => stdout::Format::table(&output, true),
            };
            Ok(Some(Box::new(Stdout::new(output, format))))
        }
        Ok(SinkKind::File) => {
            let settings = file_settings(&sink.settings).map_err(|cause| failed(cause.into()))?;
            Ok(Some(Box::new(FileSink::open(settings).map_err(|cause| failed(cause.into()))?)))
        }
    }
}
