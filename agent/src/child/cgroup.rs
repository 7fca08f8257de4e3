//! A control group for a child that may start programs: all of them die at once with it, and share its budget of memory
//! where that can be set. [E cgroup file system]
//!
//! Only version 2, and only below the group that the agent is in, which under systemd is the agent's with `Delegate=`.
//! There, controllers (of memory, of the number of processes) are passed on only below a group that has no process in
//! itself; hence [`LEAF`]. Where there are no groups, or they may not be written, children live without: their process
//! group is killed, which a program cannot leave either, as the sandbox denies setsid and setpgid.
//! Refused: groups outside of the agent's own, and changes to the agent's own, which is somebody else's to configure.
#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What the folders of an agent's groups begin with; its process's number follows, then the collector's name and its child's number.
const PREFIX: &str = "perfwatch-";
/// The group that systemd is told to put the agent itself into (`DelegateSubgroup=`, systemd 254), so that the one above
/// has no process: children's groups are made beside it.
const LEAF: &str = "perfwatch-agent";
/// A group that is killed is empty when its last process has been waited for, by whoever does that: a few milliseconds.
const REMOVALS: u32 = 10;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(2);
/// More processes than any collector has use for.
const PROCESSES_MAX: u32 = 64;

/// The group of one child of a collector.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes the group of this name, whose processes may have so many bytes of memory together.
    ///
    /// # Errors
    /// There is no hierarchy of version 2, or this agent may not make groups in it.
    pub fn make(name: &str, memory: u64) -> io::Result<Cgroup> {
        let own = own()?;
        let parent = parent(&own);
        if parent != own {
            // The agent's alone. Where they are not delegated, the files that are missing below tell.
            for controller in ["+memory", "+pids"] {
                let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
            }
        }
        sweep(parent);
        let folder = parent.join(format!("{PREFIX}{}-{name}", std::process::id()));
        match fs::create_dir(&folder) {
            // What could not be removed of a child before, whose number has come again.
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
        Ok(group)
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
        let _ = self.killer().and_then(|mut file| file.write_all(b"1"));
    }

    /// What kills all that is in it, when `1` is written to it.
    ///
    /// # Errors
    /// It is gone, or there is no such file, before Linux 5.14.
    pub fn killer(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.folder.join("cgroup.kill"))
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

/// Where the groups of its children are made.
fn parent(own: &Path) -> &Path {
    let is_leaf = own.file_name().is_some_and(|name| name == LEAF);
    own.parent().filter(|_| is_leaf).unwrap_or(own)
}

/// The agent's own group in the version 2 hierarchy, where there is one that is mounted.
fn own() -> io::Result<PathBuf> {
    let (groups, mounts) = (fs::read_to_string("/proc/self/cgroup")?, fs::read_to_string("/proc/self/mountinfo")?);
    own_of(&groups, &mounts).ok_or_else(|| io::Error::other("no hierarchy of version 2 is mounted"))
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
        // Outside of what this mount shows, with a namespace in between: `/../x`.
        let is_inside = !below.components().any(|part| part == Component::ParentDir);
        is_inside.then(|| Path::new(at).join(below))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
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
        assert_eq!(own_of("0::/../x\n", hybrid), None);
    }

    #[test]
    fn groups_are_made_beside_the_agents_where_that_is_a_leaf() {
        assert_eq!(parent(Path::new("/c/perfwatch.service")), Path::new("/c/perfwatch.service"));
        assert_eq!(parent(Path::new("/c/perfwatch.service/perfwatch-agent")), Path::new("/c/perfwatch.service"));
    }

    #[test]
    fn groups_of_agents_that_are_gone_are_swept_away() {
        let parent = tempfile::tempdir().unwrap();
        // One more than the largest number of a process (linux/threads.h, `PID_MAX_LIMIT`).
        let names =
            [format!("{PREFIX}4194305-a"), format!("{PREFIX}{}-b", std::process::id()), "other-4194305-c".into()];
        names.iter().for_each(|name| fs::create_dir(parent.path().join(name)).unwrap());
        sweep(parent.path());
        assert_eq!(names.map(|name| parent.path().join(name).exists()), [false, true, true]);
    }

    #[test]
    fn group_dies_with_all_that_its_processes_started() {
        // Where the machine has none, or not for us, there is nothing to see.
        let Ok(group) = Cgroup::make("test", 64 << 20) else { return };
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
