//! The JSON of a snapshot, straight from schema and cells into a reused buffer: no value tree, and valid JSONB.
//! Finite numbers or null, no duplicate keys, valid UTF-8, no U+0000.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::abi::{Note, RowHead};
use plugin_api::host_side::frame::Frame;
use plugin_api::{Cell, Tag};

use super::plan::{Form, Plan, Rows, Value};
use crate::snapshot::{Event, Schema, Section, Snapshot, Wall};

/// Encodes snapshots, and remembers the keys of each collector.
#[derive(Default)]
pub struct Json {
    plans: Vec<Option<(Arc<Schema>, Plan)>>,
    /// Memory for the rows of a table that failed.
    failed: Vec<RowHead>,
}

impl Json {
    /// Appends a snapshot as one line. `gap` snapshots were lost before it.
    pub fn line(&mut self, snapshot: &Snapshot, gap: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"timestamp\":\"");
        time(snapshot.timestamp, Precision::Milliseconds, out);
        out.extend_from_slice(b"\",\"host\":");
        match &snapshot.identity.host {
            Some(host) => string(host.as_bytes(), out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"run\":");
        string(snapshot.identity.run.as_bytes(), out);
        out.extend_from_slice(b",\"sequence\":");
        number(snapshot.sequence, out);
        out.extend_from_slice(b",\"labels\":{");
        for (place, (name, value)) in snapshot.identity.labels.iter().enumerate() {
            comma(place, out);
            string(name.as_bytes(), out);
            out.push(b':');
            string(value.as_bytes(), out);
        }
        out.push(b'}');
        if gap > 0 || !snapshot.events.is_empty() {
            events(&snapshot.events, gap, out);
        }
        for section in &snapshot.sections {
            out.push(b',');
            string(section.name.as_bytes(), out);
            out.push(b':');
            self.section(section, out);
        }
        out.extend_from_slice(b"}\n");
    }

    /// Appends a section as an object.
    pub fn section(&mut self, section: &Section, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"_status\":\"");
        out.extend_from_slice(section.status.word().as_bytes());
        out.push(b'"');
        if let Some(at) = section.at {
            out.extend_from_slice(b",\"_timestamp\":\"");
            time(at, Precision::Microseconds, out);
            out.push(b'"');
        }
        if let Some(took) = section.took {
            out.extend_from_slice(b",\"_duration_seconds\":");
            seconds(took, out);
        }
        if let Some(window) = section.window {
            out.extend_from_slice(b",\"_window_seconds\":");
            seconds(window, out);
        }
        if let Some(since) = section.since {
            out.extend_from_slice(b",\"_since\":\"");
            time(since, Precision::Milliseconds, out);
            out.push(b'"');
        }
        if !section.error.is_empty() {
            out.extend_from_slice(b",\"_error\":");
            string(section.error.as_bytes(), out);
        }
        if section.status.has_metrics() {
            if !section.frame.notes().is_empty() {
                self.errors(section, out);
            }
            self.metrics(section, out);
        }
        out.push(b'}');
    }

    fn metrics(&mut self, section: &Section, out: &mut Vec<u8>) {
        let plan = self.plan(section);
        let frame = &section.frame;
        for step in &plan.steps {
            step.text.append(out);
            match &step.value {
                Value::Scalar(place, form) => value(frame, frame.cells()[*place], form, out),
                Value::Table(place) => {
                    let Rows { keys, columns } = &plan.rows[*place];
                    nest(frame, frame.rows_of(*place), *keys, 0, out, &|row, out| {
                        let cells = &frame.cells()[row.first as usize + keys..];
                        out.push(b'{');
                        for column in columns {
                            column.text.append(out);
                            value(frame, cells[column.place], &column.form, out);
                        }
                        out.push(b'}');
                    });
                }
            }
        }
        out.extend_from_slice(plan.end.as_bytes());
    }

    /// `_errors`: the rows that failed, by table and under the keys that they have in it, then the parts.
    fn errors(&mut self, section: &Section, out: &mut Vec<u8>) {
        let (frame, tables) = (&section.frame, &section.schema.manifest.tables);
        let failed = &mut self.failed;
        // The last word on a row counts.
        let last = |row: RowHead| frame.notes().iter().rfind(|note| note.row == row.first);
        let (start, mut written) = (out.len(), 0);
        out.extend_from_slice(b",\"_errors\":{");
        for (place, table) in tables.iter().enumerate().filter(|(place, _)| section.schema.tables[*place].exists) {
            failed.clear();
            failed.extend(frame.rows_of(place).iter().filter(|row| last(**row).is_some()));
            if failed.is_empty() {
                continue;
            }
            comma(written, out);
            written += 1;
            string(table.name.as_bytes(), out);
            out.push(b':');
            nest(frame, failed, table.keys.len(), 0, out, &|row, out| {
                string(last(row).map_or(b"", |note| frame.text_at(note.message)), out);
            });
        }
        for (place, note) in frame.notes().iter().enumerate() {
            let part = frame.text_at(note.subject);
            let again = |later: &Note| later.row == Note::PART && frame.text_at(later.subject) == part;
            if note.row != Note::PART || frame.notes()[place + 1..].iter().any(again) {
                continue;
            }
            comma(written, out);
            written += 1;
            out.push(b'"');
            // A part that is called like a table stands beside its rows; so none may be called as that one then is.
            if part.first() == Some(&b'_') || tables.iter().any(|table| table.name.as_bytes() == part) {
                out.push(b'_');
            }
            escaped(part, out);
            out.extend_from_slice(b"\":");
            string(frame.text_at(note.message), out);
        }
        if written > 0 {
            out.push(b'}');
        } else {
            out.truncate(start);
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
    out: &mut Vec<u8>,
    leaf: &impl Fn(RowHead, &mut Vec<u8>),
) {
    out.push(b'{');
    let key = |row: &RowHead| frame.text_of(frame.keys(*row, keys)[level]);
    for (place, rows) in rows.chunk_by(|a, b| key(a) == key(b)).enumerate() {
        comma(place, out);
        row_key(key(&rows[0]), out);
        out.push(b':');
        if level + 1 < keys {
            nest(frame, rows, keys, level + 1, out, leaf);
        } else {
            leaf(rows[0], out);
        }
    }
    out.push(b'}');
}

fn events(events: &[Event], gap: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"_events\":[");
    if gap > 0 {
        out.extend_from_slice(b"{\"kind\":\"gap\",\"count\":");
        number(gap, out);
        out.push(b'}');
    }
    for (place, event) in events.iter().enumerate() {
        comma(place + usize::from(gap > 0), out);
        out.extend_from_slice(b"{\"kind\":\"");
        out.extend_from_slice(event.kind.word().as_bytes());
        out.push(b'"');
        let texts = [
            ("collector", event.collector.as_deref()),
            ("from", event.from.as_deref()),
            ("to", event.to.as_deref()),
            ("cause", event.cause.as_deref()),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(key.as_bytes());
                out.extend_from_slice(b"\":");
                string(text.as_bytes(), out);
            }
        }
        if let Some(count) = event.count {
            out.extend_from_slice(b",\"count\":");
            number(count, out);
        }
        out.push(b'}');
    }
    out.push(b']');
}

fn value(frame: &Frame, cell: Cell, form: &Form, out: &mut Vec<u8>) {
    match (form, cell.tag) {
        (_, Tag::NULL) => out.extend_from_slice(b"null"),
        (Form::Words(words), _) => match words.get(cell.bits as usize) {
            Some(word) => string(word.as_bytes(), out),
            None => out.extend_from_slice(b"null"),
        },
        (Form::Time, _) => {
            out.push(b'"');
            time(Wall(cell.bits), Precision::Milliseconds, out);
            out.push(b'"');
        }
        (Form::Plain, Tag::U64) => number(cell.bits, out),
        (Form::Plain, Tag::I64) => number(cell.bits as i64, out),
        (Form::Plain, Tag::F64) => number(f64::from_bits(cell.bits), out),
        (Form::Plain, Tag::BOOL) => out.extend_from_slice(if cell.bits == 0 { b"false" } else { b"true" }),
        (Form::Plain, _) => string(frame.text_of(cell), out),
    }
}

fn comma(place: usize, out: &mut Vec<u8>) {
    if place > 0 {
        out.push(b',');
    }
}

fn number(value: impl serde::Serialize, out: &mut Vec<u8>) {
    // serde_json writes a number into a vector without an allocation and without a failure.
    let written = serde_json::to_writer(out, &value);
    debug_assert!(written.is_ok());
}

fn seconds(duration: Duration, out: &mut Vec<u8>) {
    number(duration.as_nanos() as f64 / 1e9, out);
}

/// A row's key. One that begins with `_` gets one more in front, so that no key of the data begins with exactly one.
fn row_key(key: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if key.first() == Some(&b'_') {
        out.push(b'_');
    }
    escaped(key, out);
    out.push(b'"');
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text, out);
    out.push(b'"');
}

/// What the check has let pass, or the agent wrote, is UTF-8; quotes, backslashes and controls are escaped.
fn escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (place, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[from..place]);
        from = place + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            // JSONB refuses U+0000 even escaped.
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&text[from..]);
}

enum Precision {
    Milliseconds,
    Microseconds,
}

fn time(at: Wall, precision: Precision, out: &mut Vec<u8>) {
    // 64 bits of nanoseconds end in the year 2554, long before RFC 3339 does.
    let at = std::time::UNIX_EPOCH + Duration::from_nanos(at.0);
    let written = match precision {
        Precision::Milliseconds => write!(out, "{}", humantime::format_rfc3339_millis(at)),
        Precision::Microseconds => write!(out, "{}", humantime::format_rfc3339_micros(at)),
    };
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests;
