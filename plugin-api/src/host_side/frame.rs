//! One reading in the host's memory: cells, rows, notes and text, each in a buffer of its own.
//!
//! A frame is relocatable: it holds places, never addresses, so the bytes are the same in the agent and on the wire
//! from a child. Its buffers grow to what a collector needs and are kept, so that a steady tick allocates nothing.
//! What a plugin wrote is worth nothing until [`super::check`] has passed over it.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::ops::Range;

use crate::ErrorKind;
use crate::abi::{Note, RowHead, Text};
use crate::cell::{Cell, Tag};

/// How much one reading may hold. What goes beyond is cut, counted and said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of all tables together.
    pub rows: u32,
    /// Cells, those of the scalars included.
    pub cells: u32,
    /// Bytes of text: keys, values and messages.
    pub text: u32,
    /// Failed parts and rows.
    pub notes: u32,
}

impl Limits {
    /// The same with room for so many scalars: a manifest with more metrics than the budget has cells is the operator's
    /// choice, and the scalars always fit.
    pub fn holding(self, scalars: usize) -> Limits {
        Limits { cells: self.cells.max(scalars as u32), ..self }
    }
}

impl Default for Limits {
    /// A machine with 1000 mounts or 512 cores stays within a tenth of this; a snapshot past it is no longer read by anybody.
    fn default() -> Limits {
        Limits { rows: 10_000, cells: 100_000, text: 1 << 20, notes: 1_000 }
    }
}

/// A part that is so many times as long as what the last reading used was made for a flood: one in a thousand readings
/// must not keep megabytes in each of the frames that a collector's readings go through.
const OUTSIZED: usize = 8;
/// Up to this size a part is kept however little is used of it: a tick allocates nothing for rows that come and go.
const KEPT_BYTES: usize = 64 << 10;

/// A buffer that stays initialised to its whole length, of which `len` elements are in use.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) memory: Vec<T>,
    pub(crate) len: usize,
}

impl<T: Copy + Default> Part<T> {
    const fn new() -> Part<T> {
        Part { memory: Vec::new(), len: 0 }
    }

    #[inline]
    pub(crate) fn used(&self) -> &[T] {
        &self.memory[..self.len]
    }

    #[inline]
    pub(crate) fn used_mut(&mut self) -> &mut [T] {
        &mut self.memory[..self.len]
    }

    /// Room for `at_least` elements in all, within the limit.
    pub(crate) fn room(&mut self, at_least: usize, limit: usize) -> bool {
        if at_least > limit {
            return false;
        }
        if at_least > self.memory.len() {
            // Doubling, from a start that most collectors never outgrow.
            let len = at_least.max(2 * self.memory.len()).max(64).min(limit);
            self.memory.resize(len, T::default());
        }
        true
    }

    /// Gives back what an outsized reading took, and keeps what the last one used.
    fn shrink(&mut self) {
        let held = self.memory.len() * size_of::<T>();
        if held > KEPT_BYTES && self.memory.len() / OUTSIZED > self.len {
            self.memory.truncate(self.len.max(64));
            self.memory.shrink_to_fit();
        }
    }

    fn fill(&mut self, from: impl ExactSizeIterator<Item = T>, limit: u32) {
        let len = from.len().min(limit as usize);
        self.room(len, limit as usize);
        self.len = self.memory[..len].iter_mut().zip(from).map(|(place, value)| *place = value).count();
    }

    /// The same of what lies in memory already; a megabyte of text is worth it.
    fn copy(&mut self, from: &[T], limit: u32) {
        let from = &from[..from.len().min(limit as usize)];
        self.room(from.len(), limit as usize);
        self.memory[..from.len()].copy_from_slice(from);
        self.len = from.len();
    }

    /// Believes a length that came from outside as far as the memory goes.
    pub(crate) fn adopt(&mut self, len: u32) {
        self.len = (len as usize).min(self.memory.len());
    }
}

/// A reading.
#[derive(Debug)]
pub struct Frame {
    /// How the call ended.
    pub outcome: ErrorKind,
    /// Rows that found no room.
    pub lost_rows: u32,
    /// Rows that the check dropped: without a key, with a key that came again, outside their table.
    pub dropped_rows: u32,
    /// Texts and notes that found no room.
    pub lost_texts: u32,
    /// Values that were not what their metric declares and became null.
    pub refused: u32,
    /// The first such: its table, where it is a column, and its place among the metrics.
    pub first_refused: Option<(Option<usize>, usize)>,
    pub(crate) message: Text,
    pub(crate) cells: Part<Cell>,
    pub(crate) rows: Part<RowHead>,
    pub(crate) notes: Part<Note>,
    pub(crate) text: Part<u8>,
    pub(crate) limits: Limits,
}

impl Frame {
    /// An empty frame.
    pub const fn new(limits: Limits) -> Frame {
        Frame {
            outcome: ErrorKind::NONE,
            lost_rows: 0,
            dropped_rows: 0,
            lost_texts: 0,
            refused: 0,
            first_refused: None,
            message: Text { offset: 0, len: 0 },
            cells: Part::new(),
            rows: Part::new(),
            notes: Part::new(),
            text: Part::new(),
            limits,
        }
    }

    /// Makes the frame ready for a reading: every scalar null, no row, no text.
    pub fn begin(&mut self, scalars: usize) {
        self.cells.len = 0;
        self.pad(scalars);
        (self.rows.len, self.notes.len, self.text.len) = (0, 0, 0);
        self.clear_counts();
    }

    /// Makes scalars that are missing null.
    pub(crate) fn pad(&mut self, scalars: usize) {
        self.limits = self.limits.holding(scalars);
        if self.cells.len < scalars {
            self.cells.room(scalars, self.limits.cells as usize);
            self.cells.memory[self.cells.len..scalars].fill(Cell::NULL);
            self.cells.len = scalars;
        }
    }

    fn clear_counts(&mut self) {
        (self.outcome, self.message) = (ErrorKind::NONE, Text::default());
        (self.lost_rows, self.dropped_rows, self.lost_texts, self.refused) = (0, 0, 0, 0);
        self.first_refused = None;
    }

    /// Makes it a reading that is an error and nothing else, its message cut to the budget.
    pub fn fail(&mut self, outcome: ErrorKind, message: &str) {
        let message = &message[..message.floor_char_boundary(self.limits.text as usize)];
        self.receive(&[], &[], &[], message.as_bytes());
        self.outcome = outcome;
        self.message = Text { offset: 0, len: message.len() as u32 };
    }

    /// Takes over a reading that was made elsewhere, by its parts and as far as the budget goes. It is worth nothing
    /// until the check has passed over it.
    pub fn receive(&mut self, cells: &[Cell], rows: &[RowHead], notes: &[Note], text: &[u8]) {
        let (cells, rows, notes) = (cells.iter().copied(), rows.iter().copied(), notes.iter().copied());
        self.refill(cells, rows, notes, text, Text::default());
    }

    /// The same of parts that are still being decoded, straight into this frame's memory. The outcome is that of a good
    /// reading that lost nothing, until it is set.
    pub fn refill(
        &mut self,
        cells: impl ExactSizeIterator<Item = Cell>,
        rows: impl ExactSizeIterator<Item = RowHead>,
        notes: impl ExactSizeIterator<Item = Note>,
        text: &[u8],
        message: Text,
    ) {
        self.clear_counts();
        self.cells.fill(cells, self.limits.cells);
        self.rows.fill(rows, self.limits.rows);
        self.notes.fill(notes, self.limits.notes);
        self.text.copy(text, self.limits.text);
        self.message = message;
    }

    /// How much it may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Gives back the memory that only an outsized reading before the last one needed.
    pub fn shrink(&mut self) {
        self.cells.shrink();
        self.rows.shrink();
        self.notes.shrink();
        self.text.shrink();
    }

    /// All cells: the scalars in the order of the manifest, then what the rows point at.
    #[inline]
    pub fn cells(&self) -> &[Cell] {
        self.cells.used()
    }

    /// The same, for what is derived to be put in its place.
    #[inline]
    pub fn cells_mut(&mut self) -> &mut [Cell] {
        self.cells.used_mut()
    }

    /// The rows; after the check in the order of their tables.
    #[inline]
    pub fn rows(&self) -> &[RowHead] {
        self.rows.used()
    }

    /// The rows of one table, after the check.
    pub fn rows_of(&self, table: usize) -> &[RowHead] {
        &self.rows()[self.range_of(table)]
    }

    /// Where these stand among all rows.
    pub fn range_of(&self, table: usize) -> Range<usize> {
        let rows = self.rows();
        let from = rows.partition_point(|row| (row.table as usize) < table);
        from..from + rows[from..].partition_point(|row| row.table as usize == table)
    }

    /// The parts that failed.
    pub fn notes(&self) -> &[Note] {
        self.notes.used()
    }

    /// The bytes of a text cell, UTF-8 after the check; empty for any other cell.
    #[inline]
    pub fn text_of(&self, cell: Cell) -> &[u8] {
        if cell.tag != Tag::TEXT {
            return b"";
        }
        self.text_at(Text { offset: u32::try_from(cell.bits).unwrap_or(u32::MAX), len: cell.aux })
    }

    /// The bytes at a place of the arena.
    #[inline]
    pub fn text_at(&self, place: Text) -> &[u8] {
        let from = place.offset as usize;
        from.checked_add(place.len as usize).and_then(|to| self.text.used().get(from..to)).unwrap_or_default()
    }

    /// The whole arena.
    pub fn arena(&self) -> &[u8] {
        self.text.used()
    }

    /// Where in the arena it says what went wrong.
    pub fn message_place(&self) -> Text {
        self.message
    }

    /// What went wrong, where the outcome is an error.
    pub fn message(&self) -> &[u8] {
        self.text_at(self.message)
    }

    /// The keys of a row.
    #[inline]
    pub fn keys(&self, row: RowHead, keys: usize) -> &[Cell] {
        &self.cells()[row.first as usize..row.first as usize + keys]
    }

    /// The texts of the keys of a row.
    pub fn key_texts(&self, row: RowHead, keys: usize) -> impl Iterator<Item = &[u8]> {
        self.keys(row, keys).iter().map(|&key| self.text_of(key))
    }

    /// A hash of a row's table and keys.
    pub fn key_hash(&self, hasher: &RandomState, row: RowHead, keys: usize) -> u64 {
        let mut state = hasher.build_hasher();
        row.table.hash(&mut state);
        self.key_texts(row, keys).for_each(|key| key.hash(&mut state));
        state.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_grows_by_doubling_up_to_its_budget_and_no_further() {
        let mut part = Part::<u8>::new();
        assert!(part.room(1, 1000) && part.memory.len() == 64);
        assert!(part.room(65, 1000) && part.memory.len() == 128);
        assert!(part.room(990, 1000) && part.memory.len() == 990);
        assert!(part.room(991, 1000) && part.memory.len() == 1000);
        assert!(!part.room(1001, 1000) && part.memory.len() == 1000);
    }

    #[test]
    fn memory_of_a_flood_is_given_back_and_that_of_a_steady_reading_is_kept() {
        let mut frame = Frame::new(Limits::default());
        let held = |frame: &Frame| frame.text.memory.capacity();
        frame.receive(&[], &[], &[], &[b'x'; 1 << 20]);
        frame.shrink();
        assert!(held(&frame) >= 1 << 20);
        frame.receive(&[], &[], &[], &[b'x'; 1 << 10]);
        frame.shrink();
        assert_eq!((held(&frame), frame.text.used().len()), (1 << 10, 1 << 10));
        frame.receive(&[], &[], &[], &[b'x'; KEPT_BYTES]);
        frame.receive(&[], &[], &[], b"");
        frame.shrink();
        assert!(held(&frame) >= KEPT_BYTES);
    }

    #[test]
    fn scalars_always_have_room_and_begin_as_null() {
        let mut frame = Frame::new(Limits { rows: 1, cells: 1, text: 1, notes: 1 });
        frame.begin(3);
        assert_eq!(frame.cells(), [Cell::NULL; 3]);
        frame.cells_mut()[1] = Cell::text(0, 0);
        frame.begin(3);
        assert_eq!(frame.cells(), [Cell::NULL; 3]);
    }

    #[test]
    fn failure_is_a_message_and_nothing_else() {
        let mut frame = Frame::new(Limits { rows: 1, cells: 1, text: 5, notes: 1 });
        frame.receive(&[Cell::NULL], &[RowHead::default()], &[Note::default()], b"");
        frame.fail(ErrorKind::DENIED, "n\u{f6}n\u{f6}");
        assert_eq!((frame.outcome, frame.message()), (ErrorKind::DENIED, "n\u{f6}n".as_bytes()));
        assert_eq!((frame.cells().len(), frame.rows().len(), frame.notes().len()), (0, 0, 0));
    }

    #[test]
    fn text_outside_of_the_arena_is_empty() {
        let mut frame = Frame::new(Limits::default());
        frame.receive(&[], &[], &[], b"eth0");
        assert_eq!(frame.text_of(Cell::text(0, 4)), b"eth0");
        for (offset, len) in [(0, 5), (5, 0), (u32::MAX, u32::MAX)] {
            assert_eq!(frame.text_of(Cell::text(offset, len)), b"");
        }
        assert_eq!(frame.text_of(Cell { tag: Tag::TEXT, aux: 4, bits: 1 << 40 }), b"");
        assert_eq!(frame.text_of(Cell { tag: Tag::U64, aux: 4, bits: 0 }), b"");
    }

    #[test]
    fn what_is_received_beyond_the_budget_is_left_out() {
        let mut frame = Frame::new(Limits { rows: 1, cells: 2, text: 3, notes: 4 });
        frame.receive(&[Cell::NULL; 9], &[RowHead::default(); 9], &[Note::default(); 9], b"123456789");
        let lens = (frame.cells().len(), frame.rows().len(), frame.notes().len(), frame.text.used());
        assert_eq!(lens, (2, 1, 4, &b"123"[..]));
    }
}
