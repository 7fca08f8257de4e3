//! Growth of counters into what people read: rates, shares, latencies. Pure: two readings and a time in, cells out.
//!
//! A derived value is `scale` times the growth of the counters `of` over the growth of the counters `over`, or over the
//! seconds between the two reads. It is null at first, over a reset and where `over` did not grow; never negative.

use std::collections::HashMap;
use std::hash::RandomState;

use plugin_api::abi::RowHead;
use plugin_api::host_side::frame::Frame;
use plugin_api::host_side::manifest::{Derivation, Kind, Metric, Source, Width};
use plugin_api::{Cell, IntoCell};

use super::Schema;

/// What a counter did between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Growth {
    /// It is in neither reading.
    Absent,
    /// By this much.
    By(u64),
    /// It was reset, or is in one reading only.
    Unknown,
}

/// Fills the derived cells of `now` from what grew since `base`, `seconds` before. `index` is memory to reuse.
pub fn derive(schema: &Schema, now: &mut Frame, base: Option<&Frame>, seconds: f64, index: &mut RowIndex) {
    let metrics = &schema.manifest.metrics;
    derive_run(metrics, now, 0, base.map(|base| (base, 0)), seconds);
    for (table, declared) in schema.manifest.tables.iter().enumerate() {
        if !declared.columns.iter().any(|column| matches!(column.source, Source::Derived(_))) {
            continue;
        }
        let keys = declared.keys.len();
        let before = base.map(|base| (base, base.rows_of(table)));
        index.begin();
        for place in 0..now.rows_of(table).len() {
            let row = now.rows_of(table)[place];
            let before = before.and_then(|(base, rows)| {
                let found = index.find(now, row, keys, base, rows)?;
                Some((base, found.first as usize + keys))
            });
            derive_run(&declared.columns, now, row.first as usize + keys, before, seconds);
        }
    }
}

/// Finds the rows of the reading before. Rows come in the same order tick after tick, so the one sought is nearly always
/// the one behind the last found; the first time that it is not, the table is indexed, once.
#[derive(Debug, Default)]
pub struct RowIndex {
    hint: usize,
    indexed: bool,
    rows: HashMap<u64, u32>,
    hasher: RandomState,
}

impl RowIndex {
    fn begin(&mut self) {
        (self.hint, self.indexed) = (0, false);
    }

    fn find(&mut self, now: &Frame, row: RowHead, keys: usize, base: &Frame, rows: &[RowHead]) -> Option<RowHead> {
        let same = |other: RowHead| now.key_texts(row, keys).eq(base.key_texts(other, keys));
        let mut place = self.hint;
        if !rows.get(place).is_some_and(|&other| same(other)) {
            if !self.indexed {
                self.rows.clear();
                let hashed =
                    rows.iter().zip(0u32..).map(|(&row, place)| (base.key_hash(&self.hasher, row, keys), place));
                self.rows.extend(hashed);
                self.indexed = true;
            }
            // Two keys of one 64-bit hash: the growth of one of them is unknown for a tick.
            place = *self.rows.get(&now.key_hash(&self.hasher, row, keys))? as usize;
            if !same(rows[place]) {
                return None;
            }
        }
        self.hint = place + 1;
        Some(rows[place])
    }
}

/// Derives the metrics of one run of cells that begins at `first`; `base` is where the run of the reading before begins.
fn derive_run(metrics: &[Metric], now: &mut Frame, first: usize, base: Option<(&Frame, usize)>, seconds: f64) {
    for (place, metric) in metrics.iter().enumerate() {
        let Source::Derived(derivation) = &metric.source else { continue };
        let value = base.and_then(|(base, base_first)| {
            value(derivation, seconds, |counter| {
                growth(&metrics[counter].kind, base.cells()[base_first + counter], now.cells()[first + counter])
            })
        });
        now.put(first + place, value.map_or(Cell::NULL, IntoCell::into_cell));
    }
}

fn value(derivation: &Derivation, seconds: f64, growth: impl Fn(usize) -> Growth) -> Option<f64> {
    let of = sum(&derivation.of, &growth)?;
    let over = match &derivation.over {
        Some(over) => sum(over, &growth)?,
        None => seconds,
    };
    let value = derivation.scale * of / over;
    (over > 0.0 && value.is_finite()).then(|| rounded(value.max(0.0)))
}

fn sum(counters: &[usize], growth: impl Fn(usize) -> Growth) -> Option<f64> {
    let (mut total, mut any) = (0u128, false);
    for &counter in counters {
        match growth(counter) {
            Growth::Absent => {}
            Growth::By(by) => (total, any) = (total + u128::from(by), true),
            Growth::Unknown => return None,
        }
    }
    any.then_some(total as f64)
}

/// To four decimals, and to eight below one: what is beyond is noise of the clock, and twelve bytes a value in the data.
fn rounded(value: f64) -> f64 {
    let scale = if value >= 1.0 { 1e4 } else { 1e8 };
    let scaled = value * scale;
    if scaled < 9e15 { scaled.round() / scale } else { value }
}

fn growth(kind: &Kind, base: Cell, now: Cell) -> Growth {
    const HALF: u64 = 1 << 31;
    let (base, now) = match (base.as_u64(), now.as_u64()) {
        (Some(base), Some(now)) => (base, now),
        (None, None) => return Growth::Absent,
        _ => return Growth::Unknown,
    };
    if now >= base {
        return Growth::By(now - base);
    }
    match kind {
        Kind::Counter { may_decrease: true, .. } => Growth::By(0),
        Kind::Counter { width: Width::W32, .. } if (HALF..1 << 32).contains(&base) => {
            let grown = now + (1 << 32) - base;
            if grown < HALF { Growth::By(grown) } else { Growth::Unknown }
        }
        _ => Growth::Unknown,
    }
}

#[cfg(test)]
mod tests;
