//! How many processes there are: the entries of procfs that are numbers, which is what psutil counts.
//!
//! sysinfo counts by reading: its leanest refresh opens a file or more for each process (see the README for what that
//! measured). The kernel keeps no such sum: the fourth field of loadavg counts threads, `procs` of sysinfo(2) too.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Processes listed in this procfs; `None` where the first one is not among them: it is mounted with `hidepid` and shows this
/// process only its own, of which there is no telling how many there are.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn count(proc: &Path) -> io::Result<Option<u64>> {
    let (mut count, mut shows_first) = (0, false);
    for entry in fs::read_dir(proc)? {
        let name = entry?.file_name();
        count += u64::from(is_process(name.as_bytes()));
        shows_first |= name == "1";
    }
    Ok(shows_first.then_some(count))
}

fn is_process(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_that_are_numbers_are_processes() {
        let proc = tempfile::tempdir().unwrap();
        for name in ["1", "4194304", "self", "stat", "12a", "1.5"] {
            fs::create_dir(proc.path().join(name)).unwrap();
        }
        assert_eq!(count(proc.path()).unwrap(), Some(2));
    }

    #[test]
    fn a_folder_that_hides_the_first_process_does_not_tell_how_many_there_are() {
        let proc = tempfile::tempdir().unwrap();
        for name in ["4711", "self", "stat"] {
            fs::create_dir(proc.path().join(name)).unwrap();
        }
        assert_eq!(count(proc.path()).unwrap(), None);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_and_not_zero() {
        assert_eq!(count(Path::new("/nonexistent/proc")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
