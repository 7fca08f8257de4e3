//! Sees that a library or a file of the config has come, changed or gone, so that nobody has to say so. [E inotify]
//!
//! Promises: no polling, and no wake-up while nothing happens where it looks. Nothing here blocks: file systems are asked on a thread of its own,
//! which may hang with them. A change is told `QUIET` after the last event of a name that matters and `MOST` after the
//! first, whatever goes on; between two looks into the queue lie `REST`, in which nobody is woken and the kernel joins events that are alike. What is told is no more
//! than that something may be different, and what is still being written: the caller looks for itself, at everything. Memory is bounded by
//! `heard::NAMES_MAX` names.
//!
//! What is watched, and how folders that come later, go, come back or are links are followed, is in `arm`; what an event means in `heard`.
//! Watches are made anew, in an instance of their own, before each report and whenever a part of a path is another than it was; the one before is
//! emptied after that, so that there is no moment at which nobody listens. What changed before anybody listened is told as a change, too.
//!
//! Not seen: what is mounted over a folder, what another machine does on a shared file system, and writes through a second
//! name (a hard link) elsewhere. Those wait for a reload.
#![forbid(unsafe_code)]

mod arm;
mod heard;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::inotify::Reader;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use self::arm::Armed;
use self::heard::{Heard, Watched, Writing};

/// A package's files come within that; a person who waits does not notice it.
const QUIET: Duration = Duration::from_millis(500);
/// The longest that a change waits for quiet.
const MOST: Duration = Duration::from_secs(5);
/// Twenty looks a second are what the worst storm costs.
const REST: Duration = Duration::from_millis(50);
/// What was changed so shortly before a look may have been changed after it: times of files have steps, of 2 s on some file systems.
const NEAR: Duration = Duration::from_secs(2);
/// After no watch could be made for want of descriptors, threads or instances.
const RETRY: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 16 << 10;
/// Of one look: as many as a queue has by default (fs.inotify.max_queued_events).
const EVENTS_MAX: usize = 16_384;

/// Files that are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where, whether it is there or not.
    pub folder: PathBuf,
    /// How their names end: `so` or `toml`. Hidden ones are not there.
    pub ending: &'static str,
}

/// What watches. Used in a tokio runtime with I/O and time.
#[derive(Debug)]
pub struct Watch {
    targets: Vec<Target>,
    inotify: Arc<OwnedFd>,
    /// The same, while it is listened to. Not while it rests: each event would wake the thread.
    ear: Option<AsyncFd<Arc<OwnedFd>>>,
    watched: Watched,
    writing: Writing,
    pending: Option<Pending>,
    /// The watches are not on what the paths lead to now.
    is_askew: bool,
    arming: Option<oneshot::Receiver<io::Result<Armed>>>,
    /// To be told when the watches are there.
    reports: Option<Pending>,
    rests_until: Option<Instant>,
    retries_at: Option<Instant>,
    /// That something cannot be watched was said.
    is_said: bool,
    /// When somebody looked last before anything was watched.
    looked: Option<SystemTime>,
}

/// A change that is not told yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    last: Instant,
    /// More than that there are new names.
    is_sure: bool,
}

impl Pending {
    fn due(self) -> Instant {
        (self.last + QUIET).min(self.first + MOST)
    }
}

/// Why it goes on.
enum Woken {
    Readable,
    Rested,
    Due,
    Retry,
}

impl Watch {
    /// Begins. What was changed since somebody looked, at `looked`, is told at once; where nobody says when, it may have been.
    ///
    /// # Errors
    /// The kernel has no inotify instance left for this user, or descriptors have run out.
    pub fn new(targets: Vec<Target>, looked: Option<SystemTime>) -> io::Result<Watch> {
        let inotify = Arc::new(arm::instance()?);
        let ear = Some(listen(&inotify)?);
        let mut watch = Watch {
            targets,
            inotify,
            ear,
            watched: Watched::default(),
            writing: Writing::default(),
            pending: None,
            is_askew: true,
            arming: None,
            reports: None,
            rests_until: None,
            retries_at: None,
            is_said: false,
            looked,
        };
        if looked.is_none() {
            watch.touch(true);
        }
        Ok(watch)
    }

    /// Looks for other files from now on. Where they are not the same, that is a change.
    pub fn retarget(&mut self, targets: Vec<Target>) {
        if self.targets != targets {
            self.targets = targets;
            self.is_askew = true;
            // One that is on its way is on the way to the old ones.
            self.arming = None;
            self.touch(true);
        }
    }

    /// Waits until something has changed. Gives the files that are still being written, which are not to be looked at yet: another
    /// change comes when they are whole. May be dropped and called again at any time.
    pub async fn changed(&mut self) -> HashSet<PathBuf> {
        loop {
            if let Some(arming) = &mut self.arming {
                // The thread may not have come to its end.
                let armed = arming.await.unwrap_or_else(|_| Err(io::Error::other("the thread that watches has died")));
                self.arming = None;
                let has_new = self.take_over(armed);
                if self.reports.take().is_some_and(|told| told.is_sure || has_new) {
                    return self.writing.names();
                }
                continue;
            }
            if self.is_askew && self.retries_at.is_none() {
                self.begin_arming();
                continue;
            }
            match self.wake().await {
                Woken::Readable => {
                    self.ear = None;
                    self.rests_until = Some(Instant::now() + REST);
                }
                Woken::Rested => {
                    self.rests_until = None;
                    let heard = self.read();
                    self.is_askew |= heard.is_structure;
                    self.note(heard);
                    match listen(&self.inotify) {
                        Ok(ear) => self.ear = Some(ear),
                        // Read again when it has rested again.
                        Err(_) => self.rests_until = Some(Instant::now() + RETRY),
                    }
                }
                Woken::Due => {
                    self.reports = self.pending.take();
                    self.begin_arming();
                }
                Woken::Retry => self.retries_at = None,
            }
        }
    }

    async fn wake(&self) -> Woken {
        let until = async |moment: Option<Instant>| match moment {
            Some(moment) => sleep_until(moment).await,
            None => std::future::pending().await,
        };
        tokio::select! {
            () = until(self.rests_until) => Woken::Rested,
            () = until(self.pending.map(Pending::due)) => Woken::Due,
            () = until(self.retries_at) => Woken::Retry,
            () = readable(self.ear.as_ref()) => Woken::Readable,
        }
    }

    fn touch(&mut self, is_sure: bool) {
        let now = Instant::now();
        let pending = self.pending.get_or_insert(Pending { first: now, last: now, is_sure });
        pending.last = now;
        pending.is_sure |= is_sure;
    }

    fn note(&mut self, heard: Heard) {
        if heard.is_change || heard.is_new || heard.is_structure {
            self.touch(heard.is_change || heard.is_structure);
        }
    }

    /// Takes in what is in the queue.
    fn read(&mut self) -> Heard {
        let mut heard = Heard::default();
        if let Err(cause) = read(&self.inotify, &self.watched, &self.targets, &mut self.writing, &mut heard) {
            tracing::debug!(%cause, "could not read what has changed");
            heard.is_structure = true;
        }
        heard
    }

    fn begin_arming(&mut self) {
        let (tell, told) = oneshot::channel();
        let (targets, writing) = (self.targets.clone(), self.writing.stages());
        // Nobody listens any more where there are other targets by now.
        let arm = move || drop(tell.send(arm::arm(&targets, writing)));
        match thread::Builder::new().name("watch".into()).spawn(arm) {
            Ok(_) => self.arming = Some(told),
            Err(cause) => {
                let (tell, told) = oneshot::channel();
                drop(tell.send(Err(cause)));
                self.arming = Some(told);
            }
        }
    }

    /// The new watches are there: the old ones are emptied and let go. Tells whether there are whole files that are new.
    fn take_over(&mut self, armed: io::Result<Armed>) -> bool {
        let made = armed.and_then(|armed| {
            let inotify = Arc::new(armed.inotify);
            Ok((listen(&inotify)?, inotify, armed.watched, armed.whole, armed.fault, armed.newest))
        });
        let (ear, inotify, watched, whole, fault, newest) = match made {
            Ok(made) => made,
            Err(cause) => {
                self.say(&format!("could not watch for changes, will try again: {cause}"));
                (self.is_askew, self.retries_at) = (true, Some(Instant::now() + RETRY));
                return false;
            }
        };
        let has_new = self.writing.are_whole(&whole);
        if let (Some(looked), Some(newest)) = (self.looked.take(), newest)
            && newest + NEAR >= looked
        {
            self.touch(true);
        }
        self.ear = Some(ear);
        let old = std::mem::replace(&mut self.inotify, inotify);
        let mut heard = Heard::default();
        // What it tells of structure, the new ones have found or will tell themselves.
        if read(&old, &self.watched, &self.targets, &mut self.writing, &mut heard).is_err() {
            heard.is_change = true;
        }
        self.note(Heard { is_structure: false, ..heard });
        // The kernel lets go of watches when nobody can be using them, for which it waits 8 to 24 ms.
        if let Err(cause) = thread::Builder::new().name("watch".into()).spawn(move || drop(old)) {
            tracing::debug!(%cause, "could not start a thread to let go of watches");
        }
        self.watched = watched;
        self.writing.only_in(&self.targets);
        (self.is_askew, self.retries_at, self.rests_until) = (false, None, None);
        match fault {
            Some(told) => self.say(&told),
            None => self.is_said = false,
        }
        has_new
    }

    fn say(&mut self, told: &str) {
        if !std::mem::replace(&mut self.is_said, true) {
            tracing::warn!("{told}");
        }
    }
}

/// Has tokio say when there is something to read, now or later.
#[expect(
    deprecated,
    reason = "what it is to be replaced by is unsafe, for kinds whose descriptor may change; one that is owned does not"
)]
fn listen(inotify: &Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    AsyncFd::with_interest(Arc::clone(inotify), Interest::READABLE)
}

async fn readable(ear: Option<&AsyncFd<Arc<OwnedFd>>>) {
    match ear {
        Some(ear) => match ear.readable().await {
            Ok(mut guard) => guard.retain_ready(),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Reads a queue until it is empty, or enough is read.
fn read(
    inotify: &OwnedFd,
    watched: &Watched,
    targets: &[Target],
    writing: &mut Writing,
    heard: &mut Heard,
) -> io::Result<()> {
    let mut buffer = [const { MaybeUninit::uninit() }; READ_BYTES];
    let mut events = Reader::new(inotify, &mut buffer);
    let mut count = 0;
    // What was read is taken in whole.
    while count < EVENTS_MAX || !events.is_buffer_empty() {
        count += 1;
        match events.next() {
            Ok(event) => {
                let name = event.file_name().map(|name| std::ffi::OsStr::from_bytes(name.to_bytes()));
                heard.take(watched, targets, writing, (event.wd(), event.events(), name));
            }
            Err(Errno::AGAIN) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
