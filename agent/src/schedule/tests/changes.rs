//! Who comes, who takes over, who is retimed, and who goes on as if nothing had been.

use super::*;

/// Where a snapshot stands, in milliseconds after the beginning.
fn at(snapshot: &Snapshot) -> u64 {
    (snapshot.timestamp.0 - BEGIN) / MS
}

#[test]
fn collector_that_did_not_change_keeps_its_phase_its_growth_and_its_health_over_a_change() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(100), Step::Count(110), Step::Fails("x"), Step::Count(150)]);
    bench.add("b", 1_000, &[]);
    bench.start();
    bench.tick();
    assert_eq!(section(&bench.tick(), "a").status, Status::Failed);
    bench.clock.advance(300 * MS);
    let change = Change { leave: vec![1], come: vec![bench.comer(2, "c", 1_000, &[])], ..Change::default() };
    bench.change(change);
    let own = bench.rest();
    assert_eq!((at(&own), own.sequence, names(&own)), (2_300, 3, vec!["c"]));
    let next = bench.tick();
    let a = section(&next, "a");
    assert_eq!((at(&next), next.sequence, names(&next)), (3_000, 4, vec!["a", "c"]));
    assert_eq!((a.window, rate(a)), (Some(Duration::from_secs(2)), Some(20.0)));
    bench.ledger.with(|books| {
        assert_eq!((books.collectors[0].calls, books.collectors[0].failures, books.collectors[0].missed), (4, 1, 0));
    });
}

#[test]
fn newcomer_is_read_at_once_and_its_tick_nearer_than_half_an_interval_is_passed_over() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 10_000, &[]);
    bench.start();
    // Of a grid of 10 s the next tick is 4 s away, of one of 6 s 6.
    bench.clock.advance(6_000 * MS);
    let come = vec![bench.comer(1, "b", 10_000, &[Step::Count(5)]), bench.comer(2, "c", 6_000, &[Step::Count(7)])];
    let applied = bench.change(Change { come, ..Change::default() });
    assert!(applied.vacant.is_empty() && applied.left.is_empty());
    let own = bench.rest();
    assert_eq!((at(&own), names(&own)), (6_000, vec!["b", "c"]));
    assert_eq!((count(section(&own, "b")), rate(section(&own, "b"))), (Some(5), None));
    let told: Vec<_> = own.events.iter().map(|event| (event.kind, event.collector.as_deref())).collect();
    assert_eq!(told, [(EventKind::Start, Some("b")), (EventKind::Start, Some("c"))]);
    let next: Vec<_> = (0..3).map(|_| bench.tick()).map(|tick| (at(&tick), tick.sections.len())).collect();
    assert_eq!(next, [(10_000, 1), (12_000, 1), (18_000, 1)]);
    assert_eq!(names(&bench.tick()), ["a", "b"]);
    let (ticks, next_due) = bench.ledger.with(|books| (books.next_due, books.collectors[1].next_due));
    assert_eq!((ticks, next_due), (Wall(BEGIN + 24_000 * MS), Wall(BEGIN + 30_000 * MS)));
}

#[test]
fn newcomer_joins_a_tick_that_is_at_hand() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    bench.clock.advance(970 * MS);
    bench.change(Change { come: vec![bench.comer(1, "b", 10_000, &[])], ..Change::default() });
    let tick = bench.rest();
    assert_eq!((at(&tick), names(&tick), kinds(&tick)), (1_000, vec!["a", "b"], vec![EventKind::Start]));
    let ticks: Vec<_> = (0..9).map(|_| names(&bench.tick()).len()).collect();
    assert_eq!(ticks, [1, 1, 1, 1, 1, 1, 1, 1, 2]);
    assert_eq!(bench.ledger.with(|books| books.collectors[1].missed), 0);
}

#[test]
fn newcomer_that_waits_for_a_tick_when_the_clock_is_set_is_read_at_once() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 10_000, &[]);
    bench.start();
    bench.clock.advance(9_970 * MS);
    let posted = bench.post(Change { come: vec![bench.comer(1, "b", 10_000, &[])], ..Change::default() }, FOREVER);
    lock(&bench.clock.surprises).push_back(Surprise::Step(-(3_000 * MS as i64)));
    let tick = bench.tick();
    posted.join().unwrap().map(drop).unwrap();
    assert_eq!((at(&tick), names(&tick)), (6_970, vec!["b"]));
    assert_eq!((at(&bench.tick()), names(&bench.tick())), (10_000, vec!["a", "b"]));
}

#[test]
fn replacement_takes_over_the_next_due_moment_and_grows_from_its_own_first_reading() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 10_000, &[Step::Count(1_000)]);
    bench.add("b", 10_000, &[]);
    bench.start();
    bench.clock.advance(2_000 * MS);
    let come = Comer { replaces: Some(0), ..bench.comer(2, "a", 10_000, &[Step::Count(2_000), Step::Count(2_500)]) };
    let applied = bench.change(Change { leave: vec![0], come: vec![come], order: vec![2, 1], ..Change::default() });
    assert_eq!((applied.vacant, applied.left.len()), (vec![0], 1));
    let first = bench.rest();
    assert_eq!((at(&first), names(&first)), (10_000, vec!["a", "b"]));
    assert_eq!((section(&first, "a").window, rate(section(&first, "a"))), (None, None));
    assert_eq!(rate(section(&bench.tick(), "a")), Some(50.0));
}

#[test]
fn replacement_of_another_interval_is_due_at_the_next_tick_of_its_own() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 10_000, &[]);
    bench.start();
    bench.clock.advance(3_500 * MS);
    let come = Comer { replaces: Some(0), ..bench.comer(1, "a", 2_000, &[]) };
    bench.change(Change { leave: vec![0], come: vec![come], ..Change::default() });
    assert_eq!(at(&bench.rest()), 4_000);
    assert_eq!(at(&bench.tick()), 6_000);
}

#[test]
fn retimed_collector_goes_on_with_its_growth_and_its_books() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 10_000, &[Step::Count(100), Step::Count(400), Step::Takes(300 * MS, 500)]);
    bench.start();
    bench.clock.advance(2_500 * MS);
    bench.change(Change { retime: vec![(0, every(3_000), Duration::from_millis(200))], ..Change::default() });
    let next = bench.rest();
    assert_eq!((at(&next), rate(section(&next, "a")), next.events.len()), (3_000, Some(100.0), 0));
    let late = bench.tick();
    assert_eq!((at(&late), section(&late, "a").status), (6_000, Status::Timeout));
    assert_eq!(bench.ledger.with(|books| books.collectors[0].calls), 3);
}

#[test]
fn change_that_comes_when_a_tick_is_due_takes_none_away() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.add("b", 1_000, &[]);
    bench.add("c", 1_000, &[]);
    bench.start();
    bench.clock.advance(1_000 * MS);
    let come = Comer { replaces: Some(2), ..bench.comer(3, "d", 5_000, &[]) };
    let retime = vec![(1, every(2_000), Duration::from_secs(1))];
    bench.change(Change {
        leave: vec![2],
        come: vec![come, bench.comer(4, "e", 1_000, &[])],
        retime,
        ..Change::default()
    });
    let now = bench.rest();
    assert_eq!((at(&now), names(&now)), (1_000, vec!["a", "b", "d", "e"]));
    assert_eq!(names(&bench.tick()), ["a", "b", "e"]);
    assert_eq!(names(&bench.tick()), ["a", "e"]);
    assert!(bench.ledger.with(|books| books.collectors.iter().all(|entry| entry.missed == 0)));
}

#[test]
fn sections_stand_in_the_order_that_was_given_and_who_comes_without_one_at_the_end() {
    let mut bench = Bench::new(BEGIN);
    for name in ["a", "b", "c"] {
        bench.add(name, 1_000, &[]);
    }
    bench.start();
    let come = vec![bench.comer(3, "d", 1_000, &[])];
    bench.change(Change { leave: vec![1], come, order: vec![3, 2, 0], ..Change::default() });
    bench.rest();
    let tick = bench.tick();
    assert_eq!((names(&tick), &*tick.roster), (vec!["d", "c", "a"], &[3, 2, 0][..]));
    bench.change(Change { come: vec![bench.comer(1, "e", 1_000, &[])], ..Change::default() });
    bench.rest();
    assert_eq!(names(&bench.tick()), ["d", "c", "a", "e"]);
    let orders = bench.ledger.with(|books| books.collectors.iter().map(|entry| entry.order).collect::<Vec<_>>());
    assert!(orders[3] < orders[2] && orders[2] < orders[0] && orders[0] < orders[1], "{orders:?}");
}

#[test]
fn new_labels_stand_in_the_next_snapshot_and_run_and_sequence_go_on() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    let run = bench.start().identity.run.clone();
    lock(&bench.emitted).clear();
    let labels = vec![("site".to_owned(), "b".to_owned())];
    let events = vec![Event { cause: Some("reloaded".into()), ..Event::new(EventKind::Start) }];
    let labelled = Some((Some("other".to_owned()), labels.clone()));
    bench.change(Change { labels: labelled, events, ..Change::default() });
    let next = bench.rest();
    let identity = &next.identity;
    assert_eq!((identity.host.as_deref(), &identity.labels, &identity.run), (Some("other"), &labels, &run));
    assert_eq!((next.sequence, next.events[0].cause.as_deref()), (1, Some("reloaded")));
}

#[test]
fn change_that_does_not_fit_is_refused_and_nothing_of_it_is_made() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    let whole = |bench: &Bench, come| Change {
        leave: vec![0],
        come: vec![bench.comer(1, "b", 1_000, &[]), come],
        ..Change::default()
    };
    let child = || {
        let home = Home::Child(Box::new(|| Err("a test".into())));
        let recruit = recruit(MANIFEST, "c", 1_000, Duration::from_secs(1), ample(), home);
        Comer { place: 2, recruit, replaces: None, event: None }
    };
    let misfits = [
        // One that is left by it, the one of another, beyond the end; one that stays cannot be replaced; nobody keeps children.
        whole(&bench, bench.comer(0, "c", 1_000, &[])),
        whole(&bench, bench.comer(1, "c", 1_000, &[])),
        whole(&bench, bench.comer(3, "c", 1_000, &[])),
        whole(&bench, Comer { replaces: Some(1), ..bench.comer(2, "c", 1_000, &[]) }),
        whole(&bench, child()),
        Change { leave: vec![0, 0], ..Change::default() },
        Change { leave: vec![1], ..Change::default() },
        Change { leave: vec![0], retime: vec![(0, every(1), Duration::ZERO)], ..Change::default() },
        Change { leave: vec![0], order: vec![0], ..Change::default() },
    ];
    for misfit in misfits {
        let posted = bench.post(misfit, FOREVER);
        assert_eq!(names(&bench.tick()), ["a"]);
        assert!(matches!(posted.join().unwrap(), Err(Unanswered::Misfit(_))));
    }
    assert_eq!(bench.schedule.members.len(), 1);
}

#[test]
fn change_that_nobody_takes_is_taken_back() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    // Long enough for the tick to be hurried.
    let patience = Duration::from_millis(1_100);
    let posted = bench.post(Change { leave: vec![0], ..Change::default() }, patience);
    assert_eq!(posted.join().unwrap().err(), Some(Unanswered::Late(patience)));
    assert_eq!(names(&bench.tick()), ["a"]);
    // Nobody is in a hurry any more.
    assert!(bench.answers.collect(Duration::from_nanos(1), &mut super::super::far::Arrivals::default()));
    bench.change(Change { come: vec![bench.comer(1, "b", 1_000, &[])], ..Change::default() });
    assert_eq!(names(&bench.rest()), ["b"]);
}

#[test]
fn change_in_a_long_gathering_is_made_after_a_second_and_who_is_out_comes_with_the_next_snapshot() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.add_timed("slow", 600_000, FOREVER / 2, &[Step::Count(1), Step::Count(2)], false);
    bench.start();
    bench.schedule.members[0].next_due = Wall(u64::MAX);
    assert!(bench.schedule.sleep());
    let call = bench.hang();
    let posted = bench.post(Change { come: vec![bench.comer(2, "b", 1_000, &[])], ..Change::default() }, FOREVER);
    // As it stands still by the clock of the bench, it would wait for minutes.
    let pending = bench.leave();
    assert_eq!(section(&pending, "slow").status, Status::Pending);
    bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    assert!(bench.schedule.sleep());
    posted.join().unwrap().map(drop).unwrap();
    let next = bench.rest();
    assert_eq!((names(&next), count(section(&next, "slow"))), (vec!["slow", "b"], Some(2)));
    // The hurry is over with the change.
    assert!(bench.answers.collect(Duration::from_nanos(1), &mut super::super::far::Arrivals::default()));
}

#[test]
fn end_while_a_change_waits_is_told_and_whoever_comes_later_is_told_at_once() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    let first = bench.post(Change { leave: vec![0], ..Change::default() }, FOREVER);
    let changes = bench.changes.clone();
    let second = thread::spawn(move || changes.make(Change::default(), FOREVER));
    bench.schedule.close();
    assert_eq!(first.join().unwrap().err(), Some(Unanswered::Ended));
    assert_eq!(second.join().unwrap().err(), Some(Unanswered::Ended));
    assert!(!bench.changes.is_well(FOREVER, FOREVER));
    drop(bench.schedule);
    assert_eq!(bench.changes.make(Change::default(), FOREVER).err(), Some(Unanswered::Ended));
}

#[test]
fn changes_are_made_one_after_the_other() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    let first = bench.post(Change { come: vec![bench.comer(1, "b", 1_000, &[])], ..Change::default() }, FOREVER);
    let (changes, come) = (bench.changes.clone(), vec![bench.comer(2, "c", 1_000, &[])]);
    let second = thread::spawn(move || changes.make(Change { come, ..Change::default() }, FOREVER));
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(
            bench.tick().sections.iter().filter(|section| section.window.is_none()).map(|it| it.name.to_string()),
        );
        told.retain(|name| name != "a");
    }
    assert_eq!(told[0], "b");
    first.join().unwrap().map(drop).unwrap();
    second.join().unwrap().map(drop).unwrap();
}

#[test]
fn collection_is_well_in_a_tick_before_its_cut_off_and_when_it_answers_and_not_when_it_is_late_or_silent() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    let (soon, second) = (Duration::from_millis(20), Duration::from_secs(1));
    assert!(!bench.changes.is_well(soon, second), "nobody looks");
    let asks = |bench: &Bench| {
        let changes = bench.changes.clone();
        bench.clock.called.store(false, Ordering::Release);
        let asker = thread::spawn(move || changes.is_well(FOREVER, second));
        while !bench.clock.called.load(Ordering::Acquire) {
            thread::yield_now();
        }
        asker
    };
    let asked = asks(&bench);
    assert!(bench.schedule.sleep());
    assert!(asked.join().unwrap());
    assert!(bench.changes.is_well(Duration::ZERO, Duration::ZERO), "it is in a tick");
    bench.clock.advance(950 * MS);
    assert!(!bench.changes.is_well(soon, second), "that tick should have ended");
    bench.rest();
    // It looks, but what was due then has not begun.
    bench.clock.advance(5_000 * MS);
    let asked = asks(&bench);
    assert!(bench.clock.called.swap(false, Ordering::AcqRel) && !bench.schedule.called());
    assert!(!asked.join().unwrap());
}
