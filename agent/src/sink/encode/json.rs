//! The JSON of a snapshot, straight from schema and cells into a buffer of its own: no value tree, and valid JSONB.
//! Finite numbers or null, no duplicate keys, valid UTF-8, no U+0000.

use plugin_api::abi::{Note, RowHead};
use plugin_api::host_side::frame::Frame;
use plugin_api::{Cell, Tag};

use self::known::Known;
use self::line::{Line, Precision};
use super::plan::{Form, Plan, Rows, Step};
use crate::snapshot::{Event, Section, Snapshot, Wall};

mod digits;
mod known;
mod line;

/// Encodes snapshots, and remembers what is the same in every line.
#[derive(Default)]
pub struct Json {
    line: Line,
    known: Known,
    /// Memory for the rows of a table that failed.
    failed: Vec<RowHead>,
}

impl Json {
    /// A snapshot as one line. `gap` snapshots were lost before it.
    pub fn line(&mut self, snapshot: &Snapshot, gap: u64) -> &[u8] {
        let Json { line: out, known, failed } = self;
        out.clear();
        out.literal(b"{\"timestamp\":");
        out.time(snapshot.timestamp, Precision::Milliseconds);
        let envelope = known.envelope(&snapshot.identity);
        out.bytes(&envelope.before);
        out.whole(snapshot.sequence);
        out.bytes(&envelope.behind);
        if gap > 0 || !snapshot.events.is_empty() {
            events(&snapshot.events, gap, out);
        }
        for section in &snapshot.sections {
            object(section, known.plan(section), failed, out);
        }
        out.literal(b"}\n");
        out.written()
    }

    /// A section as an object.
    pub fn section(&mut self, section: &Section) -> &[u8] {
        let plan = self.known.plan(section);
        self.line.clear();
        object(section, plan, &mut self.failed, &mut self.line);
        &self.line.written()[plan.key()..]
    }
}

/// A section, with a comma and its key before it.
fn object(section: &Section, plan: &Plan, failed: &mut Vec<RowHead>, out: &mut Line) {
    out.piece(plan, plan.head);
    out.bytes(section.status.word().as_bytes());
    out.byte(b'"');
    if let Some(at) = section.at {
        out.literal(b",\"_timestamp\":");
        out.time(at, Precision::Microseconds);
    }
    if let Some(took) = section.took {
        out.literal(b",\"_duration_seconds\":");
        out.seconds(took);
    }
    if let Some(window) = section.window {
        out.literal(b",\"_window_seconds\":");
        out.seconds(window);
    }
    if let Some(since) = section.since {
        out.literal(b",\"_since\":");
        out.time(since, Precision::Milliseconds);
    }
    if !section.error.is_empty() {
        out.literal(b",\"_error\":");
        out.string(section.error.as_bytes());
    }
    if section.status.has_metrics() {
        if !section.frame.notes().is_empty() {
            errors(section, failed, out);
        }
        metrics(section, plan, out);
    }
    out.byte(b'}');
}

fn metrics(section: &Section, plan: &Plan, out: &mut Line) {
    let frame = &section.frame;
    for (text, step) in plan.steps.iter() {
        out.piece(plan, text);
        let place = step.place as usize;
        if step.form != Form::Rows {
            value(section, None, frame.cells(), step, out);
            continue;
        }
        let Rows { keys, columns } = &plan.rows[place];
        nest(frame, frame.rows_of(place), *keys, 0, out, &|row, out| {
            let cells = &frame.cells()[row.first as usize + keys..];
            out.byte(b'{');
            for (text, step) in columns.iter() {
                out.piece(plan, text);
                value(section, Some(place), cells, step, out);
            }
            out.byte(b'}');
        });
    }
    out.piece(plan, plan.end);
}

/// `_errors`: the rows that failed, by table and under the keys that they have in it, then the parts.
fn errors(section: &Section, failed: &mut Vec<RowHead>, out: &mut Line) {
    let (frame, tables) = (&section.frame, &section.schema.manifest.tables);
    // The last word on a row counts.
    let last = |row: RowHead| frame.notes().iter().rfind(|note| note.row == row.first);
    let (start, mut written) = (out.end(), 0);
    out.literal(b",\"_errors\":{");
    for (place, table) in tables.iter().enumerate().filter(|(place, _)| section.schema.tables[*place].exists) {
        failed.clear();
        failed.extend(frame.rows_of(place).iter().filter(|row| last(**row).is_some()));
        if failed.is_empty() {
            continue;
        }
        out.comma(written);
        written += 1;
        out.string(table.name.as_bytes());
        out.byte(b':');
        nest(frame, failed, table.keys.len(), 0, out, &|row, out| {
            out.string(last(row).map_or(b"", |note| frame.text_at(note.message)));
        });
    }
    for (place, note) in frame.notes().iter().enumerate() {
        let part = frame.text_at(note.subject);
        let again = |later: &Note| later.row == Note::PART && frame.text_at(later.subject) == part;
        if note.row != Note::PART || frame.notes()[place + 1..].iter().any(again) {
            continue;
        }
        out.comma(written);
        written += 1;
        out.byte(b'"');
        // A part that is called like a table stands beside its rows; so none may be called as that one then is.
        if part.first() == Some(&b'_') || tables.iter().any(|table| table.name.as_bytes() == part) {
            out.byte(b'_');
        }
        out.escaped(part);
        out.literal(b"\":");
        out.string(frame.text_at(note.message));
    }
    if written > 0 {
        out.byte(b'}');
    } else {
        out.back_to(start);
    }
}

/// Rows as objects in objects, one a key; `leaf` writes what stands under the last.
fn nest(
    frame: &Frame,
    rows: &[RowHead],
    keys: usize,
    level: usize,
    out: &mut Line,
    leaf: &impl Fn(RowHead, &mut Line),
) {
    out.byte(b'{');
    let key = |row: &RowHead| frame.text_of(frame.keys(*row, keys)[level]);
    if level + 1 < keys {
        for (place, rows) in rows.chunk_by(|a, b| key(a) == key(b)).enumerate() {
            out.comma(place);
            out.row_key(key(&rows[0]));
            out.byte(b':');
            nest(frame, rows, keys, level + 1, out, leaf);
        }
    } else {
        // No two rows of a table have the same keys.
        for (place, row) in rows.iter().enumerate() {
            out.comma(place);
            out.row_key(key(row));
            out.byte(b':');
            leaf(*row, out);
        }
    }
    out.byte(b'}');
}

fn events(events: &[Event], gap: u64, out: &mut Line) {
    out.literal(b",\"_events\":[");
    if gap > 0 {
        out.literal(b"{\"kind\":\"gap\",\"count\":");
        out.whole(gap);
        out.byte(b'}');
    }
    for (place, event) in events.iter().enumerate() {
        out.comma(place + usize::from(gap > 0));
        out.literal(b"{\"kind\":\"");
        out.bytes(event.kind.word().as_bytes());
        out.byte(b'"');
        let texts = [
            ("collector", event.collector.as_deref()),
            ("from", event.from.as_deref()),
            ("to", event.to.as_deref()),
            ("cause", event.cause.as_deref()),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                out.literal(b",\"");
                out.bytes(key.as_bytes());
                out.literal(b"\":");
                out.string(text.as_bytes());
            }
        }
        if let Some(count) = event.count {
            out.literal(b",\"count\":");
            out.whole(count);
        }
        out.byte(b'}');
    }
    out.byte(b']');
}

/// The value of a step, which is a metric's or, in a row of this table, a column's. Called in two places, and once for every value there is: the
/// call would be an eighth of it.
#[inline(always)]
fn value(section: &Section, table: Option<usize>, cells: &[Cell], step: &Step, out: &mut Line) {
    let cell = cells[step.place as usize];
    if step.form != Form::Plain {
        return told(section, table, cell, step, out);
    }
    match cell.tag {
        Tag::F64 => out.float(f64::from_bits(cell.bits)),
        Tag::U64 => out.whole(cell.bits),
        Tag::I64 => out.signed(cell.bits as i64),
        Tag::NULL => out.literal(b"null"),
        Tag::BOOL => match cell.bits {
            0 => out.literal(b"false"),
            _ => out.literal(b"true"),
        },
        _ => out.string(section.frame.text_of(cell)),
    }
}

/// A value of which the manifest says what it means: a state or a time.
#[inline(never)]
fn told(section: &Section, table: Option<usize>, cell: Cell, step: &Step, out: &mut Line) {
    let manifest = &section.schema.manifest;
    let metrics = table.map_or(&manifest.metrics, |table| &manifest.tables[table].columns);
    let word = metrics[step.place as usize].values.get(cell.bits as usize);
    match (cell.tag, step.form, word) {
        (Tag::NULL, ..) | (_, Form::Word, None) => out.literal(b"null"),
        (_, Form::Word, Some(word)) => out.string(word.as_bytes()),
        _ => out.time(Wall(cell.bits), Precision::Milliseconds),
    }
}

#[cfg(test)]
mod tests;
