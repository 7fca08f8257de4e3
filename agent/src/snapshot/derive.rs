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

/// What is derived in one run of cells, which are the scalars or a row: made once for a schema, and small, as a tick that comes once a second
/// finds nothing of it in the nearest cache.
#[derive(Debug, Default)]
pub struct Plan {
    /// The counters of all sums, one sum behind the other.
    counters: Vec<Counter>,
    /// What is divided by, behind the seconds. Each is summed once a run: the whole time of a processor is under every share of it.
    overs: Vec<Sum>,
    values: Vec<Ratio>,
}

/// A counter: its place in the run, and what it means that it is less than it was.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counter {
    place: u32,
    fall: Fall,
}

/// What it means that a counter is less than it was.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fall {
    /// It began anew.
    Reset,
    /// That, or it went past 32 bits.
    Wrap,
    /// Nothing: it may be.
    Allowed,
}

/// Which of the plan's counters are summed: from the first to before the second.
type Sum = (u32, u32);

/// A derived value, and its place in the run.
#[derive(Debug)]
struct Ratio {
    scale: f64,
    of: Sum,
    /// Its place among what a run is divided by, of which the first are the seconds.
    over: u32,
    place: u32,
}

impl Plan {
    /// The plan of these metrics.
    pub fn of(metrics: &[Metric]) -> Plan {
        let mut plan = Plan::default();
        for (place, metric) in metrics.iter().enumerate() {
            let Source::Derived(Derivation { of, over, scale }) = &metric.source else { continue };
            let of = plan.sum(of, metrics);
            let over = over.as_deref().map_or(0, |over| {
                let over = plan.sum(over, metrics);
                let same = |known: &Sum| plan.summed(*known) == plan.summed(over);
                let known = plan.overs.iter().position(same).unwrap_or_else(|| {
                    plan.overs.push(over);
                    plan.overs.len() - 1
                });
                known as u32 + 1
            });
            plan.values.push(Ratio { scale: *scale, of, over, place: place as u32 });
        }
        plan
    }

    fn sum(&mut self, places: &[usize], metrics: &[Metric]) -> Sum {
        let first = self.counters.len() as u32;
        self.counters.extend(places.iter().map(|&place| Counter {
            place: place as u32,
            fall: match metrics[place].kind {
                Kind::Counter { may_decrease: true, .. } => Fall::Allowed,
                Kind::Counter { width: Width::W32, .. } => Fall::Wrap,
                _ => Fall::Reset,
            },
        }));
        (first, self.counters.len() as u32)
    }

    #[inline]
    fn summed(&self, (from, to): Sum) -> &[Counter] {
        &self.counters[from as usize..to as usize]
    }

    /// Whether nothing is derived.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Fills the derived cells of a run. `base` begins with that of the reading before; none where there was none.
    fn run(&self, now: &mut [Cell], base: Option<&[Cell]>, seconds: f64, overs: &mut Vec<f64>) {
        let Some(base) = base else {
            return self.values.iter().for_each(|value| now[value.place as usize] = Cell::NULL);
        };
        overs.clear();
        overs.push(seconds);
        // By one that is unknown nothing is divided, as by one that did not grow.
        overs.extend(self.overs.iter().map(|&over| sum(self.summed(over), base, now).unwrap_or(0.0)));
        for Ratio { scale, of, over, place } in &self.values {
            // A rate is of one counter, and most values are rates.
            let of = match self.summed(*of) {
                [counter] => counter.growth(base, now).by().map(|by| by as f64),
                several => sum(several, base, now),
            };
            let over = overs[*over as usize];
            now[*place as usize] = match of {
                Some(of) if over > 0.0 => ratio(scale * of, over),
                _ => Cell::NULL,
            };
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
    /// What a run is divided by: the seconds, then the sums of its plan.
    overs: Vec<f64>,
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
        if let Some(&next) = rows.get(self.hint).filter(|&&next| same(next)) {
            self.hint += 1;
            return Some(next);
        }
        let found = self.look_up(now, row, keys, base, rows)?;
        // Two keys of one 64-bit hash: the growth of one of them is unknown for a tick.
        let it = *rows.get(found).filter(|&&found| same(found))?;
        self.hint = found + 1;
        Some(it)
    }

    #[cold]
    #[inline(never)]
    fn look_up(&mut self, now: &Frame, row: RowHead, keys: usize, base: &Frame, rows: &[RowHead]) -> Option<usize> {
        if !std::mem::replace(&mut self.indexed, true) {
            self.rows.clear();
            self.rows
                .extend(rows.iter().zip(0u32..).map(|(&row, place)| (base.key_hash(&self.hasher, row, keys), place)));
        }
        self.rows.get(&now.key_hash(&self.hasher, row, keys)).map(|&place| place as usize)
    }
}

/// Exact up to the one conversion, where it fits 64 bits.
fn sum(counters: &[Counter], base: &[Cell], now: &[Cell]) -> Option<f64> {
    let (mut total, mut carried, mut any) = (0u64, 0.0, false);
    for counter in counters {
        match counter.growth(base, now) {
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

#[inline]
fn ratio(of: f64, over: f64) -> Cell {
    // Most counters of a healthy machine stand still, and two divisions are a tenth of the work.
    if of <= 0.0 {
        return 0.0.into_cell();
    }
    let value = of / over;
    if value.is_finite() { rounded(value).into_cell() } else { Cell::NULL }
}

/// To four decimals, and to eight below one: what is beyond is noise of the clock, and twelve bytes a value in the data.
fn rounded(value: f64) -> f64 {
    let scale = if value >= 1.0 { 1e4 } else { 1e8 };
    let scaled = value * scale;
    // Not `round`, which is a call where the processor may be an old one: from 2^52 on there are no halves, and the processor rounds.
    if scaled < TWO_TO_52 { (scaled + TWO_TO_52 - TWO_TO_52) / scale } else { value }
}

impl Counter {
    #[inline]
    fn growth(self, base: &[Cell], now: &[Cell]) -> Growth {
        match (base[self.place as usize].as_u64(), now[self.place as usize].as_u64()) {
            (Some(base), Some(now)) if now >= base => Growth::By(now - base),
            (Some(base), Some(now)) => self.fall.growth(base, now),
            (None, None) => Growth::Absent,
            _ => Growth::Unknown,
        }
    }
}

impl Fall {
    fn growth(self, base: u64, now: u64) -> Growth {
        const HALF: u64 = 1 << 31;
        match self {
            Fall::Allowed => Growth::By(0),
            Fall::Wrap if (HALF..1 << 32).contains(&base) => {
                let grown = now + (1 << 32) - base;
                if grown < HALF { Growth::By(grown) } else { Growth::Unknown }
            }
            Fall::Wrap | Fall::Reset => Growth::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
