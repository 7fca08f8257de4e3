//! An agent that is changed while it runs, with two collectors that nothing is to touch: `near` in the agent, `far` in a child. Each
//! reads a script that counts its readings, so that one that was read twice, passed over or made anew shows.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt::Write as _, fs, thread};

use harness::{DEADLINE, Finished, Running, Site};
use rustix::process::Signal;
use serde_json::Value;

use super::super::hostile::beside::{Process, Starved, events, processes, tick};

/// Milliseconds between two ticks.
pub const INTERVAL: u64 = 500;
/// How long all may take to be well.
const PATIENCE: Duration = Duration::from_secs(3);
/// Those that nothing is to touch.
pub const STEADY: [&str; 2] = ["near", "far"];

/// A folder for the agent and what it reads.
pub struct Scene {
    pub site: Site,
}

impl Scene {
    pub fn new() -> Scene {
        let site = Site::new();
        site.plugin("mock");
        site.write("counting", counting());
        Scene { site }
    }

    /// Writes the config: `agent` is of its table, `rest` comes after the steady ones.
    pub fn configure(&self, agent: &str, rest: &str) {
        let text = format!(
            "[agent]\ninterval = \"{INTERVAL}ms\"\ncollect = \"named\"\nwatch = \"off\"\n{agent}\n{}{}{rest}",
            self.table("near", "counting", "isolation = \"none\""),
            self.table("far", "counting", "isolation = \"process\""),
        );
        // In one step: an agent that starts is not to read half of it.
        install(&self.site.path("perfwatch.toml"), text.as_bytes());
    }

    /// The table of a mock that plays this file.
    pub fn table(&self, name: &str, script: &str, more: &str) -> String {
        format!("[collectors.{name}]\nplugin = \"mock\"\noptions = {{ script = \"{script}\" }}\n{more}\n")
    }

    /// Runs it until both steady ones have been read.
    pub fn start(&self) -> Live {
        self.start_with(&[])
    }

    /// The same, with more variables.
    pub fn start_with(&self, variables: &[(&str, &str)]) -> Live {
        let mut live = self.begin(variables);
        let is_well = |snapshot: &Value| {
            let mut sections = snapshot.as_object().unwrap().values().filter(|value| value.get("_status").is_some());
            STEADY.iter().all(|name| snapshot[name]["_status"] == "ok") && sections.all(|one| one["_status"] == "ok")
        };
        let may_be_ill = |snapshot: &Value| STEADY.iter().all(|name| snapshot[name]["_status"] == "ok");
        let begun = Instant::now();
        // A machine that is busy may let the first reading of a child be late; what is ill by itself stays so.
        live.until("the steady ones are read", |told| {
            told.last().is_some_and(|last| is_well(last) || may_be_ill(last) && begun.elapsed() > PATIENCE)
        });
        live.from = live.now() - 1;
        live
    }

    /// Starts it, and waits for nothing.
    pub fn begin(&self, variables: &[(&str, &str)]) -> Live {
        let mut command = self.site.command(["run"]);
        command.envs(variables.iter().copied());
        let agent = Running::start(command);
        let (starved, socket) = (Starved::new(agent.pid()), self.site.path("run/control.sock"));
        Live { agent, told: Vec::new(), excused: Vec::new(), starved, socket, from: 0 }
    }
}

/// A script that counts its readings.
pub fn counting() -> String {
    (1..5000).fold(String::new(), |mut script, number| {
        writeln!(script, "count={number}").unwrap();
        script
    })
}

/// The agent, and all that it has told.
pub struct Live {
    pub agent: Running,
    pub told: Vec<Value>,
    /// Whether somebody had to wait for a processor before the snapshot of the same number.
    excused: Vec<bool>,
    starved: Starved,
    pub socket: PathBuf,
    /// The first snapshot in which all were well.
    from: usize,
}

impl Live {
    pub fn next(&mut self) -> &Value {
        let snapshot = self.agent.snapshot();
        let starved = self.starved.since_last();
        self.excused.push(starved.as_millis() >= u128::from(INTERVAL / 4));
        self.told.push(snapshot);
        self.told.last().unwrap()
    }

    /// So many snapshots more.
    pub fn more(&mut self, count: usize) {
        (0..count).for_each(|_| drop(self.next().clone()));
    }

    /// Snapshots until this holds of all that was told.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&[Value]) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !holds(&self.told) {
            let last = self.told.last().map_or_else(String::new, Value::to_string);
            assert!(Instant::now() < end, "never so: {what}; the last was {last}\nit said:\n{}", self.agent.stderr());
            self.next();
        }
    }

    /// The first snapshot from this one on of which this holds, and its place.
    #[track_caller]
    pub fn find(&mut self, what: &str, from: usize, holds: impl Fn(&Value) -> bool) -> (usize, Value) {
        let mut found = None;
        self.until(what, |told| {
            found = (from..told.len()).find(|&place| holds(&told[place]));
            found.is_some()
        });
        (found.unwrap(), self.told[found.unwrap()].clone())
    }

    /// The first event of this kind and collector from this snapshot on, and the place of the snapshot.
    #[track_caller]
    pub fn event(&mut self, from: usize, kind: &str, name: &str) -> (usize, Value) {
        let is_it = |event: &&Value| event["kind"] == kind;
        let what = format!("an event {kind} of {name}");
        let (place, snapshot) = self.find(&what, from, |snapshot| events(snapshot, name).any(|event| is_it(&event)));
        (place, events(&snapshot, name).find(is_it).unwrap().clone())
    }

    /// The first event `reload` of the whole agent from this snapshot on.
    #[track_caller]
    pub fn reload_event(&mut self, from: usize) -> (usize, Value) {
        let of = |snapshot: &Value| {
            let mut events = snapshot["_events"].as_array().into_iter().flatten();
            events.find(|event| event["kind"] == "reload" && event.get("collector").is_none()).cloned()
        };
        let (place, snapshot) = self.find("an event reload", from, |snapshot| of(snapshot).is_some());
        (place, of(&snapshot).unwrap())
    }

    /// Reads all that the agent has made by now.
    pub fn catch_up(&mut self) {
        let status = self.ask("{\"ask\":\"status\"}");
        let made = status["status"]["agent"]["snapshots"].as_u64().unwrap();
        self.until("what was made is read", |told| {
            told.last().is_some_and(|last| last["sequence"].as_u64().unwrap() + 1 >= made)
        });
    }

    /// How many snapshots were told so far.
    pub fn now(&self) -> usize {
        self.told.len()
    }

    /// What the agent answers to this line.
    #[track_caller]
    pub fn ask(&self, line: &str) -> Value {
        ask(&self.socket, line).unwrap_or_else(|error| panic!("{error}; it said:\n{}", self.agent.stderr()))
    }

    /// A reload that is applied; what it tells.
    #[track_caller]
    pub fn reload(&self) -> String {
        let answer = self.ask("{\"ask\":\"reload\"}");
        assert_eq!(answer["code"], 0, "{answer}");
        answer["text"].as_str().unwrap_or("").to_owned()
    }

    /// A reload that is refused with this exit code; why.
    #[track_caller]
    pub fn refused(&self, code: u8) -> String {
        let answer = self.ask("{\"ask\":\"reload\"}");
        assert_eq!(answer["code"], code, "{answer}");
        answer["text"].as_str().unwrap().to_owned()
    }

    /// Holds collectors that were not touched to the promise: run and sequence go on, each tick of the grid is there, each reading
    /// is the next of the same instance, and growth spans from one to the next.
    #[track_caller]
    pub fn assert_untouched(&self, names: &[&str]) {
        for name in names {
            self.assert_goes_on(name);
            self.assert_on_grid(name, INTERVAL);
        }
    }

    /// Sections of a collector that were read in their ticks, with the place of each.
    fn sections<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (usize, &'a Value)> {
        let told = self.told.iter().enumerate().skip(self.from);
        told.filter_map(move |(place, snapshot)| Some((place, snapshot.get(name)?)))
    }

    /// Whether a processor had to be waited for between two snapshots.
    pub fn is_excused(&self, from: usize, to: usize) -> bool {
        // Some may have been waiting to be read, and the wait is told with the first of them.
        self.excused[from.saturating_sub(8)..=to].contains(&true)
    }

    /// Holds one to the half of it that is so whenever it is due.
    #[track_caller]
    pub fn assert_goes_on(&self, name: &str) {
        self.assert_one_run();
        let sections: Vec<_> = self.sections(name).filter(|(_, section)| section["_status"] == "ok").collect();
        assert!(sections.len() > 2, "{name} was read {} times", sections.len());
        for pair in sections.windows(2) {
            let [(before, one), (place, next)] = [pair[0], pair[1]];
            let count = |section: &Value| section["count"].as_u64().unwrap();
            let followed = count(next) == count(one) + 1 || self.is_excused(before, place);
            assert!(followed, "{name} was touched: {one}\nand then: {next}\nit said:\n{}", self.agent.stderr());
            if self.is_excused(before, place) {
                continue;
            }
            let window = next["_window_seconds"].as_f64();
            let window = window.unwrap_or_else(|| panic!("{name} begins anew after {one}: {next}"));
            let between = (milliseconds(&next["_timestamp"]) - milliseconds(&one["_timestamp"])) as f64 / 1000.0;
            // The two clocks are read one after the other: a busy machine may let a moment pass in between.
            assert!((window - between).abs() < 0.2, "{name}: a window of {window} s in {between} s: {next}");
        }
    }

    /// Holds one to the other half: a reading, and a good one, at each tick of its grid.
    #[track_caller]
    pub fn assert_on_grid(&self, name: &str, interval: u64) {
        let sections: Vec<_> = self.sections(name).collect();
        for (number, pair) in sections.windows(2).enumerate() {
            let [(before, one), (place, next)] = [pair[0], pair[1]];
            let (last, tick) = (tick(&self.told[before]), tick(&self.told[place]));
            let due = (last / interval + 1) * interval;
            // A tick that is near that of the start is passed over.
            let in_time = tick == due || number == 0 && tick == due + interval;
            let missed = events(&self.told[place], name).any(|event| event["kind"] == "missed");
            assert!(
                in_time && !missed && next["_status"] == "ok" || self.is_excused(before, place),
                "{name} was due {} ms after the last tick, and it was {} ms: {one}\nand then: {}\nit said:\n{}",
                due - last,
                tick - last,
                self.told[place],
                self.agent.stderr()
            );
        }
    }

    /// Run and sequence go on over all that was told.
    #[track_caller]
    pub fn assert_one_run(&self) {
        for pair in self.told.windows(2) {
            assert_eq!(pair[0]["run"], pair[1]["run"]);
            assert_eq!(pair[0]["sequence"].as_u64().unwrap() + 1, pair[1]["sequence"].as_u64().unwrap(), "{}", pair[1]);
        }
    }

    /// The children of the agent that are alive.
    pub fn children(&self) -> Vec<Process> {
        processes().filter(|process| process.parent == self.agent.pid() && process.state != 'Z').collect()
    }

    /// The process of this collector; none where it has no child.
    pub fn child(&self, name: &str) -> Option<u32> {
        let line = format!("perfwatch: {name}\0");
        self.children().into_iter().find(|child| child.line.starts_with(&line)).map(|child| child.number)
    }

    /// Ends it as an operator does, and sees that nobody stays behind. What was not read of its output is told.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let children = self.children();
        self.agent.signal(Signal::TERM);
        let finished = self.agent.wait();
        assert_eq!(finished.code(), 0, "{finished}");
        assert_gone(&children);
        self.told.extend(harness::jsonb::snapshots(&finished.stdout));
        Ended { finished, told: self.told }
    }
}

/// How it ended, and all that it told.
pub struct Ended {
    pub finished: Finished,
    pub told: Vec<Value>,
}

/// Waits until none of these runs any more.
#[track_caller]
pub fn assert_gone(children: &[Process]) {
    super::super::mocked::wait_until("no child is left", || {
        !processes().any(|process| {
            process.state != 'Z'
                && children.iter().any(|child| child.number == process.number && child.line == process.line)
        })
    });
}

fn milliseconds(time: &Value) -> u64 {
    let time = humantime::parse_rfc3339(time.as_str().unwrap()).unwrap();
    time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// Asks the agent that listens there, once it does; as anybody would who reads what the socket speaks.
///
/// # Errors
/// It hung up.
pub fn ask(socket: &Path, line: &str) -> Result<Value, String> {
    let end = Instant::now() + DEADLINE;
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(cause) => assert!(Instant::now() < end, "nobody listens at {}: {cause}", socket.display()),
        }
        thread::sleep(Duration::from_millis(2));
    };
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = String::new();
    let said = stream.write_all(format!("{line}\n").as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    said.map_err(|cause| format!("{line}: {cause}"))?;
    serde_json::from_str(&answer).map_err(|_| format!("{line}: answered with {answer:?}"))
}

/// Writes a file in place of another, as an installer does.
pub fn install(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(&beside, path).unwrap();
}
