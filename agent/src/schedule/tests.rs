//! The schedule against a manual clock and mock collectors, in one thread: what is in a snapshot, and when.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugin_api::host_side::door::Instance;
use plugin_api::host_side::manifest::{Allowance, Manifest};
use plugin_api::host_side::roots::{HostHandle, Roots};
use plugin_api::options::NoOptions;
use plugin_api::{Collector, Error, Host, Recorder, ScalarId, Schema as Names};

use super::call::Call;
use super::clock::{Clock, Wake};
use super::far::{Answers, Mailbox, lock};
use super::grid::Grid;
use super::ledger::Ledger;
use super::member::{Home, Recruit};
use super::tick::Schedule;
use crate::record::Slots;
use crate::snapshot::aggregate::Aggregator;
use crate::snapshot::{EventKind, Identity, Mono, Schema, Section, Snapshot, Status, Wall};

const MS: u64 = 1_000_000;
/// 2026-11-24T03:30:00Z, a multiple of every interval here.
const BEGIN: u64 = 1_795_491_000_000 * MS;

/// A clock that moves when it is told to, and by sleeping.
struct Manual {
    wall: AtomicU64,
    mono: AtomicU64,
    slept: AtomicU64,
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
        Arc::new(Manual { wall: AtomicU64::new(wall), mono, slept, surprises: Mutex::default() })
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
    mailboxes: Vec<Arc<Mailbox>>,
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
        let schedule = Schedule::new(clock.clone(), aggregator, Arc::clone(&ledger), Arc::clone(&answers), None, emit);
        Bench { clock, schedule, emitted, ledger, answers, mailboxes: Vec::new() }
    }

    fn add(&mut self, name: &str, interval_ms: u64, steps: &[Step]) {
        self.add_with(name, interval_ms, steps, false);
    }

    fn add_with(&mut self, name: &str, interval_ms: u64, steps: &[Step], part: bool) {
        let timeout = Duration::from_millis(interval_ms * 8 / 10).min(Duration::from_secs(1));
        self.add_timed(name, interval_ms, timeout, steps, part);
    }

    fn add_timed(&mut self, name: &str, interval_ms: u64, timeout: Duration, steps: &[Step], part: bool) {
        let manifest = Arc::new(Manifest::parse(MANIFEST).unwrap());
        let (clock, steps) = (Arc::clone(&self.clock), Arc::new(Mutex::new(steps.iter().cloned().collect())));
        let (roots, declared) = (Arc::new(Roots::new(Path::new("/"))), Arc::clone(&manifest));
        let maker = Box::new(move || {
            let host = HostHandle::new(Arc::clone(&roots), Arc::clone(&declared), Arc::new(|_, _| {}));
            let (clock, steps) = (Arc::clone(&clock), Arc::clone(&steps));
            Instance::linked(host, |_, names| Ok(Mock { clock, steps, count: names.scalar("count")?, part }))
        });
        let interval = Duration::from_millis(interval_ms);
        let (mailbox, _) = self.schedule.add(Recruit {
            name: name.into(),
            schema: Arc::new(Schema::new(manifest, |_| true)),
            grid: Grid::new(interval, Duration::ZERO),
            timeout,
            // More CPU time than a call here takes, on the slowest machine.
            allowance: Allowance { cpu: Duration::from_secs(60), ..Allowance::default() },
            home: Ok(Home::Agent(maker)),
        });
        self.mailboxes.push(mailbox);
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

#[test]
fn start_is_a_tick_of_its_own_off_the_grid_with_null_rates() {
    let mut bench = Bench::new(BEGIN + 1_300 * MS);
    bench.add("a", 5_000, &[Step::Count(5)]);
    bench.add("b", 60_000, &[Step::Count(7)]);
    let start = bench.start();
    assert_eq!((start.timestamp, start.sequence), (Wall(BEGIN + 1_300 * MS), 0));
    assert_eq!(names(&start), ["a", "b"]);
    assert_eq!((count(section(&start, "a")), rate(section(&start, "a"))), (Some(5), None));
    assert_eq!(section(&start, "a").window, None);
    assert_eq!(kinds(&start), [EventKind::Start]);
}

#[test]
fn ticks_lie_on_the_grid_and_hold_those_that_are_due() {
    let mut bench = Bench::new(BEGIN + 300 * MS);
    bench.add("a", 1_000, &[]);
    bench.add("b", 2_000, &[]);
    bench.start();
    let ticks: Vec<_> = (0..4).map(|_| bench.tick()).collect();
    let seen: Vec<_> = ticks.iter().map(|tick| ((tick.timestamp.0 - BEGIN) / MS, names(tick), tick.sequence)).collect();
    assert_eq!(
        seen,
        [(1_000, vec!["a"], 1), (2_000, vec!["a", "b"], 2), (3_000, vec!["a"], 3), (4_000, vec!["a", "b"], 4)]
    );
}

#[test]
fn growth_is_divided_by_the_time_between_the_reads() {
    let mut bench = Bench::new(BEGIN + 200 * MS);
    bench.add("a", 1_000, &[Step::Count(100), Step::Count(500), Step::Count(600)]);
    bench.start();
    let first = bench.tick();
    assert_eq!(section(&first, "a").window, Some(Duration::from_millis(800)));
    assert_eq!(rate(section(&first, "a")), Some(500.0));
    assert_eq!(rate(section(&bench.tick(), "a")), Some(100.0));
}

#[test]
fn failed_reading_leaves_a_section_with_its_error_and_the_others_go_on() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Fails("could not read it")]);
    bench.add("b", 1_000, &[Step::Count(1)]);
    bench.add("c", 1_000, &[Step::Nothing]);
    let start = bench.start();
    assert_eq!((section(&start, "a").status, &*section(&start, "a").error), (Status::Failed, "could not read it"));
    assert_eq!(section(&start, "b").status, Status::Ok);
    assert_eq!((section(&start, "c").status, &*section(&start, "c").error), (Status::Unavailable, "no sensor here"));
}

#[test]
fn part_that_failed_makes_the_section_partial() {
    let mut bench = Bench::new(BEGIN);
    bench.add_with("a", 1_000, &[Step::Count(1)], true);
    let start = bench.start();
    assert_eq!((section(&start, "a").status, section(&start, "a").frame.notes().len()), (Status::Partial, 1));
}

#[test]
fn growth_over_a_failure_spans_from_the_last_emitted_reading() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(100), Step::Fails("x"), Step::Count(300)]);
    bench.start();
    assert_eq!(section(&bench.tick(), "a").status, Status::Failed);
    let third = bench.tick();
    assert_eq!(section(&third, "a").window, Some(Duration::from_secs(2)));
    assert_eq!(rate(section(&third, "a")), Some(100.0));
}

#[test]
fn collector_that_panicked_is_made_anew_and_its_counters_grow_from_there() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(1), Step::Panics, Step::Count(3), Step::Count(5)]);
    bench.start();
    let second = bench.tick();
    assert_eq!((section(&second, "a").status, &*section(&second, "a").error), (Status::Failed, "panicked: mock"));
    let third = bench.tick();
    assert_eq!((section(&third, "a").status, rate(section(&third, "a"))), (Status::Ok, None));
    assert_eq!(rate(section(&bench.tick(), "a")), Some(2.0));
}

#[test]
fn failing_collector_backs_off_and_says_so_at_each_due_tick() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &vec![Step::Fails("down"); 9]);
    bench.start();
    let statuses: Vec<_> = (0..7).map(|_| section(&bench.tick(), "a").status).collect();
    use Status::{Backoff, Failed};
    assert_eq!(statuses, [Failed, Failed, Failed, Backoff, Failed, Backoff, Backoff]);
    let last = bench.tick();
    assert_eq!((&*section(&last, "a").error, section(&last, "a").since), ("down", Some(Wall(BEGIN))));
}

#[test]
fn collector_with_nothing_to_measure_is_asked_seldom_and_stays_unavailable() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &vec![Step::Nothing; 99]);
    bench.start();
    for _ in 0..9 {
        let tick = bench.tick();
        assert_eq!((section(&tick, "a").status, &*section(&tick, "a").error), (Status::Unavailable, "no sensor here"));
    }
    assert_eq!(bench.ledger.with(|books| books.collectors[0].calls), 6);
}

#[test]
fn back_off_after_calls_that_were_pending_and_then_too_late_says_what_went_wrong() {
    let mut bench = Bench::new(BEGIN);
    let mut steps = vec![Step::Takes(960 * MS, 1); 3];
    steps.insert(0, Step::Count(0));
    bench.add_timed("a", 1_000, Duration::from_millis(950), &steps, false);
    bench.start();
    for round in 0..3 {
        assert!(bench.schedule.sleep());
        let call = if round == 0 { bench.hang() } else { bench.mailboxes[0].next().unwrap() };
        bench.clock.advance(900 * MS);
        assert_eq!(section(&bench.leave(), "a").status, Status::Pending);
        bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    }
    let after = bench.tick();
    let it = section(&after, "a");
    assert_eq!((it.status, &*it.error), (Status::Backoff, "no answer for 950ms"));
    assert_eq!(it.since, Some(Wall(BEGIN + 1_000 * MS)));
}

#[test]
fn ticks_that_were_slept_through_are_counted_and_not_made_up() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(0), Step::Count(500), Step::Count(600)]);
    bench.start();
    lock(&bench.clock.surprises).push_back(Surprise::Starve(5_300 * MS));
    let late = bench.tick();
    assert_eq!(late.timestamp, Wall(BEGIN + 5_000 * MS));
    assert_eq!(kinds(&late), [EventKind::Missed]);
    assert_eq!((late.events[0].count, late.events[0].collector.as_deref()), (Some(4), Some("a")));
    assert_eq!(section(&late, "a").window, Some(Duration::from_millis(5_300)));
    assert_eq!(bench.tick().timestamp, Wall(BEGIN + 6_000 * MS));
    assert_eq!(bench.ledger.with(|books| books.collectors[0].missed), 4);
}

#[test]
fn all_who_are_behind_are_read_in_the_latest_tick() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.add("b", 60_000, &[Step::Count(0), Step::Count(1)]);
    bench.start();
    lock(&bench.clock.surprises).push_back(Surprise::Starve(95_500 * MS));
    let late = bench.tick();
    assert_eq!((late.timestamp, late.sequence), (Wall(BEGIN + 95_000 * MS), 1));
    assert_eq!((section(&late, "b").status, count(section(&late, "b"))), (Status::Ok, Some(1)));
    assert_eq!(names(&bench.tick()), ["a"]);
    assert_eq!(bench.ledger.with(|books| books.collectors[1].missed), 0);
}

#[test]
fn step_of_the_clock_is_an_event_and_ticks_go_on_along_the_new_time() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(0), Step::Count(1_000)]);
    bench.start();
    lock(&bench.clock.surprises).push_back(Surprise::Step(3_600_000 * MS as i64));
    let next = bench.tick();
    assert_eq!(next.timestamp, Wall(BEGIN + 3_601_000 * MS));
    assert_eq!(kinds(&next), [EventKind::Clock]);
    assert_eq!(next.events[0].from.as_deref(), Some("2026-11-24T03:30:00.000Z"));
    assert_eq!(next.events[0].to.as_deref(), Some("2026-11-24T04:30:00.000Z"));
    // Growth knows nothing of the wall clock.
    assert_eq!(rate(section(&next, "a")), Some(1_000.0));
}

#[test]
fn step_back_repeats_no_sequence_number() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    bench.tick();
    lock(&bench.clock.surprises).push_back(Surprise::Step(-(3_600_000 * MS as i64)));
    let next = bench.tick();
    assert_eq!((next.timestamp, next.sequence), (Wall(BEGIN - 3_598_000 * MS), 2));
}

#[test]
fn suspend_is_an_event_and_its_ticks_are_missed() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(0), Step::Count(1)]);
    bench.start();
    lock(&bench.clock.surprises).push_back(Surprise::Suspend(60_000 * MS));
    let next = bench.tick();
    assert_eq!(kinds(&next), [EventKind::Suspend, EventKind::Missed]);
    assert_eq!(next.timestamp, Wall(BEGIN + 60_000 * MS));
    // CLOCK_MONOTONIC stood still.
    assert!(section(&next, "a").window.unwrap() < Duration::from_secs(1));
}

#[test]
fn collectors_without_a_turn_before_the_cut_off_are_skipped() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(0), Step::Takes(950 * MS, 1)]);
    bench.add("b", 1_000, &[Step::Count(0)]);
    bench.start();
    let next = bench.tick();
    assert_eq!(section(&next, "a").status, Status::Timeout);
    assert_eq!((section(&next, "b").status, section(&next, "b").at), (Status::Skipped, None));
}

#[test]
fn call_past_its_timeout_says_since_when_and_its_reading_is_thrown_away() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(0), Step::Takes(850 * MS, 1), Step::Count(30)]);
    bench.start();
    let late = bench.tick();
    let it = section(&late, "a");
    assert_eq!((it.status, it.since, it.at), (Status::Timeout, Some(Wall(BEGIN + 1_000 * MS)), it.since));
    assert_eq!(it.error, "no answer for 800ms");
    let next = bench.tick();
    assert_eq!((section(&next, "a").window, rate(section(&next, "a"))), (Some(Duration::from_secs(2)), Some(15.0)));
    assert_eq!(bench.ledger.with(|books| (books.collectors[0].timeouts, books.collectors[0].dropped)), (1, 1));
}

#[test]
fn late_collector_is_marked_and_not_run_twice() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(0), Step::Count(1)]);
    bench.add("b", 1_000, &[Step::Count(0), Step::Count(2)]);
    bench.start();
    assert!(bench.schedule.sleep());
    let call = bench.hang();
    assert_eq!(call.place, 0);
    bench.call_all();
    // Past the timeout, before the cut-off.
    bench.clock.advance(820 * MS);
    let first = bench.leave();
    assert_eq!((section(&first, "a").status, section(&first, "b").status), (Status::Timeout, Status::Ok));
    assert_eq!(kinds(&first), [EventKind::Moved]);
    // It is still out at the next tick: said again, and not called again.
    assert!(bench.schedule.sleep());
    let calls: Vec<_> = std::iter::from_fn(|| {
        bench.schedule.next_call().map(|call| {
            let place = call.place;
            bench.schedule.came_back(call.run(&Slots::nowhere().slot()));
            place
        })
    })
    .collect();
    assert_eq!(calls, [1]);
    let second = bench.leave();
    assert_eq!(
        (section(&second, "a").status, section(&second, "a").since),
        (Status::Timeout, Some(Wall(BEGIN + 1_000 * MS)))
    );
    // What comes back now is thrown away, and the collector is asked again at the next tick, on its own thread.
    bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    assert!(bench.schedule.sleep());
    assert_eq!(bench.ledger.with(|books| (books.collectors[0].timeouts, books.collectors[0].dropped)), (1, 1));
    bench.answers.hand_in(bench.mailboxes[0].next().unwrap().run(&Slots::nowhere().slot()));
    let third = bench.rest();
    assert_eq!((section(&third, "a").status, section(&third, "a").at), (Status::Ok, Some(third.timestamp)));
}

#[test]
fn reading_that_comes_between_two_ticks_stands_in_for_the_call_that_follows_it() {
    let mut bench = Bench::new(BEGIN);
    bench.add_timed("a", 1_000, Duration::from_secs(2), &[Step::Count(0), Step::Count(1), Step::Count(2)], false);
    bench.start();
    assert!(bench.schedule.sleep());
    let call = bench.hang();
    bench.clock.advance(900 * MS);
    assert_eq!(section(&bench.leave(), "a").status, Status::Pending);
    // It answers before the next tick, so it is asked again at that, and is again too slow for it.
    bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    assert!(bench.schedule.sleep());
    let call = bench.mailboxes[0].next().unwrap();
    bench.clock.advance(950 * MS);
    let second = bench.leave();
    assert_eq!((section(&second, "a").status, count(section(&second, "a"))), (Status::Ok, Some(1)));
    bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    assert!(bench.schedule.sleep());
    bench.clock.advance(950 * MS);
    assert_eq!(count(section(&bench.leave(), "a")), Some(2));
}

#[test]
fn collector_that_is_quick_again_is_called_here_and_its_thread_ends() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    assert!(bench.schedule.sleep());
    let call = bench.hang();
    let (end, ended) = std::sync::mpsc::channel();
    let (mailbox, answers) = (Arc::clone(&bench.mailboxes[0]), Arc::clone(&bench.answers));
    std::thread::spawn(move || {
        super::far::serve(call.run(&Slots::nowhere().slot()), &mailbox, &answers, &Slots::nowhere().slot());
        end.send(()).unwrap();
    });
    bench.leave();
    let back = (0..110).find(|_| kinds(&bench.tick()).contains(&EventKind::Moved));
    assert!(back.is_some());
    ended.recv_timeout(Duration::from_secs(30)).unwrap();
}

#[test]
fn end_waits_for_no_answer_and_the_snapshot_leaves_with_those_that_are_there() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 10_000, &[]);
    bench.add("b", 10_000, &[Step::Count(0), Step::Count(3)]);
    bench.start();
    assert!(bench.schedule.sleep());
    let hung = bench.hang();
    bench.call_all();
    bench.answers.hurry();
    let last = bench.leave();
    assert_eq!((section(&last, "a").status, count(section(&last, "b"))), (Status::Pending, Some(3)));
    drop(hung);
}

#[test]
fn reading_that_comes_after_the_cut_off_goes_with_the_next_snapshot() {
    let mut bench = Bench::new(BEGIN);
    // The second collector's ticks bring the cut-off nearer than the first one's timeout.
    bench.add("a", 2_000, &[Step::Count(10), Step::Count(20)]);
    bench.add("b", 100, &[]);
    bench.start();
    while !names(lock(&bench.emitted).last().unwrap()).contains(&"a") || lock(&bench.emitted).len() == 1 {
        assert!(bench.schedule.sleep());
        let due = bench.clock.wall();
        if due < Wall(BEGIN + 2_000 * MS) {
            bench.rest();
            continue;
        }
        break;
    }
    // b is known to be as cheap: whoever comes first, a hangs.
    let mut hung = None;
    while let Some(call) = bench.schedule.next_call() {
        if call.place == 0 {
            bench.clock.advance(20 * MS);
            bench.schedule.taken_over();
            hung = Some(call);
        } else {
            bench.schedule.came_back(call.run(&Slots::nowhere().slot()));
        }
    }
    bench.clock.advance(75 * MS);
    let pending = bench.leave();
    assert_eq!(
        (section(&pending, "a").status, section(&pending, "a").since),
        (Status::Pending, Some(Wall(BEGIN + 2_000 * MS)))
    );
    bench.answers.hand_in(hung.unwrap().run(&Slots::nowhere().slot()));
    let next = bench.tick();
    assert_eq!(names(&next), ["a", "b"]);
    assert_eq!((section(&next, "a").status, count(section(&next, "a"))), (Status::Ok, Some(20)));
}

#[test]
fn ninth_collector_to_hang_is_quarantined_at_once() {
    let mut bench = Bench::new(BEGIN);
    for number in 0..10 {
        bench.add(&format!("c{number}"), 10_000, &[]);
    }
    bench.start();
    assert!(bench.schedule.sleep());
    let hung: Vec<_> = (0..9).map(|_| bench.hang()).collect();
    bench.call_all();
    bench.clock.advance(1_500 * MS);
    let first = bench.leave();
    assert_eq!(kinds(&first).iter().filter(|kind| **kind == EventKind::Quarantined).count(), 1);
    assert_eq!(section(&first, "c9").status, Status::Ok);
    let second = bench.tick();
    assert_eq!(
        (section(&second, "c8").status, &*section(&second, "c8").error),
        (Status::Quarantined, "hangs, as 8 others do")
    );
    // Since the hang, and not since it was well the last time.
    assert_eq!(section(&second, "c8").since, Some(Wall(BEGIN + 10_160 * MS)));
    assert_eq!(section(&second, "c0").status, Status::Timeout);
    drop(hung);
}

#[test]
fn once_a_collector_has_hung_unknown_ones_are_tried_one_a_tick() {
    let mut bench = Bench::new(BEGIN);
    for number in 0..4 {
        bench.add(&format!("c{number}"), 10_000, &[]);
    }
    bench.schedule.start();
    let hung = bench.hang();
    bench.call_all();
    bench.clock.advance(1_500 * MS);
    let start = bench.leave();
    let statuses: Vec<_> = start.sections.iter().map(|section| section.status).collect();
    use Status::{Ok, Skipped, Timeout};
    assert_eq!(statuses, [Timeout, Skipped, Skipped, Skipped]);
    let statuses: Vec<_> = bench.tick().sections.iter().map(|section| section.status).collect();
    assert_eq!(statuses, [Timeout, Ok, Skipped, Skipped]);
    let statuses: Vec<_> = bench.tick().sections.iter().map(|section| section.status).collect();
    assert_eq!(statuses, [Timeout, Ok, Ok, Skipped]);
    drop(hung);
}

#[test]
fn collectors_that_have_only_failed_so_far_have_their_turn_beside_one_that_hangs() {
    let mut bench = Bench::new(BEGIN);
    bench.add("c0", 10_000, &[]);
    bench.add("c1", 10_000, &vec![Step::Fails("x"); 9]);
    bench.add("c2", 10_000, &vec![Step::Nothing; 9]);
    bench.start();
    assert!(bench.schedule.sleep());
    let hung = bench.hang();
    bench.call_all();
    bench.clock.advance(1_500 * MS);
    let statuses: Vec<_> = bench.leave().sections.iter().map(|section| section.status).collect();
    assert_eq!(statuses, [Status::Timeout, Status::Failed, Status::Unavailable]);
    drop(hung);
}

#[test]
fn collectors_behind_one_that_is_only_slow_have_their_turn() {
    let mut bench = Bench::new(BEGIN);
    for number in 0..4 {
        bench.add(&format!("c{number}"), 10_000, &[]);
    }
    bench.schedule.start();
    let slow = bench.hang();
    bench.call_all();
    bench.answers.hand_in(slow.run(&Slots::nowhere().slot()));
    let start = bench.leave();
    assert!(start.sections.iter().all(|section| section.status == Status::Ok), "{start:?}");
}

#[test]
fn steady_ticks_share_their_memory() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        seen.insert(Arc::as_ptr(&bench.tick()) as usize);
        lock(&bench.emitted).drain(..).for_each(drop);
        lock(&bench.emitted).shrink_to_fit();
    }
    assert!(seen.len() <= 2, "{} snapshots were made", seen.len());
}

/// A schedule that nobody drives.
pub(super) fn idle() -> Box<Schedule> {
    Box::new(Bench::new(BEGIN).schedule)
}
