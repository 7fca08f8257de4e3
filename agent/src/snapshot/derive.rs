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

const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

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

/// What is derived in one run of cells, which are the scalars or a row: made once for a schema. Each counter is compared once a run, and each
/// sum is made once: that of all the time of a processor is under every share of it.
#[derive(Debug)]
pub struct Plan {
    /// The counters that grow into something: their places in the run.
    counters: Vec<(usize, Kind)>,
    /// Sums of these.
    sums: Vec<Vec<usize>>,
    /// What is made of the sums.
    values: Vec<Ratio>,
}

/// A derived value.
#[derive(Debug)]
struct Ratio {
    /// Its place in the run.
    place: usize,
    scale: f64,
    /// Which sum over which; none for the seconds.
    of: usize,
    over: Option<usize>,
}

impl Plan {
    /// The plan of these metrics.
    pub fn of(metrics: &[Metric]) -> Plan {
        let mut plan = Plan { counters: Vec::new(), sums: Vec::new(), values: Vec::new() };
        for (place, metric) in metrics.iter().enumerate() {
            if let Source::Derived(Derivation { of, over, scale }) = &metric.source {
                let of = plan.sum(of, metrics);
                let over = over.as_ref().map(|over| plan.sum(over, metrics));
                plan.values.push(Ratio { place, scale: *scale, of, over });
            }
        }
        plan
    }

    /// Whether nothing is derived.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn sum(&mut self, places: &[usize], metrics: &[Metric]) -> usize {
        let sum = places.iter().map(|&place| {
            position_or_push(&mut self.counters, |(known, _)| *known == place, || (place, metrics[place].kind.clone()))
        });
        let sum: Vec<_> = sum.collect();
        position_or_push(&mut self.sums, |known| *known == sum, || sum.clone())
    }

    /// Fills the derived cells of the run that begins at `first`; `base` begins with the run of the reading before.
    fn run(&self, now: &mut Frame, first: usize, base: Option<&[Cell]>, seconds: f64, memory: &mut Memory) {
        let Memory { growths, sums, .. } = memory;
        if let Some(base) = base {
            let now = &now.cells()[first..];
            growths.clear();
            growths.extend(self.counters.iter().map(|(place, kind)| growth(kind, base[*place], now[*place])));
            sums.clear();
            sums.extend(self.sums.iter().map(|counters| sum(counters, growths)));
        }
        for Ratio { place, scale, of, over } in &self.values {
            let value = base.and_then(|_| {
                let over = over.map_or(Some(seconds), |over| sums[over])?;
                let value = scale * sums[*of]? / over;
                (over > 0.0 && value.is_finite()).then(|| rounded(value.max(0.0)))
            });
            now.put(first + place, value.map_or(Cell::NULL, IntoCell::into_cell));
        }
    }
}

fn position_or_push<T>(list: &mut Vec<T>, is_it: impl FnMut(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    list.iter().position(is_it).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    })
}

/// Fills the derived cells of `now` from what grew since `base`, `seconds` before.
pub fn derive(schema: &Schema, now: &mut Frame, base: Option<&Frame>, seconds: f64, memory: &mut Memory) {
    schema.derived.run(now, 0, base.map(Frame::cells), seconds, memory);
    for (table, declared) in schema.manifest.tables.iter().enumerate() {
        let plan = &schema.tables[table].derived;
        if plan.is_empty() {
            continue;
        }
        let keys = declared.keys.len();
        let before = base.map(|base| (base, base.rows_of(table)));
        memory.index.begin();
        for place in now.range_of(table) {
            let row = now.rows()[place];
            let before = before.and_then(|(base, rows)| {
                let found = memory.index.find(now, row, keys, base, rows)?;
                Some(&base.cells()[found.first as usize + keys..])
            });
            plan.run(now, row.first as usize + keys, before, seconds, memory);
        }
    }
}

/// Memory to reuse.
#[derive(Debug, Default)]
pub struct Memory {
    index: RowIndex,
    /// Of the counters of a plan.
    growths: Vec<Growth>,
    /// Its sums.
    sums: Vec<Option<f64>>,
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

/// Exact up to the one conversion, where it fits 64 bits.
fn sum(counters: &[usize], growths: &[Growth]) -> Option<f64> {
    let (mut total, mut carried, mut any) = (0u64, 0.0, false);
    for &counter in counters {
        match growths[counter] {
            Growth::Absent => {}
            Growth::By(by) => {
                let (sum, overflows) = total.overflowing_add(by);
                total = sum;
                carried += if overflows { TWO_TO_64 } else { 0.0 };
                any = true;
            }
            Growth::Unknown => return None,
        }
    }
    any.then(|| total as f64 + carried)
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
