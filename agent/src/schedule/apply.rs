//! A change, made: who leaves, who comes, who is due when. Between two ticks, when all sections of the last have been handed on.
//!
//! What had a place moves out of it as a whole, so that nothing of it can be taken for a thing of who comes next: a call that is
//! still out is told by its number, a child by its tenant, a section by its schema.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::call::Caller;
use super::change::{Applied, Change, Changes, Comer, Counter};
use super::grid::Grid;
use super::ledger::Place;
use super::member::{Home, Member, Recruit};
use super::tick::Schedule;
use crate::child::keep::Ward;
use crate::snapshot::{Wall, aggregate};

/// Who comes when the next tick is nearer than this is read in it: a tick of its own would have less than that for a collector
/// that has still to be made.
const JOINS_WITHIN: Duration = Duration::from_millis(40);

impl Schedule {
    /// Where changes of this schedule are asked for. `ring` has its clock's sleep end with [`Wake::Called`](super::clock::Wake).
    pub fn changes(&mut self, ring: impl Fn() + Send + Sync + 'static) -> Changes {
        let (answers, ledger) = (Arc::clone(&self.answers), Arc::clone(&self.ledger));
        let (changes, counter) = Counter::open(ring, answers, ledger, Arc::clone(&self.clock));
        self.counter = Some(counter);
        changes
    }

    /// Somebody wants something. Tells whether a tick has begun of it, of those who have come.
    pub(super) fn called(&mut self) -> bool {
        let Some(change) = self.counter.as_ref().and_then(Counter::take) else { return false };
        let now = self.clock.wall();
        let outcome = self.apply(change, now);
        let begins = self.bring_in(now);
        self.book_due();
        if let Some(counter) = &self.counter {
            counter.done(outcome);
        }
        if begins {
            self.begin(now, now);
        }
        begins
    }

    /// Decides when those are read who have just come, and tells whether that is now, in a tick of their own.
    fn bring_in(&mut self, now: Wall) -> bool {
        if !self.members.iter().any(|member| member.is_fresh) {
            return false;
        }
        let others = self.members.iter().filter(|member| !member.is_fresh).map(|member| member.next_due);
        let next = others.min().unwrap_or(Wall(u64::MAX));
        let joins = next <= now.plus(JOINS_WITHIN);
        for member in &mut self.members {
            if !joins {
                member.due = member.is_fresh;
            }
            if member.is_fresh {
                member.next_due = next;
            }
            if member.is_fresh && !joins {
                member.goes_on_from(now);
            }
        }
        !joins
    }

    /// Makes a change, whole.
    ///
    /// # Errors
    /// It does not fit, in words, and nothing of it was made.
    fn apply(&mut self, change: Change, now: Wall) -> Result<Applied, String> {
        self.fits(&change)?;
        let Change { leave, come, retime, order, labels, keeper, events } = change;
        if self.keeper.is_none() {
            self.keeper = keeper;
        }
        let before: Vec<_> = leave.iter().map(|&place| (place, self.when(place))).collect();
        let (mut left, mut remains) = (Vec::new(), Vec::new());
        for &place in &leave {
            let (caller, remainder) = self.depart(place);
            left.extend(caller);
            remains.push(remainder);
        }
        events.into_iter().for_each(|event| self.aggregator.happened(event));
        for Comer { place, recruit, replaces, event } in come {
            let replaced = before.iter().find(|(left, _)| replaces == Some(*left)).map(|(_, when)| *when);
            self.arrive(place, recruit, replaced, now);
            event.into_iter().for_each(|event| self.aggregator.happened(event));
        }
        for (place, grid, timeout) in retime {
            let member = &mut self.members[place];
            (member.grid, member.timeout) = (grid, timeout);
            // A tick that is due by now is not lost to a change that came with it.
            if !member.is_fresh && member.next_due > now {
                member.next_due = grid.after(now);
            }
        }
        if !order.is_empty() {
            self.aggregator.arrange(&order);
        }
        if let Some((host, labels)) = labels {
            self.aggregator.relabel(host, labels);
        }
        self.call_the_roll();
        let aggregator = &self.aggregator;
        self.ledger.with(|books| {
            for (place, entry) in books.collectors.iter_mut().enumerate() {
                entry.order = aggregator.order(place);
            }
        });
        let places = self.members.iter().enumerate();
        let vacant = places.filter(|(_, member)| member.is_free()).map(|(place, _)| place).collect();
        Ok(Applied::new(vacant, left, remains))
    }

    /// Whether a change can be made as a whole, or why not.
    fn fits(&self, change: &Change) -> Result<(), String> {
        let is_here = |place: usize| self.members.get(place).is_some_and(|member| !member.is_vacant);
        let mut leave = HashSet::new();
        if let Some(place) = change.leave.iter().find(|&&place| !is_here(place) || !leave.insert(place)) {
            return Err(format!("nobody leaves place {place}"));
        }
        let stays = |place: usize| is_here(place) && !leave.contains(&place);
        let (mut come, mut replaced) = (HashSet::new(), HashSet::new());
        // So far the places may reach: each who comes opens one more at most.
        let end = self.members.len() + change.come.len();
        for Comer { place, recruit, replaces, .. } in &change.come {
            let is_free = self.members.get(*place).is_none_or(Member::is_free) && *place < end;
            if !is_free || !come.insert(*place) {
                return Err(format!("collector {} cannot come to place {place}, which is not free", recruit.name));
            }
            if let Some(place) = replaces
                && (!leave.contains(place) || !replaced.insert(*place))
            {
                return Err(format!("collector {} cannot replace place {place}", recruit.name));
            }
            let has_child = matches!(recruit.home, Ok(Home::Child(_) | Home::Either { .. }));
            if has_child && self.keeper.is_none() && change.keeper.is_none() {
                return Err(format!("collector {} needs a child, and nobody keeps children", recruit.name));
            }
        }
        if let Some((place, ..)) = change.retime.iter().find(|(place, ..)| !stays(*place)) {
            return Err(format!("nobody is retimed in place {place}"));
        }
        let mut ordered = HashSet::new();
        let mut is_right = |place| (stays(place) || come.contains(&place)) && ordered.insert(place);
        match change.order.iter().find(|&&place| !is_right(place)) {
            Some(place) => Err(format!("place {place} is not one to be put in order")),
            None => Ok(()),
        }
    }

    /// When a collector is called.
    fn when(&self, place: usize) -> (Grid, Wall) {
        (self.members[place].grid, self.members[place].next_due)
    }

    /// A collector leaves for good: what can be dropped of it.
    fn depart(&mut self, place: usize) -> (Option<Caller>, (Member, aggregate::Member)) {
        let member = &self.members[place];
        if let (true, Some(keeper)) = (member.has_ward, &self.keeper) {
            // Before its line is closed, of which the child ends by itself.
            keeper.dismiss(member.tenant);
        }
        self.hang_up(place, None);
        let member = &mut self.members[place];
        // Whatever comes back from now on is of a call that is none of its last.
        let vacant = Member::vacant(member.calls + 1, member.strays);
        let mut member = std::mem::replace(member, vacant);
        let posted = member.mailbox.close();
        if posted.is_none() && member.place != Place::Child && member.away.is_some() {
            self.members[place].strays += 1;
            self.abandoned += 1;
        }
        let caller = member.caller.take().or(posted.map(|call| call.caller));
        let is_busy = !self.members[place].is_free();
        self.ledger.with(|books| {
            let entry = &mut books.collectors[place];
            (entry.vacant, entry.busy, entry.memory) = (true, is_busy, None);
        });
        let nothing = &self.members[place];
        let schema = Arc::clone(&nothing.schema);
        let readings = self.aggregator.replace(place, Arc::clone(&nothing.name), schema, nothing.limits());
        (caller, (member, readings))
    }

    /// A collector comes to a place that is free. Where it replaces another, it goes on as that was timed.
    fn arrive(&mut self, place: usize, recruit: Recruit, replaced: Option<(Grid, Wall)>, now: Wall) {
        while self.members.len() <= place {
            let vacant = Member::vacant(0, 0);
            self.aggregator.add(Arc::clone(&vacant.name), Arc::clone(&vacant.schema), vacant.limits());
            self.members.push(vacant);
        }
        let grid = recruit.grid;
        let ward = self.enlist(place, recruit);
        let member = &mut self.members[place];
        match replaced {
            Some((before, due)) if before == grid || due <= now => member.next_due = due,
            Some(_) => member.next_due = grid.after(now),
            None => member.is_fresh = true,
        }
        if let (Some(ward), Some(keeper)) = (ward, &self.keeper) {
            keeper.take(ward);
            if member.place == Place::Child {
                keeper.begin(member.tenant);
            }
        }
    }

    /// Puts a collector into a place that is free, and gives what its children are kept by where it has or may have some.
    pub(super) fn enlist(&mut self, place: usize, recruit: Recruit) -> Option<Ward> {
        let tenant = self.tenants;
        self.tenants += 1;
        let before = &self.members[place];
        let (mut member, starter) = Member::new(recruit, tenant);
        member.calls = before.calls;
        let (limits, memory) = (member.limits(), member.allowance.memory);
        let (name, schema) = (Arc::clone(&member.name), Arc::clone(&member.schema));
        drop(self.aggregator.replace(place, name, schema, limits));
        let order = self.aggregator.order(place);
        self.ledger.open(place, Arc::clone(&member.name), member.place, order);
        self.members[place] = member;
        starter.map(|starter| Ward { place, tenant, starter, limits, memory })
    }

    /// Takes down who is there.
    pub(super) fn call_the_roll(&mut self) {
        let places = self.members.iter().enumerate().filter(|(_, member)| !member.is_vacant);
        self.aggregator.call_the_roll(places.map(|(place, _)| place));
    }

    /// Takes down who is due when.
    pub(super) fn book_due(&mut self) {
        let members = &self.members;
        self.ledger.with(|books| {
            books.next_due = Wall(u64::MAX);
            for (entry, member) in books.collectors.iter_mut().zip(members) {
                entry.next_due = member.next_due;
                books.next_due = books.next_due.min(member.next_due);
            }
        });
    }
}
