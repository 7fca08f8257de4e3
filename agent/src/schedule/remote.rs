//! Collectors in children, as the collection thread sees them: asked, heard, lost, and moved in and out of the agent.
//!
//! Nothing here waits: requests and answers are non-blocking, and what takes time is the keeper's.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::ErrorKind;
use plugin_api::host_side::frame::{Frame, Limits};

use super::GOOD_READINGS;
use super::health::same_words;
use super::ledger::Place;
use super::member::{Away, Member, Remote};
use super::outcome::no_answer_for;
use super::tick::Schedule;
use crate::child::keep::{Life, News};
use crate::child::{Heard, Line, Taken};
use crate::record::What;
use crate::snapshot::aggregate::{Answer, own};
use crate::snapshot::{Event, EventKind, Status};

impl Schedule {
    /// A collector in a child is due: it is asked, or will be as soon as its child is there.
    pub(super) fn ask(&mut self, place: usize) {
        let member = &self.members[place];
        if let Some((since, why)) = &member.child.waits {
            let (since, why) = (*since, why.clone());
            return self.without(place, Status::Backoff, Some(since), &why);
        }
        if let (None, Some(life), Some(keeper)) = (&member.child.line, &member.child.life, &self.keeper) {
            // One that is dead by now has a cause of its own, and one that was killed keeps the first.
            keeper.kill(member.tenant, life, "killed, as it had closed its line".into());
        }
        let section = self.aggregator.blank(place);
        let (started, started_wall) = (self.clock.mono(), self.clock.wall());
        let away = Away { section, started, started_wall, timed_out: false, one_too_many: false, asked: false };
        self.members[place].away = Some(away);
        self.send(place);
    }

    /// Sends the request, where there is a child to take it.
    fn send(&mut self, place: usize) {
        let now = self.clock.mono();
        let member = &mut self.members[place];
        let Remote { line: Some(line), life: Some(life), .. } = &mut member.child else { return };
        let Some(away) = &mut member.away else { return };
        let time_left = member.timeout.saturating_sub(now.since(away.started));
        match line.ask(time_left) {
            Ok(()) => {
                away.asked = true;
                life.asked(now);
            }
            // It is dead, or as good as dead; the next one is asked.
            Err(cause) => {
                let why = format!("killed, as it could not be asked: {cause}");
                self.hang_up(place, Some(why));
            }
        }
    }

    /// Its child has said something.
    pub(super) fn hear(&mut self, place: usize) {
        loop {
            let member = &mut self.members[place];
            let Some(line) = &mut member.child.line else { return };
            let frame = match &mut member.away {
                Some(away) if away.asked => &mut own(&mut away.section).frame,
                _ => &mut self.scratch,
            };
            match line.hear(frame) {
                Heard::Nothing => return,
                Heard::Said(level, text) => crate::log::of_collector(&member.name, level, &text),
                Heard::Reading(taken) => self.heard(place, taken),
                // Why it died is known when the keeper has buried it.
                Heard::Gone => return self.hang_up(place, None),
                Heard::Garbage(what) => {
                    return self.hang_up(place, Some(format!("killed, as it sent garbage: {what}")));
                }
            }
        }
    }

    /// Its child has answered. What it says of times is believed as far as it can be true.
    fn heard(&mut self, place: usize, taken: Taken) {
        let now = self.clock.mono();
        let member = &mut self.members[place];
        // A line takes no answer that it did not ask for.
        let Some(mut away) = member.away.take() else { return };
        let taken = taken.within((away.started_wall, away.started), (self.clock.wall(), now));
        let mut frame = std::mem::replace(&mut own(&mut away.section).frame, Frame::new(Limits::default()));
        self.check.pass(&mut frame, &member.schema.shape);
        let outcome = frame.outcome;
        let well = matches!(outcome, ErrorKind::NONE | ErrorKind::UNAVAILABLE);
        if let Some(life) = &member.child.life {
            life.answered(well);
        }
        let Taken { at, at_mono, took, cpu, memory, programs, made } = taken;
        self.ledger.with(|books| books.collectors[place].memory = Some(memory));
        let answer = Answer { at, at_mono, took, cpu, programs, made, reading: Ok(frame) };
        let (failed, over) = self.arrived(place, away, answer);
        let member = &mut self.members[place];
        let good = outcome == ErrorKind::NONE && !failed && !over;
        member.child.good = if good { member.child.good + 1 } else { 0 };
        if member.child.good == GOOD_READINGS {
            member.child.died_of.clear();
            if member.caller.is_some() {
                self.prepare(place);
            }
        }
    }

    /// The line is of no use any more; with `why`, neither is the child.
    pub(super) fn hang_up(&mut self, place: usize, why: Option<String>) {
        let Member { child, tenant, .. } = &mut self.members[place];
        if let Some(line) = child.line.take() {
            self.answers.leave(&line);
        }
        if let (Some(why), Some(life), Some(keeper)) = (why, &child.life, &self.keeper) {
            keeper.kill(*tenant, life, why);
        }
    }

    /// Its call is still out at its next due tick: the child has hung, and another one is asked.
    pub(super) fn give_up(&mut self, place: usize) {
        let member = &mut self.members[place];
        let Some(away) = member.away.take() else { return };
        let why = format!("killed, as it had not answered by its next tick: {}", no_answer_for(member.timeout));
        self.aggregator.give_back(away.section);
        if !away.timed_out {
            self.ledger.with(|books| books.collectors[place].timeouts += 1);
        }
        if away.asked {
            self.hang_up(place, Some(why));
        }
    }

    /// What the keeper tells.
    pub(super) fn learn(&mut self, news: News) {
        let (place, tenant) = news.of();
        if self.members[place].tenant != tenant {
            // Whose they are has left. With them a line is closed.
            return;
        }
        match news {
            News::Up { line, life, .. } => self.is_up(place, line, life),
            News::Settled { .. } => self.members[place].child.settles = true,
            News::Down { cause, again, deaths, .. } => {
                // What it said before it died.
                self.hear(place);
                self.hang_up(place, None);
                self.members[place].child.life = None;
                self.is_down(place, cause, again, deaths);
            }
        }
    }

    fn is_up(&mut self, place: usize, line: Line, life: Arc<Life>) {
        if self.members[place].place != Place::Child {
            return;
        }
        // One that was let go of may have told that it is up before the keeper knew.
        self.hang_up(place, None);
        let member = &mut self.members[place];
        member.child.life = Some(life);
        if let Err(cause) = self.answers.listen(place, &line) {
            return self.hang_up(place, Some(format!("killed, as it could not be listened to: {cause}")));
        }
        member.child.line = Some(line);
        member.child.waits = None;
        let Some(away) = &mut member.away else { return };
        // Between two ticks its own has left without it. Where the next is at hand it is asked at that, and not given up there.
        let (now, is_late) = (self.clock.wall(), member.done);
        if away.timed_out || is_late && member.next_due <= now {
            let given_up = member.away.take();
            given_up.into_iter().for_each(|away| self.aggregator.give_back(away.section));
            return;
        }
        if is_late {
            (away.started, away.started_wall) = (self.clock.mono(), now);
        }
        self.send(place);
    }

    fn is_down(&mut self, place: usize, cause: String, again: Option<Duration>, deaths: u64) {
        let now = self.clock.wall();
        let member = &mut self.members[place];
        // It died on its own while it was let go of: the call that is out now, if one is, is another's.
        if member.place != Place::Child {
            return;
        }
        member.child.good = 0;
        // Said once of a row of deaths: after ten good readings the next one is news.
        if same_words(&member.child.died_of, &cause) {
            tracing::debug!(collector = &*member.name, "{cause}");
        } else {
            let next = if again.is_some() { "; started again" } else { "" };
            tracing::warn!(collector = &*member.name, "{cause}{next}");
            member.child.died_of.clone_from(&cause);
            self.ledger.went_wrong(place, &cause, now);
        }
        self.ledger.with(|books| {
            let entry = &mut books.collectors[place];
            entry.restarts += deaths;
            entry.memory = None;
        });
        self.aggregator.happened(Event {
            collector: Some(Arc::clone(&member.name)),
            count: (deaths > 1).then_some(deaths),
            cause: Some(cause.clone()),
            ..Event::new(EventKind::Restart)
        });
        let away = member.away.take();
        let was_asked = away.as_ref().is_some_and(|away| away.asked);
        match again {
            None => self.quarantine(place, now, format!("its child died too often, the last time: {cause}")),
            Some(Duration::ZERO) => {}
            Some(_) => member.child.waits = Some((now, cause.clone())),
        }
        let Some(away) = away else { return };
        if !was_asked && again == Some(Duration::ZERO) {
            // It is asked when it is back.
            self.members[place].away = Some(away);
            return;
        }
        let member = &self.members[place];
        if member.due && !member.done {
            match again {
                _ if was_asked => self.without(place, Status::Failed, None, &cause),
                Some(_) => self.without(place, Status::Backoff, Some(now), &cause),
                None => self.without(place, Status::Quarantined, Some(now), &cause),
            }
            self.called_at(away.started_wall);
        }
        self.aggregator.give_back(away.section);
    }

    /// It has shown itself in a child: its library is loaded into the agent, while the child goes on.
    fn prepare(&mut self, place: usize) {
        let member = &self.members[place];
        let (Some(verdict), Some(keeper)) = (member.verdict.clone(), &self.keeper) else { return };
        let (name, answers) = (Arc::clone(&member.name), Arc::clone(&self.answers));
        let (tenant, mailbox) = (member.tenant, Arc::clone(&member.mailbox));
        keeper.have_done(move || {
            // Nothing is loaded for who has left meanwhile.
            if mailbox.is_closed() {
                return;
            }
            match verdict(Ok(())) {
                Ok(()) => answers.tell(News::Settled { place, tenant }),
                Err(why) => tracing::warn!(collector = &*name, "stays in its child: {why}"),
            }
        });
    }

    /// It is called in the agent from now on, unless it has failed meanwhile and begins to count again.
    pub(super) fn settle_in(&mut self, place: usize) {
        let child = &mut self.members[place].child;
        if !std::mem::take(&mut child.settles) || child.good < GOOD_READINGS {
            return;
        }
        if let Some(keeper) = &self.keeper {
            keeper.leave(self.members[place].tenant);
        }
        self.hang_up(place, None);
        self.members[place].child.life = None;
        self.moved(place, Place::Agent, &format!("{GOOD_READINGS} good readings in a child"));
    }

    /// It may not be called in the agent any more, where it may be called in a child.
    pub(super) fn throw_out(&mut self, place: usize, why: What) {
        let member = &mut self.members[place];
        let (Some(verdict), Some(keeper)) = (member.verdict.clone(), &self.keeper) else { return };
        if member.place == Place::Child {
            return;
        }
        // Its call, if it is out, is of no interest any more, and its destructor may hang as well.
        member.calls += 1;
        let posted = member.mailbox.dismiss();
        if let Some(away) = member.away.take() {
            self.aggregator.give_back(away.section);
            let strays = usize::from(posted.is_none());
            member.strays += strays;
            self.abandoned += strays;
        }
        std::mem::forget((member.caller.take(), posted));
        keeper.begin(member.tenant);
        keeper.have_done(move || {
            // Nothing is loaded for it.
            let _ = verdict(Err(why));
        });
        self.moved(place, Place::Child, &why.to_string());
    }

    /// A call in the agent has run out of its time.
    pub(super) fn throw_out_if_hung(&mut self, place: usize) {
        let member = &self.members[place];
        if member.place != Place::Child && member.away.as_ref().is_some_and(|away| away.timed_out) {
            self.throw_out(place, What::Hung);
        }
    }
}
