//! One run of a command: from its start until nothing of it is left. [E fork, exec, pipes, poll]
//!
//! Promises: it takes no longer than it may and [`PATIENCE`](super::family::PATIENCE), whatever the command does; of its output at most
//! [`OUTPUT_MAX`] is held, of what it complains [`COMPLAINT_MAX`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use plugin_api::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::PidfdFlags;

use crate::family::{Family, pid};

/// The most that a command may print: as much as 10,000 rows of 100 bytes, which is the most that a reading holds.
pub const OUTPUT_MAX: usize = 1 << 20;
/// The most that is kept of standard error, for one line of it; a traceback has its last line within.
pub const COMPLAINT_MAX: usize = 16 << 10;
/// The most of that line that an error shows.
const LINE_MAX: usize = 400;

/// What is run.
#[derive(Debug)]
pub struct Program {
    path: String,
    command: Command,
    family: Family,
    /// One that was killed and was still there.
    left: Option<Child>,
}

/// How it went.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed to standard output.
    pub output: Vec<u8>,
    /// The line of standard error that says most.
    pub complaint: Option<String>,
}

/// Why a command was not waited for.
enum Stopped {
    Late,
    Flood,
    Broken(io::Error),
}

impl From<Errno> for Stopped {
    fn from(errno: Errno) -> Stopped {
        Stopped::Broken(errno.into())
    }
}

impl Program {
    /// Nothing is run yet.
    ///
    /// # Errors
    /// The path is not absolute, or this kernel cannot keep a command together.
    pub fn new(
        path: String,
        args: &[String],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Program, Error> {
        if !path.starts_with('/') {
            return Err(Error::failed(format!(
                "`program` is `{path}`, which is no absolute path: write the one that `command -v {path}` shows"
            )));
        }
        let mut command = Command::new(&path);
        command.args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let kept = ["PATH", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(kept).envs(environment);
        let family = Family::new()
            .map_err(|cause| Error::failed("could not become the parent of what a command starts").because(cause))?;
        Ok(Program { path, command, family, left: None })
    }

    /// Runs it for at most so long; `longer` says how it gets more.
    ///
    /// # Errors
    /// It could not be run, ran for too long, printed too much, or cannot be ended. Nothing is left of it then, but in the last case.
    pub fn run(&mut self, at_most: Duration, longer: &str) -> Result<Ran, Error> {
        let path = &self.path;
        if let Some(mut left) = self.left.take()
            && let Err(cause) = self.family.end(&mut left)
        {
            self.left = Some(left);
            return Err(Error::failed(format!("could not run {path} again before it has ended")).because(cause));
        }
        let until = Instant::now() + at_most;
        let mut child = self.family.spawn(&mut self.command).map_err(|cause| self.not_run(cause))?;
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        let followed = follow(&mut child, until, &mut output, &mut complaint);
        let status = match self.family.end(&mut child) {
            Ok(status) => status,
            Err(cause) => {
                self.left = Some(child);
                return Err(Error::failed(format!("could not end {path}")).because(cause));
            }
        };
        let complaint = telling(&complaint);
        let said = complaint.as_ref().map(|line| format!("; it said: {line}")).unwrap_or_default();
        match followed {
            Ok(()) => Ok(Ran { status, output, complaint }),
            Err(Stopped::Late) => Err(Error::failed(format!(
                "{path} had run for {} and was killed with all that it started: make it quicker, or {longer}{said}",
                told(at_most)
            ))),
            Err(Stopped::Flood) => Err(Error::failed(format!(
                "{path} was killed, as it printed more than {} MiB: let it print less, or split it into several collectors{said}",
                OUTPUT_MAX >> 20
            ))),
            Err(Stopped::Broken(cause)) => Err(Error::failed(format!("could not follow {path}")).because(cause)),
        }
    }

    fn not_run(&self, cause: io::Error) -> Error {
        let path = &self.path;
        let hint = match cause.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) if Path::new(path).exists() => ": what its first line names behind `#!` is not there",
            Some(Errno::NOEXEC) => ": a script begins with `#!` and its interpreter, as `#!/bin/sh`",
            _ => "",
        };
        let message = format!("could not run {path}{hint}");
        if cause.kind() == io::ErrorKind::PermissionDenied {
            return Error::denied(message).because(cause);
        }
        Error::failed(message).because(cause)
    }
}

/// Reads what it prints until it has ended.
fn follow(child: &mut Child, until: Instant, output: &mut Vec<u8>, complaint: &mut Vec<u8>) -> Result<(), Stopped> {
    let process = rustix::process::pidfd_open(pid(child), PidfdFlags::empty())?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { return Ok(()) };
    for pipe in [out.as_fd(), err.as_fd()] {
        rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
    }
    let (mut is_open, mut is_heard) = (true, true);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Stopped::Late);
        }
        let wait = Timespec::try_from(left).map_err(|_| Errno::RANGE)?;
        // In the place of a pipe that has ended the process is watched twice.
        let of = |(fd, is_open)| if is_open { fd } else { process.as_fd() };
        let watched = [(process.as_fd(), true), (out.as_fd(), is_open), (err.as_fd(), is_heard)].map(of);
        let mut watched = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut watched, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = !watched[0].revents().is_empty();
        // What it printed before it ended is in the pipes; one that a survivor holds open is not waited for.
        is_open = is_open && drain(out.as_fd(), output, OUTPUT_MAX + 1)?;
        is_heard = is_heard && drain(err.as_fd(), complaint, COMPLAINT_MAX)?;
        if output.len() > OUTPUT_MAX {
            return Err(Stopped::Flood);
        }
        if ended {
            return Ok(());
        }
    }
}

/// Takes what is in the pipe, up to `most` together; beyond that it is read and forgotten, a piece a call. Whether more may come.
fn drain(pipe: BorrowedFd<'_>, into: &mut Vec<u8>, most: usize) -> Result<bool, Errno> {
    let mut piece = [0; 16 << 10];
    loop {
        match rustix::io::read(pipe, &mut piece) {
            Ok(0) => return Ok(false),
            Ok(read) => {
                let room = most.saturating_sub(into.len());
                into.extend_from_slice(&piece[..read.min(room)]);
                if room <= read {
                    return Ok(true);
                }
            }
            Err(Errno::AGAIN) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A time as a config has it: nobody sets a timeout finer than a millisecond. `Duration`'s own words are 2 KB of code.
fn told(time: Duration) -> String {
    let millis = time.as_millis() as u64;
    if millis.is_multiple_of(1000) { format!("{}s", millis / 1000) } else { format!("{millis}ms") }
}

/// The line that says most: the first, but of a traceback of Python's the last.
fn telling(complaint: &[u8]) -> Option<String> {
    let mut lines = complaint.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let line = if first.starts_with(b"Traceback ") { lines.next_back().unwrap_or(first) } else { first };
    let mut line = String::from_utf8_lossy(line).into_owned();
    if let Some((end, _)) = line.char_indices().nth(LINE_MAX) {
        line.truncate(end);
    }
    Some(line)
}

#[cfg(test)]
mod tests;
