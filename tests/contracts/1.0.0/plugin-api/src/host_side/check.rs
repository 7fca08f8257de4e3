//! THE check of what a plugin wrote, for both ways in: called in the agent, or sent by a child.
//!
//! A frame comes in as a stranger's bytes and leaves as plain data: every cell holds what its metric declares or is
//! null, every text is UTF-8 without U+0000, rows share no cell and stand in the order of their tables with keys that
//! are there and come once. What it costs, and what can come of it, is bounded by the frame's own size. Lies are
//! counted in the frame, and none of them is an error: what is good of a reading stands.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::hash::RandomState;

use super::frame::Frame;
use super::shape::{Expect, Shape};
use crate::abi::{Note, RowHead, Text};
use crate::cell::{Cell, Tag};

/// A row that is to go.
const DROPPED: u32 = u32::MAX;

/// The check, with the memory that it reuses.
#[derive(Debug, Default)]
pub struct Check {
    seen: HashMap<u64, u32>,
    hasher: RandomState,
    rows_of: Vec<u32>,
    /// Where the cells of the last row end: an honest plugin puts each row behind the one before.
    cells_end: usize,
    /// How many bytes of text may still be referred to. An honest text is referred to once; without this bound, one
    /// megabyte that every cell points at would be a line of 100 GB.
    text_left: usize,
}

impl Check {
    /// Passes over a frame.
    pub fn pass(&mut self, frame: &mut Frame, shape: &Shape) {
        self.text_left = frame.text.len;
        // A child may have sent fewer than there are.
        frame.pad(shape.scalars.len());
        for (place, &expected) in shape.scalars.iter().enumerate() {
            self.value(frame, place, expected, (None, place));
        }
        self.rows(frame, shape);
        frame.message = self.text(frame, frame.message).unwrap_or_default();
        self.notes(frame);
    }

    fn rows(&mut self, frame: &mut Frame, shape: &Shape) {
        self.rows_of.clear();
        self.rows_of.resize(shape.tables.len(), 0);
        self.cells_end = shape.scalars.len();
        for index in 0..frame.rows.len {
            if !self.row(frame, shape, index) {
                frame.rows.memory[index].table = DROPPED;
            }
        }
        self.duplicates(frame, shape);
        let rows = frame.rows.used_mut();
        if !rows.is_sorted_by_key(|row| row.table) {
            // Not the stable sort, which allocates; `first` rises with the order in which the rows came.
            rows.sort_unstable_by_key(|row| (row.table, row.first));
        }
        frame.rows.len = rows.partition_point(|row| row.table != DROPPED);
        for (table, shape) in shape.tables.iter().enumerate().filter(|(_, shape)| shape.keys > 1) {
            group(frame, table as u32, shape.keys);
        }
    }

    /// False, and counted, where the row cannot stand.
    fn row(&mut self, frame: &mut Frame, shape: &Shape, index: usize) -> bool {
        let row = frame.rows.memory[index];
        let Some(table) = shape.tables.get(row.table as usize) else {
            frame.dropped_rows += 1;
            return false;
        };
        let first = row.first as usize;
        let end = first.saturating_add(table.keys + table.columns.len());
        if first < self.cells_end || end > frame.cells.len {
            frame.dropped_rows += 1;
            return false;
        }
        self.cells_end = end;
        for place in first..first + table.keys {
            self.cell(frame, place, Expect::Text);
            if frame.text_of(frame.cells.memory[place]).is_empty() {
                frame.dropped_rows += 1;
                return false;
            }
        }
        for (column, &expected) in table.columns.iter().enumerate() {
            self.value(frame, first + table.keys + column, expected, (Some(row.table as usize), column));
        }
        let count = &mut self.rows_of[row.table as usize];
        *count += 1;
        let fits = *count <= table.max_rows;
        frame.lost_rows = frame.lost_rows.saturating_add(u32::from(!fits));
        fits
    }

    /// Drops the earlier of two rows with the same keys (a mount over a mount), and counts it.
    fn duplicates(&mut self, frame: &mut Frame, shape: &Shape) {
        self.seen.clear();
        for index in (0..frame.rows.len).rev() {
            let row = frame.rows.memory[index];
            if row.table == DROPPED {
                continue;
            }
            let keys = shape.tables[row.table as usize].keys;
            let same = |other: RowHead| {
                other.table == row.table && frame.key_texts(other, keys).eq(frame.key_texts(row, keys))
            };
            let mut hash = frame.key_hash(&self.hasher, row, keys);
            // Another key with this hash sits in the way: step on.
            loop {
                match self.seen.get(&hash) {
                    None => {
                        self.seen.insert(hash, index as u32);
                        break;
                    }
                    Some(&other) if same(frame.rows.memory[other as usize]) => {
                        frame.rows.memory[index].table = DROPPED;
                        frame.dropped_rows += 1;
                        break;
                    }
                    Some(_) => hash = hash.wrapping_add(1),
                }
            }
        }
    }

    /// A cell that has a name: the first one that is refused is remembered, so that an author can be told.
    fn value(&mut self, frame: &mut Frame, place: usize, expected: Expect, name: (Option<usize>, usize)) {
        let refused = frame.refused;
        self.cell(frame, place, expected);
        if frame.refused > refused && frame.first_refused.is_none() {
            frame.first_refused = Some(name);
        }
    }

    fn cell(&mut self, frame: &mut Frame, place: usize, expected: Expect) {
        let found = frame.cells.memory[place];
        let checked = match (found.tag, expected) {
            (Tag::NULL, _) => return,
            (Tag::U64, Expect::U64) => return,
            (Tag::I64, Expect::U64) if (found.bits as i64) >= 0 => {
                Some(Cell { tag: Tag::U64, aux: 0, bits: found.bits })
            }
            (Tag::I64, Expect::I64) => return,
            (Tag::U64, Expect::I64) if found.bits <= i64::MAX as u64 => {
                Some(Cell { tag: Tag::I64, aux: 0, bits: found.bits })
            }
            (Tag::F64, Expect::F64) if f64::from_bits(found.bits).is_finite() => return,
            (Tag::U64, Expect::F64) => Some(float(found.bits as f64)),
            (Tag::I64, Expect::F64) => Some(float(found.bits as i64 as f64)),
            (Tag::BOOL, Expect::Bool) if found.bits <= 1 => return,
            (Tag::U64, Expect::State(states)) if found.bits < u64::from(states) => return,
            (Tag::TEXT, Expect::Text) => {
                let offset = u32::try_from(found.bits).unwrap_or(u32::MAX);
                let text = self.text(frame, Text { offset, len: found.aux });
                frame.cells.memory[place] = text.map_or(Cell::NULL, |text| Cell::text(text.offset, text.len));
                return;
            }
            _ => None,
        };
        frame.refused = frame.refused.saturating_add(u32::from(checked.is_none()));
        frame.cells.memory[place] = checked.unwrap_or(Cell::NULL);
    }

    /// The same text if it is UTF-8 without U+0000, else a mended copy at the arena's end. None, and counted, where it
    /// is outside the arena, or more is referred to than there is.
    fn text(&mut self, frame: &mut Frame, place: Text) -> Option<Text> {
        let end = (place.offset as usize).saturating_add(place.len as usize);
        if end > frame.text.len {
            frame.refused = frame.refused.saturating_add(1);
            return None;
        }
        let Some(left) = self.text_left.checked_sub(place.len as usize) else {
            frame.lost_texts = frame.lost_texts.saturating_add(1);
            return None;
        };
        self.text_left = left;
        let bytes = frame.text_at(place);
        if std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0) {
            return Some(place);
        }
        let mended = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
        let offset = frame.text.len;
        // A mended text is at most three times as long, so the arena stays within four times its budget.
        let limit = frame.limits.text as usize * 4;
        if !frame.text.room(offset + mended.len(), limit) {
            frame.lost_texts = frame.lost_texts.saturating_add(1);
            return None;
        }
        frame.text.memory[offset..offset + mended.len()].copy_from_slice(mended.as_bytes());
        frame.text.len += mended.len();
        Some(Text { offset: offset as u32, len: mended.len() as u32 })
    }

    fn notes(&mut self, frame: &mut Frame) {
        let mut kept = 0;
        for index in 0..frame.notes.len {
            let mut note = frame.notes.memory[index];
            note.subject = self.text(frame, note.subject).unwrap_or_default();
            note.message = self.text(frame, note.message).unwrap_or_default();
            let known = if note.row == Note::PART {
                note.subject.len > 0
            } else {
                frame.rows().iter().any(|row| row.first == note.row)
            };
            if known {
                frame.notes.memory[kept] = note;
                kept += 1;
            }
        }
        frame.notes.len = kept;
    }
}

/// Brings rows with the same first keys together, so that they nest; the order of first appearance does not survive.
fn group(frame: &mut Frame, table: u32, keys: usize) {
    let rows = frame.rows.used();
    let from = rows.partition_point(|row| row.table < table);
    let to = from + rows[from..].partition_point(|row| row.table == table);
    let mut rows = std::mem::take(&mut frame.rows.memory);
    rows[from..to].sort_unstable_by(|a, b| frame.key_texts(*a, keys).cmp(frame.key_texts(*b, keys)));
    frame.rows.memory = rows;
}

fn float(value: f64) -> Cell {
    Cell { tag: Tag::F64, aux: 0, bits: value.to_bits() }
}

#[cfg(test)]
mod tests;
