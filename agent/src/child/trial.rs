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

use super::candidate::Candidate;
use super::serve::code::PASSED;
use super::wire::Task;
use super::{Heard, Start};

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
    let mut candidate = match Candidate::begin(start, Task::Load, patience) {
        Ok(candidate) => candidate,
        Err(cause) => return Trial::Omitted(cause),
    };
    // Of a library that cannot be loaded, the last line says why.
    let (mut frame, mut last) = (Frame::new(Limits::default()), None);
    let heard = loop {
        match candidate.hear(&mut frame) {
            Some(Heard::Said(_, text)) => last = Some(text),
            heard => break heard,
        }
    };
    let status = candidate.end();
    match (heard, status) {
        (None, _) => Trial::Failed(format!("its constructors hung while it was loaded, for {patience:.1?}")),
        (Some(Heard::Garbage(what)), _) => Trial::Failed(format!("a process that loaded it sent garbage: {what}")),
        (_, Ok(status)) if status.code() == Some(PASSED.into()) => Trial::Passed,
        (_, Ok(status)) => Trial::Failed(last.unwrap_or_else(|| format!("a process that loaded it died: {status}"))),
        (_, Err(cause)) => Trial::Omitted(cause),
    }
}
