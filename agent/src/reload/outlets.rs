//! The sinks of a reload: opened beside those that run, or in their place, and put back where the reload is given up.

use std::fs::File;
use std::time::Duration;

use super::NotReloaded;
use super::diff::{Diff, Step};
use crate::assemble::chain;
use crate::config::plan::SinkPlan;
use crate::setup::{SetupError, open, start_sink};
use crate::sink::Sinks;
use crate::sink::worker::{Opener, Worker, replace};

/// How long a sink has to end its write and to be opened anew: a disk takes milliseconds, one that is busy for longer is left alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a reload does to the sinks. Dropped, it is undone.
pub(super) struct Outlets<'a> {
    sinks: &'a Sinks,
    output: Option<&'a File>,
    come: Vec<Worker>,
    gone: Vec<String>,
    /// Those that write to something else by now, as they were.
    replaced: Vec<SinkPlan>,
}

impl<'a> Outlets<'a> {
    /// Opens what comes, and has those that changed write to something else.
    ///
    /// # Errors
    /// One cannot be opened. Then all are as they were.
    pub(super) fn open(
        sinks: &'a Sinks,
        output: Option<&'a File>,
        (old, new): (&[SinkPlan], &[SinkPlan]),
        diff: &Diff,
    ) -> Result<Outlets<'a>, NotReloaded> {
        let mut outlets = Outlets { sinks, output, come: Vec::new(), gone: Vec::new(), replaced: Vec::new() };
        let find = |plans: &[SinkPlan], name: &str| plans.iter().find(|plan| plan.name == name).cloned();
        for (name, step) in &diff.sinks {
            match (step, find(old, name), find(new, name)) {
                (Step::Goes, ..) => outlets.gone.push(name.clone()),
                (Step::Anew(_), Some(old), Some(new)) if outlets.is_at_work(name) => outlets.replace(old, &new)?,
                (_, old, Some(new)) => {
                    outlets.gone.extend(old.map(|old| old.name));
                    outlets.begin(&new)?;
                }
                // A plan has what the difference tells of it.
                (_, _, None) => {}
            }
        }
        Ok(outlets)
    }

    /// One that lost its reader has ended.
    fn is_at_work(&self, name: &str) -> bool {
        let named = |worker: &Worker| *worker.name == *name && !worker.queue.is_abandoned();
        self.sinks.with(|running| running.iter().any(named))
    }

    fn begin(&mut self, plan: &SinkPlan) -> Result<(), NotReloaded> {
        if let Some(sink) = open(plan, self.output)? {
            self.come.push(start_sink(plan, sink, self.sinks)?);
        }
        Ok(())
    }

    fn replace(&mut self, old: SinkPlan, new: &SinkPlan) -> Result<(), NotReloaded> {
        let replaced = self.swap(&old, new);
        replaced.map_err(|why| NotReloaded::failed(format!("sink {}: could not open it anew: {why}", new.name)))?;
        self.replaced.push(old);
        Ok(())
    }

    fn swap(&self, from: &SinkPlan, to: &SinkPlan) -> Result<(), String> {
        let queue = self.sinks.with(|running| {
            let worker = running.iter().find(|worker| *worker.name == *from.name);
            worker.map(|worker| std::sync::Arc::clone(&worker.queue))
        });
        let Some(queue) = queue else { return Err("it is not there".into()) };
        replace(&queue, self.opener(to)?, self.opener(from)?, PATIENCE)?;
        self.sinks.with(|running| {
            running.iter_mut().filter(|worker| *worker.name == *to.name).for_each(|worker| worker.kind = to.word());
        });
        Ok(())
    }

    fn opener(&self, plan: &SinkPlan) -> Result<Opener, String> {
        let output = self.output.map(File::try_clone).transpose().map_err(|cause| cause.to_string())?;
        let plan = plan.clone();
        Ok(Box::new(move || match open(&plan, output.as_ref()) {
            Ok(Some(sink)) => Ok(sink),
            Ok(None) => Err("standard output is the program's own".into()),
            // Its name is said by whoever asked.
            Err(SetupError::Sink { cause, .. }) => Err(cause),
            Err(error) => Err(chain(&error).into()),
        }))
    }

    /// Now they are what runs.
    pub(super) fn keep(mut self) {
        self.replaced.clear();
        let gone: Vec<&str> = self.gone.iter().map(String::as_str).collect();
        self.sinks.change(&gone, std::mem::take(&mut self.come));
    }
}

impl Drop for Outlets<'_> {
    fn drop(&mut self) {
        for worker in &self.come {
            worker.queue.close();
        }
        for old in &self.replaced {
            if let Err(why) = self.swap(old, old) {
                tracing::error!(sink = old.name, "could not open it again as it was: {why}");
            }
        }
    }
}
