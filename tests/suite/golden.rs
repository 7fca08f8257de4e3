//! The whole program on captured hosts: every number that leaves it is one that a person has compared with the captured files.

use harness::{Site, golden, jsonb, pretty, root};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// What differs from run to run stands there as its name; that it is of the right kind, the check of every snapshot says.
fn normalised(mut snapshot: Value) -> Value {
    const VARIES: [&str; 16] = [
        "timestamp",
        "_timestamp",
        "_duration_seconds",
        "_window_seconds",
        "run",
        "version",
        "cpu_percent",
        "memory_bytes",
        "anonymous_memory_bytes",
        "threads",
        "descriptors",
        "late_seconds",
        // Who was called before the agent, and who took over 20 ms: the machine decides.
        "calls",
        "seconds_per_call",
        "cpu_seconds_per_call",
        "placement",
    ];
    fn replace(key: &str, value: &mut Value) {
        match value {
            value if VARIES.contains(&key) => *value = format!("({key})").into(),
            Value::Object(map) => map.iter_mut().for_each(|(key, value)| replace(key, value)),
            _ => {}
        }
    }
    snapshot.as_object_mut().unwrap().remove("_events");
    replace("", &mut snapshot);
    snapshot
}

#[track_caller]
fn host_is_told_as_it_was_captured(host: &str) {
    let site = Site::new();
    for plugin in ["cpu", "memory", "network", "disk", "system"] {
        site.bundled(plugin);
    }
    let captured = root().join("tests/hosts").join(host);
    site.config(&format!(
        "[agent]\ncollect = \"named\"\nhost_root = {captured:?}\nlabels = {{ env = \"test\" }}\n\
         [collectors.cpu]\n[collectors.memory]\n[collectors.network]\n[collectors.disk]\n[collectors.system]\n",
    ));
    let finished = site.output(["once", "--format", "json"]);
    assert_eq!(finished.code(), 0, "{finished}");
    let [snapshot] = jsonb::snapshots(&finished.stdout).try_into().unwrap();
    golden(&format!("{host}.json"), &pretty(&normalised(snapshot)));
}

#[test]
fn small_vm_is_told_as_it_was_captured() {
    host_is_told_as_it_was_captured("small_vm");
}

#[test]
fn old_kernel_is_told_as_it_was_captured() {
    host_is_told_as_it_was_captured("old_kernel");
}

#[test]
fn big_host_is_told_as_it_was_captured() {
    host_is_told_as_it_was_captured("big");
}

/// Writes over a file without a moment in which it is empty: the agent has it open, as it has a kernel's.
fn overwrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from) && from.len() == to.len());
    fs::File::options().write(true).open(path).unwrap().write_all(text.replace(from, to).as_bytes()).unwrap();
}

#[test]
fn growth_between_two_readings_is_told_as_shares_and_rates() {
    let site = Site::new();
    let captured = root().join("tests/hosts/small_vm");
    for file in
        ["proc/stat", "proc/loadavg", "proc/diskstats", "proc/filesystems", "proc/1/mountinfo", "proc/1/net/dev"]
    {
        site.write(Path::new("host").join(file), fs::read(captured.join(file)).unwrap());
    }
    site.write("host/statvfs.toml", fs::read(captured.join("statvfs.toml")).unwrap());
    for plugin in ["cpu", "network", "disk"] {
        site.bundled(plugin);
    }
    site.config(&format!(
        "[agent]\ncollect = \"named\"\ninterval = \"1s\"\nhost_root = {:?}\n[collectors.cpu]\n[collectors.disk]\n\
         [collectors.network]\noptions = {{ connections = false }}\n",
        site.path("host")
    ));
    let mut agent = site.start(["run"]);
    let first = agent.snapshot();
    assert!(first["cpu"]["usage_percent"].is_null(), "{first}");
    // Of 400 ticks 200 in user mode, 20 nice, 40 in the kernel, 120 idle, 20 waiting.
    overwrite(
        &site.path("host/proc/stat"),
        "cpu  100000 2000 50000 16000000 10000 ",
        "cpu  100200 2020 50040 16000120 10020 ",
    );
    // 100 reads of 16 sectors that took 250 ms in all.
    overwrite(&site.path("host/proc/diskstats"), "vda 50000 1000 4000000 25000 ", "vda 50100 1000 4001600 25250 ");
    overwrite(&site.path("host/proc/1/net/dev"), "eth0: 9876543210 7654321", "eth0: 9876593210 7654371");
    let grown = |snapshot: &Value| {
        snapshot["disk"]["devices"]["vda"]["read_count"] == 50100
            && snapshot["network"]["interfaces"]["eth0"]["packets_recv"] == 7654371
    };
    let mut cpu = Value::Null;
    let seen = agent.snapshot_where(|snapshot| {
        if !snapshot["cpu"]["user"].is_null() {
            cpu = snapshot["cpu"].clone();
        }
        grown(snapshot)
    });
    let shares = ["usage_percent", "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    let told = shares.map(|share| cpu[share].as_f64().unwrap());
    assert_eq!(told, [65.0, 50.0, 5.0, 10.0, 30.0, 5.0, 0.0, 0.0, 0.0], "{cpu}");
    let growth = |section: &Value, rate: &Value| rate.as_f64().unwrap() * section["_window_seconds"].as_f64().unwrap();
    let (disk, vda) = (&seen["disk"], &seen["disk"]["devices"]["vda"]);
    assert_eq!(vda["read_latency_ms"], 2.5, "{disk}");
    assert!((growth(disk, &vda["read_bytes_per_sec"]) - 819_200.0).abs() < 1.0, "{disk}");
    let (network, eth0) = (&seen["network"], &seen["network"]["interfaces"]["eth0"]);
    assert!((growth(network, &eth0["bytes_recv_per_sec"]) - 50_000.0).abs() < 1.0, "{network}");
}
