//! Joins what collectors read into one snapshot a tick: settles each answer into a section, derives, numbers, pools.
//!
//! Growth spans from the reading in a collector's last emitted section to this one, so that over timeouts, skipped and
//! missed ticks nothing is lost or counted twice.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::ErrorKind;
use plugin_api::host_side::door::Failure;
use plugin_api::host_side::frame::{Frame, Limits};

use super::derive::{self, derive};
use super::pool::Pool;
use super::{Event, Identity, Mono, Schema, Section, Snapshot, Status, Wall};

/// How many events ride along with one snapshot. More can only come from a storm of changes; the last place then says
/// of what kind the last was, and how many share it.
const EVENTS_MAX: usize = 1000;

/// How many bytes of an error stand in a section. A reading has room for a megabyte of text, which as an error nobody
/// reads, and which would be in every line and in the log.
pub const ERROR_BYTES: usize = 4096;

/// What is said of an error without words.
pub const UNSAID: &str = "it did not say why";

/// What a call came back with.
#[derive(Debug)]
pub struct Answer {
    /// When it began.
    pub at: Wall,
    /// The same moment.
    pub at_mono: Mono,
    /// How long it took.
    pub took: Duration,
    /// CPU time that went into it; of a child that of the whole process since its last answer.
    pub cpu: Duration,
    /// That of the programs which it started, and which ended before the last answer.
    pub programs: Duration,
    /// The collector was made for it: its counters begin anew.
    pub made: bool,
    /// The reading, or why there is no collector to take one.
    pub reading: Result<Frame, Failure>,
}

/// A collector, as its sections are made; what is left of one that has left.
pub struct Member {
    name: Arc<str>,
    schema: Arc<Schema>,
    limits: Limits,
    /// Where its sections stand among those of the others.
    order: usize,
    sections: Pool<Section>,
    /// The last section that was emitted with a reading.
    base: Option<Arc<Section>>,
}

/// What joins readings into snapshots.
pub struct Aggregator {
    identity: Arc<Identity>,
    sequence: u64,
    members: Vec<Member>,
    /// The places of those who are there, in the order of their sections.
    roster: Arc<[usize]>,
    snapshots: Pool<Snapshot>,
    events: Vec<Event>,
    /// Events that share the last place.
    crowded: u64,
    memory: derive::Memory,
}

impl Aggregator {
    /// An aggregator of no collectors.
    pub fn new(identity: Arc<Identity>) -> Aggregator {
        Aggregator {
            identity,
            sequence: 0,
            members: Vec::new(),
            roster: Arc::default(),
            snapshots: Pool::default(),
            events: Vec::new(),
            crowded: 1,
            memory: derive::Memory::default(),
        }
    }

    /// Adds a collector, whose sections stand behind those of all others, and tells its place.
    pub fn add(&mut self, name: Arc<str>, schema: Arc<Schema>, limits: Limits) -> usize {
        let order = self.behind_all();
        self.members.push(Member { name, schema, limits, order, sections: Pool::default(), base: None });
        self.members.len() - 1
    }

    /// Puts another collector in a place, and gives what was there. Its sections stand behind those of all others.
    pub fn replace(&mut self, place: usize, name: Arc<str>, schema: Arc<Schema>, limits: Limits) -> Member {
        let order = self.behind_all();
        let new = Member { name, schema, limits, order, sections: Pool::default(), base: None };
        std::mem::replace(&mut self.members[place], new)
    }

    fn behind_all(&self) -> usize {
        self.members.iter().map(|member| member.order + 1).max().unwrap_or(0)
    }

    /// Has the sections of these places stand in this order, before those of all others.
    pub fn arrange(&mut self, order: &[usize]) {
        let listed = order.len();
        for member in &mut self.members {
            member.order = member.order.saturating_add(listed);
        }
        for (nth, &place) in order.iter().enumerate() {
            if let Some(member) = self.members.get_mut(place) {
                member.order = nth;
            }
        }
        // From 0 without holes, so that a thousand changes later it is no greater than the first time.
        let mut places: Vec<_> = (0..self.members.len()).collect();
        places.sort_by_key(|&place| self.members[place].order);
        for (nth, &place) in places.iter().enumerate() {
            self.members[place].order = nth;
        }
    }

    /// These places have a collector from now on, and no others.
    pub fn call_the_roll(&mut self, places: impl Iterator<Item = usize>) {
        let mut places: Vec<_> = places.collect();
        places.sort_unstable_by_key(|&place| self.members[place].order);
        self.roster = places.into();
    }

    /// Where the sections of a place stand.
    pub fn order(&self, place: usize) -> usize {
        self.members[place].order
    }

    /// Has the snapshots be of this host and bear these labels from now on; the run and its sequence go on.
    pub fn relabel(&mut self, host: Option<String>, labels: Vec<(String, String)>) {
        self.identity = Arc::new(Identity { host, run: self.identity.run.clone(), labels });
    }

    /// Takes back what the sinks have let go of. Once a tick, before the first [`Aggregator::blank`].
    pub fn reclaim(&mut self) {
        self.snapshots.each_free(|snapshot| snapshot.sections.clear());
    }

    /// An empty section of a collector, that nobody else holds.
    pub fn blank(&mut self, place: usize) -> Arc<Section> {
        let member = &mut self.members[place];
        let mut section = member
            .sections
            .take(|| Section::new(Arc::clone(&member.name), place, Arc::clone(&member.schema), member.limits));
        let it = own(&mut section);
        it.clear();
        it.frame.shrink();
        // Its frame may have been lost with a call, or with a collector that could not be made.
        if it.frame.limits() != member.limits {
            it.frame = Frame::new(member.limits);
        }
        section
    }

    /// Takes back a section that is not to be emitted.
    pub fn give_back(&mut self, section: Arc<Section>) {
        let member = &mut self.members[section.place];
        // One of who had the place before is of no use to anybody: its cells mean something else.
        if Arc::ptr_eq(&member.schema, &section.schema) && Arc::ptr_eq(&member.name, &section.name) {
            member.sections.keep(section);
        }
    }

    /// A collector is another one from now on: nothing grows from what the one before it counted.
    pub fn forget(&mut self, place: usize) {
        self.members[place].base = None;
    }

    /// Notes what happened: it rides along with the next snapshot.
    pub fn happened(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        } else if let Some(last) = self.events.last_mut() {
            self.crowded += 1;
            let cause = Some("more happened than fits here".into());
            *last = Event { count: Some(self.crowded), cause, ..Event::new(event.kind) };
        }
    }

    /// The snapshot of a tick, of these sections, which are drained.
    pub fn snapshot(&mut self, timestamp: Wall, sections: &mut Vec<Arc<Section>>) -> Arc<Snapshot> {
        let mut snapshot = self.snapshots.take(|| Snapshot {
            timestamp,
            sequence: 0,
            identity: Arc::clone(&self.identity),
            sections: Vec::new(),
            roster: Arc::clone(&self.roster),
            events: Vec::new(),
        });
        let members = &self.members;
        sections.sort_unstable_by_key(|section| members[section.place].order);
        let it = own(&mut snapshot);
        if !Arc::ptr_eq(&it.identity, &self.identity) {
            it.identity = Arc::clone(&self.identity);
        }
        if !Arc::ptr_eq(&it.roster, &self.roster) {
            it.roster = Arc::clone(&self.roster);
        }
        it.timestamp = timestamp;
        it.sequence = self.sequence;
        self.sequence += 1;
        it.sections.clear();
        it.events.clear();
        it.events.append(&mut self.events);
        self.crowded = 1;
        for mut section in sections.drain(..) {
            let member = &mut self.members[section.place];
            if section.status.has_metrics() {
                grow(own(&mut section), member.base.as_deref(), &mut self.memory);
                member.base = Some(Arc::clone(&section));
            }
            member.sections.keep(Arc::clone(&section));
            it.sections.push(section);
        }
        self.snapshots.keep(Arc::clone(&snapshot));
        snapshot
    }
}

/// What has just been taken from a pool, or made, is nobody else's.
pub fn own<T>(shared: &mut Arc<T>) -> &mut T {
    Arc::get_mut(shared).expect("a thing taken from its pool is held by nobody else")
}

fn grow(section: &mut Section, base: Option<&Section>, memory: &mut derive::Memory) {
    if !section.schema.derives() {
        return;
    }
    let window = base.map(|base| section.at_mono.since(base.at_mono));
    let seconds = window.map_or(0.0, |window| window.as_secs_f64());
    derive(&section.schema, &mut section.frame, base.map(|base| &base.frame), seconds, memory);
    section.window = window;
}

/// Puts an answer into a section: the table of statuses, for what came back.
pub fn settle(section: &mut Section, answer: Answer) {
    section.at = Some(answer.at);
    section.at_mono = answer.at_mono;
    section.took = Some(answer.took);
    section.cpu = Some(answer.cpu.saturating_add(answer.programs));
    match answer.reading {
        Ok(frame) => {
            section.frame = frame;
            let frame = &section.frame;
            section.status = status_in(frame);
            // Mostly there is none, and to read none as UTF-8 is 22 instructions a section, of other functions' code.
            if !frame.message().is_empty() {
                section.error.push_str(brief(&String::from_utf8_lossy(frame.message())));
            }
            if section.status == Status::Partial {
                cut(&mut section.error, frame);
            }
        }
        Err(failure) => {
            section.status = status_of(failure.kind).unwrap_or(Status::Failed);
            section.error.push_str(brief(&failure.message));
        }
    }
    if section.error.is_empty() && matches!(section.status, Status::Failed | Status::Unavailable) {
        section.error.push_str(UNSAID);
    }
}

/// How a collector stands by its reading, over which the check has passed.
pub fn status_in(frame: &Frame) -> Status {
    status_of(frame.outcome).unwrap_or({
        let cut = frame.lost_rows > 0 || frame.lost_texts > 0;
        if cut || !frame.notes().is_empty() { Status::Partial } else { Status::Ok }
    })
}

/// As much of a text of a plugin's as is passed on.
pub fn brief(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_BYTES)]
}

fn status_of(outcome: ErrorKind) -> Option<Status> {
    match outcome {
        ErrorKind::NONE => None,
        ErrorKind::UNAVAILABLE => Some(Status::Unavailable),
        _ => Some(Status::Failed),
    }
}

fn cut(text: &mut String, frame: &Frame) {
    let mut say = |count: u32, what: &str| {
        if count > 0 {
            let start = if text.is_empty() { "over its budget, cut: " } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{start}{count} {what}");
        }
    };
    say(frame.lost_rows, "rows");
    say(frame.lost_texts, "texts");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::EventKind;

    #[test]
    fn events_that_find_no_place_are_counted_in_the_last() {
        let identity = Identity { host: None, run: String::new(), labels: Vec::new() };
        let mut aggregator = Aggregator::new(Arc::new(identity));
        for _ in 0..2 {
            for _ in 0..EVENTS_MAX + 5 {
                aggregator.happened(Event { count: Some(40), ..Event::new(EventKind::Missed) });
            }
            let snapshot = aggregator.snapshot(Wall(0), &mut Vec::new());
            assert_eq!(snapshot.events.len(), EVENTS_MAX);
            assert_eq!(
                (snapshot.events[EVENTS_MAX - 2].count, snapshot.events[EVENTS_MAX - 1].count),
                (Some(40), Some(6))
            );
        }
    }

    #[test]
    fn error_of_a_megabyte_is_cut() {
        let schema = Arc::new(Schema::of_nothing());
        let mut section = Section::new("mock".into(), 0, schema, Limits::default());
        let failure = Failure { kind: ErrorKind::FAILED, message: format!("x{}", "\u{e4}".repeat(1 << 19)) };
        settle(
            &mut section,
            Answer {
                at: Wall(0),
                at_mono: Mono(0),
                took: Duration::ZERO,
                cpu: Duration::ZERO,
                programs: Duration::ZERO,
                made: true,
                reading: Err(failure),
            },
        );
        assert_eq!((section.status, section.error.len()), (Status::Failed, ERROR_BYTES - 1));
    }
}
