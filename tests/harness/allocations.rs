//! Allocations of a process, counted below Rust: see `tests/plugins/alloc-count`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use crate::built;

/// The counts of one process and its children, readable while it runs.
#[derive(Debug)]
pub struct Allocations {
    path: PathBuf,
}

impl Allocations {
    /// Has the command count into a new file at `path`.
    ///
    /// # Panics
    /// The counting library was not built.
    pub fn count(command: &mut Command, path: PathBuf) -> Allocations {
        let library = built().test_plugins.get("alloc_count").expect("tests/plugins has alloc-count");
        command.env("LD_PRELOAD", library).env("PERFWATCH_ALLOC_COUNT", &path);
        Allocations { path }
    }

    /// Allocations so far.
    #[must_use]
    pub fn so_far(&self) -> u64 {
        self.words()[0]
    }

    /// What is known of the latest one, for the message of an assertion.
    #[must_use]
    pub fn latest(&self) -> String {
        let [_, _, bytes, thread] = self.words();
        format!("the latest was of {bytes} bytes on thread {thread}")
    }

    fn words(&self) -> [u64; 4] {
        let mut bytes = [[0; 8]; 4];
        let file = File::open(&self.path).expect("the process has started, and the library made the file");
        file.read_exact_at(bytes.as_flattened_mut(), 0).expect("the file has four words");
        bytes.map(u64::from_ne_bytes)
    }
}
