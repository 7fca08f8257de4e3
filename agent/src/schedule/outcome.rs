//! What becomes of a call: it came back in time, or late, or too late; or it is still out, and what is said of it then.
//! The table of statuses for calls without an answer is here; for those with one it is in
//! [`crate::snapshot::aggregate::settle`].

use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::frame::Frame;

use super::call::Returned;
use super::tick::Schedule;
use super::{HANDOVER, SET_ASIDE_MAX};
use crate::snapshot::aggregate::{own, settle};
use crate::snapshot::{Event, EventKind, Schema, Section, Status, Wall};

impl Schedule {
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
        let member = &mut self.members[place];
        if (refused > 0 || frame.dropped_rows > 0) && member.health.tell_once() {
            tell_of_lies(&member.name, frame, &member.schema);
        }
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

    pub(super) fn drop_late(&mut self, place: usize, section: Arc<Section>) {
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
        match to {
            "agent" => tracing::info!(collector = &**name, "called in the agent's own thread again: {why}"),
            _ => tracing::warn!(collector = &**name, "called in a thread of its own from now on: {why}"),
        }
        self.ledger.with(|books| books.collectors[place].place = to);
        self.aggregator.happened(Event {
            collector: Some(Arc::clone(name)),
            from: Some(from.into()),
            to: Some(to.into()),
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
            self.ledger.with(|books| books.collectors[place].timeouts += 1);
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

fn no_answer_for(timeout: Duration) -> String {
    format!("no answer for {}", humantime::format_duration(timeout))
}
