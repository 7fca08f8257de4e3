//! What the agent gives a collector: where the host's files are, its constants, a way to log.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use abi_stable::std_types::{RResult, RSlice, RStr};

use crate::abi::{HostObject, Number, Root};
use crate::{Error, ProcFile};

/// Space of a mounted file system, in bytes and inodes, as statvfs(3) has it: `available_bytes` is what is free for programs
/// without privileges, and the inodes are 0 where the file system makes them as it needs them.
pub type Space = crate::abi::RawSpace;

/// How much a log line matters. Its numbers cross the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Level {
    /// Something is wrong.
    Error = 0,
    /// Something may be wrong.
    Warn = 1,
    /// What an operator wants to know once.
    Info = 2,
    /// What an author wants to know.
    Debug = 3,
}

/// The host that is measured: this machine, a host mounted under a container, or a captured one of a test.
///
/// Cheap to clone, valid from any thread of the plugin until the end. No plugin spells `/proc` itself.
///
/// ```
/// use plugin_api::{Error, Host, Level, ProcFile};
///
/// fn open(host: &Host) -> Result<[ProcFile; 2], Error> {
///     if host.is_foreign() {
///         host.log(Level::Info, "measures a host that is mounted here");
///     }
///     Ok([host.proc("meminfo")?, ProcFile::open(host.sys_path("class/thermal/thermal_zone0/temp"))?])
/// }
/// ```
#[derive(Clone)]
pub struct Host {
    object: Arc<HostObject>,
}

impl Host {
    pub(crate) fn new(object: Arc<HostObject>) -> Host {
        Host { object }
    }

    /// Opens a file of procfs for readings: `host.proc("meminfo")`.
    ///
    /// # Errors
    /// It cannot be opened: `could not open /proc/meminfo`, with the system's error as its cause.
    pub fn proc(&self, path: &str) -> Result<ProcFile, Error> {
        ProcFile::open(self.proc_path(path))
    }

    /// Opens a file of `/proc/net`, of the measured host's own network namespace: `host.net("dev")`. Under a foreign root that
    /// is `<root>/proc/1/net`, since `/proc/net` is always the reader's own.
    ///
    /// # Errors
    /// As [`Host::proc`].
    pub fn net(&self, path: &str) -> Result<ProcFile, Error> {
        ProcFile::open(self.below(Root::NET, path.as_ref()))
    }

    /// Where a file of procfs is: `host.proc_path("diskstats")`.
    pub fn proc_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.below(Root::PROC, path.as_ref())
    }

    /// Where a file of sysfs is: `host.sys_path("class/net")`. [`ProcFile::open`] opens one for readings.
    pub fn sys_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.below(Root::SYS, path.as_ref())
    }

    /// Where a file of the host's file system is: `host.root_path("etc/os-release")`. A leading slash is passed over, here and
    /// elsewhere, so that a path from an option stays below the root too.
    pub fn root_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.below(Root::HOST, path.as_ref())
    }

    fn below(&self, which: Root, path: &Path) -> PathBuf {
        let root = Path::new(OsStr::from_bytes(self.object.root(which).as_slice()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether the measured host is not the one that this process runs in: its namespaces cannot be asked, only its files.
    pub fn is_foreign(&self) -> bool {
        self.object.number(Number::IS_FOREIGN) != 0
    }

    /// Bytes of a page of memory.
    pub fn page_size(&self) -> u64 {
        self.object.number(Number::PAGE_SIZE)
    }

    /// Units of `/proc/stat` in a second (`USER_HZ`, time(7)); 100 on all common machines.
    pub fn clock_ticks(&self) -> u64 {
        self.object.number(Number::CLOCK_TICKS)
    }

    /// The space of the file system mounted at a path of the measured host. May block for as long as the file system does not
    /// answer, which for the mount of a dead server is for ever: ask such mounts in a thread of the plugin's own.
    ///
    /// # Errors
    /// The system call's (statvfs(3)); it names no path.
    pub fn statvfs(&self, path: impl AsRef<Path>) -> Result<Space, Error> {
        let path = path.as_ref();
        match self.object.statvfs(RSlice::from_slice(path.as_os_str().as_bytes())) {
            RResult::ROk(space) => Ok(space),
            RResult::RErr(errno) => Err(Error::from(std::io::Error::from_raw_os_error(errno))),
        }
    }

    /// Writes to the agent's log, under the collector's name. For what an operator needs to know once; what goes wrong at a
    /// reading belongs into its error, which the agent logs when it changes.
    pub fn log(&self, level: Level, message: &str) {
        self.object.log(level as u32, RStr::from_str(message));
    }
}
