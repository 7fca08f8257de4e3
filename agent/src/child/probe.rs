//! A probe: a collector that is to come, or to take over from another, is started in a child of its own, read once, and
//! ended. What it says is judged as the schedule would judge it, and thrown away.
//!
//! A probe without a policy is of a collector that will run in the agent: nothing is kept from it here either, as what it
//! cannot do in a sandbox says nothing.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::Frame;

use super::candidate::Candidate;
use super::keep::words;
use super::wire::Task;
use super::{Heard, Start};
use crate::snapshot::aggregate::{UNSAID, brief, status_in};
use crate::snapshot::{Schema, Status};

/// How a probe ended.
#[derive(Debug)]
pub enum Probe {
    /// It can be read: ok, partial or unavailable.
    Passed(Status),
    /// It cannot, and why, in the words that its section would have.
    Failed(String),
    /// It cannot be tried here, and why: this program cannot start children, or there is no more room for processes.
    Omitted(io::Error),
}

/// Starts a collector in a child, reads it once and ends it, all within `patience`. Its log lines and what it prints are
/// logged under its name.
pub fn probe(start: &Start, schema: &Schema, patience: Duration) -> Probe {
    let mut candidate = match Candidate::begin(start, Task::Serve, patience) {
        Ok(candidate) => candidate,
        Err(cause) => return Probe::Omitted(cause),
    };
    let mut frame = Frame::new(start.limits);
    let asked = candidate.ask();
    let heard = loop {
        match candidate.hear(&mut frame) {
            Some(Heard::Said(level, text)) => crate::log::of_collector(&start.name, level, &text),
            heard => break heard,
        }
    };
    let ended = candidate.end();
    match (heard, asked, ended) {
        (Some(Heard::Reading(_)), ..) => judge(&mut frame, schema),
        (Some(Heard::Garbage(what)), ..) => Probe::Failed(format!("killed, as it sent garbage: {what}")),
        // Asked or not, how it died says more.
        (Some(_), _, Ok(status)) => Probe::Failed(match &start.policy {
            Some(policy) => words(status, policy.memory()),
            None => format!("the child died: {status}"),
        }),
        (None, Err(cause), _) => Probe::Failed(format!("killed, as it could not be asked: {cause}")),
        (None, Ok(()), _) => Probe::Failed(format!("no answer for {}", humantime::format_duration(patience))),
        (Some(_), _, Err(cause)) => Probe::Omitted(cause),
    }
}

fn judge(frame: &mut Frame, schema: &Schema) -> Probe {
    Check::default().pass(frame, &schema.shape);
    match status_in(frame) {
        Status::Failed if frame.message().is_empty() => Probe::Failed(UNSAID.into()),
        Status::Failed => Probe::Failed(brief(&String::from_utf8_lossy(frame.message())).to_owned()),
        status => Probe::Passed(status),
    }
}
