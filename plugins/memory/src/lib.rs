//! Memory and swap, from `/proc/meminfo`, and paging, from `/proc/vmstat` (proc(5)).
//!
//! This is the plugin to read first: declare in `plugin.toml`, open and resolve names in `new`, parse and set in
//! `collect`. Parsing is in a file for each kernel file: pure functions over bytes, which know nothing of a recorder.
//!
//! It promises that a field which this kernel lacks is null, and never 0. Sums and shares that need one reading are
//! computed here; what needs two, the rates, is declared and derived by the agent, so that nothing is remembered here.
#![forbid(unsafe_code)]

mod meminfo;
mod vmstat;

use meminfo::Meminfo;
use plugin_api::options::NoOptions;
use plugin_api::{Collector, Error, Host, ProcFile, Recorder, ScalarId, Schema, perfwatch_plugin};

/// A metric by its name in `plugin.toml`, and what it is of a reading of meminfo: bytes, or pages of hugepages.
type Amount = (&'static str, fn(&Meminfo) -> Option<u64>);

const AMOUNTS: [Amount; 14] = [
    ("total_bytes", |meminfo| meminfo.total),
    ("used_bytes", Meminfo::used),
    ("available_bytes", |meminfo| meminfo.available),
    ("free_bytes", |meminfo| meminfo.free),
    ("cached_bytes", Meminfo::cached),
    ("buffers_bytes", |meminfo| meminfo.buffers),
    ("slab_bytes", |meminfo| meminfo.slab),
    ("dirty_bytes", |meminfo| meminfo.dirty),
    ("swap_total_bytes", |meminfo| meminfo.swap_total),
    ("swap_used_bytes", Meminfo::swap_used),
    ("swap_free_bytes", |meminfo| meminfo.swap_free),
    ("hugepages_total", |meminfo| meminfo.hugepages_total),
    ("hugepages_free", |meminfo| meminfo.hugepages_free),
    ("hugepages_reserved", |meminfo| meminfo.hugepages_reserved),
];

struct Memory {
    meminfo: ProcFile,
    /// Opened when it is first read: it is a part, and without it memory is still worth a reading.
    vmstat: Option<ProcFile>,
    host: Host,
    usage_percent: ScalarId,
    /// In the order of [`AMOUNTS`].
    amounts: Vec<ScalarId>,
    /// In the order of [`vmstat::COUNTERS`].
    counters: Vec<ScalarId>,
}

impl Collector for Memory {
    type Options = NoOptions;

    fn new(_: NoOptions, host: &Host, schema: &mut Schema) -> Result<Memory, Error> {
        Ok(Memory {
            meminfo: host.proc("meminfo")?.in_one_read(),
            vmstat: None,
            host: host.clone(),
            usage_percent: schema.scalar("usage_percent")?,
            amounts: AMOUNTS.iter().map(|(name, _)| schema.scalar(name)).collect::<Result<_, _>>()?,
            counters: vmstat::COUNTERS.iter().map(|name| schema.scalar(name)).collect::<Result<_, _>>()?,
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        // Without meminfo there is no reading: the error is the section's.
        let meminfo = Meminfo::parse(self.meminfo.read()?).map_err(|wrong| wrong.of("/proc/meminfo"))?;
        out.set(self.usage_percent, meminfo.usage_percent());
        for (metric, (_, amount)) in self.amounts.iter().zip(AMOUNTS) {
            out.set(*metric, amount(&meminfo));
        }
        // Without vmstat there is one, and a part of it failed.
        match self.paging() {
            Ok(values) => self.counters.iter().zip(values).for_each(|(metric, value)| out.set(*metric, value)),
            Err(error) => out.part_failed("paging", &error),
        }
        Ok(())
    }
}

impl Memory {
    fn paging(&mut self) -> Result<[Option<u64>; vmstat::COUNTERS.len()], Error> {
        let file = match &mut self.vmstat {
            Some(file) => file,
            none => none.insert(self.host.proc("vmstat")?),
        };
        vmstat::parse(file.read()?).map_err(|wrong| wrong.of("/proc/vmstat"))
    }
}

perfwatch_plugin!(Memory);

#[cfg(test)]
mod tests {
    #[test]
    fn every_test_case_gives_what_it_expects() {
        plugin_api::host_side::testcase::run_all::<super::Memory>(include_str!("../plugin.toml"), "testcases");
    }
}
