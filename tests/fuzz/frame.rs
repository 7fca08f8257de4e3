//! What a plugin wrote: any cells, rows, notes and text. After the check all that its head promises is asserted; then it goes the way
//! of every reading: settled, grown since the one before, encoded for JSONB and for a terminal, and read back.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use harness::jsonb;
use perfwatch::sink::encode::json::Json;
use perfwatch::sink::encode::table::{Screen, Table};
use perfwatch::snapshot::aggregate::{Aggregator, Answer, own, settle};
use perfwatch::snapshot::read::AggregatedSnapshot;
use perfwatch::snapshot::{Identity, Mono, Schema, Wall};
use plugin_api::abi::{Note, RowHead, Text};
use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::shape::{Expect, Shape};
use plugin_api::{Cell, ErrorKind, Tag};

use crate::bytes::Bytes;
use crate::manifest;

/// Texts that an encoder may stumble over.
pub(crate) const WORDS: &[&str] = &["\"", "\\", "\0", "_", "__", "\u{1b}[2J", "\u{202e}", "\n", "\u{e4}", "\u{10ffff}"];

/// Bytes of JSON that one byte of text can become: a control character is written as six, and one that is no UTF-8 is three bytes first.
const JSON_OF_TEXT: usize = 6 * 3;
/// Of a cell, with its name, which has at most 64 bytes, and the longest number.
const JSON_OF_CELL: usize = 64 + 64;
/// Of a section with nothing in it, and of the nulls and names of its scalars.
const JSON_OF_SCHEMA: usize = 64 << 10;

const TAGS: [Tag; 8] = [Tag::NULL, Tag::U64, Tag::I64, Tag::F64, Tag::BOOL, Tag::TEXT, Tag(6), Tag(u32::MAX)];
const FLOATS: [f64; 8] = [0.0, -0.0, 0.1, 1e308, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

fn schemas() -> &'static [Arc<Schema>] {
    static SCHEMAS: OnceLock<Vec<Arc<Schema>>> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let schema = |(_, manifest)| [true, false].map(|on| Arc::new(Schema::new(Arc::clone(&manifest), |_| on)));
        manifest::all().into_iter().flat_map(schema).collect()
    })
}

/// The schema that a byte chooses.
pub(crate) fn schema(choice: usize) -> &'static Arc<Schema> {
    &schemas()[choice % schemas().len()]
}

pub(crate) fn run(input: &[u8]) {
    let mut bytes = Bytes(input);
    let schema = schema(bytes.below(256));
    let limits = match bytes.below(4) {
        0 => Limits::default(),
        1 => Limits { rows: 0, cells: 0, text: 0, notes: 0 },
        _ => Limits { rows: 8, cells: 64, text: 256, notes: 4 },
    };
    let mut way = Way::new(schema);
    // Growth needs two.
    for _ in 0..3 {
        let mut frame = Frame::new(limits);
        drafted(&mut bytes, &schema.shape, &mut frame);
        way.pass(frame);
    }
}

/// A frame with one honest row a table and a value in each cell: whatever a manifest declares can be written.
pub(crate) fn of_each(schema: &Arc<Schema>) {
    let mut way = Way::new(schema);
    for round in 1..3 {
        let mut draft = Draft::default();
        for &expected in &schema.shape.scalars {
            let cell = draft.honest(expected, round);
            draft.cells.push(cell);
        }
        for (place, _) in schema.shape.tables.iter().enumerate() {
            draft.row(&schema.shape, place, &mut Bytes(&[]), round);
        }
        let mut frame = Frame::new(Limits::default());
        draft.into_frame(&mut frame);
        way.pass(frame);
    }
}

#[derive(Default)]
struct Draft {
    cells: Vec<Cell>,
    rows: Vec<RowHead>,
    notes: Vec<Note>,
    text: Vec<u8>,
    message: Text,
}

impl Draft {
    fn text(&mut self, text: &[u8]) -> Text {
        self.text.extend_from_slice(text);
        Text { offset: (self.text.len() - text.len()) as u32, len: text.len() as u32 }
    }

    fn cell_of(&mut self, text: &[u8]) -> Cell {
        let place = self.text(text);
        Cell::text(place.offset, place.len)
    }

    fn honest(&mut self, expected: Expect, value: u64) -> Cell {
        let plain = |tag, bits| Cell { tag, aux: 0, bits };
        match expected {
            Expect::Nothing => Cell::NULL,
            Expect::U64 => plain(Tag::U64, value),
            Expect::I64 => plain(Tag::I64, value),
            Expect::F64 => plain(Tag::F64, (value as f64 / 3.0).to_bits()),
            Expect::Bool => plain(Tag::BOOL, value & 1),
            Expect::State(states) => plain(Tag::U64, value % u64::from(states.max(1))),
            Expect::Text => self.cell_of(&value.to_le_bytes()),
        }
    }

    /// A row with keys from the input and every column as it is declared.
    fn row(&mut self, shape: &Shape, table: usize, bytes: &mut Bytes<'_>, value: u64) {
        let Some(declared) = shape.tables.get(table) else { return };
        let first = self.cells.len() as u32;
        for _ in 0..declared.keys {
            let len = bytes.below(8);
            let key = if bytes.is_empty() { b"key" } else { bytes.piece(len) };
            let key = self.cell_of(key);
            self.cells.push(key);
        }
        for &expected in &declared.columns {
            let cell = self.honest(expected, value);
            self.cells.push(cell);
        }
        self.rows.push(RowHead { table: table as u32, first });
    }

    fn into_frame(self, frame: &mut Frame) {
        let (cells, rows, notes) = (self.cells.into_iter(), self.rows.into_iter(), self.notes.into_iter());
        frame.refill(cells, rows, notes, &self.text, self.message);
    }
}

/// A place that may be anywhere, and is mostly where something is.
fn place(bytes: &mut Bytes<'_>, len: usize) -> Text {
    match bytes.below(4) {
        0 => Text { offset: bytes.u32(), len: bytes.u32() },
        _ => {
            let offset = usize::from(bytes.u16()) % (len + 1);
            Text { offset: offset as u32, len: (usize::from(bytes.u16()) % (len - offset + 1)) as u32 }
        }
    }
}

/// Writes a frame as the input says: honest rows, and lies between them.
pub(crate) fn drafted(bytes: &mut Bytes<'_>, shape: &Shape, frame: &mut Frame) {
    let mut draft = Draft::default();
    for &expected in &shape.scalars {
        if bytes.below(8) == 7 {
            break;
        }
        let value = u64::from(bytes.u16());
        let cell = draft.honest(expected, value);
        draft.cells.push(cell);
    }
    let mut outcome = ErrorKind::NONE;
    while !bytes.is_empty() {
        match bytes.below(10) {
            0 => break,
            1 | 2 => {
                let (table, value) = (bytes.below(shape.tables.len()), u64::from(bytes.u8()));
                draft.row(shape, table, bytes, value);
            }
            3 => {
                let tag = TAGS[bytes.below(TAGS.len())];
                let bits = if tag == Tag::F64 { FLOATS[bytes.below(FLOATS.len())].to_bits() } else { bytes.u64() };
                draft.cells.push(Cell { tag, aux: u32::from(bytes.u16()), bits });
            }
            4 => {
                let len = bytes.below(64);
                let cell = draft.cell_of(bytes.piece(len));
                draft.cells.push(cell);
            }
            // One of the cells is something else.
            5 => {
                let at = usize::from(bytes.u16()) % draft.cells.len().max(1);
                let text = place(bytes, draft.text.len());
                let tag = TAGS[bytes.below(TAGS.len())];
                if let Some(cell) = draft.cells.get_mut(at) {
                    *cell = Cell { tag, aux: text.len, bits: u64::from(text.offset) };
                }
            }
            6 => draft.rows.push(RowHead { table: u32::from(bytes.u8()), first: u32::from(bytes.u16()) }),
            7 => {
                let row = match bytes.below(3) {
                    0 => Note::PART,
                    1 => bytes.u32(),
                    _ => draft.rows.last().map_or(0, |row| row.first),
                };
                let (subject, message) = (place(bytes, draft.text.len()), place(bytes, draft.text.len()));
                draft.notes.push(Note { row, subject, message });
            }
            8 => {
                draft.message = place(bytes, draft.text.len());
                outcome = ErrorKind(u32::from(bytes.u8() % 6));
            }
            // Floods: the last of each again.
            _ => {
                let times = usize::from(bytes.u8());
                let (row, note) = (draft.rows.last().copied(), draft.notes.last().copied());
                draft.rows.extend(row.into_iter().cycle().take(times));
                draft.notes.extend(note.into_iter().cycle().take(times));
                let from = draft.cells.len().saturating_sub(times);
                draft.cells.extend_from_within(from..);
            }
        }
    }
    draft.into_frame(frame);
    frame.outcome = outcome;
}

/// The way of a collector's readings through the agent.
pub(crate) struct Way {
    schema: Arc<Schema>,
    check: Check,
    aggregator: Aggregator,
    json: Json,
    table: Table,
    at: u64,
}

impl Way {
    pub(crate) fn new(schema: &Arc<Schema>) -> Way {
        let identity = Identity { host: Some("h".into()), run: "0".repeat(32), labels: Vec::new() };
        let mut aggregator = Aggregator::new(Arc::new(identity));
        aggregator.add("c".into(), Arc::clone(schema), Limits::default());
        let (json, table) = (Json::default(), Table::new(false, false));
        Way { schema: Arc::clone(schema), check: Check::default(), aggregator, json, table, at: 0 }
    }

    pub(crate) fn pass(&mut self, mut frame: Frame) {
        let (text, cells, keys) = (frame.arena().len(), frame.cells().len(), frame.rows().len() * 3);
        self.check.pass(&mut frame, &self.schema.shape);
        sound(&frame, &self.schema.shape, text);
        self.at += 1_000_000_001;
        let (at, at_mono, took) = (Wall(self.at), Mono(self.at), Duration::from_nanos(self.at));
        let mut section = self.aggregator.blank(0);
        settle(
            own(&mut section),
            Answer { at, at_mono, took, cpu: took, programs: took, made: false, reading: Ok(frame) },
        );
        let snapshot = self.aggregator.snapshot(at, &mut vec![section]);
        let line = self.json.line(&snapshot, 0).to_vec();
        let most = JSON_OF_TEXT * text
            + JSON_OF_CELL * (cells + keys)
            + JSON_OF_SCHEMA
            + self.schema.shape.scalars.len() * 128;
        assert!(line.len() <= most, "{} bytes of {text} bytes of text and {cells} cells", line.len());
        let line = String::from_utf8(line).expect("a line is UTF-8");
        let (line, rest) = line.split_once('\n').expect("a line ends");
        assert_eq!(rest, "", "and is one");
        jsonb::snapshot(line).unwrap_or_else(|told| panic!("{told}: {line}"));
        let read: AggregatedSnapshot = serde_json::from_str(line).unwrap_or_else(|told| panic!("{told}: {line}"));
        assert_eq!(read.sections["c"].status, snapshot.sections[0].status);
        self.table.take(&snapshot, 0);
        let mut drawn = Vec::new();
        self.table.draw(Screen { width: 80, height: Some(24) }, &mut drawn);
        manifest::harmless(std::str::from_utf8(&drawn).expect("a screen takes UTF-8"));
        self.aggregator.reclaim();
    }
}

/// What the check promises; `arena` is how many bytes of text there were before.
pub(crate) fn sound(frame: &Frame, shape: &Shape, arena: usize) {
    let limits = frame.limits();
    assert!(frame.cells().len() <= limits.cells as usize && frame.rows().len() <= limits.rows as usize);
    assert!(frame.notes().len() <= limits.notes as usize && frame.arena().len() <= 4 * limits.text as usize);
    assert!(frame.cells().len() >= shape.scalars.len(), "every scalar has a cell");
    let mut referred = 0;
    let mut text = |place: Text| {
        assert!(place.len == 0 || place.offset as usize + place.len as usize <= frame.arena().len());
        let bytes = frame.text_at(place);
        assert!(std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0')), "{bytes:?}");
        referred += bytes.len();
    };
    let mut cell = |cell: Cell, expected: Expect| {
        let holds = match (cell.tag, expected) {
            (Tag::NULL, _) | (Tag::U64, Expect::U64) | (Tag::I64, Expect::I64) => true,
            (Tag::F64, Expect::F64) => f64::from_bits(cell.bits).is_finite(),
            (Tag::BOOL, Expect::Bool) => cell.bits <= 1,
            (Tag::U64, Expect::State(states)) => cell.bits < u64::from(states),
            (Tag::TEXT, Expect::Text) => {
                text(Text { offset: cell.bits as u32, len: cell.aux });
                cell.bits <= u64::from(u32::MAX)
            }
            _ => false,
        };
        assert!(holds, "{cell:?} where {expected:?} is declared");
    };
    for (place, &expected) in shape.scalars.iter().enumerate() {
        cell(frame.cells()[place], expected);
    }
    assert!(frame.rows().is_sorted_by_key(|row| row.table));
    let mut ends: Vec<(usize, usize)> = Vec::new();
    for (table, declared) in shape.tables.iter().enumerate() {
        let rows = frame.rows_of(table);
        assert!(rows.len() <= declared.max_rows as usize);
        let mut seen = BTreeSet::new();
        let mut groups = BTreeSet::new();
        let mut last: Vec<&[u8]> = Vec::new();
        for &row in rows {
            let first = row.first as usize;
            let end = first + declared.keys + declared.columns.len();
            assert!(first >= shape.scalars.len() && end <= frame.cells().len());
            ends.push((first, end));
            for key in frame.keys(row, declared.keys) {
                assert_eq!(key.tag, Tag::TEXT);
                cell(*key, Expect::Text);
            }
            for (column, &expected) in declared.columns.iter().enumerate() {
                cell(frame.cells()[first + declared.keys + column], expected);
            }
            let keys: Vec<&[u8]> = frame.key_texts(row, declared.keys).collect();
            assert!(keys.iter().all(|key| !key.is_empty()));
            // Rows nest only where those of one key stand together.
            for level in 1..declared.keys {
                if last.get(..level) != Some(&keys[..level]) {
                    assert!(groups.insert(keys[..level].to_vec()), "{keys:?} stands apart");
                }
            }
            assert!(seen.insert(keys.clone()), "{keys:?} comes twice");
            last = keys;
        }
    }
    assert_eq!(ends.len(), frame.rows().len(), "every row is of a table");
    ends.sort_unstable();
    assert!(ends.is_sorted_by(|one, next| one.1 <= next.0), "rows share a cell");
    text(frame.message_place());
    for note in frame.notes() {
        text(note.subject);
        text(note.message);
        let of_row = frame.rows().iter().any(|row| row.first == note.row);
        assert!(of_row || (note.row == Note::PART && note.subject.len > 0), "{note:?} is about nothing");
    }
    // Each byte is referred to once, and three become of one that is no UTF-8.
    assert!(referred <= 3 * arena, "{referred} bytes are referred to of {arena}");
    if let Some((table, place)) = frame.first_refused {
        assert!(frame.refused > 0);
        let refused = |at: Option<&Expect>| assert!(at.is_some(), "what was refused first is nowhere");
        match table {
            None => {
                refused(shape.scalars.get(place));
                assert!(frame.cells()[place].is_null(), "what was refused first is a value");
            }
            Some(table) => refused(shape.tables[table].columns.get(place)),
        }
    }
}
