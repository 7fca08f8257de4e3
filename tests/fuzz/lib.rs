//! Everything that reads strangers' bytes, each behind one function that takes any bytes and comes back.
//!
//! A [`Target`] panics where the room that it tries breaks a promise: what it wrote of itself in its head is asserted here. It knows
//! no engine: `replay.rs` runs all of them with the corpus and with some thousand mutations of it, at every `cargo test`; `guided/`
//! gives them to libFuzzer. Bounds are on what was read, counted or written, and never on time.

mod bytes;
mod child;
mod config;
mod frame;
mod kernel;
mod library;
mod manifest;
pub mod mutate;
mod prometheus;
mod record;
mod snapshot;

use std::fs;
use std::path::{Path, PathBuf};

// The plugins are libraries that are loaded and never linked; their parsers are pure, and so are compiled here once more.
#[path = "../../plugins/network/src/dev.rs"]
#[allow(dead_code, reason = "the collector uses more of it")]
mod dev;
#[path = "../../plugins/disk/src/diskstats.rs"]
mod diskstats;
#[path = "../../plugins/memory/src/meminfo.rs"]
mod meminfo;
#[path = "../../plugins/network/src/message.rs"]
#[allow(dead_code, reason = "the collector uses more of it")]
mod message;
#[path = "../../plugins/disk/src/mountinfo.rs"]
mod mountinfo;
#[path = "../../plugins/pressure/src/psi.rs"]
mod psi;
#[path = "../../plugins/system/src/sessions.rs"]
mod sessions;
#[path = "../../plugins/network/src/socket_files.rs"]
mod socket_files;
#[path = "../../plugins/cpu/src/stat.rs"]
#[allow(dead_code, reason = "the collector uses more of it")]
mod stat;
#[path = "../../plugins/network/src/states.rs"]
mod states;
#[path = "../../plugins/memory/src/vmstat.rs"]
mod vmstat;

/// One thing that is fuzzed.
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Takes an input and panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Good inputs that lie elsewhere in the project.
    seeds: fn() -> Vec<Vec<u8>>,
    /// Words that an input may have, for mutations.
    pub words: &'static [&'static str],
}

/// All of them.
pub static TARGETS: [Target; 10] = [
    Target { name: "library", run: library::run, seeds: Vec::new, words: &[] },
    Target { name: "manifest", run: manifest::run, seeds: manifest::seeds, words: manifest::WORDS },
    Target { name: "heard", run: child::heard, seeds: child::seeds, words: &[] },
    Target { name: "told", run: child::told, seeds: child::told_seeds, words: &[] },
    Target { name: "frame", run: frame::run, seeds: Vec::new, words: frame::WORDS },
    Target { name: "config", run: config::run, seeds: config::seeds, words: config::WORDS },
    Target { name: "kernel", run: kernel::run, seeds: kernel::seeds, words: kernel::WORDS },
    Target { name: "prometheus", run: prometheus::run, seeds: prometheus::seeds, words: prometheus::WORDS },
    Target { name: "record", run: record::run, seeds: record::seeds, words: record::WORDS },
    Target { name: "snapshot", run: snapshot::run, seeds: snapshot::seeds, words: snapshot::WORDS },
];

impl Target {
    /// Where its inputs lie that are worth keeping.
    #[must_use]
    pub fn corpus(&self) -> PathBuf {
        root().join("tests/fuzz/corpus").join(self.name)
    }

    /// What is tried first: the corpus, and what lies elsewhere.
    ///
    /// # Panics
    /// A file cannot be read.
    #[must_use]
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.corpus())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        // So that a run with the same seed is the same run.
        paths.sort();
        paths.iter().map(|path| read(path)).chain((self.seeds)()).collect()
    }
}

fn root() -> &'static Path {
    harness::root()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Every file of a folder and below, in order.
fn files(folder: &Path, keep: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path, keep));
        } else if keep(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}
