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

/// Fills the derived cells of `now` from what grew since `base`, `seconds` before.
pub fn derive(schema: &Schema, now: &mut Frame, base: Option<&Frame>, seconds: f64, memory: &mut Memory) {
    let Memory { index, growths } = memory;
    derive_run(&schema.manifest.metrics, now, 0, base.map(Frame::cells), seconds, growths);
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
                Some(&base.cells()[found.first as usize + keys..])
            });
            derive_run(&declared.columns, now, row.first as usize + keys, before, seconds, growths);
        }
    }
}

/// Memory to reuse.
#[derive(Debug, Default)]
pub struct Memory {
    index: RowIndex,
    growths: Vec<Growth>,
}

/// Finds the rows of the reading before. Rows come in the same order tick after tick, so the one sought is nearly always
/// the one behind the last found; the first time that it is not, the table is indexed, once.
#[derive(Debug, Default)]
struct RowIndex {
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

/// Derives the metrics of one run of cells that begins at `first`; `base` begins with the run of the reading before. What each counter
/// grew by is looked at once: the shares of a processor's time each need that of eight.
fn derive_run(
    metrics: &[Metric],
    now: &mut Frame,
    first: usize,
    base: Option<&[Cell]>,
    seconds: f64,
    growths: &mut Vec<Growth>,
) {
    growths.clear();
    if let Some(base) = base {
        let cells = base.iter().zip(&now.cells()[first..]);
        growths.extend(metrics.iter().zip(cells).map(|(metric, (base, now))| match metric.kind {
            Kind::Counter { .. } => growth(&metric.kind, *base, *now),
            _ => Growth::Absent,
        }));
    }
    for (place, metric) in metrics.iter().enumerate() {
        let Source::Derived(derivation) = &metric.source else { continue };
        let value = if growths.is_empty() { None } else { value(derivation, seconds, growths) };
        now.put(first + place, value.map_or(Cell::NULL, IntoCell::into_cell));
    }
}

fn value(derivation: &Derivation, seconds: f64, growths: &[Growth]) -> Option<f64> {
    let of = sum(&derivation.of, growths)?;
    let over = match &derivation.over {
        Some(over) => sum(over, growths)?,
        None => seconds,
    };
    let value = derivation.scale * of / over;
    (over > 0.0 && value.is_finite()).then(|| rounded(value.max(0.0)))
}

/// Exact up to the one conversion: where the sum fits 64 bits, as it nearly always does, that is one of 64 and not of 128, which is a call.
fn sum(counters: &[usize], growths: &[Growth]) -> Option<f64> {
    let (mut total, mut any) = (0u128, false);
    for &counter in counters {
        match growths[counter] {
            Growth::Absent => {}
            Growth::By(by) => (total, any) = (total + u128::from(by), true),
            Growth::Unknown => return None,
        }
    }
    any.then(|| u64::try_from(total).map_or_else(|_| total as f64, |total| total as f64))
}

/// To four decimals, and to eight below one: what is beyond is noise of the clock, and twelve bytes a value in the data.
fn rounded(value: f64) -> f64 {
    let scale = if value >= 1.0 { 1e4 } else { 1e8 };
    let scaled = value * scale;
    // Not `round`, which is a call where the processor may be an old one. Below 2^52 there are halves, so that adding one is exact.
    if scaled < 4e15 { (scaled + 0.5) as i64 as f64 / scale } else { value }
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
