//! What a plugin is given of the host: where its files are, its constants, the space of its mounts, names to handles.
//!
//! The roots are this machine's, a host's that is mounted under a container (`host_root`), or a captured one of the
//! tests; a captured host answers for its mounts from its `statvfs.toml`, a table a mount.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use abi_stable::std_types::{RResult, RSlice, RStr, RString};

use super::manifest::{Manifest, Metric, Source};
use crate::Level;
use crate::abi::{Number, RawHost, RawSpace, Resolve, Root};

/// The longest path that the kernel takes, its NUL included (linux/limits.h).
const PATH_MAX: usize = 4096;

/// Where a host's files are.
#[derive(Debug)]
pub struct Roots {
    host: PathBuf,
    proc: PathBuf,
    sys: PathBuf,
    net: PathBuf,
    foreign: bool,
    /// What its mounts answer, where it is a captured host.
    captured: Option<RwLock<BTreeMap<PathBuf, Captured>>>,
}

/// What a captured mount answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Captured {
    Space(RawSpace),
    Errno(i32),
    /// Never: the call does not return.
    Hangs,
}

impl Roots {
    /// The roots of a host whose file system is mounted at `root`: `/` for this machine.
    pub fn new(root: &Path) -> Roots {
        let foreign = root != Path::new("/");
        let proc = root.join("proc");
        let net = proc.join(if foreign { "1/net" } else { "net" });
        Roots { host: root.into(), sys: root.join("sys"), proc, net, foreign, captured: None }
    }

    /// The roots at `root`, captured or not: a captured host has a `statvfs.toml`, which no mounted one has at its root.
    ///
    /// # Errors
    /// As [`Roots::captured`].
    pub fn at(root: &Path) -> Result<Roots, String> {
        if root != Path::new("/") && root.join("statvfs.toml").exists() {
            Roots::captured(root)
        } else {
            Ok(Roots::new(root))
        }
    }

    /// A captured host of a test, with its `statvfs.toml` if it has one.
    ///
    /// # Errors
    /// The `statvfs.toml` cannot be read, or a value in it is not what it should be.
    pub fn captured(root: &Path) -> Result<Roots, String> {
        Ok(Roots { captured: Some(RwLock::new(captured_mounts(root)?)), ..Roots::new(root) })
    }

    /// Reads the `statvfs.toml` of a captured host again: a test has changed it.
    ///
    /// # Errors
    /// As [`Roots::captured`].
    pub fn recapture(&self) -> Result<(), String> {
        if let Some(captured) = &self.captured {
            *captured.write().unwrap_or_else(PoisonError::into_inner) = captured_mounts(&self.host)?;
        }
        Ok(())
    }

    /// Asks for the space of a mount. May block for as long as the file system does not answer.
    ///
    /// # Errors
    /// An errno.
    pub fn statvfs(&self, path: &Path) -> Result<RawSpace, i32> {
        if let Some(captured) = &self.captured {
            // Copied, so that one that hangs does not keep the lock.
            let answer = captured.read().unwrap_or_else(PoisonError::into_inner).get(path).copied();
            return match answer {
                Some(Captured::Space(space)) => Ok(space),
                Some(Captured::Errno(errno)) => Err(errno),
                Some(Captured::Hangs) => loop {
                    std::thread::park();
                },
                None => Err(rustix::io::Errno::NOENT.raw_os_error()),
            };
        }
        if self.foreign {
            return self.space_below(path);
        }
        rustix::fs::statvfs(path).map(space).map_err(rustix::io::Errno::raw_os_error)
    }

    /// Joined on the stack: this is on the path of a tick, where nothing is allocated.
    fn space_below(&self, path: &Path) -> Result<RawSpace, i32> {
        let parts = [self.host.as_os_str().as_bytes(), b"/", path.as_os_str().as_bytes()];
        let mut joined = [0; PATH_MAX];
        let mut len = 0;
        for part in parts {
            let room = joined.get_mut(len..len + part.len()).ok_or(rustix::io::Errno::NAMETOOLONG.raw_os_error())?;
            room.copy_from_slice(part);
            len += part.len();
        }
        let path = CStr::from_bytes_until_nul(&joined).map_err(|_| rustix::io::Errno::NAMETOOLONG.raw_os_error())?;
        rustix::fs::statvfs(path).map(space).map_err(rustix::io::Errno::raw_os_error)
    }
}

fn space(found: rustix::fs::StatVfs) -> RawSpace {
    RawSpace {
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_bytes: found.f_bfree.saturating_mul(found.f_frsize),
        available_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        inodes_total: found.f_files,
        inodes_free: found.f_ffree,
    }
}

fn captured_mounts(root: &Path) -> Result<BTreeMap<PathBuf, Captured>, String> {
    let path = root.join("statvfs.toml");
    let mut captured = BTreeMap::new();
    if path.exists() {
        let text = std::fs::read_to_string(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
        let tables: BTreeMap<PathBuf, BTreeMap<String, toml::Value>> =
            toml::from_str(&text).map_err(|cause| format!("{}: {cause}", path.display()))?;
        for (mount, table) in tables {
            captured.insert(mount, captured_mount(&table).map_err(|why| format!("{}: {why}", path.display()))?);
        }
    }
    Ok(captured)
}

fn captured_mount(table: &BTreeMap<String, toml::Value>) -> Result<Captured, String> {
    let mut space = RawSpace::default();
    for (key, value) in table {
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let wrong = || format!("{key} is not a number");
        match key.as_str() {
            "hangs" => return Ok(Captured::Hangs),
            "errno" => return Ok(Captured::Errno(number.ok_or_else(wrong)? as i32)),
            "total_bytes" => space.total_bytes = number.ok_or_else(wrong)?,
            "free_bytes" => space.free_bytes = number.ok_or_else(wrong)?,
            "available_bytes" => space.available_bytes = number.ok_or_else(wrong)?,
            "inodes_total" => space.inodes_total = number.ok_or_else(wrong)?,
            "inodes_free" => space.inodes_free = number.ok_or_else(wrong)?,
            _ => return Err(format!("unknown key {key}")),
        }
    }
    Ok(Captured::Space(space))
}

/// Where a plugin's log lines go.
pub type Log = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// The host, made for one collector.
#[derive(Clone)]
pub struct HostHandle {
    roots: Arc<Roots>,
    manifest: Arc<Manifest>,
    log: Log,
}

impl HostHandle {
    /// The host of `roots`, for a collector of `manifest`.
    pub fn new(roots: Arc<Roots>, manifest: Arc<Manifest>, log: Log) -> HostHandle {
        HostHandle { roots, manifest, log }
    }

    /// What the collector declares.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl RawHost for HostHandle {
    fn root(&self, which: Root) -> RSlice<'_, u8> {
        let path = match which {
            Root::HOST => &self.roots.host,
            Root::PROC => &self.roots.proc,
            Root::SYS => &self.roots.sys,
            Root::NET => &self.roots.net,
            // Of a newer contract: it can tell that this agent knows no such folder.
            _ => return RSlice::EMPTY,
        };
        RSlice::from_slice(path.as_os_str().as_bytes())
    }

    fn number(&self, which: Number) -> u64 {
        match which {
            Number::PAGE_SIZE => rustix::param::page_size() as u64,
            Number::CLOCK_TICKS => rustix::param::clock_ticks_per_second(),
            Number::IS_FOREIGN => u64::from(self.roots.foreign),
            _ => 0,
        }
    }

    fn resolve(&self, what: Resolve, table: u32, name: RStr<'_>) -> RResult<u64, RString> {
        match resolve(&self.manifest, what, table, name.as_str()) {
            Ok(packed) => RResult::ROk(packed),
            Err(message) => RResult::RErr(message.into()),
        }
    }

    fn statvfs(&self, path: RSlice<'_, u8>) -> RResult<RawSpace, i32> {
        match self.roots.statvfs(Path::new(std::ffi::OsStr::from_bytes(path.as_slice()))) {
            Ok(space) => RResult::ROk(space),
            Err(errno) => RResult::RErr(errno),
        }
    }

    fn log(&self, level: u32, message: RStr<'_>) {
        // What only a newer contract knows is of the least weight.
        let known = [Level::Error, Level::Warn, Level::Info].into_iter().find(|known| *known as u32 == level);
        let level = known.unwrap_or(Level::Debug);
        (self.log)(level, message.as_str());
    }
}

fn resolve(manifest: &Manifest, what: Resolve, table: u32, name: &str) -> Result<u64, String> {
    match what {
        Resolve::SCALAR => place(&manifest.metrics, name, "metric "),
        Resolve::TABLE => {
            let names = || manifest.tables.iter().map(|table| table.name.as_str());
            let place = names().position(|known| known == name).ok_or_else(|| undeclared("table ", name, names()))?;
            let table = &manifest.tables[place];
            Ok(place as u64 | (table.keys.len() as u64) << 32 | (table.columns.len() as u64) << 48)
        }
        Resolve::COLUMN => {
            let table = manifest.tables.get(table as usize).ok_or_else(|| format!("there is no table {table}"))?;
            place(&table.columns, name, &format!("column {}.", table.name))
        }
        _ => Err(format!("cannot resolve {name}: asked for something this agent does not know")),
    }
}

fn place(metrics: &[Metric], name: &str, what: &str) -> Result<u64, String> {
    let names = || metrics.iter().map(|metric| metric.name.as_str());
    let place = names().position(|known| known == name).ok_or_else(|| undeclared(what, name, names()))?;
    match metrics[place].source {
        Source::Derived(_) => Err(format!(
            "{what}{name} is derived by the agent and cannot be set: set the counters that it is derived from"
        )),
        Source::Reported => Ok(place as u64),
    }
}

/// What to say of a name that is not among those that are declared.
pub(super) fn undeclared<'name>(what: &str, name: &str, known: impl Iterator<Item = &'name str>) -> String {
    let nearest = known
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 3);
    match nearest {
        Some((_, nearest)) => format!("{what}{name} is not declared in plugin.toml; did you mean {nearest}?"),
        None => format!("{what}{name} is not declared in plugin.toml"),
    }
}

#[cfg(test)]
mod tests;
