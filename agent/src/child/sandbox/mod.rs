//! What a child may do: least privilege, drawn before the library is loaded, so that its constructors run inside it.
//!
//! A [`Policy`] is plain data, computed in the agent from the manifest's `reads`, the options, the operator's `grant` and where the
//! plugin is from; it crosses to the child as JSON, and the child draws it on itself, in this order:
//!
//! 1. `no_new_privs`: no program that is run gets more rights than the child has.
//! 2. Limits of resources (`limits.rs`): memory, descriptors, no core dumps.
//! 3. Landlock (`landlock.rs`): reading what is granted and what every program needs; writing granted devices; executing granted
//!    programs; connecting to granted TCP ports; no signals and no abstract sockets to the outside.
//! 4. Capabilities (`rights.rs`): none but the granted.
//! 5. A filter of system calls (`filter.rs`): no network, no program, no process, no write, no signal to others, unless granted.
//!
//! Then the library is loaded, and [`Policy::narrow`] forbids new executable memory.
//!
//! Promises: a refusal is an errno that a plugin can report (`EACCES` what is not granted, `EROFS` what would write, `EPERM` the rest),
//! never a signal, but for system calls of another architecture; threads, `getaddrinfo` (with a TCP grant), `malloc` and `abort` work.
//!
//! Refuses to be more than it is:
//! - `/proc` is granted whole and `/sys/devices` with its entrances whenever anything of `/sys` is: rules on single files of procfs are
//!   lost when the kernel drops its caches, since the inode is new then. The finer list of `reads` is advice there.
//! - Landlock lets nobody into `/proc/PID/{environ,io,maps,smaps,…}` of processes outside, whatever capability is granted: what needs
//!   them runs with `isolation = "none"`.
//! - A rule is about the file that was there when it was drawn. A file that is replaced by a new one of the same name is read by
//!   granting its folder.
//! - `stat` and `readlink` of any path are no reading: Landlock has no word for them.
//! - With a TCP grant UDP goes anywhere: names must resolve, and neither Landlock before Linux 7.2 nor a filter can tell addresses.
//! - A grant of one Unix socket is a grant of all that have a path, before Linux 7.1; file permissions still hold.
//! - `exec:` grants a program, or all of a folder, and of a script its interpreter (`programs.rs`). What that program does is bounded by the
//!   same sandbox and by nothing else.
//! - Memory that is shared (`MAP_SHARED`) does not count for the limit of memory; the resident size, which the agent watches, has it.
//!
//! Drawing costs 1.1 ms once (0.7 the filter, 0.3 Landlock, 0.1 the rest: a release build, Linux 6.18, 2 virtual CPUs of an EPYC); then an
//! `open` 1.6 µs more (4.0 before), of which Landlock has 1.2, and a `pread` of an open file 0.04.
//!
//! Where the kernel lacks something, [`Policy::draw`] says so and goes on with the rest, or refuses where `agent.sandbox = "require"`.
//! `PERFWATCH_SANDBOX_WITHOUT` ([`Without`]) in the agent's environment makes it behave as on such a kernel.
#![forbid(unsafe_code)]

mod calls;
mod explain;
mod filter;
mod landlock;
mod limits;
mod needs;
mod policy;
mod programs;
mod rights;
#[cfg(test)]
mod tests;
mod without;

use std::os::fd::BorrowedFd;
use std::{error, fmt, io};

use rustix::process::{Pid, getpid, getppid};

pub use policy::{Policy, Terms};
pub use without::{VARIABLE, Without};

/// Why a sandbox could not be drawn.
#[derive(Debug)]
#[non_exhaustive]
pub enum SandboxError {
    /// The kernel lacks something, and `agent.sandbox = "require"`.
    Lacking(Vec<String>),
    /// `no_new_privs`, a limit or the capabilities could not be set.
    Set(&'static str, io::Error),
    /// Landlock refused the rules.
    Landlock(::landlock::RulesetError),
    /// The filter could not be made.
    Compile(seccompiler::BackendError),
    /// The filter could not be installed.
    Install(seccompiler::Error),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SandboxError::Lacking(lacks) => {
                write!(f, "the sandbox is required and this kernel cannot draw all of it: {}", lacks.join("; "))?;
                f.write_str(" (`agent.sandbox = \"available\"` goes on with the rest)")
            }
            SandboxError::Set(what, _) => write!(f, "could not set {what}"),
            SandboxError::Landlock(_) => f.write_str("could not draw the Landlock rules"),
            SandboxError::Compile(_) => f.write_str("could not make the filter of system calls"),
            SandboxError::Install(_) => f.write_str("could not install the filter of system calls"),
        }
    }
}

impl error::Error for SandboxError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            SandboxError::Lacking(_) => None,
            SandboxError::Set(_, cause) => Some(cause),
            SandboxError::Landlock(cause) => Some(cause),
            SandboxError::Compile(cause) => Some(cause),
            SandboxError::Install(cause) => Some(cause),
        }
    }
}

impl Policy {
    /// Draws the sandbox on the calling thread, and on all that it will start; limits and what is told are of the whole process. Before
    /// the library is loaded, and while there is one thread. For good.
    ///
    /// `library` is read whatever its path, as it is loaded through its descriptor. What this kernel lacks comes back in words, one text
    /// for each.
    ///
    /// # Errors
    /// Something that the kernel has was refused; or it lacks something and all is required. The process must not go on then.
    pub fn draw(&self, library: Option<BorrowedFd<'_>>) -> Result<Vec<String>, SandboxError> {
        let set = |what| move |errno: rustix::io::Errno| SandboxError::Set(what, errno.into());
        rustix::thread::set_no_new_privs(true).map_err(set("no_new_privs"))?;
        limits::draw(self.memory, self.descriptors).map_err(set("a limit"))?;
        let mut lacks = landlock::draw(self, library).map_err(SandboxError::Landlock)?;
        lacks.extend(rights::draw(self).map_err(set("the capabilities"))?);
        lacks.extend(if self.without.seccomp {
            Some(filter::lack())
        } else {
            filter::draw(self, getpid(), getppid().unwrap_or(Pid::INIT))?
        });
        if self.required && !lacks.is_empty() { Err(SandboxError::Lacking(lacks)) } else { Ok(lacks) }
    }

    /// Forbids new executable memory, on all threads, as the library's constructors may have started some: after the library is loaded.
    /// Nothing happens where a program or network is granted (glibc loads more libraries to resolve names), or without seccomp.
    ///
    /// # Errors
    /// The filter was refused, or a thread has drawn another one of its own. The process must not go on then.
    pub fn narrow(&self) -> Result<(), SandboxError> {
        if self.without.seccomp || !self.programs.is_empty() || !self.ports.is_empty() {
            return Ok(());
        }
        filter::narrow()
    }
}
