//! The table of block devices: which are shown, and what of each.
//!
//! Whole disks are told from partitions once for each name and remembered, so that a steady reading is one file.

use plugin_api::pattern::Patterns;
use plugin_api::{ColumnId, Error, Host, Level, ProcFile, Recorder, Schema, TableId};

use crate::diskstats::{self, Traffic};

pub(crate) struct Devices {
    host: Host,
    /// None on a kernel without block devices.
    file: Option<ProcFile>,
    wanted: Patterns,
    table: TableId,
    read: TrafficColumns,
    write: TrafficColumns,
    busy_time: ColumnId,
    queue_time: ColumnId,
    /// The devices of the last reading, in the order of the file: whether they are shown.
    known: Vec<(Vec<u8>, bool)>,
}

struct TrafficColumns {
    bytes: ColumnId,
    count: ColumnId,
    time: ColumnId,
}

impl Devices {
    pub(crate) fn new(wanted: &[String], host: &Host, schema: &mut Schema) -> Result<Devices, Error> {
        let mut table = schema.table("devices")?;
        let mut traffic = |what: &str| -> Result<TrafficColumns, Error> {
            Ok(TrafficColumns {
                bytes: table.column(&format!("{what}_bytes"))?,
                count: table.column(&format!("{what}_count"))?,
                time: table.column(&format!("{what}_time_ms"))?,
            })
        };
        let (read, write) = (traffic("read")?, traffic("write")?);
        let path = host.proc_path("diskstats");
        let file = match path.exists() {
            true => Some(ProcFile::open(path)?),
            false => {
                host.log(Level::Info, "this kernel tells nothing of block devices: it has no diskstats");
                None
            }
        };
        Ok(Devices {
            host: host.clone(),
            file,
            wanted: Patterns::new(wanted),
            read,
            write,
            busy_time: table.column("busy_time_ms")?,
            queue_time: table.column("queue_time_ms")?,
            table: table.id(),
            known: Vec::new(),
        })
    }

    pub(crate) fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let Some(file) = &mut self.file else { return Ok(()) };
        for (place, device) in diskstats::devices(file.read()?).enumerate() {
            if !shown(&mut self.known, place, device.name, &self.wanted, &self.host) {
                continue;
            }
            let mut row = out.row(self.table, device.name);
            match device.counts {
                Ok(counts) => {
                    let mut set = |columns: &TrafficColumns, traffic: Traffic| {
                        row.set(columns.bytes, traffic.bytes);
                        row.set(columns.count, traffic.count);
                        row.set(columns.time, traffic.time_ms);
                    };
                    set(&self.read, counts.read);
                    set(&self.write, counts.write);
                    row.set(self.busy_time, counts.busy_time_ms);
                    row.set(self.queue_time, counts.queue_time_ms);
                }
                Err(wrong) => row.failed(&format!("diskstats: {wrong}")),
            }
        }
        Ok(())
    }
}

fn shown(known: &mut Vec<(Vec<u8>, bool)>, place: usize, name: &[u8], wanted: &Patterns, host: &Host) -> bool {
    match known.get(place) {
        Some((own, shown)) if own == name => *shown,
        _ => {
            // A device came or went: those behind it are judged anew, once.
            known.truncate(place);
            let shown = wanted.matches(name) && (wanted.names(name) || !is_partition(name, host));
            known.push((name.into(), shown));
            shown
        }
    }
}

/// A partition has an attribute of this name (Linux 2.6.25); where sysfs has no such device at all, the name decides.
fn is_partition(name: &[u8], host: &Host) -> bool {
    // Devices of some drivers have a slash in their name, which sysfs writes as `!`.
    let name = String::from_utf8_lossy(name).replace('/', "!");
    if host.sys_path(format!("class/block/{name}/partition")).exists() {
        return true;
    }
    let whole = ["block", "class/block"].iter().any(|class| host.sys_path(format!("{class}/{name}")).exists());
    !whole && is_named_as_partition(&name)
}

/// `sda1`, `hdb2`, `vda3`, `xvda4`; `nvme0n1p1`, `mmcblk0p2`, `md0p1`, `cciss!c0d0p1`.
fn is_named_as_partition(name: &str) -> bool {
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if disk.len() == name.len() {
        return false;
    }
    let letters = ["sd", "hd", "vd", "xvd"].iter().find_map(|driver| disk.strip_prefix(driver));
    match letters {
        Some(letters) => !letters.is_empty() && letters.bytes().all(|letter| letter.is_ascii_lowercase()),
        None => disk.strip_suffix('p').is_some_and(|disk| disk.ends_with(|c: char| c.is_ascii_digit())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_partitions_are_told_from_names_of_disks() {
        for name in ["sda1", "sdaa12", "hdb2", "vda3", "xvdb4", "nvme0n1p1", "mmcblk0p2", "md0p1", "cciss!c0d0p1"] {
            assert!(is_named_as_partition(name), "{name}");
        }
        for name in ["sda", "vdb", "nvme0n1", "mmcblk0", "md0", "dm-3", "sr0", "loop7", "zram0", "nbd1", "cciss!c0d0"] {
            assert!(!is_named_as_partition(name), "{name}");
        }
    }
}
