//! What a reading held, in names and plain values: a frame and its manifest in, something to compare out. Pure.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use plugin_api::abi::Note;
use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::Frame;
use plugin_api::host_side::manifest::{Manifest, Metric, Source};
use plugin_api::host_side::options::Settings;
use plugin_api::host_side::shape::Shape;
use plugin_api::{Cell, ErrorKind, Tag};

/// The place of a value: a metric, or a column in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `usage_percent`, or `devices.read_bytes`.
    pub metric: String,
    /// The row's keys, with slashes between them; empty for a scalar.
    pub row: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        if self.row.is_empty() { Ok(()) } else { write!(f, " of {}", self.row) }
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A whole number that is not negative, as it was.
    Count(u64),
    /// A truth.
    Truth(bool),
    /// A text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Count(count) => write!(f, "{count}"),
            Value::Truth(truth) => write!(f, "{truth}"),
            Value::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// What it said instead of a reading: an error, or that there is nothing here.
    pub error: Option<(ErrorKind, String)>,
    /// All that is not null.
    pub values: BTreeMap<Place, Value>,
    /// The rows of each table that is there, by their keys.
    pub rows: BTreeMap<String, BTreeSet<String>>,
    /// The parts and rows that failed, and why.
    pub notes: Vec<String>,
    /// Rows and texts that found no room, and are counted.
    pub lost: (u32, u32),
    /// Rows without a key, with a key that came again, outside their table.
    pub dropped_rows: u32,
    /// Values that are not what is declared, and the first of them.
    pub refused: (u32, String),
}

impl Seen {
    /// Passes the check over a frame, as the agent does, and tells what it held.
    #[must_use]
    pub fn of(frame: &mut Frame, manifest: &Manifest) -> Seen {
        Check::default().pass(frame, &Shape::of(manifest));
        let mut seen = Seen {
            lost: (frame.lost_rows, frame.lost_texts),
            dropped_rows: frame.dropped_rows,
            refused: (frame.refused, frame.first_refused.map(|at| named(manifest, at)).unwrap_or_default()),
            ..Seen::default()
        };
        if frame.outcome != ErrorKind::NONE {
            seen.error = Some((frame.outcome, text(frame.message())));
            return seen;
        }
        seen.take(frame, "", "", &manifest.metrics, 0);
        for (place, table) in manifest.tables.iter().enumerate() {
            let mut keys = BTreeSet::new();
            for row in frame.rows_of(place) {
                let key = frame.key_texts(*row, table.keys.len()).map(text).collect::<Vec<_>>().join("/");
                let first = row.first as usize + table.keys.len();
                seen.take(frame, &table.name, &key, &table.columns, first);
                keys.insert(key);
            }
            seen.rows.insert(table.name.clone(), keys);
        }
        seen.notes = frame.notes().iter().map(|note| noted(frame, manifest, note)).collect();
        seen
    }

    fn take(&mut self, frame: &Frame, table: &str, row: &str, metrics: &[Metric], first: usize) {
        for (place, metric) in metrics.iter().enumerate().filter(|(_, metric)| metric.source == Source::Reported) {
            if let Some(value) = value(frame, frame.cells()[first + place]) {
                let metric = column(table, &metric.name);
                self.values.insert(Place { metric, row: row.to_owned() }, value);
            }
        }
    }

    /// The metrics of which there is a value.
    pub fn set(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(|place| place.metric.as_str())
    }

    /// Whether it is a panic.
    #[must_use]
    pub fn panicked(&self) -> bool {
        matches!(self.error, Some((ErrorKind::PANICKED, _)))
    }

    /// Whether all of it is there, as far as it says itself.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.error.is_none() && self.notes.is_empty() && self.lost == (0, 0)
    }
}

/// What a plugin is to set with these options: scalars and columns that no option turns off and the agent does not derive.
#[must_use]
pub fn declared(manifest: &Manifest, settings: &Settings) -> Vec<String> {
    let holds = |when: &[plugin_api::host_side::manifest::Condition]| when.iter().all(|one| one.holds(settings));
    let of = |table: &str, metrics: &[Metric]| -> Vec<String> {
        let reported = metrics.iter().filter(|metric| metric.source == Source::Reported && holds(&metric.when));
        reported.map(|metric| column(table, &metric.name)).collect()
    };
    let mut declared = of("", &manifest.metrics);
    let tables = manifest.tables.iter().filter(|table| holds(&table.when));
    declared.extend(tables.flat_map(|table| of(&table.name, &table.columns)));
    declared
}

fn column(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

fn named(manifest: &Manifest, (table, place): (Option<usize>, usize)) -> String {
    match table.and_then(|table| manifest.tables.get(table)) {
        Some(table) => column(&table.name, table.columns.get(place).map_or("?", |column| &column.name)),
        None => manifest.metrics.get(place).map_or("?", |metric| &metric.name).to_owned(),
    }
}

fn noted(frame: &Frame, manifest: &Manifest, note: &Note) -> String {
    let message = text(frame.text_at(note.message));
    let row = frame.rows().iter().find(|row| row.first == note.row).filter(|_| note.row != Note::PART);
    let subject = match row {
        Some(row) => {
            let table = &manifest.tables[row.table as usize];
            let keys: Vec<String> = frame.key_texts(*row, table.keys.len()).map(text).collect();
            format!("{}.{}", table.name, keys.join("/"))
        }
        None => text(frame.text_at(note.subject)),
    };
    format!("{subject}: {message}")
}

fn value(frame: &Frame, cell: Cell) -> Option<Value> {
    match cell.tag {
        Tag::U64 => Some(Value::Count(cell.bits)),
        Tag::I64 => Some(Value::Number(cell.bits as i64 as f64)),
        Tag::F64 => Some(Value::Number(f64::from_bits(cell.bits))),
        Tag::BOOL => Some(Value::Truth(cell.bits != 0)),
        Tag::TEXT => Some(Value::Text(text(frame.text_of(cell)))),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
