//! The schedule against a manual clock and mock collectors, in one thread.

mod changes;
mod children;
mod departures;
mod hangs;
mod live;
mod ticks;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plugin_api::host_side::door::Instance;
use plugin_api::host_side::manifest::{Allowance, Manifest};
use plugin_api::host_side::roots::{HostHandle, Roots};
use plugin_api::options::NoOptions;
use plugin_api::{Collector, Error, Host, Recorder, ScalarId, Schema as Names};

use super::call::{Call, Maker};
use super::change::{Applied, Change, Changes, Comer, Unanswered};
use super::clock::{Clock, Wake};
use super::far::{Answers, lock};
use super::grid::Grid;
use super::ledger::Ledger;
use super::member::{Home, Recruit};
use super::tick::Schedule;
use crate::record::Slots;
use crate::snapshot::aggregate::Aggregator;
use crate::snapshot::{Event, EventKind, Identity, Mono, Schema, Section, Snapshot, Status, Wall};

const MS: u64 = 1_000_000;
/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(600);
/// 2026-11-24T03:30:00Z, a multiple of every interval here.
const BEGIN: u64 = 1_795_491_000_000 * MS;

/// A clock that moves when it is told to, and by sleeping.
struct Manual {
    wall: AtomicU64,
    mono: AtomicU64,
    slept: AtomicU64,
    /// The next sleep ends at once.
    called: AtomicBool,
    /// What happens in the next sleeps, before they end as they should.
    surprises: Mutex<VecDeque<Surprise>>,
}

#[derive(Clone, Copy)]
enum Surprise {
    Step(i64),
    Suspend(u64),
    Starve(u64),
}

impl Manual {
    fn at(wall: u64) -> Arc<Manual> {
        let (mono, slept) = (AtomicU64::new(7_000 * MS), AtomicU64::new(0));
        let called = AtomicBool::new(false);
        Arc::new(Manual { wall: AtomicU64::new(wall), mono, slept, called, surprises: Mutex::default() })
    }

    fn advance(&self, by: u64) {
        self.wall.fetch_add(by, Ordering::Relaxed);
        self.mono.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for Manual {
    fn wall(&self) -> Wall {
        Wall(self.wall.load(Ordering::Relaxed))
    }

    fn mono(&self) -> Mono {
        Mono(self.mono.load(Ordering::Relaxed))
    }

    fn slept(&self) -> u64 {
        self.slept.load(Ordering::Relaxed)
    }

    fn sleep_until(&self, due: Wall) -> Wake {
        if self.called.swap(false, Ordering::AcqRel) {
            return Wake::Called;
        }
        match lock(&self.surprises).pop_front() {
            Some(Surprise::Step(by)) => {
                self.wall.fetch_add(by as u64, Ordering::Relaxed);
                return Wake::Stepped;
            }
            Some(Surprise::Suspend(by)) => {
                self.wall.fetch_add(by, Ordering::Relaxed);
                self.slept.fetch_add(by, Ordering::Relaxed);
                return Wake::Stepped;
            }
            Some(Surprise::Starve(by)) => self.advance(by),
            None => {}
        }
        self.advance(due.0.saturating_sub(self.wall().0));
        Wake::Due
    }
}

/// What a mock does when it is called.
#[derive(Clone, Debug)]
enum Step {
    Count(u64),
    Takes(u64, u64),
    Fails(&'static str),
    Nothing,
    Panics,
}

struct Mock {
    clock: Arc<Manual>,
    steps: Arc<Mutex<VecDeque<Step>>>,
    count: ScalarId,
    part: bool,
}

impl Collector for Mock {
    type Options = NoOptions;

    fn new(_: NoOptions, _: &Host, _: &mut Names) -> Result<Mock, Error> {
        Err(Error::failed("made by the tests"))
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let step = lock(&self.steps).pop_front().unwrap_or(Step::Count(0));
        match step {
            Step::Count(count) => out.set(self.count, count),
            Step::Takes(took, count) => {
                self.clock.advance(took);
                out.set(self.count, count);
            }
            Step::Fails(why) => return Err(Error::failed(why)),
            Step::Nothing => return Err(Error::unavailable("no sensor here")),
            Step::Panics => panic!("mock"),
        }
        if self.part {
            out.part_failed("fan", "stuck");
        }
        Ok(())
    }
}

const MANIFEST: &str = r#"contract = "1.0"
[plugin]
name = "mock"
description = "plays a script"
[metrics.count]
type = "u64"
kind = "counter"
unit = "1"
rate = "count_per_sec"
description = "what the script says"
"#;

/// A schedule, its clock, and what it emitted.
struct Bench {
    clock: Arc<Manual>,
    schedule: Schedule,
    emitted: Arc<Mutex<Vec<Arc<Snapshot>>>>,
    ledger: Arc<Ledger>,
    answers: Arc<Answers>,
    changes: Changes,
}

impl Bench {
    fn new(begin: u64) -> Bench {
        let clock = Manual::at(begin);
        let emitted = Arc::new(Mutex::new(Vec::new()));
        let (ledger, into) = (Arc::new(Ledger::default()), Arc::clone(&emitted));
        let identity = Arc::new(Identity { host: None, run: "0".repeat(32), labels: Vec::new() });
        let emit = Box::new(move |snapshot: &Arc<Snapshot>| lock(&into).push(Arc::clone(snapshot)));
        let answers = Arc::new(Answers::new().unwrap());
        let aggregator = Aggregator::new(identity);
        let mut schedule =
            Schedule::new(clock.clone(), aggregator, Arc::clone(&ledger), Arc::clone(&answers), None, emit);
        let bell = Arc::clone(&clock);
        let changes = schedule.changes(move || bell.called.store(true, Ordering::Release));
        Bench { clock, schedule, emitted, ledger, answers, changes }
    }

    fn add(&mut self, name: &str, interval_ms: u64, steps: &[Step]) {
        self.add_with(name, interval_ms, steps, false);
    }

    fn add_with(&mut self, name: &str, interval_ms: u64, steps: &[Step], part: bool) {
        let timeout = Duration::from_millis(interval_ms * 8 / 10).min(Duration::from_secs(1));
        self.add_timed(name, interval_ms, timeout, steps, part);
    }

    fn add_timed(&mut self, name: &str, interval_ms: u64, timeout: Duration, steps: &[Step], part: bool) {
        let home = Home::Agent(self.maker(steps, part));
        self.enlist(name, interval_ms, timeout, ample(), home);
    }

    fn maker(&self, steps: &[Step], part: bool) -> Maker {
        self.maker_of(MANIFEST, steps, part)
    }

    fn maker_of(&self, manifest: &str, steps: &[Step], part: bool) -> Maker {
        let declared = Arc::new(Manifest::parse(manifest).unwrap());
        let (clock, steps) = (Arc::clone(&self.clock), Arc::new(Mutex::new(steps.iter().cloned().collect())));
        let roots = Arc::new(Roots::new(Path::new("/")));
        Box::new(move || {
            let host = HostHandle::new(Arc::clone(&roots), Arc::clone(&declared), Arc::new(|_, _| {}));
            let (clock, steps) = (Arc::clone(&clock), Arc::clone(&steps));
            Instance::linked(host, |_, names| Ok(Mock { clock, steps, count: names.scalar("count")?, part }))
        })
    }

    fn enlist(&mut self, name: &str, interval_ms: u64, timeout: Duration, allowance: Allowance, home: Home) {
        self.schedule.add(recruit(MANIFEST, name, interval_ms, timeout, allowance, home));
    }

    /// Somebody wants a change: it waits for the next sleep.
    fn post(&self, change: Change, patience: Duration) -> JoinHandle<Result<Applied, Unanswered>> {
        let changes = self.changes.clone();
        let poster = thread::spawn(move || changes.make(change, patience));
        while !self.clock.called.load(Ordering::Acquire) {
            thread::yield_now();
        }
        poster
    }

    /// A change is made before the next tick, which begins.
    fn change(&mut self, change: Change) -> Applied {
        let posted = self.post(change, FOREVER);
        assert!(self.schedule.sleep());
        posted.join().unwrap().unwrap_or_else(|why| panic!("{why}"))
    }

    /// One that comes to this place, and does these things in the agent.
    fn comer(&self, place: usize, name: &str, interval_ms: u64, steps: &[Step]) -> Comer {
        let home = Home::Agent(self.maker(steps, false));
        let timeout = Duration::from_millis(interval_ms * 8 / 10).min(Duration::from_secs(1));
        let recruit = recruit(MANIFEST, name, interval_ms, timeout, ample(), home);
        let event = Some(Event { collector: Some(name.into()), ..Event::new(EventKind::Start) });
        Comer { place, recruit, replaces: None, event }
    }

    fn call_all(&mut self) {
        while let Some(call) = self.schedule.next_call() {
            self.schedule.came_back(call.run(&Slots::nowhere().slot()));
        }
    }

    /// The start, to its snapshot.
    fn start(&mut self) -> Arc<Snapshot> {
        self.schedule.start();
        self.rest()
    }

    /// The next tick, to its snapshot.
    fn tick(&mut self) -> Arc<Snapshot> {
        assert!(self.schedule.sleep());
        self.rest()
    }

    fn rest(&mut self) -> Arc<Snapshot> {
        self.call_all();
        self.leave()
    }

    fn leave(&mut self) -> Arc<Snapshot> {
        // Nobody else brings the manual clock to the moment that a gathering waits for.
        self.schedule.gather();
        while self.schedule.has_more() {
            self.call_all();
            self.schedule.gather();
        }
        self.schedule.finish();
        Arc::clone(lock(&self.emitted).last().unwrap())
    }

    /// A call that is being made hangs: the standby takes over.
    fn hang(&mut self) -> Call {
        let call = self.schedule.next_call().unwrap();
        self.clock.advance(20 * MS);
        self.schedule.taken_over();
        call
    }
}

fn recruit(
    manifest: &str,
    name: &str,
    interval_ms: u64,
    timeout: Duration,
    allowance: Allowance,
    home: Home,
) -> Recruit {
    let manifest = Arc::new(Manifest::parse(manifest).unwrap());
    Recruit {
        name: name.into(),
        schema: Arc::new(Schema::new(manifest, |_| true)),
        grid: every(interval_ms),
        timeout,
        allowance,
        home: Ok(home),
    }
}

fn every(interval_ms: u64) -> Grid {
    Grid::new(Duration::from_millis(interval_ms), Duration::ZERO)
}

/// More CPU time than a call here takes, on the slowest machine.
fn ample() -> Allowance {
    Allowance { cpu: Duration::from_secs(60), ..Allowance::default() }
}

fn section<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Section {
    snapshot.sections.iter().find(|section| &*section.name == name).unwrap_or_else(|| panic!("no section {name}"))
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.sections.iter().map(|section| &*section.name).collect()
}

fn count(section: &Section) -> Option<u64> {
    section.frame.cells()[0].as_u64()
}

fn rate(section: &Section) -> Option<f64> {
    let cell = section.frame.cells()[1];
    (!cell.is_null()).then(|| f64::from_bits(cell.bits))
}

fn kinds(snapshot: &Snapshot) -> Vec<EventKind> {
    snapshot.events.iter().map(|event| event.kind).collect()
}

/// A schedule that nobody drives.
pub(super) fn idle() -> Box<Schedule> {
    Box::new(Bench::new(BEGIN).schedule)
}
