//! Lies, one by one and at random: what is left of a frame is plain data.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::IntoCell;
use crate::host_side::frame::Limits;
use crate::host_side::shape::TableShape;

/// A frame being written as a plugin would, or would not.
#[derive(Clone, Debug, Default)]
struct Draft {
    cells: Vec<Cell>,
    rows: Vec<RowHead>,
    notes: Vec<Note>,
    text: Vec<u8>,
}

impl Draft {
    fn of(scalars: &[Cell]) -> Draft {
        Draft { cells: scalars.to_vec(), ..Draft::default() }
    }

    fn place(&mut self, text: &[u8]) -> Text {
        self.text.extend_from_slice(text);
        Text { offset: (self.text.len() - text.len()) as u32, len: text.len() as u32 }
    }

    fn text(&mut self, text: &[u8]) -> Cell {
        let place = self.place(text);
        Cell::text(place.offset, place.len)
    }

    /// Appends a row and tells where its cells begin.
    fn row(&mut self, table: u32, keys: &[&str], columns: &[Cell]) -> u32 {
        let first = self.cells.len() as u32;
        for key in keys {
            let key = self.text(key.as_bytes());
            self.cells.push(key);
        }
        self.cells.extend_from_slice(columns);
        self.rows.push(RowHead { table, first });
        first
    }

    fn passed(&self, shape: &Shape) -> Frame {
        let mut frame = Frame::new(Limits::default());
        frame.receive(&self.cells, &self.rows, &self.notes, &self.text);
        Check::default().pass(&mut frame, shape);
        frame
    }
}

fn table(keys: usize, columns: &[Expect]) -> TableShape {
    TableShape { keys, columns: columns.to_vec(), max_rows: 10_000 }
}

fn scalars(expected: &[Expect]) -> Shape {
    Shape { scalars: expected.to_vec(), tables: Vec::new() }
}

fn tables(tables: &[TableShape]) -> Shape {
    Shape { scalars: Vec::new(), tables: tables.to_vec() }
}

/// What becomes of a cell, and whether it was refused.
fn checked(cell: Cell, expected: Expect) -> (Cell, u32) {
    let frame = Draft::of(&[cell]).passed(&scalars(&[expected]));
    (frame.cells()[0], frame.refused)
}

fn keys_of(frame: &Frame, table: usize, keys: usize) -> Vec<String> {
    let texts = |row: &RowHead| frame.key_texts(*row, keys).map(String::from_utf8_lossy).collect::<Vec<_>>().join("/");
    frame.rows_of(table).iter().map(texts).collect()
}

const TAGS: [Tag; 8] = [Tag::NULL, Tag::U64, Tag::I64, Tag::F64, Tag::BOOL, Tag::TEXT, Tag(6), Tag(u32::MAX)];

#[test]
fn value_of_the_declared_type_stands() {
    for (value, expected) in [
        (u64::MAX.into_cell(), Expect::U64),
        (i64::MIN.into_cell(), Expect::I64),
        ((-0.5).into_cell(), Expect::F64),
        (true.into_cell(), Expect::Bool),
        (false.into_cell(), Expect::Bool),
        (2u64.into_cell(), Expect::State(3)),
    ] {
        assert_eq!(checked(value, expected), (value, 0), "{expected:?}");
    }
}

#[test]
fn integer_is_taken_for_the_number_that_is_declared_where_it_is_the_same() {
    assert_eq!(checked(7i64.into_cell(), Expect::U64), (7u64.into_cell(), 0));
    assert_eq!(checked((-7i64).into_cell(), Expect::U64), (Cell::NULL, 1));
    assert_eq!(checked(7u64.into_cell(), Expect::I64), (7i64.into_cell(), 0));
    assert_eq!(checked(u64::MAX.into_cell(), Expect::I64), (Cell::NULL, 1));
    assert_eq!(checked(7u64.into_cell(), Expect::F64), (7.0.into_cell(), 0));
    assert_eq!(checked((-7i64).into_cell(), Expect::F64), ((-7.0).into_cell(), 0));
}

#[test]
fn value_of_another_type_is_null_and_counted() {
    for (value, expected) in [
        (1.5.into_cell(), Expect::U64),
        (1.5.into_cell(), Expect::I64),
        (true.into_cell(), Expect::U64),
        (1u64.into_cell(), Expect::Bool),
        (Cell { tag: Tag::BOOL, aux: 0, bits: 2 }, Expect::Bool),
        (3u64.into_cell(), Expect::State(3)),
        (1i64.into_cell(), Expect::State(3)),
        (Cell::text(0, 0), Expect::F64),
        (Cell { tag: Tag(77), aux: 0, bits: 1 }, Expect::U64),
        (1u64.into_cell(), Expect::Text),
        (1u64.into_cell(), Expect::Nothing),
        (1.0.into_cell(), Expect::Nothing),
    ] {
        assert_eq!(checked(value, expected), (Cell::NULL, 1), "{value:?} for {expected:?}");
    }
}

#[test]
fn number_that_is_not_finite_is_null_and_counted() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN] {
        assert_eq!(checked(value.into_cell(), Expect::F64), (Cell::NULL, 1));
    }
}

#[test]
fn text_outside_of_the_arena_is_null_and_counted() {
    for cell in [
        Cell::text(0, 1),
        Cell::text(u32::MAX, u32::MAX),
        Cell { tag: Tag::TEXT, aux: 0, bits: u64::MAX },
        Cell { tag: Tag::TEXT, aux: 4, bits: 1 << 32 },
    ] {
        assert_eq!(checked(cell, Expect::Text), (Cell::NULL, 1));
    }
}

#[test]
fn text_becomes_utf_8_without_u_0000() {
    let mut draft = Draft::default();
    let texts: [(&[u8], &str); 4] = [
        ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
        (b"a\0b", "a\u{fffd}b"),
        (b"\xffx\xc3", "\u{fffd}x\u{fffd}"),
        (b"", ""),
    ];
    let cells = texts.map(|(text, _)| draft.text(text));
    draft.cells = cells.to_vec();
    let frame = draft.passed(&scalars(&[Expect::Text; 4]));
    for (cell, (_, wanted)) in frame.cells().iter().zip(texts) {
        assert_eq!((cell.tag, frame.text_of(*cell)), (Tag::TEXT, wanted.as_bytes()));
    }
    assert_eq!((frame.refused, frame.lost_texts), (0, 0));
}

#[test]
fn text_that_many_cells_point_at_is_given_out_once() {
    let mut draft = Draft::default();
    let cell = draft.text(&[0xff; 1000]);
    draft.cells = vec![cell; 50];
    let frame = draft.passed(&scalars(&[Expect::Text; 50]));
    assert_eq!(frame.text_of(frame.cells()[0]).len(), 3000);
    assert!(frame.cells()[1..].iter().all(|cell| cell.is_null()));
    assert_eq!((frame.lost_texts, frame.text.len), (49, 4000));
}

#[test]
fn rows_that_are_not_where_rows_can_be_are_dropped_and_counted() {
    let shape = Shape { scalars: vec![Expect::U64; 2], tables: vec![table(1, &[Expect::U64])] };
    let mut draft = Draft::of(&[1u64.into_cell(), 2u64.into_cell()]);
    let first = draft.row(0, &["a"], &[1u64.into_cell()]);
    for (table, first) in [(0, 0), (0, 1), (0, first), (0, first + 1), (0, first + 2), (0, u32::MAX), (1, first + 2)] {
        draft.rows.push(RowHead { table, first });
    }
    let frame = draft.passed(&shape);
    assert_eq!((frame.rows(), frame.dropped_rows), (&[RowHead { table: 0, first }][..], 7));
    assert_eq!(frame.cells()[..2], [1u64.into_cell(), 2u64.into_cell()], "the scalars are not a row's");
}

#[test]
fn rows_share_no_cell() {
    // The second row would have the first one's column for its key.
    let mut draft = Draft::default();
    draft.row(0, &["a", "b"], &[]);
    draft.rows.push(RowHead { table: 0, first: 1 });
    draft.cells.push(Cell::NULL);
    let frame = draft.passed(&tables(&[table(1, &[Expect::Text])]));
    assert_eq!((keys_of(&frame, 0, 1), frame.dropped_rows), (vec!["a".to_owned()], 1));
}

#[test]
fn row_without_a_key_is_dropped_and_counted() {
    let mut draft = Draft::default();
    draft.row(0, &[""], &[]);
    draft.cells.push(7u64.into_cell());
    draft.rows.push(RowHead { table: 0, first: 1 });
    draft.row(0, &["a"], &[]);
    let frame = draft.passed(&tables(&[table(1, &[])]));
    assert_eq!((keys_of(&frame, 0, 1), frame.dropped_rows), (vec!["a".to_owned()], 2));
    let mut draft = Draft::default();
    draft.row(0, &["7", ""], &[]);
    assert_eq!(draft.passed(&tables(&[table(2, &[])])).dropped_rows, 1);
}

#[test]
fn of_two_rows_with_one_key_the_last_stands_and_the_other_is_counted() {
    let mut draft = Draft::default();
    for (table, key, value) in [(0, "/mnt", 1u64), (0, "/", 2), (1, "/mnt", 3), (0, "/mnt", 4), (0, "/mnt", 5)] {
        draft.row(table, &[key], &[value.into_cell()]);
    }
    let frame = draft.passed(&tables(&[table(1, &[Expect::U64]), table(1, &[Expect::U64])]));
    let values = |table: usize| -> Vec<_> {
        frame.rows_of(table).iter().map(|row| frame.cells()[row.first as usize + 1].bits).collect()
    };
    assert_eq!((keys_of(&frame, 0, 1), values(0)), (vec!["/".to_owned(), "/mnt".to_owned()], vec![2, 5]));
    assert_eq!((values(1), frame.dropped_rows), (vec![3], 2));
}

#[test]
fn keys_that_are_the_same_once_mended_are_one_key() {
    let mut draft = Draft::default();
    draft.row(0, &["a\0"], &[]);
    draft.row(0, &["a\u{fffd}"], &[]);
    let frame = draft.passed(&tables(&[table(1, &[])]));
    assert_eq!((frame.rows_of(0).len(), frame.dropped_rows), (1, 1));
}

#[test]
fn several_keys_are_compared_one_by_one() {
    let mut draft = Draft::default();
    draft.row(0, &["ab", "c"], &[]);
    draft.row(0, &["a", "bc"], &[]);
    let frame = draft.passed(&tables(&[table(2, &[])]));
    assert_eq!((keys_of(&frame, 0, 2), frame.dropped_rows), (vec!["a/bc".to_owned(), "ab/c".to_owned()], 0));
}

#[test]
fn rows_beyond_what_the_table_declares_are_lost_and_counted() {
    let mut draft = Draft::default();
    for key in ["a", "b", "c", "d"] {
        draft.row(0, &[key], &[]);
        draft.row(1, &[key], &[]);
    }
    let shape = tables(&[TableShape { max_rows: 2, ..table(1, &[]) }, table(1, &[])]);
    let frame = draft.passed(&shape);
    assert_eq!((keys_of(&frame, 0, 1), frame.lost_rows), (vec!["a".to_owned(), "b".to_owned()], 2));
    assert_eq!(frame.rows_of(1).len(), 4);
}

#[test]
fn rows_of_a_table_stand_in_the_order_in_which_they_were_reported() {
    let mut draft = Draft::default();
    for (table, key) in [(1, "z"), (0, "m"), (1, "a"), (0, "z"), (1, "k"), (0, "a"), (0, "k")] {
        draft.row(table, &[key], &[]);
    }
    let frame = draft.passed(&tables(&[table(1, &[]), table(1, &[])]));
    assert_eq!((keys_of(&frame, 0, 1), keys_of(&frame, 1, 1)), (words("m z a k"), words("z a k")));
}

#[test]
fn rows_with_the_same_first_keys_stand_together() {
    let mut draft = Draft::default();
    for keys in [["7", "init"], ["9", "sh"], ["7", "bash"], ["9", "init"]] {
        draft.row(0, &keys, &[]);
    }
    let frame = draft.passed(&tables(&[table(2, &[])]));
    assert_eq!(keys_of(&frame, 0, 2), words("7/bash 7/init 9/init 9/sh"));
}

#[test]
fn note_stands_where_its_row_does_and_a_part_has_a_name() {
    let mut draft = Draft::default();
    let (gone, stands) = (draft.row(0, &["a"], &[]), draft.row(0, &["a"], &[]));
    let (part, message) = (draft.place(b"fan"), draft.place(b"stuck"));
    let nowhere = Text { offset: u32::MAX, len: 9 };
    draft.notes = vec![
        Note { row: gone, subject: Text::default(), message },
        Note { row: stands, subject: Text::default(), message: nowhere },
        Note { row: 4711, subject: Text::default(), message: Text::default() },
        Note { row: Note::PART, subject: part, message: Text::default() },
        Note { row: Note::PART, subject: nowhere, message: Text::default() },
    ];
    let frame = draft.passed(&tables(&[table(1, &[])]));
    let kept: Vec<_> = frame.notes().iter().map(|note| (note.row, frame.text_at(note.subject))).collect();
    assert_eq!(kept, [(stands, &b""[..]), (Note::PART, b"fan")]);
    assert_eq!(frame.text_at(frame.notes()[0].message), b"");
    assert_eq!(frame.refused, 2);
}

#[test]
fn message_outside_of_the_arena_is_empty() {
    let mut frame = Frame::new(Limits::default());
    frame.begin(0);
    frame.message = Text { offset: 3, len: 9 };
    Check::default().pass(&mut frame, &scalars(&[]));
    assert_eq!((frame.message(), frame.message.len, frame.refused), (&b""[..], 0, 1));
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn any_expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        Just(Expect::Nothing),
        Just(Expect::U64),
        Just(Expect::I64),
        Just(Expect::F64),
        Just(Expect::Bool),
        Just(Expect::Text),
        (1u32..5).prop_map(Expect::State),
    ]
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let table = (1usize..4, vec(any_expect(), 0..4), 1u32..8);
    let table = table.prop_map(|(keys, columns, max_rows)| TableShape { keys, columns, max_rows });
    (vec(any_expect(), 0..6), vec(table, 0..4)).prop_map(|(scalars, tables)| Shape { scalars, tables })
}

fn any_place() -> impl Strategy<Value = Text> {
    let near = (0u32..24, 0u32..6).prop_map(|(offset, len)| Text { offset, len });
    let far = (any::<u32>(), any::<u32>()).prop_map(|(offset, len)| Text { offset, len });
    prop_oneof![8 => near, 1 => far]
}

fn any_cell() -> impl Strategy<Value = Cell> {
    let any_bits = (prop::sample::select(&TAGS[..]), any::<u32>(), any::<u64>());
    let any_bits = any_bits.prop_map(|(tag, aux, bits)| Cell { tag, aux, bits });
    let small = (prop::sample::select(&TAGS[..]), 0u64..6).prop_map(|(tag, bits)| Cell { tag, aux: 0, bits });
    prop_oneof![4 => any_place().prop_map(|text| Cell::text(text.offset, text.len)), 2 => small, 1 => any_bits]
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let head = prop_oneof![8 => (0u32..5, 0u32..64), 1 => (any::<u32>(), any::<u32>())];
    let head = head.prop_map(|(table, first)| RowHead { table, first });
    let note = (prop_oneof![Just(Note::PART), 0u32..64, any::<u32>()], any_place(), any_place());
    let note = note.prop_map(|(row, subject, message)| Note { row, subject, message });
    let byte = prop_oneof![4 => Just(b'a'), 1 => Just(0), 1 => any::<u8>()];
    let rows = vec(head, 0..24).prop_flat_map(|rows| {
        let mut sorted = rows.clone();
        sorted.sort_by_key(|row| row.first);
        prop_oneof![Just(rows), Just(sorted)]
    });
    (vec(any_cell(), 0..64), rows, vec(note, 0..8), vec(byte, 0..24)).prop_map(|(cells, rows, notes, text)| Draft {
        cells,
        rows,
        notes,
        text,
    })
}

/// Whether a cell holds what its metric declares.
fn is_plain(frame: &Frame, cell: Cell, expected: Expect) -> bool {
    match (cell.tag, expected) {
        (Tag::NULL, _) | (Tag::U64, Expect::U64) | (Tag::I64, Expect::I64) => true,
        (Tag::F64, Expect::F64) => f64::from_bits(cell.bits).is_finite(),
        (Tag::BOOL, Expect::Bool) => cell.bits <= 1,
        (Tag::U64, Expect::State(states)) => cell.bits < u64::from(states),
        (Tag::TEXT, Expect::Text) => {
            let text = frame.text_of(cell);
            text.len() == cell.aux as usize && std::str::from_utf8(text).is_ok() && !text.contains(&0)
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn any_frame_leaves_as_plain_data(shape in any_shape(), draft in any_draft()) {
        let frame = draft.passed(&shape);
        for (cell, expected) in frame.cells().iter().zip(&shape.scalars) {
            prop_assert!(is_plain(&frame, *cell, *expected));
        }
        prop_assert!(frame.rows().is_sorted_by_key(|row| row.table));
        let (mut taken, mut text) = (std::collections::HashSet::new(), 0);
        for (number, table) in shape.tables.iter().enumerate() {
            let rows = frame.rows_of(number);
            prop_assert!(rows.len() <= table.max_rows as usize);
            let mut keys: Vec<Vec<&[u8]>> = rows.iter().map(|row| frame.key_texts(*row, table.keys).collect()).collect();
            prop_assert!(keys.iter().flatten().all(|key| !key.is_empty()));
            prop_assert!(table.keys == 1 || keys.is_sorted());
            keys.sort();
            keys.dedup();
            prop_assert_eq!(keys.len(), rows.len(), "a key comes once");
            for row in rows {
                let first = row.first as usize;
                let cells = &frame.cells()[first..first + table.keys + table.columns.len()];
                prop_assert!((first..first + cells.len()).all(|place| place >= shape.scalars.len() && taken.insert(place)));
                text += cells.iter().map(|cell| frame.text_of(*cell).len()).sum::<usize>();
                for (cell, expected) in cells[table.keys..].iter().zip(&table.columns) {
                    prop_assert!(is_plain(&frame, *cell, *expected));
                }
            }
        }
        prop_assert!(text <= 3 * draft.text.len());
        for note in frame.notes() {
            prop_assert!(note.row != Note::PART || !frame.text_at(note.subject).is_empty());
            prop_assert!(note.row == Note::PART || frame.rows().iter().any(|row| row.first == note.row));
        }
    }

    #[test]
    fn what_an_honest_plugin_wrote_stands_as_it_is(keys in vec("[a-c]{1,2}", 0..12), value in any::<u64>()) {
        let mut draft = Draft::of(&[value.into_cell()]);
        for key in &keys {
            draft.row(0, &[key], &[value.into_cell()]);
        }
        let shape = Shape { scalars: vec![Expect::U64], tables: vec![table(1, &[Expect::U64])] };
        let frame = draft.passed(&shape);
        // The last of each key, in the order in which these came.
        let last = |at: &usize| !keys[at + 1..].contains(&keys[*at]);
        let wanted: Vec<String> = (0..keys.len()).filter(last).map(|at| keys[at].clone()).collect();
        prop_assert_eq!(keys_of(&frame, 0, 1), wanted);
        prop_assert_eq!(frame.dropped_rows as usize + frame.rows().len(), keys.len());
        prop_assert_eq!((frame.refused, frame.lost_rows, frame.lost_texts), (0, 0, 0));
        prop_assert!(frame.cells().iter().all(|cell| cell.tag == Tag::TEXT || cell.as_u64() == Some(value)));
    }
}

#[test]
fn first_value_that_was_refused_is_known_by_its_place() {
    let shape = Shape { scalars: vec![Expect::U64, Expect::F64], tables: vec![table(1, &[Expect::U64, Expect::Bool])] };
    let mut draft = Draft::of(&[1u64.into_cell(), 2.0.into_cell()]);
    draft.row(0, &["a"], &[1u64.into_cell(), 7u64.into_cell()]);
    draft.row(0, &["b"], &[(-1i64).into_cell(), Cell::NULL]);
    let frame = draft.passed(&shape);
    assert_eq!((frame.refused, frame.first_refused), (2, Some((Some(0), 1))));
    let frame = Draft::of(&[1u64.into_cell(), f64::NAN.into_cell()]).passed(&shape);
    assert_eq!(frame.first_refused, Some((None, 1)));
}

#[test]
fn key_that_is_no_text_is_not_told_as_a_column_that_is_sound() {
    let shape = tables(&[table(1, &[Expect::U64])]);
    let mut draft = Draft::default();
    draft.row(0, &["a"], &[1u64.into_cell()]);
    draft.cells[0] = 1u64.into_cell();
    draft.row(0, &["b"], &[1u64.into_cell()]);
    let frame = draft.passed(&shape);
    assert_eq!((frame.refused, frame.dropped_rows, frame.first_refused), (1, 1, None));
}

#[test]
fn scalars_that_did_not_come_are_null() {
    let frame = Draft::of(&[7u64.into_cell()]).passed(&scalars(&[Expect::U64, Expect::U64]));
    assert_eq!(frame.cells(), [7u64.into_cell(), Cell::NULL]);
}
