//! Memory and swap, from `/proc/meminfo`, and paging, from `/proc/vmstat` (proc(5)).
//!
//! This is the plugin to read first: declare in `plugin.toml`, open and resolve in `new`, parse and set in `collect`.
//! A field that this kernel lacks is null. Shares and sums that need no second reading are computed here; rates are
//! declared, and the agent derives them.
#![forbid(unsafe_code)]

mod meminfo;
mod vmstat;

use meminfo::Meminfo;
use plugin_api::options::NoOptions;
use plugin_api::{Collector, Error, Host, ProcFile, Recorder, ScalarId, Schema, perfwatch_plugin};

struct Memory {
    meminfo: ProcFile,
    vmstat: ProcFile,
    metrics: Metrics,
    /// In the order of [`vmstat::COUNTERS`].
    counters: [ScalarId; vmstat::COUNTERS.len()],
}

struct Metrics {
    usage: ScalarId,
    total: ScalarId,
    used: ScalarId,
    available: ScalarId,
    free: ScalarId,
    cached: ScalarId,
    buffers: ScalarId,
    slab: ScalarId,
    dirty: ScalarId,
    swap_total: ScalarId,
    swap_used: ScalarId,
    swap_free: ScalarId,
    hugepages_total: ScalarId,
    hugepages_free: ScalarId,
    hugepages_reserved: ScalarId,
}

impl Collector for Memory {
    type Options = NoOptions;

    fn new(_: NoOptions, host: &Host, schema: &mut Schema) -> Result<Memory, Error> {
        let metrics = Metrics {
            usage: schema.scalar("usage_percent")?,
            total: schema.scalar("total_bytes")?,
            used: schema.scalar("used_bytes")?,
            available: schema.scalar("available_bytes")?,
            free: schema.scalar("free_bytes")?,
            cached: schema.scalar("cached_bytes")?,
            buffers: schema.scalar("buffers_bytes")?,
            slab: schema.scalar("slab_bytes")?,
            dirty: schema.scalar("dirty_bytes")?,
            swap_total: schema.scalar("swap_total_bytes")?,
            swap_used: schema.scalar("swap_used_bytes")?,
            swap_free: schema.scalar("swap_free_bytes")?,
            hugepages_total: schema.scalar("hugepages_total")?,
            hugepages_free: schema.scalar("hugepages_free")?,
            hugepages_reserved: schema.scalar("hugepages_reserved")?,
        };
        let mut counters = [metrics.total; vmstat::COUNTERS.len()];
        for (counter, name) in counters.iter_mut().zip(vmstat::COUNTERS) {
            *counter = schema.scalar(name)?;
        }
        Ok(Memory { meminfo: host.proc("meminfo")?, vmstat: host.proc("vmstat")?, metrics, counters })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let meminfo = Meminfo::parse(self.meminfo.read()?).map_err(|wrong| wrong.of("/proc/meminfo"))?;
        self.metrics.set(&meminfo, out);
        // Without paging, memory is still worth a reading.
        match self.vmstat.read() {
            Ok(text) => {
                for (counter, value) in self.counters.iter().zip(vmstat::parse(text)) {
                    out.set(*counter, value);
                }
            }
            Err(error) => out.part_failed("paging", &error),
        }
        Ok(())
    }
}

impl Metrics {
    fn set(&self, meminfo: &Meminfo, out: &mut Recorder) {
        out.set(self.usage, meminfo.usage_percent());
        out.set(self.total, meminfo.total);
        out.set(self.used, meminfo.used());
        out.set(self.available, meminfo.available);
        out.set(self.free, meminfo.free);
        out.set(self.cached, meminfo.cached());
        out.set(self.buffers, meminfo.buffers);
        out.set(self.slab, meminfo.slab);
        out.set(self.dirty, meminfo.dirty);
        out.set(self.swap_total, meminfo.swap_total);
        out.set(self.swap_used, meminfo.swap_used());
        out.set(self.swap_free, meminfo.swap_free);
        out.set(self.hugepages_total, meminfo.hugepages_total);
        out.set(self.hugepages_free, meminfo.hugepages_free);
        out.set(self.hugepages_reserved, meminfo.hugepages_reserved);
    }
}

perfwatch_plugin!(Memory);
