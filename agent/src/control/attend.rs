//! The agent's main thread while the agent runs: it hears signals, the control socket, the watched folders and the service manager,
//! and has done what each is about. Nothing here takes time: what does has a thread of its own, one at a time.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::Signal;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::notify::{Notify, watchdog_period};
use super::server::{self, Answering};
use super::socket::Listener;
use super::status::Status;
use super::watch::{Target, Watch};
use super::wire::Reply;
use crate::agent::Agent;
use crate::harmless;
use crate::reload::{NotReloaded, Operator, Reloaded};
use crate::resident;
use crate::schedule::change::Changes;

/// How often the service manager is told how the agent is, where there is one: as often as the agent reads itself.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// The part of half of the watchdog's time after which somebody looks again who saw no good.
const AGAIN: u32 = 8;
/// When the agent counts as started though its first snapshot is still to come: somebody may take its time, and who waits for the
/// service manager's start must not wait for that. Well below the unit's `TimeoutStartSec=`.
pub const READY_AT_LATEST: Duration = Duration::from_secs(10);
/// How long after a start or a change it is let go of what they have left in memory: by then two ticks of the default interval have been, and
/// whoever changes several things is through.
const LET_GO_AFTER: Duration = Duration::from_secs(10);

/// The signals that are heard.
pub struct Signals {
    /// SIGINT.
    pub interrupt: Signal,
    /// SIGTERM.
    pub terminate: Signal,
    /// SIGHUP.
    pub hang_up: Signal,
}

/// What the main thread attends to.
pub struct Attendance {
    operator: Operator,
    changes: Changes,
    notify: Option<Arc<Notify>>,
    watch: Option<Watch>,
    wanted: Wanted,
    /// What goes on, on a thread of its own.
    at_work: Option<oneshot::Receiver<()>>,
    /// The signs of life that the service manager wants.
    watchdog: Option<Watchdog>,
    told: String,
    tell_at: Instant,
    /// When to let go of what the start, or the last change, has left in memory.
    let_go_at: Option<Instant>,
    /// When configuration and plugins were read, where nobody has looked since.
    looked: Option<SystemTime>,
}

/// What is to be done next.
#[derive(Default)]
struct Wanted {
    reload: bool,
    seen: Option<HashSet<PathBuf>>,
}

struct Watchdog {
    /// Half of what the manager waits.
    every: Duration,
    next: Instant,
    /// Somebody looks whether the agent is well.
    looks: Option<oneshot::Receiver<bool>>,
    is_well: bool,
}

impl Attendance {
    /// Begins to be there for this agent, whose configuration and plugins were read after `looked`. What cannot be had is said, and the agent does without.
    pub fn new(agent: &Agent, operator: Operator, notify: Option<Arc<Notify>>, looked: SystemTime) -> Attendance {
        let now = Instant::now();
        let every = notify.as_ref().and_then(|_| watchdog_period()).map(|period| period / 2);
        let watchdog = every.map(|every| Watchdog { every, next: now, looks: None, is_well: true });
        let changes = agent.changes();
        let (watch, wanted, at_work, told, looked) = (None, Wanted::default(), None, String::new(), Some(looked));
        let let_go_at = Some(now + LET_GO_AFTER);
        let mut attendance = Attendance {
            operator,
            changes,
            notify,
            watch,
            wanted,
            at_work,
            watchdog,
            told,
            tell_at: now,
            let_go_at,
            looked,
        };
        attendance.watch();
        attendance
    }

    /// Listens at the control socket, as long as the runtime that this is called in runs.
    pub fn listen(&self, path: Option<&Path>) {
        let Some(path) = path else { return };
        match Listener::bind(path) {
            Ok(listener) => {
                let asked = self.operator.clone();
                tokio::spawn(async move {
                    let cause = server::serve(listener, asked).await;
                    tracing::error!("the control socket is not answered: {cause}");
                });
            }
            Err(cause) => {
                tracing::error!("could not listen at {}: {cause}; the agent cannot be asked", harmless::path(path));
            }
        }
    }

    /// Attends until a signal ends the agent, and gives its name; none where nobody reads what it writes any more.
    pub async fn attend(&mut self, agent: &Agent, signals: &mut Signals) -> Option<&'static str> {
        let mut has_begun = false;
        let ready_by = Instant::now() + READY_AT_LATEST;
        loop {
            self.begin_work();
            let (tell_at, watchdog_at) = (self.tell_at, self.watchdog.as_ref().map(|watchdog| watchdog.next));
            let let_go_at = self.let_go_at;
            let (tells, operator) = (has_begun && self.notify.is_some(), self.operator.clone());
            let looks = self.watchdog.as_mut().and_then(|watchdog| watchdog.looks.as_mut());
            tokio::select! {
                _ = signals.interrupt.recv() => return Some("SIGINT"),
                _ = signals.terminate.recv() => return Some("SIGTERM"),
                _ = signals.hang_up.recv() => {
                    tracing::info!("SIGHUP: reads its configuration anew, and the sinks reopen their files");
                    agent.reopen();
                    self.wanted.reload = true;
                }
                () = agent.begun(), if !has_begun => has_begun = self.begin(),
                () = sleep_until(ready_by), if !has_begun => has_begun = self.begin(),
                unfinished = seen(&mut self.watch) => self.wanted.seen = Some(unfinished),
                _ = of(self.at_work.as_mut()) => self.at_work = None,
                () = operator.changed() => {
                    self.watch();
                    self.let_go_at = Some(Instant::now() + LET_GO_AFTER);
                    self.tell_at = Instant::now();
                }
                is_well = of(looks) => self.has_looked(is_well.unwrap_or(false)),
                () = sleep_until(watchdog_at.unwrap_or(tell_at)), if watchdog_at.is_some() => self.look(),
                () = sleep_until(tell_at), if tells => self.tell(),
                () = sleep_until(let_go_at.unwrap_or(tell_at)), if let_go_at.is_some() => {
                    self.let_go_at = None;
                    resident::let_go();
                }
                () = agent.closed() => return None,
            }
        }
    }

    fn begin(&self) -> bool {
        self.notify.iter().for_each(|notify| notify.ready());
        true
    }

    /// Watches what is to be watched by now.
    fn watch(&mut self) {
        let targets: Vec<_> =
            self.operator.watched().into_iter().map(|(folder, ending)| Target { folder, ending }).collect();
        match &mut self.watch {
            _ if targets.is_empty() => self.watch = None,
            Some(watch) => watch.retarget(targets),
            watch => match Watch::new(targets, self.looked.take()) {
                Ok(new) => *watch = Some(new),
                Err(cause) => {
                    tracing::error!(
                        "could not watch for plugins and conf.d: {cause}; perfwatch reload takes changes up"
                    );
                }
            },
        }
    }

    /// Gives the next thing that takes time to a thread, where none is at work.
    fn begin_work(&mut self) {
        if self.at_work.is_some() {
            return;
        }
        let operator = self.operator.clone();
        let (done, at_work) = oneshot::channel();
        let act: Box<dyn FnOnce() + Send> = if std::mem::take(&mut self.wanted.reload) {
            // It has logged what came of it.
            Box::new(move || drop(operator.reload()))
        } else if let Some(unfinished) = self.wanted.seen.take() {
            Box::new(move || operator.take_up(unfinished))
        } else {
            return;
        };
        self.at_work = Some(at_work);
        on_a_thread(move || {
            act();
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
    }

    /// Has somebody look whether the agent is well, who may have to wait for that.
    fn look(&mut self) {
        let Some(watchdog) = &mut self.watchdog else { return };
        watchdog.next = Instant::now() + watchdog.every;
        if watchdog.looks.is_some() {
            return;
        }
        let (changes, every) = (self.changes.clone(), watchdog.every);
        let (done, looks) = oneshot::channel();
        watchdog.looks = Some(looks);
        on_a_thread(move || {
            // Nobody may be waiting any more.
            let _ = done.send(changes.is_well(every / 2, every));
        });
    }

    fn has_looked(&mut self, is_well: bool) {
        let Some(watchdog) = &mut self.watchdog else { return };
        watchdog.looks = None;
        let was_well = std::mem::replace(&mut watchdog.is_well, is_well);
        if !is_well {
            // By then half of the manager's time is over, and a moment of weakness must not cost the other.
            watchdog.next = Instant::now() + watchdog.every / AGAIN;
        }
        if is_well {
            self.notify.iter().for_each(|notify| notify.watchdog());
        } else if was_well {
            tracing::error!(
                "the collection does not answer, or is late by more than half of the watchdog's time: the service manager gets no sign of life until it does"
            );
        }
    }

    /// Tells the service manager how the agent is, where that has changed.
    fn tell(&mut self) {
        self.tell_at = Instant::now() + STATUS_EVERY;
        let told = self.operator.facts().in_a_line();
        if told != self.told {
            self.notify.iter().for_each(|notify| notify.status(&told));
            self.told = told;
        }
    }
}

fn on_a_thread(act: impl FnOnce() + Send + 'static) {
    // Dropped with what it was to do, it has told whoever waits.
    if let Err(cause) = thread::Builder::new().name("reload".into()).spawn(act) {
        tracing::error!("could not start a thread: {cause}; nothing has changed");
    }
}

/// What was seen in the watched folders; for ever nothing where none are.
async fn seen(watch: &mut Option<Watch>) -> HashSet<PathBuf> {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// What somebody on a thread of its own comes to, none where that thread could not do it; for ever nothing where nobody is at it.
async fn of<T>(done: Option<&mut oneshot::Receiver<T>>) -> Option<T> {
    match done {
        Some(done) => done.await.ok(),
        None => std::future::pending().await,
    }
}

impl Answering for Operator {
    fn status(&self) -> Status {
        self.facts().status()
    }

    fn reload(&self) -> Reply {
        reply(Operator::reload(self))
    }

    fn diff(&self) -> Reply {
        match Operator::diff(self) {
            Ok(text) if text.is_empty() => Reply::done("nothing would change\n"),
            Ok(text) => Reply::done(text),
            Err(refused) => Reply::refused(refused.code, refused.text),
        }
    }

    fn release(&self, name: &str) -> Reply {
        reply(Operator::release(self, name))
    }
}

fn reply(done: Result<Reloaded, NotReloaded>) -> Reply {
    match done {
        Ok(reloaded) => Reply::done(reloaded.to_string()),
        Err(refused) => Reply::refused(refused.code, refused.text),
    }
}
