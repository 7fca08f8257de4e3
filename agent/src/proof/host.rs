//! A copy of the kernel files that it reads, in a folder of its own, so that they can be damaged. [E]
//!
//! What it asks for is known from its calls: first on the machine itself, then on the copy, where what is missing yet is added, until
//! nothing is. Where nothing can be traced, there are the files that its `reads` names. The space of mounts is made up.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use plugin_api::host_side::manifest::ReadKind;

use super::desk::Desk;
use super::rehearsal::Ran;
use super::trace::{Call, What};
use crate::child::Start;

/// Of one file. `/proc/stat` of 512 CPUs has 60 KiB.
const FILE_BYTES: u64 = 256 << 10;
/// The most files and folders.
const ENTRIES_MAX: usize = 2000;
/// Times that the copy is run over to see what it lacks.
const ROUNDS_MAX: usize = 5;
/// Names of a folder that are made in the copy.
const NAMES_MAX: usize = 512;

/// The copy. It is gone with this value.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    /// The files in it, by their path from its root.
    files: BTreeMap<PathBuf, Vec<u8>>,
    tried: BTreeSet<PathBuf>,
    opened: BTreeSet<PathBuf>,
}

impl Tree {
    /// Copies what it reads of the desk's host. `calls` are what it asked for there.
    ///
    /// # Errors
    /// No folder can be made or written.
    pub fn of(desk: &Desk, calls: Option<&[Call]>) -> Result<Tree, String> {
        let mut tree = Tree::new()?;
        match calls {
            Some(calls) => {
                calls.iter().filter_map(|call| seed(&desk.root, call)).for_each(|path| tree.add_all(desk, &path))
            }
            None => {
                let reads = desk.manifest.plugin.reads.iter().filter(|read| read.kind == ReadKind::Path);
                for read in reads.flat_map(|read| read.with(&desk.settings)) {
                    tree.add_all(desk, Path::new(read.target.trim_start_matches('/')));
                }
                tree.opened = tree.files.keys().cloned().collect();
            }
        }
        tree.mounts().map_err(|cause| tree.failed(&cause))?;
        if calls.is_some() {
            for _ in 0..ROUNDS_MAX {
                if !tree.round(desk) {
                    break;
                }
            }
        }
        Ok(tree)
    }

    fn new() -> Result<Tree, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("perfwatch-test-{}-{number}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&root);
        made.map_err(|cause| format!("could not make {}: {cause}", root.display()))?;
        Ok(Tree { root, files: BTreeMap::new(), tried: BTreeSet::new(), opened: BTreeSet::new() })
    }

    fn failed(&self, cause: &io::Error) -> String {
        format!("could not copy what it reads to {}: {cause}", self.root.display())
    }

    /// Runs over the copy and adds what was not there. False when nothing came.
    fn round(&mut self, desk: &Desk) -> bool {
        let ran = desk.run_traced(self.start(desk), 2);
        let before = self.tried.len();
        for call in ran.calls.unwrap_or_default() {
            let Ok(path) = Path::new(&call.target).strip_prefix(&self.root) else { continue };
            let path = path.to_owned();
            if call.what == What::Open && self.files.contains_key(&path) {
                self.opened.insert(path);
            } else if call.errno == libc::ENOENT {
                self.add(desk, &path);
            }
        }
        self.tried.len() > before
    }

    /// Its root.
    #[must_use]
    pub fn start(&self, desk: &Desk) -> Start {
        Start { host_root: self.root.clone(), ..desk.start() }
    }

    /// The files that it opened, one of each kind: with other numbers in their names they are the same file of another device.
    #[must_use]
    pub fn kinds(&self) -> Vec<PathBuf> {
        let mut kinds = BTreeSet::new();
        let kind = |path: &Path| path.to_string_lossy().chars().filter(|one| !one.is_ascii_digit()).collect::<String>();
        let opened = self.opened.iter().filter(|path| !self.files[*path].is_empty());
        opened.filter(|path| kinds.insert(kind(path))).cloned().collect()
    }

    /// What a file held when it was copied.
    #[must_use]
    pub fn content(&self, path: &Path) -> &[u8] {
        self.files.get(path).map_or(&[], Vec::as_slice)
    }

    /// Writes a file, in place: a descriptor that is held on it sees it, as in procfs. None removes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, path: &Path, content: Option<&[u8]>) -> Result<(), String> {
        let at = self.root.join(path);
        let put = match content {
            Some(content) => fs::write(at, content),
            None => fs::remove_file(at),
        };
        put.map_err(|cause| self.failed(&cause))
    }

    /// Makes all files what `change` makes of them.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn put_all(&self, change: impl Fn(&[u8]) -> Vec<u8>) -> Result<(), String> {
        self.opened.iter().try_for_each(|path| self.put(path, Some(&change(self.content(path)))))
    }

    /// Both where a plugin finds it here and where it does under another root.
    fn add_all(&mut self, desk: &Desk, path: &Path) {
        self.add(desk, path);
        for (here, there) in [("proc/net", "proc/1/net"), ("proc/self", "proc/1")] {
            if let Ok(rest) = path.strip_prefix(here) {
                self.add(desk, &Path::new(there).join(rest));
            }
        }
    }

    /// Copies a file, or makes a folder with the names that are in it. What cannot be read is left out: it was not to be had there either.
    fn add(&mut self, desk: &Desk, path: &Path) {
        if self.tried.len() >= ENTRIES_MAX || !self.tried.insert(path.to_owned()) {
            return;
        }
        let to = self.root.join(path);
        for from in sources(&desk.root, path) {
            let Ok(metadata) = fs::metadata(&from) else { continue };
            if metadata.is_dir() {
                let _ = folder(&from, &to);
            } else if metadata.is_file()
                && let Ok(content) = content(&from)
                && to.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok())
                && fs::write(&to, &content).is_ok()
            {
                self.files.insert(path.to_owned(), content);
            }
            return;
        }
    }

    /// The space of the mounts that the copy has: that of no machine, and always the same.
    fn mounts(&self) -> io::Result<()> {
        let lists = ["proc/1/mountinfo", "proc/self/mountinfo"].map(|path| self.content(Path::new(path)));
        let text =
            String::from_utf8_lossy(lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default()).into_owned();
        // proc_pid_mountinfo(5): the fifth word is the mount point.
        let points: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        let table = |point: &&str| {
            let name = serde_json::Value::from(*point);
            format!(
                "[{name}]\ntotal_bytes = 1000000000\nfree_bytes = 500000000\navailable_bytes = 400000000\ninodes_total = 1000\ninodes_free = 500\n"
            )
        };
        fs::write(self.root.join("statvfs.toml"), points.iter().map(table).collect::<String>())
    }

    /// What is said, with paths as on the host.
    #[must_use]
    pub fn words(&self, text: &str) -> String {
        text.replace(&*self.root.to_string_lossy(), "")
    }

    /// What it opens of the machine's kernel files although its host is elsewhere.
    #[must_use]
    pub fn astray(&self, ran: &Ran) -> BTreeSet<String> {
        let calls = ran.calls.as_deref().unwrap_or_default();
        let opened = calls.iter().filter(|call| call.what == What::Open).map(|call| call.target.clone());
        opened.collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // A folder that stays behind is in the way of nobody, and a destructor has nobody to tell.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The path, from the host's root, of what a call asked for there.
fn seed(root: &Path, call: &Call) -> Option<PathBuf> {
    let path = Path::new(&call.target).strip_prefix(root).ok()?;
    let kernel = path.starts_with("proc") || path.starts_with("sys") || root != Path::new("/");
    (kernel && matches!(call.what, What::Open | What::Look)).then(|| path.to_owned())
}

/// Where a file of the copy may be from: of process 1, what this process may not read is much the same of itself.
fn sources(root: &Path, path: &Path) -> Vec<PathBuf> {
    let mut sources = vec![root.join(path)];
    if let Ok(rest) = path.strip_prefix("proc/1") {
        sources.push(root.join("proc/self").join(rest));
    }
    sources
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    // Some of them wait for news.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut content = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut content)?;
    Ok(content)
}

/// A folder with the folders that are in it, and links to such: a plugin lists devices and opens what it knows in each.
fn folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.take(NAMES_MAX) {
        let entry = entry?;
        let at = to.join(entry.file_name());
        if entry.path().is_dir() && !at.exists() {
            fs::create_dir(at)?;
        }
    }
    Ok(())
}
