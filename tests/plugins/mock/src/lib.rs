//! A plugin for tests that plays a script: see its README.
#![forbid(unsafe_code)]

mod script;

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, hint, io, process, thread};

use plugin_api::{
    Collector, ColumnId, Error, Host, IntoCell, Recorder, Row, ScalarId, Schema, TableId, perfwatch_plugin,
};
use script::{COLUMNS, Failure, METRICS, Script, Step, Value};

#[derive(serde::Deserialize)]
struct Options {
    script: PathBuf,
}

struct Mock {
    script: Script,
    next: usize,
    metrics: Vec<ScalarId>,
    rows: TableId,
    columns: Vec<ColumnId>,
}

impl Collector for Mock {
    type Options = Options;

    fn new(options: Options, _host: &Host, schema: &mut Schema) -> Result<Mock, Error> {
        let unreadable = || format!("could not read the script {}", options.script.display());
        let text = fs::read_to_string(&options.script).map_err(|cause| Error::failed(unreadable()).because(cause))?;
        let script = script::parse(&text).map_err(|cause| Error::failed(unreadable()).because(cause))?;
        for step in &script.new {
            play(step)?;
        }
        let metrics = METRICS.iter().map(|name| schema.scalar(name)).collect::<Result<_, _>>()?;
        let mut table = schema.table("rows")?;
        let columns = COLUMNS.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?;
        Ok(Mock { rows: table.id(), script, next: 0, metrics, columns })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let last = self.script.readings.len().saturating_sub(1);
        let reading = self.script.readings.get(self.next.min(last));
        self.next += 1;
        for step in reading.into_iter().flatten() {
            match step {
                Step::Set(metric, value) => set(value, Place::Metric(out, self.metrics[metric.0])),
                Step::Row { key, cells } => {
                    let mut row = out.row(self.rows, key.as_str());
                    for (column, value) in cells {
                        set(value, Place::Column(&mut row, self.columns[column.0]));
                    }
                }
                Step::RowFailed { key, message } => out.row_failed(self.rows, key.as_str(), message),
                Step::PartFailed { part, message } => out.part_failed(part, message.as_str()),
                Step::Flood { rows } => {
                    for number in 0..*rows {
                        out.row(self.rows, number.to_string().as_str()).set(self.columns[0], number as f64);
                    }
                }
                // Not kept: what a script floods with is not what the process has.
                Step::FloodText { bytes } => out.set_text(self.metrics[5], &"x".repeat(*bytes)),
                other => play(other)?,
            }
        }
        Ok(())
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        for step in &self.script.drop {
            if let Err(error) = play(step) {
                panic!("{}", error.chain());
            }
        }
    }
}

/// What can be done at any time.
fn play(step: &Step) -> Result<(), Error> {
    match step {
        Step::Fail(Failure::Failed, message) => return Err(Error::failed(message)),
        Step::Fail(Failure::Unavailable, message) => return Err(Error::unavailable(message)),
        Step::Fail(Failure::Denied, message) => return Err(Error::denied(message)),
        Step::Panic(message) => panic!("{message}"),
        Step::Sleep(time) => thread::sleep(*time),
        Step::Burn(time) => burn(*time).map_err(|cause| Error::failed("could not read its CPU time").because(cause))?,
        Step::Hang => loop {
            thread::park();
        },
        Step::Print(text) => println!("{text}"),
        Step::Allocate { times } => {
            for number in 0..*times {
                drop(hint::black_box(Box::new(number)));
            }
        }
        Step::Exit(code) => process::exit(*code),
        Step::Abort => process::abort(),
        other => return Err(Error::failed(format!("only in a reading: {other:?}"))),
    }
    Ok(())
}

/// Computes for so much CPU time of this thread.
fn burn(time: Duration) -> io::Result<()> {
    let end = cpu_time()? + time;
    while cpu_time()? < end {}
    Ok(())
}

/// The first number of the file (proc_pid_schedstat(5)).
fn cpu_time() -> io::Result<Duration> {
    let numbers = fs::read_to_string("/proc/thread-self/schedstat")?;
    let spent = numbers.split(' ').next().and_then(|number| number.parse().ok());
    spent.map(Duration::from_nanos).ok_or(io::ErrorKind::InvalidData.into())
}

enum Place<'a, 'frame> {
    Metric(&'a mut Recorder<'frame>, ScalarId),
    Column(&'a mut Row<'frame>, ColumnId),
}

fn set(value: &Value, place: Place<'_, '_>) {
    match value {
        Value::Float(value) => set_number(*value, place),
        Value::Unsigned(value) => set_number(*value, place),
        Value::Signed(value) => set_number(*value, place),
        Value::Truth(value) => set_number(*value, place),
        Value::Text(text) => match place {
            Place::Metric(out, metric) => out.set_text(metric, text),
            Place::Column(row, column) => row.set_text(column, text),
        },
    }
}

fn set_number(value: impl IntoCell, place: Place<'_, '_>) {
    match place {
        Place::Metric(out, metric) => out.set(metric, value),
        Place::Column(row, column) => row.set(column, value),
    }
}

perfwatch_plugin!(Mock);
