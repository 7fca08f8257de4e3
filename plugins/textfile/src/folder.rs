//! Where the folder and its files are read.
//!
//! It promises bounds for a folder that strangers fill, and that nothing in it holds a reading up: a file that is none (a FIFO nobody
//! writes to, a device) is opened without waiting and refused. So is a link: an agent of root would read what its maker may not, and
//! tell a part of it in the error.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use plugin_api::Error;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The most files that are read; a host has one for each of its cron jobs, a few dozens.
pub const FILES_MAX: usize = 256;
/// The most entries of the folder that are looked at, so that one where something else piles up costs a millisecond and not a second.
pub const ENTRIES_MAX: usize = 4096;
/// The largest file that is read. 1 MiB holds as many samples as a whole reading may have.
pub const FILE_MAX: u64 = 1 << 20;

/// The names of the files in their order, and what of the folder is left out.
pub struct Listing {
    /// Of the first files.
    pub names: Vec<OsString>,
    /// Why there are not more.
    pub left_out: Option<String>,
}

/// Lists the folder.
pub fn list(folder: &Path) -> Result<Listing, Error> {
    let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| Ok(entry?.file_name())));
    entries.and_then(listing).map_err(|cause| named("could not read the folder", folder, cause))
}

/// Chooses among the names in it.
pub fn listing(entries: impl Iterator<Item = io::Result<OsString>>) -> io::Result<Listing> {
    let (mut names, mut looked_at) = (Vec::new(), 0);
    for entry in entries.take(ENTRIES_MAX + 1) {
        let name = entry?;
        looked_at += 1;
        if looked_at <= ENTRIES_MAX && name.as_bytes().ends_with(b".prom") {
            names.push(name);
        }
    }
    names.sort();
    let left_out = match names.len() {
        _ if looked_at > ENTRIES_MAX => {
            Some(format!("the folder has more than {ENTRIES_MAX} entries, and no further one was looked at"))
        }
        many if many > FILES_MAX => Some(format!("of {many} files only the first {FILES_MAX} by name were read")),
        _ => None,
    };
    names.truncate(FILES_MAX);
    Ok(Listing { names, left_out })
}

/// Reads a file into `text`; says when it was written, and nothing where it has gone meanwhile.
pub fn read(path: &Path, text: &mut Vec<u8>) -> Result<Option<SystemTime>, Error> {
    text.clear();
    let failed = |what| move |cause: io::Error| named(what, path, cause);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(Error::failed(format!("{} is a link, which is not followed", path.display()))),
        opened => File::from(opened.map_err(|errno| failed("could not open")(errno.into()))?),
    };
    let about = file.metadata().map_err(failed("could not read"))?;
    if !about.is_file() {
        return Err(Error::failed(format!("{} is no regular file", path.display())));
    }
    // Asked first, so that one that is too large is not read in every reading; then one byte more is read, as it may grow meanwhile.
    if about.len() <= FILE_MAX {
        file.take(FILE_MAX + 1).read_to_end(text).map_err(failed("could not read"))?;
    }
    if about.len().max(text.len() as u64) > FILE_MAX {
        return Err(Error::failed(format!("{} is larger than {} MiB", path.display(), FILE_MAX >> 20)));
    }
    about.modified().map(Some).map_err(failed("could not read"))
}

fn named(what: &str, path: &Path, cause: io::Error) -> Error {
    let message = format!("{what} {}", path.display());
    let error = match cause.kind() {
        io::ErrorKind::PermissionDenied => Error::denied(message),
        _ => Error::failed(message),
    };
    error.because(cause)
}
