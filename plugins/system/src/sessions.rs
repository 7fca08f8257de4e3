//! How many login sessions there are: what who(1) and psutil's `users()` list. Not accounts (sysinfo's `Users`), and not
//! distinct people: one who is logged in twice counts twice.
//!
//! The source is utmp(5), one small file. Distributions are giving it up (its times end in 2038); where it is gone,
//! systemd-logind's session files are read and those of class `user` counted. A host that keeps neither, a container
//! mostly, does not know: null, not 0.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Bytes of a record of utmp in glibc: its times have 32 bits even on a 64-bit machine, but on ARM 64.
const RECORD: usize = if cfg!(target_arch = "aarch64") { 400 } else { 384 };

/// `ut_type` of a session of a user, the first two bytes of a record.
const USER_PROCESS: i16 = 7;

/// 40,000 sessions: a longer file is no utmp.
const UTMP_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// logind's files have some 20 lines; the class stands among the first.
const SESSION_BYTES_MAX: u64 = 4096;

/// Login sessions now, or `None` where this host does not keep them.
///
/// # Errors
/// A file that is there cannot be read.
pub(crate) fn count(utmp: &Path, logind: &Path) -> io::Result<Option<u64>> {
    match read(utmp, UTMP_BYTES_MAX)? {
        Some(records) => Ok(Some(in_utmp(&records))),
        None => in_logind(logind),
    }
}

fn in_utmp(records: &[u8]) -> u64 {
    let of_user = |record: &&[u8]| i16::from_ne_bytes([record[0], record[1]]) == USER_PROCESS;
    // A last record that is cut is one being written.
    records.chunks_exact(RECORD).filter(of_user).count() as u64
}

fn in_logind(sessions: &Path) -> io::Result<Option<u64>> {
    let Some(entries) = if_there(fs::read_dir(sessions))? else { return Ok(None) };
    let mut count = 0;
    for entry in entries {
        let entry = entry?;
        // Beside a session's file lies the pipe that holds it open, `5.ref`; a session's own name has no dot.
        if !entry.file_type()?.is_file() || entry.file_name().as_encoded_bytes().contains(&b'.') {
            continue;
        }
        // One that ended since the folder was listed is none.
        if let Some(text) = read(&entry.path(), SESSION_BYTES_MAX)? {
            count += u64::from(is_of_user(&text));
        }
    }
    Ok(Some(count))
}

/// `CLASS=user`, or a kind of it (`user-early`, `user-light`); not `greeter`, `manager` or `background`.
fn is_of_user(session: &[u8]) -> bool {
    session.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"CLASS=user"))
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = if_there(File::open(path))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: i16) -> Vec<u8> {
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.resize(RECORD, 0);
        bytes
    }

    #[test]
    fn utmp_counts_each_session_of_a_user_and_no_other_record() {
        let folder = tempfile::tempdir().unwrap();
        let utmp = folder.path().join("utmp");
        // Boot, run level, login prompt, two sessions, one that ended, one being written.
        let mut bytes: Vec<u8> = [2, 1, 6, 7, 7, 8].into_iter().flat_map(record).collect();
        bytes.extend(&record(7)[..100]);
        fs::write(&utmp, bytes).unwrap();
        assert_eq!(count(&utmp, &folder.path().join("sessions")).unwrap(), Some(2));
    }

    #[test]
    fn without_utmp_the_sessions_of_logind_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let logind = folder.path().join("sessions");
        fs::create_dir(&logind).unwrap();
        for (name, class) in
            [("1", "user"), ("c2", "greeter"), ("3", "user-early"), ("4", "manager"), ("5.ref", "user")]
        {
            fs::write(logind.join(name), format!("# private\nUID=1000\nACTIVE=1\nCLASS={class}\n")).unwrap();
        }
        assert_eq!(count(&folder.path().join("utmp"), &logind).unwrap(), Some(2));
    }

    #[test]
    fn a_host_that_keeps_neither_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(count(&folder.path().join("utmp"), &folder.path().join("sessions")).unwrap(), None);
        fs::write(folder.path().join("utmp"), "").unwrap();
        assert_eq!(count(&folder.path().join("utmp"), &folder.path().join("sessions")).unwrap(), Some(0));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert!(in_utmp(&bytes) <= (bytes.len() / RECORD) as u64);
            is_of_user(&bytes);
        }
    }
}
