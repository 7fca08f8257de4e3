//! What a child prints, as lines of the agent's log under the collector's name. [E pipe, read]
//!
//! A plugin prints what it should log, a panic its backtrace, glibc its last words before an abort. An operator wants to
//! know whose words they are, and a log of JSON objects has to stay one. The agent's own standard error is nothing to
//! give to a child: it is one open file for both, whose offset and `O_NONBLOCK` the child could set, and which it could fill.
//!
//! Promises: a child that prints waits for [`REST`] at most; the keeper, whose thread reads this, wakes for it a hundred
//! times a second at most, and never while nothing is printed; of a flood [`LINES_MAX`] lines are told, and how many more
//! there were with the next line that is, or at the end. A pipe costs 1 KiB in the kernel, and the agent a descriptor.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use plugin_api::Level;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::snapshot::Mono;

/// Of a line; the rest of it is cut. A symbol in a backtrace rarely has more.
const LINE_BYTES: usize = 1024;
/// The most lines in [`WITHIN`]: a backtrace of 60 frames has 120.
const LINES_MAX: u32 = 128;
const WITHIN: Duration = Duration::from_secs(10);
/// After some was read, no more is for so long.
const REST: Duration = Duration::from_millis(10);
const READ_BYTES: usize = 4 << 10;
/// Reads at a time: all that a pipe holds.
const READS_MAX: usize = 16;

/// The agent's end of what a child prints into.
#[derive(Debug)]
pub struct Printed {
    collector: String,
    /// None at its end.
    pipe: Option<OwnedFd>,
    /// What has no end yet.
    line: Vec<u8>,
    rests_until: Mono,
    /// Since when lines are counted.
    since: Mono,
    lines: u32,
    untold: u64,
}

impl Printed {
    /// It, and the end of the collector's child.
    ///
    /// # Errors
    /// Descriptors have run out.
    pub(super) fn pipe(collector: &str) -> io::Result<(Printed, OwnedFd)> {
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        // Of this end alone: a child that prints has to wait, as programs take it for an error if they cannot.
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let (pipe, collector, zero) = (Some(pipe), collector.to_owned(), Mono(0));
        let printed =
            Printed { collector, pipe, line: Vec::new(), rests_until: zero, since: zero, lines: 0, untold: 0 };
        Ok((printed, theirs))
    }

    /// What becomes readable when something was printed; none while there is nothing to wait for.
    pub fn listens(&self, now: Mono) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().filter(|_| self.rests_until <= now).map(AsFd::as_fd)
    }

    /// Until when it does not listen.
    pub fn rests(&self, now: Mono) -> Option<Mono> {
        self.pipe.as_ref().filter(|_| self.rests_until > now).map(|_| self.rests_until)
    }

    /// Logs what was printed.
    pub fn log(&mut self, now: Mono) {
        let collector = std::mem::take(&mut self.collector);
        self.hear(now, &mut |text| crate::log::of_collector(&collector, Level::Warn, text));
        self.collector = collector;
    }

    /// Logs the last of it: the child is dead, and all that it has started.
    pub fn log_last(&mut self, now: Mono) {
        let collector = std::mem::take(&mut self.collector);
        self.hear_last(now, &mut |text| crate::log::of_collector(&collector, Level::Warn, text));
    }

    /// Hears what was printed.
    pub(super) fn hear(&mut self, now: Mono, say: &mut dyn FnMut(&str)) {
        self.rests_until = now.plus(REST);
        let mut bytes = [0; READ_BYTES];
        for _ in 0..READS_MAX {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut bytes) {
                Ok(read @ 1..) => self.take(&bytes[..read], now, say),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // Nobody can print any more.
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
    }

    /// Hears the last of it: the child is dead, and all that it has started.
    pub(super) fn hear_last(&mut self, now: Mono, say: &mut dyn FnMut(&str)) {
        self.hear(now, say);
        self.pipe = None;
        self.end_line(now, say);
        self.tell_untold(say);
    }

    fn take(&mut self, bytes: &[u8], now: Mono, say: &mut dyn FnMut(&str)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_BYTES - self.line.len();
            self.line.extend(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                self.end_line(now, say);
            }
        }
    }

    fn end_line(&mut self, now: Mono, say: &mut dyn FnMut(&str)) {
        if now.since(self.since) >= WITHIN {
            self.tell_untold(say);
            (self.since, self.lines) = (now, 0);
        }
        let is_blank = self.line.trim_ascii().is_empty();
        if !is_blank && self.lines == LINES_MAX {
            self.untold += 1;
        } else if !is_blank {
            self.lines += 1;
            say(String::from_utf8_lossy(&self.line).trim_end());
        }
        self.line.clear();
    }

    fn tell_untold(&mut self, say: &mut dyn FnMut(&str)) {
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            say(&format!("{untold} more lines were printed and are not told"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    fn pipe() -> (Printed, File) {
        let (printed, theirs) = Printed::pipe("mock").unwrap();
        (printed, theirs.into())
    }

    fn heard(printed: &mut Printed, second: u64) -> Vec<String> {
        let mut said = Vec::new();
        printed.hear(Mono(second * 1_000_000_000), &mut |text| said.push(text.to_owned()));
        said
    }

    fn last(mut printed: Printed) -> Vec<String> {
        let mut said = Vec::new();
        printed.hear_last(Mono(u64::MAX / 2), &mut |text| said.push(text.to_owned()));
        said
    }

    #[test]
    fn lines_are_told_whole_however_they_come_and_the_last_without_an_end() {
        let (mut printed, mut child) = pipe();
        assert_eq!(heard(&mut printed, 20), [""; 0]);
        child.write_all(b"\none\n two \r\nthr").unwrap();
        assert_eq!(heard(&mut printed, 20), ["one", " two"]);
        child.write_all(b"ee\n\xff\nlast").unwrap();
        assert_eq!(heard(&mut printed, 20), ["three", "\u{fffd}"]);
        assert_eq!(last(printed), ["last"]);
    }

    #[test]
    fn line_is_cut_and_the_next_one_is_whole() {
        let (mut printed, mut child) = pipe();
        child.write_all(format!("{}\nnext\n", "x".repeat(10_000)).as_bytes()).unwrap();
        assert_eq!(heard(&mut printed, 20), [&"x".repeat(LINE_BYTES), "next"]);
    }

    #[test]
    fn flood_is_cut_counted_and_over_after_a_while() {
        let (mut printed, mut child) = pipe();
        for second in [20, 29] {
            child.write_all("flood\n".repeat(100).as_bytes()).unwrap();
            assert_eq!(heard(&mut printed, second).len(), if second == 20 { 100 } else { 28 });
        }
        child.write_all(b"calm\n").unwrap();
        assert_eq!(heard(&mut printed, 30), ["72 more lines were printed and are not told", "calm"]);
        child.write_all("flood\n".repeat(130).as_bytes()).unwrap();
        assert_eq!(heard(&mut printed, 31).len(), 127);
        // The end is no line.
        let mut said = Vec::new();
        printed.hear_last(Mono(31_000_000_000), &mut |text| said.push(text.to_owned()));
        assert_eq!(said, ["3 more lines were printed and are not told"]);
    }

    #[test]
    fn it_rests_after_it_heard_something_and_for_good_when_nobody_can_print() {
        let (mut printed, child) = pipe();
        let at = |millisecond: u64| Mono(20_000_000_000 + millisecond * 1_000_000);
        assert!(printed.listens(at(0)).is_some() && printed.rests(at(0)).is_none());
        heard(&mut printed, 20);
        assert!(printed.listens(at(9)).is_none() && printed.rests(at(9)) == Some(at(10)));
        assert!(printed.listens(at(10)).is_some() && printed.rests(at(10)).is_none());
        drop(child);
        heard(&mut printed, 20);
        assert!(printed.listens(at(99)).is_none() && printed.rests(at(1)).is_none());
    }
}
