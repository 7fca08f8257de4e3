//! The agent's parts laid out by hand, from a configuration and released libraries: what a bench needs of them, on a clock that goes by
//! itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perfwatch::assemble::{Collecting, Timing};
use perfwatch::config::plan::{CollectorPlan, PluginPlan};
use perfwatch::libraries::Library;
use perfwatch::plugin::trust::Authority;
use perfwatch::record::{Slot, Slots};
use perfwatch::schedule::call::Maker;
use perfwatch::schedule::clock::{Clock, Wake};
use perfwatch::schedule::far::Answers;
use perfwatch::schedule::ledger::Ledger;
use perfwatch::schedule::member::Home;
use perfwatch::schedule::tick::Schedule;
use perfwatch::setup::Setup;
use perfwatch::snapshot::aggregate::Aggregator;
use perfwatch::snapshot::{Identity, Mono, Schema, Snapshot, Wall};
use plugin_api::host_side::roots::Roots;

/// The workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Builds the libraries, as the README's first command does: where that was done there is nothing to do.
pub fn build() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--release", "--quiet"]).current_dir(workspace()).status().unwrap();
    assert!(built.success(), "the libraries do not compile");
}

fn released() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    // target/release/deps/counts-HASH
    program.ancestors().nth(2).unwrap().to_owned()
}

/// Collectors, configured.
pub struct Desk {
    setup: Setup,
    roots: Arc<Roots>,
    folder: tempfile::TempDir,
}

impl Desk {
    /// These collectors, of the host at `root`, each with its options as TOML.
    pub fn new(root: &Path, collectors: &[(&str, &str)]) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let mut config = format!(
            "[agent]\ninterval = \"1s\"\ncollect = \"named\"\ntrust = \"relaxed\"\nhost_root = {root:?}\nstate_dir = {:?}\nplugin_dirs = [{:?}]\n",
            folder.path(),
            released()
        );
        for (name, options) in collectors {
            config.push_str(&format!("[collectors.{name}]\noptions = {{ {options} }}\n"));
        }
        let setup = Setup::of_text(&config).unwrap();
        Desk { setup, roots: Arc::new(Roots::at(root).unwrap()), folder }
    }

    /// The collectors, in the order of the configuration.
    pub fn collectors(&self) -> impl Iterator<Item = Collector<'_>> {
        self.setup.plan.collectors.iter().map(|plan| self.collector(plan))
    }

    fn collector<'a>(&'a self, plan: &'a CollectorPlan) -> Collector<'a> {
        let plugin: &PluginPlan = plan.plugin.as_ref().unwrap();
        let known = self.setup.plugins().find(|known| known.path == plugin.path).unwrap();
        let library =
            Library::new(Arc::clone(known), Authority::of_this_agent().relaxed(true), self.folder.path().into());
        let timing = Timing { interval: plan.interval, offset: Duration::ZERO, timeout: plan.timeout };
        let collecting = Collecting {
            name: &plan.name,
            manifest: &plugin.manifest,
            settings: &plugin.options,
            timing,
            allowance: plan.allowance,
        };
        Collector { maker: collecting.maker(&Arc::new(library), &self.roots), collecting }
    }
}

/// A collector that is not made yet.
pub struct Collector<'a> {
    /// Makes it.
    pub maker: Maker,
    /// What is known of it.
    pub collecting: Collecting<'a>,
}

impl Collector<'_> {
    /// What its cells mean.
    pub fn schema(&self) -> Arc<Schema> {
        let settings = self.collecting.settings;
        Arc::new(Schema::new(Arc::clone(self.collecting.manifest), |option| settings.is_on(option)))
    }
}

/// Who the snapshots are of.
pub fn identity() -> Arc<Identity> {
    Arc::new(Identity { host: Some("vm-7".into()), run: "0123456789abcdef".repeat(2), labels: Vec::new() })
}

/// The schedule of an agent, in one thread.
pub struct Agent {
    schedule: Schedule,
    slot: Slot,
    last: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

impl Agent {
    /// An agent of these collectors, before its start.
    pub fn of(desk: &Desk) -> Agent {
        let last = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&last);
        let emit = Box::new(move |snapshot: &Arc<Snapshot>| *kept.lock().unwrap() = Some(Arc::clone(snapshot)));
        let answers = Arc::new(Answers::new().unwrap());
        let mut schedule = Schedule::new(
            Arc::new(OwnClock::default()),
            Aggregator::new(identity()),
            Arc::new(Ledger::default()),
            answers,
            None,
            emit,
        );
        for Collector { maker, collecting } in desk.collectors() {
            let ward = schedule.add(collecting.recruit(Ok(Home::Agent(maker))));
            assert!(ward.is_none(), "nobody here has a child");
        }
        schedule.start();
        Agent { schedule, slot: Slots::nowhere().slot(), last }
    }

    /// The tick that has begun, to its end.
    pub fn tick(&mut self) -> Arc<Snapshot> {
        while let Some(call) = self.schedule.next_call() {
            self.schedule.came_back(call.run(&self.slot));
        }
        self.schedule.gather();
        self.schedule.finish();
        self.last.lock().unwrap().take().unwrap()
    }

    /// Sleeps until the next tick, which begins.
    pub fn wake(&mut self) {
        assert!(self.schedule.sleep());
    }
}

/// A clock on which a microsecond passes whenever it is asked, and a sleep is over at once.
#[derive(Default)]
struct OwnClock(AtomicU64);

/// Some moment: what is told as RFC 3339 has as many digits then as now.
const EPOCH: u64 = 1_795_400_000_000_000_000;

impl Clock for OwnClock {
    fn wall(&self) -> Wall {
        Wall(EPOCH + self.0.fetch_add(1000, Ordering::Relaxed))
    }

    fn mono(&self) -> Mono {
        Mono(self.0.fetch_add(1000, Ordering::Relaxed))
    }

    fn slept(&self) -> u64 {
        0
    }

    fn sleep_until(&self, due: Wall) -> Wake {
        self.0.fetch_max(due.0 - EPOCH, Ordering::Relaxed);
        Wake::Due
    }
}
