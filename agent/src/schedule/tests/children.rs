//! Collectors in children: the other end of a socket pair plays the child, the test is its keeper.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::{Cell, ErrorKind, Tag};

use super::super::ledger::{Entry, Place};
use super::super::member::Verdict;
use super::*;
use crate::child::keep::{Life, News, Orders};
use crate::child::{Line, Taken, wire};
use crate::record::What;

/// A bench with collectors in children.
struct Far {
    bench: Bench,
    orders: Orders,
    lives: u64,
    /// What was to be taken down of those that may move.
    verdicts: Arc<Mutex<Vec<Result<(), What>>>>,
}

/// One life of a child.
struct Child {
    socket: UnixStream,
    clock: Arc<Manual>,
    has_answered: bool,
}

impl Far {
    /// One collector, every second, which is in a child for good.
    fn one() -> Far {
        Far::of(1, Duration::from_millis(800))
    }

    fn of(count: usize, timeout: Duration) -> Far {
        let mut far = Far::new();
        for number in 0..count {
            far.bench.enlist(&format!("c{number}"), 1_000, timeout, Allowance::default(), Home::Child(nothing()));
        }
        far.begun()
    }

    /// One that may move into the agent, where it does these things.
    fn auto(allowance: Allowance, steps: &[Step]) -> Far {
        let mut far = Far::new();
        let into = Arc::clone(&far.verdicts);
        let verdict: Verdict = Arc::new(move |verdict| {
            lock(&into).push(verdict);
            Ok(())
        });
        let home = Home::Either { maker: far.bench.maker(steps, false), starter: nothing(), settled: false, verdict };
        far.bench.enlist("c0", 1_000, Duration::from_millis(800), allowance, home);
        far.begun()
    }

    fn new() -> Far {
        Far { bench: Bench::new(BEGIN), orders: Orders::unheard(), lives: 0, verdicts: Arc::default() }
    }

    /// A change is made before the next tick, which begins.
    fn change(&mut self, change: Change) {
        drop(self.bench.change(change));
    }

    fn begun(mut self) -> Far {
        self.bench.schedule.keep(self.orders.clone());
        assert!(self.orders.given().iter().all(|order| order.starts_with("begin")));
        self
    }

    /// The keeper has started a child.
    fn up(&mut self, place: usize) -> Child {
        self.up_of(place, place as u64)
    }

    fn up_of(&mut self, place: usize, tenant: u64) -> Child {
        let (socket, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.lives += 1;
        let line = Line::new(socket.into(), Limits::default());
        self.bench.answers.tell(News::Up { place, tenant, line, life: Arc::new(Life::of(self.lives)) });
        Child { socket: theirs, clock: Arc::clone(&self.bench.clock), has_answered: false }
    }

    /// The keeper has buried one, and starts another one after this wait.
    fn down(&self, cause: &str, again: Option<u64>) {
        let again = again.map(Duration::from_millis);
        self.bench.answers.tell(News::Down { place: 0, tenant: 0, cause: cause.into(), again, deaths: 1 });
    }

    /// What has come is taken in.
    fn take_in(&mut self) {
        while self.bench.schedule.take_answers(Duration::ZERO).0 {}
    }

    /// The start, at which the first child of the only collector says this.
    fn start(&mut self, count: u64) -> Child {
        let mut child = self.up(0);
        self.bench.schedule.start();
        self.take_in();
        child.answers(count);
        assert_eq!(self.bench.rest().sections[0].status, Status::Ok);
        child
    }

    /// The next tick begins; an answer can come before the snapshot leaves.
    fn begin(&mut self) {
        assert!(self.bench.schedule.sleep());
    }

    /// The tick runs out of its time.
    fn run_out(&mut self) -> Arc<Snapshot> {
        self.bench.clock.advance(900 * MS);
        self.bench.leave()
    }

    fn books(&self) -> Entry {
        self.bench.ledger.with(|books| books.collectors[0].clone())
    }

    /// Ten good readings, and it is loaded into the agent.
    fn settle(&mut self) {
        let mut child = self.start(1);
        for count in 2..=10 {
            self.begin();
            child.answers(count);
            assert_eq!(self.bench.rest().sections[0].status, Status::Ok);
        }
        assert_eq!(self.orders.given(), ["do"]);
        assert_eq!(*lock(&self.verdicts), [Ok(())]);
        let moved = self.bench.tick();
        assert_eq!(self.orders.given(), ["leave 0"]);
        assert_eq!(kinds(&moved), [EventKind::Moved]);
        assert_eq!((moved.sections[0].status, rate(&moved.sections[0])), (Status::Ok, None));
    }

    /// It was in the agent and is in a child again.
    fn is_thrown_out(&mut self, why: What) {
        assert_eq!(self.orders.given(), ["begin 0", "do"]);
        assert_eq!(*lock(&self.verdicts), [Ok(()), Err(why)]);
        assert_eq!(self.books().place, Place::Child);
        let mut child = self.up(0);
        self.begin();
        child.answers(9);
        let next = self.bench.rest();
        assert_eq!((next.sections[0].status, count(&next.sections[0])), (Status::Ok, Some(9)));
        assert_eq!(rate(&next.sections[0]), None);
    }
}

impl Child {
    /// The number of the request that waits for it.
    fn asked(&mut self) -> Option<u64> {
        let mut request = wire::request(wire::Request { number: 0, time_left: Duration::ZERO });
        self.socket.read_exact(&mut request).ok()?;
        Some(wire::request_from(request).unwrap().number)
    }

    fn answers(&mut self, count: u64) {
        let mut frame = Frame::new(Limits::default());
        frame.receive(&[Cell { tag: Tag::U64, aux: 0, bits: count }, Cell::NULL], &[], &[], b"");
        self.sends(&frame);
    }

    fn refuses(&mut self, kind: ErrorKind) {
        let mut frame = Frame::new(Limits::default());
        frame.fail(kind, "no sensor here");
        self.sends(&frame);
    }

    fn sends(&mut self, frame: &Frame) {
        let number = self.asked().expect("it is asked");
        let made = !std::mem::replace(&mut self.has_answered, true);
        let taken = Taken { at: self.clock.wall(), at_mono: self.clock.mono(), made, ..Taken::default() };
        let mut message = Vec::new();
        wire::reading_into(&mut message, number, &taken, frame);
        self.socket.write_all(&message).unwrap();
    }
}

fn nothing() -> crate::child::keep::Starter {
    Box::new(|| Err("a test".into()))
}

#[test]
fn child_is_asked_at_the_tick_and_what_it_says_stands_in_it() {
    let mut far = Far::one();
    let mut child = far.start(100);
    far.begin();
    child.answers(300);
    let second = far.bench.rest();
    let it = &second.sections[0];
    assert_eq!((it.status, count(it), rate(it)), (Status::Ok, Some(300), Some(200.0)));
    assert_eq!((far.books().calls, far.books().restarts), (2, 0));
    assert_eq!(far.orders.given(), [""; 0]);
}

#[test]
fn child_that_is_up_after_the_tick_began_is_asked_then() {
    let mut far = Far::one();
    far.bench.schedule.start();
    let mut child = far.up(0);
    assert_eq!(child.asked(), None);
    far.take_in();
    child.answers(1);
    assert_eq!(far.bench.rest().sections[0].status, Status::Ok);
}

#[test]
fn child_that_is_up_after_its_timeout_is_not_asked_before_the_next_tick() {
    let mut far = Far::one();
    far.bench.schedule.start();
    assert_eq!(far.run_out().sections[0].status, Status::Timeout);
    let mut child = far.up(0);
    far.take_in();
    assert_eq!(child.asked(), None);
    far.begin();
    child.answers(1);
    assert_eq!(far.bench.rest().sections[0].status, Status::Ok);
    assert_eq!(far.books().timeouts, 1);
}

#[test]
fn child_that_is_up_at_the_next_tick_is_asked_at_it_and_not_given_up_there() {
    let mut far = Far::of(1, Duration::from_millis(2_000));
    far.bench.schedule.start();
    assert_eq!(far.run_out().sections[0].status, Status::Pending);
    let mut child = far.up(0);
    far.begin();
    child.answers(1);
    assert_eq!(far.bench.rest().sections[0].status, Status::Ok);
    assert_eq!(far.orders.given(), Vec::<String>::new());
}

#[test]
fn answer_after_the_cut_off_goes_with_the_next_snapshot() {
    let mut far = Far::of(1, Duration::from_millis(950));
    let mut child = far.start(1);
    far.begin();
    assert_eq!(far.run_out().sections[0].status, Status::Pending);
    child.answers(2);
    far.begin();
    let next = far.run_out();
    assert_eq!((next.sections[0].status, count(&next.sections[0])), (Status::Ok, Some(2)));
    assert_eq!((far.books().timeouts, far.books().dropped, far.orders.given()), (0, 0, Vec::new()));
}

#[test]
fn answer_after_its_timeout_is_counted_and_dropped_and_the_child_lives() {
    let mut far = Far::one();
    let mut child = far.start(1);
    far.begin();
    let late = far.run_out();
    assert_eq!((late.sections[0].status, &*late.sections[0].error), (Status::Timeout, "no answer for 800ms"));
    assert_eq!(far.orders.given(), ["watch 0, life 1"]);
    child.answers(2);
    far.begin();
    assert_eq!((far.books().timeouts, far.books().dropped), (1, 1));
    child.answers(5);
    let next = far.bench.rest();
    assert_eq!((rate(&next.sections[0]), far.orders.given()), (Some(2.0), Vec::new()));
}

#[test]
fn child_that_has_not_answered_is_killed_at_its_next_tick_and_the_next_life_is_asked_in_it() {
    let mut far = Far::one();
    let mut child = far.start(1);
    far.begin();
    assert_eq!(child.asked(), Some(2));
    far.run_out();
    far.begin();
    let orders = far.orders.given();
    assert_eq!(orders[1], "kill 0, life 1: killed, as it had not answered by its next tick: no answer for 800ms");
    far.down("killed", Some(0));
    let mut next = far.up(0);
    far.take_in();
    next.answers(7);
    let tick = far.bench.rest();
    assert_eq!((tick.sections[0].status, count(&tick.sections[0])), (Status::Ok, Some(7)));
    assert_eq!(kinds(&tick), [EventKind::Restart]);
    assert_eq!((far.books().timeouts, far.books().restarts), (1, 1));
}

#[test]
fn death_in_a_call_is_a_failure_and_says_why() {
    let mut far = Far::one();
    let child = far.start(1);
    far.begin();
    drop(child);
    far.down("the child died: signal: 11", Some(0));
    let tick = far.bench.rest();
    let it = &tick.sections[0];
    assert_eq!((it.status, &*it.error, it.at), (Status::Failed, "the child died: signal: 11", Some(tick.timestamp)));
    assert_eq!(far.books().restarts, 1);
}

#[test]
fn death_between_two_calls_is_an_event_and_no_failure() {
    let mut far = Far::one();
    drop(far.start(1));
    far.down("the child died: signal: 9", Some(0));
    let mut child = far.up(0);
    far.begin();
    child.answers(2);
    let tick = far.bench.rest();
    assert_eq!((tick.sections[0].status, kinds(&tick)), (Status::Ok, vec![EventKind::Restart]));
    assert_eq!(tick.events[0].cause.as_deref(), Some("the child died: signal: 9"));
}

#[test]
fn what_a_child_said_before_it_died_counts() {
    let mut far = Far::one();
    let mut child = far.start(1);
    far.begin();
    child.answers(2);
    drop(child);
    far.down("the child died: exit status: 0", Some(0));
    let tick = far.bench.rest();
    assert_eq!((tick.sections[0].status, count(&tick.sections[0])), (Status::Ok, Some(2)));
}

#[test]
fn child_that_waits_to_be_started_again_backs_off() {
    let mut far = Far::one();
    drop(far.start(1));
    far.down("crash", Some(500));
    let (first, second) = (far.bench.tick(), far.bench.tick());
    for tick in [&first, &second] {
        let it = &tick.sections[0];
        assert_eq!((it.status, &*it.error, it.since), (Status::Backoff, "crash", Some(Wall(BEGIN + 1_000 * MS))));
    }
    let mut child = far.up(0);
    far.begin();
    child.answers(2);
    assert_eq!(far.bench.rest().sections[0].status, Status::Ok);
}

#[test]
fn child_that_dies_too_often_is_quarantined() {
    let mut far = Far::one();
    drop(far.start(1));
    far.down("crash", None);
    let tick = far.bench.tick();
    assert_eq!(kinds(&tick), [EventKind::Restart, EventKind::Quarantined]);
    let it = &tick.sections[0];
    assert_eq!((it.status, &*it.error), (Status::Quarantined, "its child died too often, the last time: crash"));
    assert_eq!(far.orders.given(), ["leave 0"]);
}

#[test]
fn counters_of_a_new_life_begin_anew_once() {
    let mut far = Far::one();
    drop(far.start(1_000));
    far.down("crash", Some(0));
    let mut child = far.up(0);
    let rates: Vec<_> = [5, 9, 10]
        .into_iter()
        .map(|count| {
            far.begin();
            child.answers(count);
            rate(&far.bench.rest().sections[0])
        })
        .collect();
    assert_eq!(rates, [None, Some(4.0), Some(1.0)]);
}

#[test]
fn garbage_ends_the_child() {
    let mut far = Far::one();
    let mut child = far.start(1);
    far.begin();
    child.socket.write_all(&[255; 8]).unwrap();
    far.take_in();
    let orders = far.orders.given();
    assert!(orders[0].starts_with("kill 0, life 1: killed, as it sent garbage: a message of kind"), "{orders:?}");
    child.socket.set_nonblocking(false).unwrap();
    let mut left = Vec::new();
    child.socket.read_to_end(&mut left).unwrap();
    far.down("killed, as it sent garbage", Some(0));
    assert_eq!(&*far.bench.rest().sections[0].error, "killed, as it sent garbage");
}

#[test]
fn child_that_closed_its_line_and_lives_on_is_killed_when_it_is_due() {
    let mut far = Far::one();
    drop(far.start(1));
    far.take_in();
    assert_eq!(far.orders.given(), [""; 0]);
    far.begin();
    assert_eq!(far.orders.given(), ["kill 0, life 1: killed, as it had closed its line"]);
    far.down("killed", Some(0));
    let mut next = far.up(0);
    far.take_in();
    next.answers(2);
    assert_eq!(far.bench.rest().sections[0].status, Status::Ok);
}

#[test]
fn child_that_closed_its_line_in_a_call_is_watched() {
    let mut far = Far::one();
    let child = far.start(1);
    far.begin();
    drop(child);
    far.take_in();
    assert_eq!(far.run_out().sections[0].status, Status::Timeout);
    assert_eq!(far.orders.given(), ["watch 0, life 1"]);
}

#[test]
fn any_number_of_children_that_answered_between_two_ticks_is_heard() {
    let count = 150;
    let mut far = Far::of(count, Duration::from_millis(950));
    let mut children: Vec<_> = (0..count).map(|place| far.up(place)).collect();
    far.bench.schedule.start();
    far.take_in();
    far.run_out();
    children.iter_mut().for_each(|child| child.answers(1));
    far.begin();
    assert_eq!(far.orders.given(), [""; 0]);
    assert!(far.run_out().sections.iter().all(|section| section.status == Status::Ok));
}

#[test]
fn deaths_while_nobody_looked_are_one_event_and_only_the_last_life_holds_a_descriptor() {
    let mut far = Far::one();
    drop(far.start(1));
    let mut unseen = Vec::new();
    for _ in 0..1_000 {
        far.down("crash", Some(4_000));
        unseen.push(far.up(0));
    }
    // Whose other end is closed reads its end.
    let open = unseen.iter().filter(|child| (&child.socket).read(&mut [0]).is_err()).count();
    assert_eq!(open, 1);
    far.begin();
    unseen.last_mut().unwrap().answers(3);
    let tick = far.bench.rest();
    assert_eq!((tick.sections[0].status, count(&tick.sections[0])), (Status::Ok, Some(3)));
    assert_eq!((kinds(&tick), tick.events[0].count), (vec![EventKind::Restart], Some(1_000)));
    assert_eq!(far.books().restarts, 1_000);
}

#[test]
fn ten_good_readings_bring_a_collector_into_the_agent() {
    let mut far = Far::auto(Allowance::default(), &[Step::Count(50), Step::Count(60)]);
    far.settle();
    assert_eq!(rate(&far.bench.tick().sections[0]), Some(10.0));
    assert_eq!(far.books().place, Place::Agent);
}

#[test]
fn collector_with_nothing_to_measure_has_not_shown_itself() {
    let mut far = Far::auto(Allowance::default(), &[]);
    let mut child = far.start(1);
    for _ in 0..3_000 {
        far.begin();
        // It is asked seldom.
        if far.bench.schedule.members[0].away.is_some() {
            child.refuses(ErrorKind::UNAVAILABLE);
        }
        assert_eq!(far.bench.rest().sections[0].status, Status::Unavailable);
    }
    assert_eq!(far.orders.given(), [""; 0]);
}

#[test]
fn panic_in_the_agent_brings_a_collector_into_a_child() {
    let mut far = Far::auto(Allowance::default(), &[Step::Count(50), Step::Panics]);
    far.settle();
    let tick = far.bench.tick();
    assert_eq!((tick.sections[0].status, &*tick.sections[0].error), (Status::Failed, "panicked: mock"));
    far.is_thrown_out(What::Panicked);
}

#[test]
fn broken_budget_in_the_agent_brings_a_collector_into_a_child() {
    // Its CPU time is measured after a call that took longer than this.
    let allowance = Allowance { cpu: Duration::from_nanos(1), ..Allowance::default() };
    let mut far = Far::auto(allowance, &[Step::Takes(MS, 50)]);
    far.settle();
    assert_eq!(far.bench.tick().sections[0].status, Status::Partial);
    far.is_thrown_out(What::BrokeBudget);
    assert_eq!(far.books().over_budget, 1);
}

#[test]
fn hang_in_the_agent_brings_a_collector_into_a_child_and_what_comes_back_is_nobodys() {
    let mut far = Far::auto(Allowance::default(), &[]);
    far.settle();
    far.begin();
    let hung = far.bench.hang();
    assert_eq!(far.run_out().sections[0].status, Status::Timeout);
    far.is_thrown_out(What::Hung);
    assert_eq!(far.bench.schedule.abandoned, 1);
    far.bench.answers.hand_in(hung.run(&Slots::nowhere().slot()));
    far.take_in();
    assert_eq!((far.bench.schedule.abandoned, far.books().timeouts, far.books().dropped), (0, 1, 0));
}

#[test]
fn death_of_a_child_that_was_let_go_of_is_nothing_to_the_call_in_the_agent() {
    let mut far = Far::auto(Allowance::default(), &[Step::Count(50), Step::Count(60), Step::Count(70)]);
    far.settle();
    far.begin();
    let slow = far.bench.hang();
    far.down("it crashed just before", Some(500));
    far.take_in();
    far.bench.answers.hand_in(slow.run(&Slots::nowhere().slot()));
    let tick = far.bench.rest();
    assert_eq!((tick.sections[0].status, count(&tick.sections[0])), (Status::Ok, Some(60)));
    assert_eq!(far.books().restarts, 0);
    far.begin();
    let call = far.bench.schedule.members[0].mailbox.next().unwrap();
    far.bench.answers.hand_in(call.run(&Slots::nowhere().slot()));
    assert_eq!(count(&far.bench.rest().sections[0]), Some(70));
}

#[test]
fn end_is_told_to_the_keeper_before_a_line_is_closed() {
    let mut far = Far::one();
    let child = far.start(1);
    far.bench.schedule.close();
    assert_eq!(far.orders.given(), ["close"]);
    let open = (&child.socket).read(&mut [0]).unwrap_err();
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
}

/// One that is in a child for good.
fn in_a_child(place: usize, replaces: Option<usize>) -> Comer {
    let home = Home::Child(nothing());
    let recruit = recruit(MANIFEST, "c0", 1_000, Duration::from_millis(800), Allowance::default(), home);
    Comer { place, recruit, replaces, event: None }
}

#[test]
fn child_of_a_leaver_is_dismissed_before_its_line_is_closed_and_nothing_that_is_told_of_it_later_is_heard() {
    let mut far = Far::of(2, Duration::from_millis(800));
    let (mut child, mut stays) = (far.up(0), far.up(1));
    far.bench.schedule.start();
    far.take_in();
    child.answers(1);
    stays.answers(1);
    far.bench.rest();
    far.change(Change { leave: vec![0], ..Change::default() });
    assert_eq!(far.orders.given(), ["dismiss 0"]);
    assert!(matches!((&child.socket).read(&mut [0]), Ok(0)), "its line is closed");
    // A life that began, and its end, were on their way.
    let unheard = far.up(0);
    far.down("it was killed", None);
    stays.answers(2);
    let tick = far.bench.rest();
    assert_eq!((names(&tick), rate(&tick.sections[0]), tick.events.len()), (vec!["c1"], Some(1.0), 0));
    assert!(matches!((&unheard.socket).read(&mut [0]), Ok(0)), "its line is closed");
    // Who has the place now has a child of its own, and a death of the one before is not its own.
    far.change(Change { come: vec![in_a_child(0, None)], ..Change::default() });
    assert_eq!(far.orders.given(), ["take 2 at 0", "begin 2"]);
    far.down("it was killed", Some(4_000));
    let mut child = far.up_of(0, 2);
    far.take_in();
    child.answers(5);
    let own = far.bench.rest();
    assert_eq!((names(&own), count(&own.sections[0]), own.events.len()), (vec!["c0"], Some(5), 0));
    assert_eq!(far.books().restarts, 0);
}

#[test]
fn leaver_whose_child_is_asked_leaves_no_call_behind() {
    let mut far = Far::one();
    let mut child = far.start(1);
    far.begin();
    assert_eq!(child.asked(), Some(2));
    far.run_out();
    assert_eq!(far.orders.given(), ["watch 0, life 1"]);
    let posted =
        far.bench.post(Change { leave: vec![0], come: vec![in_a_child(1, Some(0))], ..Change::default() }, FOREVER);
    far.begin();
    let applied = posted.join().unwrap().map(|applied| applied.vacant);
    assert_eq!((applied, far.bench.schedule.abandoned), (Ok(vec![0]), 0));
    assert_eq!(far.orders.given(), ["dismiss 0", "take 1 at 1", "begin 1"]);
    let mut next = far.up_of(1, 1);
    far.take_in();
    next.answers(4);
    assert_eq!(count(&far.bench.rest().sections[0]), Some(4));
}

#[test]
fn keeper_may_come_with_the_first_collector_that_needs_one() {
    let mut far = Far::new();
    far.bench.add("a", 10_000, &[]);
    far.bench.start();
    far.change(Change { come: vec![in_a_child(1, None)], keeper: Some(far.orders.clone()), ..Change::default() });
    assert_eq!(far.orders.given(), ["take 1 at 1", "begin 1"]);
    let mut child = far.up(1);
    far.take_in();
    child.answers(3);
    assert_eq!(count(&far.bench.rest().sections[0]), Some(3));
}

#[test]
fn verdict_on_a_leaver_settles_nobody_and_loads_nothing() {
    let mut far = Far::auto(Allowance::default(), &[]);
    far.bench.add("b", 10_000, &[]);
    let mut child = far.start(1);
    for count in 2..=10 {
        far.begin();
        child.answers(count);
        far.bench.rest();
    }
    // It is still to be carried out when the collector leaves.
    far.change(Change { leave: vec![0], ..Change::default() });
    assert_eq!(far.orders.given(), ["do", "dismiss 0"]);
    assert_eq!(*lock(&far.verdicts), []);
    far.bench.rest();
    // One that was carried out in time is told too late.
    far.change(Change { come: vec![in_a_child(0, None)], ..Change::default() });
    far.bench.answers.tell(News::Settled { place: 0, tenant: 0 });
    far.take_in();
    assert!(!far.bench.schedule.members[0].child.settles);
}

#[test]
fn collector_that_left_after_it_hung_in_the_agent_and_moved_into_a_child_keeps_its_place_until_it_is_back() {
    let mut far = Far::auto(Allowance::default(), &[]);
    far.settle();
    far.begin();
    let hung = far.bench.hang();
    assert_eq!(far.run_out().sections[0].status, Status::Timeout);
    far.is_thrown_out(What::Hung);
    let come = Comer { replaces: Some(0), ..far.bench.comer(1, "b", 1_000, &[]) };
    let applied = far.bench.change(Change { leave: vec![0], come: vec![come], ..Change::default() });
    assert_eq!((applied.vacant.len(), far.bench.schedule.abandoned), (0, 1));
    far.bench.answers.hand_in(hung.run(&Slots::nowhere().slot()));
    far.bench.rest();
    let applied = far.bench.change(Change::default());
    assert_eq!((applied.vacant, far.bench.schedule.abandoned), (vec![0], 0));
}
