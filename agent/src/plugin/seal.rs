//! A private copy of a library that nobody can change. [E memfd]
//!
//! `cp new.so plugins/` writes into the mapped file, and the next call into it is a SIGSEGV; so what others may write is loaded from a
//! copy in memory that is sealed against writing, growing and shrinking. Where the kernel or a filter of system calls refuses one, the
//! copy is a file of ours that lost its name before its first byte was written: a kill leaves nothing behind.
//!
//! Promises: the copy is made first and checked afterwards (by the caller), so what was checked is what is loaded.
//! The price is memory that nothing can reclaim, as much as the library touches: 320 KiB for one of 322 KiB, against 8 where it is mapped
//! in place.
#![forbid(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{error, fmt, fs, io, process};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use super::open::reopen;

/// Largest library that is copied: the copy stays in memory until the agent ends. A plugin has 0.3 to 10 MiB, one with a whole
/// client of a database in it 40.
pub const COPY_BYTES_MAX: u64 = 256 << 20;

const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Why there is no copy.
#[derive(Debug)]
#[non_exhaustive]
pub enum SealError {
    /// Longer than [`COPY_BYTES_MAX`].
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
    },
    /// It was written while it was copied.
    Changed,
    /// Neither a copy in memory nor one in the state folder could be made.
    Create {
        /// The folder that was tried after the memory.
        folder: PathBuf,
        /// Why not there.
        source: io::Error,
    },
    /// Reading the library or writing the copy failed.
    Copy(io::Error),
    /// The kernel did not seal it.
    Seal(io::Error),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SealError::TooLarge { bytes } => {
                write!(
                    f,
                    "it has {bytes} bytes, and {COPY_BYTES_MAX} are copied at most: strip it, or install it in "
                )?;
                f.write_str("/usr/lib/perfwatch/plugins, where it is loaded in place")
            }
            SealError::Changed => f.write_str("it was written while it was read: replace it by a rename, then reload"),
            SealError::Create { folder, .. } => {
                write!(f, "could not make a private copy in memory or in {}", folder.display())
            }
            SealError::Copy(_) => f.write_str("could not copy it"),
            SealError::Seal(_) => f.write_str("could not seal the copy"),
        }
    }
}

impl error::Error for SealError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            SealError::Create { source, .. } | SealError::Copy(source) | SealError::Seal(source) => Some(source),
            SealError::TooLarge { .. } | SealError::Changed => None,
        }
    }
}

/// Copies the `bytes` of `library` into sealed memory called `name` (as it then stands in `/proc/PID/maps`), or, where that is refused, into
/// a nameless file in `folder`. The descriptor is read-only.
///
/// # Errors
/// Too large, changed under our hands, or no place for a copy.
pub fn copy(library: &File, bytes: u64, name: &str, folder: &Path) -> Result<File, SealError> {
    if bytes > COPY_BYTES_MAX {
        return Err(SealError::TooLarge { bytes });
    }
    match memory(name) {
        Ok(copy) => {
            fill(&copy, library, bytes)?;
            rustix::fs::fcntl_add_seals(&copy, SEALS).map_err(|errno| SealError::Seal(errno.into()))?;
            reopen(copy.as_fd()).map_err(SealError::Copy)
        }
        Err(_refused) => {
            // Whatever the reason (ENOSYS, a filter's EPERM, EMFILE): if the folder serves, it does not matter, and if not, its error does.
            let copy = nameless(folder).map_err(|source| SealError::Create { folder: folder.to_owned(), source })?;
            fill(&copy, library, bytes)?;
            reopen(copy.as_fd()).map_err(SealError::Copy)
        }
    }
}

/// Memory that cannot be executed as a program: mapping code from it is allowed all the same, even where `vm.memfd_noexec` is 2, which
/// refuses the other kind.
fn memory(name: &str) -> rustix::io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the flag.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags).map(File::from),
        made => made.map(File::from),
    }
}

fn nameless(folder: &Path) -> io::Result<File> {
    static COPIES: AtomicU64 = AtomicU64::new(0);
    let name = format!(".plugin.{}.{}", process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
    let path = folder.join(name);
    // Not O_TMPFILE: network and some overlay file systems do not have it.
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn fill(copy: &File, library: &File, bytes: u64) -> Result<(), SealError> {
    let (mut from, mut to) = (library, copy);
    from.seek(SeekFrom::Start(0)).map_err(SealError::Copy)?;
    let copied = io::copy(&mut from.take(bytes), &mut to).map_err(SealError::Copy)?;
    if copied == bytes { Ok(()) } else { Err(SealError::Changed) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    fn library(bytes: &[u8]) -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libperfwatch_x.so");
        fs::write(&path, bytes).unwrap();
        (folder, File::open(path).unwrap())
    }

    fn text(copy: &File, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        copy.read_exact_at(&mut read, 0).unwrap();
        read
    }

    #[test]
    fn copy_keeps_its_bytes_when_the_library_is_written() {
        let (folder, file) = library(b"before");
        let copy = copy(&file, 6, "x", folder.path()).unwrap();
        fs::write(folder.path().join("libperfwatch_x.so"), "after!").unwrap();
        assert_eq!(text(&copy, 6), b"before");
    }

    #[test]
    fn copy_can_be_written_by_nobody() {
        let (folder, file) = library(b"before");
        let copy = copy(&file, 6, "x", folder.path()).unwrap();
        assert!(rustix::fs::fcntl_get_seals(&copy).unwrap().contains(SEALS));
        let again = OpenOptions::new().write(true).open(super::super::open::self_path(copy.as_fd()));
        assert!(again.and_then(|mut file| file.write_all(b"x")).is_err());
        assert!((&copy).write_all(b"x").is_err());
    }

    #[test]
    fn whole_file_is_copied_wherever_the_descriptor_stood() {
        let (folder, mut file) = library(b"before");
        file.seek(SeekFrom::End(0)).unwrap();
        assert_eq!(text(&copy(&file, 6, "x", folder.path()).unwrap(), 6), b"before");
    }

    #[test]
    fn library_that_shrank_meanwhile_is_refused() {
        let (folder, file) = library(b"before");
        assert!(matches!(copy(&file, 7, "x", folder.path()), Err(SealError::Changed)));
    }

    #[test]
    fn library_too_large_to_keep_in_memory_is_not_read() {
        let (folder, file) = library(b"");
        let refused = copy(&file, COPY_BYTES_MAX + 1, "x", folder.path()).unwrap_err().to_string();
        assert!(refused.contains("/usr/lib/perfwatch/plugins"), "{refused}");
    }

    #[test]
    fn copy_in_the_folder_is_private_and_has_no_name() {
        let (folder, _file) = library(b"");
        let file = nameless(folder.path()).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.nlink()), (0o600, 0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the library alone");
    }

    #[test]
    fn name_that_no_memory_can_have_falls_back_to_the_folder() {
        let (folder, file) = library(b"before");
        // memfd_create(2) refuses names of more than 249 bytes: a refusal that needs no filter of system calls.
        let copy = copy(&file, 6, &"x".repeat(300), folder.path()).unwrap();
        assert_eq!(text(&copy, 6), b"before");
        assert_eq!(copy.metadata().unwrap().nlink(), 0);
        assert!((&copy).write_all(b"x").is_err(), "the descriptor is read-only");
    }

    #[test]
    fn no_place_for_a_copy_is_an_error_that_names_the_folder() {
        let (_folder, file) = library(b"before");
        let refused = copy(&file, 6, &"x".repeat(300), Path::new("/nowhere")).unwrap_err();
        assert_eq!(refused.to_string(), "could not make a private copy in memory or in /nowhere");
    }
}
