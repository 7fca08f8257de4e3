//! The agent's end of a child's socket. [E send, recv]
//!
//! Promises: never waits. What the child sends is read into one buffer that is used again, and told a message at a time.
//! A child that sends too much, too little at a time or anything else than it should is found out after a bounded
//! number of reads, and costs the collection thread no more than that.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use plugin_api::Level;
use plugin_api::host_side::frame::{Frame, Limits};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::wire::{self, Garbage, HEAD_BYTES, Message, Request, Taken};

/// The most log lines of a child for one reading, and one that says how many more there were. A plugin that starts says a
/// few; more at every reading, nobody reads.
pub const LINES_MAX: u32 = 32;
/// Reads that an answer may take however short it is: each log line may come by itself.
const READS_SPARE: usize = 2 * LINES_MAX as usize;
/// An answer may take one more for so many bytes of it. The kernel passes a long message on in pieces of 32 KiB.
const READ_BYTES: usize = 4 << 10;
/// What the buffer begins with, and is not shrunk below: a reading of 200 values.
const BUFFER_BYTES: usize = 4 << 10;
/// A buffer so many times as long as the last answer is given back: the next outsized one takes it again.
const OUTSIZED: usize = 8;

/// What there was to hear.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// Nothing, yet.
    Nothing,
    /// The answer. The rest of it is in the frame, and worth nothing until the check has passed over it.
    Reading(Taken),
    /// A line for the log.
    Said(Level, String),
    /// The child has ended.
    Gone,
    /// What no child of ours sends, in words: it is to be killed.
    Garbage(String),
}

/// The agent's end of a child's socket.
#[derive(Debug)]
pub struct Line {
    socket: OwnedFd,
    limits: Limits,
    buffer: Vec<u8>,
    /// Of the buffer, what was read and not told yet.
    from: usize,
    to: usize,
    number: u64,
    asked: bool,
    /// Since the last answer.
    reads: usize,
    bytes: usize,
    lines: u32,
    gone: bool,
}

impl Line {
    /// The line to a child that [`super::spawn`] has started with these limits. They have room for the scalars of the
    /// manifest ([`Limits::holding`]), as the frames that it fills.
    pub fn new(socket: OwnedFd, limits: Limits) -> Line {
        let buffer = vec![0; BUFFER_BYTES];
        let (from, to, number, reads, bytes, lines) = (0, 0, 0, 0, 0, 0);
        Line { socket, limits, buffer, from, to, number, asked: false, reads, bytes, lines, gone: false }
    }

    /// Asks for a reading.
    ///
    /// # Errors
    /// The child has ended, or reads nothing any more, or its last answer is still out: asked again is only who has answered.
    pub fn ask(&mut self, time_left: Duration) -> io::Result<()> {
        if self.asked {
            return Err(io::Error::other("the last request is not answered yet"));
        }
        let request = wire::request(Request { number: self.number + 1, time_left });
        let sent = rustix::net::send(&self.socket, &request, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        if sent < request.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.number += 1;
        self.asked = true;
        Ok(())
    }

    /// Whether an answer is out.
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Hears one thing, and never waits for it. What came with it is kept and told the next time, which no readiness of the
    /// socket announces: listen until there is nothing, or until the answer is there.
    pub fn hear(&mut self, frame: &mut Frame) -> Heard {
        if self.gone {
            return Heard::Gone;
        }
        match self.message(frame) {
            Ok(Heard::Gone) => {
                self.gone = true;
                Heard::Gone
            }
            Ok(heard) => heard,
            Err(garbage) => {
                self.gone = true;
                Heard::Garbage(garbage.to_string())
            }
        }
    }

    fn message(&mut self, frame: &mut Frame) -> Result<Heard, Garbage> {
        loop {
            let asked = self.asked.then_some(self.number);
            let (len, message) = wire::hear(&self.buffer[self.from..self.to], asked, &self.limits, frame)?;
            let heard = match message {
                Message::Reading(taken) => Heard::Reading(taken),
                Message::Line(level, text) => Heard::Said(level, text.to_owned()),
                Message::Unfinished(needed) => match self.read(needed)? {
                    None => continue,
                    Some(heard) => return Ok(heard),
                },
            };
            self.from += len;
            if let Heard::Reading(_) = heard {
                self.answered(len);
            } else {
                self.lines += 1;
                if self.lines > LINES_MAX + 1 {
                    return Err(Garbage::Lines);
                }
            }
            return Ok(heard);
        }
    }

    fn answered(&mut self, len: usize) {
        self.asked = false;
        (self.reads, self.bytes, self.lines) = (0, 0, 0);
        self.make_room(0);
        let keep = len.max(self.to).max(BUFFER_BYTES);
        if self.buffer.len() / OUTSIZED > keep {
            self.buffer.truncate(keep);
            self.buffer.shrink_to_fit();
        }
    }

    /// Reads what is there of a message of `needed` bytes: nothing to tell yet, or what there is to tell instead.
    fn read(&mut self, needed: usize) -> Result<Option<Heard>, Garbage> {
        self.make_room(needed);
        match rustix::net::recv(&self.socket, &mut self.buffer[self.to..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Ok(Some(Heard::Gone)),
            Ok((read, _)) => {
                self.to += read;
                self.bytes += read;
                self.reads += 1;
                if self.reads > READS_SPARE + self.bytes / READ_BYTES {
                    return Err(Garbage::Trickle);
                }
                Ok(None)
            }
            Err(Errno::AGAIN) => Ok(Some(Heard::Nothing)),
            Err(Errno::INTR) => Ok(None),
            // Reset: it ended without reading what it was sent.
            Err(_) => Ok(Some(Heard::Gone)),
        }
    }

    /// Moves what is not told to the front and makes room for a message of `needed` bytes; for a long one by doubling, as it
    /// comes, so that a length alone costs nothing.
    fn make_room(&mut self, needed: usize) {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if self.to == self.buffer.len() && needed > self.to {
            self.buffer.resize(needed.min(2 * self.buffer.len()).max(HEAD_BYTES), 0);
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
