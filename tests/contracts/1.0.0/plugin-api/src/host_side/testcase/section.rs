//! A reading as the section that a snapshot has of it, for comparison.
//!
//! Written from the rules of the snapshot and not from the agent's code, which an author's tests do without: the
//! agent's is made for a million values a second, this one to be read beside the rules. The suite runs both over the
//! same hosts and holds them to each other.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::abi::{Note, RowHead};
use crate::cell::{Cell, Tag};
use crate::host_side::frame::Frame;
use crate::host_side::manifest::{Condition, Derivation, Kind, Manifest, Metric, Source, Width};
use crate::host_side::options::Settings;

/// The sections of a case, one after another.
pub(super) struct Section {
    manifest: Arc<Manifest>,
    settings: Settings,
    /// The last good reading, and how long ago it was.
    base: Option<Frame>,
    seconds: f64,
}

impl Section {
    pub(super) fn new(manifest: &Arc<Manifest>, settings: &Settings) -> Section {
        Section { manifest: manifest.clone(), settings: settings.clone(), base: None, seconds: 0.0 }
    }

    /// Time passed, and there was no good reading.
    pub(super) fn passed(&mut self, seconds: f64) {
        self.seconds += seconds;
    }

    pub(super) fn json(&mut self, frame: Frame, seconds: f64) -> Value {
        self.seconds += seconds;
        let mut section = Map::new();
        let partial = !frame.notes().is_empty() || frame.lost_rows > 0 || frame.lost_texts > 0;
        section.insert("_status".into(), if partial { "partial" } else { "ok" }.into());
        let errors = self.errors(&frame);
        if !errors.is_empty() {
            section.insert("_errors".into(), errors.into());
        }
        // What the agent counts and writes elsewhere: here a plugin's fault must show.
        if frame.refused > 0 {
            section.insert("_refused_values".into(), frame.refused.into());
        }
        let base = self.base.as_ref().map(|base| (base, 0));
        for (metric, value) in self.values(&self.manifest.metrics, &frame, 0, base) {
            nest(&mut section, &mut metric.name.split('.'), value);
        }
        for (place, table) in self.manifest.tables.iter().enumerate().filter(|(_, table)| self.holds(&table.when)) {
            let keys = table.keys.len();
            let mut rows = Map::new();
            for row in frame.rows_of(place) {
                let base = self.base.as_ref().and_then(|base| {
                    let same = |other: &&RowHead| base.key_texts(**other, keys).eq(frame.key_texts(*row, keys));
                    Some((base, base.rows_of(place).iter().find(same)?.first as usize + keys))
                });
                let columns: Map<String, Value> = self
                    .values(&table.columns, &frame, row.first as usize + keys, base)
                    .map(|(column, value)| (column.name.clone(), value))
                    .collect();
                let names: Vec<String> = frame.key_texts(*row, keys).map(key).collect();
                nest(&mut rows, &mut names.iter().map(String::as_str), columns.into());
            }
            nest(&mut section, &mut table.name.split('.'), rows.into());
        }
        (self.base, self.seconds) = (Some(frame), 0.0);
        section.into()
    }

    fn holds(&self, when: &[Condition]) -> bool {
        when.iter().all(|condition| condition.holds(&self.settings))
    }

    fn values<'a>(
        &'a self,
        metrics: &'a [Metric],
        frame: &'a Frame,
        first: usize,
        base: Option<(&'a Frame, usize)>,
    ) -> impl Iterator<Item = (&'a Metric, Value)> {
        let seconds = self.seconds;
        metrics.iter().enumerate().filter(|(_, metric)| metric.json && self.holds(&metric.when)).map(
            move |(place, metric)| match &metric.source {
                Source::Reported => (metric, value(frame, frame.cells()[first + place], metric)),
                Source::Derived(derivation) => {
                    let derived = base.and_then(|(base, from)| {
                        derived(derivation, seconds, |counter| {
                            let kind = metrics[counter].kind;
                            growth(kind, base.cells()[from + counter], frame.cells()[first + counter])
                        })
                    });
                    (metric, derived.map_or(Value::Null, Value::from))
                }
            },
        )
    }

    fn errors(&self, frame: &Frame) -> Map<String, Value> {
        let mut errors = Map::new();
        for note in frame.notes() {
            let message = Value::from(String::from_utf8_lossy(frame.text_at(note.message)));
            let row = frame.rows().iter().find(|row| row.first == note.row).filter(|_| note.row != Note::PART);
            if let Some(row) = row {
                let table = &self.manifest.tables[row.table as usize];
                let names: Vec<String> = frame.key_texts(*row, table.keys.len()).map(key).collect();
                nest(&mut errors, &mut [&*table.name, &names.join("/")].into_iter(), message);
            } else {
                errors.insert(String::from_utf8_lossy(frame.text_at(note.subject)).into(), message);
            }
        }
        errors
    }
}

fn nest(into: &mut Map<String, Value>, names: &mut dyn Iterator<Item = &str>, value: Value) {
    let mut names = names.peekable();
    let mut at = into;
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            at.insert(name.into(), value);
            return;
        }
        let inner = at.entry(name).or_insert_with(|| Map::new().into());
        let Value::Object(inner) = inner else { return }; // a name that is a value and a group: the manifest's check refuses it
        at = inner;
    }
}

/// A row's key: one that begins with `_` gets one more in front.
fn key(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.starts_with('_') { format!("_{text}") } else { text.into() }
}

fn value(frame: &Frame, cell: Cell, metric: &Metric) -> Value {
    match (metric.kind, cell.tag) {
        (_, Tag::NULL) => Value::Null,
        (Kind::State, _) => metric.values.get(cell.bits as usize).map_or(Value::Null, |word| word.as_str().into()),
        (Kind::Time, _) => {
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(cell.bits);
            humantime::format_rfc3339_millis(at).to_string().into()
        }
        (_, Tag::U64) => cell.bits.into(),
        (_, Tag::I64) => (cell.bits as i64).into(),
        (_, Tag::F64) => f64::from_bits(cell.bits).into(),
        (_, Tag::BOOL) => (cell.bits != 0).into(),
        _ => String::from_utf8_lossy(frame.text_of(cell)).into(),
    }
}

/// How a counter grew; the outer `None` where it cannot be said, the inner where it is in neither reading.
fn growth(kind: Kind, base: Cell, now: Cell) -> Option<Option<u64>> {
    let (base, now) = match (base.as_u64(), now.as_u64()) {
        (None, None) => return Some(None),
        (base, now) => (base?, now?),
    };
    let wrapped = |base: u64| (1u64 << 32).checked_sub(base).map(|rest| rest + now).filter(|grown| *grown < 1 << 31);
    match kind {
        _ if now >= base => Some(Some(now - base)),
        Kind::Counter { may_decrease: true, .. } => Some(Some(0)),
        Kind::Counter { width: Width::W32, .. } if base >= 1 << 31 => wrapped(base).map(Some),
        _ => None,
    }
}

fn derived(derivation: &Derivation, seconds: f64, growth: impl Fn(usize) -> Option<Option<u64>>) -> Option<f64> {
    let sum = |counters: &[usize]| -> Option<f64> {
        let grown: Vec<Option<u64>> = counters.iter().map(|counter| growth(*counter)).collect::<Option<_>>()?;
        let known: Vec<u128> = grown.into_iter().flatten().map(u128::from).collect();
        (!known.is_empty()).then(|| known.iter().sum::<u128>() as f64)
    };
    let of = sum(&derivation.of)?;
    let over = derivation.over.as_deref().map_or(Some(seconds), sum)?;
    let value = (derivation.scale * of / over).max(0.0);
    // Four decimals, below one eight.
    let scale = if value >= 1.0 { 1e4 } else { 1e8 };
    (over > 0.0 && value.is_finite())
        .then(|| if value * scale < 9e15 { (value * scale).round() / scale } else { value })
}

/// Says where two values differ; 1 and 1.0 do not.
pub(super) fn differences(at: &str, expected: &Value, found: &Value, into: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, value) in expected {
                match found.get(name) {
                    Some(found) => differences(&format!("{at}/{name}"), value, found, into),
                    None => into.push(format!("{at}/{name}: expected {value}, found nothing")),
                }
            }
            for (name, value) in found.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                into.push(format!("{at}/{name}: expected nothing, found {value}"));
            }
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            if a.as_f64() != b.as_f64() {
                into.push(format!("{at}: expected {a}, found {b}"));
            }
        }
        _ if expected == found => {}
        _ => into.push(format!("{at}: expected {expected}, found {found}")),
    }
}
