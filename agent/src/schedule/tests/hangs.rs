//! Calls in the agent that take too long, or for ever.

use super::*;

#[test]
fn back_off_after_calls_that_were_pending_and_then_too_late_says_what_went_wrong() {
    let mut bench = Bench::new(BEGIN);
    let mut steps = vec![Step::Takes(960 * MS, 1); 3];
    steps.insert(0, Step::Count(0));
    bench.add_timed("a", 1_000, Duration::from_millis(950), &steps, false);
    bench.start();
    for round in 0..3 {
        assert!(bench.schedule.sleep());
        let call = if round == 0 { bench.hang() } else { bench.schedule.members[0].mailbox.next().unwrap() };
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
    bench.answers.hand_in(bench.schedule.members[0].mailbox.next().unwrap().run(&Slots::nowhere().slot()));
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
    let call = bench.schedule.members[0].mailbox.next().unwrap();
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
    let answers = Arc::clone(&bench.answers);
    std::thread::spawn(move || {
        super::super::far::serve(call.run(&Slots::nowhere().slot()), &answers, &Slots::nowhere().slot());
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
fn ninth_collector_to_hang_is_quarantined_when_its_time_has_run_out() {
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
fn ninth_collector_that_is_only_slow_goes_on() {
    let mut bench = Bench::new(BEGIN);
    for number in 0..9 {
        bench.add(&format!("c{number}"), 10_000, &[]);
    }
    bench.start();
    assert!(bench.schedule.sleep());
    let hung: Vec<_> = (0..8).map(|_| bench.hang()).collect();
    let slow = bench.hang();
    bench.answers.hand_in(slow.run(&Slots::nowhere().slot()));
    bench.clock.advance(1_500 * MS);
    assert_eq!(section(&bench.leave(), "c8").status, Status::Ok);
    assert!(bench.schedule.members[8].health.quarantined().is_none());
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
