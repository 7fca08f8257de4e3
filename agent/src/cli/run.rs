//! `perfwatch run`: until a signal ends it, or nobody reads what it writes.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Invocation, code};
use crate::agent::{Agent, Calls, Ending, SHUTDOWN};
use crate::setup::{Setup, SetupError};
use crate::stdio;
use crate::stop;

/// A second signal so soon after the first is the same one: timeout(1) sends its own to the child and to the child's group,
/// and a finger on Ctrl-C takes longer.
const SAME_SIGNAL: Duration = Duration::from_millis(100);
/// What listening to signals takes is 6: a selector and its copy, a waker, a pair of sockets and a copy of one.
const DESCRIPTORS: usize = 8;

pub(super) fn run(invocation: &Invocation) -> u8 {
    let (setup, log) = match invocation.begin(Setup::read_or_last_good) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let code = match start(&setup) {
        Ok((signals, agent)) => {
            setup.keep_good();
            serve(signals, agent, &log)
        }
        Err(error) => super::refuse(&error),
    };
    log.flush();
    code
}

/// The signals that the agent knows.
struct Signals {
    runtime: tokio::runtime::Runtime,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// Heard and ignored: a limit of file size is a failed write, not the end.
    _file_size: Signal,
}

impl Signals {
    /// From now on they are the agent's. Those that end it are so only after `load`: until then there is nothing to bring
    /// to an end, and a library that hangs while it is loaded can be interrupted as any program can.
    fn catch<T>(load: impl FnOnce() -> Result<T, SetupError>) -> Result<(Signals, T), SetupError> {
        let failed = |cause| SetupError::System("listen to signals", cause);
        // tokio panics where descriptors run out in the middle of this.
        let room: Result<Vec<_>, _> =
            (0..DESCRIPTORS).map(|_| rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)).collect();
        drop(room.map_err(|errno| failed(errno.into()))?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let inside = runtime.enter();
        let hear = |kind| signal(kind).map_err(failed);
        let hang_up = hear(SignalKind::hangup())?;
        let _file_size = hear(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        let loaded = load()?;
        let (interrupt, terminate) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
        drop(inside);
        Ok((Signals { runtime, interrupt, terminate, hang_up, _file_size }, loaded))
    }
}

fn start(setup: &Setup) -> Result<(Signals, Agent), SetupError> {
    setup.can_run()?;
    // Before the first library is loaded: whatever it prints must not get into the data.
    let output = stdio::guard().map_err(|cause| SetupError::System("move standard output", cause))?;
    let (signals, recruits) = Signals::catch(|| setup.recruits(&|timing| timing))?;
    let agent = setup.start(recruits, Some(&output), Vec::new())?;
    Ok((signals, agent))
}

fn serve(mut signals: Signals, agent: Agent, log: &crate::log::Log) -> u8 {
    let runtime = signals.runtime;
    let ended_by = runtime.block_on(async {
        loop {
            tokio::select! {
                _ = signals.interrupt.recv() => return Some("SIGINT"),
                _ = signals.terminate.recv() => return Some("SIGTERM"),
                _ = signals.hang_up.recv() => {
                    tracing::info!("SIGHUP: the sinks reopen their files");
                    agent.reopen();
                }
                () = agent.closed() => return None,
            }
        }
    });
    match ended_by {
        Some(signal) => tracing::info!("ends: {signal}"),
        // Quietly: `perfwatch | head -1` is no event.
        None => tracing::debug!("ends: nobody reads its output any more, or nothing is collected"),
    }
    let (first, calls) = (Instant::now(), agent.calls());
    // The end has its own thread, so that a second signal is heard meanwhile.
    let (done, mut ending) = tokio::sync::oneshot::channel();
    let (hand_over, handed) = std::sync::mpsc::sync_channel::<Agent>(1);
    let stopping = std::thread::Builder::new().name("stop".into()).spawn(move || {
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

fn second(log: &crate::log::Log, calls: &Calls) -> ! {
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
