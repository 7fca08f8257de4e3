//! What was seen, as figures; and these as text for a person, or as one JSON document for a program. Pure.
//!
//! The keys of the JSON are stable: something is added, nothing renamed. Times are CPU time in seconds unless they say otherwise.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::spread::{Machine, Spread, Trust, trust};
use super::threads::{Counts, between};
use super::weighed::{Reading, Tick};
use super::{SINK, Seen, Terms};
use crate::schedule::ledger::Place;
use crate::sink::encode::table::unit::said;
use crate::snapshot::Status;

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Of the agent.
    pub version: &'static str,
    /// Of all collectors.
    pub interval_seconds: f64,
    /// Cycles that counted.
    pub cycles: usize,
    /// Whether a signal ended it early.
    pub interrupted: bool,
    /// The dearest first, the agent's own section among them.
    pub collectors: Vec<Collector>,
    /// What a cycle is made of.
    pub parts: Vec<Part>,
    /// A cycle.
    pub cycle: Whole,
    /// What nothing costs, and what the machine did meanwhile.
    pub noise: Noise,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Collector {
    /// Its name.
    pub name: String,
    /// Where it was called at the end: `agent`, `thread` or `child`.
    pub placement: &'static str,
    /// Calls that returned.
    pub readings: usize,
    /// Readings that are no `ok` and no `partial`.
    pub failed: usize,
    /// How it stood at the end.
    pub status: Option<&'static str>,
    /// CPU time of a reading; in a child that of the process and of the programs that it started.
    pub cpu_seconds: Option<Spread>,
    /// From the call to the answer.
    pub wall_seconds: Option<Spread>,
    /// How often it is read as configured.
    pub configured_interval_seconds: f64,
    /// Of one core, as often.
    pub configured_cpu_percent: Option<f64>,
    /// Of its last section: what is not null and has no `_`.
    pub values: usize,
    /// Of its last section.
    pub rows: usize,
    /// Of its last section.
    pub json_bytes: usize,
    /// Resident memory of its child; null in the agent.
    pub memory_bytes: Option<u64>,
}

/// A part of a cycle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// What it costs in a cycle.
    pub cpu_seconds: Spread,
}

/// A cycle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Whole {
    /// What it costs, children included.
    pub cpu_seconds: Spread,
    /// Of one core, at the interval of this run.
    pub cpu_percent: f64,
    /// Of one core, with each collector as often as it is configured.
    pub configured_cpu_percent: f64,
    /// Of the agent's threads, without children.
    pub context_switches: Spread,
    /// Those of them in which a processor was taken away.
    pub involuntary_context_switches: Spread,
    /// Of the agent's threads, those that needed no disk.
    pub page_faults: Spread,
    /// Of a line, in the median.
    pub json_bytes: f64,
}

/// What lies below all figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Noise {
    /// A collector that does nothing, in the same cycles.
    pub empty_collector_seconds: Option<Spread>,
    /// A thread that wakes up and does nothing, in the same cycles.
    pub empty_wake_up_seconds: Option<Spread>,
    /// How late that thread was. No CPU time.
    pub late_seconds: Option<Spread>,
    /// The machine; null where the kernel does not tell.
    pub machine: Option<Machine>,
    /// Whether it can be trusted.
    pub trust: Trust,
}

/// One cycle that is whole.
struct Cycle<'a> {
    tick: &'a Tick,
    collect: Counts,
    sink: Counts,
    all: Counts,
}

/// The figures; none where no cycle is whole.
pub(super) fn of(seen: &Seen, terms: Terms) -> Option<Report> {
    let cycles = cycles(seen, terms.interval);
    let nothing = seen.names.len() - 1;
    let is_child = |place: usize| seen.books.collectors.get(place).is_some_and(|entry| entry.place == Place::Child);
    let cpu = |tick: &Tick, of: &dyn Fn(&Reading) -> bool| {
        tick.readings.iter().filter(|one| of(one)).filter_map(|one| one.cpu).sum::<Duration>().as_secs_f64()
    };
    // To the nanosecond: what is left of a difference below that is none.
    let whole_ns = |value: f64| (value.max(0.0) * 1e9).round() / 1e9;
    let spread = |of: &dyn Fn(&Cycle) -> f64| Spread::of(cycles.iter().map(|one| whole_ns(of(one))).collect());
    let calls = |one: &Cycle| cpu(one.tick, &|one| one.place != nothing && !is_child(one.place));
    let children = |one: &Cycle| cpu(one.tick, &|one| is_child(one.place));
    let of_nothing = |one: &Cycle| cpu(one.tick, &|one| one.place == nothing);
    let (encode, write) = (|one: &Cycle| one.tick.encode.as_secs_f64(), |one: &Cycle| one.tick.write.as_secs_f64());
    let ours = |one: &Cycle| one.tick.ours.as_secs_f64();
    let seconds = |counts: &Counts| counts.cpu.as_secs_f64();
    let whole = |one: &Cycle| seconds(&one.all) - ours(one) - of_nothing(one) + children(one);
    let wake_up = Spread::of(seen.wakes.iter().map(|awake| awake.cpu.as_secs_f64()).collect());
    let waking = wake_up.map_or(0.0, |wake_up| wake_up.median);
    let part = |name, of: &dyn Fn(&Cycle) -> f64| Some(Part { name, cpu_seconds: spread(of)? });
    let parts = [
        part("collectors in the agent", &calls),
        part("collectors in children", &children),
        wake_up.map(|cpu_seconds| Part { name: "waking up", cpu_seconds }),
        part("scheduling and assembling", &|one| seconds(&one.collect) - calls(one) - of_nothing(one) - waking),
        part("encoding to JSON", &encode),
        part("writing to /dev/null", &write),
        part("waking up to do so", &|one| seconds(&one.sink) - encode(one) - write(one) - ours(one)),
        part("other threads", &|one| seconds(&one.all) - seconds(&one.collect) - seconds(&one.sink)),
    ];
    let parts = parts.into_iter().flatten().collect();
    let mut collectors: Vec<_> = (0..nothing).map(|place| collector(seen, &cycles, place)).collect();
    let median = |spread: Option<Spread>| spread.map_or(0.0, |spread| spread.median);
    let all: f64 = collectors.iter().map(|one| median(one.cpu_seconds)).sum();
    collectors.sort_by(|one, other| median(other.cpu_seconds).total_cmp(&median(one.cpu_seconds)));
    let cpu_seconds = spread(&whole)?;
    // Ticks are multiples of their intervals, so that almost all fall on those of the shortest.
    let shortest = seen.names[..nothing].iter().map(|(_, interval)| interval.as_secs_f64()).fold(f64::MAX, f64::min);
    let rest = (cpu_seconds.median - all).max(0.0) * 100.0 / shortest;
    let as_configured: f64 = collectors.iter().filter_map(|one| one.configured_cpu_percent).sum();
    let machine = seen.machine;
    Some(Report {
        version: env!("CARGO_PKG_VERSION"),
        interval_seconds: terms.interval.as_secs_f64(),
        cycles: cycles.len(),
        interrupted: seen.interrupted,
        collectors,
        parts,
        cycle: Whole {
            cpu_seconds,
            cpu_percent: cpu_seconds.median * 100.0 / terms.interval.as_secs_f64(),
            configured_cpu_percent: as_configured + rest,
            context_switches: spread(&|one| (one.all.slept + one.all.pushed) as f64)?,
            involuntary_context_switches: spread(&|one| one.all.pushed as f64)?,
            page_faults: spread(&|one| one.all.faults as f64)?,
            json_bytes: spread(&|one| one.tick.bytes as f64)?.median,
        },
        noise: Noise {
            empty_collector_seconds: spread(&of_nothing),
            empty_wake_up_seconds: wake_up,
            late_seconds: Spread::of(seen.wakes.iter().map(|awake| awake.late.as_secs_f64()).collect()),
            machine,
            trust: trust(&cycles.iter().map(whole).collect::<Vec<_>>(), &machine.unwrap_or_default()),
        },
    })
}

/// The cycles of which both looks and the tick between them are there.
fn cycles(seen: &Seen, interval: Duration) -> Vec<Cycle<'_>> {
    let tick_of = |cycle: usize| {
        let due = seen.first.plus(interval * u32::try_from(cycle).unwrap_or(u32::MAX));
        seen.ticks.iter().find(|tick| tick.at == due)
    };
    let looks = seen.looks.windows(2).enumerate();
    let whole = looks.filter_map(|(before, pair)| {
        let of = |of: &dyn Fn(&str) -> bool| between(&pair[0], &pair[1], of);
        let sink = format!("sink {SINK}");
        let (collect, sink) = (of(&|name| name == "collect"), of(&|name| name == sink));
        Some(Cycle { tick: tick_of(before + 1)?, collect, sink, all: of(&|_| true) })
    });
    whole.collect()
}

fn collector(seen: &Seen, cycles: &[Cycle], place: usize) -> Collector {
    let (name, interval) = &seen.names[place];
    let readings = || cycles.iter().flat_map(|one| &one.tick.readings).filter(|one| one.place == place);
    let spread = |of: fn(&Reading) -> Option<Duration>| {
        Spread::of(readings().filter_map(of).map(|time| time.as_secs_f64()).collect())
    };
    let (last, entry) = (readings().next_back(), seen.books.collectors.get(place));
    let cpu_seconds = spread(|one| one.cpu);
    let well = |one: &&Reading| one.status.has_metrics() || one.status == Status::Unavailable;
    Collector {
        name: name.clone(),
        placement: entry.map_or(Place::Agent, |entry| entry.place).word(),
        readings: readings().filter(|one| one.cpu.is_some()).count(),
        failed: readings().count() - readings().filter(well).count(),
        status: last.map(|one| one.status.word()),
        cpu_seconds,
        wall_seconds: spread(|one| one.took),
        configured_interval_seconds: interval.as_secs_f64(),
        configured_cpu_percent: cpu_seconds.map(|cpu| cpu.median * 100.0 / interval.as_secs_f64()),
        values: last.map_or(0, |one| one.values),
        rows: last.map_or(0, |one| one.rows),
        json_bytes: last.map_or(0, |one| one.bytes),
        memory_bytes: entry.and_then(|entry| entry.memory),
    }
}

impl Report {
    /// For a program: one document.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data with keys that are strings becomes JSON") + "\n"
    }

    /// For a person.
    #[must_use]
    pub fn text(&self) -> String {
        let interval = every(self.interval_seconds);
        let early = if self.interrupted { ", ended early" } else { "" };
        let mut text =
            format!("{} cycles, one every {interval}{early}; CPU time, median (least to most)\n\n", self.cycles);
        let mut rows = vec![
            ["COLLECTOR", "WHERE", "CPU", "", "WALL", "AS CONFIGURED", "VALUES", "ROWS", "JSON", "MEMORY"]
                .map(str::to_owned),
        ];
        rows.extend(self.collectors.iter().map(row));
        draw(&rows, 2, &mut text);
        for one in self.collectors.iter().filter(|one| one.failed > 0) {
            let status = one.status.unwrap_or("never answered");
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(text, "{}: {} readings without metrics, the last: {status}", one.name, one.failed);
        }
        text.push('\n');
        let mut rows = vec![["A CYCLE", "CPU", ""].map(str::to_owned)];
        let parts = self.parts.iter().filter(|part| part.cpu_seconds.most > 0.0);
        rows.extend(parts.map(|part| [part.name.into(), cost(part.cpu_seconds), range(part.cpu_seconds)]));
        let cycle = &self.cycle;
        rows.push(["all of it".into(), cost(cycle.cpu_seconds), range(cycle.cpu_seconds)]);
        draw(&rows, 1, &mut text);
        let (here, configured) = (percent(cycle.cpu_percent), percent(cycle.configured_cpu_percent));
        let _ = writeln!(text, "{here} of one core at {interval}, about {configured} as configured");
        let count = |spread: Spread| format!("{:.0} ({:.0} to {:.0})", spread.median, spread.least, spread.most);
        let _ = writeln!(
            text,
            "context switches {}, involuntary {}; page faults {}; a line of {}\n",
            count(cycle.context_switches),
            count(cycle.involuntary_context_switches),
            count(cycle.page_faults),
            said("By", cycle.json_bytes)
        );
        self.noise.text(&mut text);
        text
    }
}

impl Noise {
    fn text(&self, text: &mut String) {
        let mut rows = vec![["NOISE", "", ""].map(str::to_owned)];
        let told = [
            ("a collector that does nothing", self.empty_collector_seconds),
            ("a thread that only wakes up", self.empty_wake_up_seconds),
            ("how late that woke up", self.late_seconds),
        ];
        let told = told.into_iter().filter_map(|(name, spread)| Some((name, spread?)));
        rows.extend(told.map(|(name, spread)| [name.into(), cost(spread), range(spread)]));
        draw(&rows, 1, text);
        if let Some(machine) = &self.machine {
            let load = machine.load.map_or_else(String::new, |load| format!(", load {load}"));
            let (busy, stolen) = (percent(machine.busy * 100.0), percent(machine.stolen * 100.0));
            let count = machine.processors;
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(text, "others used {busy} of {count} processors, {stolen} were stolen{load}");
        }
        let _ = writeln!(text, "{}", self.trust.verdict);
    }
}

fn row(one: &Collector) -> [String; 10] {
    let none = || "–".to_owned();
    let share = one.configured_cpu_percent.map_or_else(none, percent);
    [
        one.name.clone(),
        one.placement.into(),
        one.cpu_seconds.map_or_else(none, cost),
        one.cpu_seconds.map(range).unwrap_or_default(),
        one.wall_seconds.map_or_else(none, cost),
        format!("{share} at {}", every(one.configured_interval_seconds)),
        one.values.to_string(),
        one.rows.to_string(),
        said("By", one.json_bytes as f64),
        one.memory_bytes.map_or_else(none, |bytes| said("By", bytes as f64)),
    ]
}

fn every(seconds: f64) -> String {
    humantime::format_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default()).to_string()
}

fn cost(spread: Spread) -> String {
    said("s", spread.median)
}

fn range(spread: Spread) -> String {
    format!("({} to {})", said("s", spread.least), said("s", spread.most))
}

/// Of one core: what matters here begins at a thousandth.
fn percent(value: f64) -> String {
    match value {
        _ if value <= 0.0 => "0 %".into(),
        _ if value >= 1.0 => format!("{value:.1} %"),
        _ if value >= 0.01 => format!("{value:.3} %"),
        _ => format!("{value:.5} %"),
    }
}

/// Columns side by side, those from `left` on to the right.
fn draw<const N: usize>(rows: &[[String; N]], left: usize, out: &mut String) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < left { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
