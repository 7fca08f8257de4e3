//! What an author implements.
#![forbid(unsafe_code)]

use crate::{Error, Host, Recorder, Schema};

/// A running thing that measures. Made once from its options, read once an interval. The [crate's page](crate#a-whole-collector)
/// shows a whole one.
///
/// Calls are synchronous and come one at a time, though not always on the same thread. What is kept between calls
/// (descriptors, buffers, handles) is the collector's own; growth and rates are derived by the agent.
///
/// A call that takes longer than the timeout ([`Recorder::deadline`]) is marked `timeout`, and its reading is thrown away when it comes;
/// in a child process it is killed if it does not come. In the agent, a call that takes longer than 20 ms is given a thread of its own. A
/// call that panics fails, and the next call is of a new instance. A steady reading should allocate nothing: it shares a tick with the others.
///
/// What it prints goes to the agent's standard error, never into the data; [`Host::log`] is the way to say something.
pub trait Collector: Send + Sized + 'static {
    /// The options, as declared in `plugin.toml` and checked against it before they get here. [`crate::options`] says which
    /// type of Rust each is, [`crate::options::NoOptions`] is for none.
    type Options: serde::de::DeserializeOwned;

    /// Opens what will be read and resolves names to handles. It is called at the first tick, not when the agent starts, and
    /// has the same time as a reading.
    ///
    /// # Errors
    /// A metric that is not declared, a file that is not there. [`Error::unavailable`] says that this host has nothing to
    /// measure. Either way the agent tries again: at the next ticks, and from the fourth failure in a row on ever more seldom, up to
    /// every five minutes.
    fn new(options: Self::Options, host: &Host, schema: &mut Schema) -> Result<Self, Error>;

    /// Takes one reading. What is declared and not set is null.
    ///
    /// # Errors
    /// The whole reading failed, and nothing of what was set is shown; for a part of it, see [`Recorder::part_failed`] and
    /// [`Recorder::row_failed`]. [`Error::unavailable`] says that there is nothing to measure any more.
    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error>;
}
