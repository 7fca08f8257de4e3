//! Ctrl-C, and SIGTERM, in the middle of a test. [E signals]
//!
//! Promises: the child that runs is killed, none is started any more, and whoever waited goes on at once, so that all temporary files go the
//! way on which they go at the end. A second signal ends the process on the spot.
#![forbid(unsafe_code)]

use std::io;
use std::sync::OnceLock;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::strays;
use crate::stop;

/// What a shell has for a process that a signal ended, above the number of that.
const BY_SIGNAL: u8 = 128;

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
            loop {
                let now = tokio::select! {
                    _ = interrupt.recv() => INTERRUPT,
                    _ = terminate.recv() => TERMINATE,
                    _ = hang_up.recv() => HANG_UP,
                };
                // First told, then killed: a child that is started meanwhile finds out.
                if TOLD.set(now).is_err() {
                    stop::exit(now.code);
                }
                strays::kill();
            }
        });
    };
    thread::Builder::new().name("signals".into()).spawn(attend)?;
    Ok(())
}
