//! What outlives a run of the agent: who was being called when it died, and where each library may run because of what it did.
//!
//! [`Slots`] is a small file in the runtime folder into which each thread that calls plugins notes whom it calls. A crash in a
//! call takes the agent with it; the next start reads the note that is left ([`Slots::dead`]) and looks the library up by its
//! [`Identity`], which costs nothing, where a digest of every library would have to be made at every start.
//!
//! [`Record`] is a file in the state folder, keyed by what is in a library: a new build of it has no past. It holds whom the
//! operator should not trust in the agent ([`Blame`]), and who proved in a child that it may move in.
//!
//! Refuses: to decide. Placement is the schedule's; this room notes and tells.

mod dead;
mod placement;
mod slot;
mod store;

use std::fs::File;
use std::io;

pub use dead::Died;
pub use placement::{Blame, Record, What};
pub use slot::{SLOTS, Slot, Slots};

pub use crate::plugin::digest::Sha256;
pub use crate::plugin::open::Identity;

/// The digest of the program that runs, also where another one has taken its path by now. Reads all of it: some ten milliseconds
/// in a release build, so for those who ask for trust.
///
/// # Errors
/// `/proc` is not mounted, or the file cannot be read.
pub fn agent_sha256() -> io::Result<Sha256> {
    let program = File::open("/proc/self/exe")?;
    let bytes = program.metadata()?.len();
    Sha256::of(&program, bytes)
}
