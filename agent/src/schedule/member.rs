//! A collector, as the schedule holds it.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::frame::Limits;
use plugin_api::host_side::manifest::Allowance;

use super::call::{Caller, Maker};
use super::far::Mailbox;
use super::grid::Grid;
use super::health::Health;
use super::ledger::Place;
use crate::child::Line;
use crate::child::keep::{Life, Starter};
use crate::record::What;
use crate::snapshot::{Mono, Schema, Section, Wall};

/// A collector to be scheduled.
pub struct Recruit {
    /// The configured name.
    pub name: Arc<str>,
    /// What its cells mean.
    pub schema: Arc<Schema>,
    /// When it is due.
    pub grid: Grid,
    /// How long a call may take.
    pub timeout: Duration,
    /// What it may cost.
    pub allowance: Allowance,
    /// Where it can be called, or why it cannot be had.
    pub home: Result<Home, String>,
}

/// Where a collector can be called.
pub enum Home {
    /// In the agent.
    Agent(Maker),
    /// In a child.
    Child(Starter),
    /// In both: at first in a child, unless it has shown itself before.
    Either {
        /// In the agent.
        maker: Maker,
        /// In a child.
        starter: Starter,
        /// It has shown itself.
        settled: bool,
        /// Takes down what it showed: it settles in the agent, or had to leave it, and why. May take its time.
        verdict: Verdict,
    },
}

/// Loads the library of a collector that settles in the agent, and takes that down; or takes down why it had to leave it.
/// Fails where it cannot be loaded.
pub type Verdict = Arc<dyn Fn(Result<(), What>) -> Result<(), String> + Send + Sync>;

pub(super) struct Member {
    /// Which of all that ever came it is: news of another are none of its.
    pub(super) tenant: u64,
    /// Nobody is here. What calls there were has gone on counting.
    pub(super) is_vacant: bool,
    /// Calls from this place that were given up and whose threads are still in them. Until they are back nobody can come here: a death
    /// in one of them would be told of the wrong one.
    pub(super) strays: usize,
    /// It has just come and was not read yet: it is due off its grid.
    pub(super) is_fresh: bool,
    pub(super) name: Arc<str>,
    pub(super) schema: Arc<Schema>,
    pub(super) grid: Grid,
    pub(super) timeout: Duration,
    pub(super) allowance: Allowance,
    pub(super) next_due: Wall,
    pub(super) health: Health,
    /// Why it cannot be had, where it cannot.
    pub(super) hopeless: Option<String>,
    /// Where it is called.
    pub(super) place: Place,
    /// The collector, while it is in the agent and in no call.
    pub(super) caller: Option<Caller>,
    /// The keeper knows it.
    pub(super) has_ward: bool,
    /// Its child.
    pub(super) child: Remote,
    /// It may move between the agent and a child.
    pub(super) verdict: Option<Verdict>,
    /// How often it was called: a call that was given up is told by its number.
    pub(super) calls: u64,
    /// The call that it is in.
    pub(super) away: Option<Away>,
    pub(super) mailbox: Arc<Mailbox>,
    /// A reading that came between two ticks.
    pub(super) late: Option<Arc<Section>>,
    pub(super) due: bool,
    /// Its section of this tick is there.
    pub(super) done: bool,
}

impl Member {
    /// One that was recruited, and what its children are started by where it may have some.
    pub(super) fn new(recruit: Recruit, tenant: u64) -> (Member, Option<Starter>) {
        let Recruit { name, schema, grid, timeout, allowance, home } = recruit;
        let (hopeless, place, maker, starter, verdict) = match home {
            Err(why) => (Some(why), Place::Agent, None, None, None),
            Ok(Home::Agent(maker)) => (None, Place::Agent, Some(maker), None, None),
            Ok(Home::Child(starter)) => (None, Place::Child, None, Some(starter), None),
            Ok(Home::Either { maker, starter, settled, verdict }) => {
                let place = if settled { Place::Agent } else { Place::Child };
                (None, place, Some(maker), Some(starter), Some(verdict))
            }
        };
        let mailbox = Arc::new(Mailbox::default());
        let member = Member {
            tenant,
            is_vacant: false,
            strays: 0,
            is_fresh: false,
            name,
            schema,
            grid,
            timeout,
            allowance,
            next_due: Wall(0),
            health: Health::new(),
            hopeless,
            place,
            caller: maker.map(|maker| Caller::new(maker, Arc::clone(&mailbox))),
            has_ward: starter.is_some(),
            child: Remote::default(),
            verdict,
            calls: 0,
            away: None,
            mailbox,
            late: None,
            due: false,
            done: false,
        };
        (member, starter)
    }

    /// Nobody, who is never due.
    pub(super) fn vacant(calls: u64, strays: usize) -> Member {
        let nobody = Recruit {
            name: "".into(),
            schema: Arc::new(Schema::of_nothing()),
            grid: Grid::new(Duration::ZERO, Duration::ZERO),
            timeout: Duration::ZERO,
            allowance: Allowance::default(),
            home: Err(String::new()),
        };
        // News of nobody come to nobody: no tenant has this number.
        let (member, _) = Member::new(nobody, u64::MAX);
        Member { is_vacant: true, calls, strays, next_due: Wall(u64::MAX), ..member }
    }

    /// Whether somebody can come here.
    pub(super) fn is_free(&self) -> bool {
        self.is_vacant && self.strays == 0
    }

    /// How much a reading may hold.
    pub(super) fn limits(&self) -> Limits {
        self.allowance.limits.holding(self.schema.shape.scalars.len())
    }

    /// It is read at this tick: when next. One that has just come passes over what is nearer than half an interval, as at the
    /// start of the agent.
    pub(super) fn goes_on_from(&mut self, tick: Wall) {
        let is_fresh = std::mem::replace(&mut self.is_fresh, false);
        self.next_due = if is_fresh { self.grid.first(tick) } else { self.grid.after(tick) };
    }
}

/// A collector's child, as the collection thread knows it.
#[derive(Default)]
pub(super) struct Remote {
    /// What it is asked by.
    pub(super) line: Option<Line>,
    /// Which life of it this is, until its end is told: a child that closes its end of the line need not be dead.
    pub(super) life: Option<Arc<Life>>,
    /// It died then and of that, and is not started again at once.
    pub(super) waits: Option<(Wall, String)>,
    /// Why it died last.
    pub(super) died_of: String,
    /// Good readings in a row: of a collector that has nothing to measure nobody has seen how it does so.
    pub(super) good: u32,
    /// The library is loaded into the agent: the collector moves there when it is next due.
    pub(super) settles: bool,
}

pub(super) struct Away {
    pub(super) section: Arc<Section>,
    pub(super) started: Mono,
    pub(super) started_wall: Wall,
    pub(super) timed_out: bool,
    /// So many others hang that it is not asked again if it hangs as well.
    pub(super) one_too_many: bool,
    /// The request is out; a child that is not there yet is asked when it is.
    pub(super) asked: bool,
}
