//! What an encoder remembers of the lines before: all that is the same until somebody else is at hand, which the shared things tell that it
//! is of. To render it in each line was a tenth of a line, and code that a tick need not run.

use std::sync::Arc;

use super::line::Line;
use crate::sink::encode::plan::Plan;
use crate::snapshot::{Identity, Schema, Section};

/// What is remembered.
#[derive(Default)]
pub struct Known {
    envelope: Option<(Arc<Identity>, Envelope)>,
    /// By the place of the collector.
    plans: Vec<Option<Planned>>,
}

/// What stands around the sequence of a snapshot.
pub struct Envelope {
    pub before: Vec<u8>,
    pub behind: Vec<u8>,
}

/// A plan, and what it was made of.
struct Planned {
    name: Arc<str>,
    schema: Arc<Schema>,
    plan: Plan,
}

impl Known {
    /// What stands around the sequence in the snapshots of this identity.
    pub fn envelope(&mut self, identity: &Arc<Identity>) -> &Envelope {
        if !self.envelope.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, identity)) {
            self.envelope = None;
        }
        &self.envelope.get_or_insert_with(|| (Arc::clone(identity), Envelope::of(identity))).1
    }

    /// The plan of a section.
    pub fn plan(&mut self, section: &Section) -> &Plan {
        let Section { name, schema, place, .. } = section;
        if self.plans.len() <= *place {
            self.plans.resize_with(place + 1, || None);
        }
        let slot = &mut self.plans[*place];
        let is_of_it = |known: &Planned| Arc::ptr_eq(&known.name, name) && Arc::ptr_eq(&known.schema, schema);
        if !slot.as_ref().is_some_and(is_of_it) {
            *slot = None;
        }
        let made = || Planned { name: Arc::clone(name), schema: Arc::clone(schema), plan: Plan::of(name, schema) };
        &slot.get_or_insert_with(made).plan
    }
}

impl Envelope {
    fn of(identity: &Identity) -> Envelope {
        let (mut before, mut behind) = (Line::default(), Line::default());
        before.literal(b",\"host\":");
        match &identity.host {
            Some(host) => before.string(host.as_bytes()),
            None => before.literal(b"null"),
        }
        before.literal(b",\"run\":");
        before.string(identity.run.as_bytes());
        before.literal(b",\"sequence\":");
        behind.literal(b",\"labels\":{");
        for (place, (name, value)) in identity.labels.iter().enumerate() {
            behind.comma(place);
            behind.string(name.as_bytes());
            behind.byte(b':');
            behind.string(value.as_bytes());
        }
        behind.byte(b'}');
        Envelope { before: before.written().into(), behind: behind.written().into() }
    }
}
