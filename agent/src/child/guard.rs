//! A guard: the one process of a child's group that is not the child's, and that ends the group when the agent has died.
//!
//! The kernel's signal at the death of a parent reaches the child, but what the child has started does not inherit it
//! (prctl(2), `PR_SET_PDEATHSIG` is cleared by fork). So a child that may start programs gets this beside it: the same
//! executable, without a plugin, a library or a thread, which sleeps until the agent has ended. While the agent lives, it
//! is the agent that kills the group, and the guard with it. A parent of the child in between would do as well, but the
//! agent's own would be the pidfd and the status of that parent then, and no more the child's.
//!
//! It costs a process of some 0.2 MiB for a child that is granted `exec:`, and none for others. Where the kernel has
//! Landlock's scope of signals (Linux 6.12), the plugin cannot kill it.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, getpgid, getpgrp, getppid, kill_current_process_group, pidfd_open};

use super::cgroup::Cgroup;
use super::serve::code;
use super::{ARG0, PROGRAM, descriptors};

/// Its first argument; the agent's number follows.
pub(super) const MARK: &str = "--perfwatch-guard";

/// Starts the guard of a child, into its process group.
///
/// # Errors
/// Descriptors, processes or memory have run out, or the child has been waited for.
pub(super) fn start(collector: &str, child: u32, cgroup: Option<&Cgroup>) -> io::Result<Child> {
    let group = i32::try_from(child).map_err(io::Error::other)?;
    let kill = cgroup.map_or_else(|| Ok(Stdio::null()), |cgroup| cgroup.killer().map(Stdio::from))?;
    let mut command = Command::new(PROGRAM);
    command.arg0(format!("{ARG0}{collector}")).arg(MARK).arg(std::process::id().to_string());
    command.process_group(group).env_clear();
    command.stdin(kill).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Lives, and gives the exit code where there was nothing to guard.
pub(super) fn live(agent: Option<OsString>) -> u8 {
    let agent = agent.and_then(|agent| agent.to_str()?.parse::<i32>().ok());
    let (Some(agent), Some(parent)) = (agent, getppid()) else { return code::USAGE };
    // Started by hand, it is in the group of whoever did that: a group that is not for it to kill.
    if getpgid(Some(parent)) == Ok(getpgrp()) {
        return code::USAGE;
    }
    // What a careless agent has left open for its children is nothing to keep open for it.
    let _ = descriptors::close_others();
    // First the descriptor, then the look at whose it is: the agent cannot die unseen in between.
    let watched = pidfd_open(parent, PidfdFlags::empty());
    let alive = getppid().is_some_and(|parent| parent.as_raw_pid() == agent);
    if let (Ok(watched), true) = (watched, alive) {
        while poll(&mut [PollFd::new(&watched, PollFlags::IN)], None) == Err(Errno::INTR) {}
    }
    // Where there is a control group, this is how it is killed; else it is /dev/null, opened for reading.
    let _ = rustix::io::write(rustix::stdio::stdin(), b"1");
    // And this process with it.
    let _ = kill_current_process_group(Signal::KILL);
    code::SOFTWARE
}
