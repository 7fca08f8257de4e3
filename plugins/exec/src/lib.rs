//! What a command prints, as metrics: JSON, or the text format of Prometheus.
//!
//! The command is granted by the operator, who writes its path, and runs in this collector's process and sandbox: a child of the agent,
//! unless the operator says otherwise. `run.rs` has one run of it, `family.rs` its end with all that it started.
//!
//! It promises that a command costs its time and no more: what runs for longer, prints too much or leaves processes behind is killed. It
//! refuses a shell: what is to be put together is put into a script, which can be granted, read and tried by hand.
#![forbid(unsafe_code)]

mod family;
mod json;
mod run;

use std::fmt;
use std::time::{Duration, Instant};

use plugin_api::prometheus::{self, Kind, Sample};
use plugin_api::{
    Collector, ColumnId, Error, Host, Level, Recorder, ScalarId, Schema, TableId, options, perfwatch_plugin,
};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::run::Program;

/// The labels of what has none, as [`Sample::labels`] writes them.
const NO_LABELS: &str = "{}";

#[derive(Deserialize)]
struct Options {
    program: String,
    args: Vec<String>,
    /// `auto`, `json` or `prometheus`, as `plugin.toml` has it: an enum is 2 KB of code.
    format: String,
    timeout: options::Duration,
    environment: Environment,
    exit_codes: Vec<u64>,
}

/// Names and values, in a list: a map of them is 3 KB of code.
struct Environment(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Environment, D::Error> {
        text.deserialize_map(Environment(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Environment {
    type Value = Environment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names and values")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Environment, A::Error> {
        while let Some(entry) = entries.next_entry()? {
            self.0.push(entry);
        }
        Ok(self)
    }
}

struct Exec {
    program: Program,
    path: String,
    format: String,
    timeout: Duration,
    exit_codes: Vec<u64>,
    host: Host,
    /// What it said to standard error last, though it went well.
    said: Option<String>,
    exit_code: ScalarId,
    gauges: TableId,
    value: ColumnId,
    counters: TableId,
    total: ColumnId,
    millionths: ColumnId,
}

impl Collector for Exec {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Exec, Error> {
        let exit_code = schema.scalar("exit_code")?;
        let mut gauges = schema.table("gauges")?;
        let (gauges, value) = (gauges.id(), gauges.column("value")?);
        let mut counters = schema.table("counters")?;
        Ok(Exec {
            path: options.program.clone(),
            program: Program::new(options.program, &options.args, options.environment.0)?,
            format: options.format,
            timeout: options.timeout.0,
            exit_codes: options.exit_codes,
            host: host.clone(),
            said: None,
            exit_code,
            gauges,
            value,
            counters: counters.id(),
            total: counters.column("total")?,
            millionths: counters.column("millionths")?,
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        // Of the reading's own time a tenth is for the end of the command and for its output.
        let most = out.deadline().saturating_duration_since(Instant::now()) * 9 / 10;
        let (time, longer) = if self.timeout <= most {
            (self.timeout, "raise `timeout` in its options")
        } else {
            (most, "raise the `timeout` of the collector, and its `interval` above that")
        };
        let ran = self.program.run(time, longer)?;
        let path = &self.path;
        let code = ran.status.code().and_then(|code| u64::try_from(code).ok());
        let Some(code) = code.filter(|code| self.exit_codes.contains(code)) else {
            let said = ran.complaint.unwrap_or_else(|| "it said nothing on standard error".into());
            let how = ran
                .status
                .code()
                .map_or_else(|| format!("was ended by {}", ran.status), |code| format!("ended with exit code {code}"));
            return Err(Error::failed(format!("{path} {how}: {said}")));
        };
        out.set(self.exit_code, code);
        let said = ran.complaint.map(|line| format!("{path} said: {line}"));
        self.put(&ran.output, out).map_err(|wrong| match &said {
            Some(said) => Error::failed(format!("{wrong}; {said}")),
            None => Error::failed(wrong),
        })?;
        // Its numbers count; what it complains about all the same is told once.
        if said != self.said {
            said.iter().for_each(|said| self.host.log(Level::Info, said));
            self.said = said;
        }
        Ok(())
    }
}

impl Exec {
    /// What it printed into rows; of a text of Prometheus what comes before a fault, too.
    fn put(&self, output: &[u8], out: &mut Recorder) -> Result<(), String> {
        let unreadable = |cause: &dyn fmt::Display| format!("could not parse what {} printed: {cause}", self.path);
        let begins_json = || matches!(output.trim_ascii_start(), [b'{' | b'[', ..]);
        if self.format == "json" || self.format == "auto" && begins_json() {
            let put = |name: &str, number: f64| out.row(self.gauges, [name, NO_LABELS]).set(self.value, number);
            return json::numbers(output, put).map_err(|cause| unreadable(&cause));
        }
        let mut is_first = true;
        for sample in prometheus::samples(output) {
            match sample {
                Ok(sample) => self.put_sample(&sample, out),
                Err(wrong) if is_first => return Err(unreadable(&wrong)),
                Err(wrong) => out.part_failed("output", &*unreadable(&wrong)),
            }
            is_first = false;
        }
        Ok(())
    }

    fn put_sample(&self, sample: &Sample<'_>, out: &mut Recorder) {
        let key = [sample.name, &*sample.labels];
        // What is not finite is no number to measure with.
        let value = Some(sample.value).filter(|value| value.is_finite());
        if sample.kind == Kind::Counter {
            let mut row = out.row(self.counters, key);
            row.set(self.total, value);
            row.set(self.millionths, sample.millionths());
        } else {
            out.row(self.gauges, key).set(self.value, value);
        }
    }
}

perfwatch_plugin!(Exec);

#[cfg(test)]
mod tests {
    #[test]
    fn every_test_case_gives_what_it_expects() {
        plugin_api::host_side::testcase::run_all::<super::Exec>(include_str!("../plugin.toml"), "testcases");
    }
}
