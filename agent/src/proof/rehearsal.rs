//! One run: this library with these options, under this root, with this much room, inside this sandbox or none, read so often. [E]
//!
//! The only place of this room that starts anything, and every check is a look at what it gives back. The plugin runs in a child, which is
//! always dead when this returns; each reading has its patience, so that one that hangs costs no more than that.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plugin_api::host_side::frame::Frame;
use plugin_api::host_side::manifest::Manifest;
use plugin_api::{ErrorKind, Level};
use rustix::process::{Pid, Resource, Rlimit};

use super::interrupt;
use super::seen::Seen;
use super::strays::{self, Left};
use super::trace::{Call, Trace};
use crate::child::{Candidate, Heard, Start, Taken, Task};

/// Readings whose values are kept: the rest is folded.
pub const KEPT: usize = 4;
/// Lines that are kept of the log and of what is printed.
const LINES_MAX: usize = 64;
/// Bytes of data that a child has without a policy, so that one that allocates without end does not take the machine with it: beyond what any
/// collector needs, and what its budget allows is looked at elsewhere.
const DATA_MAX: u64 = 2 << 30;

/// What is to be run.
pub struct Run<'a> {
    /// The library, its options, root, limits and policy.
    pub start: Start,
    /// What the child is there for.
    pub task: Task,
    /// What it declares.
    pub manifest: &'a Manifest,
    /// The most readings.
    pub readings: usize,
    /// No reading is begun after so long; the first [`KEPT`] always are.
    pub within: Duration,
    /// How long one reading may take.
    pub patience: Duration,
    /// Whether its calls are told.
    pub traced: bool,
}

/// What is done before the reading of this number.
pub type Before<'a> = &'a mut dyn FnMut(usize) -> Result<(), String>;

/// What a child holds after a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of its own memory: `RssAnon`.
    pub memory: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It answered to the last, and was ended.
    Answered,
    /// It died by itself, or sent what is no answer; in words.
    Died(String),
    /// It had not answered for so long, and was killed.
    Hung(Duration),
    /// It could not be tried.
    NotTried(String),
}

/// What came of it.
#[derive(Debug)]
pub struct Ran {
    /// The readings; only of the first [`KEPT`] are there values.
    pub seen: Vec<Seen>,
    /// What each took, and what the child held after it.
    pub costs: Vec<(Taken, Usage)>,
    /// Metrics that had a value in any of them.
    pub set: BTreeSet<String>,
    /// What it logged.
    pub logged: Vec<(Level, String)>,
    /// What it printed.
    pub printed: Vec<String>,
    /// The number that its process had.
    pub process: u32,
    /// Processes that were left of it at its end.
    pub left: Left,
    /// What it asked the kernel for since its library is loaded, or why that is not known.
    pub calls: Result<Vec<Call>, String>,
    /// How it ended.
    pub end: End,
}

impl Ran {
    /// In words, why it did not answer to the last.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let at = self.seen.len() + 1;
        match &self.end {
            End::Answered => None,
            End::Died(how) => Some(format!("at reading {at}: {how}")),
            End::Hung(patience) => {
                Some(format!("no answer to reading {at} for {}: killed", humantime::format_duration(*patience)))
            }
            End::NotTried(why) => Some(why.clone()),
        }
    }

    /// What it said where it found nothing to measure.
    #[must_use]
    pub fn unavailable(&self) -> Option<&str> {
        let (kind, error) = self.seen.first()?.error.as_ref()?;
        (*kind == ErrorKind::UNAVAILABLE).then_some(error.as_str())
    }

    /// The first panic.
    #[must_use]
    pub fn panic(&self) -> Option<&str> {
        let panicked = self.seen.iter().find(|seen| seen.panicked())?;
        panicked.error.as_ref().map(|(_, error)| error.as_str())
    }

    /// Nothing, as it was not tried.
    #[must_use]
    pub fn not_tried(why: impl Into<String>) -> Ran {
        let why = why.into();
        Ran {
            seen: Vec::new(),
            costs: Vec::new(),
            set: BTreeSet::new(),
            logged: Vec::new(),
            printed: Vec::new(),
            process: 0,
            left: Left::default(),
            calls: Err(why.clone()),
            end: End::NotTried(why),
        }
    }

    /// The error, of the first reading that is one.
    #[must_use]
    pub fn error(&self) -> Option<(usize, &str)> {
        let errors = self.seen.iter().enumerate();
        errors.filter_map(|(at, seen)| seen.error.as_ref().map(|(_, error)| (at + 1, error.as_str()))).next()
    }
}

/// Runs it.
pub fn run(run: &Run<'_>, before: Before<'_>) -> Ran {
    if let Some(signal) = interrupt::told() {
        return Ran::not_tried(format!("{} came", signal.name));
    }
    let printed = Arc::new(Mutex::new(Vec::new()));
    let mut ran = Ran::not_tried("it was not traced");
    let mut trace = None;
    let watch = |child| {
        if run.start.policy.is_none() {
            bound(child)?;
        }
        if run.traced {
            trace = Some(Trace::begin(child));
        }
        Ok(())
    };
    let hears = Arc::clone(&printed);
    let print =
        Box::new(move |line: &str| keep(&mut hears.lock().unwrap_or_else(PoisonError::into_inner), line.to_owned()));
    let begun = Candidate::watched(&run.start, run.task.clone(), run.patience, print, watch);
    let mut child = match begun {
        Ok(child) => child,
        Err(cause) => {
            ran.end = End::NotTried(format!("no child could be started: {cause}"));
            return ran;
        }
    };
    ran.process = child.id();
    ran.end = match interrupt::told() {
        Some(signal) => End::NotTried(format!("{} came", signal.name)),
        None => read(run, before, &mut child, &mut ran),
    };
    // Before it is waited for, the tracer has to have let go of it.
    child.kill();
    match trace {
        Some(Ok(trace)) => ran.calls = Ok(since_loaded(trace.end())),
        Some(Err(cause)) => ran.calls = Err(format!("no process can be traced here: {cause}")),
        None => {}
    }
    let status = child.end();
    ran.left = strays::end(ran.process);
    if let (End::Died(how), Ok(status)) = (&mut ran.end, status)
        && how.is_empty()
    {
        *how = died(status);
    }
    ran.printed = std::mem::take(&mut printed.lock().unwrap_or_else(PoisonError::into_inner));
    ran
}

/// Bounds a child that nothing else does. A core is of no use to anybody here, and is a file that stays.
fn bound(child: u32) -> io::Result<()> {
    let child = i32::try_from(child).ok().and_then(Pid::from_raw);
    for (resource, most) in [(Resource::Data, DATA_MAX), (Resource::Core, 0)] {
        // It has this process's, which may be less, and nobody but root raises one.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        rustix::process::prlimit(child, resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

fn read(run: &Run<'_>, before: Before<'_>, child: &mut Candidate, ran: &mut Ran) -> End {
    let (begun, mut frame) = (Instant::now(), Frame::new(run.start.limits));
    for number in 0..run.readings {
        if number >= KEPT && begun.elapsed() > run.within {
            break;
        }
        if let Err(why) = before(number) {
            return End::NotTried(why);
        }
        child.wait_until(run.patience);
        // That it is dead already, it is heard of next.
        let _ = child.ask();
        let taken = loop {
            match child.hear(&mut frame) {
                Some(Heard::Said(level, text)) => keep(&mut ran.logged, (level, text)),
                Some(Heard::Reading(taken)) => break taken,
                Some(Heard::Garbage(what)) => return End::Died(format!("it sent garbage: {what}")),
                Some(_) => return End::Died(String::new()),
                None => return End::Hung(run.patience),
            }
        };
        let mut seen = Seen::of(&mut frame, run.manifest);
        for name in seen.set().filter(|name| !ran.set.contains(*name)).map(str::to_owned).collect::<Vec<_>>() {
            ran.set.insert(name);
        }
        if number >= KEPT {
            seen.values.clear();
            seen.rows.clear();
        }
        ran.seen.push(seen);
        ran.costs.push((taken, usage(child.id())));
    }
    End::Answered
}

fn keep<T>(kept: &mut Vec<T>, one: T) {
    if kept.len() < LINES_MAX {
        kept.push(one);
    }
}

fn died(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("it ended its process with exit code {code}"),
        // As the standard library has it: `signal: 11 (SIGSEGV) (core dumped)`.
        None => format!("it crashed: {status}"),
    }
}

/// Without what the child itself does before its library is loaded: that is opened by its descriptor.
fn since_loaded(calls: Vec<Call>) -> Vec<Call> {
    let is_library = |call: &Call| call.target.contains("/self/fd/");
    let from = calls.iter().position(is_library).map_or(calls.len(), |at| at + 1);
    calls.into_iter().skip(from).collect()
}

/// What a process holds; zeros where it is gone.
fn usage(process: u32) -> Usage {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Usage {
        memory: number("RssAnon:").unwrap_or(0) << 10,
        threads: number("Threads:").unwrap_or(0),
        descriptors: fs::read_dir(folder.join("fd")).map_or(0, |entries| entries.count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_that_nothing_else_bounds_has_a_bound_of_memory_and_leaves_no_core() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let bounded = bound(child.id());
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        bounded.unwrap();
        let words = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(words("Max data size"), [DATA_MAX.to_string(), DATA_MAX.to_string()]);
        assert_eq!(words("Max core file size"), ["0", "0"]);
    }
}
