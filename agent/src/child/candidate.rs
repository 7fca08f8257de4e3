//! A child that is looked at and then ended: by a [trial](super::trial()), a [probe](super::probe()) or a
//! [rehearsal](crate::proof).
//!
//! Promises: no wait is longer than the patience that it was last given; what the child prints is heard meanwhile; after
//! [`Candidate::end`], which every way out comes to, there is no process and no descriptor of it.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use plugin_api::Level;
use plugin_api::host_side::frame::Frame;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::spawn::begin;
use super::wire::Task;
use super::{Born, Family, Heard, Line, Printed, Start};
use crate::schedule::clock;
use crate::snapshot::Mono;

/// What is done with a line that the child prints.
pub type Print = Box<dyn FnMut(&str)>;

/// The child.
pub struct Candidate {
    family: Family,
    line: Line,
    printed: Printed,
    print: Print,
    until: Mono,
    /// Its socket has ended, which it may have closed by itself and live on.
    is_mute: bool,
    has_ended: bool,
}

impl Candidate {
    /// Starts it, and logs what it prints. The patience begins.
    pub(super) fn begin(start: &Start, task: Task, patience: Duration) -> io::Result<Candidate> {
        let name = start.name.clone();
        let print = Box::new(move |text: &str| crate::log::of_collector(&name, Level::Warn, text));
        Candidate::watched(start, task, patience, print, |_| Ok(()))
    }

    /// Starts it; `watch` has its number before it does anything.
    ///
    /// # Errors
    /// It could not be started, or not be watched.
    pub fn watched(
        start: &Start,
        task: Task,
        patience: Duration,
        print: Print,
        watch: impl FnOnce(u32) -> io::Result<()>,
    ) -> io::Result<Candidate> {
        let until = clock::mono().plus(patience);
        let Born { family, socket, printed } = begin(start, task, watch)?;
        let line = Line::new(socket, start.limits);
        Ok(Candidate { family, line, printed, print, until, is_mute: false, has_ended: false })
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.family.id()
    }

    /// Begins the patience anew.
    pub fn wait_until(&mut self, patience: Duration) {
        self.until = clock::mono().plus(patience);
    }

    /// Asks for a reading.
    ///
    /// # Errors
    /// As of [`Line::ask`].
    pub fn ask(&mut self) -> io::Result<()> {
        self.line.ask(self.until.since(clock::mono()))
    }

    /// Waits for the next thing from it: never [`Heard::Nothing`], and [`Heard::Gone`] when the process has ended and all that
    /// it said was heard. None when the patience is over.
    pub fn hear(&mut self, frame: &mut Frame) -> Option<Heard> {
        loop {
            match self.line.hear(frame) {
                Heard::Gone => self.is_mute = true,
                Heard::Nothing => {}
                heard => return Some(heard),
            }
            if self.has_ended {
                return Some(Heard::Gone);
            }
            if !self.wait() {
                return None;
            }
        }
    }

    /// Waits until it has ended, said or printed something, and hears the latter. False when the patience is over.
    fn wait(&mut self) -> bool {
        let now = clock::mono();
        let left = self.printed.rests(now).unwrap_or(self.until).min(self.until).since(now);
        let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        let pipe = self.printed.listens(now);
        let line = Some(&self.line).filter(|_| !self.is_mute);
        let mut watched = vec![PollFd::new(&self.family, PollFlags::IN)];
        watched.extend(pipe.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        watched.extend(line.map(|line| PollFd::new(line, PollFlags::IN)));
        if !matches!(poll(&mut watched, Some(&left)), Ok(_) | Err(Errno::INTR)) {
            return false;
        }
        self.has_ended = !watched[0].revents().is_empty();
        if pipe.is_some() && !watched[1].revents().is_empty() {
            self.printed.hear(clock::mono(), &mut self.print);
        }
        self.has_ended || now < self.until
    }

    /// Kills it, and leaves it to be waited for.
    pub fn kill(&self) {
        self.family.kill();
    }

    /// Ends it, and tells how it has ended.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn end(mut self) -> io::Result<ExitStatus> {
        let status = self.family.end();
        self.printed.hear_last(clock::mono(), &mut self.print);
        status
    }
}
