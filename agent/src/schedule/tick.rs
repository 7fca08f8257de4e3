//! The schedule: one tick from who is due to the snapshot. The state of it all is one value, so that whichever thread
//! is the collection thread owns it; the thread's own life is in [`super::collect`].

use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::frame::{Frame, Limits};

use super::call::{Call, Caller, Maker, Returned};
use super::clock::Clock;
use super::far::{Answers, Mailbox};
use super::grid::Grid;
use super::health::Health;
use super::ledger::Ledger;
use super::wake::drift;
use super::{HANDOVER, SET_ASIDE_MAX};
use crate::snapshot::aggregate::{Aggregator, own, settle};
use crate::snapshot::{Event, EventKind, Mono, Schema, Section, Snapshot, Status, Wall};

/// Of the way to the next tick, in hundredths: a snapshot leaves by then, whoever is missing.
const CUT_OFF_PERCENT: u64 = 90;

/// A collector to be scheduled.
pub struct Recruit {
    /// The configured name.
    pub name: Arc<str>,
    /// What its cells mean.
    pub schema: Arc<Schema>,
    /// How much a reading may hold.
    pub limits: Limits,
    /// When it is due.
    pub grid: Grid,
    /// How long a call may take.
    pub timeout: Duration,
    /// What makes it, or why it cannot be had.
    pub maker: Result<Maker, String>,
}

pub(super) struct Member {
    pub(super) name: Arc<str>,
    schema: Arc<Schema>,
    pub(super) grid: Grid,
    timeout: Duration,
    pub(super) next_due: Wall,
    health: Health,
    /// Why it cannot be had, where it cannot.
    hopeless: Option<String>,
    /// The collector, while it is not in a call.
    caller: Option<Caller>,
    /// The call that it is in.
    away: Option<Away>,
    /// It is called on a thread of its own.
    set_aside: bool,
    mailbox: Arc<Mailbox>,
    /// A reading that came between two ticks.
    late: Option<Arc<Section>>,
    pub(super) due: bool,
    /// Its section of this tick is there.
    done: bool,
}

struct Away {
    section: Arc<Section>,
    started: Mono,
    started_wall: Wall,
    timed_out: bool,
}

/// What a schedule does with a snapshot.
pub type Emit = Box<dyn FnMut(&Arc<Snapshot>) + Send>;

/// Who is read when, and the tick that is going on.
pub struct Schedule {
    pub(super) clock: Arc<dyn Clock>,
    emit: Emit,
    pub(super) aggregator: Aggregator,
    pub(super) ledger: Arc<Ledger>,
    pub(super) members: Vec<Member>,
    /// The tick that is going on.
    tick: Wall,
    cut_off: Mono,
    /// Who is to be called in this thread, in order.
    near: Vec<usize>,
    near_next: usize,
    sections: Vec<Arc<Section>>,
    returned: Vec<Returned>,
    /// A collector that had never answered before has had its turn in this tick.
    tried_unknown: bool,
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
            tick: Wall(0),
            cut_off: Mono(0),
            near: Vec::new(),
            near_next: 0,
            sections: Vec::new(),
            returned: Vec::new(),
            tried_unknown: false,
            left: snapshots,
        }
    }

    /// Adds a collector and gives the mailbox of the thread that it may come to have.
    pub fn add(&mut self, recruit: Recruit) -> Arc<Mailbox> {
        self.aggregator.add(Arc::clone(&recruit.name), Arc::clone(&recruit.schema), recruit.limits);
        self.ledger.open(Arc::clone(&recruit.name));
        let mailbox = Arc::new(Mailbox::default());
        let (caller, hopeless) = match recruit.maker {
            Ok(maker) => (Some(Caller::new(maker)), None),
            Err(why) => (None, Some(why)),
        };
        self.members.push(Member {
            name: recruit.name,
            schema: recruit.schema,
            grid: recruit.grid,
            timeout: recruit.timeout,
            next_due: Wall(0),
            health: Health::new(),
            hopeless,
            caller,
            away: None,
            set_aside: false,
            mailbox: Arc::clone(&mailbox),
            late: None,
            due: false,
            done: false,
        });
        mailbox
    }

    /// Begins the start: a tick of its own, at once and off the grid, at which every collector is due.
    pub fn start(&mut self) {
        let now = self.clock.wall();
        for member in &mut self.members {
            member.next_due = member.grid.first(now);
            member.due = true;
        }
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
        self.ledger.with(|books| (books.tick, books.late) = (tick, now.since(tick)));
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
            } else if member.set_aside {
                let call = self.leave(place);
                self.members[place].mailbox.post(call);
            } else {
                self.near.push(place);
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
        self.members.iter().any(|member| member.set_aside && member.away.is_some())
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
    fn without(&mut self, place: usize, status: Status, since: Option<Wall>, error: &str) {
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
        let limits = Limits::default();
        let frame = std::mem::replace(&mut own(&mut section).frame, Frame::new(limits));
        let member = &mut self.members[place];
        let caller = member.caller.take().expect("a collector that is not away is here");
        let (started, started_wall) = (self.clock.mono(), self.clock.wall());
        member.away = Some(Away { section, started, started_wall, timed_out: false });
        Call {
            place,
            caller,
            frame,
            schema: Arc::clone(&member.schema),
            time_left: member.timeout,
            clock: Arc::clone(&self.clock),
        }
    }

    /// A collector is back from its call.
    pub fn came_back(&mut self, returned: Returned) {
        let place = returned.place;
        let member = &mut self.members[place];
        member.caller = Some(returned.caller);
        let Some(mut away) = member.away.take() else { return };
        let took = returned.answer.took;
        let too_late = away.timed_out || took > member.timeout;
        settle(own(&mut away.section), returned.answer);
        let failed = too_late || away.section.status == Status::Failed;
        // A collector that has nothing to measure here is asked like one that failed: seldom.
        let nothing = away.section.status == Status::Unavailable;
        member.health.called(failed || nothing, took, member.grid.interval(), self.clock.mono());
        if member.set_aside && member.health.was_quick(took < HANDOVER / 2 && !failed) {
            member.set_aside = false;
            member.mailbox.dismiss();
            self.moved(place, "thread", "agent", "quick again");
        }
        let frame = &away.section.frame;
        let (refused, lost) = (frame.refused, u64::from(frame.lost_rows) + u64::from(frame.dropped_rows));
        let member = &self.members[place];
        let in_time = member.due && !member.done;
        self.ledger.with(|books| {
            let entry = &mut books.collectors[place];
            entry.calls += 1;
            entry.took += took;
            entry.failures += u64::from(failed && !too_late);
            entry.timeouts += u64::from(too_late && !away.timed_out);
            entry.dropped += u64::from(too_late);
            entry.refused += u64::from(refused);
            entry.rows_lost += lost;
        });
        if too_late {
            self.aggregator.give_back(away.section);
            if in_time {
                self.timed_out(place, away.started_wall);
            } else if !away.timed_out {
                // No section says it: it was pending, and is here again before the next one.
                let member = &mut self.members[place];
                let why = no_answer_for(member.timeout);
                if member.health.note(Status::Timeout, &why, self.tick) {
                    tracing::warn!(collector = &*member.name, "timeout: {why}");
                }
            }
        } else if in_time {
            self.members[place].done = true;
            self.sections.push(away.section);
        } else {
            self.keep_late(place, away.section);
        }
    }

    /// A reading that came after its snapshot left goes with the next one; an older one of the same collector is dropped.
    fn keep_late(&mut self, place: usize, section: Arc<Section>) {
        if let Some(older) = self.members[place].late.replace(section) {
            self.drop_late(place, older);
        }
    }

    fn drop_late(&mut self, place: usize, section: Arc<Section>) {
        self.ledger.with(|books| books.collectors[place].dropped += 1);
        self.aggregator.give_back(section);
    }

    /// The standby thread has taken over from the call that is going on in the thread before: that thread is the collector's own from now on.
    pub fn taken_over(&mut self) {
        let Some(&place) = self.near_next.checked_sub(1).and_then(|last| self.near.get(last)) else { return };
        let hanging = self.members.iter().filter(|member| member.set_aside && member.away.is_some()).count();
        self.members[place].set_aside = true;
        let why = format!("a call took longer than {} ms", HANDOVER.as_millis());
        self.moved(place, "agent", "thread", &why);
        if hanging >= SET_ASIDE_MAX {
            let why = format!("hangs, as {hanging} others do");
            let member = &mut self.members[place];
            tracing::error!(collector = &*member.name, "quarantined: {why}");
            self.aggregator.happened(Event {
                collector: Some(Arc::clone(&member.name)),
                cause: Some(why.clone()),
                ..Event::new(EventKind::Quarantined)
            });
            let since = member.away.as_ref().map_or(self.tick, |away| away.started_wall);
            member.health.quarantine(since, why);
        }
    }

    fn moved(&mut self, place: usize, from: &str, to: &'static str, why: &str) {
        let name = &self.members[place].name;
        tracing::warn!(collector = &**name, "called in a {to} of its own from now on, not in the {from}: {why}");
        self.ledger.with(|books| books.collectors[place].place = to);
        self.aggregator.happened(Event {
            collector: Some(Arc::clone(name)),
            from: Some(from.into()),
            to: Some(to.into()),
            cause: Some(why.into()),
            ..Event::new(EventKind::Moved)
        });
    }

    /// Waits until all that are due have answered or run out of their time, at the latest until the cut-off.
    pub fn gather(&mut self, answers: &Answers) {
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
            let (came, goes_on) = self.take_answers(answers, patience);
            if !came && (!goes_on || self.clock.mono() >= self.cut_off) {
                return;
            }
        }
    }

    /// Takes in who is back, after waiting for as long as nobody is: whether anybody was, and whether to wait again.
    pub(super) fn take_answers(&mut self, answers: &Answers, patience: Duration) -> (bool, bool) {
        let mut returned = std::mem::take(&mut self.returned);
        let goes_on = answers.collect(patience, &mut returned);
        let came = !returned.is_empty();
        returned.drain(..).for_each(|returned| self.came_back(returned));
        self.returned = returned;
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
            }
        }
        self.ledger.with(|books| {
            books.snapshots += 1;
            for section in &self.sections {
                books.collectors[section.place].status = Some(section.status);
            }
        });
        let snapshot = self.aggregator.snapshot(self.tick, &mut self.sections);
        (self.emit)(&snapshot);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
    }

    /// No snapshot comes after this: what hangs on them may end.
    pub fn close(&mut self) {
        self.emit = Box::new(|_| {});
    }

    /// A call that has run out of its time is counted, once.
    fn settle_away(&mut self, place: usize) {
        let now = self.clock.mono();
        let member = &mut self.members[place];
        let Some(away) = &mut member.away else { return };
        if !away.timed_out && now.since(away.started) >= member.timeout {
            away.timed_out = true;
            self.ledger.with(|books| books.collectors[place].timeouts += 1);
        }
    }

    /// What is said of a collector that was due and has not answered.
    fn unanswered(&mut self, place: usize) {
        let Some(away) = &self.members[place].away else { return };
        let (timed_out, since) = (away.timed_out, away.started_wall);
        if timed_out {
            self.timed_out(place, since);
        } else {
            self.without(place, Status::Pending, Some(since), "");
            self.called_at(since);
        }
    }

    fn timed_out(&mut self, place: usize, since: Wall) {
        let why = no_answer_for(self.members[place].timeout);
        self.without(place, Status::Timeout, Some(since), &why);
        self.called_at(since);
    }

    /// The last section is of a call that began then.
    fn called_at(&mut self, started: Wall) {
        if let Some(section) = self.sections.last_mut() {
            own(section).at = Some(started);
        }
    }
}

fn no_answer_for(timeout: Duration) -> String {
    format!("no answer for {}", humantime::format_duration(timeout))
}

fn say(name: &str, section: &Section) {
    match section.status {
        Status::Ok => tracing::info!(collector = name, "ok"),
        Status::Partial if section.error.is_empty() => tracing::warn!(collector = name, "partial: see _errors"),
        Status::Unavailable => tracing::info!(collector = name, "unavailable: {}", section.error),
        status => tracing::warn!(collector = name, "{}: {}", status.word(), section.error),
    }
}
