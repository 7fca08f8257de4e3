//! The sinks of a reload: all that is to write to something else lets go of what it writes to, then all that is wanted is opened, and only
//! when the rest of the reload is made do they go on. Until then what they are to write waits in their queues.
//!
//! Letting go first makes no difference of which sink wrote to a file: two may change places, and one of another name goes on where
//! its like has left off.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use plugin_api::host_side::options::OptionValue;

use super::NotReloaded;
use super::diff::Diff;
use crate::assemble::chain;
use crate::config::plan::{SinkKind, SinkPlan};
use crate::setup::{SetupError, open, start_sink};
use crate::sink::worker::{Held, Opener, Worker, hold};
use crate::sink::{Sink, Sinks};

/// How long a sink has to end its write, and one that is to end to do so: a disk takes milliseconds, one that is busy for longer is left alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long one may take to be opened. Meanwhile others that change write nothing, and no other reload begins.
const OPENS_WITHIN: Duration = Duration::from_secs(10);
/// How many may hang in that, each on a thread of its own, before none is tried any more.
const OPENING_MAX: usize = 8;
static OPENING: AtomicUsize = AtomicUsize::new(0);

/// What a reload does to the sinks. Dropped, it is undone.
pub(super) struct Outlets<'a> {
    sinks: &'a Sinks,
    output: Option<&'a File>,
    come: Vec<Worker>,
    gone: Vec<String>,
    /// Those that go on with something else, and what.
    held: Vec<(Held, Another, Option<Box<dyn Sink>>)>,
    /// Files and folders that were not there before, each folder behind its file.
    made: Vec<PathBuf>,
}

/// One that is to write to something else.
struct Another {
    old: SinkPlan,
    new: SinkPlan,
}

impl<'a> Outlets<'a> {
    /// Opens what comes, and what those that change are to write to.
    ///
    /// # Errors
    /// One cannot be opened. Then all are as they were.
    pub(super) fn open(
        sinks: &'a Sinks,
        output: Option<&'a File>,
        (old, new): (&[SinkPlan], &[SinkPlan]),
        diff: &Diff,
    ) -> Result<Outlets<'a>, NotReloaded> {
        let mut outlets =
            Outlets { sinks, output, come: Vec::new(), gone: Vec::new(), held: Vec::new(), made: Vec::new() };
        let find = |plans: &[SinkPlan], name: &str| plans.iter().find(|plan| plan.name == name).cloned();
        let (mut goes, mut comes, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        for (name, _) in &diff.sinks {
            match (find(old, name), find(new, name)) {
                (Some(old), Some(new)) if outlets.is_at_work(name) => changes.push(Another { old, new }),
                (old, new) => {
                    goes.extend(old);
                    comes.extend(new);
                }
            }
        }
        comes.retain(|new| {
            let same = goes.iter().position(|old| is_same(old, new) && outlets.is_at_work(&old.name));
            changes.extend(same.map(|place| Another { old: goes.remove(place), new: new.clone() }));
            same.is_none()
        });
        outlets.gone = goes.iter().map(|old| old.name.clone()).collect();
        for change in changes {
            let held = outlets.hold(&change.old).map_err(|why| {
                NotReloaded::failed(format!("sink {}: could not open it anew: {why}", change.new.name))
            })?;
            outlets.held.push((held, change, None));
        }
        for place in 0..outlets.held.len() {
            let new = outlets.held[place].1.new.clone();
            let none = || NotReloaded::failed(format!("sink {}: standard output is the program's own", new.name));
            let sink = outlets.sink(&new)?.ok_or_else(none)?;
            outlets.held[place].2 = Some(sink);
        }
        for new in comes {
            if let Some(sink) = outlets.sink(&new)? {
                outlets.come.push(start_sink(&new, sink, sinks)?);
            }
        }
        Ok(outlets)
    }

    /// One that lost its reader has ended.
    fn is_at_work(&self, name: &str) -> bool {
        let named = |worker: &Worker| *worker.name == *name && !worker.queue.is_abandoned();
        self.sinks.with(|running| running.iter().any(named))
    }

    /// Opens one. What left a moment ago may still hold the file.
    fn sink(&mut self, plan: &SinkPlan) -> Result<Option<Box<dyn Sink>>, SetupError> {
        match self.open_in_time(plan) {
            Err(_) if self.sinks.await_leaving(PATIENCE) => self.open_in_time(plan),
            opened => opened,
        }
    }

    /// Its disk may hang, which must hold up neither the sinks that have let go nor whoever reloads next.
    fn open_in_time(&mut self, plan: &SinkPlan) -> Result<Option<Box<dyn Sink>>, SetupError> {
        let output = self.output.map(File::try_clone).transpose();
        let output = output.map_err(|cause| SetupError::System("copy the descriptor of standard output", cause))?;
        let wanted = plan.clone();
        let opened = in_time(OPENS_WITHIN, move || {
            let path = path(&wanted).filter(|_| wanted.kind == Ok(SinkKind::File));
            let places = path.into_iter().flat_map(|path| [Some(path), path.parent()]).flatten();
            let missing: Vec<_> = places.filter(|path| !path.exists()).map(Path::to_owned).collect();
            (missing, open(&wanted, output.as_ref()))
        });
        let failed = |cause: String| SetupError::Sink { name: plan.name.clone(), cause: cause.into() };
        let (missing, opened) = opened.map_err(failed)?;
        self.made.extend(missing);
        opened
    }

    fn hold(&self, old: &SinkPlan) -> Result<Held, String> {
        let queue = self.sinks.with(|running| {
            let worker = running.iter().find(|worker| *worker.name == *old.name);
            worker.map(|worker| Arc::clone(&worker.queue))
        });
        let Some(queue) = queue else { return Err("it is not there".into()) };
        hold(&queue, self.opener(old)?, PATIENCE)
    }

    /// Opens it in the thread that will write to it.
    fn opener(&self, plan: &SinkPlan) -> Result<Opener, String> {
        let output = self.output.map(File::try_clone).transpose().map_err(|cause| cause.to_string())?;
        let plan = plan.clone();
        Ok(Box::new(move || match open(&plan, output.as_ref()) {
            Ok(Some(sink)) => Ok(sink),
            Ok(None) => Err("standard output is the program's own".into()),
            // Its name is said with it.
            Err(SetupError::Sink { cause, .. }) => Err(cause),
            Err(error) => Err(chain(&error).into()),
        }))
    }

    /// Now they are what runs.
    pub(super) fn keep(mut self) {
        for (held, Another { old, new }, sink) in self.held.drain(..) {
            let (name, sink): (Arc<str>, _) =
                (new.name.as_str().into(), sink.expect("all were opened, or none is kept"));
            self.sinks.with(|running| {
                let worker = running.iter_mut().find(|worker| *worker.name == *old.name);
                worker.into_iter().for_each(|worker| (worker.name, worker.kind) = (Arc::clone(&name), new.word()));
            });
            held.go_on(name, sink);
        }
        let gone: Vec<&str> = self.gone.iter().map(String::as_str).collect();
        self.sinks.change(&gone, std::mem::take(&mut self.come));
        self.made.clear();
    }
}

/// Has this done on a thread of its own. One that hangs is left behind, and what it comes to is dropped.
fn in_time<T: Send + 'static>(patience: Duration, act: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    if OPENING.fetch_add(1, Ordering::Relaxed) >= OPENING_MAX {
        OPENING.fetch_sub(1, Ordering::Relaxed);
        return Err(format!("{OPENING_MAX} that were to be opened before hang in that"));
    }
    let (tell, told) = sync_channel(1);
    let begun = thread::Builder::new().name("open".into()).spawn(move || {
        let done = act();
        OPENING.fetch_sub(1, Ordering::Relaxed);
        // Nobody may be waiting any more.
        drop(tell.try_send(done));
    });
    if let Err(cause) = begun {
        OPENING.fetch_sub(1, Ordering::Relaxed);
        return Err(format!("could not start a thread to open it: {cause}"));
    }
    told.recv_timeout(patience).map_err(|_| format!("it could not be opened within {patience:.0?}: its disk may hang"))
}

fn path(sink: &SinkPlan) -> Option<&Path> {
    match sink.settings.value("path") {
        Some(OptionValue::Text(path)) => Some(Path::new(path)),
        _ => None,
    }
}

/// Whether two sinks write to the same.
fn is_same(old: &SinkPlan, new: &SinkPlan) -> bool {
    match (&old.kind, &new.kind) {
        (Ok(SinkKind::Stdout(_)), Ok(SinkKind::Stdout(_))) => true,
        (Ok(SinkKind::File), Ok(SinkKind::File)) => path(old) == path(new),
        _ => false,
    }
}

impl Drop for Outlets<'_> {
    fn drop(&mut self) {
        for worker in self.come.drain(..) {
            worker.queue.close();
            // It may hold what another is to go on with.
            worker.wait(PATIENCE);
        }
        // First all that was opened, as it may be what another goes on with.
        self.held.iter_mut().for_each(|(.., sink)| drop(sink.take()));
        for path in &self.made {
            // Nothing was written to it; a folder goes where nothing else is in it by now.
            let is_empty = path.metadata().is_ok_and(|file| file.is_file() && file.len() == 0);
            let gone = if is_empty { fs::remove_file(path) } else { fs::remove_dir(path) };
            if let Err(cause) = gone {
                tracing::debug!(path = %path.display(), %cause, "could not take away what was made for a sink");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn opening_that_hangs_costs_its_patience_and_no_more_threads_than_are_allowed() {
        let (patience, mut ends) = (Duration::from_secs(30), Vec::new());
        assert_eq!(in_time(patience, || 7), Ok(7));
        for _ in 0..OPENING_MAX {
            let (end, hangs) = channel::<()>();
            ends.push(end);
            let told = in_time(Duration::from_millis(1), move || hangs.recv().is_ok()).unwrap_err();
            assert!(told.contains("within 1ms"), "{told}");
        }
        assert!(in_time(patience, || 7).unwrap_err().contains("hang in that"));
        ends.clear();
        while OPENING.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        assert_eq!(in_time(patience, || 7), Ok(7));
    }
}
