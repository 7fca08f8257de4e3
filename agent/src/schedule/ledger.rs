//! The agent's own books: what each collector cost and missed. Written by the collection thread once a tick, read by
//! the `agent` section and by whoever asks for the status; nobody asks the collection thread.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::far::lock;
use crate::snapshot::{Mono, Status, Wall};

/// Where a collector is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the agent's collection thread.
    Agent,
    /// In the agent, in a thread of its own.
    Thread,
    /// In a process of its own.
    Child,
}

impl Place {
    /// The word in the data.
    pub const fn word(self) -> &'static str {
        match self {
            Place::Agent => "agent",
            Place::Thread => "thread",
            Place::Child => "child",
        }
    }
}

/// The books of one collector, since the start of the agent.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Arc<str>,
    /// How it stood at its last tick; none before the first.
    pub status: Option<Status>,
    /// Where it is called.
    pub place: Place,
    /// Calls that returned.
    pub calls: u64,
    /// Readings that failed.
    pub failures: u64,
    /// Calls that went past their timeout.
    pub timeouts: u64,
    /// Ticks without a turn before the cut-off.
    pub skipped: u64,
    /// Ticks that passed while the agent slept or was starved.
    pub missed: u64,
    /// Readings that came back too late and were thrown away.
    pub dropped: u64,
    /// Values that were not what was declared.
    pub refused: u64,
    /// Rows that came twice, without a key, or beyond the budget.
    pub rows_lost: u64,
    /// Readings that went over the budget.
    pub over_budget: u64,
    /// Children of it that died or could not be started.
    pub restarts: u64,
    /// Resident memory of its child; none where it has none.
    pub memory: Option<u64>,
    /// Time in calls.
    pub took: Duration,
    /// CPU time in calls; in a child that of the whole process and of what it started, by its own word.
    pub cpu: Duration,
    /// The last call took so long.
    pub last: Duration,
    /// What went wrong last, as it was when it began to; empty where nothing ever did. It stays when all is well again.
    pub error: Arc<str>,
    /// When that began.
    pub since: Wall,
    /// It is not asked any more.
    pub quarantined: bool,
    /// When it is due next.
    pub next_due: Wall,
    /// Where its section stands among those of the others.
    pub order: usize,
    /// The collector has left, and nobody has come in its place yet: the rest of this says nothing.
    pub vacant: bool,
    /// A call of who was here is still out: nobody can come here before it is back.
    pub busy: bool,
}

impl Entry {
    /// Of a collector that has just come.
    fn new(name: Arc<str>, place: Place, order: usize) -> Entry {
        Entry {
            name,
            status: None,
            place,
            calls: 0,
            failures: 0,
            timeouts: 0,
            skipped: 0,
            missed: 0,
            dropped: 0,
            refused: 0,
            rows_lost: 0,
            over_budget: 0,
            restarts: 0,
            memory: None,
            took: Duration::ZERO,
            cpu: Duration::ZERO,
            last: Duration::ZERO,
            error: "".into(),
            since: Wall(0),
            quarantined: false,
            next_due: Wall(0),
            order,
            vacant: false,
            busy: false,
        }
    }
}

/// The books.
#[derive(Debug, Default)]
pub struct Ledger {
    inner: Mutex<Books>,
}

/// What the books hold.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// A collector each, by its place. Some may be vacant.
    pub collectors: Vec<Entry>,
    /// Snapshots emitted.
    pub snapshots: u64,
    /// How late the last tick began.
    pub late: Duration,
    /// The last tick.
    pub tick: Wall,
    /// When the next is due.
    pub next_due: Wall,
    /// Until when the tick that is going on may; 0 between two.
    pub cut_off: Mono,
}

impl Ledger {
    /// Opens the books of a collector that comes to this place: a vacant one, or the next after the last.
    pub fn open(&self, index: usize, name: Arc<str>, place: Place, order: usize) {
        let books = &mut lock(&self.inner).collectors;
        let entry = Entry::new(name, place, order);
        match books.get_mut(index) {
            Some(vacant) => *vacant = entry,
            None => books.push(entry),
        }
    }

    /// Takes down what went wrong, where something did.
    pub fn went_wrong(&self, index: usize, error: &str, since: Wall) {
        if !error.is_empty() {
            self.with(|books| {
                let entry = &mut books.collectors[index];
                (entry.error, entry.since) = (error.into(), since);
            });
        }
    }

    /// Reads or writes them. Short: the collection thread may be waiting.
    pub fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        act(&mut lock(&self.inner))
    }

    /// Copies them into memory that is reused.
    pub fn copy_to(&self, copy: &mut Books) {
        let books = lock(&self.inner);
        copy.collectors.clone_from(&books.collectors);
        (copy.snapshots, copy.late, copy.tick) = (books.snapshots, books.late, books.tick);
        (copy.next_due, copy.cut_off) = (books.next_due, books.cut_off);
    }
}
