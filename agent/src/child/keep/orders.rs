//! Orders to the keeper, from any thread: a list and a bell. Who is meant is said by tenant, since a place may be another's by the time
//! that an order is carried out.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::news::Life;
use super::ward::Ward;

use crate::schedule::far::lock;

/// Orders that wait. There are a few a child and tick at most; past this the keeper hangs in a system call, and what is
/// lost is said by the next order of its kind. Who comes and who goes is said once, and so is not lost.
const ORDERS_MAX: usize = 10_000;

/// What the keeper is to do.
pub(super) enum Order {
    Take(Box<Ward>),
    Dismiss(u64),
    Begin(u64),
    Kill { tenant: u64, life: u64, why: String },
    Watch { tenant: u64, life: u64, timeout: Duration, line: Option<OwnedFd> },
    Leave(u64),
    Do(Box<dyn FnOnce() + Send>),
    Close,
}

impl Order {
    /// Whether it is the end of a child, or of what one belongs to. Who comes is among them, as it may go in the same breath.
    pub(super) fn ends_a_life(&self) -> bool {
        matches!(self, Order::Leave(_) | Order::Kill { .. } | Order::Take(_) | Order::Dismiss(_))
    }

    fn is_said_once(&self) -> bool {
        matches!(self, Order::Take(_) | Order::Dismiss(_) | Order::Close)
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
        if queue.len() < ORDERS_MAX || order.is_said_once() {
            queue.push(order);
        }
        drop(queue);
        // It fails only where it has rung 2^64 times and nobody came.
        let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
    }

    /// One more collector that has or may come to have a child. It has none yet.
    pub fn take(&self, ward: Ward) {
        self.give(Order::Take(Box::new(ward)));
    }

    /// A collector has left: its child is killed, nobody is told, and it is forgotten.
    pub fn dismiss(&self, tenant: u64) {
        self.give(Order::Dismiss(tenant));
    }

    /// The collector is to have a child from now on.
    pub fn begin(&self, tenant: u64) {
        self.give(Order::Begin(tenant));
    }

    /// This life is to end; `why` is what its death is told by.
    pub fn kill(&self, tenant: u64, life: &Life, why: String) {
        self.give(Order::Kill { tenant, life: life.number, why });
    }

    /// A call is out past this timeout: the keeper ends it after three of them, unless there is something on the
    /// line by then, which the collection thread may be the last to see.
    pub fn watch(&self, tenant: u64, life: &Life, timeout: Duration, line: Option<OwnedFd>) {
        self.give(Order::Watch { tenant, life: life.number, timeout, line });
    }

    /// The collector needs no child any more.
    pub fn leave(&self, tenant: u64) {
        self.give(Order::Leave(tenant));
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
            Order::Take(ward) => format!("take {} at {}", ward.tenant, ward.place),
            Order::Dismiss(tenant) => format!("dismiss {tenant}"),
            Order::Begin(tenant) => format!("begin {tenant}"),
            Order::Kill { tenant, life, why } => format!("kill {tenant}, life {life}: {why}"),
            Order::Watch { tenant, life, .. } => format!("watch {tenant}, life {life}"),
            Order::Leave(tenant) => format!("leave {tenant}"),
            Order::Do(act) => {
                act();
                "do".into()
            }
            Order::Close => "close".into(),
        });
        words.collect()
    }
}
