//! The agent inside another program: started from a configuration, read as a stream, ended by awaiting.
//!
//! What it needs of the program is that its `main` begins with [`crate::child::enter`] and passes on the exit code that may
//! come of it: a collector in a process of its own is the same program, started again. Without it such collectors fail and
//! say so; those with `isolation = "none"` run. Nothing else is needed: no runtime (what is awaited here wakes up in any), no
//! logger (it says what there is to say by `tracing`), no signal handler. What it leaves alone is standard output, so a sink of that type is
//! passed over; files are written as the configuration says. "Beside the executable" is beside the program's own.

use std::future::Future;
use std::io;
use std::path::Path;
use std::thread;

use tokio::sync::oneshot;

use crate::agent::{Agent, Ending, Snapshots};
use crate::setup::{Setup, SetupError};

impl Agent {
    /// Starts what the configuration at `path` says, with the files of `conf.d` beside it. Blocks for the
    /// milliseconds that reading it and loading the plugins takes.
    ///
    /// # Errors
    /// The configuration is wrong, a required plugin cannot be had, no collector is there, a sink cannot be opened.
    pub fn from_config(path: &Path) -> Result<(Agent, Snapshots), SetupError> {
        embed(Setup::read(Some(path))?)
    }

    /// The same of a configuration that the program has in memory. No file is read but those that it names.
    ///
    /// # Errors
    /// As of [`Agent::from_config`].
    pub fn from_text(config: &str) -> Result<(Agent, Snapshots), SetupError> {
        embed(Setup::of_text(config)?)
    }

    /// Ends it as [`Agent::stop`] does, which takes [`crate::agent::SHUTDOWN`] at most, from now on and on a thread of its
    /// own. The future tells how it ended, in any runtime; dropped, it leaves the end to itself.
    ///
    /// # Errors
    /// No thread is to be had. It ends all the same, and nobody waits for what its sinks hold.
    pub fn stopped(self) -> impl Future<Output = io::Result<Ending>> + Send + use<> {
        let (done, ending) = oneshot::channel();
        let stop = move || {
            // Nobody may be waiting any more.
            let _ = done.send(self.stop());
        };
        let thread = thread::Builder::new().name("stop".into()).spawn(stop);
        async move {
            thread?;
            ending.await.map_err(io::Error::other)
        }
    }
}

fn embed(setup: Setup) -> Result<(Agent, Snapshots), SetupError> {
    setup.log_remarks();
    setup.can_run()?;
    let (feed, snapshots) = Snapshots::channel();
    let crew = setup.recruits(&|timing| timing)?;
    let opened = setup.open(None)?;
    let (agent, _) = setup.start(crew, opened, vec![feed])?;
    Ok((agent, snapshots))
}
