//! The `agent` section: a collector like any other, with a manifest of its own (`own.toml`), built in.
//!
//! It tells what the agent costs and which collector it is, from the books, one file and three system calls. PSS is not there:
//! /proc/self/smaps_rollup takes the kernel 0.2 ms, as much as reading three collectors.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use plugin_api::options::NoOptions;
use plugin_api::{Collector, ColumnId, Error, Host, ProcFile, Recorder, ScalarId, Schema, TableId, scan};
use rustix::time::{ClockId, clock_gettime};

use crate::schedule::ledger::{Books, Entry, Ledger};
use crate::sink::Sinks;
use crate::snapshot::nanoseconds;

/// The manifest.
pub const MANIFEST: &str = include_str!("own.toml");
/// The name, which no other collector may have.
pub const NAME: &str = "agent";
/// The version of the snapshot's format: it changes when a reader of the old one would be misled.
const FORMAT: &str = "1.0";

/// What it reads.
#[derive(Clone)]
pub struct Sources {
    /// The books of the collectors.
    pub ledger: Arc<Ledger>,
    /// The sinks.
    pub sinks: Sinks,
}

/// A figure of a collector's books.
type Figure = fn(&Entry) -> u64;

/// The agent, watching itself.
pub struct Own {
    sources: Sources,
    books: Books,
    statm: ProcFile,
    page_size: u64,
    boot_id: Option<String>,
    machine_id: Option<String>,
    ids: Ids,
}

struct Ids {
    version: ScalarId,
    format: ScalarId,
    boot_id: ScalarId,
    machine_id: ScalarId,
    cpu: ScalarId,
    memory: ScalarId,
    anonymous: ScalarId,
    threads: ScalarId,
    descriptors: ScalarId,
    snapshots: ScalarId,
    late: ScalarId,
    collectors: TableId,
    status: ColumnId,
    placement: ColumnId,
    child_memory: ColumnId,
    /// Each with what it is filled from.
    counters: Vec<(ColumnId, Figure)>,
    sinks: TableId,
    depth: ColumnId,
    written: ColumnId,
    lost: ColumnId,
}

impl Own {
    /// Makes it.
    ///
    /// # Errors
    /// `/proc/self` cannot be read.
    pub fn new(sources: Sources, host: &Host, schema: &mut Schema) -> Result<Own, Error> {
        let mut collectors = schema.table("collectors")?;
        let counters: [(&str, Figure); 12] = [
            ("calls", |entry| entry.calls),
            ("nanoseconds", |entry| nanoseconds(entry.took)),
            ("cpu_nanoseconds", |entry| nanoseconds(entry.cpu)),
            ("failures", |entry| entry.failures),
            ("timeouts", |entry| entry.timeouts),
            ("skipped", |entry| entry.skipped),
            ("missed", |entry| entry.missed),
            ("dropped", |entry| entry.dropped),
            ("refused", |entry| entry.refused),
            ("rows_lost", |entry| entry.rows_lost),
            ("over_budget", |entry| entry.over_budget),
            ("restarts", |entry| entry.restarts),
        ];
        let counters = counters.into_iter().map(|(name, of)| Ok((collectors.column(name)?, of)));
        let counters = counters.collect::<Result<_, Error>>()?;
        let child_memory = collectors.column("child_memory_bytes")?;
        let (collectors, status, placement) =
            (collectors.id(), collectors.column("status")?, collectors.column("placement")?);
        let mut sinks = schema.table("sinks")?;
        let (sinks, depth, written, lost) =
            (sinks.id(), sinks.column("depth")?, sinks.column("written")?, sinks.column("lost")?);
        let ids = Ids {
            version: schema.scalar("version")?,
            format: schema.scalar("format")?,
            boot_id: schema.scalar("boot_id")?,
            machine_id: schema.scalar("machine_id")?,
            cpu: schema.scalar("cpu_nanoseconds")?,
            memory: schema.scalar("memory_bytes")?,
            anonymous: schema.scalar("anonymous_memory_bytes")?,
            threads: schema.scalar("threads")?,
            descriptors: schema.scalar("descriptors")?,
            snapshots: schema.scalar("snapshots")?,
            late: schema.scalar("late_seconds")?,
            collectors,
            status,
            placement,
            child_memory,
            counters,
            sinks,
            depth,
            written,
            lost,
        };
        // The agent is in its own /proc, whatever host it measures.
        let statm = ProcFile::open("/proc/self/statm")?;
        let identity = |path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        Ok(Own {
            sources,
            books: Books::default(),
            statm,
            page_size: host.page_size(),
            boot_id: identity(host.proc_path("sys/kernel/random/boot_id")),
            machine_id: identity(host.root_path("etc/machine-id")),
            ids,
        })
    }
}

/// Threads of this process: its folder of them has a link for each, and two more.
fn threads() -> Option<u64> {
    fs::metadata("/proc/self/task").ok()?.nlink().checked_sub(2)
}

/// Open descriptors: the size of the folder of them, which a kernel before 6.2 does not tell.
fn descriptors() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    (size > 0).then_some(size)
}

impl Collector for Own {
    type Options = NoOptions;

    fn new(_: NoOptions, _: &Host, _: &mut Schema) -> Result<Own, Error> {
        Err(Error::failed("the agent section is made by the agent"))
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let ids = &self.ids;
        out.set_text(ids.version, env!("CARGO_PKG_VERSION"));
        out.set_text(ids.format, FORMAT);
        for (id, text) in [(ids.boot_id, &self.boot_id), (ids.machine_id, &self.machine_id)] {
            if let Some(text) = text {
                out.set_text(id, text);
            }
        }
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        out.set(ids.cpu, cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64);
        let mut pages = self.statm.read()?.split(u8::is_ascii_whitespace).skip(1).map(scan::u64);
        let (resident, shared) = (pages.next().flatten(), pages.next().flatten());
        let bytes = |pages: u64| pages.saturating_mul(self.page_size);
        out.set(ids.memory, resident.map(bytes));
        let anonymous = resident.zip(shared).map(|(resident, shared)| resident.saturating_sub(shared));
        out.set(ids.anonymous, anonymous.map(bytes));
        out.set(ids.threads, threads());
        out.set(ids.descriptors, descriptors());
        // Copied, so that the collection thread's books are held for a moment only.
        self.sources.ledger.copy_to(&mut self.books);
        out.set(ids.snapshots, self.books.snapshots);
        out.set(ids.late, self.books.late.as_secs_f64());
        for entry in self.books.collectors.iter().filter(|entry| !entry.vacant) {
            let mut row = out.row(ids.collectors, &*entry.name);
            row.set(ids.status, entry.status.map(|status| status as u64));
            row.set(ids.placement, entry.place as u64);
            row.set(ids.child_memory, entry.memory);
            for (column, of) in &ids.counters {
                row.set(*column, of(entry));
            }
        }
        self.sources.sinks.with(|sinks| {
            for sink in sinks {
                let standing = sink.queue.standing();
                let mut row = out.row(ids.sinks, &*sink.name);
                row.set(ids.depth, standing.depth);
                row.set(ids.written, standing.written);
                row.set(ids.lost, standing.lost);
            }
        });
        Ok(())
    }
}
