//! The real agent with its real plugins on this very machine, with sysinfo for a second opinion.
//!
//! The one place where a test reads the live host. What both read at different moments is compared by what must hold in
//! between: a counter lies between a reading before and one after; names are compared where they did not change.

use std::collections::{BTreeMap, BTreeSet};

use harness::Site;
use rustix::process::Signal;
use serde_json::{Map, Value};
use sysinfo::{Disks, Networks, System};

const COLLECTORS: [&str; 5] = ["cpu", "memory", "network", "disk", "system"];

/// A site with all plugins of the project and a short interval.
fn site() -> Site {
    let site = Site::new();
    for name in COLLECTORS {
        site.bundled(name);
    }
    site.config("[agent]\ninterval = \"200ms\"\n");
    site
}

/// Lines until each collector had something to say, and the last good section of each. `system` is read once a minute, so
/// that on a machine so busy that it was skipped at the start it may be missing.
fn lines_and_sections(site: &Site) -> (Vec<Value>, BTreeMap<String, Value>) {
    let (mut running, mut lines, mut sections) = (site.start(["run"]), Vec::new(), BTreeMap::new());
    let rates = |sections: &BTreeMap<String, Value>| {
        sections.get("cpu").is_some_and(|cpu: &Value| !cpu["usage_percent"].is_null())
            && ["memory", "network", "disk"].iter().all(|name| sections.contains_key(*name))
    };
    running.snapshot_where(|line| {
        lines.push(line.clone());
        for (name, section) in line.as_object().expect("a line is an object") {
            match section["_status"].as_str() {
                Some("ok" | "partial") => drop(sections.insert(name.clone(), section.clone())),
                Some("failed" | "quarantined") => panic!("{name}: {section}"),
                _ => {}
            }
        }
        lines.len() >= 3 && rates(&sections)
    });
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.code(), 0, "{ended}");
    (lines, sections)
}

fn object<'a>(section: &'a Value, key: &str) -> &'a Map<String, Value> {
    section[key].as_object().unwrap_or_else(|| panic!("no object {key} in {section}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

/// Whether ours is within a tenth of `whole` of theirs: what is free changes while one looks.
fn is_near(ours: &Value, theirs: u64, whole: u64) -> bool {
    number(ours).abs_diff(theirs) <= whole / 10
}

fn assert_between(what: &str, before: u64, ours: &Value, after: u64) {
    assert!((before..=after).contains(&number(ours)), "{what}: {ours} is not between {before} and {after}");
}

/// Bytes received and sent by each interface, as sysinfo reads them.
fn traffic() -> BTreeMap<String, (u64, u64)> {
    let networks = Networks::new_with_refreshed_list().unwrap();
    let bytes = |data: &sysinfo::NetworkData| (data.total_received(), data.total_transmitted());
    networks.iter().map(|(name, data)| (name.to_string_lossy().into_owned(), bytes(data))).collect()
}

#[test]
fn what_is_measured_is_what_sysinfo_measures() {
    let site = site();
    let mut system = System::new_all().unwrap();
    let before = traffic();
    let (_, sections) = lines_and_sections(&site);
    system.refresh_memory();
    let after = traffic();

    let memory = &sections["memory"];
    let (total, swap) = (system.total_memory(), system.total_swap());
    assert_eq!((number(&memory["total_bytes"]), number(&memory["swap_total_bytes"])), (total, swap));
    assert!(is_near(&memory["available_bytes"], system.available_memory(), total), "{memory}");
    assert!(is_near(&memory["used_bytes"], total - system.available_memory(), total), "{memory}");
    assert!(is_near(&memory["swap_used_bytes"], system.used_swap(), swap.max(1)), "{memory}");

    let cpu = &sections["cpu"];
    assert_eq!(number(&cpu["count"]), system.cpus().len() as u64);
    let cores: BTreeSet<_> = object(cpu, "per_core").keys().map(|core| format!("cpu{core}")).collect();
    assert_eq!(cores, system.cpus().iter().map(|core| core.name().to_owned()).collect());
    let modes = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    let sum: f64 = modes.iter().filter_map(|mode| cpu[mode].as_f64()).sum();
    assert!((sum - 100.0).abs() < 0.01, "the modes add up to {sum}: {cpu}");

    let interfaces = object(&sections["network"], "interfaces");
    for (name, ours) in interfaces {
        let (Some(before), Some(after)) = (before.get(name), after.get(name)) else { continue };
        assert_between(name, before.0, &ours["bytes_recv"], after.0);
        assert_between(name, before.1, &ours["bytes_sent"], after.1);
    }
    let stayed = before.keys().filter(|name| after.contains_key(*name));
    for name in stayed.filter(|name| *name != "lo" && !name.starts_with("veth")) {
        assert!(interfaces.contains_key(name), "{name} is missing in {interfaces:?}");
    }
    assert!(!interfaces.contains_key("lo"));

    let partitions = object(&sections["disk"], "partitions");
    for disk in &Disks::new_with_refreshed_list().unwrap() {
        let Some(ours) = disk.mount_point().to_str().and_then(|mount| partitions.get(mount)) else { continue };
        // Of two mounts at one place sysinfo may see the one below.
        if ours["fstype"] == *disk.file_system().to_string_lossy() {
            assert_eq!(number(&ours["total_bytes"]), disk.total_space(), "{ours}");
        }
    }
    let kernel = std::fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let known: BTreeSet<_> = kernel.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    for device in object(&sections["disk"], "devices").keys() {
        assert!(known.contains(device.as_str()), "{device} is not one of {known:?}");
    }

    if let Some(host) = sections.get("system") {
        assert_eq!(host["kernel_version"].as_str(), System::kernel_version().ok().as_deref());
        assert_eq!(number(&host["logical_cores"]), system.cpus().len() as u64);
    }
}

/// What of a value its schema does not describe.
pub fn undescribed(value: &Value, schema: &Value, root: &Value) -> Vec<String> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let of_section = schema.get("$ref").map_or(&Value::Null, |_| &root["$defs"]["section"]["properties"]);
    let mut missing = Vec::new();
    for (key, value) in object {
        let listed = [schema["properties"].get(key), of_section.get(key)].into_iter().flatten().next();
        match listed.or_else(|| schema.get("additionalProperties").filter(|rule| rule.is_object())) {
            Some(schema) => missing.extend(undescribed(value, schema, root).iter().map(|path| format!("{key}.{path}"))),
            None => missing.push(key.clone()),
        }
    }
    for key in schema["then"]["required"].as_array().into_iter().chain(schema["required"].as_array()).flatten() {
        if !object.contains_key(key.as_str().expect("a key")) && ["ok", "partial"].contains(&status(value)) {
            missing.push(format!("{key}, which is described and not there"));
        }
    }
    missing
}

fn status(section: &Value) -> &str {
    section["_status"].as_str().unwrap_or("ok")
}

#[test]
fn every_key_of_every_line_is_described_by_the_schema() {
    let site = site();
    let printed = site.output(["schema"]);
    assert_eq!(printed.code(), 0, "{printed}");
    let schema: Value = serde_json::from_str(&printed.stdout).unwrap();
    let (lines, _) = lines_and_sections(&site);
    for line in &lines {
        assert_eq!(undescribed(line, &schema, &schema), Vec::<String>::new(), "{line}");
    }
    let described = object(&schema, "properties");
    for collector in COLLECTORS.iter().chain(["agent"].iter()) {
        assert!(described.contains_key(*collector), "{collector}");
    }
    assert_eq!(schema["properties"]["memory"]["properties"]["total_bytes"]["x-unit"], "By");
}
