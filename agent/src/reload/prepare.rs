//! The collectors of a reload, made ready beside those that run: who comes is loaded and tried, who is to take over from another
//! is read once in a child of its own, and only then is there a change to be made.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use plugin_api::host_side::roots::Roots;

use super::diff::{Changed, Diff, Step};
use crate::assemble::Timing;
use crate::child::Probe;
use crate::config::plan::CollectorPlan;
use crate::libraries::Libraries;
use crate::plugin::compare::compare;
use crate::record::Slots;
use crate::schedule::change::{Change, Comer};
use crate::schedule::grid::Grid;
use crate::setup::{Member, Recruiting, Setup, SetupError};
use crate::snapshot::{Event, EventKind};

/// What runs, as it is prepared beside.
pub(super) struct Beside<'a> {
    pub(super) members: &'a [Member],
    pub(super) roots: &'a Arc<Roots>,
    pub(super) slots: &'a Slots,
    /// Places that are free, and the next one that never was in use.
    pub(super) vacant: Vec<usize>,
    pub(super) places: usize,
    /// Collectors that fail as they are: whoever takes their place need not be better.
    pub(super) failing: HashSet<String>,
    /// Those that are not looked at before they take over, by the operator's word.
    pub(super) unseen: HashSet<String>,
    /// The replacement of each collector that was looked at last and did not do.
    pub(super) refused: &'a HashMap<String, String>,
    /// One that does not do refuses all.
    pub(super) whole: bool,
}

/// What is ready.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) change: Change,
    /// What runs afterwards, in the order of its sections.
    pub(super) members: Vec<Member>,
    pub(super) places: usize,
    /// Who stays as it was, and why.
    pub(super) kept: Vec<Kept>,
}

/// A collector that stays as it was, as what was to replace it does not do.
pub(super) struct Kept {
    pub(super) name: String,
    /// None where that was told before.
    pub(super) why: Option<String>,
    /// What it was that does not do: it is not looked at again.
    pub(super) candidate: String,
}

impl Beside<'_> {
    /// Makes ready what differs.
    pub(super) fn prepare(
        mut self,
        setup: &Setup,
        libraries: &mut Libraries,
        diff: &Diff,
    ) -> Result<Prepared, SetupError> {
        let mut prepared = Prepared::default();
        let mut recruiting = Recruiting::new(setup, self.roots, libraries, self.slots, true)?;
        for plan in &setup.plan.collectors {
            let step = diff.collectors.iter().find(|(name, _)| *name == plan.name).map(|(_, step)| step);
            let before = self.members.iter().find(|member| member.plan.name == plan.name);
            let member = match (step, before) {
                (Some(Step::Anew(changes)), Some(before)) => {
                    self.replace(plan, before, changes, setup, &mut recruiting, &mut prepared)?
                }
                (Some(Step::Retimed(_)), Some(before)) => {
                    let Timing { interval, offset, timeout } = setup.timing(plan);
                    prepared.change.retime.push((before.place, Grid::new(interval, offset), timeout));
                    before.go_on(plan)
                }
                (_, Some(before)) => before.go_on(plan),
                (_, None) => {
                    let event = Event { collector: Some(plan.name.as_str().into()), ..Event::new(EventKind::Start) };
                    self.come(plan, setup, &mut recruiting, &mut prepared, None, event)?
                }
            };
            prepared.members.push(member);
        }
        for (name, step) in &diff.collectors {
            if let (Step::Goes, Some(member)) = (step, self.members.iter().find(|member| member.plan.name == *name)) {
                prepared.change.leave.push(member.place);
                prepared.change.events.push(Event {
                    collector: Some(name.as_str().into()),
                    cause: Some("it ends".into()),
                    ..Event::new(EventKind::Reload)
                });
            }
        }
        prepared.places = self.places;
        Ok(prepared)
    }

    fn come(
        &mut self,
        plan: &CollectorPlan,
        setup: &Setup,
        recruiting: &mut Recruiting<'_>,
        prepared: &mut Prepared,
        replaces: Option<usize>,
        event: Event,
    ) -> Result<Member, SetupError> {
        let had_none = self.members.iter().any(|member| Some(member.place) == replaces && member.plan.plugin.is_err());
        if let (Err(why), true, false) = (&plan.plugin, self.whole, had_none) {
            return Err(SetupError::Unavailable(vec![format!("collector {}: {why}", plan.name)]));
        }
        let place = self.place();
        let recruited = recruiting.recruit(place, plan, setup.timing(plan));
        if let (Some(why), Ok(_)) = (&recruited.missing, &plan.plugin) {
            if plan.required || self.whole {
                return Err(SetupError::Unavailable(vec![format!("collector {}: {why}", plan.name)]));
            }
            if let Some(before) = self.members.iter().find(|member| Some(member.place) == replaces) {
                self.give_back(place);
                let candidate = recruiting.candidate(plan);
                prepared.kept.push(Kept { name: plan.name.clone(), why: Some(why.clone()), candidate });
                return Ok(before.clone());
            }
            tracing::error!(collector = plan.name, "{why}");
        }
        prepared.change.leave.extend(replaces);
        prepared.change.come.push(Comer { place, recruit: recruited.recruit, replaces, event: Some(event) });
        Ok(Member { place, plan: plan.clone(), library: recruited.library })
    }

    fn replace(
        &mut self,
        plan: &CollectorPlan,
        before: &Member,
        changes: &[Changed],
        setup: &Setup,
        recruiting: &mut Recruiting<'_>,
        prepared: &mut Prepared,
    ) -> Result<Member, SetupError> {
        let candidate = recruiting.candidate(plan);
        let was_seen = !self.whole && self.refused.get(&plan.name) == Some(&candidate);
        let seen = if was_seen { Ok(()) } else { self.look(plan, recruiting) };
        if let (Err(why), true) = (&seen, self.whole) {
            let why =
                format!("collector {}: what was to replace it was started beside it and failed: {why}", plan.name);
            return Err(SetupError::Unavailable(vec![why]));
        }
        if was_seen || seen.is_err() {
            prepared.kept.push(Kept { name: plan.name.clone(), why: seen.err(), candidate });
            return Ok(before.clone());
        }
        let event = event(plan, before, changes);
        self.come(plan, setup, recruiting, prepared, Some(before.place), event)
    }

    /// Whether a collector that is to take over does what it is to do.
    fn look(&self, plan: &CollectorPlan, recruiting: &mut Recruiting<'_>) -> Result<(), String> {
        if self.unseen.contains(&plan.name) {
            return Ok(());
        }
        match recruiting.probe(plan) {
            // Its plugin cannot be had: its section is to say so.
            None | Some(Ok(Probe::Passed(_))) => Ok(()),
            Some(Ok(Probe::Omitted(cause))) => {
                tracing::debug!(collector = plan.name, %cause, "it takes over without having been looked at");
                Ok(())
            }
            Some(Ok(Probe::Failed(_)) | Err(_)) if self.failing.contains(&plan.name) => Ok(()),
            Some(Ok(Probe::Failed(why)) | Err(why)) => Err(why),
        }
    }

    /// A place that nobody comes to after all.
    fn give_back(&mut self, place: usize) {
        if place + 1 == self.places {
            self.places -= 1;
        } else {
            self.vacant.push(place);
        }
    }

    fn place(&mut self) -> usize {
        self.vacant.pop().unwrap_or_else(|| {
            self.places += 1;
            self.places - 1
        })
    }
}

impl Member {
    fn go_on(&self, plan: &CollectorPlan) -> Member {
        Member { plan: plan.clone(), ..self.clone() }
    }
}

/// What is told of a collector that takes over: of another library, what is in it and was not, or the other way round.
fn event(plan: &CollectorPlan, before: &Member, changes: &[Changed]) -> Event {
    let collector = Some(plan.name.as_str().into());
    let Some(library) = changes.iter().find(|change| change.key == "library") else {
        let changes = changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let cause = (!changes.is_empty()).then_some(changes);
        return Event { collector, cause, ..Event::new(EventKind::Reload) };
    };
    let difference = match (&before.plan.plugin, &plan.plugin) {
        (Ok(before), Ok(after)) => compare(&before.manifest, &after.manifest).to_string(),
        _ => String::new(),
    };
    let cause = (!difference.is_empty()).then_some(difference);
    Event { collector, from: library.from.clone(), to: library.to.clone(), cause, ..Event::new(EventKind::Swapped) }
}
