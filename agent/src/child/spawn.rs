//! Starts a child. [E socketpair, fork, exec, pidfd]
//!
//! Promises: the child gets its end of the socket, the library and a pipe to print into, and of the agent's environment what
//! is in [`KEPT`] (and [`testcase::UPDATE`] for a testcase); nothing else. What it has to know is in the socket when this returns, and nothing here waits for it.
//! On an error nothing is left over: no process, no descriptor.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use plugin_api::host_side::frame::Limits;
use plugin_api::host_side::testcase;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

use tracing::level_filters::LevelFilter;

use super::wire::{self, SET_UP_BYTES_MAX, SetUp, Task};
use super::{ARG0, Family, PROGRAM, Policy, Printed, can_spawn};
use crate::plugin::known::Loadable;

/// Of the environment, what a program needs to find others and to speak its user's language. Secrets stay with the agent.
const KEPT: [&str; 6] = ["PATH", "LANG", "LANGUAGE", "TZ", "RUST_BACKTRACE", "LD_LIBRARY_PATH"];

/// All that it takes to start a child, any number of times.
#[derive(Clone, Debug)]
pub struct Start {
    /// The collector's configured name.
    pub name: String,
    /// The library in the form in which it is mapped.
    pub library: Arc<Loadable>,
    /// The collector's options, a JSON text.
    pub options: String,
    /// Where the measured host is mounted.
    pub host_root: PathBuf,
    /// How much a reading may hold.
    pub limits: Limits,
    /// What it may touch. None for one that is looked at once, of a library that is to run in the agent, where nothing is kept from it.
    pub policy: Option<Policy>,
    /// The most verbose log lines that are wanted.
    pub log_level: tracing::Level,
}

/// A child.
#[derive(Debug)]
pub struct Born {
    /// The process, with what it starts.
    pub family: Family,
    /// The agent's end of its socket, for a [`super::Line`].
    pub socket: OwnedFd,
    /// The agent's end of what it prints, to be read for as long as it lives: else it waits when it prints.
    pub printed: Printed,
}

/// Starts a child. The thread that calls this has to live as long as the child may: the signal that ends it with its parent follows the
/// thread (prctl(2), `PR_SET_PDEATHSIG`).
///
/// # Errors
/// Descriptors, processes or memory have run out, the options are too long, or this program cannot start children.
pub fn spawn(start: &Start) -> io::Result<Born> {
    begin(start, Task::Serve, |_| Ok(()))
}

/// The same, of a child for any task; `watch` has its number before it does anything.
pub(super) fn begin(start: &Start, task: Task, watch: impl FnOnce(u32) -> io::Result<()>) -> io::Result<Born> {
    can_spawn()?;
    let set_up = set_up(start, &task)?;
    let (socket, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let (printed, prints) = Printed::pipe(&start.name)?;
    let library = start.library.as_fd().try_clone_to_owned()?;
    let mut command = Command::new(PROGRAM);
    command.arg0(format!("{ARG0}{}", start.name)).arg(super::MARK).process_group(0);
    command.stdin(theirs).stdout(library).stderr(prints);
    // A testcase may be there to be written.
    let is_case = matches!(task, Task::Testcase(_));
    let kept = |name: &OsStr| is_kept(name) || is_case && name == testcase::UPDATE;
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| kept(name)));
    let mut family = Family::of(command.spawn()?)?;
    // Until it has read its set-up it does nothing, so that all it ever starts is born where it is put here.
    let grown = match &start.policy {
        Some(policy) if policy.runs_programs() => family.may_grow(&start.name, policy.memory()),
        _ => Ok(()),
    };
    match grown.and_then(|()| watch(family.id())).and_then(|()| tell(&socket, &set_up)) {
        Ok(()) => Ok(Born { family, socket, printed }),
        Err(cause) => {
            family.end()?;
            Err(cause)
        }
    }
}

fn set_up(start: &Start, task: &Task) -> io::Result<Vec<u8>> {
    let Limits { rows, cells, text, notes } = start.limits;
    let set_up = SetUp {
        task: task.clone(),
        name: start.name.clone(),
        options: start.options.clone(),
        host_root: start.host_root.clone(),
        limits: [rows, cells, text, notes],
        policy: start.policy.clone(),
        // What is wanted may have become more since.
        log_level: LevelFilter::current()
            .into_level()
            .map_or(start.log_level, |now| now.max(start.log_level))
            .to_string(),
        agent: std::process::id(),
    };
    wire::set_up(&set_up).map_err(io::Error::other)
}

/// Writes the set-up into the socket, where it waits.
fn tell(socket: &OwnedFd, set_up: &[u8]) -> io::Result<()> {
    // The kernel takes twice that, for what it needs itself, as far as net.core.wmem_max allows.
    rustix::net::sockopt::set_socket_send_buffer_size(socket, SET_UP_BYTES_MAX)?;
    match rustix::net::send(socket, set_up, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)? {
        sent if sent == set_up.len() => Ok(()),
        sent => Err(io::Error::other(format!(
            "its options and its sandbox have {} bytes together, of which a socket takes {sent} here (net.core.wmem_max): shorten the options, or use isolation = \"none\"",
            set_up.len()
        ))),
    }
}

fn is_kept(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| KEPT.contains(&name) || name.starts_with("LC_"))
}
