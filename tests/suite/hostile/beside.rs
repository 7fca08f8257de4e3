//! An agent with five good collectors and any number of bad ones. The good ones are held to their promise in every
//! snapshot: from the first that has them all, each is `ok` at every tick, the ticks follow one another on the grid, and
//! nothing says that one was missed.
//!
//! A machine that lets nobody run breaks that promise, and no fault of the agent's: what is not so is passed over where
//! the kernel says that the agent's own thread, or one of the test that only sleeps, had to wait for a processor for a
//! quarter of a tick.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use harness::{DEADLINE, Running, Site, built};
use rustix::process::{Pid, Signal};
use serde_json::Value;

/// The good ones.
pub const GOOD: [&str; 5] = ["cpu", "memory", "network", "disk", "good"];

/// A folder with the good ones, to which bad ones are added.
pub struct Scene {
    pub site: Site,
    interval: u64,
    bad: String,
}

impl Scene {
    /// With ticks of so many milliseconds.
    pub fn new(interval: u64) -> Scene {
        assert!(
            10_000_u64.is_multiple_of(interval),
            "the agent tells of itself every 10 s, and that is to be a tick of all"
        );
        let site = Site::new();
        GOOD[..4].iter().for_each(|name| drop(site.bundled(name)));
        for plugin in ["mock", "wild", "lies"] {
            site.plugin(plugin);
        }
        site.write("good", "value=1.5");
        Scene { site, interval, bad: String::new() }
    }

    /// A collector of the plugin `wild` that does this; `more` is of its table, behind `options`.
    pub fn wild(&mut self, name: &str, does: &str, more: &str) -> &mut Scene {
        self.table(name, "wild", &format!("does = \"{does}\""), more)
    }

    /// One of the plugin `mock`, that plays this script.
    pub fn mock(&mut self, name: &str, script: &str, more: &str) -> &mut Scene {
        self.site.write(format!("{name}.script"), script);
        self.table(name, "mock", &format!("script = \"{name}.script\""), more)
    }

    /// One that does nothing but while its library is loaded, which is a file of its own.
    pub fn copy_of_wild(&mut self, name: &str, more: &str) {
        let path = self.site.path(format!("{name}.so"));
        fs::copy(&built().test_plugins["perfwatch_wild"], &path).unwrap();
        writeln!(self.bad, "[collectors.{name}]\npath = {path:?}\noptions = {{ does = \"nothing\" }}{more}").unwrap();
    }

    /// One of any plugin.
    pub fn table(&mut self, name: &str, plugin: &str, options: &str, more: &str) -> &mut Scene {
        let (options, more) = match more.strip_prefix(',') {
            Some(more) => more
                .split_once('\n')
                .map_or((format!("{options},{more}"), ""), |(first, rest)| (format!("{options},{first}"), rest)),
            None => (options.to_owned(), more),
        };
        writeln!(self.bad, "[collectors.{name}]\nplugin = \"{plugin}\"\noptions = {{ {options} }}\n{more}").unwrap();
        self
    }

    /// Writes the config: the bad ones come first, and are called first as long as nobody is known.
    pub fn configure(&self) {
        self.site.config(&format!(
            "[agent]\ninterval = \"{}ms\"\ncollect = \"named\"\n{}\
             [collectors.cpu]\n[collectors.memory]\n[collectors.network]\noptions = {{ connections = false }}\n[collectors.disk]\n\
             [collectors.good]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = \"good\" }}\n",
            self.interval, self.bad
        ));
    }

    /// Runs it until all the good ones are known.
    pub fn start(&self) -> Beside {
        self.configure();
        let agent = self.site.start(["run"]);
        let mut beside = Beside {
            starved: Starved::new(agent.pid()),
            agent,
            told: Vec::new(),
            interval: self.interval,
            known: false,
        };
        while !beside.known {
            beside.next();
        }
        beside
    }

    /// Runs an agent that is to die, until it has; how it ended.
    pub fn run_to_its_end(&self) -> harness::Finished {
        self.configure();
        self.site.start(["run"]).wait()
    }

    /// Puts a plugin of the tests beside the agent, as if it came with it.
    pub fn comes_with_the_agent(&self, name: &str) {
        let library = format!("libperfwatch_{name}.so");
        fs::copy(&built().test_plugins[&format!("perfwatch_{name}")], self.site.path("bin").join(library)).unwrap();
    }
}

/// The agent, and all that it has told.
pub struct Beside {
    pub agent: Running,
    pub told: Vec<Value>,
    interval: u64,
    known: bool,
    starved: Starved,
}

impl Beside {
    /// The next snapshot, held to the promise.
    pub fn next(&mut self) -> &Value {
        let snapshot = self.agent.snapshot();
        let faults = self.faults(&snapshot);
        let starved = self.starved.since_last();
        let excused = starved.as_millis() >= u128::from(self.interval / 4);
        assert!(
            faults.is_empty() || excused,
            "{faults}and nobody waited for a processor for more than {starved:?}: {snapshot}\nbefore: {:#?}\nit said:\n{}",
            self.told.iter().rev().take(5).map(of_the_bad).collect::<Vec<_>>(),
            self.agent.stderr()
        );
        self.known |= GOOD.iter().all(|name| snapshot[name]["_status"] == "ok");
        self.told.push(snapshot);
        self.told.last().unwrap()
    }

    fn faults(&self, snapshot: &Value) -> String {
        let mut faults = String::new();
        let Some(last) = self.told.last() else { return faults };
        let (tick, before) = (tick(snapshot), tick(last));
        assert_eq!(snapshot["run"], last["run"]);
        assert_eq!(snapshot["sequence"].as_u64().unwrap(), last["sequence"].as_u64().unwrap() + 1, "{snapshot}");
        assert!(tick.is_multiple_of(self.interval), "off the grid: {snapshot}");
        if self.told.len() > 1 && tick != before + self.interval {
            write!(faults, "a tick {} ms after the last one; ", tick - before).unwrap();
        }
        for name in GOOD.into_iter().filter(|_| self.known) {
            let status = &snapshot[name]["_status"];
            if status != "ok" {
                write!(faults, "{name} is {status}; ").unwrap();
            }
            if events(snapshot, name).any(|event| event["kind"] == "missed") {
                write!(faults, "{name} missed a tick; ").unwrap();
            }
        }
        faults
    }

    /// Snapshots until this holds of all that was told.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&[Value]) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !holds(&self.told) {
            let last = self.told.last().map_or_else(String::new, of_the_bad);
            assert!(Instant::now() < end, "never so: {what}; the last was {last}\nit said:\n{}", self.agent.stderr());
            self.next();
        }
    }

    /// The first snapshot of which this holds, among those that were told and those that come.
    #[track_caller]
    pub fn find(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let (mut seen, mut found) = (0, None);
        self.until(what, |told| {
            found = told[seen..].iter().find(|snapshot| holds(snapshot)).cloned();
            seen = told.len();
            found.is_some()
        });
        found.unwrap()
    }

    /// The first section of this collector with this status, whose error has these words.
    #[track_caller]
    pub fn section(&mut self, name: &str, status: &str, words: &str) -> Value {
        let what = format!("{name} is {status}: {words}");
        let snapshot = self.find(&what, |snapshot| {
            let section = &snapshot[name];
            section["_status"] == status && section["_error"].as_str().unwrap_or("").contains(words)
        });
        snapshot[name].clone()
    }

    /// The first event of this kind and collector whose cause has these words, and the snapshot that tells it.
    #[track_caller]
    pub fn event(&mut self, name: &str, kind: &str, words: &str) -> (Value, Value) {
        let is_it = |event: &&Value| event["kind"] == kind && event["cause"].as_str().unwrap_or("").contains(words);
        let what = format!("event {kind} of {name}: {words}");
        let snapshot = self.find(&what, |snapshot| events(snapshot, name).any(|event| is_it(&event)));
        let event = events(&snapshot, name).find(is_it).unwrap().clone();
        (event, snapshot)
    }

    /// The agent's own section, told after all that has been told so far.
    pub fn books(&mut self) -> Value {
        let from = self.told.len();
        self.until("the agent tells of itself", |told| {
            told[from..].iter().any(|snapshot| snapshot["agent"]["_status"] == "ok")
        });
        self.told[from..].iter().find(|snapshot| snapshot["agent"]["_status"] == "ok").unwrap()["agent"].clone()
    }

    /// The child of this collector, once there is one.
    #[track_caller]
    pub fn child(&self, name: &str) -> u32 {
        let mut found = None;
        eventually(&format!("{name} has a child"), || {
            let mut children = processes().filter(|process| process.parent == self.agent.pid() && process.state != 'Z');
            found = children.find(|child| child.line.starts_with(&format!("perfwatch: {name}\0--perfwatch-child")));
            found.is_some()
        });
        found.unwrap().number
    }

    /// Ends it as an operator does: it waits for nobody.
    #[track_caller]
    pub fn end(self) -> String {
        self.agent.signal(Signal::TERM);
        let finished = self.agent.wait();
        assert_eq!(finished.code(), 0, "{finished}");
        finished.stderr
    }
}

/// A snapshot without what is as it should be.
fn of_the_bad(snapshot: &Value) -> String {
    let mut snapshot = snapshot.clone();
    let sections = snapshot.as_object_mut().unwrap();
    GOOD.iter().chain(&["agent", "labels", "run"]).for_each(|name| drop(sections.remove(*name)));
    snapshot.to_string()
}

/// Waits until this holds.
#[track_caller]
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    super::super::mocked::wait_until(what, holds);
}

/// Events of this collector.
pub fn events<'a>(snapshot: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    snapshot["_events"].as_array().into_iter().flatten().filter(move |event| event["collector"] == name)
}

/// Milliseconds since the Unix epoch.
pub fn tick(snapshot: &Value) -> u64 {
    let time = humantime::parse_rfc3339(snapshot["timestamp"].as_str().unwrap()).unwrap();
    time.duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

pub fn kill(process: u32, signal: Signal) {
    // It may be gone already, which the test sees.
    let _ = rustix::process::kill_process(Pid::from_raw(process.try_into().unwrap()).unwrap(), signal);
}

pub struct Process {
    pub number: u32,
    pub parent: u32,
    pub group: u32,
    pub state: char,
    /// Its command line, each argument ended by a zero.
    pub line: String,
}

/// All that there are.
pub fn processes() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let folder = entry.unwrap().path();
        let number = folder.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let line = String::from_utf8_lossy(&fs::read(folder.join("cmdline")).ok()?).into_owned();
        Some(Process { number, parent, group, state, line })
    })
}

/// How long threads had to wait that wanted to run.
pub struct Starved {
    agent: u32,
    waits: HashMap<String, u64>,
    lateness: Arc<AtomicU64>,
}

/// Between two looks of a thread that only sleeps.
const NAP: Duration = Duration::from_millis(10);

impl Starved {
    pub fn new(agent: u32) -> Starved {
        let lateness = Arc::new(AtomicU64::new(0));
        let theirs = Arc::downgrade(&lateness);
        thread::spawn(move || {
            let mut before = Instant::now();
            while let Some(lateness) = theirs.upgrade() {
                thread::sleep(NAP);
                let late = before.elapsed().saturating_sub(NAP);
                lateness.fetch_max(late.as_millis().try_into().unwrap(), Ordering::Relaxed);
                before = Instant::now();
            }
        });
        Starved { agent, waits: HashMap::new(), lateness }
    }

    /// The longest wait since this was asked last.
    pub fn since_last(&mut self) -> Duration {
        let mut most = Duration::from_millis(self.lateness.swap(0, Ordering::Relaxed));
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.agent)) else { return most };
        for task in tasks.flatten().map(|task| task.path()) {
            // The second number of the file: nanoseconds on a run queue (proc_pid_schedstat(5)).
            let Ok(numbers) = fs::read_to_string(task.join("schedstat")) else { continue };
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            let Some(waited) = numbers.split(' ').nth(1).and_then(|number| number.parse().ok()) else { continue };
            let before = self.waits.insert(task.display().to_string(), waited);
            if ["collect\n", "standby\n"].contains(&&*name) {
                most = most.max(Duration::from_nanos(waited - before.unwrap_or(0).min(waited)));
            }
        }
        most
    }
}
