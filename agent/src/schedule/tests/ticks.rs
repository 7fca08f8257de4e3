//! What is in a snapshot, and when it leaves.

use plugin_api::ErrorKind;
use plugin_api::host_side::door::Failure;
use plugin_api::host_side::frame::Limits;

use super::*;

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

#[test]
fn budget_holds_after_the_collector_could_not_be_made_at_first() {
    let mut bench = Bench::new(BEGIN);
    let (mut makes, mut failed) = (bench.maker(&[], true), false);
    let maker: Maker = Box::new(move || {
        let failure = Failure { kind: ErrorKind::FAILED, message: "not yet".into() };
        if std::mem::replace(&mut failed, true) { makes() } else { Err(failure) }
    });
    // Less text than the part that fails has.
    let limits = Limits { text: 4, ..Limits::default() };
    let allowance = Allowance { limits, cpu: Duration::from_secs(60), ..Allowance::default() };
    bench.enlist("a", 1_000, Duration::from_millis(800), allowance, Home::Agent(maker));
    assert_eq!(&*section(&bench.start(), "a").error, "not yet");
    // Sections are used again when nobody reads them any more.
    lock(&bench.emitted).clear();
    let next = bench.tick();
    let it = section(&next, "a");
    assert_eq!(it.status, Status::Partial);
    assert!(it.error.starts_with("over its budget, cut: "), "{}", it.error);
}
