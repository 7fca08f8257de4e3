//! The lock as a file. [E open, read, write, rename]
#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf, absolute};
use std::{error, fmt};

use super::super::open::{OpenError, Opened, open};
use super::super::trust::{Authority, Doubt, Ground, TrustError};
use super::{Lock, NAME};

/// Ten thousand plugins have a half.
const BYTES_MAX: u64 = 8 << 20;

/// Why a lock file says nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not there.
    Missing,
    /// It is there, and cannot be opened or read.
    Open(OpenError),
    /// Reading failed.
    Read(io::Error),
    /// Others could have written it.
    Trust(TrustError),
    /// It is no lock, and why.
    NotALock(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Missing => f.write_str("it is not there"),
            ReadError::Open(error) => error.fmt(f),
            ReadError::Read(_) => f.write_str("could not read it"),
            ReadError::Trust(error) => error.fmt(f),
            ReadError::NotALock(why) => write!(f, "it is no lock: {why}"),
        }
    }
}

impl error::Error for ReadError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            ReadError::Missing | ReadError::NotALock(_) => None,
            ReadError::Open(error) => error.source(),
            ReadError::Read(source) => Some(source),
            ReadError::Trust(error) => error.source(),
        }
    }
}

/// Where the lock of a configuration is.
///
/// # Errors
/// The current folder is gone, and the path begins there.
pub fn beside(config: &Path) -> io::Result<PathBuf> {
    Ok(absolute(config)?.with_file_name(NAME))
}

/// Reads a lock that is to be held to. What is left to doubt of it is in the warnings.
///
/// # Errors
/// It is not there, not to be believed, or no lock.
pub fn read(path: &Path, authority: &Authority) -> Result<(Lock, Vec<Doubt>), ReadError> {
    let opened = opened(path)?;
    let doubts = authority.judge_text(path, &opened, &mut Ground::default()).map_err(ReadError::Trust)?;
    parse(&opened).map(|lock| (lock, doubts))
}

/// Reads a lock that is only looked at, whoever wrote it.
///
/// # Errors
/// It is not there, or no lock.
pub fn look_at(path: &Path) -> Result<Lock, ReadError> {
    parse(&opened(path)?)
}

fn opened(path: &Path) -> Result<Opened, ReadError> {
    open(path).map_err(|error| match error {
        OpenError::Open(cause) if cause.kind() == ErrorKind::NotFound => ReadError::Missing,
        error => ReadError::Open(error),
    })
}

fn parse(opened: &Opened) -> Result<Lock, ReadError> {
    let mut text = String::new();
    (&*opened.file).take(BYTES_MAX + 1).read_to_string(&mut text).map_err(ReadError::Read)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(ReadError::NotALock(format!("it has more than {BYTES_MAX} bytes")));
    }
    Lock::parse(&text).map_err(ReadError::NotALock)
}

/// Writes a lock, whole or not at all, for all to read. Its folder is made where it is missing; a link is replaced by it.
///
/// # Errors
/// It cannot be written there.
pub fn write(lock: &Lock, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let new = path.with_extension("lock.new");
    // Of one that was killed in the middle of this.
    match fs::remove_file(&new) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
    // Whatever the umask is: an agent that runs as a user of its own has to read it.
    let written =
        file.set_permissions(Permissions::from_mode(0o644)).and_then(|()| file.write_all(lock.text().as_bytes()));
    let written = written.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // Why it is there is what matters; where it cannot be removed, the next one does.
        let _ = fs::remove_file(&new);
    }
    written?;
    // Else a power cut could take the new name back.
    File::open(folder)?.sync_all()
}
