//! The file sink: `[E write]` one line a snapshot into one file, which it keeps small, whole and within its limits.
//!
//! ```toml
//! [sinks.archive]
//! type = "file"
//! path = "/var/lib/perfwatch/snapshots.jsonl"
//! rotate = { size = "100MiB", every = "1d" }
//! keep = { files = 14, age = "30d", total = "1GiB" }
//! min_free = "256MiB"
//! compress = "gzip"
//! mode = "0640"
//! group = "adm"
//! ```
//!
//! # What it promises
//! - The live file is exactly `path`. A snapshot is appended by one unbuffered `write`, as a whole line; what a full
//!   disk cut short is taken back. A kill leaves at most one torn line, which the next start cuts off (`repair`).
//! - A snapshot it cannot write is lost, and the caller, who counts, learns why. The next one is tried again: it goes
//!   on by itself.
//! - It deletes only regular files whose names it gave itself (`name`), oldest first (`retain`).
//! - One writer a file (`lock`). Moved or deleted under its hands, the live file is begun anew, with SIGHUP at once,
//!   without it within [`LOOK_WRITES`] snapshots.
//!
//! # When it reaches the disk
//! Lines are handed to the kernel, which brings them to the disk within its own time, some 30 s: a kill of the agent
//! loses nothing, a power loss the last of them. `fsync` is called when a file is put aside, before a plain file gives
//! way to its compressed one, and at the end. Not at each line: it costs milliseconds of a disk's time and a page of a
//! flash's life for 2 KB of metrics.
//!
//! # What it refuses
//! Writing into what is not its own (a file of other content, a folder, a block device), a floor of free space that its
//! file system cannot have, making more than the last folder of a path. Its worker may wait on a disk that hangs; no
//! tick does.
//!
//! # Tests
//! Pure parts beside their code; here the whole sink on real files, with the time of snapshots as its only clock. A
//! tmpfs of 1 MiB is filled where the tests may mount one.

mod compress;
mod error;
mod live;
mod lock;
mod name;
mod place;
mod repair;
mod retain;
mod rotate;
mod settings;
mod sink;
mod space;
mod tidy;

#[cfg(test)]
mod tests;

pub use error::{Cause, Error};
pub use settings::{Compress, FileSettings, Keep, Rotate};
pub use sink::FileSink;

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use live::Live;
use retain::LiveShare;
use space::Space;
use tidy::{Request, Tidy};

/// Snapshots between two looks at the path and the free space: two system calls then, none in between. At 5 s an
/// interval a moved file is noticed within 80 s, and 16 lines are little against any floor.
pub const LOOK_WRITES: u32 = 16;
/// Bytes between two looks, for long lines: 1/256 of the floor's default.
const LOOK_BYTES: u64 = 1 << 20;
/// Between two passes over old files without a rotation: age goes on while a slow sink fills its file for weeks.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// Of the 2 s an agent has to stop: what a compression gets to put its work down.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// An open file sink.
#[derive(Debug)]
pub struct FileOutput {
    settings: FileSettings,
    gid: Option<u32>,
    live: Option<Live>,
    space: Space,
    tidy: Tidy,
    /// Why it is not writing.
    trouble: Option<Cause>,
    look_in: u32,
    look_in_bytes: u64,
    tidied: Option<SystemTime>,
    /// Rotation was refused: the live file grows on, and it is tried again with every look.
    stuck: bool,
}

impl FileOutput {
    /// Opens the live file, creating it and its folder where they are missing. A full disk or a pipe without a reader
    /// is not an error: it starts as trouble that passes.
    ///
    /// # Errors
    /// What an operator has to change: settings that contradict each other, a path that cannot be written or is not
    /// ours.
    pub fn open(settings: FileSettings) -> Result<FileOutput, Error> {
        settings.check()?;
        let mut output = FileOutput {
            gid: settings.gid()?,
            live: None,
            space: Space::new(settings.min_free.0),
            tidy: Tidy::new(settings.keep, settings.compress),
            trouble: None,
            look_in: 0,
            look_in_bytes: 0,
            tidied: None,
            stuck: false,
            settings,
        };
        match Live::open(&output.settings, output.gid) {
            Ok(live) => {
                if live.regular && !live.place.can_rename() {
                    tracing::warn!(path = %live.place.path.display(), "the folder is not the agent's to write: the file is never put aside");
                }
                output.live = Some(live);
            }
            Err(error) if error.cause().passes() => output.trouble = Some(error.cause()),
            Err(error) => return Err(error),
        }
        Ok(output)
    }

    /// Appends `line`, a snapshot with its newline, of time `timestamp`.
    ///
    /// # Errors
    /// Why this snapshot is lost; no part of it is in the file. The next one is tried as if nothing had happened.
    pub fn write(&mut self, line: &[u8], timestamp: SystemTime) -> Result<(), Cause> {
        debug_assert!(line.ends_with(b"\n"), "a line ends in a newline");
        let written = self.try_write(line, timestamp);
        if self.trouble.is_none() && written.is_err_and(Cause::is_space) {
            // What is too old by now makes room.
            self.tidied = None;
        }
        self.trouble = written.err();
        written
    }

    /// Opens the path anew where it has come to lead elsewhere: after a rename by logrotate (SIGHUP), or a link set
    /// anew.
    pub fn reopen(&mut self) {
        if let Some(live) = &mut self.live {
            let same_path = place::Place::of(&self.settings.path).is_ok_and(|place| place.path == live.place.path);
            if same_path && live.regular && live.is_current() == Some(true) {
                return;
            }
            self.put_down(None);
        }
        if let Err(cause) = self.open_live() {
            self.trouble = Some(cause);
        }
    }

    /// Waits until everything written has reached the disk.
    ///
    /// # Errors
    /// The disk could not take it.
    pub fn flush(&mut self) -> Result<(), Error> {
        let Some(live) = self.live.as_ref().filter(|live| live.regular) else { return Ok(()) };
        let path = || live.place.path.clone();
        live.file.sync_data().map_err(|source| Error::Operation { doing: "flush", path: path(), source })
    }

    /// Flushes, has old files left alone and gives the live file up.
    ///
    /// # Errors
    /// As [`FileOutput::flush`].
    pub fn close(&mut self) -> Result<(), Error> {
        let flushed = self.flush();
        self.tidy.stop(STOP_PATIENCE);
        self.live = None;
        flushed
    }

    /// Why it is not writing, if it is not.
    pub fn trouble(&self) -> Option<Cause> {
        self.trouble
    }

    /// The live file, as it was configured.
    pub fn path(&self) -> &Path {
        &self.settings.path
    }

    fn try_write(&mut self, line: &[u8], timestamp: SystemTime) -> Result<(), Cause> {
        if self.live.is_none() {
            self.open_live()?;
        }
        if self.live.as_ref().is_some_and(|live| live.regular) {
            self.tidy_if_due(timestamp);
            let bytes = line.len() as u64;
            let looks = self.look_in == 0 || self.look_in_bytes < bytes || self.trouble.is_some();
            let rotates = (looks || !self.stuck) && self.is_due(bytes, timestamp);
            if looks || rotates {
                self.look()?;
            }
            // Asked again: what is at the path may be another's file by now, and not to be renamed.
            if rotates && self.is_due(bytes, timestamp) {
                self.rotate(timestamp)?;
            }
            self.look_in = self.look_in.saturating_sub(1);
            self.look_in_bytes = self.look_in_bytes.saturating_sub(bytes);
        }
        let Some(live) = &mut self.live else { return Err(Cause::Unusable) };
        match append(live, line) {
            Ok(()) => {
                live.len += line.len() as u64;
                live.first.get_or_insert(timestamp);
                Ok(())
            }
            Err((cause, whole)) => {
                // A disk that had no room has the file as it was. Anything else, and a part that could not be taken
                // back, ends with the file closed: opening it repairs it before another line is written.
                if !(whole && cause.is_space()) {
                    self.live = None;
                }
                Err(cause)
            }
        }
    }

    /// Opens the live file after it was lost.
    fn open_live(&mut self) -> Result<(), Cause> {
        match Live::open(&self.settings, self.gid) {
            Ok(live) => {
                (self.live, self.look_in, self.look_in_bytes) = (Some(live), 0, 0);
                Ok(())
            }
            Err(error) => {
                let cause = error.cause();
                if self.trouble != Some(cause) {
                    match std::error::Error::source(&error) {
                        Some(source) => tracing::warn!("{error}: {source}"),
                        None => tracing::warn!("{error}"),
                    }
                }
                Err(cause)
            }
        }
    }

    /// Looks whether the path still leads to the live file and whether there is room.
    fn look(&mut self) -> Result<(), Cause> {
        let unlooked = LOOK_WRITES - self.look_in;
        (self.look_in, self.look_in_bytes) = (LOOK_WRITES, LOOK_BYTES);
        let Some(live) = &mut self.live else { return Ok(()) };
        if live.is_current() == Some(false) {
            let path = live.place.path.display();
            if live.is_deleted() {
                tracing::warn!(%path, at_most = unlooked, "the file was deleted, and the snapshots written since then with it: begun anew");
            } else {
                tracing::info!(%path, "the file was moved away: begun anew");
            }
            self.put_down(None);
            self.open_live()?;
            (self.look_in, self.look_in_bytes) = (LOOK_WRITES, LOOK_BYTES);
        }
        let Some(live) = &self.live else { return Ok(()) };
        if !live.regular || self.settings.min_free.0 == 0 {
            return Ok(());
        }
        if self.space.is_short(space::room(&live.file).map(|room| room.free)) { Err(Cause::Floor) } else { Ok(()) }
    }

    fn is_due(&self, line: u64, now: SystemTime) -> bool {
        self.live.as_ref().is_some_and(|live| self.settings.rotate.is_due(live.first, live.len, line, now))
    }

    /// Puts the live file aside and begins a new one, whose first snapshot is of `timestamp`.
    fn rotate(&mut self, timestamp: SystemTime) -> Result<(), Cause> {
        let Some(live) = &self.live else { return Ok(()) };
        if let Err(error) = live.place.put_aside(live.first.unwrap_or(timestamp)) {
            // Too large a file is better than a lost snapshot; `min_free` is what bounds it now.
            if !std::mem::replace(&mut self.stuck, true) {
                tracing::warn!(path = %live.place.path.display(), %error, "could not put the file aside: it grows on");
            }
            return Ok(());
        }
        self.stuck = false;
        self.put_down(Some(timestamp));
        self.open_live()?;
        (self.look_in, self.look_in_bytes) = (LOOK_WRITES, LOOK_BYTES);
        Ok(())
    }

    /// Gives the live file up and has it brought to the disk; after a rotation at `rotated`, old files are seen to as
    /// well.
    fn put_down(&mut self, rotated: Option<SystemTime>) {
        let Some(live) = self.live.take() else { return };
        if !live.regular {
            return;
        }
        let now = rotated.or(self.tidied).or(live.first).unwrap_or(SystemTime::UNIX_EPOCH);
        let first = if rotated.is_some() { rotated } else { live.first };
        let (place, len) = (Arc::clone(&live.place), if rotated.is_some() { 0 } else { live.len });
        self.ask_tidy(place, Some(Arc::clone(&live.file)), first, len, now);
    }

    fn tidy_if_due(&mut self, now: SystemTime) {
        let recent = self.tidied.and_then(|last| now.duration_since(last).ok()).is_some_and(|since| since < TIDY_EVERY);
        if !recent && let Some(live) = &self.live {
            self.ask_tidy(Arc::clone(&live.place), None, live.first, live.len, now);
        }
    }

    fn ask_tidy(
        &mut self,
        place: Arc<place::Place>,
        closed: Option<Arc<File>>,
        first: Option<SystemTime>,
        len: u64,
        now: SystemTime,
    ) {
        let live = LiveShare { first: first.map(name::second), bytes: len.max(self.settings.rotate.size.0) };
        self.tidied = Some(now);
        self.tidy.ask(Request { place, closed, live, now: name::second(now) });
    }
}

/// Writes `line` whole, or not at all; with the cause comes whether the file is as it was.
fn append(live: &Live, line: &[u8]) -> Result<(), (Cause, bool)> {
    let mut rest = line;
    let error = loop {
        match (&*live.file).write(rest) {
            Ok(0) => break io::Error::from(ErrorKind::WriteZero),
            Ok(written) if written == rest.len() => return Ok(()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break error,
        }
    };
    let part = (line.len() - rest.len()) as u64;
    let whole = part == 0 || (live.regular && take_back(&live.file, part).is_ok());
    Err((Cause::of(&error), whole))
}

/// Takes the last `part` bytes back. The length is asked anew: another may have truncated the file, and to set a
/// remembered length would then fill it with NUL.
fn take_back(file: &File, part: u64) -> io::Result<()> {
    file.set_len(file.metadata()?.len().saturating_sub(part))
}
