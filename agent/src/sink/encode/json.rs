//! The JSON of a snapshot, straight from schema and cells into a reused buffer: no value tree, and valid JSONB.
//! Finite numbers or null, no duplicate keys, valid UTF-8, no U+0000.

use std::sync::Arc;

use plugin_api::abi::{Note, RowHead};
use plugin_api::host_side::frame::Frame;
use plugin_api::{Cell, Tag};

use self::line::{Clock, Line, Precision};
use super::plan::{Form, Plan, Rows, Value};
use crate::snapshot::{Event, Schema, Section, Snapshot, Wall};

mod digits;
mod line;

/// Encodes snapshots, and remembers the keys of each collector.
#[derive(Default)]
pub struct Json {
    plans: Vec<Option<(Arc<Schema>, Plan)>>,
    /// Memory for the rows of a table that failed.
    failed: Vec<RowHead>,
    clock: Clock,
}

impl Json {
    /// Appends a snapshot as one line. `gap` snapshots were lost before it.
    pub fn line(&mut self, snapshot: &Snapshot, gap: u64, out: &mut Vec<u8>) {
        let out = &mut Line::behind(out, self.clock);
        out.literal(b"{\"timestamp\":");
        out.time(snapshot.timestamp, Precision::Milliseconds);
        out.literal(b",\"host\":");
        match &snapshot.identity.host {
            Some(host) => out.string(host.as_bytes()),
            None => out.literal(b"null"),
        }
        out.literal(b",\"run\":");
        out.string(snapshot.identity.run.as_bytes());
        out.literal(b",\"sequence\":");
        out.whole(snapshot.sequence);
        out.literal(b",\"labels\":{");
        for (place, (name, value)) in snapshot.identity.labels.iter().enumerate() {
            out.comma(place);
            out.string(name.as_bytes());
            out.byte(b':');
            out.string(value.as_bytes());
        }
        out.byte(b'}');
        if gap > 0 || !snapshot.events.is_empty() {
            events(&snapshot.events, gap, out);
        }
        for section in &snapshot.sections {
            out.byte(b',');
            out.string(section.name.as_bytes());
            out.byte(b':');
            self.object(section, out);
        }
        out.literal(b"}\n");
        self.clock = out.clock;
    }

    /// Appends a section as an object.
    pub fn section(&mut self, section: &Section, out: &mut Vec<u8>) {
        self.object(section, &mut Line::behind(out, self.clock));
    }

    fn object(&mut self, section: &Section, out: &mut Line) {
        out.literal(b"{\"_status\":\"");
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
                self.errors(section, out);
            }
            self.metrics(section, out);
        }
        out.byte(b'}');
    }

    fn metrics(&mut self, section: &Section, out: &mut Line) {
        let plan = self.plan(section);
        let frame = &section.frame;
        for step in &plan.steps {
            out.piece(plan, step.text);
            match step.value {
                Value::Scalar(place, form) => value(frame, frame.cells()[place as usize], form, plan, out),
                Value::Table(place) => {
                    let Rows { keys, columns } = &plan.rows[place as usize];
                    nest(frame, frame.rows_of(place as usize), *keys, 0, out, &|row, out| {
                        let cells = &frame.cells()[row.first as usize + keys..];
                        out.byte(b'{');
                        for column in columns {
                            out.piece(plan, column.text);
                            value(frame, cells[column.place as usize], column.form, plan, out);
                        }
                        out.byte(b'}');
                    });
                }
            }
        }
        out.piece(plan, plan.end);
    }

    /// `_errors`: the rows that failed, by table and under the keys that they have in it, then the parts.
    fn errors(&mut self, section: &Section, out: &mut Line) {
        let (frame, tables) = (&section.frame, &section.schema.manifest.tables);
        let failed = &mut self.failed;
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

    fn plan(&mut self, section: &Section) -> &Plan {
        if self.plans.len() <= section.place {
            self.plans.resize_with(section.place + 1, || None);
        }
        let slot = &mut self.plans[section.place];
        if !slot.as_ref().is_some_and(|(schema, _)| Arc::ptr_eq(schema, &section.schema)) {
            *slot = None;
        }
        &slot.get_or_insert_with(|| (Arc::clone(&section.schema), Plan::of(&section.schema))).1
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
    for (place, rows) in rows.chunk_by(|a, b| key(a) == key(b)).enumerate() {
        out.comma(place);
        out.row_key(key(&rows[0]));
        out.byte(b':');
        if level + 1 < keys {
            nest(frame, rows, keys, level + 1, out, leaf);
        } else {
            leaf(rows[0], out);
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

/// Called in two places, and once for every value there is: 20 instructions of 200 would be the call.
#[inline(always)]
fn value(frame: &Frame, cell: Cell, form: Form, plan: &Plan, out: &mut Line) {
    match (form, cell.tag) {
        (_, Tag::NULL) => out.literal(b"null"),
        (Form::Plain, Tag::F64) => out.float(f64::from_bits(cell.bits)),
        (Form::Plain, Tag::U64) => out.whole(cell.bits),
        (Form::Plain, Tag::I64) => out.signed(cell.bits as i64),
        (Form::Plain, Tag::BOOL) => match cell.bits {
            0 => out.literal(b"false"),
            _ => out.literal(b"true"),
        },
        (Form::Plain, _) => out.string(frame.text_of(cell)),
        (Form::Words(list), _) => match plan.words[list as usize].get(cell.bits as usize) {
            Some(word) => out.string(word.as_bytes()),
            None => out.literal(b"null"),
        },
        (Form::Time, _) => out.time(Wall(cell.bits), Precision::Milliseconds),
    }
}

#[cfg(test)]
mod tests;
