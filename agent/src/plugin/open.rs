//! Opens a candidate once, and says what was opened. [E open, fstat]
//!
//! Promises: never waits and never wakes anything. The path is first opened without access (`O_PATH`), which touches no device and no
//! reader or writer of a FIFO; only what then proves to be a regular file is opened for reading, through that same descriptor, so that
//! nothing can be put in its place in between. Everything after this works on the descriptor, never again on the path.
//!
//! Refuses: whatever is not a regular file. A link to a library is fine. Who owns the file is not asked here.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{error, fmt, fs, io};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

/// A file or a folder by what it is, however it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inode {
    /// `st_dev` of stat(2).
    pub device: u64,
    /// `st_ino` of stat(2).
    pub number: u64,
}

impl Inode {
    /// Of what the path leads to.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn of(path: &Path) -> io::Result<Inode> {
        fs::metadata(path).map(|metadata| Inode::from(&metadata))
    }
}

impl From<&fs::Metadata> for Inode {
    fn from(metadata: &fs::Metadata) -> Inode {
        Inode { device: metadata.dev(), number: metadata.ino() }
    }
}

/// A state of a file: another one means that it was replaced or written. Without the time of the last change of status (ctime), which a
/// backup or a package manager moves by linking to the file or by setting its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Which file.
    pub inode: Inode,
    /// Bytes in it.
    pub size: u64,
    /// Time of the last write: seconds and nanoseconds since the Unix epoch.
    pub modified: (i64, i64),
}

impl From<&fs::Metadata> for Identity {
    fn from(metadata: &fs::Metadata) -> Identity {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Identity { inode: Inode::from(metadata), size: metadata.len(), modified }
    }
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct Opened {
    /// The one descriptor.
    pub file: Arc<File>,
    /// What it was when it was opened.
    pub identity: Identity,
    /// Where it lies, all links followed.
    pub real_path: PathBuf,
}

/// Why a candidate was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The kernel refused.
    Open(io::Error),
    /// A link that leads nowhere.
    DanglingLink(PathBuf),
    /// It is there, and no regular file.
    NotAFile(&'static str),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Open(_) => f.write_str("could not open it"),
            OpenError::DanglingLink(target) => write!(f, "a link to {}, which is not there", target.display()),
            OpenError::NotAFile(what) => write!(f, "{what}, not a regular file"),
        }
    }
}

impl error::Error for OpenError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            OpenError::Open(source) => Some(source),
            OpenError::DanglingLink(_) | OpenError::NotAFile(_) => None,
        }
    }
}

/// Opens the file that the path leads to.
///
/// # Errors
/// It is not there, not a regular file, or not to be read by this user.
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    let place = match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(place) => File::from(place),
        Err(rustix::io::Errno::NOENT) if let Ok(target) = fs::read_link(path) => {
            return Err(OpenError::DanglingLink(target));
        }
        Err(errno) => return Err(OpenError::Open(errno.into())),
    };
    let kind = place.metadata().map_err(OpenError::Open)?.file_type();
    if !kind.is_file() {
        return Err(OpenError::NotAFile(if kind.is_dir() {
            "a folder"
        } else if kind.is_fifo() {
            "a FIFO"
        } else if kind.is_socket() {
            "a socket"
        } else {
            "a device"
        }));
    }
    let file = reopen(place.as_fd()).map_err(OpenError::Open)?;
    let metadata = file.metadata().map_err(OpenError::Open)?;
    Ok(Opened {
        identity: Identity::from(&metadata),
        real_path: fs::read_link(self_path(file.as_fd())).map_err(OpenError::Open)?,
        file: Arc::new(file),
    })
}

/// The path under which this process finds its own descriptor, for reading it anew and for the dynamic loader.
#[must_use]
pub fn self_path(descriptor: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// A second, read-only descriptor of the file behind the first.
pub(super) fn reopen(descriptor: BorrowedFd<'_>) -> io::Result<File> {
    // Not to wait for a lease of another process to be given back (fcntl(2), F_SETLEASE): up to 45 s.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(self_path(descriptor), flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn refusal(path: &Path) -> String {
        open(path).expect_err("must be refused").to_string()
    }

    #[test]
    fn regular_file_is_opened_through_a_link_and_told_by_its_real_place() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.so"), folder.path().join("link.so"));
        fs::write(&real, "12345").unwrap();
        symlink("real.so", &link).unwrap();
        let opened = open(&link).unwrap();
        assert_eq!(opened.real_path, real.canonicalize().unwrap());
        assert_eq!(opened.identity.size, 5);
        assert_eq!(opened.identity.inode, Inode::of(&real).unwrap());
    }

    #[test]
    fn written_file_has_another_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.so");
        fs::write(&path, "1").unwrap();
        let before = open(&path).unwrap().identity;
        assert_eq!(open(&path).unwrap().identity, before);
        fs::write(&path, "12").unwrap();
        assert_ne!(open(&path).unwrap().identity, before);
    }

    #[test]
    fn whatever_is_no_regular_file_is_named_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo.so"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        let _listener = UnixListener::bind(at("socket.so")).unwrap();
        symlink("/dev/zero", at("device.so")).unwrap();
        symlink("nowhere", at("dangling.so")).unwrap();
        symlink("loop.so", at("loop.so")).unwrap();
        assert_eq!(refusal(folder.path()), "a folder, not a regular file");
        assert_eq!(refusal(&at("fifo.so")), "a FIFO, not a regular file");
        assert_eq!(refusal(&at("socket.so")), "a socket, not a regular file");
        assert_eq!(refusal(&at("device.so")), "a device, not a regular file");
        assert_eq!(refusal(&at("dangling.so")), "a link to nowhere, which is not there");
        assert_eq!(refusal(&at("loop.so")), "could not open it");
        assert_eq!(refusal(&at("absent.so")), "could not open it");
    }

    #[test]
    fn descriptor_is_closed_on_exec() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.so");
        fs::write(&path, "1").unwrap();
        let flags = rustix::io::fcntl_getfd(&open(&path).unwrap().file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}
