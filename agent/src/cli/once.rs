//! `perfwatch once`: one snapshot with rates in it.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::sync::Notify;

use super::{Invocation, code};
use crate::agent::{Agent, Parts, Snapshots};
use crate::assemble::Timing;
use crate::schedule::ledger::Ledger;
use crate::schedule::{INTERVALS, clock};
use crate::setup::{Crew, Setup, SetupError};
use crate::sink::encode::json::Json;
use crate::sink::stdout::{Format, Stdout};
use crate::sink::{Sink as _, SinkError, Sinks};
use crate::snapshot::Snapshot;
use crate::stdio;

/// Take two readings a window apart and print the second, with its rates
#[derive(Debug, Args)]
#[command(after_help = "Example: perfwatch once --format json | jq .cpu.usage_percent")]
pub(super) struct Once {
    /// How it is printed; a table on a terminal, else JSON
    #[arg(long, value_enum)]
    format: Option<Shape>,
    /// What the rates span: 10ms to 1h
    #[arg(long, default_value = "1s", value_parser = window)]
    window: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    Json,
    Table,
}

fn window(text: &str) -> Result<Duration, String> {
    let window = humantime::parse_duration(text).map_err(|cause| cause.to_string())?;
    if (INTERVALS.0..=Duration::from_secs(3600)).contains(&window) { Ok(window) } else { Err("10ms to 1h".into()) }
}

pub(super) fn once(invocation: &Invocation, once: &Once) -> u8 {
    let (setup, log) = match invocation.begin(Setup::read) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let code = match take(&setup, once.window) {
        Ok((output, snapshot)) => print(output, &snapshot, once.format),
        Err(error) => super::refuse(&error),
    };
    log.flush();
    code
}

fn take(setup: &Setup, window: Duration) -> Result<(File, Arc<Snapshot>), SetupError> {
    setup.can_run()?;
    let output = stdio::guard().map_err(|cause| SetupError::System("move standard output", cause))?;
    // A grid whose next tick is a window away: everything is due at the start, and again there.
    let offset = Duration::from_nanos(clock::wall().0);
    let timing = |timing: Timing| Timing { interval: window, offset, timeout: timing.timeout.min(window) };
    let ledger = Arc::new(Ledger::default());
    let Crew { mut recruits, slots, .. } = setup.recruits(&timing)?;
    let sinks = Sinks::default();
    recruits.push(setup.own(&ledger, &sinks, &timing));
    let (feed, mut snapshots) = Snapshots::channel();
    let parts =
        Parts { identity: setup.identity()?, ledger, recruits, slots, sinks, streams: vec![feed], snapshots: Some(2) };
    let system = |cause| SetupError::System("start the collection", cause);
    let agent = Agent::start(parts, Arc::new(Notify::new())).map_err(system)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(system)?;
    let last = runtime.block_on(async {
        snapshots.next().await;
        snapshots.next().await
    });
    agent.stop();
    let last = last.ok_or_else(|| system(std::io::Error::other("it ended before the second reading")))?;
    Ok((output, last))
}

fn print(output: File, snapshot: &Snapshot, format: Option<Shape>) -> u8 {
    let format = match format {
        None => Format::auto(&output, false),
        Some(Shape::Json) => Format::Json(Json::default()),
        Some(Shape::Table) => Format::table(&output, false),
    };
    match Stdout::new(output, format).accept(snapshot, 0) {
        Ok(()) => code::OK,
        // Whoever asked has gone.
        Err(SinkError::Closed) => code::OK,
        Err(SinkError::Failed(cause)) => super::fail(&format!("could not write to standard output: {cause}")),
    }
}
