//! A control group for a child that may start programs: all of them die at once with it, and share its budget of memory
//! where that can be set. [E cgroup file system]
//!
//! Only version 2, and only below the group that the agent is in: under systemd that is what `Delegate=yes` gives it.
//! Where there is none, or it may not be written, children live without: their process group is killed, which a program
//! cannot leave either, as the sandbox denies setsid and setpgid.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What the folders of an agent's groups begin with; its process's number follows, then the collector's name.
const PREFIX: &str = "perfwatch-";
/// A group that is killed is empty when its last process has been waited for, by whoever does that: a few milliseconds.
const REMOVALS: u32 = 10;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(2);
/// More processes than any collector has use for.
const PROCESSES_MAX: u32 = 64;

/// The group of one collector's children.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes the group of a collector. None where there are no groups to be had.
    ///
    /// # Errors
    /// There is a hierarchy, and it cannot be written.
    pub fn make(collector: &str, memory: u64) -> io::Result<Option<Cgroup>> {
        let Some(parent) = own()? else { return Ok(None) };
        sweep(&parent);
        let folder = parent.join(format!("{PREFIX}{}-{collector}", std::process::id()));
        match fs::create_dir(&folder) {
            // What was left of the child before.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let group = Cgroup { folder };
        // There only where these controllers are passed on to groups below the agent's.
        for (file, limit) in [("memory.max", memory), ("pids.max", u64::from(PROCESSES_MAX))] {
            match fs::write(group.folder.join(file), limit.to_string()) {
                Err(cause)
                    if cause.kind() != io::ErrorKind::NotFound && cause.kind() != io::ErrorKind::PermissionDenied =>
                {
                    return Err(cause);
                }
                _ => {}
            }
        }
        Ok(Some(group))
    }

    /// Moves a process into it; what that starts is born there.
    ///
    /// # Errors
    /// The process has ended, or may not be moved.
    pub fn add(&self, process: u32) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), process.to_string())
    }

    /// Kills all that is in it (Linux 5.14).
    pub fn kill(&self) {
        // Where the file is missing the process group has to do.
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.kill();
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    for _ in 0..REMOVALS {
        match fs::remove_dir(folder) {
            Err(cause) if cause.kind() == io::ErrorKind::ResourceBusy => thread::sleep(BETWEEN_REMOVALS),
            // Gone; or not to be removed, and then the next agent tries.
            _ => return,
        }
    }
}

/// Kills what agents that are no longer there left behind.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let agent = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if agent.is_some_and(|agent| !Path::new("/proc").join(agent.to_string()).exists()) {
            drop(Cgroup { folder: entry.path() });
        }
    }
}

/// The agent's own group in the version 2 hierarchy, where there is one that is mounted.
fn own() -> io::Result<Option<PathBuf>> {
    let (groups, mounts) = (fs::read_to_string("/proc/self/cgroup")?, fs::read_to_string("/proc/self/mountinfo")?);
    Ok(own_of(&groups, &mounts))
}

/// The same of the texts of cgroups(7) and of proc_pid_mountinfo(5).
fn own_of(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, at) = (place.next()?, place.next()?);
        let is_unified = kind.split(' ').next() == Some("cgroup2");
        let below = Path::new(group).strip_prefix(root).ok().filter(|_| is_unified)?;
        Some(Path::new(at).join(below))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::Stdio;

    use super::*;

    #[test]
    fn own_group_is_below_the_unified_mount() {
        let hybrid = "30 1 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      31 1 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/x\n0::/system.slice/perfwatch.service\n";
        let own = own_of(groups, hybrid).unwrap();
        assert_eq!(own, Path::new("/sys/fs/cgroup/unified/system.slice/perfwatch.service"));
        let container = "31 1 0:27 /docker/a /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(own_of("0::/docker/a/b\n", container).unwrap(), Path::new("/sys/fs/cgroup/b"));
        assert_eq!(own_of("0::/elsewhere\n", container), None);
        assert_eq!(own_of("4:memory:/x\n", hybrid), None);
    }

    #[test]
    fn group_dies_with_all_that_its_processes_started() {
        let Ok(Some(group)) = Cgroup::make("test", 64 << 20) else {
            assert!(std::env::var_os("CI").is_none() || own().is_ok_and(|own| own.is_none()), "no group is to be had");
            return;
        };
        let folder = group.folder.clone();
        // It starts the others when it is in the group.
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "read go; sleep 1000 & echo $!; exec sleep 1000"]);
        let mut process = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        group.add(process.id()).unwrap();
        process.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let mut other = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut other).unwrap();
        drop(group);
        assert!(!process.wait().unwrap().success());
        let status = fs::read_to_string(format!("/proc/{}/stat", other.trim())).unwrap_or_default();
        assert!(status.is_empty() || status.contains(") Z "), "{status}");
        // Its last process may not have been waited for yet.
        remove(&folder);
        assert!(!folder.exists());
    }
}
