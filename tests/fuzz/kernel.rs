//! What the plugins make of kernel files: the first byte says which parser. Each gives at most one thing a line.

use std::fs;
use std::path::Path;

use plugin_api::pattern::Patterns;
use plugin_api::scan;

use crate::states::{State, Tally};
use crate::{dev, diskstats, files, meminfo, message, mountinfo, psi, root, sessions, socket_files, stat, vmstat};

pub(crate) const WORDS: &[&str] = &[
    "\n",
    "\t",
    " ",
    "  ",
    "\r\n",
    "cpu",
    "cpu0 ",
    "intr ",
    "kB",
    ":",
    "MemTotal:",
    "pgpgin ",
    "some avg10=0.00 avg60=",
    " avg300=",
    " total=",
    "face |bytes |bytes ",
    " - ",
    "\\040",
    "\\777",
    "nodev\t",
    "Tcp: ",
    "CurrEstab",
    "TCP: inuse",
    " st ",
    "0A",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "0.00",
    "1e9",
    "nan",
    "USER",
    "CLASS=user",
    "!*",
    "[a-",
    "[!]]",
    "**",
    "\\",
];

/// Files, each by its parsers.
const PARSERS: [(&str, fn(&[u8])); 15] = [
    ("stat", |file| {
        let lines = count(file);
        assert!(stat::entries(file).count() <= lines);
    }),
    ("loadavg", |file| {
        assert!(
            stat::loads(file).is_ok_and(|loads| loads.iter().all(|load| load.is_finite()))
                || stat::loads(file).is_err()
        )
    }),
    ("meminfo", |file| {
        if let Ok(meminfo) = meminfo::Meminfo::parse(file) {
            assert!(meminfo.usage_percent().is_none_or(|share| (0.0..=100.0).contains(&share)));
            assert!(meminfo.used() <= meminfo.total && meminfo.swap_used() <= meminfo.swap_total);
            assert!(meminfo.cached().is_none_or(|cached| cached >= meminfo.page_cache.unwrap_or(0)));
        }
    }),
    ("vmstat", |file| assert!(vmstat::parse(file).map_or(true, |values| values.len() == vmstat::COUNTERS.len()))),
    ("dev", |file| {
        let Ok(lines) = dev::lines(file) else { return };
        assert!(lines.map(|line| assert!(line.interface != Some(b""))).count() <= count(file));
    }),
    ("diskstats", |file| {
        let sound = |device: diskstats::Device<'_>| assert!(!device.name.is_empty());
        assert!(diskstats::devices(file).map(sound).count() <= count(file));
    }),
    ("mountinfo", |file| {
        let bytes: usize = mountinfo::mounts(file).flatten().map(|mount| mount.point.len() + mount.source.len()).sum();
        assert!(bytes <= file.len());
    }),
    ("filesystems", |file| assert!(mountinfo::on_block_devices(file).len() <= count(file))),
    ("tcp", |file| {
        let mut tally = Tally::default();
        let _either = socket_files::tcp(file, &mut tally);
        assert!(all(&tally) <= count(file) as u64);
    }),
    ("sockstat", |file| {
        let _either = socket_files::sockstat(file, b"TCP:", b"tw");
        assert!(socket_files::curr_estab(file).is_none_or(|count| count <= i64::MAX as u64));
    }),
    ("netlink", |batch| {
        let mut counted = message::Counted::default();
        let _either = message::count(batch, &mut counted);
        // A socket has 88 bytes at least.
        assert!(all(&counted.tally) <= batch.len() as u64 / 88 && counted.fin_wait2_remains <= all(&counted.tally));
    }),
    ("sessions", users),
    ("scan", |file| {
        for line in scan::lines(file) {
            for field in line.fields() {
                assert!(!field.is_empty() && scan::f64(field).is_none_or(f64::is_finite));
                let text =
                    std::str::from_utf8(field).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                assert_eq!(scan::u64(field), text.and_then(|text| text.parse().ok()));
                assert!(line.expected("x", Some(field)).of("y").chain().len() < 256);
            }
        }
    }),
    ("patterns", |file| {
        let text = String::from_utf8_lossy(file);
        let (patterns, name) = text.split_once('\n').unwrap_or((&text, ""));
        let patterns: Vec<&str> = patterns.split(',').collect();
        let compiled = Patterns::new(&patterns);
        assert!(!compiled.names(name.as_bytes()) || compiled.matches(name.as_bytes()));
    }),
    ("psi", |file| {
        let Ok(pressure) = psi::Pressure::parse(file) else { return };
        let stalls = [pressure.some, pressure.full];
        assert!(stalls.iter().any(Option::is_some), "a file of nothing is refused");
        assert!(stalls.iter().flatten().all(|stall| stall.avg60.is_finite() && stall.avg300.is_finite()));
    }),
];

fn count(file: &[u8]) -> usize {
    scan::lines(file).count()
}

fn all(tally: &Tally) -> u64 {
    State::ALL.iter().map(|(state, _)| tally.of(*state)).sum()
}

/// The one parser that takes paths: as utmp, and as a file of logind's.
fn users(file: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (utmp, logind) = (folder.path().join("utmp"), folder.path().join("sessions"));
    fs::create_dir(&logind).expect("a folder");
    fs::write(logind.join("1"), file).expect("a file");
    assert!(sessions::count(&utmp, &logind).expect("both can be read").is_some_and(|count| count <= 1));
    fs::write(&utmp, file).expect("a file");
    assert!(
        sessions::count(&utmp, &logind)
            .expect("both can be read")
            .is_some_and(|count| count <= file.len() as u64 / 384)
    );
}

/// The captured files of all test cases and hosts, each for its parser.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let captured = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.trim_end_matches('6');
        let name = match name {
            "snmp" => "sockstat",
            "cpu" | "memory" | "io" | "irq" if path.parent().is_some_and(|folder| folder.ends_with("pressure")) => {
                "psi"
            }
            name => name,
        };
        PARSERS.iter().position(|(parser, _)| *parser == name).map(|place| (place as u8, path.to_owned()))
    };
    let found = files(&root().join("tests/hosts"), &|path| captured(path).is_some());
    let found = found.into_iter().chain(files(&root().join("plugins"), &|path| captured(path).is_some()));
    let seed =
        |(place, path): (u8, std::path::PathBuf)| [&[place], &fs::read(path).expect("a captured file")[..]].concat();
    let mut seeds: Vec<Vec<u8>> = found.filter_map(|path| captured(&path)).map(seed).collect();
    seeds.sort();
    seeds.dedup();
    seeds
}

pub(crate) fn run(input: &[u8]) {
    let Some((which, file)) = input.split_first() else { return };
    let (_, parser) = PARSERS[usize::from(*which) % PARSERS.len()];
    parser(file);
}
