//! Takes over what a child inherited: the socket, the library, and nothing else. [E dup2, close_range]
//!
//! Promises: afterwards descriptor 0 is empty and 1 and 2 are a pipe to the agent's log, so that nothing a plugin reads
//! or prints meets the protocol; what the agent's program, or what started it, left open by mistake is closed. Runs
//! before anything else of the process opens a descriptor.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_uint};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// First of those that are no standard stream.
const FIRST: c_uint = 3;
/// close_range(2), Linux 5.9, has this number on every architecture with 64 bits that Rust and glibc know.
const CLOSE_RANGE: c_long = 436;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn close(descriptor: c_int) -> c_int;
}

/// Gives the socket and the library, which are descriptors 0 and 1, under other numbers and closed on exec.
///
/// # Errors
/// They are not there, or descriptors have run out.
pub(super) fn take() -> io::Result<(OwnedFd, OwnedFd)> {
    close_others()?;
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), FIRST as c_int)?;
    let library = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), FIRST as c_int)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((socket, library))
}

/// Closes all but the standard streams.
///
/// # Errors
/// An older kernel has to be asked which there are, and does not tell.
pub(super) fn close_others() -> io::Result<()> {
    // SAFETY: the arguments are the three that close_range(2) takes. It touches no memory. What it closes, nothing of
    // this process refers to: it has run no code of its own but what brought it here, which opens nothing that it keeps.
    let closed = unsafe { syscall(CLOSE_RANGE, FIRST, c_uint::MAX, 0 as c_uint) };
    if closed == 0 {
        return Ok(());
    }
    // An older kernel, or a filter around the agent that does not know the call.
    let mut inherited = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        inherited.extend(entry?.file_name().to_str().and_then(|name| name.parse::<c_int>().ok()));
    }
    for descriptor in inherited.into_iter().filter(|&descriptor| descriptor >= FIRST as c_int) {
        // SAFETY: as above. One of them was the folder's own and is closed by now: that is an error, and nothing else.
        let _closed = unsafe { close(descriptor) };
    }
    Ok(())
}
