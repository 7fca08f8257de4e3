//! What the agent and a child say to each other: little-endian messages, each behind its length. Pure.
//!
//! A message is `length: u32` of what follows it, `kind: u32`, and the body. The set-up and the requests go to the child;
//! readings and log lines come from it. What comes is a stranger's bytes: every length is held against what the limits
//! allow before anything is believed, and what is wrong has a name ([`Garbage`]). A reading is decoded straight into the
//! frame, whose parts are the same bytes here as in memory; what they mean is for the frame's check.
#![forbid(unsafe_code)]

mod garbage;
mod set_up;

use std::time::Duration;

use plugin_api::abi::{Note, RowHead, Text};
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::{Cell, ErrorKind, Level, Tag};

pub use self::garbage::Garbage;
pub use self::set_up::{SET_UP_BYTES_MAX, SetUp, Task, set_up, set_up_from, set_up_head};
use crate::snapshot::aggregate::{ERROR_BYTES, brief};
use crate::snapshot::{Mono, Wall};

/// Length and kind.
pub const HEAD_BYTES: usize = 8;
/// Longest log line: what the agent's log takes of a plugin's text.
pub const LINE_BYTES_MAX: usize = ERROR_BYTES;

const REQUEST: u32 = 2;
const READING: u32 = 3;
const LINE: u32 = 4;

const REQUEST_BYTES: usize = 16;
/// Of a reading, before its parts.
const FIXED_BYTES: usize = 96;
const CELL_BYTES: usize = 16;
const ROW_BYTES: usize = 8;
const NOTE_BYTES: usize = 20;

/// One request for a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number, which the answer repeats.
    pub number: u64,
    /// How long the call has.
    pub time_left: Duration,
}

/// A reading that a child has taken, but for what is in the frame. The child's word: nothing here is held against anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// When it began.
    pub at: Wall,
    /// The same moment.
    pub at_mono: Mono,
    /// How long it took.
    pub took: Duration,
    /// CPU time of the whole process since its last answer; the first time since its start.
    pub cpu: Duration,
    /// Resident bytes, those of files included, as they were after the last answer; before the first request, the first time.
    pub memory: u64,
    /// CPU time of the programs that it started and that ended, at that moment, since the one of the answer before.
    pub programs: Duration,
    /// It is the first of a new instance.
    pub made: bool,
}

impl Taken {
    /// The same, its times no earlier than the request and no later than now.
    #[must_use]
    pub fn within(self, asked: (Wall, Mono), now: (Wall, Mono)) -> Taken {
        let at = Wall(self.at.0.min(now.0.0).max(asked.0.0));
        let at_mono = Mono(self.at_mono.0.min(now.1.0).max(asked.1.0));
        Taken { at, at_mono, took: self.took.min(now.1.since(at_mono)), ..self }
    }
}

/// What the bytes of a child begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'bytes> {
    /// The beginning of a message that has so many bytes in all, as far as is known.
    Unfinished(usize),
    /// A reading, whose frame is filled.
    Reading(Taken),
    /// A log line.
    Line(Level, &'bytes str),
}

/// The longest message that a child may send.
#[must_use]
pub fn longest(limits: &Limits) -> usize {
    let parts = [(limits.cells, CELL_BYTES), (limits.rows, ROW_BYTES), (limits.notes, NOTE_BYTES), (limits.text, 1)];
    let parts: usize = parts.iter().map(|&(count, bytes)| count as usize * bytes).sum();
    HEAD_BYTES + (FIXED_BYTES + parts).max(4 + LINE_BYTES_MAX)
}

/// Reads what a child has sent: the message that `bytes` begin with, and how many of them it is; 0 of an unfinished one.
/// Any bytes at all give a message or what is wrong with them.
///
/// # Errors
/// It is not what the child of this agent sends, which was `asked` for the reading of this number.
pub fn hear<'bytes>(
    bytes: &'bytes [u8],
    asked: Option<u64>,
    limits: &Limits,
    frame: &mut Frame,
) -> Result<(usize, Message<'bytes>), Garbage> {
    let Some(mut head) = Reader::of(bytes, HEAD_BYTES) else { return Ok((0, Message::Unfinished(HEAD_BYTES))) };
    let (length, kind) = (head.u32() as usize, head.u32());
    let most = match kind {
        READING => longest(limits),
        LINE => HEAD_BYTES + 4 + LINE_BYTES_MAX,
        kind => return Err(Garbage::Kind(kind)),
    };
    // The length counts the kind.
    let all = length.saturating_add(4);
    if all > most {
        return Err(Garbage::TooLong { bytes: all, most });
    }
    if all < HEAD_BYTES {
        return Err(Garbage::TooShort(all));
    }
    let Some(body) = bytes.get(HEAD_BYTES..all) else { return Ok((0, Message::Unfinished(all))) };
    let message = match kind {
        READING => Message::Reading(reading(body, asked, limits, frame)?),
        _ => line(body)?,
    };
    Ok((all, message))
}

fn line(body: &[u8]) -> Result<Message<'_>, Garbage> {
    let mut fixed = Reader::of(body, 4).ok_or(Garbage::TooShort(body.len()))?;
    let level = match fixed.u32() {
        0 => Level::Error,
        1 => Level::Warn,
        2 => Level::Info,
        3 => Level::Debug,
        other => return Err(Garbage::Flag(other)),
    };
    Ok(Message::Line(level, std::str::from_utf8(&body[4..]).map_err(|_| Garbage::NoText)?))
}

fn reading(body: &[u8], asked: Option<u64>, limits: &Limits, frame: &mut Frame) -> Result<Taken, Garbage> {
    let mut fixed = Reader::of(body, FIXED_BYTES).ok_or(Garbage::TooShort(body.len()))?;
    let answered = fixed.u64();
    match asked {
        None => return Err(Garbage::Unasked),
        Some(asked) if asked != answered => return Err(Garbage::Number { asked, answered }),
        Some(_) => {}
    }
    let (at, at_mono) = (Wall(fixed.u64()), Mono(fixed.u64()));
    let (took, cpu, memory) = (Duration::from_nanos(fixed.u64()), Duration::from_nanos(fixed.u64()), fixed.u64());
    let programs = Duration::from_nanos(fixed.u64());
    let made = fixed.u32();
    if made > 1 {
        return Err(Garbage::Flag(made));
    }
    let (outcome, lost_rows, lost_texts) = (fixed.u32(), fixed.u32(), fixed.u32());
    let message = Text { offset: fixed.u32(), len: fixed.u32() };
    let counts = [fixed.u32(), fixed.u32(), fixed.u32(), fixed.u32()];
    let most = [limits.cells, limits.rows, limits.notes, limits.text];
    for ((count, most), what) in counts.iter().zip(most).zip(["cells", "rows", "notes", "bytes of text"]) {
        if *count > most {
            return Err(Garbage::Count(what, *count));
        }
    }
    let [cells, rows, notes, text] = counts.map(|count| count as usize);
    let (cells, rows, notes) = (cells * CELL_BYTES, rows * ROW_BYTES, notes * NOTE_BYTES);
    let parts = FIXED_BYTES + cells + rows + notes + text;
    if parts != body.len() {
        return Err(Garbage::Length { parts: parts as u64, bytes: body.len() });
    }
    let (cells, rest) = body[FIXED_BYTES..].split_at(cells);
    let (rows, rest) = rest.split_at(rows);
    let (notes, text) = rest.split_at(notes);
    frame.refill(
        cells.as_chunks::<CELL_BYTES>().0.iter().map(cell),
        rows.as_chunks::<ROW_BYTES>().0.iter().map(row),
        notes.as_chunks::<NOTE_BYTES>().0.iter().map(note),
        text,
        message,
    );
    (frame.outcome, frame.lost_rows, frame.lost_texts) = (ErrorKind(outcome), lost_rows, lost_texts);
    Ok(Taken { at, at_mono, took, cpu, memory, programs, made: made == 1 })
}

fn cell(bytes: &[u8; CELL_BYTES]) -> Cell {
    let mut bytes = Reader { bytes };
    Cell { tag: Tag(bytes.u32()), aux: bytes.u32(), bits: bytes.u64() }
}

fn row(bytes: &[u8; ROW_BYTES]) -> RowHead {
    let mut bytes = Reader { bytes };
    RowHead { table: bytes.u32(), first: bytes.u32() }
}

fn note(bytes: &[u8; NOTE_BYTES]) -> Note {
    let mut bytes = Reader { bytes };
    let row = bytes.u32();
    let mut text = || Text { offset: bytes.u32(), len: bytes.u32() };
    Note { row, subject: text(), message: text() }
}

/// Takes numbers from bytes whose count was looked at before.
struct Reader<'bytes> {
    bytes: &'bytes [u8],
}

impl<'bytes> Reader<'bytes> {
    fn of(bytes: &'bytes [u8], len: usize) -> Option<Reader<'bytes>> {
        bytes.get(..len).map(|bytes| Reader { bytes })
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.bytes.split_first_chunk().expect("it was made of as many bytes as are taken");
        self.bytes = rest;
        *first
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// Puts a message's head and body into `out`, which is cleared.
fn message(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend([0; 4]);
    out.extend(kind.to_le_bytes());
    body(out);
    let length = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
}

/// A request as a message.
#[must_use]
pub fn request(request: Request) -> [u8; HEAD_BYTES + REQUEST_BYTES] {
    let mut out = [0; HEAD_BYTES + REQUEST_BYTES];
    let time_left = u64::try_from(request.time_left.as_nanos()).unwrap_or(u64::MAX);
    out[..4].copy_from_slice(&((REQUEST_BYTES + 4) as u32).to_le_bytes());
    out[4..8].copy_from_slice(&REQUEST.to_le_bytes());
    out[8..16].copy_from_slice(&request.number.to_le_bytes());
    out[16..].copy_from_slice(&time_left.to_le_bytes());
    out
}

/// A request from a message.
///
/// # Errors
/// In words, what it is instead.
pub fn request_from(bytes: [u8; HEAD_BYTES + REQUEST_BYTES]) -> Result<Request, String> {
    let mut bytes = Reader { bytes: &bytes };
    match (bytes.u32() as usize, bytes.u32()) {
        (length, REQUEST) if length == REQUEST_BYTES + 4 => {
            Ok(Request { number: bytes.u64(), time_left: Duration::from_nanos(bytes.u64()) })
        }
        (length, kind) => Err(format!("a request was expected, not a message of kind {kind} with {length} bytes")),
    }
}

/// A reading as a message, into a buffer that is used again.
pub fn reading_into(out: &mut Vec<u8>, number: u64, taken: &Taken, frame: &Frame) {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (cells, rows, notes, text) = (frame.cells(), frame.rows(), frame.notes(), frame.arena());
    let place = frame.message_place();
    message(out, READING, |out| {
        let [took, cpu, programs] = [taken.took, taken.cpu, taken.programs].map(nanoseconds);
        for value in [number, taken.at.0, taken.at_mono.0, took, cpu, taken.memory, programs] {
            out.extend(value.to_le_bytes());
        }
        let counts = [cells.len(), rows.len(), notes.len(), text.len()].map(|count| count as u32);
        let lost = [frame.outcome.0, frame.lost_rows, frame.lost_texts, place.offset, place.len];
        for value in [u32::from(taken.made)].iter().chain(&lost).chain(&counts) {
            out.extend(value.to_le_bytes());
        }
        out.reserve(cells.len() * CELL_BYTES + rows.len() * ROW_BYTES + notes.len() * NOTE_BYTES + text.len());
        for cell in cells {
            let mut bytes = [0; CELL_BYTES];
            bytes[..4].copy_from_slice(&cell.tag.0.to_le_bytes());
            bytes[4..8].copy_from_slice(&cell.aux.to_le_bytes());
            bytes[8..].copy_from_slice(&cell.bits.to_le_bytes());
            out.extend_from_slice(&bytes);
        }
        for row in rows {
            out.extend([row.table, row.first].iter().flat_map(|value| value.to_le_bytes()));
        }
        for note in notes {
            let values = [note.row, note.subject.offset, note.subject.len, note.message.offset, note.message.len];
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        out.extend_from_slice(text);
    });
}

/// A log line as a message, as much of it as is passed on.
pub fn line_into(out: &mut Vec<u8>, level: Level, text: &str) {
    message(out, LINE, |out| {
        out.extend((level as u32).to_le_bytes());
        out.extend(brief(text).as_bytes());
    });
}

#[cfg(test)]
mod tests;
