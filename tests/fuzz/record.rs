//! What an earlier run of the agent left behind: the file of its calls, and the record of placements. The first byte says which.

use std::fs;
use std::path::Path;

use perfwatch::plugin::open::Inode;
use perfwatch::record::{Identity, Record, Sha256, Slots};

pub(crate) const WORDS: &[&str] = &[
    "{\"who\":1,\"collector\":\"a\",\"library\":\"/a\",\"identity\":",
    "\"version\":1",
    "\"blamed\":[",
    "\"trusted\":[",
    "\"what\":\"it hung\"",
    "\"when\":\"9999-12-31T23:59:59Z\"",
    "\"when\":\"1970-01-01T00:00:00Z\"",
    "\n",
];

/// The magic, with the boot in which this runs put where the input has none.
const MAGIC: &[u8] = b"perfwatch calls 1\n";
/// What the agent keeps of either list.
const ENTRIES_MAX: usize = 256;
/// Threads that can be in a call.
const SLOTS: usize = 64;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![slots(), placements()]
}

/// The file of an agent that died in the calls of two collectors.
fn slots() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let slots = Slots::open(folder.path()).expect("a file for the slots");
    let library = Path::new("/usr/lib/perfwatch/libperfwatch_ups.so");
    for (who, name) in [(0, "ups"), (7, "\u{fc}ps")] {
        let identity = Identity { inode: Inode { device: 1, number: 2 }, size: 3, modified: (4, 5) };
        slots.name(who, name, library, identity).expect("a line");
        let slot = slots.slot();
        slot.enter(who);
        std::mem::forget(slot);
    }
    let entry = fs::read_dir(folder.path()).expect("the folder").next().expect("a file").expect("an entry");
    let bytes = fs::read(entry.path()).expect("the file");
    [b"\0", &bytes[54..]].concat()
}

fn placements() -> Vec<u8> {
    let digest = "ab".repeat(32);
    let blame = format!(
        "{{\"library\":\"{digest}\",\"collector\":\"ups\",\"plugin\":\"ups\",\"when\":\"2026-11-24T03:30:05Z\",\"what\":\"it hung\"}}"
    );
    let trust = format!("{{\"library\":\"{digest}\",\"agent\":\"{digest}\"}}");
    format!("\u{1}{{\"version\":1,\"blamed\":[{blame}],\"trusted\":[{trust}]}}").into_bytes()
}

pub(crate) fn run(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    if which & 1 == 0 {
        // A file that says another boot is not looked at: this one says this boot.
        let boot = fs::read("/proc/sys/kernel/random/boot_id").expect("the number of this boot");
        let whole = [MAGIC, boot.trim_ascii_end(), rest].concat();
        for (name, bytes) in [("calls-1", &whole[..]), ("calls-2", rest)] {
            fs::write(folder.path().join(name), bytes).expect("a file");
        }
        let died = Slots::dead(folder.path()).expect("a folder that can be read");
        assert!(died.len() <= 2 * SLOTS);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "all were of the dead");
    } else {
        fs::write(folder.path().join("placement.json"), rest).expect("a file");
        let mut record = Record::read(folder.path());
        assert!(record.fault().is_none() || record.blames().count() == 0);
        assert!(record.blames().count() <= ENTRIES_MAX);
        let names: Vec<String> = record.blames().map(|blame| blame.collector.clone()).collect();
        assert!(record.blames().all(|blame| !blame.to_string().is_empty()));
        let digest = Sha256::from([0xab; 32]);
        record.trust(digest, digest);
        assert!(record.trusts(digest, digest) || record.blamed(digest).is_some());
        for name in &names {
            record.release(name);
        }
        assert_eq!(record.blames().count(), 0);
    }
}
