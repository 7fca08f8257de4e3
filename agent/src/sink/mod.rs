//! Where snapshots go. Each sink has a bounded queue and a worker thread of its own, so that one that blocks, fails or
//! fills up costs its own output and delays neither a tick nor another sink.
//!
//! A sink sees snapshots and nothing else of the agent. Who encodes is the sink's worker.
#![forbid(unsafe_code)]

pub mod encode;
pub mod file;
pub mod queue;
pub mod running;
pub mod stdout;
pub mod worker;

pub use running::Sinks;

use crate::snapshot::Snapshot;

/// How many snapshots wait for a sink at most: over a second at 10 ms, ten minutes at 5 s. The oldest goes first, since
/// what is recent matters more, and the next line says how many went.
pub const QUEUE_SNAPSHOTS: usize = 128;

/// Why a sink could not take a snapshot.
#[derive(Debug)]
pub enum SinkError {
    /// Nobody reads it any more: a pipe whose other end has closed. Not a failure, the end.
    Closed,
    /// It could not be written; the sink goes on with the next.
    Failed(std::io::Error),
}

/// Something that takes snapshots, one at a time and in order, on a thread of its own. It may block.
pub trait Sink: Send {
    /// Takes a snapshot; `gap` were lost before it, and the sink says so in its output.
    ///
    /// # Errors
    /// It could not be written. The snapshot is lost, and counted in the next `gap`.
    fn accept(&mut self, snapshot: &Snapshot, gap: u64) -> Result<(), SinkError>;

    /// Closes and opens again what it writes to, where that can be: after a SIGHUP.
    fn reopen(&mut self) {}

    /// Writes out what it holds, before the end.
    fn finish(&mut self) {}
}
