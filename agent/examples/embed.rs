//! An agent inside another program: what is in three snapshots, a line a collector.
//!
//! `cargo run -p perfwatch --example embed -- perfwatch.toml`
#![expect(clippy::print_stdout, reason = "a program with something to say")]

use std::error::Error;
use std::path::PathBuf;

use perfwatch::agent::Agent;
use perfwatch::child;
use perfwatch::sink::encode::json::Json;
use perfwatch::snapshot::read::AggregatedSnapshot;
use perfwatch::stop;

fn main() -> Result<(), Box<dyn Error>> {
    // First of all: a collector that is to run in a process of its own is this very program, started again.
    if let Some(code) = child::enter() {
        stop::exit(code);
    }
    run()
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Box<dyn Error>> {
    let config = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: embed FILE")?;
    let (agent, mut snapshots) = Agent::from_config(&config)?;
    let mut json = Json::default();
    for _ in 0..3 {
        // Shared with the agent's sinks: it is read and let go of, never changed.
        let Some(snapshot) = snapshots.next().await else { break };
        let line = json.line(&snapshot, 0);
        // As a program reads it that has the line alone: a row a collector, fit for a table with a column of JSONB.
        let read: AggregatedSnapshot = serde_json::from_slice(line)?;
        for row in read.rows() {
            println!("{} {} {}", read.sequence, row.metric_type, row.metric_data);
        }
    }
    let ending = agent.stopped().await?;
    println!("ended, lost {}: {}", snapshots.lost(), if ending.is_clean() { "clean" } else { "not clean" });
    Ok(())
}
