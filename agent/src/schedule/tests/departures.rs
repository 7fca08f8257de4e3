//! What is left of a collector that has left: nothing that anybody could take for another's.

use super::*;

/// The count stands behind another metric, which nobody sets.
const OTHER: &str = r#"contract = "1.0"
[plugin]
name = "other"
description = "another schema"
[metrics.first]
type = "text"
kind = "info"
description = "not set"
[metrics.second]
type = "text"
kind = "info"
description = "not set either"
[metrics.count]
type = "u64"
kind = "counter"
unit = "1"
description = "what the script says"
"#;

/// One of the other schema.
fn other(bench: &Bench, place: usize, name: &str, steps: &[Step]) -> Comer {
    let home = Home::Agent(bench.maker_of(OTHER, steps, false));
    let recruit = recruit(OTHER, name, 1_000, Duration::from_millis(800), ample(), home);
    Comer { place, recruit, replaces: None, event: None }
}

fn leave(place: usize) -> Change {
    Change { leave: vec![place], ..Change::default() }
}

fn free(bench: &Bench) -> Vec<(bool, bool)> {
    bench.ledger.with(|books| books.collectors.iter().map(|entry| (entry.vacant, entry.busy)).collect())
}

#[test]
fn collector_that_leaves_is_handed_back_and_its_place_is_vacant() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.add("b", 1_000, &[]);
    bench.start();
    let applied = bench.change(leave(0));
    assert_eq!((applied.left.len(), applied.vacant), (1, vec![0]));
    assert_eq!(names(&bench.rest()), ["b"]);
    assert_eq!(free(&bench), [(true, false), (false, false)]);
}

#[test]
fn schedule_without_collectors_sleeps_until_somebody_comes() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[]);
    bench.start();
    let posted = bench.post(leave(0), FOREVER);
    assert!(bench.clock.called.swap(false, Ordering::AcqRel) && !bench.schedule.called());
    posted.join().unwrap().map(drop).unwrap();
    bench.change(Change { come: vec![bench.comer(0, "b", 1_000, &[])], ..Change::default() });
    assert_eq!(names(&bench.rest()), ["b"]);
    assert_eq!(names(&bench.tick()), ["b"]);
}

#[test]
fn place_is_used_again_by_another_schema_and_nothing_of_the_first_is_in_its_sections() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(1), Step::Count(2), Step::Count(3)]);
    bench.add("b", 1_000, &[]);
    bench.start();
    bench.tick();
    // Readers hold some of its sections, and let go of others.
    lock(&bench.emitted).remove(0);
    bench.change(leave(0));
    bench.rest();
    bench.change(Change { come: vec![other(&bench, 0, "c", &[Step::Count(7), Step::Count(8)])], ..Change::default() });
    let first = bench.rest();
    let c = section(&first, "c");
    assert_eq!((c.place, c.frame.cells().len(), c.frame.cells()[2].as_u64(), c.window), (0, 3, Some(7), None));
    assert!(c.frame.cells()[0].is_null());
    lock(&bench.emitted).clear();
    let next = bench.tick();
    assert_eq!((names(&next), section(&next, "c").frame.cells()[2].as_u64()), (vec!["b", "c"], Some(8)));
    assert_eq!(bench.ledger.with(|books| books.collectors[0].calls), 2);
}

#[test]
fn leaver_whose_call_is_out_disturbs_nobody_and_its_place_is_vacant_when_it_is_back() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(1), Step::Count(2)]);
    bench.add("b", 1_000, &[]);
    bench.start();
    assert!(bench.schedule.sleep());
    let call = bench.hang();
    bench.call_all();
    bench.clock.advance(850 * MS);
    assert_eq!(section(&bench.leave(), "a").status, Status::Timeout);
    let come = Comer { replaces: Some(0), ..other(&bench, 2, "a", &[Step::Count(9)]) };
    let applied = bench.change(Change { leave: vec![0], come: vec![come], ..Change::default() });
    assert_eq!((applied.vacant.len(), applied.left.len(), bench.schedule.abandoned), (0, 0, 1));
    assert_eq!(free(&bench)[0], (true, true));
    let next = bench.rest();
    assert_eq!((names(&next), section(&next, "a").frame.cells()[2].as_u64()), (vec!["b", "a"], Some(9)));
    let posted = bench.post(Change { come: vec![bench.comer(0, "c", 1_000, &[])], ..Change::default() }, FOREVER);
    bench.tick();
    assert!(matches!(posted.join().unwrap(), Err(Unanswered::Misfit(_))), "its place is not free");
    bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    let next = bench.tick();
    assert_eq!((names(&next), bench.schedule.abandoned, free(&bench)[0]), (vec!["b", "a"], 0, (true, false)));
    let applied = bench.change(Change { come: vec![bench.comer(0, "c", 1_000, &[])], ..Change::default() });
    assert!(applied.vacant.is_empty());
    assert_eq!(names(&bench.rest()), ["c"]);
}

#[test]
fn thread_of_a_leaver_ends_and_a_call_that_it_had_not_begun_is_handed_back() {
    let mut bench = Bench::new(BEGIN);
    bench.add_timed("a", 1_000, Duration::from_secs(2), &[], false);
    bench.add("b", 1_000, &[]);
    bench.start();
    assert!(bench.schedule.sleep());
    let call = bench.hang();
    bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    bench.rest();
    // Nobody takes this call.
    assert!(bench.schedule.sleep());
    bench.call_all();
    bench.clock.advance(900 * MS);
    assert_eq!(section(&bench.leave(), "a").status, Status::Pending);
    let mailbox = Arc::clone(&bench.schedule.members[0].mailbox);
    let applied = bench.change(leave(0));
    assert_eq!((applied.left.len(), applied.vacant, bench.schedule.abandoned), (1, vec![0], 0));
    assert!(mailbox.next().is_none() && mailbox.is_closed());
    assert_eq!(names(&bench.rest()), ["b"]);
}

#[test]
fn reading_of_a_leaver_that_came_between_two_ticks_is_not_told() {
    let mut bench = Bench::new(BEGIN);
    bench.add_timed("a", 1_000, Duration::from_secs(2), &[], false);
    bench.add("b", 1_000, &[]);
    bench.start();
    assert!(bench.schedule.sleep());
    let call = bench.hang();
    bench.call_all();
    bench.clock.advance(900 * MS);
    bench.leave();
    bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    while bench.schedule.take_answers(Duration::ZERO).0 {}
    assert!(bench.schedule.members[0].late.is_some());
    let applied = bench.change(leave(0));
    assert_eq!((applied.left.len(), applied.vacant), (1, vec![0]));
    assert_eq!(names(&bench.rest()), ["b"]);
}

#[test]
fn what_went_wrong_last_stays_in_the_books_and_leaves_them_with_the_collector() {
    let mut bench = Bench::new(BEGIN);
    bench.add("a", 1_000, &[Step::Count(0), Step::Fails("no 1"), Step::Fails("no 2"), Step::Takes(3 * MS, 1)]);
    bench.start();
    (0..3).for_each(|_| drop(bench.tick()));
    let entry = bench.ledger.with(|books| books.collectors[0].clone());
    assert_eq!((&*entry.error, entry.since, entry.status), ("no 1", Wall(BEGIN + 1_000 * MS), Some(Status::Ok)));
    assert_eq!((entry.last, entry.quarantined), (Duration::from_millis(3), false));
    let come = Comer { replaces: Some(0), ..bench.comer(1, "a", 1_000, &[]) };
    bench.change(Change { leave: vec![0], come: vec![come], ..Change::default() });
    bench.change(Change { come: vec![bench.comer(0, "b", 1_000, &[])], ..Change::default() });
    let entry = bench.ledger.with(|books| books.collectors[0].clone());
    assert_eq!((&*entry.name, &*entry.error, entry.calls, entry.vacant), ("b", "", 0, false));
}
