//! Collectors that come, go and are retimed while the agent runs: what is to be different, and where that waits for the edge of a
//! tick.
//!
//! Promises: a change is made between two ticks, as a whole or not at all; who posts it waits, the collection thread never does.
//! What has left is handed back to the poster, so that it is dropped where its destructors hold nobody up.
//! Refused is what could only be made in part: a place that somebody has, a child where nobody keeps children.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::call::Caller;
use super::clock::Clock;
use super::far::{Answers, lock};
use super::grid::Grid;
use super::ledger::Ledger;
use super::member::{Member, Recruit};
use crate::child::keep::Orders;
use crate::snapshot::{Event, aggregate};

/// A tick in which collectors are still out so long after a change was posted waits for them no more: nobody who answers in time does
/// so after a second, and an operator sits before a prompt.
pub const HURRY_AFTER: Duration = Duration::from_secs(1);

/// What is different from the next edge of a tick on.
#[derive(Default)]
pub struct Change {
    /// The places whose collectors end.
    pub leave: Vec<usize>,
    /// Who comes.
    pub come: Vec<Comer>,
    /// Place, grid and timeout of those that go on otherwise. The next due moment is the first of the grid, but for one that is here
    /// already.
    pub retime: Vec<(usize, Grid, Duration)>,
    /// All places that have a collector afterwards, in the order of their sections. Empty, it stays as it was, with who comes at the
    /// end.
    pub order: Vec<usize>,
    /// The host and the labels of the snapshots. Run and sequence go on.
    pub labels: Option<(Option<String>, Vec<(String, String)>)>,
    /// Who keeps the children, where there was nobody yet.
    pub keeper: Option<Orders>,
    /// What is told with the next snapshot, before the events of those who come.
    pub events: Vec<Event>,
}

/// A collector that comes.
pub struct Comer {
    /// Where: a place that is vacant ([`Applied::vacant`]), or the next after the last. Never one that is left by the same change.
    pub place: usize,
    /// It.
    pub recruit: Recruit,
    /// The place of one that leaves, whose next due moment it takes over where their grids are the same. Without one it is read at
    /// once.
    pub replaces: Option<usize>,
    /// What is told of it with its first snapshot, or with the first after the change.
    pub event: Option<Event>,
}

/// What came of a change.
pub struct Applied {
    /// The places where somebody can come now. One whose collector is still in a call is among them when that is back, at a later change.
    pub vacant: Vec<usize>,
    /// The collectors that have left and were in no call. Their destructors may hang.
    pub left: Vec<Caller>,
    /// Their readings and the memory for them, which takes a moment to give back.
    _remains: Vec<(Member, aggregate::Member)>,
}

impl Applied {
    pub(super) fn new(vacant: Vec<usize>, left: Vec<Caller>, remains: Vec<(Member, aggregate::Member)>) -> Applied {
        Applied { vacant, left, _remains: remains }
    }
}

/// Why a change was not made. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// No edge of a tick came, or another change was before it, for as long as somebody was ready to wait.
    Late(Duration),
    /// The collection has ended, or ends.
    Ended,
    /// It fits no schedule: why.
    Misfit(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Late(patience) => {
                let patience = humantime::format_duration(*patience);
                write!(f, "the collection did not come to the edge of a tick within {patience}: nothing was changed")
            }
            Unanswered::Ended => f.write_str("the agent ends: nothing was changed"),
            Unanswered::Misfit(why) => write!(f, "the change does not fit what runs, and nothing was changed: {why}"),
        }
    }
}

impl Error for Unanswered {}

/// Where a change waits for the edge of a tick. Cheap to clone; for any thread but the collection thread.
#[derive(Clone)]
pub struct Changes(Arc<Desk>);

impl Changes {
    /// Makes a change, and waits until it is made. One that waits for longer than [`HURRY_AFTER`] hurries the tick that is going on: who
    /// is out in that is pending. After `patience` it is taken back.
    ///
    /// # Errors
    /// It was not made, and nothing of it.
    pub fn make(&self, change: Change, patience: Duration) -> Result<Applied, Unanswered> {
        let desk = &*self.0;
        let (hurry, until) = (after(HURRY_AFTER.min(patience)), after(patience));
        let mut paper = desk.wait(lock(&desk.paper), until, |paper| paper.is_taken);
        if paper.is_closed || paper.is_taken {
            return Err(if paper.is_closed { Unanswered::Ended } else { Unanswered::Late(patience) });
        }
        paper.is_taken = true;
        paper.posted = Some(change);
        drop(paper);
        (desk.ring)();
        let mut paper = desk.wait(lock(&desk.paper), hurry, |paper| paper.posted.is_some());
        if paper.posted.is_some() && !paper.is_closed {
            desk.answers.press(true);
            paper = desk.wait(paper, until, |paper| paper.posted.is_some());
        }
        let back = paper.posted.take();
        if back.is_some() {
            desk.answers.press(false);
        } else {
            // It was taken, and is being made: that waits for nobody.
            paper = desk.wait(paper, None, |paper| paper.outcome.is_none());
        }
        let outcome = paper.outcome.take();
        paper.is_taken = false;
        let is_closed = paper.is_closed;
        drop(paper);
        desk.told.notify_all();
        match outcome {
            Some(outcome) => outcome.map_err(Unanswered::Misfit),
            None if is_closed => Err(Unanswered::Ended),
            None => Err(Unanswered::Late(patience)),
        }
    }

    /// Whether the collection thread is well: it is in a tick whose cut-off is still to come, or gives a sign of life within `patience`
    /// and has no tick before it that was due for longer than `late`.
    pub fn is_well(&self, patience: Duration, late: Duration) -> bool {
        let desk = &*self.0;
        let is_at_work = || desk.ledger.with(|books| books.cut_off) > desk.clock.mono();
        if is_at_work() {
            return true;
        }
        let before = lock(&desk.paper).signs;
        (desk.ring)();
        let paper = desk.wait(lock(&desk.paper), after(patience), |paper| paper.signs == before);
        let (is_closed, has_answered) = (paper.is_closed, paper.signs != before);
        drop(paper);
        // A tick may have begun just before the bell was heard.
        !is_closed && (has_answered && self.is_in_time(late) || is_at_work())
    }

    fn is_in_time(&self, late: Duration) -> bool {
        let desk = &*self.0;
        desk.clock.wall() <= desk.ledger.with(|books| books.next_due).plus(late)
    }
}

/// None for ever.
fn after(patience: Duration) -> Option<Instant> {
    Instant::now().checked_add(patience)
}

/// What lies between those who want changes and the collection thread.
struct Desk {
    paper: Mutex<Paper>,
    told: Condvar,
    /// Wakes the collection thread where it sleeps, or keeps it from the next sleep.
    ring: Box<dyn Fn() + Send + Sync>,
    answers: Arc<Answers>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Paper {
    /// Somebody's change is here, or its outcome: others wait for their turn.
    is_taken: bool,
    posted: Option<Change>,
    outcome: Option<Result<Applied, String>>,
    /// How often the collection thread has looked.
    signs: u64,
    is_closed: bool,
}

impl Desk {
    /// Waits for as long as this is so, `until` at most, and no longer than until the end.
    fn wait<'a>(
        &self,
        mut paper: MutexGuard<'a, Paper>,
        until: Option<Instant>,
        is_so: impl Fn(&Paper) -> bool,
    ) -> MutexGuard<'a, Paper> {
        while is_so(&paper) && !paper.is_closed {
            paper = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.told.wait(paper).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return paper,
                Some(left) => self.told.wait_timeout(paper, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        paper
    }
}

/// The collection thread's side of it. When it goes, whoever waits is told that the end has come.
pub(super) struct Counter(Arc<Desk>);

impl Counter {
    /// The two sides of a new desk. `ring` ends the sleep of the collection thread.
    pub(super) fn open(
        ring: impl Fn() + Send + Sync + 'static,
        answers: Arc<Answers>,
        ledger: Arc<Ledger>,
        clock: Arc<dyn Clock>,
    ) -> (Changes, Counter) {
        let (paper, told) = (Mutex::default(), Condvar::new());
        let desk = Arc::new(Desk { paper, told, ring: Box::new(ring), answers, ledger, clock });
        (Changes(Arc::clone(&desk)), Counter(desk))
    }

    /// Takes what is wanted, for good. That it looks is a sign of life.
    pub(super) fn take(&self) -> Option<Change> {
        let mut paper = lock(&self.0.paper);
        paper.signs += 1;
        let change = paper.posted.take();
        if change.is_some() {
            // The tick that was hurried is over.
            self.0.answers.press(false);
        }
        drop(paper);
        self.0.told.notify_all();
        change
    }

    /// Tells what came of it.
    pub(super) fn done(&self, outcome: Result<Applied, String>) {
        lock(&self.0.paper).outcome = Some(outcome);
        self.0.told.notify_all();
    }

    /// Nothing is changed any more.
    pub(super) fn close(&self) {
        lock(&self.0.paper).is_closed = true;
        self.0.told.notify_all();
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.close();
    }
}
