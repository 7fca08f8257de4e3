//! Sections made by hand over any manifest: a collector sets what was written down for it, and what the agent would
//! derive is put beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::door::Instance;
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::manifest::{Kind, Manifest, Metric, Source, ValueType};
use plugin_api::host_side::roots::{HostHandle, Roots};
use plugin_api::options::NoOptions;
use plugin_api::{Cell, Collector, ColumnId, Error, Host, IntoCell, Recorder, ScalarId, TableId};

use crate::snapshot::{Identity, Schema, Section, Snapshot, Status, Wall};

/// 2026-11-24T03:30:05Z.
pub(super) const NOW: Wall = Wall(1_795_491_005_000_000_000);
/// Values by name: numbers, whatever their type, or texts.
pub(super) type Values<'a> = &'a [(&'a str, V<'a>)];

#[derive(Clone, Copy)]
pub(super) enum V<'a> {
    N(f64),
    T(&'a str),
}

/// A table's name, a row's keys and its values.
pub(super) type Row<'a> = (&'a str, &'a [&'a str], Values<'a>);

/// Sets what was written down for it.
#[derive(Default)]
struct Played {
    cells: Vec<(ScalarId, Cell)>,
    texts: Vec<(ScalarId, String)>,
    rows: Vec<PlayedRow>,
    part: Option<(&'static str, &'static str)>,
}

struct PlayedRow {
    table: TableId,
    keys: Vec<String>,
    cells: Vec<(ColumnId, Cell)>,
    texts: Vec<(ColumnId, String)>,
}

struct Bits(Cell);

impl IntoCell for Bits {
    fn into_cell(self) -> Cell {
        self.0
    }
}

impl Collector for Played {
    type Options = NoOptions;

    fn new(_: NoOptions, _: &Host, _: &mut plugin_api::Schema) -> Result<Played, Error> {
        Err(Error::failed("made by the tests"))
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        self.cells.iter().for_each(|(id, cell)| out.set(*id, Bits(*cell)));
        self.texts.iter().for_each(|(id, text)| out.set_text(*id, text));
        for row in &self.rows {
            let mut into = match row.keys.as_slice() {
                [one] => out.row(row.table, one.as_str()),
                [one, two] => out.row(row.table, [one.as_str(), two.as_str()]),
                _ => panic!("one key or two"),
            };
            row.cells.iter().for_each(|(id, cell)| into.set(*id, Bits(*cell)));
            row.texts.iter().for_each(|(id, text)| into.set_text(*id, text));
        }
        if let Some((part, why)) = self.part {
            out.part_failed(part, why);
        }
        Ok(())
    }
}

fn metric<'a>(metrics: &'a [Metric], name: &str) -> (usize, &'a Metric) {
    let place = metrics.iter().position(|metric| metric.name == name);
    let place = place.unwrap_or_else(|| panic!("no metric {name}"));
    (place, &metrics[place])
}

fn is_derived(metric: &Metric) -> bool {
    matches!(metric.source, Source::Derived(_))
}

fn cell(metric: &Metric, value: f64) -> Cell {
    match (metric.kind, metric.value) {
        (Kind::State, _) | (_, ValueType::U64) => (value as u64).into_cell(),
        (_, ValueType::I64) => (value as i64).into_cell(),
        (_, ValueType::Bool) => (value != 0.0).into_cell(),
        _ => value.into_cell(),
    }
}

/// The section of a plugin whose values are these, derived ones as if the agent had derived them.
pub(super) fn section(place: usize, manifest: &str, values: Values<'_>, rows: &[Row<'_>]) -> Section {
    section_with(place, manifest, values, rows, None)
}

pub(super) fn section_with(
    place: usize,
    manifest: &str,
    values: Values<'_>,
    rows: &[Row<'_>],
    part: Option<(&'static str, &'static str)>,
) -> Section {
    let manifest = Arc::new(Manifest::parse(manifest).unwrap());
    let schema = Arc::new(Schema::new(Arc::clone(&manifest), |_| true));
    let roots = Arc::new(Roots::new(Path::new("/")));
    let host = HostHandle::new(roots, Arc::clone(&manifest), Arc::new(|_, _| {}));
    let mut instance = Instance::linked(host, |_, names| {
        let mut played = Played { part, ..Played::default() };
        for (name, value) in values {
            let (_, metric) = metric(&manifest.metrics, name);
            match value {
                _ if is_derived(metric) => {}
                V::N(number) => played.cells.push((names.scalar(name)?, cell(metric, *number))),
                V::T(text) => played.texts.push((names.scalar(name)?, (*text).to_owned())),
            }
        }
        for (name, keys, values) in rows {
            let columns = &manifest.tables.iter().find(|table| table.name == *name).unwrap().columns;
            let mut table = names.table(name)?;
            let keys = keys.iter().map(|&key| key.to_owned()).collect();
            let mut row = PlayedRow { table: table.id(), keys, cells: Vec::new(), texts: Vec::new() };
            for (name, value) in *values {
                let (_, metric) = metric(columns, name);
                match value {
                    _ if is_derived(metric) => {}
                    V::N(number) => row.cells.push((table.column(name)?, cell(metric, *number))),
                    V::T(text) => row.texts.push((table.column(name)?, (*text).to_owned())),
                }
            }
            played.rows.push(row);
        }
        Ok(played)
    })
    .unwrap();
    let mut section = Section::new(manifest.plugin.name.as_str().into(), place, schema, Limits::default());
    instance.collect(&mut section.frame, &section.schema.shape, Duration::from_secs(1));
    section.at = Some(NOW);
    section.status = if part.is_some() { Status::Partial } else { Status::Ok };
    let frame = &mut section.frame;
    for (name, value) in values {
        put(frame, 0, &manifest.metrics, name, *value);
    }
    for (nth, table) in manifest.tables.iter().enumerate() {
        let firsts: Vec<usize> = frame.rows_of(nth).iter().map(|row| row.first as usize + table.keys.len()).collect();
        let rows = rows.iter().filter(|(name, ..)| *name == table.name);
        for (first, (.., values)) in firsts.iter().zip(rows) {
            values.iter().for_each(|(name, value)| put(frame, *first, &table.columns, name, *value));
        }
    }
    section
}

fn put(frame: &mut Frame, first: usize, metrics: &[Metric], name: &str, value: V<'_>) {
    let (place, metric) = metric(metrics, name);
    if let (true, V::N(number)) = (is_derived(metric), value) {
        frame.cells_mut()[first + place] = number.into_cell();
    }
}

pub(super) fn failed(place: usize, name: &str, status: Status, error: &str) -> Section {
    let mut section = Section::new(name.into(), place, Arc::new(Schema::of_nothing()), Limits::default());
    section.status = status;
    section.since = Some(Wall(NOW.0 - 25_000_000_000));
    section.error.push_str(error);
    section
}

pub(super) fn snapshot(at: Wall, sections: Vec<Section>) -> Snapshot {
    let labels = vec![("env".to_owned(), "prod".to_owned())];
    let identity = Identity { host: Some("web-1".to_owned()), run: "0".repeat(32), labels };
    let sections = sections.into_iter().map(Arc::new).collect();
    Snapshot {
        timestamp: at,
        sequence: 42,
        identity: Arc::new(identity),
        sections,
        roster: (0..64).collect(),
        events: Vec::new(),
    }
}
