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
        /// Whose.
        place: usize,
        /// What it is asked by.
        line: Line,
        /// This life of it.
        life: Arc<Life>,
    },
    /// It died, or could not be started.
    Down {
        /// Whose.
        place: usize,
        /// Why.
        cause: String,
        /// After what wait it is started again; none where it died too often.
        again: Option<Duration>,
        /// How many deaths this tells of: since nobody heard of the one before, they are told as one.
        deaths: u64,
    },
    /// It has shown itself, and its library is loaded into the agent.
    Settled {
        /// Whose.
        place: usize,
    },
}

impl News {
    /// Adds it to what was not heard yet. A child that dies every 4 s while a collector sleeps for a day must fill neither
    /// memory nor descriptors: a dead child's line goes, and deaths are counted together.
    pub fn add_to(mut self, unheard: &mut Vec<News>) {
        if let News::Down { place: dead, deaths, .. } = &mut self {
            unheard.retain(|news| match news {
                News::Up { place, .. } => place != dead,
                News::Down { place, deaths: before, .. } if place == dead => {
                    *deaths += before;
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
    fn deaths_that_nobody_heard_of_are_told_as_one() {
        let mut unheard = Vec::new();
        let down = |place, cause: &str| News::Down { place, cause: cause.into(), again: None, deaths: 1 };
        let (socket, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let life = Life { number: 1, asked: AtomicU64::new(0), answered: AtomicBool::new(false) };
        down(0, "first").add_to(&mut unheard);
        down(1, "another").add_to(&mut unheard);
        News::Up { place: 0, line: Line::new(socket.into(), Limits::default()), life: Arc::new(life) }
            .add_to(&mut unheard);
        down(0, "second").add_to(&mut unheard);
        let told = unheard.iter().map(|news| match news {
            News::Down { place, cause, deaths, .. } => (*place, &**cause, *deaths),
            _ => panic!("it is dead"),
        });
        assert_eq!(told.collect::<Vec<_>>(), [(1, "another", 1), (0, "second", 2)]);
    }
}
