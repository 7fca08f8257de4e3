//! What the keeper and the collection thread tell each other of a child without waking anybody, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::Line;
use crate::snapshot::Mono;

/// One life of a child: what the collection thread tells the keeper without waking it.
#[derive(Debug)]
pub struct Life {
    pub(super) number: u64,
    /// When it was asked what it has not answered; 0 for nothing.
    pub(super) asked: AtomicU64,
    /// It has answered well.
    pub(super) answered: AtomicBool,
}

impl Life {
    /// A call goes out.
    pub fn asked(&self, at: Mono) {
        self.asked.store(at.0, Ordering::Release);
    }

    /// An answer is back, and it was a good one or not.
    pub fn answered(&self, well: bool) {
        self.asked.store(0, Ordering::Release);
        if well {
            self.answered.store(true, Ordering::Release);
        }
    }
}

/// What became of a child.
pub enum News {
    /// It is there and can be asked.
    Up {
        /// Whose, when it was told.
        place: usize,
        /// The same, for when the place is another's.
        tenant: u64,
        /// What it is asked by.
        line: Line,
        /// This life of it.
        life: Arc<Life>,
    },
    /// It died, or could not be started.
    Down {
        /// Whose, when it was told.
        place: usize,
        /// The same, for when the place is another's.
        tenant: u64,
        /// Why.
        cause: String,
        /// After what wait it is started again; none where it died too often.
        again: Option<Duration>,
        /// How many deaths this tells of: since nobody heard of the one before, they are told as one.
        deaths: u64,
    },
    /// It has shown itself, and its library is loaded into the agent.
    Settled {
        /// Whose, when it was told.
        place: usize,
        /// The same, for when the place is another's.
        tenant: u64,
    },
}

impl News {
    /// Whose it is: the place, and who had it when it was told.
    pub fn of(&self) -> (usize, u64) {
        match self {
            News::Up { place, tenant, .. } | News::Down { place, tenant, .. } | News::Settled { place, tenant } => {
                (*place, *tenant)
            }
        }
    }

    /// Adds it to what was not heard yet. A child that dies every 4 s while a collector sleeps for a day must fill neither
    /// memory nor descriptors: deaths are counted together, and of the lines of the dead only the first is kept, in which
    /// may stand what they died of.
    pub fn add_to(mut self, unheard: &mut Vec<News>) {
        if let News::Down { tenant: dead, deaths, .. } = &mut self {
            let mut others_died = false;
            unheard.retain(|news| match news {
                News::Up { tenant, .. } if tenant == dead => !others_died,
                News::Down { tenant, deaths: before, .. } if tenant == dead => {
                    *deaths += before;
                    others_died = true;
                    false
                }
                _ => true,
            });
        }
        unheard.push(self);
    }
}

#[cfg(test)]
impl Life {
    /// The life of this number.
    pub(crate) fn of(number: u64) -> Life {
        Life { number, asked: AtomicU64::new(0), answered: AtomicBool::new(false) }
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::host_side::frame::Limits;

    use super::*;

    #[test]
    fn deaths_that_nobody_heard_of_are_told_as_one_behind_the_first_of_their_lines() {
        let mut unheard = Vec::new();
        let mut open = Vec::new();
        let mut up = |unheard: &mut Vec<News>| {
            let (socket, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            open.push(theirs);
            let line = Line::new(socket.into(), Limits::default());
            News::Up { place: 0, tenant: 0, line, life: Arc::new(Life::of(1)) }.add_to(unheard);
        };
        // All had the same place, one after the other.
        let down = |tenant, cause: &str, unheard: &mut Vec<News>| {
            News::Down { place: 0, tenant, cause: cause.into(), again: None, deaths: 1 }.add_to(unheard);
        };
        up(&mut unheard);
        down(0, "first", &mut unheard);
        down(1, "another", &mut unheard);
        for _ in 0..3 {
            up(&mut unheard);
            down(0, "last", &mut unheard);
        }
        let told = unheard.iter().map(|news| match news {
            News::Down { tenant, cause, deaths, .. } => (*tenant, &**cause, *deaths),
            _ => (0, "up", 0),
        });
        assert_eq!(told.collect::<Vec<_>>(), [(0, "up", 0), (1, "another", 1), (0, "last", 4)]);
    }
}
