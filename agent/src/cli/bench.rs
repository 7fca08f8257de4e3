//! `perfwatch bench`: what the agent costs on this very machine, collector by collector.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use plugin_api::host_side::fault::closest;

use super::{Invocation, code, fail, judge};
use crate::bench::{self, CYCLES_MAX, Report, Terms};
use crate::harmless;
use crate::schedule::INTERVALS;
use crate::setup::{Setup, SetupError};
use crate::stdio;

const ABOUT: &str = "\
Runs the collectors where they would run, in the agent or in a child, once each --interval, and writes what they say as JSON to /dev/null; the
sinks of the config are left alone. Prints the CPU time of a reading of each, what the rest of a cycle costs, and beside it what nothing costs
on this machine at this moment; the last line says whether it is too noisy to be trusted. Ctrl-C ends it early, with what there is.

Examples:
  perfwatch bench
  perfwatch bench -c perfwatch.toml --for 60s --collectors cpu,disk
  perfwatch bench --report json | jq '.collectors[] | {name, cpu: .cpu_seconds.median}'";

/// Measure what the agent costs on this machine, collector by collector, with the noise of the measurement beside it
#[derive(Debug, Args)]
#[command(after_help = ABOUT)]
pub(super) struct Bench {
    /// How long: at least two intervals
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// How often all collectors are read: 10ms to 1h. What they cost as configured is worked out
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// These alone, of those that the config has
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    collectors: Vec<String>,
    /// What is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    report: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|cause| cause.to_string())?;
    let longest = Duration::from_secs(3600);
    if (INTERVALS.0..=longest).contains(&interval) { Ok(interval) } else { Err("10ms to 1h".into()) }
}

pub(super) fn bench(invocation: &Invocation, bench: &Bench) -> u8 {
    let (mut setup, log) = match invocation.begin(Setup::read) {
        Ok(begun) => begun,
        Err(code) => return code,
    };
    let terms = match terms(bench).and_then(|terms| only(&mut setup, &bench.collectors).map(|()| terms)) {
        Ok(terms) => terms,
        Err(why) => {
            fail(&why);
            return code::USAGE;
        }
    };
    let code = match measure(&setup, terms) {
        Ok((output, report)) => print(output, &report, bench.report),
        Err(error) => super::refuse(&error),
    };
    log.flush();
    code
}

fn terms(bench: &Bench) -> Result<Terms, String> {
    let cycles = bench.time.as_nanos() / bench.interval.as_nanos();
    match u32::try_from(cycles) {
        Ok(cycles @ 2..=CYCLES_MAX) => Ok(Terms { interval: bench.interval, cycles }),
        Ok(0 | 1) => Err("--for is less than two intervals: nothing could be told from chance".into()),
        _ => Err(format!("--for is more than {CYCLES_MAX} intervals")),
    }
}

/// Leaves the collectors of these names alone in the plan; all where there are none.
fn only(setup: &mut Setup, names: &[String]) -> Result<(), String> {
    let known: Vec<_> = setup.plan.collectors.iter().map(|collector| collector.name.as_str()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let meant = closest(name, &known).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        return Err(format!("no collector `{name}` runs by this config, of {}{meant}", known.join(", ")));
    }
    if !names.is_empty() {
        setup.plan.collectors.retain(|collector| names.contains(&collector.name));
    }
    Ok(())
}

fn measure(setup: &Setup, terms: Terms) -> Result<(File, Report), SetupError> {
    setup.can_run()?;
    // Before the first library is loaded: whatever it prints must not get into the report.
    let output = stdio::guard().map_err(|cause| SetupError::System("move standard output", cause))?;
    Ok((output, bench::measure(setup, terms)?))
}

fn print(mut output: File, report: &Report, format: Format) -> u8 {
    let text = match format {
        Format::Text => report.text(),
        Format::Json => report.json(),
    };
    judge(output.write_all(harmless::text(&text).as_bytes()))
}
