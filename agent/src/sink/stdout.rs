//! Snapshots on standard output: JSON lines, or a table for a person. The file that writes to it, and that asks a
//! terminal for its size.
//!
//! One write a snapshot, whole lines, unbuffered. A reader that closes its end of a pipe ends the sink quietly, and so does a
//! terminal that is closed.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};

use rustix::io::Errno;

use super::encode::json::Json;
use super::encode::table::{Screen, Table};
use super::{Sink, SinkError};
use crate::snapshot::Snapshot;

/// The size of what does not know its own.
const USUAL: (usize, usize) = (80, 24);

/// How snapshots are written.
pub enum Format {
    /// A JSON line a snapshot.
    Json(Json),
    /// A table that is drawn anew.
    Table(Table),
}

impl Format {
    /// A table on a terminal, JSON lines elsewhere.
    pub fn auto(output: &File, live: bool) -> Format {
        if output.is_terminal() { Format::table(output, live) } else { Format::Json(Json::default()) }
    }

    /// A table; on a terminal in colour, unless `NO_COLOR` is set to something, and drawn in place where it is `live`.
    pub fn table(output: &File, live: bool) -> Format {
        let terminal = output.is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Format::Table(Table::new(terminal && !plain, terminal && live))
    }
}

/// The sink.
pub struct Stdout {
    output: File,
    format: Format,
    line: Vec<u8>,
    is_terminal: bool,
}

impl Stdout {
    /// Writes to `output`, which is the process's own standard output, moved away from descriptor 1 before a plugin
    /// could print to it.
    pub fn new(output: File, format: Format) -> Stdout {
        let is_terminal = output.is_terminal();
        Stdout { output, format, line: Vec::new(), is_terminal }
    }
}

impl Sink for Stdout {
    fn accept(&mut self, snapshot: &Snapshot, gap: u64) -> Result<(), SinkError> {
        self.line.clear();
        match &mut self.format {
            Format::Json(json) => json.line(snapshot, gap, &mut self.line),
            Format::Table(table) => {
                table.take(snapshot, gap);
                table.draw(screen(&self.output, table.is_live()), &mut self.line);
            }
        }
        self.output.write_all(&self.line).map_err(|cause| match cause.kind() {
            io::ErrorKind::BrokenPipe => SinkError::Closed,
            // What a terminal answers once it has been hung up.
            _ if self.is_terminal && cause.raw_os_error() == Some(Errno::IO.raw_os_error()) => SinkError::Closed,
            _ => SinkError::Failed(cause),
        })
    }
}

/// How large a frame may be: what the terminal is at this moment; else `$COLUMNS` wide, else as [`USUAL`].
fn screen(output: &File, live: bool) -> Screen {
    // What is no terminal has no size, and a terminal on a serial line may not know its own.
    let size = rustix::termios::tcgetwinsize(output).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    let (width, height) = match size {
        Some(size) => (usize::from(size.ws_col), usize::from(size.ws_row)),
        None => {
            let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
            (columns.unwrap_or(USUAL.0), USUAL.1)
        }
    };
    Screen { width, height: live.then_some(height) }
}
