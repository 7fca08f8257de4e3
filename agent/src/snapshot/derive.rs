//! Growth of counters into what people read: rates, shares, latencies. Pure: two readings and a time in, cells out.
//!
//! A derived value is `scale` times the growth of the counters `of` over the growth of the counters `over`, or over the
//! seconds between the two reads. It is null at first, over a reset and where `over` did not grow; never negative.

use std::collections::HashMap;
use std::hash::RandomState;
use std::ops::Range;

use plugin_api::abi::RowHead;
use plugin_api::host_side::frame::Frame;
use plugin_api::host_side::manifest::{Derivation, Kind, Metric, Source, Width};
use plugin_api::{Cell, IntoCell};

use super::Schema;

const TWO_TO_52: f64 = 4_503_599_627_370_496.0;
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

impl Growth {
    fn by(self) -> Option<u64> {
        match self {
            Growth::By(by) => Some(by),
            Growth::Absent | Growth::Unknown => None,
        }
    }
}

/// What is derived in one run of cells, which are the scalars or a row: made once for a schema.
#[derive(Debug, Default)]
pub struct Plan {
    /// The counters of all sums, one sum behind the other: their places in the run.
    counters: Vec<(usize, Kind)>,
    /// What is divided by. Each is summed once a run: the whole time of a processor is under every share of it.
    overs: Vec<Sum>,
    values: Vec<Ratio>,
}

/// Which of the plan's counters are summed.
type Sum = Range<usize>;

/// A derived value, and its place in the run.
#[derive(Debug)]
struct Ratio {
    place: usize,
    scale: f64,
    of: Sum,
    /// Which of the plan's; none for the seconds.
    over: Option<usize>,
}

impl Plan {
    /// The plan of these metrics.
    pub fn of(metrics: &[Metric]) -> Plan {
        let mut plan = Plan::default();
        for (place, metric) in metrics.iter().enumerate() {
            let Source::Derived(Derivation { of, over, scale }) = &metric.source else { continue };
            let of = plan.sum(of, metrics);
            let over = over.as_deref().map(|over| {
                let over = plan.sum(over, metrics);
                let same = |known: &Sum| plan.counters[known.clone()] == plan.counters[over.clone()];
                plan.overs.iter().position(same).unwrap_or_else(|| {
                    plan.overs.push(over);
                    plan.overs.len() - 1
                })
            });
            plan.values.push(Ratio { place, scale: *scale, of, over });
        }
        plan
    }

    fn sum(&mut self, places: &[usize], metrics: &[Metric]) -> Sum {
        let first = self.counters.len();
        self.counters.extend(places.iter().map(|&place| (place, metrics[place].kind)));
        first..self.counters.len()
    }

    /// Whether nothing is derived.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Fills the derived cells of a run. `base` begins with that of the reading before; none where there was none.
    fn run(&self, now: &mut [Cell], base: Option<&[Cell]>, seconds: f64, overs: &mut Vec<Option<f64>>) {
        let Some(base) = base else {
            return self.values.iter().for_each(|value| now[value.place] = Cell::NULL);
        };
        overs.clear();
        overs.extend(self.overs.iter().map(|over| sum(&self.counters[over.clone()], base, now)));
        for Ratio { place, scale, of, over } in &self.values {
            let over = over.map_or(Some(seconds), |over| overs[over]);
            let value = over.and_then(|over| {
                // A rate is of one counter, and most values are rates.
                let of = match &self.counters[of.clone()] {
                    [(place, kind)] => growth(kind, base[*place], now[*place]).by()? as f64,
                    several => sum(several, base, now)?,
                };
                let value = scale * of / over;
                (over > 0.0 && value.is_finite()).then(|| rounded(value.max(0.0)))
            });
            now[*place] = value.map_or(Cell::NULL, IntoCell::into_cell);
        }
    }
}

/// Fills the derived cells of `now` from what grew since `base`, `seconds` before.
pub fn derive(schema: &Schema, now: &mut Frame, base: Option<&Frame>, seconds: f64, memory: &mut Memory) {
    let Memory { index, overs } = memory;
    schema.derived.run(now.cells_mut(), base.map(Frame::cells), seconds, overs);
    for (table, declared) in schema.manifest.tables.iter().enumerate() {
        let plan = &schema.tables[table].derived;
        if plan.is_empty() {
            continue;
        }
        let keys = declared.keys.len();
        let before = base.map(|base| (base, base.rows_of(table)));
        index.begin();
        for place in now.range_of(table) {
            let row = now.rows()[place];
            let before = before.and_then(|(base, rows)| {
                let found = index.find(now, row, keys, base, rows)?;
                Some(&base.cells()[found.first as usize + keys..])
            });
            plan.run(&mut now.cells_mut()[row.first as usize + keys..], before, seconds, overs);
        }
    }
}

/// Memory to reuse.
#[derive(Debug, Default)]
pub struct Memory {
    index: RowIndex,
    /// Of a plan.
    overs: Vec<Option<f64>>,
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
fn sum(counters: &[(usize, Kind)], base: &[Cell], now: &[Cell]) -> Option<f64> {
    let (mut total, mut carried, mut any) = (0u64, 0.0, false);
    for (place, kind) in counters {
        match growth(kind, base[*place], now[*place]) {
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
    any.then_some(total as f64 + carried)
}

/// To four decimals, and to eight below one: what is beyond is noise of the clock, and twelve bytes a value in the data.
fn rounded(value: f64) -> f64 {
    let scale = if value >= 1.0 { 1e4 } else { 1e8 };
    let scaled = value * scale;
    // Not `round`, which is a call where the processor may be an old one: from 2^52 on there are no halves, and the processor rounds.
    if scaled < TWO_TO_52 { (scaled + TWO_TO_52 - TWO_TO_52) / scale } else { value }
}

#[inline]
fn growth(kind: &Kind, base: Cell, now: Cell) -> Growth {
    match (base.as_u64(), now.as_u64()) {
        (Some(base), Some(now)) if now >= base => Growth::By(now - base),
        (Some(base), Some(now)) => grown_though_less(kind, base, now),
        (None, None) => Growth::Absent,
        _ => Growth::Unknown,
    }
}

fn grown_though_less(kind: &Kind, base: u64, now: u64) -> Growth {
    const HALF: u64 = 1 << 31;
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
