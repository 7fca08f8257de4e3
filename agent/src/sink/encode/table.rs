//! The table of a terminal.

use crate::snapshot::Snapshot;

/// Draws snapshots for a person.
pub struct Table;

impl Table {
    /// Appends a drawing of a snapshot.
    pub fn draw(&mut self, _snapshot: &Snapshot, _gap: u64, _out: &mut Vec<u8>) {}
}
