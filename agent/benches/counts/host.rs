//! A captured host that lives: a copy of it, whose counters are higher at each tick.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Files of counters. What else is captured stays as it is.
const COUNTERS: [&str; 4] = ["proc/stat", "proc/diskstats", "proc/vmstat", "proc/1/net/dev"];

/// A copy in a folder of its own.
pub struct Host {
    folder: TempDir,
    counters: Vec<(PathBuf, String)>,
}

impl Host {
    /// A copy of the captured host.
    pub fn of(captured: &Path) -> Host {
        let folder = tempfile::tempdir().unwrap();
        copy(captured, folder.path());
        let read = |name: &&str| {
            let path = folder.path().join(name);
            fs::read_to_string(&path).ok().map(|text| (path, text))
        };
        // A file system that is asked by a thread at each reading costs another number each time: those that answer from memory are left.
        let mounts = folder.path().join("proc/1/mountinfo");
        if let Ok(text) = fs::read_to_string(&mounts) {
            let kept: String = text.split_inclusive('\n').filter(|line| !line.contains(" - zfs ")).collect();
            fs::write(&mounts, kept).unwrap();
        }
        let counters = COUNTERS.iter().filter_map(read).collect();
        Host { folder, counters }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Has each counter of four digits and more be what it is at this tick.
    pub fn tick(&self, tick: u64) {
        for (path, text) in &self.counters {
            let grown: Vec<String> = text.split_inclusive([' ', '\n']).map(|word| grown(word, tick)).collect();
            // In place: the collectors keep their files open.
            fs::write(path, grown.concat()).unwrap();
        }
    }
}

fn grown(word: &str, tick: u64) -> String {
    let number = word.trim_end();
    match number.parse::<u64>() {
        // Not by a round share, so that rates have their digits.
        Ok(count) if count >= 1000 => format!("{}{}", count + tick * (count / 997), &word[number.len()..]),
        _ => word.into(),
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
