//! Traffic of each block device, and the space of each mounted file system.
//!
//! Devices come from diskstats, read through one held descriptor; the agent derives rates, latencies and load from its
//! counters. Space is asked with statvfs, which may never return: that costs the mount its numbers and nobody else
//! anything (`partitions` has who asks, and why). It does not look into file systems, and it does not wake a disk.
#![forbid(unsafe_code)]

mod devices;
mod diskstats;
mod mountinfo;
mod mounts;
mod partitions;
mod workers;

use plugin_api::{Collector, Error, Host, Recorder, Schema, perfwatch_plugin};
use serde::Deserialize;

use devices::Devices;
use partitions::Partitions;

#[derive(Deserialize)]
struct Options {
    devices: Vec<String>,
    mounts: Vec<String>,
    fstypes: Option<Vec<String>>,
}

struct Disk {
    devices: Devices,
    partitions: Partitions,
}

impl Collector for Disk {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Self, Error> {
        Ok(Disk {
            devices: Devices::new(&options.devices, host, schema)?,
            partitions: Partitions::new(&options.mounts, options.fstypes.as_deref(), host, schema)?,
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let asked = self.partitions.ask();
        let devices = self.devices.collect(out);
        let answered = self.partitions.collect(out);
        let mounts = asked.and(answered);
        match (devices, mounts) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(error), Err(_)) => Err(error),
            (Err(error), Ok(())) => {
                out.part_failed("diskstats", &error);
                Ok(())
            }
            (Ok(()), Err(error)) => {
                out.part_failed("mounts", &error);
                Ok(())
            }
        }
    }
}

perfwatch_plugin!(Disk);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_case_gives_what_it_expects() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testcases");
        plugin_api::host_side::testcase::run_all::<Disk>(include_str!("../plugin.toml"), folder);
    }
}
