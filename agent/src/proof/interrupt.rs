//! Ctrl-C, and SIGTERM, in the middle of a test. [E signals]
//!
//! Promises: the child that runs is killed, none is started any more, and whoever waited goes on at once, so that all temporary files go the
//! way on which they go at the end. A second signal ends the process on the spot, as does a file that keeps it waiting for [`PATIENCE`].
#![forbid(unsafe_code)]

use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::strays;
use crate::stop;

/// What a shell has for a process that a signal ended, above the number of that.
const BY_SIGNAL: u8 = 128;

/// How long the end may take: one that waits for a FIFO, as what it was given for a file may be, would never come to it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// As signal(7) has it.
    pub name: &'static str,
    /// What a shell expects of who is ended by it.
    pub code: u8,
}

const INTERRUPT: Interrupt = Interrupt { name: "SIGINT", code: BY_SIGNAL + 2 };
const TERMINATE: Interrupt = Interrupt { name: "SIGTERM", code: BY_SIGNAL + 15 };
const HANG_UP: Interrupt = Interrupt { name: "SIGHUP", code: BY_SIGNAL + 1 };

static TOLD: OnceLock<Interrupt> = OnceLock::new();

/// The signal that has come.
#[must_use]
pub fn told() -> Option<Interrupt> {
    TOLD.get().copied()
}

/// Listens from now on, in a thread of its own.
///
/// # Errors
/// There is no room for a thread or its descriptors.
pub fn listen() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(inside);
    let attend = move || {
        runtime.block_on(async {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => INTERRUPT,
                    _ = terminate.recv() => TERMINATE,
                    _ = hang_up.recv() => HANG_UP,
                }
            };
            // First told, then killed: a child that is started meanwhile finds out.
            let first = next().await;
            TOLD.get_or_init(|| first);
            strays::kill();
            let last = tokio::time::timeout(PATIENCE, next()).await.unwrap_or(first);
            stop::exit(last.code);
        });
    };
    thread::Builder::new().name("signals".into()).spawn(attend)?;
    Ok(())
}
