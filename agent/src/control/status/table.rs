//! The status for a person: how the agent is, in a line; then each collector and sink, with what is wrong below it.
//!
//! A count that is nothing everywhere has no column, and one that no longer fits in the width stands below whoever has it: what is
//! to be seen is never off the screen, and on a healthy host there is little to see. Colour where something is bad,
//! and nowhere else. What is cut here is whole in the JSON.

use std::time::Duration;

use super::{Collector, Moment, Sink, Status};
use crate::sink::encode::table::line::{Line, Style, cut_middle, width};
use crate::sink::encode::table::unit::said;
use crate::sink::encode::table::value::moment;
use crate::snapshot;

/// A longer name of a collector or a sink is cut in its middle.
const NAME_COLUMNS: usize = 24;
/// Between two columns.
const GAP: usize = 2;
/// What is below a row begins here.
const INDENT: usize = 4;

/// Draws it. Lines are cut at `columns`, if there is an edge.
pub fn draw(status: &Status, columns: Option<usize>, colour: bool) -> Vec<u8> {
    let columns = columns.unwrap_or(usize::MAX);
    let mut lines = head(status);
    if !status.collectors.is_empty() {
        lines.push(Line::default());
        lines.extend(collectors(status, columns));
    }
    if !status.sinks.is_empty() {
        lines.push(Line::default());
        lines.extend(sinks(&status.sinks));
    }
    let mut out = Vec::new();
    for line in &lines {
        line.write(columns, colour, &mut out);
        out.push(b'\n');
    }
    out
}

fn head(status: &Status) -> Vec<Line> {
    let agent = &status.agent;
    let mut first = Line::default();
    let host = agent.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
    first.put(Style::Plain, &format!("perfwatch {}{host}, pid {}: ", agent.version, agent.pid));
    for sink in status.sinks.iter().filter(|sink| sink.error.is_some()) {
        first.put(Style::Failure, &format!("sink {} does not write", sink.name));
        first.put(Style::Plain, "; ");
    }
    let all = status.collectors.len();
    let bad: Vec<_> = status.collectors.iter().filter(|one| style(one) == Style::Failure).collect();
    if bad.is_empty() {
        first.put(Style::Plain, &format!("{all} collector{}, none at fault", plural(all as u64)));
    } else {
        let named: Vec<_> = bad.iter().map(|one| format!("{} {}", one.name, word(one))).collect();
        first.put(Style::Failure, &format!("{} of {all} collector{} at fault", bad.len(), plural(all as u64)));
        first.put(Style::Plain, &format!(": {}", named.join(", ")));
    }
    let mut second = Line::default();
    let (since, uptime) = (moment(agent.started.0.0), said("s", agent.uptime_seconds));
    second.put(Style::Plain, &format!("since {since} ({uptime}): {} snapshot", counted(agent.snapshots)));
    second.put(Style::Plain, plural(agent.snapshots));
    if let Some(tick) = agent.tick {
        let late = said("s", agent.late_seconds);
        second.put(Style::Plain, &format!(", last {} ago, {late} late", age(agent.at, tick)));
    }
    match status.collectors.iter().map(|one| one.missed + one.skipped).sum() {
        0 => second.put(Style::Plain, ", none missed"),
        missed => second.put(Style::Plain, &format!(", {} missed", counted(missed))),
    }
    let mut lines = vec![first, second, settings(status)];
    if let Some(copy) = &agent.last_good {
        let mut line = Line::default();
        line.put(Style::Failure, "the configuration was refused at the start");
        line.put(Style::Plain, &format!(": it runs from the last good one, {copy}"));
        lines.push(line);
    }
    if let Some(reload) = &status.reload {
        let mut line = Line::default();
        line.put(Style::Plain, &format!("last reload {} ago ", age(agent.at, reload.at)));
        match reload.applied {
            true => line.put(Style::Plain, "applied: "),
            false => line.put(Style::Failure, "refused: "),
        }
        line.put(Style::Plain, &on_one_line(&reload.text));
        lines.push(line);
    }
    lines
}

fn settings(status: &Status) -> Line {
    let (agent, mut line) = (&status.agent, Line::default());
    let config = agent.config.as_deref().unwrap_or("no configuration file");
    line.put(Style::Plain, config);
    if !agent.drop_ins.is_empty() {
        line.put(Style::Plain, &format!(" and {} of conf.d", agent.drop_ins.len()));
    }
    line.put(Style::Plain, &format!("; watches {}; trust ", agent.watch));
    let relaxed = agent.trust == "relaxed";
    line.put(if relaxed { Style::Warning } else { Style::Plain }, &agent.trust);
    if agent.locked {
        line.put(Style::Plain, ", plugins locked");
    }
    line
}

/// A count of a collector: its heading, what it is called below a row, where it is.
type Count = (&'static str, &'static str, fn(&Collector) -> u64);

/// The dearest first, as the last do not fit.
const COUNTS: [Count; 9] = [
    ("FAILED", "failed", |one| one.failures),
    ("TIMEOUTS", "timed out", |one| one.timeouts),
    ("MISSED", "missed", |one| one.missed),
    ("SKIPPED", "without a turn", |one| one.skipped),
    ("RESTARTS", "restarts", |one| one.restarts),
    ("OVER", "over the budget", |one| one.over_budget),
    ("DROPPED", "came too late", |one| one.dropped),
    ("REFUSED", "values refused", |one| one.refused),
    ("ROWS-LOST", "rows lost", |one| one.rows_lost),
];

fn collectors(status: &Status, columns: usize) -> Vec<Line> {
    let all = &status.collectors;
    let mut grid = Grid::default();
    grid.column("COLLECTOR", false, all.iter().map(|one| Field::plain(cut_middle(&one.name, NAME_COLUMNS))));
    grid.column("STATUS", false, all.iter().map(|one| Field { text: word(one).to_owned(), style: style(one) }));
    grid.column("WHERE", false, all.iter().map(|one| Field::plain(one.placement.clone())));
    grid.column("EVERY", true, all.iter().map(|one| Field::plain(every(one.interval_seconds))));
    let time = |seconds: Option<f64>| Field::plain(seconds.map_or_else(none, |seconds| said("s", seconds)));
    grid.column("LAST", true, all.iter().map(|one| time(one.last_seconds)));
    grid.column("MEAN", true, all.iter().map(|one| time(one.mean_seconds)));
    // An older agent does not tell.
    if all.iter().any(|one| one.mean_cpu_seconds.is_some()) {
        grid.column("CPU", true, all.iter().map(|one| time(one.mean_cpu_seconds)));
    }
    grid.column("CALLS", true, all.iter().map(|one| Field::plain(counted(one.calls))));
    let mut memory = Grid::default();
    if all.iter().any(|one| one.memory_bytes.is_some()) {
        let bytes = |one: &Collector| one.memory_bytes.map_or_else(none, |bytes| said("By", bytes as f64));
        memory.column("MEMORY", true, all.iter().map(|one| Field::plain(bytes(one))));
    }
    let mut below = Vec::new();
    for (heading, words, of) in COUNTS.into_iter().filter(|(.., of)| all.iter().any(|one| of(one) > 0)) {
        let mut tried = Grid::default();
        tried.column(heading, true, all.iter().map(|one| Field::plain(counted(of(one)))));
        if grid.width() + tried.width() + memory.width() <= columns {
            grid.append(tried);
        } else {
            below.push((words, of));
        }
    }
    grid.append(memory);
    let notes = all.iter().map(|one| notes(one, status.agent.at, &below));
    grid.lines(notes.collect())
}

/// What stands below a collector.
fn notes(one: &Collector, now: Moment, below: &[(&str, fn(&Collector) -> u64)]) -> Vec<Line> {
    let mut lines = Vec::new();
    // One that is only late this time has its last error from before.
    if !matches!(word(one), "ok" | "pending" | "skipped" | "–") {
        let mut text = Vec::new();
        text.extend(one.since.map(|since| format!("for {}", age(now, since))));
        if word(one) == "backoff" {
            let next = one.next_due.filter(|next| *next > now);
            text.extend(next.map(|next| format!("asked again in {}", age(next, now))));
        }
        let text = text.join(", ");
        match one.error.as_deref().filter(|error| !error.is_empty()) {
            Some(error) if text.is_empty() => lines.push(on_one_line(error)),
            Some(error) => lines.push(format!("{text}: {}", on_one_line(error))),
            None if text.is_empty() => {}
            None => lines.push(text),
        }
    }
    let counts = below.iter().filter(|(_, of)| of(one) > 0);
    let counts: Vec<_> = counts.map(|(words, of)| format!("{} {words}", counted(of(one)))).collect();
    if !counts.is_empty() {
        lines.push(counts.join(", "));
    }
    lines.iter().map(|text| indented(text)).collect()
}

fn sinks(sinks: &[Sink]) -> Vec<Line> {
    let mut grid = Grid::default();
    grid.column("SINK", false, sinks.iter().map(|one| Field::plain(cut_middle(&one.name, NAME_COLUMNS))));
    grid.column("TYPE", false, sinks.iter().map(|one| Field::plain(one.kind.clone())));
    let queue = |one: &Sink| {
        let text = format!("{}/{}", one.depth, one.capacity);
        // Half full it will not be on time any more, and lose some before long.
        Field { text, style: if one.depth * 2 >= one.capacity.max(1) { Style::Warning } else { Style::Plain } }
    };
    grid.column("QUEUE", true, sinks.iter().map(queue));
    grid.column("WRITTEN", true, sinks.iter().map(|one| Field::plain(counted(one.written))));
    let lost = |one: &Sink| {
        let style = if one.error.is_some() { Style::Failure } else { Style::Plain };
        Field { text: counted(one.lost), style }
    };
    grid.column("LOST", true, sinks.iter().map(lost));
    let notes = sinks.iter().map(|one| one.error.iter().map(|error| indented(&on_one_line(error))).collect());
    grid.lines(notes.collect())
}

/// What is in a column of a row.
struct Field {
    text: String,
    style: Style,
}

impl Field {
    fn plain(text: String) -> Field {
        Field { text, style: Style::Plain }
    }
}

/// Columns side by side, as wide as what is in them.
#[derive(Default)]
struct Grid {
    columns: Vec<Column>,
}

struct Column {
    heading: &'static str,
    to_the_right: bool,
    width: usize,
    fields: Vec<Field>,
}

impl Grid {
    fn column(&mut self, heading: &'static str, to_the_right: bool, fields: impl Iterator<Item = Field>) {
        let fields: Vec<_> = fields.collect();
        let widest = fields.iter().map(|field| width(&field.text)).max().unwrap_or(0).max(heading.len());
        self.columns.push(Column { heading, to_the_right, width: widest, fields });
    }

    fn append(&mut self, other: Grid) {
        self.columns.extend(other.columns);
    }

    /// With the gap to what is to the left.
    fn width(&self) -> usize {
        self.columns.iter().map(|column| column.width + GAP).sum()
    }

    /// The headings, then each row with its notes.
    fn lines(&self, notes: Vec<Vec<Line>>) -> Vec<Line> {
        let row = |nth: Option<usize>| {
            let (mut line, mut at) = (Line::default(), 0);
            for column in &self.columns {
                let (text, style) = match nth {
                    Some(nth) => (&*column.fields[nth].text, column.fields[nth].style),
                    None => (column.heading, Style::Plain),
                };
                let before = if column.to_the_right { column.width - width(text) } else { 0 };
                line.pad(at + before);
                line.put(style, text);
                at += column.width + GAP;
            }
            line
        };
        let mut lines = vec![row(None)];
        for (nth, notes) in notes.into_iter().enumerate() {
            lines.push(row(Some(nth)));
            lines.extend(notes);
        }
        lines
    }
}

fn word(one: &Collector) -> &str {
    one.status.as_deref().unwrap_or("–")
}

/// Whether it is bad.
fn style(one: &Collector) -> Style {
    match snapshot::Status::of_word(word(one)) {
        _ if one.quarantined => Style::Failure,
        // Before the first tick nobody knows; and what is not there to be measured is no fault.
        None | Some(snapshot::Status::Ok | snapshot::Status::Unavailable) => Style::Plain,
        Some(snapshot::Status::Partial | snapshot::Status::Pending | snapshot::Status::Skipped) => Style::Warning,
        Some(_) => Style::Failure,
    }
}

fn indented(text: &str) -> Line {
    let mut line = Line::default();
    line.pad(INDENT);
    line.put(Style::Plain, text);
    line
}

/// As the configuration writes it: `5s`.
fn every(seconds: f64) -> String {
    let interval = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    humantime::format_duration(interval).to_string()
}

fn age(now: Moment, then: Moment) -> String {
    let seconds = now.0.since(then.0).as_secs_f64();
    // Nobody wants to know it to the millisecond.
    match seconds {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        _ if seconds < 59.5 => format!("{seconds:.0} s"),
        _ => said("s", seconds),
    }
}

fn on_one_line(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match whole.chars().last() {
            None => {}
            Some(':' | ';' | ',' | '.') => whole.push(' '),
            Some(_) => whole.push_str("; "),
        }
        whole.push_str(line);
    }
    whole
}

fn counted(count: u64) -> String {
    said("1", count as f64)
}

fn none() -> String {
    "–".to_owned()
}

const fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests;
