//! A trial: a library that is to be loaded into the agent is loaded in a child first, which then ends.
//!
//! Its constructors run inside dlopen, and one that hangs there holds the dynamic loader's lock, which the agent's own
//! threads need: to load, to start, and for their first thread-local value (`__cxa_thread_atexit_impl` of glibc takes it).
//! No thread of the agent could be kept from it, so it has to be seen elsewhere. 5 ms a library, once, at the start;
//! what comes with the agent is not tried, and what has run in a child was.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use plugin_api::host_side::frame::{Frame, Limits};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::serve::code::PASSED;
use super::{Born, Family, Heard, Line, Printed, Start, spawn};
use crate::schedule::clock;

/// How a trial ended.
#[derive(Debug)]
pub enum Trial {
    /// It can be loaded.
    Passed,
    /// It cannot, and why.
    Failed(String),
    /// It cannot be tried here, and why: this program cannot start children, or there is no more room for processes.
    Omitted(io::Error),
}

/// Loads the library of `start`, which has no policy, in a child, `patience` at most.
pub fn trial(start: &Start, patience: Duration) -> Trial {
    let Born { mut family, socket, mut printed } = match spawn(start) {
        Ok(born) => born,
        Err(cause) => return Trial::Omitted(cause),
    };
    let in_time = ends_within(&family, &mut printed, patience);
    let status = family.end();
    printed.log_last(clock::mono());
    if !in_time {
        return Trial::Failed(format!("its constructors hung while it was loaded, for {patience:.1?}"));
    }
    match status {
        Ok(status) if status.code() == Some(PASSED.into()) => Trial::Passed,
        Ok(status) => Trial::Failed(said(socket).unwrap_or_else(|| format!("a process that loaded it died: {status}"))),
        Err(cause) => Trial::Omitted(cause),
    }
}

fn ends_within(family: &Family, printed: &mut Printed, patience: Duration) -> bool {
    let until = clock::mono().plus(patience);
    loop {
        let now = clock::mono();
        let left = printed.rests(now).unwrap_or(until).min(until).since(now);
        let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        let mut watched = vec![PollFd::new(family, PollFlags::IN)];
        let pipe = printed.listens(now);
        watched.extend(pipe.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        if !matches!(poll(&mut watched, Some(&left)), Ok(_) | Err(Errno::INTR)) {
            return false;
        }
        let mut ready = watched.iter().map(|watched| !watched.revents().is_empty());
        let (has_ended, has_printed) = (ready.next() == Some(true), ready.next() == Some(true));
        if has_ended || now >= until {
            return has_ended;
        }
        if has_printed {
            printed.log(clock::mono());
        }
    }
}

/// Why it could not be loaded, in the words of the last line that came.
fn said(socket: std::os::fd::OwnedFd) -> Option<String> {
    let (mut line, mut frame) = (Line::new(socket, Limits::default()), Frame::new(Limits::default()));
    let mut last = None;
    while let Heard::Said(_, text) = line.hear(&mut frame) {
        last = Some(text);
    }
    last
}
