//! `perfwatch bench`: what the agent costs on this machine and which collector it is, with the noise of the measurement beside it.
//!
//! The agent runs as it would, collectors where they would be, once an interval and not in a loop: caches are as cold as in service. Its
//! sinks are one of JSON to /dev/null. Every collector has the one interval, so that each is read often enough to be told from chance;
//! what they cost as configured is worked out from that.
//!
//! Promises: what measures is not in what is measured. Threads of the agent are read between two cycles by a thread that is not counted,
//! what the sink takes down is subtracted, and in the same cycles a collector and a thread that do nothing show what nothing costs. Nothing
//! of the configuration's sinks is written. The first cycle, which makes the collectors, does not count.
#![forbid(unsafe_code)]

mod report;
mod spread;
mod threads;
mod weighed;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

pub use self::report::{Collector, Noise, Part, Report, Whole};
pub use self::spread::{Machine, Spread, Trust};
use self::threads::{Processors, Thread};
use self::weighed::{Awake, Empty, Tick, Weighed};
use crate::agent::{Agent, Parts};
use crate::assemble::Timing;
use crate::own;
use crate::schedule::clock;
use crate::schedule::far::lock;
use crate::schedule::grid::Grid;
use crate::schedule::ledger::{Books, Ledger};
use crate::setup::{Crew, OWN_INTERVAL, Setup, SetupError};
use crate::sink::Sinks;
use crate::sink::worker::Worker;
use crate::snapshot::{Wall, nanoseconds};

/// The name of the sink, and of its thread.
const SINK: &str = "json";
/// An hour at 10 ms: what is kept of a cycle is some hundred bytes and a few for each collector.
pub const CYCLES_MAX: u32 = 360_000;

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Of all collectors.
    pub interval: Duration,
    /// How many cycles count.
    pub cycles: u32,
}

/// All that was seen.
struct Seen {
    /// The tick before those that count.
    first: Wall,
    /// Looks at the threads, each between two cycles.
    looks: Vec<Vec<Thread>>,
    ticks: Vec<Tick>,
    wakes: Vec<Awake>,
    books: Books,
    /// By place, the names and configured intervals of the collectors, then the agent's own section and the collector that does nothing.
    names: Vec<(String, Duration)>,
    machine: Option<Machine>,
    interrupted: bool,
}

/// Runs the agent of this set-up for so many cycles, or until SIGINT or SIGTERM, and tells what it cost.
///
/// # Errors
/// It cannot be run; or it ended before a cycle was whole.
pub fn measure(setup: &Setup, terms: Terms) -> Result<Report, SetupError> {
    let seen = run(setup, terms)?;
    let too_early = || SetupError::System("measure", io::Error::other("it ended before a cycle was whole"));
    report::of(&seen, terms).ok_or_else(too_early)
}

fn run(setup: &Setup, terms: Terms) -> Result<Seen, SetupError> {
    let system = |what| move |cause| SetupError::System(what, cause);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("listen to signals"))?;
    let interval = terms.interval;
    let offset = Duration::from_nanos(clock::wall().0);
    let timing = |timing: Timing| Timing { interval, offset, timeout: timing.timeout.min(interval) };
    let ledger = Arc::new(Ledger::default());
    let Crew { mut recruits, slots, .. } = setup.recruits(&timing)?;
    let mut names: Vec<_> =
        setup.plan.collectors.iter().map(|collector| (collector.name.clone(), collector.interval)).collect();
    let ticks = Arc::new(Mutex::new(Vec::new()));
    let sink = Weighed::new(Arc::clone(&ticks)).map_err(system("open /dev/null"))?;
    let sinks = Sinks::default();
    let worker = Worker::start(SINK.into(), "file", Box::new(sink), sinks.on_closed());
    sinks.change(&[], vec![worker.map_err(system("start a sink"))?]);
    recruits.push(setup.own(&ledger, &sinks, &timing));
    names.push((own::NAME.into(), OWN_INTERVAL));
    let nothing = Timing { interval, offset, timeout: interval };
    recruits.push(weighed::nothing(nothing));
    names.push((weighed::NOTHING.into(), Duration::MAX));
    let books = Arc::clone(&ledger);
    let parts =
        Parts { identity: setup.identity()?, ledger: books, recruits, slots, sinks, streams: vec![], snapshots: None };
    let (start, begun) = (clock::wall(), Instant::now());
    let agent = Agent::start(parts, Arc::new(Notify::new())).map_err(system("start the collection"))?;
    // The start makes all collectors, and the tick after it is the first with rates: what is counted comes after both.
    let first = Grid::new(interval, offset).first(start);
    let part = |of: u32| Wall(first.0 + nanoseconds(interval / of));
    // A quarter of the way, so that it neither runs beside the agent nor keeps its processor awake for it.
    let empty = Empty::start(part(4), interval).map_err(system("start a thread"))?;
    let before = Processors::now();
    let (mut looks, mut interrupted) = (Vec::new(), false);
    runtime
        .block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            for cycle in 0..=terms.cycles {
                let between = begun + part(2).since(start) + interval * cycle;
                tokio::select! {
                    () = tokio::time::sleep_until(between.into()) => {}
                    _ = interrupt.recv() => interrupted = true,
                    _ = terminate.recv() => interrupted = true,
                    () = agent.closed() => return Err(io::Error::other("the collection ended")),
                }
                if interrupted {
                    break;
                }
                looks.push(threads::all()?);
            }
            Ok(())
        })
        .map_err(system("measure"))?;
    let ours = looks.first().zip(looks.last());
    let machine = before.zip(Processors::now()).map(|(before, now)| {
        let ours = ours.map(|(first, last)| threads::between(first, last, |_| true).cpu);
        now.since(before, begun.elapsed(), ours.unwrap_or_default())
    });
    let wakes = empty.end();
    let mut books = Books::default();
    ledger.copy_to(&mut books);
    agent.stop();
    let ticks = std::mem::take(&mut *lock(&ticks));
    Ok(Seen { first, looks, ticks, wakes, books, names, machine, interrupted })
}
