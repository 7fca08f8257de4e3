//! `perfwatch once`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::Notify;

use super::code;
use crate::agent::Agent;

/// Take one snapshot and print it.
#[derive(Debug, Args)]
pub(super) struct Once {
    /// How long the growth spans
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    window: Duration,
}

pub(super) fn once(_config: Option<&Path>, once: &Once) -> u8 {
    let closed = Arc::new(Notify::new());
    let agent = Agent::start(super::run::parts(&closed, once.window, Some(2)), Arc::clone(&closed)).expect("start");
    agent.wait(once.window * 3);
    agent.stop();
    code::OK
}
