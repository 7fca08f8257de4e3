//! Snapshots on standard output: JSON lines, or a table for a person. The file that writes to it, and that asks a
//! terminal for its size.
//!
//! One write a snapshot, whole lines, unbuffered. What an error cut in the middle is ended before the next line, so that a
//! reader loses one line and not two. Somebody else may have made the descriptor non-blocking, as a shell's other programs
//! do with a terminal: then this thread waits by itself. A reader that closes its end of a pipe ends the sink quietly, and so does a
//! terminal that is closed.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
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
        Format::Table(Table::new(is_in_colour(output), output.is_terminal() && live))
    }
}

/// The sink.
pub struct Stdout {
    output: File,
    format: Format,
    /// Of a table.
    drawing: Vec<u8>,
    is_terminal: bool,
    /// The last line was cut in the middle.
    torn: bool,
}

impl Stdout {
    /// Writes to `output`, which is the process's own standard output, moved away from descriptor 1 before a plugin
    /// could print to it.
    pub fn new(output: File, format: Format) -> Stdout {
        let is_terminal = output.is_terminal();
        Stdout { output, format, drawing: Vec::new(), is_terminal, torn: false }
    }
}

impl Sink for Stdout {
    fn accept(&mut self, snapshot: &Snapshot, gap: u64) -> Result<(), SinkError> {
        let text = match &mut self.format {
            Format::Json(json) => json.line(snapshot, gap),
            Format::Table(table) => {
                table.take(snapshot, gap);
                self.drawing.clear();
                table.draw(screen(&self.output, table.is_live()), &mut self.drawing);
                &self.drawing
            }
        };
        put_whole(&mut self.output, text, &mut self.torn).map_err(|cause| match cause.kind() {
            io::ErrorKind::BrokenPipe => SinkError::Closed,
            // What a terminal answers once it has been hung up.
            _ if self.is_terminal && cause.raw_os_error() == Some(Errno::IO.raw_os_error()) => SinkError::Closed,
            _ => SinkError::Failed(cause),
        })
    }
}

/// Writes it all, behind the end of a line that was torn.
fn put_whole(output: &mut File, text: &[u8], torn: &mut bool) -> io::Result<()> {
    if *torn {
        put(output, b"\n").map_err(|(cause, _)| cause)?;
        *torn = false;
    }
    put(output, text).map_err(|(cause, written)| {
        *torn = written > 0;
        cause
    })
}

/// Writes it all; an error comes with how much was written before it.
fn put(output: &mut File, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written)),
            Ok(more) => written += more,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(output, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(cause) => return Err((cause.into(), written)),
                }
            }
            Err(cause) => return Err((cause, written)),
        }
    }
    Ok(())
}

/// Whether what is written there may have colours: to a terminal, unless `NO_COLOR` is set to something.
pub fn is_in_colour(output: &impl IsTerminal) -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    output.is_terminal() && !plain
}

/// How wide the terminal is; none where it is none, or does not know.
pub fn columns(output: &impl AsFd) -> Option<usize> {
    rustix::termios::tcgetwinsize(output).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use rustix::fs::{MemfdFlags, OFlags, SealFlags};

    use super::*;
    use crate::snapshot::{Identity, Wall};

    fn snapshot(label: usize) -> Snapshot {
        let labels = vec![("env".into(), "x".repeat(label))];
        let identity = Arc::new(Identity { host: None, run: "0".repeat(32), labels });
        Snapshot {
            timestamp: Wall(0),
            sequence: 0,
            identity,
            sections: Vec::new(),
            roster: Arc::default(),
            events: Vec::new(),
        }
    }

    fn sink(output: File) -> Stdout {
        Stdout::new(output, Format::Json(Json::default()))
    }

    #[test]
    fn pipe_that_somebody_made_non_blocking_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        let reading = std::thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).unwrap();
            all
        });
        // More than any pipe holds by default.
        sink(File::from(std::os::fd::OwnedFd::from(writer))).accept(&snapshot(1 << 22), 0).unwrap();
        let all = reading.join().unwrap();
        assert!(all.ends_with("}\n") && all.len() > 1 << 22);
    }

    #[test]
    fn line_that_was_cut_in_the_middle_is_ended_before_the_next() {
        const ROOM: u64 = 4096;
        let file = rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&file, ROOM).unwrap();
        rustix::fs::fcntl_add_seals(&file, SealFlags::GROW).unwrap();
        let mut output = File::from(file);
        let mut sink = sink(output.try_clone().unwrap());
        assert!(matches!(sink.accept(&snapshot(ROOM as usize), 0), Err(SinkError::Failed(_))));
        assert_eq!(output.stream_position().unwrap(), ROOM);
        // There is room again.
        output.rewind().unwrap();
        sink.accept(&snapshot(0), 1).unwrap();
        sink.accept(&snapshot(0), 0).unwrap();
        let len = output.stream_position().unwrap() as usize;
        output.rewind().unwrap();
        let mut all = vec![0; len];
        output.read_exact(&mut all).unwrap();
        let all = String::from_utf8(all).unwrap();
        assert!(all.starts_with("\n{") && all.matches('\n').count() == 3, "{all}");
    }
}
