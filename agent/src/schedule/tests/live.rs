//! Changes while the collection runs, by the clocks of this machine and in threads of its own.

use std::sync::mpsc;
use std::time::Instant;

use super::super::clock::{Stop, SystemClock};
use super::super::collect::Collection;
use super::*;

/// A collection whose one collector counts its calls, every 20 ms.
struct Live {
    collection: Collection,
    changes: Changes,
    stop: Stop,
    ledger: Arc<Ledger>,
    emitted: Arc<Mutex<Vec<Arc<Snapshot>>>>,
}

/// What a collector does in a call, which counts to this.
type Act = Arc<dyn Fn(u64) + Send + Sync>;

struct Acts {
    act: Act,
    calls: u64,
    count: ScalarId,
}

impl Collector for Acts {
    type Options = NoOptions;

    fn new(_: NoOptions, _: &Host, _: &mut Names) -> Result<Acts, Error> {
        Err(Error::failed("made by the tests"))
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        self.calls += 1;
        (self.act)(self.calls);
        out.set(self.count, self.calls);
        Ok(())
    }
}

fn acts(name: &str, interval_ms: u64, act: Act) -> Recruit {
    let declared = Arc::new(Manifest::parse(MANIFEST).unwrap());
    let roots = Arc::new(Roots::new(Path::new("/")));
    let maker: Maker = Box::new(move || {
        let host = HostHandle::new(Arc::clone(&roots), Arc::clone(&declared), Arc::new(|_, _| {}));
        let act = Arc::clone(&act);
        Instance::linked(host, |_, names| Ok(Acts { act, calls: 0, count: names.scalar("count")? }))
    });
    recruit(MANIFEST, name, interval_ms, FOREVER, ample(), Home::Agent(maker))
}

fn comes(place: usize, name: &str, replaces: Option<usize>, act: Act) -> Comer {
    Comer { place, recruit: acts(name, 20, act), replaces, event: None }
}

impl Live {
    fn start() -> Live {
        let (clock, stop) = SystemClock::new().unwrap();
        let emitted = Arc::new(Mutex::new(Vec::new()));
        let (ledger, into) = (Arc::new(Ledger::default()), Arc::clone(&emitted));
        let identity = Arc::new(Identity { host: None, run: "0".repeat(32), labels: Vec::new() });
        let emit = Box::new(move |snapshot: &Arc<Snapshot>| lock(&into).push(Arc::clone(snapshot)));
        let answers = Arc::new(Answers::new().unwrap());
        let (aggregator, theirs) = (Aggregator::new(identity), Arc::clone(&answers));
        let mut schedule = Schedule::new(Arc::new(clock), aggregator, Arc::clone(&ledger), theirs, None, emit);
        schedule.add(acts("stays", 20, Arc::new(|_| {})));
        let ring = stop.clone();
        let changes = schedule.changes(move || ring.call());
        let collection = Collection::start(schedule, answers, Slots::nowhere()).unwrap();
        Live { collection, changes, stop, ledger, emitted }
    }

    /// Ends it, and holds it to what it promised the one that stayed: a section for each call, growth from one to the next, and each
    /// tick there or told as missed.
    fn end(self) -> Vec<Arc<Snapshot>> {
        self.stop.stop();
        assert!(self.collection.wait(FOREVER));
        let told = std::mem::take(&mut *lock(&self.emitted));
        let (mut last, mut lost) = (0, 0);
        for (nth, snapshot) in (0..).zip(&told) {
            assert_eq!(snapshot.sequence, nth);
            for it in snapshot.sections.iter().filter(|it| &*it.name == "stays" && it.status == Status::Ok) {
                assert_eq!(it.window.is_some(), last > 0);
                let now = count(it).unwrap();
                assert!(now > last);
                lost += now - last - 1;
                last = now;
            }
        }
        // On a machine that is starved a reading may come so late that the next one is there.
        assert!(lost <= self.ledger.with(|books| books.collectors[0].dropped));
        let events = told.iter().flat_map(|snapshot| &snapshot.events);
        let missed =
            events.filter(|event| event.kind == EventKind::Missed && event.collector.as_deref() == Some("stays"));
        let missed: u64 = missed.filter_map(|event| event.count).sum();
        assert_eq!(self.ledger.with(|books| books.collectors[0].missed), missed);
        told
    }
}

#[test]
fn five_hundred_changes_leave_who_stays_alone_and_no_place_behind() {
    let live = Live::start();
    let mut there: Option<usize> = None;
    let mut vacant = Vec::new();
    for round in 0..500 {
        let place = vacant.pop().unwrap_or(1 + usize::from(there == Some(1)));
        let come = comes(place, &format!("c{round}"), there.filter(|_| round % 2 == 0), Arc::new(|_| {}));
        let change = Change { leave: there.into_iter().collect(), come: vec![come], ..Change::default() };
        let applied = live.changes.make(change, FOREVER).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(applied.left.len(), usize::from(there.is_some()));
        vacant = applied.vacant;
        there = Some(place);
        assert!(live.changes.is_well(FOREVER, FOREVER));
    }
    assert!(live.ledger.with(|books| books.collectors.len()) <= 3);
    live.end();
}

#[test]
fn collectors_that_hang_are_replaced_and_their_places_come_back_with_their_calls() {
    let live = Live::start();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let (entered, hangs) = mpsc::channel();
    for place in 1..=3 {
        let (gate, entered) = (Arc::clone(&gate), entered.clone());
        let act: Act = Arc::new(move |_| {
            entered.send(()).unwrap();
            lock(&gate).recv().unwrap();
        });
        let change = Change { come: vec![comes(place, "hangs", None, act)], ..Change::default() };
        live.changes.make(change, FOREVER).map(drop).unwrap();
        hangs.recv().unwrap();
    }
    let come = vec![comes(4, "new", Some(2), Arc::new(|_| {}))];
    let applied = live.changes.make(Change { leave: vec![1, 2, 3], come, ..Change::default() }, FOREVER);
    let applied = applied.unwrap_or_else(|why| panic!("{why}"));
    // All are in their calls.
    assert!(applied.vacant.is_empty() && applied.left.is_empty());
    (0..3).for_each(|_| go.send(()).unwrap());
    let until = Instant::now() + FOREVER;
    let vacant = loop {
        let applied = live.changes.make(Change::default(), FOREVER).unwrap_or_else(|why| panic!("{why}"));
        if applied.vacant.len() == 3 {
            break applied.vacant;
        }
        assert!(Instant::now() < until);
    };
    assert_eq!(vacant, [1, 2, 3]);
    let told = live.end();
    // Whose call came back too late for it said nothing, and nobody said it of another.
    let of = |name: &str| told.iter().flat_map(|it| &it.sections).filter(|it| &*it.name == name).count();
    assert!(
        of("new") > 0
            && told.iter().flat_map(|it| &it.sections).all(|it| &*it.name != "hangs" || it.status != Status::Ok)
    );
}

#[test]
fn end_in_the_middle_of_many_changes_answers_all_of_them() {
    let live = Live::start();
    let posters: Vec<_> = (0..4)
        .map(|_| {
            let changes = live.changes.clone();
            thread::spawn(move || while changes.make(Change::default(), FOREVER).is_ok() {})
        })
        .collect();
    while lock(&live.emitted).len() < 5 {
        thread::sleep(Duration::from_millis(1));
    }
    let changes = live.changes.clone();
    live.end();
    posters.into_iter().for_each(|poster| poster.join().unwrap());
    assert_eq!(changes.make(Change::default(), FOREVER).err(), Some(Unanswered::Ended));
}
