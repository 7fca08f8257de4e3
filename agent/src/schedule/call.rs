//! One call of one collector: everything it needs moves in, and comes back with it.
//!
//! A call that never returns keeps what it was given; the agent holds no reference to any of it.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::door::{Failure, Instance};
use plugin_api::host_side::frame::Frame;

use super::clock::{Clock, thread_cpu};
use super::far::Mailbox;
use crate::record::Slot;
use crate::snapshot::Schema;
use crate::snapshot::aggregate::Answer;

/// Makes an instance of a collector: at its first call, and after a panic.
pub type Maker = Box<dyn FnMut() -> Result<Instance, Failure> + Send>;

/// A call to be made.
pub struct Call {
    /// Whose: the collector's place.
    pub place: usize,
    /// Which of its calls: one that was given up meanwhile is told by it.
    pub number: u64,
    /// The collector.
    pub caller: Caller,
    /// Where its reading goes.
    pub frame: Frame,
    /// What the frame must look like.
    pub schema: Arc<Schema>,
    /// How long it has.
    pub time_left: Duration,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
}

/// A collector, as it moves from call to call.
pub struct Caller {
    maker: Maker,
    instance: Option<Instance>,
    /// Where a thread that it comes to have finds its next call.
    mailbox: Arc<Mailbox>,
}

/// A call that has returned.
pub struct Returned {
    /// Whose.
    pub place: usize,
    /// Which of its calls.
    pub number: u64,
    /// The collector, back again.
    pub caller: Caller,
    /// What it says.
    pub answer: Answer,
}

impl Caller {
    /// A collector that is made when it is first called.
    pub fn new(maker: Maker, mailbox: Arc<Mailbox>) -> Caller {
        Caller { maker, instance: None, mailbox }
    }

    /// Where a thread of its own finds its next call.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }
}

impl Call {
    /// Calls. May take for ever, or end the process: `slot` tells the next agent who it was.
    pub fn run(mut self, slot: &Slot) -> Returned {
        let made = self.caller.instance.is_none();
        // Around the call and nothing else. One reading between two calls would do for both and save 1 µs of 3 a tick of four
        // collectors (0.4 to 1 µs each); but it would give each what the agent does with the answer of the one before it.
        let before = thread_cpu();
        let (at, at_mono) = (self.clock.wall(), self.clock.mono());
        // Places are few: the table of collectors would not fit into memory before they did not fit into 32 bits.
        slot.enter(self.place as u32);
        let reading = self.caller.read(self.frame, &self.schema, self.time_left);
        slot.leave();
        let took = self.clock.mono().since(at_mono);
        let cpu = thread_cpu().saturating_sub(before);
        let answer = Answer { at, at_mono, took, cpu, programs: Duration::ZERO, made, reading };
        Returned { place: self.place, number: self.number, caller: self.caller, answer }
    }
}

impl Caller {
    fn read(&mut self, mut frame: Frame, schema: &Schema, time_left: Duration) -> Result<Frame, Failure> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => (self.maker)()?,
        };
        instance.collect(&mut frame, &schema.shape, time_left);
        // What panicked is not called again: the next call makes a new one.
        if frame.outcome != plugin_api::ErrorKind::PANICKED {
            self.instance = Some(instance);
        }
        Ok(frame)
    }
}
