//! A collector in a process of its own: the same library, the same frames, another address space.
//!
//! [`spawn`] starts one from the executable that is running; [`enter`], the first thing in its `main`, is where the child
//! begins, and `serve` is its life. With what it starts, it is a [`Family`]. They speak by [`wire`] over a socket pair: the agent's end is a [`Line`]. Who is
//! started, killed and started again is not known here.
//!
//! A child is one process for one collector, answers one request at a time, and ends when its socket does. Nothing
//! that comes from it is believed.

mod candidate;
mod cgroup;
mod descriptors;
mod family;
mod guard;
pub mod keep;
pub mod line;
mod printed;
mod probe;
pub mod sandbox;
mod serve;
mod spawn;
mod stat;
mod trial;
pub mod wire;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

pub use candidate::{Candidate, Print};
pub use family::Family;
pub use line::{Heard, Line};
pub use printed::Printed;
pub use probe::{Probe, probe};
pub use sandbox::Policy;
pub use spawn::{Born, Start, spawn};
pub use trial::{Trial, trial};
pub use wire::{Taken, Task};

/// The running executable, whatever an upgrade has put in its place.
const PROGRAM: &str = "/proc/self/exe";
/// What a child's command line begins with; the collector's name follows, so that `ps` shows it.
const ARG0: &str = "perfwatch: ";
/// Its one argument, which no program has for anything else.
const MARK: &str = "--perfwatch-child";

/// This program's main begins with [`enter`].
static ENTERED: AtomicBool = AtomicBool::new(false);

/// The first thing in the `main` of a program that starts children, before any thread, descriptor or argument of its own: the child is
/// the same executable, and lives in here. `Some` is the exit code of a child that has ended, to be passed on at once (by
/// [`crate::stop::exit`]); `None` is any other start, and from then on this process may have children.
#[must_use]
pub fn enter() -> Option<u8> {
    let mut arguments = std::env::args_os();
    let is_named = arguments.next().is_some_and(|name| name.as_encoded_bytes().starts_with(ARG0.as_bytes()));
    match arguments.next().filter(|_| is_named) {
        Some(mark) if mark == MARK => return Some(serve::live()),
        Some(mark) if mark == guard::MARK => return Some(guard::live(arguments.next())),
        _ => {}
    }
    ENTERED.store(true, Ordering::Relaxed);
    None
}

/// Whether this program can start children.
///
/// # Errors
/// Its main did not begin with [`enter`].
pub fn can_spawn() -> io::Result<()> {
    if ENTERED.load(Ordering::Relaxed) {
        return Ok(());
    }
    Err(io::Error::other("this program cannot start children: its main has to call perfwatch::child::enter() first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a program that embeds the agent and knows nothing of children: this test program is one.
    #[test]
    fn program_that_did_not_enter_is_told_how_to_have_children() {
        let told = can_spawn().unwrap_err().to_string();
        assert!(told.ends_with("its main has to call perfwatch::child::enter() first"), "{told}");
    }
}
