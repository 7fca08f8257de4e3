//! One writer a file: an advisory `flock` on the live file, and who has it when it cannot be had.
//!
//! On the live file itself and not on a file beside it: nothing is left lying about, and the kernel drops it with the
//! process. It follows the open file, so it is right inside one process as well as between two.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Error;

/// Takes the lock of `file`, which was opened as `path`.
pub(super) fn take(file: &File, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.into(), holder: holder(file) }),
        // A file system without locks (some network ones): better unguarded than unwritten.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(path = %path.display(), %error, "cannot lock the file: nothing keeps a second agent from writing it too");
            Ok(())
        }
    }
}

fn holder(file: &File) -> String {
    let id = file.metadata().ok().and_then(|meta| {
        let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
        holder_in(&fs::read_to_string("/proc/locks").ok()?, major, minor, meta.ino())
    });
    match id {
        Some(id) if id == std::process::id() => format!("another sink of this process ({id})"),
        Some(id) => match fs::read_to_string(format!("/proc/{id}/comm")) {
            Ok(name) => format!("process {id} ({})", name.trim_end()),
            // It has ended since, or is hidden (hidepid).
            Err(_) => format!("process {id}"),
        },
        None => "another process".into(),
    }
}

/// The process that holds the `flock` of a file in the text of `/proc/locks` (proc_locks(5)); lines with `->` only wait
/// for one, and a process of another PID namespace has no number here.
fn holder_in(locks: &str, major: u32, minor: u32, inode: u64) -> Option<u32> {
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [_, "FLOCK", _, _, id, of, ..] if of == file => id.parse().ok().filter(|id| *id != 0),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_among_other_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fd:00:42 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 22 fd:00:43 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 33 fd:00:42 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 44 fd:00:42 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 0 fd:00:45 0 EOF\n";
        assert_eq!(holder_in(locks, 0xfd, 0, 42), Some(33));
        assert_eq!(holder_in(locks, 0xfd, 1, 42), None);
        assert_eq!(holder_in(locks, 0xfd, 0, 45), None);
    }
}
