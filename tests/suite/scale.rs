//! Large hosts and many collectors: nothing is lost, and where something cannot be had it is said.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Running, Site, jsonb, root};
use serde_json::Value;

const CORES: usize = 512;
const INTERFACES: usize = 300;
const DISKS: usize = 500;
const MOUNTS: usize = 1000;

/// What the four plugins of the kernel read, of a host of this size. Mounts are folders, so that each has its space.
fn large_host(site: &Site) {
    let (mut stat, mut dev, mut disks, mut mounts) =
        ("cpu 1 2 3 4\n".to_owned(), "\n face |bytes x|bytes x\n".to_owned(), String::new(), String::new());
    for core in 0..CORES {
        writeln!(stat, "cpu{core} 1 2 3 4").unwrap();
        let folder = format!("host/sys/devices/system/cpu/cpu{core}/cpufreq");
        site.write(Path::new(&folder).join("scaling_cur_freq"), "2000000\n");
    }
    for interface in 0..INTERFACES {
        writeln!(dev, "eth{interface}:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").unwrap();
    }
    for disk in 0..DISKS {
        writeln!(disks, "8 {disk} nvme{disk}n1 1 2 3 4 5 6 7 8 9 10 11").unwrap();
    }
    for mount in 0..MOUNTS {
        writeln!(mounts, "{} 1 8:{mount} / /data/{mount} rw - xfs /dev/nvme{mount}n1 rw", 2 + mount).unwrap();
        fs::create_dir_all(site.path(format!("host/data/{mount}"))).unwrap();
    }
    for (file, text) in [
        ("stat", &*stat),
        ("1/net/dev", &*dev),
        ("diskstats", &*disks),
        ("1/mountinfo", &*mounts),
        ("filesystems", "\txfs\n"),
        ("loadavg", "1 2 3 4/5 6\n"),
        ("meminfo", "MemTotal: 1 kB\n"),
        ("vmstat", "pgpgin 1\npgpgout 1\npswpin 1\npswpout 1\npgfault 1\npgmajfault 1\n"),
    ] {
        site.write(Path::new("host/proc").join(file), text);
    }
    site.config(&format!(
        "[agent]\ncollect = \"named\"\nhost_root = {:?}\n[collectors.cpu]\n[collectors.memory]\n[collectors.disk]\n\
         [collectors.network]\noptions = {{ connections = false }}\n",
        site.path("host")
    ));
    ["cpu", "memory", "disk", "network"].iter().for_each(|plugin| drop(site.bundled(plugin)));
}

/// One snapshot, with time enough for a debug build on a busy machine, of an agent that was started under this limit of the shell's `ulimit`.
fn once(site: &Site, limit: &str) -> Value {
    let finished = Running::start(site.limited(limit, ["once", "--format", "json", "--window", "2s"])).wait();
    assert_eq!(finished.code(), 0, "{finished}");
    let [snapshot] = jsonb::snapshots(&finished.stdout).try_into().unwrap();
    snapshot
}

fn rows(snapshot: &Value, table: &str) -> usize {
    snapshot.pointer(table).and_then(Value::as_object).map_or(0, |rows| rows.len())
}

fn frequencies(snapshot: &Value) -> usize {
    let cores = snapshot["cpu"]["per_core"].as_object().unwrap();
    cores.values().filter(|core| core["frequency_mhz"] == 2000.0).count()
}

#[test]
fn host_of_512_cores_300_interfaces_500_disks_and_1000_mounts_loses_no_row() {
    let site = Site::new();
    large_host(&site);
    // What it starts with is less than it has cores: it raises that itself.
    let snapshot = once(&site, "-Sn 256");
    for section in ["cpu", "memory", "network", "disk"] {
        assert_eq!(snapshot[section]["_status"], "ok", "{}", snapshot[section]);
    }
    assert_eq!(frequencies(&snapshot), CORES);
    assert_eq!(rows(&snapshot, "/network/interfaces"), INTERFACES);
    assert_eq!(rows(&snapshot, "/disk/devices"), DISKS);
    let mounts = snapshot["disk"]["partitions"].as_object().unwrap();
    assert_eq!(mounts.values().filter(|mount| mount["total_bytes"].is_u64()).count(), MOUNTS);
}

#[test]
fn cores_whose_frequency_finds_no_descriptor_are_said() {
    let site = Site::new();
    large_host(&site);
    let snapshot = once(&site, "-n 256");
    assert_eq!(snapshot["cpu"]["_status"], "partial");
    let error = snapshot["cpu"]["_errors"]["frequency"].as_str().unwrap();
    assert!(error.starts_with("could not open ") && error.contains("Too many open files"), "{error}");
    assert_eq!(rows(&snapshot, "/cpu/per_core"), CORES);
    assert!((1..CORES).contains(&frequencies(&snapshot)));
}

#[test]
fn a_thousand_collectors_all_have_their_turn_in_each_tick() {
    let site = Site::new();
    site.plugin("mock");
    site.write("script", "value=1.5 count=1");
    let mut config = "[agent]\ncollect = \"named\"\ninterval = \"1s\"\n".to_owned();
    for number in 0..1000 {
        writeln!(
            config,
            "[collectors.c{number}]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = \"script\" }}"
        )
        .unwrap();
    }
    site.config(&config);
    let mut agent = site.start(["run"]);
    for _ in 0..3 {
        let snapshot = agent.snapshot();
        let good = (0..1000).filter(|number| snapshot[format!("c{number}")]["_status"] == "ok").count();
        assert_eq!(good, 1000, "of 1000; it said:\n{}", agent.stderr());
    }
}

const MANIFEST: &str = "contract = \"1.0\"
[plugin]
name = \"p000\"
version = \"1.0.0\"
description = \"one of many\"
[metrics.one]
unit = \"1\"
description = \"one\"
";

const CODE: &str = "#include \"perfwatch.h\"
static void *create(const perfwatch_host *host) { return (void *)(uintptr_t)host->metric(host, \"one\"); }
static int collect(void *one, const perfwatch_host *host) { host->set_f64(host, (uintptr_t)one, 1.0); return 0; }
static void destroy(void *one) { (void)one; }
PERFWATCH_PLUGIN(create, collect, destroy);
";

#[test]
fn more_libraries_than_descriptors_at_the_start_are_all_found_and_run() {
    const LIBRARIES: usize = 300;
    let site = Site::new();
    site.write("plugin.toml", MANIFEST);
    site.write("p.c", CODE);
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o", "p.so", "p.c", "-I"]).arg(root().join("plugin-api/include"));
    assert!(cc.current_dir(site.path(".")).status().unwrap().success());
    let library = fs::read(site.path("p.so")).unwrap();
    let name = library.windows(6).position(|bytes| bytes == b"\"p000\"").unwrap() + 1;
    for number in 0..LIBRARIES {
        let (named, mut library) = (format!("p{number:03}"), library.clone());
        library[name..name + 4].copy_from_slice(named.as_bytes());
        site.write(format!("plugins/libperfwatch_{named}.so"), library);
    }
    let mut config = "[agent]\ncollect = \"named\"\n".to_owned();
    for number in 0..LIBRARIES {
        writeln!(config, "[collectors.p{number:03}]\nisolation = \"none\"").unwrap();
    }
    site.config(&config);
    let snapshot = once(&site, "-Sn 128");
    let good = (0..LIBRARIES).filter(|number| snapshot[format!("p{number:03}")]["one"] == 1.0).count();
    assert_eq!(good, LIBRARIES);
}
