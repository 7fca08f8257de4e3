//! `perfwatch run`: until a signal ends it, or nobody reads what it writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Level;

use super::{Invocation, code};
use crate::agent::{Agent, Calls, Ending, SHUTDOWN};
use crate::control::attend::{Attendance, Signals};
use crate::control::notify::Notify;
use crate::log::Log;
use crate::reload::Operator;
use crate::resident;
use crate::setup::{Setup, SetupError};
use crate::stdio;
use crate::stop;

/// A second signal so soon after the first is the same one: timeout(1) sends its own to the child and to the child's group,
/// and a finger on Ctrl-C takes longer.
const SAME_SIGNAL: Duration = Duration::from_millis(100);
/// What listening to signals takes is 6: a selector and its copy, a waker, a pair of sockets and a copy of one.
const DESCRIPTORS: usize = 8;
/// What may happen at once on signals, watched folders and the control socket is taken up so many at a time, in 12 bytes each; tokio's own
/// is 1024.
const EVENTS: usize = 64;

pub(super) fn run(invocation: &Invocation) -> u8 {
    let looked = SystemTime::now();
    // Apart, and as long as the trials that it starts: a child does not outlive the thread that it is started from.
    let begun = resident::apart(|| {
        let (setup, log) = invocation.begin(Setup::read_or_last_good)?;
        Ok((start(setup), log))
    });
    let (begun, log) = match begun {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let level = invocation.log_level;
    let code = match begun {
        Ok(begun) => serve(begun, &log, level, looked),
        Err(error) => super::refuse(&error),
    };
    log.flush();
    code
}

/// The agent, with what the process has for it.
struct Begun {
    runtime: Runtime,
    signals: Signals,
    /// Heard and ignored: a limit of file size is a failed write, not the end.
    _file_size: Signal,
    agent: Agent,
    operator: Operator,
    control: Option<PathBuf>,
}

/// Signals are the agent's before the first library is loaded. Those that end it are so only after: until then there is nothing to
/// bring to an end, and a library that hangs while it is loaded can be interrupted as any program can.
fn start(setup: Setup) -> Result<Begun, SetupError> {
    setup.can_run()?;
    // Before the first library is loaded: whatever it prints must not get into the data.
    let output = stdio::guard().map_err(|cause| SetupError::System("move standard output", cause))?;
    let failed = |cause| SetupError::System("listen to signals", cause);
    // tokio panics where descriptors run out in the middle of this.
    let room: Result<Vec<_>, _> =
        (0..DESCRIPTORS).map(|_| rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)).collect();
    drop(room.map_err(|errno| failed(errno.into()))?);
    let runtime = tokio::runtime::Builder::new_current_thread().max_io_events_per_tick(EVENTS).enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let inside = runtime.enter();
    let hear = |kind| signal(kind).map_err(failed);
    let hang_up = hear(SignalKind::hangup())?;
    let _file_size = hear(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    // Before anything of the collectors: this may be where the configuration turns out to be none to run by.
    let (setup, opened) = setup.open_or_last_good(Some(Arc::new(output)))?;
    let crew = setup.recruits(&|timing| timing)?;
    let signals =
        Signals { interrupt: hear(SignalKind::interrupt())?, terminate: hear(SignalKind::terminate())?, hang_up };
    drop(inside);
    let control = setup.plan.agent.control.clone();
    let (agent, operator) = setup.start(crew, opened, Vec::new())?;
    Ok(Begun { runtime, signals, _file_size, agent, operator, control })
}

fn serve(begun: Begun, log: &Log, level: Option<Level>, looked: SystemTime) -> u8 {
    let Begun { runtime, mut signals, agent, operator, control, .. } = begun;
    let notify = Notify::from_env().map(Arc::new);
    // What the command line says holds whatever the configuration does.
    let follows = log.clone();
    let set = level.is_none().then(|| Box::new(move |level: Level| follows.set_level(level.into())) as Box<_>);
    operator.tells(set, notify.clone());
    let inside = runtime.enter();
    let mut attendance = Attendance::new(&agent, operator, notify.clone(), looked);
    attendance.listen(control.as_deref());
    drop(inside);
    let ended_by = runtime.block_on(attendance.attend(&agent, &mut signals));
    notify.iter().for_each(|notify| notify.stopping());
    match ended_by {
        Some(signal) => tracing::info!("ends: {signal}"),
        // Quietly: `perfwatch | head -1` is no event.
        None => tracing::debug!("ends: nobody reads its output any more, or nothing is collected"),
    }
    let (first, calls) = (Instant::now(), agent.calls());
    // The end has its own thread, so that a second signal is heard meanwhile.
    let (done, mut ending) = tokio::sync::oneshot::channel();
    let (hand_over, handed) = std::sync::mpsc::sync_channel::<Agent>(1);
    let stopping = thread::Builder::new().name("stop".into()).spawn(move || {
        let Ok(agent) = handed.recv() else { return };
        // Nobody may be waiting any more: a second signal has come.
        let _ = done.send(agent.stop());
    });
    if let Err(cause) = stopping {
        tracing::warn!(%cause, "could not start a thread to end in: a second signal is not heard");
        return say(&agent.stop());
    }
    hand_over.send(agent).expect("the thread that was started takes what it is sent");
    runtime.block_on(async {
        loop {
            let again = tokio::select! {
                ended = &mut ending => return ended.map_or(code::FAILED, |ended| say(&ended)),
                _ = signals.interrupt.recv() => "SIGINT",
                _ = signals.terminate.recv() => "SIGTERM",
            };
            if Some(again) != ended_by || first.elapsed() > SAME_SIGNAL {
                second(log, &calls);
            }
        }
    })
}

fn second(log: &Log, calls: &Calls) -> ! {
    calls.forget();
    tracing::warn!("ends at once, at a second signal");
    log.flush();
    stop::exit(code::FAILED)
}

fn say(ending: &Ending) -> u8 {
    let limit = SHUTDOWN.as_secs();
    if ending.stuck {
        tracing::error!(
            "a collector did not come back from a call within {limit} s, and is left behind: the last snapshot is lost"
        );
    }
    for (sink, waiting) in &ending.unwritten {
        tracing::error!(
            sink = &**sink,
            "did not end within {limit} s: {waiting} snapshots and the one being written are lost"
        );
    }
    for (sink, count) in &ending.untold {
        tracing::error!(sink = &**sink, "the last {count} snapshots could not be written, and are lost");
    }
    if ending.is_clean() { code::OK } else { code::FAILED }
}
