//! A command and all that it started: ended as one, and waited for. [E kill, wait]
//!
//! Where it may, a command leads a process group of its own, which is killed whole. In the sandbox of a child nobody may make a group, so
//! that the agent's kill reaches all; there whoever loses his parent becomes a child of this process (`PR_SET_CHILD_SUBREAPER`), and the
//! children of this process are killed until there are none.
//!
//! Promises: nobody else is hit, as a number is nobody else's for as long as it has not been waited for. Nothing waits for long: a process
//! that waits itself for a device or a dead server cannot be killed by anybody, and that is an error.

use std::io;
use std::mem::MaybeUninit;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;

use plugin_api::scan;
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

/// What a killed process takes to be gone: a few milliseconds, more where it held much memory.
pub const PATIENCE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(1);
/// Bytes of the names in `/proc` that are asked for at a time: some 80.
const NAMES: usize = 2 << 10;
/// The most that is read of a `/proc/PID/stat`, of whose first fields one is looked at; a name has 64 bytes at most.
const STAT_MAX: usize = 256;

/// How commands are kept together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Family {
    /// Each leads a process group.
    Group,
    /// All are children of this process, which has no others.
    Adopted,
}

impl Family {
    /// What is possible here.
    ///
    /// # Errors
    /// The system call's, before Linux 3.4.
    pub fn new() -> io::Result<Family> {
        // No process has this number: what is told is whether one may be asked for it at all.
        let nobody = Pid::from_raw(i32::MAX);
        if rustix::process::setpgid(nobody, nobody) == Err(Errno::PERM) {
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
            return Ok(Family::Adopted);
        }
        Ok(Family::Group)
    }

    /// Starts a command in it.
    ///
    /// # Errors
    /// Those of [`Command::spawn`].
    pub fn spawn(self, command: &mut Command) -> io::Result<Child> {
        if self == Family::Group {
            command.process_group(0);
        }
        command.spawn()
    }

    /// Kills what is left of it. Tells how the command ended: as it did itself, where it had already.
    ///
    /// # Errors
    /// After [`PATIENCE`] some of it is still there.
    pub fn end(self, child: &mut Child) -> io::Result<ExitStatus> {
        let until = Instant::now() + PATIENCE;
        if self == Family::Group {
            // Nobody may be left, which is as well.
            let _ = rustix::process::kill_process_group(pid(child), Signal::KILL);
        }
        child.kill()?;
        let status = wait(until, || child.try_wait())?;
        if self == Family::Adopted {
            wait(until, || match rustix::process::wait(WaitOptions::NOHANG) {
                Err(Errno::CHILD) => Ok(Some(())),
                Err(errno) => Err(errno.into()),
                Ok(Some(_)) => Ok(None),
                Ok(None) => {
                    kill_children()?;
                    Ok(None)
                }
            })?;
        }
        Ok(status)
    }
}

fn wait<T>(until: Instant, mut look: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= until {
            let what = "it was killed and is still there: it waits for a device or a file system that does not answer";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        thread::sleep(PAUSE);
    }
}

/// Kills each child of this process, of whatever thread. Their children are its own then.
///
/// By system calls: the standard library's folders and files are 2 KB of code here.
fn kill_children() -> Result<(), Errno> {
    let own = rustix::process::getpid();
    let open = |at: BorrowedFd<'_>, path: &str| rustix::fs::openat(at, path, OFlags::CLOEXEC, Mode::empty());
    // Not the measured host's: this process's own.
    let proc = open(rustix::fs::CWD, "/proc")?;
    let (mut names, mut stat) = ([MaybeUninit::uninit(); NAMES], [0; STAT_MAX]);
    let mut entries = RawDir::new(&proc, &mut names);
    while let Some(entry) = entries.next() {
        let number = scan::u64(entry?.file_name().to_bytes()).and_then(|number| i32::try_from(number).ok());
        let Some(child) = number.and_then(Pid::from_raw) else { continue };
        let Ok(read) = open(proc.as_fd(), &format!("{child}/stat")).and_then(|file| rustix::io::read(file, &mut stat))
        else {
            continue;
        };
        if parent(&stat[..read]) == Some(own) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
    }
    Ok(())
}

/// The parent's number, of a line of `/proc/PID/stat` (proc_pid_stat(5)): the second field after the name, which may hold anything.
fn parent(stat: &[u8]) -> Option<Pid> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let parent = scan::fields(&stat[end + 1..]).nth(1).and_then(scan::i64)?;
    Pid::from_raw(i32::try_from(parent).ok()?)
}

/// The number of a child.
pub fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_is_found_behind_any_name() {
        assert_eq!(parent(b"7 (a) R (b) S 42 7 7 0"), Pid::from_raw(42));
        assert_eq!(parent(b"7 (kthreadd) S 0 0 0"), None);
        assert_eq!(parent(b"7 (cut"), None);
    }
}
