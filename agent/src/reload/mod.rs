//! What changes while the agent runs: it is planned first, prepared beside what runs, applied at the edge of a tick, and given up as a
//! whole where anything in it fails.
//!
//! In the order of use: [`diff`] says what would change, `prepare` starts what comes and looks at it in children of its own, `outlets`
//! opens what is written to, `running` has the collection thread take it over in one step that cannot fail. All of it is done
//! by whoever asks, on a thread of its own, one at a time; the collection thread is only told.
//!
//! Promises: what did not change is not touched. Who asks is told what changed or why nothing did. A plugin that hangs costs its patience.
#![forbid(unsafe_code)]

pub mod diff;
mod facts;
mod outlets;
mod prepare;
mod release;
mod running;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Level;

pub use self::facts::Facts;
pub use self::release::{NotReleased, release};
pub(crate) use self::running::{Memory, Running};
use crate::cli::code;
use crate::control::notify::Notify;
use crate::schedule::far::lock;
use crate::setup::SetupError;

/// What changed, in lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The lines; none where nothing did.
    pub text: String,
    /// What is to be known of configuration and plugins that was not before. It is in the log by itself.
    pub notes: String,
}

/// For who asked.
impl std::fmt::Display for Reloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = if self.text.is_empty() { "nothing has changed\n" } else { &self.text };
        write!(f, "{text}{}", self.notes)
    }
}

/// Why nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReloaded {
    /// The exit code for it.
    pub code: u8,
    /// Why.
    pub text: String,
}

impl NotReloaded {
    fn at_fault(faults: &[String]) -> NotReloaded {
        NotReloaded { code: code::CONFIG, text: faults.join("\n") }
    }

    fn failed(text: impl Into<String>) -> NotReloaded {
        NotReloaded { code: code::FAILED, text: text.into() }
    }
}

impl From<SetupError> for NotReloaded {
    fn from(error: SetupError) -> NotReloaded {
        // That a plugin cannot be had or a sink not be opened is a reason to refuse a configuration like any other: one code for
        // who deploys.
        let code = match &error {
            SetupError::Unavailable(_) | SetupError::Sink { .. } => code::CONFIG,
            error => crate::cli::code_of(error),
        };
        NotReloaded { code, text: crate::assemble::chain(&error) }
    }
}

/// What is to be taken up.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// All of it, or nothing: the operator's reload.
    All,
    /// What has changed in the folders that are watched, each collector for itself. These files are being written.
    Seen(HashSet<PathBuf>),
    /// Nothing but these collectors, anew.
    Released(Vec<String>),
}

/// Asks the agent that runs, from any thread but its own: what is asked here may take seconds.
#[derive(Clone)]
pub struct Operator(Arc<Shared>);

struct Shared {
    running: Mutex<Running>,
    /// As what runs has it, for those who may not wait for a reload that goes on.
    watched: Mutex<Vec<(PathBuf, &'static str)>>,
    facts: Facts,
    hooks: Hooks,
    /// Told after each reload, refused or not.
    changed: tokio::sync::Notify,
}

/// What of the process changes with the configuration, and who is told of a reload.
#[derive(Default)]
struct Hooks {
    level: OnceLock<Box<dyn Fn(Level) + Send + Sync>>,
    notify: OnceLock<Arc<Notify>>,
}

impl Operator {
    pub(crate) fn new(mut running: Running) -> Operator {
        let (facts, watched) = (running.facts(), Mutex::new(running.watched()));
        Operator(Arc::new(Shared {
            running: Mutex::new(running),
            watched,
            facts,
            hooks: Hooks::default(),
            changed: tokio::sync::Notify::new(),
        }))
    }

    /// From now on `set` is told of another `log.level`, and `notify` of each reload.
    pub fn tells(&self, set: Option<Box<dyn Fn(Level) + Send + Sync>>, notify: Option<Arc<Notify>>) {
        // Whoever runs the agent says it once.
        set.into_iter().for_each(|set| drop(self.0.hooks.level.set(set)));
        notify.into_iter().for_each(|notify| drop(self.0.hooks.notify.set(notify)));
    }

    /// Waits until something was taken up, or refused.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// What is known of the agent, for its status.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// Reads the configuration and looks for plugins anew, and takes up all that has changed, or nothing.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub fn reload(&self) -> Result<Reloaded, NotReloaded> {
        let notify = self.0.hooks.notify.get();
        notify.into_iter().for_each(|notify| notify.reloading());
        let done = self.take(Ask::All);
        notify.into_iter().for_each(|notify| notify.ready());
        match &done {
            Ok(reloaded) if reloaded.text.is_empty() => tracing::info!("reloaded: nothing has changed"),
            Ok(reloaded) => tracing::info!("reloaded: {}", reloaded.text.trim_end()),
            Err(refused) => tracing::error!("not reloaded, and as it was: {}", refused.text),
        }
        done
    }

    /// What a reload would change.
    ///
    /// # Errors
    /// Why it would be refused, as far as that is known before anything is started.
    pub fn diff(&self) -> Result<String, NotReloaded> {
        lock(&self.0.running).look(&Ask::All).map(|(_, diff, _)| diff.to_string())
    }

    /// Takes up what has changed in the folders that are watched. Whoever cannot be taken up stays as it was, which is logged once.
    pub fn take_up(&self, unfinished: HashSet<PathBuf>) {
        match self.take(Ask::Seen(unfinished)) {
            Ok(reloaded) if reloaded.text.is_empty() => {}
            Ok(reloaded) => tracing::info!("taken up: {}", reloaded.text.trim_end()),
            Err(refused) => {
                if lock(&self.0.running).is_news(&refused.text) {
                    tracing::error!("not taken up, and as it was: {}", refused.text);
                }
            }
        }
    }

    /// Lets a plugin, or that of a collector, run again where the configuration says, at once.
    ///
    /// # Errors
    /// Nothing is held against it, or what is cannot be written.
    pub fn release(&self, name: &str) -> Result<Reloaded, NotReloaded> {
        let (text, collectors) = lock(&self.0.running).release(name)?;
        let started = self.take(Ask::Released(collectors))?;
        Ok(Reloaded { text: text + &started.text, ..started })
    }

    /// The folders in which something may appear that is to be taken up, with the ending of its name. Waits for nobody.
    pub fn watched(&self) -> Vec<(PathBuf, &'static str)> {
        lock(&self.0.watched).clone()
    }

    fn take(&self, ask: Ask) -> Result<Reloaded, NotReloaded> {
        let mut running = lock(&self.0.running);
        let done = running.take(&ask);
        let level = self.0.hooks.level.get();
        level.into_iter().for_each(|set| set(running.log_level()));
        if !matches!(ask, Ask::Seen(_)) || !matches!(&done, Ok(reloaded) if reloaded.text.is_empty()) {
            self.0.facts.reloaded(&done);
        }
        *lock(&self.0.watched) = running.watched();
        drop(running);
        self.0.changed.notify_one();
        done
    }
}
