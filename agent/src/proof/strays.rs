//! What a plugin leaves running: its processes are this one's once their parent is dead, and are ended. [E prctl, kill, wait]
//!
//! A child without a sandbox may fork as it likes, and what leaves its process group (setsid(2), a daemon) is not hit when that is killed.
//! Promises: after [`end`] no process of it is left, but for one that the kernel cannot kill or that forks faster than it is killed, which
//! [`PATIENCE`] bounds. Nothing else in this process may have children meanwhile.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, wait};

/// How long they are killed and waited for. A thousand take a tenth of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// How many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Processes that had ended and were not waited for, or had to be killed.
    pub all: u64,
    /// Those among them that had left their process group, and ran on when that was killed.
    pub away: u64,
}

/// From now on whatever loses its parent below this process is a child of it.
///
/// # Errors
/// The kernel refuses it.
pub fn adopt() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Ends what is left of the child that led this process group and has been waited for.
pub fn end(group: u32) -> Left {
    let (until, mut left, mut away) = (Instant::now() + PATIENCE, Left::default(), BTreeSet::new());
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => left.all += 1,
            Ok(None) if Instant::now() < until => {
                away.extend(kill().into_iter().filter(|(_, its)| *its != group).map(|(process, _)| process));
                thread::sleep(PAUSE);
            }
            // Nobody is left, or can be ended.
            Ok(None) | Err(_) => break,
        }
    }
    left.away = away.len() as u64;
    left
}

/// Kills the children of this process: their numbers and their groups'.
pub fn kill() -> Vec<(u32, u32)> {
    let children = children();
    for (process, _) in &children {
        // Whose number is another's by now is not ours, and whoever has ended need not be killed.
        let pid = i32::try_from(*process).ok().and_then(Pid::from_raw);
        if let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty()))
            && parent_and_group(*process).is_some_and(|(parent, _)| parent == std::process::id())
        {
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
        }
    }
    children
}

/// The children that run, with their groups: nobody waits for the others here.
fn children() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter_map(|process| {
            let (parent, group) = parent_and_group(process)?;
            (parent == std::process::id()).then_some((process, group))
        })
        .collect()
}

/// proc_pid_stat(5): behind the name, which may hold any character, come the state, the parent and the group. None of what has ended.
fn parent_and_group(process: u32) -> Option<(u32, u32)> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    let name_ends = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_ends + 1..]).ok()?;
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?;
    let (parent, group) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (!matches!(state, "Z" | "X")).then_some((parent, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_knows_its_parent_and_group() {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_pid() as u32);
        let group = rustix::process::getpgrp().as_raw_pid() as u32;
        assert_eq!(parent_and_group(std::process::id()), Some((parent.unwrap(), group)));
    }
}
