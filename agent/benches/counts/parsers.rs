//! The plugins' parsers. Plugins are libraries that are loaded and never linked; what is pure in them is compiled here once more.
#![allow(dead_code, unused_imports, reason = "the collectors use more of it, and so do their tests")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use crate::marks::Meter;

#[path = "../../../plugins/network/src/dev.rs"]
mod dev;
#[path = "../../../plugins/disk/src/diskstats.rs"]
mod diskstats;
#[path = "../../../plugins/memory/src/meminfo.rs"]
mod meminfo;
#[path = "../../../plugins/disk/src/mountinfo.rs"]
mod mountinfo;
#[path = "../../../plugins/network/src/socket_files.rs"]
mod socket_files;
#[path = "../../../plugins/cpu/src/stat.rs"]
mod stat;
#[path = "../../../plugins/network/src/states.rs"]
pub mod states;
#[path = "../../../plugins/memory/src/vmstat.rs"]
mod vmstat;

/// Files below `proc`, each with the parser of the plugin that reads it, which tells how many things it found.
const PARSERS: [(&str, fn(&[u8]) -> usize); 7] = [
    ("stat", |file| stat::entries(file).filter(Result::is_ok).count()),
    ("meminfo", |file| usize::from(meminfo::Meminfo::parse(file).is_ok_and(|found| black_box(found).total.is_some()))),
    ("vmstat", |file| vmstat::parse(file).map_or(0, |found| found.iter().flatten().count())),
    ("diskstats", |file| diskstats::devices(file).filter(|device| device.counts.is_ok()).count()),
    ("1/net/dev", |file| dev::lines(file).map_or(0, |lines| lines.filter(|line| line.numbers.is_some()).count())),
    ("1/net/tcp", |file| {
        let mut tally = states::Tally::default();
        usize::from(socket_files::tcp(file, &mut tally).is_ok())
    }),
    ("1/mountinfo", |file| mountinfo::mounts(file).filter(Result::is_ok).count()),
];

/// Parses the files of the host at `root`.
pub fn measure(meter: &mut Meter, host: &str, root: &Path) {
    for (name, parser) in PARSERS {
        let file = fs::read(root.join("proc").join(name)).unwrap();
        let short = name.rsplit('/').next().unwrap_or(name);
        let part = format!("parse.{short}.{host}");
        meter.rounds(|meter, _| {
            let found = meter.part(&part, || parser(black_box(&file)));
            assert!(found > 0, "{name} of {host} is made something of");
        });
    }
}
