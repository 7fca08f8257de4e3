//! Snapshots on standard output: JSON lines, or a table for a person. The file that writes to it.
//!
//! One write a snapshot, whole lines, unbuffered. A reader that closes its end of a pipe ends the sink quietly.

use std::fs::File;
use std::io::{self, Write};

use super::encode::json::Json;
use super::encode::table::Table;
use super::{Sink, SinkError};
use crate::snapshot::Snapshot;

/// How snapshots are written.
pub enum Format {
    /// A JSON line a snapshot.
    Json(Json),
    /// A table that is drawn anew.
    Table(Table),
}

/// The sink.
pub struct Stdout {
    output: File,
    format: Format,
    line: Vec<u8>,
}

impl Stdout {
    /// Writes to `output`, which is the process's own standard output, moved away from descriptor 1 before a plugin
    /// could print to it.
    pub fn new(output: File, format: Format) -> Stdout {
        Stdout { output, format, line: Vec::new() }
    }
}

impl Sink for Stdout {
    fn accept(&mut self, snapshot: &Snapshot, gap: u64) -> Result<(), SinkError> {
        self.line.clear();
        match &mut self.format {
            Format::Json(json) => json.line(snapshot, gap, &mut self.line),
            Format::Table(table) => table.draw(snapshot, gap, &mut self.line),
        }
        self.output.write_all(&self.line).map_err(|cause| match cause.kind() {
            io::ErrorKind::BrokenPipe => SinkError::Closed,
            _ => SinkError::Failed(cause),
        })
    }
}
