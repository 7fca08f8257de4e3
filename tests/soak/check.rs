//! Every line that the agent wrote, held to what it promises.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::jsonb;
use serde_json::Value;

use crate::MEMBERS;
use crate::sample::Sample;

const TICK_MS: u64 = 100;
const GOOD: [&str; 5] = ["cpu", "memory", "network", "disk", "steady"];
/// Of broken promises so many are told; the rest is counted.
const TOLD_MAX: usize = 20;

/// What the data says.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) broken: Vec<String>,
    more_broken: usize,
    files: usize,
    bytes: u64,
    snapshots: u64,
    first_ms: u64,
    last_ms: u64,
    /// Snapshots that a gap says were lost.
    lost: u64,
    events: BTreeMap<String, u64>,
    /// By collector and status.
    statuses: BTreeMap<String, BTreeMap<String, u64>>,
    /// By collector: ticks that `missed` events tell of.
    missed: BTreeMap<String, u64>,
    /// Readings of `steady` that were made and never told.
    dropped: u64,
    parts: Vec<Part>,
    began_ms: u64,
    part_ms: u64,
    last: Option<Last>,
    agent: Value,
}

/// A part of the time.
#[derive(Clone, Default)]
struct Part {
    snapshots: u64,
    missed: u64,
    good_not_ok: u64,
    restarts: u64,
}

struct Last {
    sequence: u64,
    milliseconds: u64,
    count: Option<u64>,
}

impl Told {
    /// Reads all files of the sink.
    pub(crate) fn read(folder: &Path, began: SystemTime, length: Duration, parts: usize) -> Told {
        let mut told = Told {
            parts: vec![Part::default(); parts],
            began_ms: milliseconds(began),
            part_ms: (length.as_millis() as u64 / parts as u64).max(1),
            ..Told::default()
        };
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
        // By time, and the live one last.
        files.sort_by_key(|path| (path.ends_with("s.jsonl"), path.clone()));
        for path in files {
            told.files += 1;
            told.file(&path);
        }
        if told.snapshots == 0 {
            told.broken("no snapshot".into());
        }
        if told.more_broken > 0 {
            told.broken.push(format!("and {} more in the data", told.more_broken));
        }
        told
    }

    fn broken(&mut self, what: String) {
        if self.broken.len() < TOLD_MAX { self.broken.push(what) } else { self.more_broken += 1 }
    }

    fn file(&mut self, path: &Path) {
        let mut reader = BufReader::new(File::open(path).expect("a file of the sink"));
        let mut line = String::new();
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) => return,
                Ok(bytes) => self.bytes += bytes as u64,
                Err(cause) => return self.broken(format!("{}: {cause}", path.display())),
            }
            if !line.ends_with('\n') {
                self.broken(format!("{}: the last line is torn", path.display()));
            }
            match jsonb::snapshot(line.trim_end_matches('\n')) {
                Ok(snapshot) => self.snapshot(&snapshot),
                Err(what) => {
                    let start: String = line.chars().take(200).collect();
                    self.broken(format!("{}: {what}: {start}", path.display()));
                }
            }
        }
    }

    fn snapshot(&mut self, snapshot: &Value) {
        let sequence = snapshot["sequence"].as_u64().unwrap_or_default();
        let time = snapshot["timestamp"].as_str().unwrap_or_default();
        let now = humantime::parse_rfc3339(time).map(milliseconds).unwrap_or_default();
        let part = ((now.saturating_sub(self.began_ms) / self.part_ms) as usize).min(self.parts.len() - 1);
        let missed = self.events(snapshot, part, time);
        self.snapshots += 1;
        self.parts[part].snapshots += 1;
        let count = snapshot["steady"]["count"].as_u64();
        let last = self.last.replace(Last { sequence, milliseconds: now, count });
        match &last {
            None => self.first_ms = now,
            Some(last) => self.follows(last, sequence, now, count, snapshot, missed),
        }
        self.last_ms = now;
        for (name, section) in snapshot.as_object().into_iter().flatten() {
            let Some(status) = section["_status"].as_str() else { continue };
            *self.statuses.entry(name.clone()).or_default().entry(status.into()).or_default() += 1;
            if name == "agent" {
                self.agent = section.clone();
            }
        }
        for name in GOOD {
            let status = snapshot[name]["_status"].as_str().unwrap_or("absent");
            if status == "absent" {
                *self.statuses.entry(name.into()).or_default().entry("absent".into()).or_default() += 1;
            }
            self.parts[part].good_not_ok += u64::from(status != "ok");
        }
    }

    /// Counts what happened, and tells how many ticks of `steady` were missed by that.
    fn events(&mut self, snapshot: &Value, part: usize, time: &str) -> u64 {
        let mut missed_of_steady = 0;
        for event in snapshot["_events"].as_array().into_iter().flatten() {
            let kind = event["kind"].as_str().unwrap_or_default();
            *self.events.entry(kind.into()).or_default() += 1;
            let collector = event["collector"].as_str().unwrap_or_default();
            let count = event["count"].as_u64().unwrap_or_default();
            match kind {
                "missed" => {
                    *self.missed.entry(collector.into()).or_default() += count;
                    if collector == "steady" {
                        println!("{time} missed: {count}");
                        missed_of_steady += count;
                        self.parts[part].missed += count;
                    }
                }
                "gap" => self.lost += count,
                "restart" => self.parts[part].restarts += 1,
                "quarantined" | "moved" => {
                    let (from, to) = (event["from"].as_str().unwrap_or(""), event["to"].as_str().unwrap_or(""));
                    println!("{time} {kind} {collector} {from} {to}: {}", event["cause"].as_str().unwrap_or_default());
                }
                _ => {}
            }
        }
        missed_of_steady
    }

    fn follows(&mut self, last: &Last, sequence: u64, now: u64, count: Option<u64>, snapshot: &Value, missed: u64) {
        let gap: u64 = snapshot["_events"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| event["kind"] == "gap")
            .filter_map(|event| event["count"].as_u64())
            .sum();
        if sequence != last.sequence + 1 + gap {
            self.broken(format!("sequence {} is followed by {sequence}, and {gap} are told as lost", last.sequence));
        }
        if !now.is_multiple_of(TICK_MS) {
            self.broken(format!("snapshot {sequence} is off the grid: {}", snapshot["timestamp"]));
        }
        if now <= last.milliseconds {
            self.broken(format!("snapshot {sequence} is not after the one before: {}", snapshot["timestamp"]));
        }
        // The start is off the grid.
        let ticks = now.saturating_sub(last.milliseconds).div_ceil(TICK_MS);
        if last.sequence > 0 && gap == 0 && ticks != 1 + missed {
            self.broken(format!("before snapshot {sequence} lie {ticks} ticks, and {missed} are told as missed"));
        }
        if let (Some(before), Some(count)) = (last.count, count) {
            if count <= before {
                self.broken(format!("snapshot {sequence} tells an old reading: {count} after {before}"));
            }
            self.dropped += count.saturating_sub(before + 1 + gap);
        }
    }

    /// Prints the table over time, and the totals.
    pub(crate) fn print(&self, samples: &[Sample], length: Duration) {
        self.print_table(samples, length);
        let due = self.last_ms.saturating_sub(self.first_ms) / TICK_MS + 1;
        println!(
            "{} snapshots of {due} ticks, in {} files of {:.1} MiB; lost and told by a gap: {}",
            self.snapshots,
            self.files,
            self.bytes as f64 / f64::from(1 << 20),
            self.lost
        );
        for name in GOOD {
            println!("{name}: missed {}; {:?}", self.missed.get(name).unwrap_or(&0), self.statuses.get(name));
        }
        println!("readings of steady that were made and not told: {}", self.dropped);
        for member in &MEMBERS {
            let books = &self.agent["collectors"][member.name];
            println!(
                "{} ({}): restarts {}, now {} in {}; {:?}",
                member.name,
                member.isolation,
                books["restarts"],
                books["status"],
                books["placement"],
                self.statuses.get(member.name)
            );
        }
        println!("events: {:?}", self.events);
    }

    fn print_table(&self, samples: &[Sample], length: Duration) {
        println!(
            "| at | threads (most) | descriptors (most) | RSS, MiB | PSS, MiB | private dirty, MiB (most) | agent's CPU, % | children (private, KiB) | ticks | missed | good not ok | restarts |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
        let mib = |kib: u64| kib as f64 / 1024.0;
        let mut from = 0;
        let mut before = Sample::default();
        let parts = self.parts.len() as u32;
        for row in 0..=parts {
            let end = length * row / parts;
            let to = samples.partition_point(|sample| sample.at <= end + Duration::from_secs(1)).max(1);
            let Some(now) = samples.get(to - 1) else { return };
            let these = &samples[from.min(to - 1)..to];
            let most = |what: fn(&Sample) -> u64| these.iter().map(what).max().unwrap_or(0);
            // 100 clock ticks a second on every Linux there is.
            let cpu = (now.cpu - before.cpu) as f64 / (now.at - before.at).as_secs_f64().max(0.01);
            let private = now.children.iter().map(|child| child.private_kib).sum::<u64>();
            let mean = private / (now.children.len() as u64).max(1);
            let part = (row as usize).checked_sub(1).and_then(|part| self.parts.get(part)).cloned().unwrap_or_default();
            println!(
                "| {:.1} min | {} ({}) | {} ({}) | {:.1} | {:.1} | {:.1} ({:.1}) | {cpu:.1} | {} ({mean}) | {} | {} | {} | {} |",
                now.at.as_secs_f64() / 60.0,
                now.threads,
                most(|sample| sample.threads),
                now.descriptors,
                most(|sample| sample.descriptors),
                mib(now.rss_kib),
                mib(now.pss_kib),
                mib(now.private_dirty_kib),
                mib(most(|sample| sample.private_dirty_kib)),
                now.children.len(),
                part.snapshots,
                part.missed,
                part.good_not_ok,
                part.restarts
            );
            (from, before) = (to, now.clone());
        }
        if let Some(last) = samples.last() {
            let alive: u64 = last.children.iter().map(|child| child.cpu).sum();
            println!(
                "CPU time: agent {:.1} s, children that died {:.1} s, those alive {:.1} s; most zombies at a look: {}",
                last.cpu as f64 / 100.0,
                last.cpu_of_dead as f64 / 100.0,
                alive as f64 / 100.0,
                samples.iter().map(|sample| sample.zombies.len()).max().unwrap_or(0)
            );
        }
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
