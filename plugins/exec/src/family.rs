//! A command and all that it started: ended as one, and waited for. [E kill, wait]
//!
//! Where it may, a command leads a process group of its own, which is killed whole. In the sandbox of a child nobody may make a group, so
//! that the agent's kill reaches all; there whoever loses his parent becomes a child of this process (`PR_SET_CHILD_SUBREAPER`), and the
//! children of this process are killed until there are none.
//!
//! Promises: nobody else is hit, as a number is nobody else's for as long as it has not been waited for. Nothing waits for long: a process
//! that waits itself for a device or a dead server cannot be killed by anybody, and that is an error.

use std::fs;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

/// What a killed process takes to be gone: a few milliseconds, more where it held much memory.
pub const PATIENCE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(1);

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
                Ok(None) => kill_children().map(|()| None),
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
fn kill_children() -> io::Result<()> {
    let own = rustix::process::getpid();
    // Not the measured host's: this process's own.
    for entry in fs::read_dir("/proc")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else {
            continue;
        };
        let Ok(stat) = fs::read(format!("/proc/{child}/stat")) else { continue };
        if parent(&stat) == Some(own) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
    }
    Ok(())
}

/// The parent's number, of a line of `/proc/PID/stat` (proc_pid_stat(5)): the second field after the name, which may hold anything.
fn parent(stat: &[u8]) -> Option<Pid> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let parent = plugin_api::scan::fields(&stat[end + 1..]).nth(1).and_then(plugin_api::scan::i64)?;
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
