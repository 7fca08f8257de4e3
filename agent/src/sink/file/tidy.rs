//! Keeps the folder: `[E]` brings closed files to the disk, deletes what is too much, compresses what is old.
//!
//! All of it off the path of a tick, on a thread that lives only while there is something to do (a rotation, a start,
//! an hour) and at the lowest priority: seconds of compressing must not be seen in what the agent measures. The folder
//! itself says what is to be done (`retain`), so requests that came meanwhile are one pass.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::compress::{compress, sync_folder};
use super::name::{Found, Stamp};
use super::place::Place;
use super::retain::{Held, LiveShare, plan};
use super::settings::{Compress, Keep};

/// The kernel's lowest priority of an ordinary thread (setpriority(2)).
const LOWEST: i32 = 19;

/// What a pass is told.
#[derive(Debug)]
pub(super) struct Request {
    /// Where.
    pub(super) place: Arc<Place>,
    /// A file that was closed for writing, to be brought to the disk.
    pub(super) closed: Option<Arc<File>>,
    /// The live file.
    pub(super) live: LiveShare,
    /// The second of the snapshot that asked.
    pub(super) now: u64,
}

/// The keeper of one sink's folder.
#[derive(Debug)]
pub(super) struct Tidy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keep: Keep,
    compress: Compress,
    stop: AtomicBool,
    desk: Mutex<Desk>,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    requests: VecDeque<Request>,
    working: bool,
    thread: Option<JoinHandle<()>>,
}

impl Tidy {
    /// For files kept by `keep`.
    pub(super) fn new(keep: Keep, compress: Compress) -> Tidy {
        let (stop, desk, idle) = (AtomicBool::new(false), Mutex::default(), Condvar::new());
        Tidy { shared: Arc::new(Shared { keep, compress, stop, desk, idle }) }
    }

    /// Has a pass made soon.
    pub(super) fn ask(&self, request: Request) {
        let mut desk = self.shared.desk();
        desk.requests.push_back(request);
        // A thread that panicked never said that it stopped working.
        if desk.working && desk.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        match thread::Builder::new().name("file-tidy".into()).spawn(move || shared.work()) {
            Ok(thread) => (desk.working, desk.thread) = (true, Some(thread)),
            // The request waits for the next one; the folder is a little too full until then.
            Err(error) => {
                desk.working = false;
                tracing::warn!(%error, "could not start the thread that compresses and deletes old files");
            }
        }
    }

    /// Has the work put down and waits for that, `patience` at most. Closed files are still brought to the disk.
    pub(super) fn stop(&self, patience: Duration) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wait(patience);
    }

    /// Waits until nothing is left to do. False: that took longer than `patience`.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let busy = self.shared.idle.wait_timeout_while(self.shared.desk(), patience, |desk| desk.working);
        !busy.unwrap_or_else(PoisonError::into_inner).0.working
    }
}

impl Drop for Tidy {
    /// Nobody guards the files from here on, so nothing more is done to them.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // A request is pushed or taken whole: the desk is right even where a thread panicked over it.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        // Of the calling thread (who = 0). A system that refuses it compresses at ordinary priority.
        if let Err(error) = rustix::process::setpriority_process(None, LOWEST) {
            tracing::debug!(%error, "compressing at ordinary priority");
        }
        loop {
            let requests = {
                let mut desk = self.desk();
                if desk.requests.is_empty() {
                    desk.working = false;
                    self.idle.notify_all();
                    return;
                }
                std::mem::take(&mut desk.requests)
            };
            for request in &requests {
                bring_to_disk(request);
            }
            // Reopening may have led elsewhere; the latest request knows best.
            if let Some(request) = requests.back()
                && let Err(error) = self.pass(request)
            {
                tracing::warn!(path = %request.place.path.display(), %error, "could not list the old files: none is deleted or compressed");
            }
        }
    }

    fn pass(&self, request: &Request) -> std::io::Result<()> {
        let stopped = || self.stop.load(Ordering::Relaxed);
        if stopped() {
            return Ok(());
        }
        let place = &request.place;
        let mut held = Vec::new();
        for entry in place.entries()? {
            match (entry.found, entry.size) {
                (Found::Aside { stamp, packed }, Some(size)) => held.push(Held { stamp, packed, size }),
                // Nothing else compresses here (the live file is locked, and this is its only thread): a kill left it.
                (Found::Unfinished, Some(_)) => delete(&entry.path, "removed what a compression left unfinished"),
                (_, None) => {}
            }
        }
        let plan = plan(held, &self.keep, self.compress == Compress::Gzip, request.live, request.now);
        for (stamp, packed) in plan.delete {
            delete(&place.aside(stamp, packed), "deleted an old file");
        }
        for stamp in plan.compress {
            // A newer request is a pass of its own, and its deletions must not wait for a long backlog.
            if stopped() || !self.desk().requests.is_empty() {
                break;
            }
            self.compress(place, stamp);
        }
        Ok(())
    }

    fn compress(&self, place: &Place, stamp: Stamp) {
        let plain = place.aside(stamp, false);
        match compress(&plain, &place.unfinished(stamp), &place.aside(stamp, true), &self.stop) {
            Ok(_) => tracing::debug!(path = %plain.display(), "compressed an old file"),
            Err(error) => {
                tracing::warn!(path = %plain.display(), %error, "could not compress an old file: it is tried again at the next rotation");
            }
        }
    }
}

fn bring_to_disk(request: &Request) {
    let Some(file) = &request.closed else { return };
    if let Err(error) = file.sync_all().and_then(|()| sync_folder(&request.place.path)) {
        tracing::warn!(path = %request.place.path.display(), %error, "a closed file may not have reached the disk whole");
    }
}

fn delete(path: &Path, done: &str) {
    match fs::remove_file(path) {
        Ok(()) => tracing::info!(path = %path.display(), "{done}"),
        Err(error) => tracing::warn!(path = %path.display(), %error, "could not delete an old file"),
    }
}
