//! What becomes of a call: it came back in time, or late, or too late; or it is still out, and what is said of it then.
//! The table of statuses for calls without an answer is here; for those with one it is in
//! [`crate::snapshot::aggregate::settle`].

use std::fmt::Write as _;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::ErrorKind;
use plugin_api::host_side::frame::Frame;

use super::call::Returned;
use super::health::OVER_BUDGET_MAX;
use super::ledger::Place;
use super::member::Away;
use super::tick::Schedule;
use super::{HANDOVER, SET_ASIDE_MAX};
use crate::record::What;
use crate::snapshot::aggregate::{Answer, own, settle};
use crate::snapshot::{Event, EventKind, Schema, Section, Status, Wall};

impl Schedule {
    /// A collector is back from a call in the agent.
    pub fn came_back(&mut self, returned: Returned) {
        let Returned { place, number, caller, answer } = returned;
        let member = &mut self.members[place];
        let away = if number == member.calls { member.away.take() } else { None };
        let Some(away) = away else {
            // It was given up and is called elsewhere now. Its destructor may hang as its call did: it is not touched.
            std::mem::forget((caller, answer));
            self.abandoned = self.abandoned.saturating_sub(1);
            member.strays = member.strays.saturating_sub(1);
            if member.is_free() {
                self.ledger.with(|books| books.collectors[place].busy = false);
            }
            return;
        };
        member.caller = Some(caller);
        let took = answer.took;
        let panicked = answer.reading.as_ref().is_ok_and(|frame| frame.outcome == ErrorKind::PANICKED);
        let (failed, over) = self.arrived(place, away, answer);
        let member = &mut self.members[place];
        if member.place == Place::Thread && member.health.was_quick(took < HANDOVER / 2 && !failed) {
            member.mailbox.dismiss();
            self.moved(place, Place::Agent, "quick again");
        }
        if panicked {
            self.throw_out(place, What::Panicked);
        } else if over {
            self.throw_out(place, What::BrokeBudget);
        }
    }

    /// An answer is there, from wherever it was asked for. Tells whether it was none, and whether it cost too much.
    pub(super) fn arrived(&mut self, place: usize, mut away: Away, answer: Answer) -> (bool, bool) {
        let (took, cpu, programs, made) = (answer.took, answer.cpu, answer.programs, answer.made);
        let member = &mut self.members[place];
        let too_late = away.timed_out || took > member.timeout;
        let section = own(&mut away.section);
        settle(section, answer);
        let allowed = member.allowance.cpu;
        // The first of an instance includes its making, and in a child the start of that.
        let over = over_budget(section, (!made && cpu > allowed).then_some(cpu), allowed);
        if made {
            self.aggregator.forget(place);
        }
        let failed = too_late || section.status == Status::Failed;
        // A collector that has nothing to measure here is asked like one that failed: seldom. So is one that costs too much.
        let seldom = failed || over || section.status == Status::Unavailable;
        member.health.called(seldom, took, member.grid.interval(), self.clock.mono());
        let frame = &away.section.frame;
        let (refused, lost) = (frame.refused, u64::from(frame.lost_rows) + u64::from(frame.dropped_rows));
        if (refused > 0 || frame.dropped_rows > 0) && member.health.tell_once() {
            tell_of_lies(&member.name, frame, &member.schema);
        }
        let in_time = member.due && !member.done;
        self.ledger.with(|books| {
            let entry = &mut books.collectors[place];
            entry.calls += 1;
            entry.took += took;
            // Programs are in the books and not in what the budget judges: what a command needs is its own, and known after the answer.
            entry.cpu = entry.cpu.saturating_add(cpu).saturating_add(programs);
            entry.last = took;
            entry.failures += u64::from(failed && !too_late);
            entry.timeouts += u64::from(too_late && !away.timed_out);
            entry.dropped += u64::from(too_late);
            entry.refused += u64::from(refused);
            entry.rows_lost += lost;
            entry.over_budget += u64::from(over);
        });
        if self.members[place].health.went_over(over) {
            let why = format!("{OVER_BUDGET_MAX} readings in a row were over its budget");
            self.quarantine(place, away.started_wall, why);
        }
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
        (failed, over)
    }

    /// A reading that came after its snapshot left goes with the next one; an older one of the same collector is dropped.
    fn keep_late(&mut self, place: usize, section: Arc<Section>) {
        if let Some(older) = self.members[place].late.replace(section) {
            self.drop_late(place, older);
        }
    }

    pub(super) fn drop_late(&mut self, place: usize, section: Arc<Section>) {
        self.ledger.with(|books| books.collectors[place].dropped += 1);
        self.aggregator.give_back(section);
    }

    /// The standby thread has taken over from the call that is going on in the thread before: that thread is the collector's own from now on.
    pub fn taken_over(&mut self) {
        let Some(&place) = self.near_next.checked_sub(1).and_then(|last| self.near.get(last)) else { return };
        let hanging = self.hanging() + self.abandoned;
        self.moved(place, Place::Thread, &format!("a call took longer than {} ms", HANDOVER.as_millis()));
        let member = &mut self.members[place];
        // One that may move into a child does so when its time has run out.
        if let (Some(away), None) = (&mut member.away, &member.verdict) {
            away.one_too_many = hanging >= SET_ASIDE_MAX;
        }
    }

    /// It is not asked any more.
    pub(super) fn quarantine(&mut self, place: usize, since: Wall, why: String) {
        let member = &mut self.members[place];
        tracing::error!(collector = &*member.name, "quarantined: {why}");
        self.aggregator.happened(Event {
            collector: Some(Arc::clone(&member.name)),
            cause: Some(why.clone()),
            ..Event::new(EventKind::Quarantined)
        });
        self.ledger.with(|books| books.collectors[place].quarantined = true);
        self.ledger.went_wrong(place, &why, since);
        member.health.quarantine(since, why);
        if let (Place::Child, Some(keeper)) = (member.place, &self.keeper) {
            keeper.leave(member.tenant);
            self.hang_up(place, None);
        }
    }

    /// It is called elsewhere from now on.
    pub(super) fn moved(&mut self, place: usize, to: Place, why: &str) {
        let member = &mut self.members[place];
        let from = std::mem::replace(&mut member.place, to);
        let name = &member.name;
        match to {
            Place::Agent if from == Place::Child => {
                tracing::info!(collector = &**name, "called in the agent from now on: {why}");
            }
            Place::Agent => tracing::info!(collector = &**name, "called in the agent's own thread again: {why}"),
            Place::Thread => {
                tracing::warn!(collector = &**name, "called in a thread of its own from now on: {why}");
            }
            Place::Child => tracing::warn!(collector = &**name, "called in a child from now on: {why}"),
        }
        self.ledger.with(|books| {
            let entry = &mut books.collectors[place];
            (entry.place, entry.memory) = (to, None);
        });
        self.aggregator.happened(Event {
            collector: Some(Arc::clone(name)),
            from: Some(from.word().into()),
            to: Some(to.word().into()),
            cause: Some(why.into()),
            ..Event::new(EventKind::Moved)
        });
    }

    /// A call that has run out of its time is counted, once.
    pub(super) fn settle_away(&mut self, place: usize) {
        let now = self.clock.mono();
        let member = &mut self.members[place];
        let Some(away) = &mut member.away else { return };
        if !away.timed_out && now.since(away.started) >= member.timeout {
            away.timed_out = true;
            if let (Some(keeper), Some(life)) = (&self.keeper, &member.child.life) {
                // Without a descriptor to spare, it is as if it had said nothing.
                let line = member.child.line.as_ref().and_then(|line| line.as_fd().try_clone_to_owned().ok());
                keeper.watch(member.tenant, life, member.timeout, line);
            }
            let (since, one_too_many) = (away.started_wall, away.one_too_many);
            self.ledger.with(|books| books.collectors[place].timeouts += 1);
            // Not before: on a machine that is starved for a moment a good call takes longer than a hand-over, too. Its thread is spent either way.
            if one_too_many {
                self.quarantine(place, since, format!("hangs, as {SET_ASIDE_MAX} others do"));
            }
        }
    }

    /// What is said of a collector that was due and has not answered.
    pub(super) fn unanswered(&mut self, place: usize) {
        let Some(away) = &self.members[place].away else { return };
        let (timed_out, since) = (away.timed_out, away.started_wall);
        if timed_out {
            self.timed_out(place, since);
        } else {
            self.without(place, Status::Pending, Some(since), "");
            self.called_at(since);
        }
    }

    pub(super) fn timed_out(&mut self, place: usize, since: Wall) {
        let why = no_answer_for(self.members[place].timeout);
        self.without(place, Status::Timeout, Some(since), &why);
        self.called_at(since);
    }

    /// The last section is of a call that began then.
    pub(super) fn called_at(&mut self, started: Wall) {
        if let Some(section) = self.sections.last_mut() {
            own(section).at = Some(started);
        }
    }
}

/// Marks what cost too much or was cut, and tells whether anything did.
fn over_budget(section: &mut Section, cpu: Option<Duration>, allowed: Duration) -> bool {
    if !section.status.has_metrics() {
        return cpu.is_some();
    }
    if let Some(cpu) = cpu {
        section.status = Status::Partial;
        let start = if section.error.is_empty() { "" } else { "; " };
        let allowed = humantime::format_duration(allowed);
        // Writing to a string cannot fail.
        let _ = write!(section.error, "{start}over its budget: {cpu:.1?} of CPU time, where budget.cpu is {allowed}");
    }
    cpu.is_some() || section.frame.lost_rows > 0 || section.frame.lost_texts > 0
}

/// Says once what the data shows as null or not at all; the books count it always.
fn tell_of_lies(name: &str, frame: &Frame, schema: &Schema) {
    if let Some((table, place)) = frame.first_refused {
        let (manifest, dot) = (&schema.manifest, if table.is_some() { "." } else { "" });
        let (table, metrics) = match table.and_then(|table| manifest.tables.get(table)) {
            Some(table) => (&*table.name, &table.columns),
            None => ("", &manifest.metrics),
        };
        let metric = metrics.get(place).map_or("", |metric| &metric.name);
        let count = frame.refused;
        tracing::warn!(
            collector = name,
            "{count} values are not what plugin.toml declares (type, range, or no finite number) and became null, the first of {table}{dot}{metric}; said once"
        );
    }
    if frame.dropped_rows > 0 {
        let count = frame.dropped_rows;
        tracing::info!(
            collector = name,
            "{count} rows were dropped: without a key, or with a key that came again, of which the last counts; said once"
        );
    }
}

pub(super) fn no_answer_for(timeout: Duration) -> String {
    format!("no answer for {}", humantime::format_duration(timeout))
}
