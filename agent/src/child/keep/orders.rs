//! Orders to the keeper, from any thread: a list and a bell.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};

use super::news::Life;

use crate::schedule::far::lock;

/// Orders that wait. There are a few a child and tick at most; past this the keeper hangs in a system call, and what is
/// lost is said by the next order of its kind.
const ORDERS_MAX: usize = 10_000;

/// What the keeper is to do.
pub(super) enum Order {
    Begin(usize),
    Kill { place: usize, life: u64, why: String },
    Watch { place: usize, life: u64, line: Option<OwnedFd> },
    Leave(usize),
    Do(Box<dyn FnOnce() + Send>),
    Close,
}

impl Order {
    /// Whether it is the end of a child.
    pub(super) fn ends_a_life(&self) -> bool {
        matches!(self, Order::Leave(_) | Order::Kill { .. })
    }
}

/// How orders reach the keeper: cheap to clone, never waits.
#[derive(Clone)]
pub struct Orders {
    pub(super) queue: Arc<Mutex<Vec<Order>>>,
    pub(super) bell: Arc<OwnedFd>,
}

impl Orders {
    /// A list without orders.
    ///
    /// # Errors
    /// Descriptors have run out.
    pub(super) fn new() -> io::Result<Orders> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Orders { queue: Arc::default(), bell: Arc::new(bell) })
    }

    pub(super) fn give(&self, order: Order) {
        let mut queue = lock(&self.queue);
        if queue.len() < ORDERS_MAX {
            queue.push(order);
        }
        drop(queue);
        // It fails only where it has rung 2^64 times and nobody came.
        let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
    }

    /// The collector at this place is to have a child from now on.
    pub fn begin(&self, place: usize) {
        self.give(Order::Begin(place));
    }

    /// This life is to end; `why` is what its death is told by.
    pub fn kill(&self, place: usize, life: &Life, why: String) {
        self.give(Order::Kill { place, life: life.number, why });
    }

    /// A call is out past its timeout: the keeper ends it after three of them, unless there is something on the
    /// line by then, which the collection thread may be the last to see.
    pub fn watch(&self, place: usize, life: &Life, line: Option<OwnedFd>) {
        self.give(Order::Watch { place, life: life.number, line });
    }

    /// The collector needs no child any more.
    pub fn leave(&self, place: usize) {
        self.give(Order::Leave(place));
    }

    /// The end has come: a child whose line closes from now on is not started again.
    pub fn close(&self) {
        self.give(Order::Close);
    }

    /// Something that may take time, and that nobody waits for: a record to be written.
    pub fn have_done(&self, act: impl FnOnce() + Send + 'static) {
        self.give(Order::Do(Box::new(act)));
    }
}

#[cfg(test)]
impl Orders {
    /// Orders that nobody carries out.
    pub(crate) fn unheard() -> Orders {
        Orders::new().unwrap()
    }

    /// What was ordered since this was asked last, in words. What is to be done is done.
    pub(crate) fn given(&self) -> Vec<String> {
        let orders = std::mem::take(&mut *lock(&self.queue));
        let words = orders.into_iter().map(|order| match order {
            Order::Begin(place) => format!("begin {place}"),
            Order::Kill { place, life, why } => format!("kill {place}, life {life}: {why}"),
            Order::Watch { place, life, .. } => format!("watch {place}, life {life}"),
            Order::Leave(place) => format!("leave {place}"),
            Order::Do(act) => {
                act();
                "do".into()
            }
            Order::Close => "close".into(),
        });
        words.collect()
    }
}
