//! Read again and again, in the agent and in its sandbox: what it says, whether it says the same, what it costs and what it leaves behind.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use plugin_api::host_side::manifest::ReadKind;

use super::desk::Desk;
use super::rehearsal::{self, End, KEPT, Ran, Run, Usage};
use super::report::{Check, Finding, short};
use super::seen::{self, Seen};
use super::strays::Left;
use crate::child::Start;

/// Readings of a plugin that is quick: a percentile of 99 has two above it.
const READINGS: usize = 200;
/// As long as they are taken; what is slow is read fewer times.
const WITHIN: Duration = Duration::from_millis(350);
/// Of what it holds, growth over the readings: an allocator's own pieces come and go by tens of KiB.
const MEMORY_GROWTH: u64 = 256 << 10;
/// A pool may begin another worker or file once or twice; what leaks does so at each reading.
const COUNT_GROWTH: u64 = 2;
/// With fewer readings nothing is said of growth.
const GROWTH_READINGS: usize = 8;
/// What it prints is shown so far.
const PRINTED: usize = 3;

/// The runs that all else is held against.
pub struct Taken {
    /// Without a sandbox, untouched.
    pub agent: Ran,
    /// In its sandbox, untouched.
    pub child: Ran,
    /// Without a sandbox, its calls told.
    pub agent_calls: Ran,
    /// In its sandbox, the same.
    pub child_calls: Ran,
}

impl Taken {
    /// Takes them.
    pub fn take(desk: &Desk) -> Taken {
        let in_child = || Start { policy: Some(desk.policy()), ..desk.start() };
        let many = |start| {
            let run = Run { readings: READINGS, within: WITHIN, ..desk.plan(start) };
            rehearsal::run(&run, &mut |_| Ok(()))
        };
        let traced = |start| desk.run_traced(start, 2);
        let agent = many(desk.start());
        // What hangs has told it once.
        let not_again = || Ran::not_tried("it does not answer in the agent");
        if matches!(agent.end, End::Hung(_)) {
            return Taken { agent, child: not_again(), agent_calls: not_again(), child_calls: not_again() };
        }
        Taken { agent, child: many(in_child()), agent_calls: traced(desk.start()), child_calls: traced(in_child()) }
    }

    /// Whether it was read to the last without its sandbox, so that more can be asked of it.
    #[must_use]
    pub fn can_be_read(&self) -> bool {
        self.agent.end == End::Answered && self.agent.error().is_none()
    }
}

/// All that is to be seen in them.
#[must_use]
pub fn checks(desk: &Desk, taken: &Taken) -> Vec<Check> {
    let (agent, child) = (&taken.agent, &taken.child);
    let mut checks = vec![read("read_in_agent", agent, false), read("read_in_child", child, taken.can_be_read())];
    if taken.can_be_read() {
        checks.push(same(agent, child));
        checks.push(declared(desk, agent, child));
        checks.push(types(agent, child));
        checks.push(room(desk, agent));
    }
    if agent.seen.len() > 1 {
        checks.push(time(desk, agent));
        checks.push(cpu(desk, agent));
        checks.push(growth("memory", agent, MEMORY_GROWTH, |usage| usage.memory));
        checks.push(growth("threads", agent, COUNT_GROWTH, |usage| usage.threads));
        checks.push(growth("descriptors", agent, COUNT_GROWTH, |usage| usage.descriptors));
    }
    if !agent.seen.is_empty() {
        checks.push(processes(desk, agent));
    }
    checks.push(output(agent, child));
    checks
}

/// Whether it answers, to the last, and with what; `by_sandbox` where it did so without one.
fn read(name: &'static str, ran: &Ran, by_sandbox: bool) -> Check {
    if let End::NotTried(why) = &ran.end {
        return Check::skipped(name, why);
    }
    let mut findings = Vec::new();
    if let Some(fault) = ran.fault() {
        let change = "it may do so in no reading: return an Error instead, and bound what it waits for";
        findings.push(Finding::failure(fault, change));
    }
    if let Some(error) = ran.unavailable() {
        let change = "run it where there is something; what it does there, its testcases have to show meanwhile";
        findings.push(Finding::remark(format!("there is nothing to measure here: {error}"), change));
    } else if let Some((at, error)) = ran.error() {
        let last = ran.logged.iter().rev().find(|(level, _)| *level == plugin_api::Level::Error);
        let log = last.map(|(_, line)| format!("; its log: {line}")).unwrap_or_default();
        let change = match (ran.panic(), by_sandbox) {
            (Some(_), _) => "return an Error instead: a panic costs the collector, and in the agent its place there",
            (_, true) => "see `sandbox` below for what was refused, or mend what it says",
            (_, false) => "mend what it says; give other options by --options where these do not fit this machine",
        };
        findings.push(Finding::failure(format!("reading {at} is an error: {error}{log}"), change));
    }
    let notes: BTreeSet<&String> = ran.seen.iter().flat_map(|seen| &seen.notes).collect();
    for note in &notes {
        findings.push(Finding::remark(format!("a part or row failed: {note}"), "nothing, where this machine lacks it"));
    }
    let values = ran.seen.first().map_or(0, |seen| seen.values.len());
    let rows: usize = ran.seen.first().map_or(0, |seen| seen.rows.values().map(BTreeSet::len).sum());
    Check::new(name, format!("{} readings of {values} values and {rows} rows", ran.seen.len()), findings)
}

/// Whether the sandbox takes anything from it.
fn same(agent: &Ran, child: &Ran) -> Check {
    if child.seen.is_empty() {
        return Check::skipped("same_in_both", "it was not read in its sandbox");
    }
    let change = "see `sandbox` and `reads` below for what it could not reach";
    let mut findings = Vec::new();
    for name in agent.set.difference(&child.set) {
        findings.push(Finding::failure(format!("{name} has a value in the agent, and never in its sandbox"), change));
    }
    for name in child.set.difference(&agent.set) {
        findings.push(Finding::remark(format!("{name} has a value in its sandbox, and never in the agent"), ""));
    }
    for (table, row) in always(&agent.seen).difference(&ever(&child.seen)) {
        findings.push(Finding::failure(
            format!("the row {table}.{row} is there in the agent, and not in its sandbox"),
            change,
        ));
    }
    Check::new("same_in_both", format!("{} metrics and columns with a value", agent.set.len()), findings)
}

fn rows(seen: &Seen) -> BTreeSet<(&str, &str)> {
    seen.rows.iter().flat_map(|(table, rows)| rows.iter().map(move |row| (table.as_str(), row.as_str()))).collect()
}

/// The rows that are in each of the readings.
fn always(seen: &[Seen]) -> BTreeSet<(&str, &str)> {
    let mut kept = seen.iter().take(KEPT).map(rows);
    let first = kept.next().unwrap_or_default();
    kept.fold(first, |all, rows| all.intersection(&rows).copied().collect())
}

/// The rows that are in any.
fn ever(seen: &[Seen]) -> BTreeSet<(&str, &str)> {
    seen.iter().take(KEPT).flat_map(rows).collect()
}

/// What the manifest declares, and no reading has.
fn declared(desk: &Desk, agent: &Ran, child: &Ran) -> Check {
    let declared = seen::declared(&desk.manifest, &desk.settings);
    let never: Vec<&String> =
        declared.iter().filter(|name| !agent.set.contains(*name) && !child.set.contains(*name)).collect();
    let readings = agent.seen.len() + child.seen.len();
    let mut findings = Vec::new();
    if never.len() == declared.len() {
        let change = "set in `collect` what plugin.toml declares, or return Error::unavailable where there is nothing to measure";
        findings.push(Finding::failure(format!("nothing at all had a value in {readings} readings"), change));
    } else if !never.is_empty() {
        let names = never.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let change = "nothing, where this machine or kernel has none of it; else set it, or take it out of plugin.toml";
        findings.push(Finding::remark(format!("null in all of {readings} readings: {names}"), change));
    }
    Check::new(
        "declared",
        format!("{} of {} declared had a value", declared.len() - never.len(), declared.len()),
        findings,
    )
}

/// Whether what it sets is what it declares.
fn types(agent: &Ran, child: &Ran) -> Check {
    let mut findings = Vec::new();
    let all = || agent.seen.iter().chain(&child.seen);
    if let Some(seen) = all().find(|seen| seen.refused.0 > 0) {
        let (count, name) = &seen.refused;
        let what = match name.as_str() {
            "" => format!("{count} values or texts of a reading were refused"),
            name => format!("{name} was set to what its declaration does not allow: null ({count} such in a reading)"),
        };
        let change = "its `type`, `kind` and `values` in plugin.toml have to fit what is set; a number that is not finite is null";
        findings.push(Finding::failure(what, change));
    }
    if let Some(seen) = all().find(|seen| seen.dropped_rows > 0) {
        let change = "each row needs a key that is not empty and comes once";
        findings.push(Finding::failure(format!("{} rows of a reading were dropped", seen.dropped_rows), change));
    }
    Check::new("types", "what is set, and the keys of rows, against plugin.toml", findings)
}

/// Whether all of it found room.
fn room(desk: &Desk, agent: &Ran) -> Check {
    let mut findings = Vec::new();
    if let Some(seen) = agent.seen.iter().find(|seen| seen.lost != (0, 0)) {
        let (rows, texts) = seen.lost;
        let change = "raise `max_rows` of the table or `budget` in plugin.toml, or let options choose what is shown";
        findings.push(Finding::failure(format!("{rows} rows and {texts} texts of a reading found no room"), change));
    }
    let limits = desk.limits();
    Check::new(
        "room",
        format!("a reading against its budget of {} rows and {} cells", limits.rows, limits.cells),
        findings,
    )
}

/// How long a reading takes, against its timeout.
fn time(desk: &Desk, agent: &Ran) -> Check {
    let (first, rest) = split(agent, |taken| taken.took);
    let Some((p50, p99, most)) = percentiles(rest) else { return Check::skipped("time", "there is one reading") };
    let timeout = desk.timeout;
    let seen = format!(
        "p50 {}, p99 {}, most {}, the first {}, of {} allowed",
        short(p50),
        short(p99),
        short(most),
        short(first),
        short(timeout)
    );
    let change = format!("make it quicker, or declare `timeout` in plugin.toml: above {} here", short(most.max(first)));
    let mut findings = Vec::new();
    if p99 > timeout {
        findings.push(Finding::failure("it is given up at its timeout, again and again", change));
    } else if most.max(first) > timeout / 2 {
        findings.push(Finding::remark("a reading took more than half of its timeout", change));
    }
    Check::new("time", seen, findings)
}

/// What a reading costs, against its budget.
fn cpu(desk: &Desk, agent: &Ran) -> Check {
    let (_, rest) = split(agent, |taken| taken.cpu);
    let Some((p50, p99, _)) = percentiles(rest) else { return Check::skipped("cpu", "there is one reading") };
    let budget = desk.allowance.cpu;
    let change =
        format!("make it cheaper, or declare `budget = {{ cpu = ... }}` in plugin.toml: above {} here", short(p50));
    let findings = match p50 > budget {
        true => vec![Finding::failure("most readings are over its budget: ten in a row end it", change)],
        false => Vec::new(),
    };
    Check::new(
        "cpu",
        format!("p50 {}, p99 {} a reading, of {} allowed", short(p50), short(p99), short(budget)),
        findings,
    )
}

/// That of the first reading, which has made the collector, and of the others.
fn split<T: Ord + Copy + Default>(ran: &Ran, of: impl Fn(&crate::child::Taken) -> T) -> (T, Vec<T>) {
    let mut all = ran.costs.iter().map(|(taken, _)| of(taken));
    let first = all.next().unwrap_or_default();
    (first, all.collect())
}

fn percentiles(mut times: Vec<Duration>) -> Option<(Duration, Duration, Duration)> {
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len().saturating_sub(1)) * percent / 100).copied();
    Some((at(50)?, at(99)?, at(100)?))
}

/// Whether what it holds grows with each reading. The first quarter of them warms it up; of the others the least of the first third is held
/// against the least of the last, so that what comes and goes does not count.
fn growth(name: &'static str, ran: &Ran, bound: u64, of: impl Fn(&Usage) -> u64) -> Check {
    let held: Vec<u64> = ran.costs.iter().map(|(_, usage)| of(usage)).collect();
    if held.len() < GROWTH_READINGS {
        let why = format!("{} readings are too few to tell: it is slow, or ended", held.len());
        return Check::skipped(name, why);
    }
    let warm = &held[held.len() / 4..];
    let least = |part: &[u64]| part.iter().min().copied().unwrap_or_default();
    let (before, after) = (least(&warm[..warm.len() / 3]), least(&warm[warm.len() - warm.len() / 3..]));
    let amount = |number: u64| match name {
        "memory" => format!("{} KiB", number >> 10),
        _ => number.to_string(),
    };
    let grown = after.saturating_sub(before);
    let mut findings = Vec::new();
    if grown > bound {
        let what = format!("{} more after {} readings than before them", amount(grown), warm.len());
        let change = match name {
            "memory" => "let go of what a reading allocates, or use it again: a history is no collector's",
            "threads" => "begin threads when the collector is made, and end them with it",
            _ => "close what a reading opens, or keep it open and read it again",
        };
        findings.push(Finding::failure(what, change));
    }
    Check::new(name, format!("{} at the end, {} more than after warming up", amount(after), amount(grown)), findings)
}

/// Whether what it starts ends with it.
fn processes(desk: &Desk, agent: &Ran) -> Check {
    let Left { all, away } = agent.left;
    let readings = agent.seen.len();
    let runs_programs = desk.manifest.plugin.reads.iter().any(|read| read.kind == ReadKind::Exec);
    let mut findings = Vec::new();
    if away > 0 {
        let what = format!("processes that had left its process group, would have outlived it and were killed: {away}");
        findings.push(Finding::failure(what, "start no daemon, and let nothing call setsid or setpgid"));
    } else if all > COUNT_GROWTH {
        let what = format!("{all} processes were left of it after {readings} readings, and killed");
        findings
            .push(Finding::failure(what, "wait for each process that it starts, in the reading that has started it"));
    } else if all > 0 && !runs_programs {
        let what = format!("processes that were left of it after {readings} readings and were killed: {all}");
        findings.push(Finding::remark(
            what,
            "a sandbox lets it start none, but for programs that `reads` names as `exec:PATH`",
        ));
    }
    Check::new("processes", format!("{all} left at the end"), findings)
}

/// Whether it prints.
fn output(agent: &Ran, child: &Ran) -> Check {
    let printed: Vec<&String> = agent.printed.iter().chain(&child.printed).collect();
    // What a crash or a panic leaves is told where it happened.
    let crashed =
        [agent, child].iter().any(|ran| ran.seen.iter().any(Seen::panicked) || matches!(ran.end, End::Died(_)));
    let findings = match printed.as_slice() {
        [] => Vec::new(),
        _ if crashed => Vec::new(),
        lines => {
            let shown: Vec<String> = lines.iter().take(PRINTED).map(|line| format!("{line:?}")).collect();
            let change = "say it by host.log: standard output is the snapshots', and a log has levels and a name";
            vec![Finding::failure(format!("it prints: {}", shown.join(", ")), change)]
        }
    };
    let seen = if printed.is_empty() { "it prints nothing".into() } else { format!("{} lines printed", printed.len()) };
    Check::new("output", seen, findings)
}
