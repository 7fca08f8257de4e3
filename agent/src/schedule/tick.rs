//! The schedule: one tick from who is due to the snapshot. The state of it all is one value, so that whichever thread
//! is the collection thread owns it; the thread's own life is in [`super::collect`].

use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::{Frame, Limits};

use super::call::Call;
use super::change::Counter;
use super::clock::Clock;
use super::far::{Answers, Arrivals};
use super::ledger::{Ledger, Place};
use super::member::{Away, Member, Recruit};
use super::wake::drift;
use crate::child::keep::{Orders, Ward};
use crate::snapshot::aggregate::{Aggregator, own};
use crate::snapshot::{Event, EventKind, Mono, Section, Snapshot, Status, Wall};

/// Of the way to the next tick, in hundredths: a snapshot leaves by then, whoever is missing.
const CUT_OFF_PERCENT: u64 = 90;

/// What a schedule does with a snapshot.
pub type Emit = Box<dyn FnMut(&Arc<Snapshot>) + Send>;

/// Who is read when, and the tick that is going on.
pub struct Schedule {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) emit: Emit,
    pub(super) aggregator: Aggregator,
    pub(super) ledger: Arc<Ledger>,
    /// By place. Some may be vacant.
    pub(super) members: Vec<Member>,
    /// How many there have ever been.
    pub(super) tenants: u64,
    /// Where changes come from; none where nobody can ask for any.
    pub(super) counter: Option<Counter>,
    /// The tick that is going on.
    pub(super) tick: Wall,
    pub(super) cut_off: Mono,
    /// Who is to be called in this thread, in order.
    pub(super) near: Vec<usize>,
    pub(super) near_next: usize,
    pub(super) sections: Vec<Arc<Section>>,
    pub(super) answers: Arc<Answers>,
    pub(super) arrivals: Arrivals,
    /// Who keeps the children; none where there are none.
    pub(super) keeper: Option<Orders>,
    /// Passes over what children sent.
    pub(super) check: Check,
    /// Where a child writes that was not asked.
    pub(super) scratch: Frame,
    /// Calls that were given up and whose threads are still in them.
    pub(super) abandoned: usize,
    /// A collector that had never answered before has had its turn in this tick.
    pub(super) tried_unknown: bool,
    pub(super) slept: u64,
    /// The wall clock less the time since boot: what a step changes.
    pub(super) drift: i128,
    /// Snapshots still to be made; none for no end.
    pub(super) left: Option<u64>,
}

impl Schedule {
    /// A schedule without collectors. With `snapshots`, it ends after so many.
    pub fn new(
        clock: Arc<dyn Clock>,
        aggregator: Aggregator,
        ledger: Arc<Ledger>,
        answers: Arc<Answers>,
        snapshots: Option<u64>,
        emit: Emit,
    ) -> Schedule {
        Schedule {
            slept: clock.slept(),
            drift: drift(&*clock),
            clock,
            emit,
            aggregator,
            ledger,
            members: Vec::new(),
            tenants: 0,
            counter: None,
            tick: Wall(0),
            cut_off: Mono(0),
            near: Vec::new(),
            near_next: 0,
            sections: Vec::new(),
            answers,
            arrivals: Arrivals::default(),
            keeper: None,
            check: Check::default(),
            scratch: Frame::new(Limits::default()),
            abandoned: 0,
            tried_unknown: false,
            left: snapshots,
        }
    }

    /// Adds a collector, behind the others, and gives what its children are kept by where it has or may have some.
    pub fn add(&mut self, recruit: Recruit) -> Option<Ward> {
        let place = self.members.len();
        let vacant = Member::vacant(0, 0);
        self.aggregator.add(Arc::clone(&vacant.name), Arc::clone(&vacant.schema), vacant.limits());
        self.members.push(vacant);
        self.enlist(place, recruit)
    }

    /// Children are kept by these orders, and are started now.
    pub fn keep(&mut self, keeper: Orders) {
        for member in &self.members {
            if member.place == Place::Child {
                keeper.begin(member.tenant);
            }
        }
        self.keeper = Some(keeper);
    }

    /// Begins the start: a tick of its own, at once and off the grid, at which every collector is due.
    pub fn start(&mut self) {
        let now = self.clock.wall();
        for member in &mut self.members {
            member.next_due = member.grid.first(now);
            member.due = true;
        }
        self.call_the_roll();
        self.aggregator.happened(Event::new(EventKind::Start));
        self.begin(now, now);
    }

    /// Begins a tick for those who are due.
    pub(super) fn begin(&mut self, tick: Wall, now: Wall) {
        self.aggregator.reclaim();
        let next = self.members.iter().map(|member| member.next_due).min().unwrap_or(tick);
        let length = next.since(tick).as_nanos() as u64;
        let cut_off = Wall(tick.0 + length / 100 * CUT_OFF_PERCENT);
        self.tick = tick;
        self.cut_off = self.clock.mono().plus(cut_off.since(now));
        self.ledger.with(|books| {
            (books.tick, books.late) = (tick, now.since(tick));
            (books.next_due, books.cut_off) = (next, self.cut_off);
            for (entry, member) in books.collectors.iter_mut().zip(&self.members) {
                entry.next_due = member.next_due;
            }
        });
        self.near.clear();
        self.near_next = 0;
        self.tried_unknown = false;
        let mono = self.clock.mono();
        for place in 0..self.members.len() {
            let member = &mut self.members[place];
            member.done = false;
            if !member.due {
                continue;
            }
            if member.place == Place::Child {
                self.give_up(place);
                self.settle_in(place);
            }
            let member = &mut self.members[place];
            if let Some(why) = member.hopeless.clone() {
                self.without(place, Status::Failed, None, &why);
            } else if let Some((since, why)) = member.health.quarantined() {
                let why = why.to_owned();
                self.without(place, Status::Quarantined, Some(since), &why);
            } else if member.away.is_some() {
                // Its call is still out: what becomes of it is seen when the snapshot leaves.
            } else if member.health.backs_off(mono) {
                let (why, since) = (member.health.error().to_owned(), member.health.since());
                // That there is nothing to measure here is no failure, and stays true while it is not asked.
                match member.health.status() {
                    Some(Status::Unavailable) => self.without(place, Status::Unavailable, None, &why),
                    _ => self.without(place, Status::Backoff, Some(since), &why),
                }
            } else {
                match member.place {
                    Place::Agent => self.near.push(place),
                    Place::Thread => {
                        let call = self.leave(place);
                        self.members[place].mailbox.post(call);
                    }
                    Place::Child => self.ask(place),
                }
            }
        }
        let members = &self.members;
        self.near.sort_unstable_by_key(|&place| (members[place].health.order(), place));
    }

    /// The next call to be made in this thread. While a collector hangs, those that never answered are tried one a
    /// tick: the first costs the others 20 ms if it hangs too, and a folder full of such would cost a tick.
    pub fn next_call(&mut self) -> Option<Call> {
        let place = *self.near.get(self.near_next)?;
        let unknown = !self.members[place].health.is_known();
        // They come last, so that all the others have had their turn.
        if self.clock.mono() >= self.cut_off || unknown && self.tried_unknown && self.is_hanging() {
            return None;
        }
        self.near_next += 1;
        self.tried_unknown |= unknown;
        Some(self.leave(place))
    }

    /// Whether, after a gathering, there are calls to be made after all: what seemed to hang was only slow.
    pub fn has_more(&self) -> bool {
        self.near_next < self.near.len() && self.clock.mono() < self.cut_off && !self.is_hanging()
    }

    fn is_hanging(&self) -> bool {
        self.hanging() > 0
    }

    /// How many are in a call on a thread of their own.
    pub(super) fn hanging(&self) -> usize {
        self.members.iter().filter(|member| member.place == Place::Thread && member.away.is_some()).count()
    }

    /// When the snapshot leaves.
    pub fn cut_off(&self) -> Mono {
        self.cut_off
    }

    /// Those that had no turn.
    fn skip_rest(&mut self) {
        while let Some(&place) = self.near.get(self.near_next) {
            self.near_next += 1;
            let why = if self.clock.mono() >= self.cut_off {
                "no turn before the cut-off"
            } else {
                "it never answered yet, and while a collector hangs such are tried one a tick"
            };
            self.ledger.with(|books| books.collectors[place].skipped += 1);
            self.without(place, Status::Skipped, None, why);
        }
    }

    /// A section without a reading.
    pub(super) fn without(&mut self, place: usize, status: Status, since: Option<Wall>, error: &str) {
        let mut section = self.aggregator.blank(place);
        let it = own(&mut section);
        (it.status, it.since) = (status, since);
        it.error.push_str(error);
        self.members[place].done = true;
        self.sections.push(section);
    }

    /// A collector leaves for a call.
    fn leave(&mut self, place: usize) -> Call {
        let mut section = self.aggregator.blank(place);
        let frame = std::mem::replace(&mut own(&mut section).frame, Frame::new(Limits::default()));
        let member = &mut self.members[place];
        let caller = member.caller.take().expect("a collector that is not away is here");
        let (started, started_wall) = (self.clock.mono(), self.clock.wall());
        member.away = Some(Away { section, started, started_wall, timed_out: false, one_too_many: false, asked: true });
        member.calls += 1;
        Call {
            place,
            number: member.calls,
            caller,
            frame,
            schema: Arc::clone(&member.schema),
            time_left: member.timeout,
            clock: Arc::clone(&self.clock),
        }
    }

    /// Waits until all that are due have answered or run out of their time, at the latest until the cut-off.
    pub fn gather(&mut self) {
        loop {
            let now = self.clock.mono();
            let wait = self
                .members
                .iter()
                .filter(|member| member.due && !member.done)
                .filter_map(|member| Some(member.away.as_ref()?.started.plus(member.timeout)))
                .filter(|&timeout| timeout > now)
                .max();
            let patience = wait.map_or(Duration::ZERO, |until| until.min(self.cut_off).since(now));
            let (came, goes_on) = self.take_answers(patience);
            if !came && (!goes_on || self.clock.mono() >= self.cut_off) {
                return;
            }
        }
    }

    /// Takes in who is back, after waiting for as long as nobody is: whether anybody was, and whether to wait again.
    pub(super) fn take_answers(&mut self, patience: Duration) -> (bool, bool) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let goes_on = self.answers.collect(patience, &mut arrivals);
        let came = !arrivals.is_empty();
        arrivals.ready.drain(..).for_each(|place| self.hear(place));
        arrivals.news.drain(..).for_each(|news| self.learn(news));
        arrivals.returned.drain(..).for_each(|returned| self.came_back(returned));
        self.arrivals = arrivals;
        (came, goes_on)
    }

    /// Makes the snapshot and hands it on.
    pub fn finish(&mut self) {
        self.skip_rest();
        for place in 0..self.members.len() {
            self.settle_away(place);
            let member = &mut self.members[place];
            let Some(late) = member.late.take() else { continue };
            if member.due && member.done {
                self.drop_late(place, late);
            } else {
                member.done = true;
                self.sections.push(late);
            }
        }
        for place in 0..self.members.len() {
            let member = &self.members[place];
            if member.due && !member.done {
                self.unanswered(place);
            }
        }
        for section in &self.sections {
            let member = &mut self.members[section.place];
            if member.health.note(section.status, &section.error, self.tick) {
                say(&member.name, section);
                self.ledger.went_wrong(section.place, &section.error, self.tick);
            }
        }
        self.ledger.with(|books| {
            books.snapshots += 1;
            books.cut_off = Mono(0);
            for section in &self.sections {
                books.collectors[section.place].status = Some(section.status);
            }
        });
        let snapshot = self.aggregator.snapshot(self.tick, &mut self.sections);
        (self.emit)(&snapshot);
        (0..self.members.len()).for_each(|place| self.throw_out_if_hung(place));
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
    }

    /// No snapshot comes after this: what hangs on them may end.
    pub fn close(&mut self) {
        self.emit = Box::new(|_| {});
        if let Some(counter) = &self.counter {
            counter.close();
        }
        for member in &mut self.members {
            // What was in no call is dropped with the schedule.
            member.caller = member.mailbox.close().map(|call| call.caller).or(member.caller.take());
        }
        if let Some(keeper) = &self.keeper {
            keeper.close();
        }
    }
}

fn say(name: &str, section: &Section) {
    match section.status {
        Status::Ok => tracing::info!(collector = name, "ok"),
        Status::Partial if section.error.is_empty() => tracing::warn!(collector = name, "partial: see _errors"),
        Status::Unavailable => tracing::info!(collector = name, "unavailable: {}", section.error),
        status => tracing::warn!(collector = name, "{}: {}", status.word(), section.error),
    }
}
