//! What an author implements.
#![forbid(unsafe_code)]

use crate::{Error, Host, Recorder, Schema};

/// A running thing that measures. Made once from its options, read once a tick.
///
/// Calls are synchronous and come one at a time, though not always on the same thread. What is kept between calls
/// (descriptors, buffers, handles) is the collector's own; growth and rates are derived by the agent.
pub trait Collector: Send + Sized + 'static {
    /// The options, as declared in `plugin.toml` and checked against it before they get here:
    /// [`crate::options`] has the types of durations and sizes, [`crate::options::NoOptions`] is for none.
    type Options: serde::de::DeserializeOwned;

    /// Opens what will be read and resolves names to handles.
    ///
    /// # Errors
    /// A metric that is not declared, a file that is not there. [`Error::unavailable`] says that this host has
    /// nothing to measure; the agent tries again, seldom.
    fn new(options: Self::Options, host: &Host, schema: &mut Schema) -> Result<Self, Error>;

    /// Takes one reading. What is declared and not set is null.
    ///
    /// # Errors
    /// The whole reading failed; for a part of it, see [`Recorder::part_failed`] and [`Recorder::row_failed`].
    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error>;
}
