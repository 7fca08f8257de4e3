//! Pressure: the share of time in which work waited for processors, memory, disks and interrupts, from `/proc/pressure` (PSI).
//!
//! Scalars and what is derived of them: the kernel counts microseconds, the agent makes the share of the interval. It promises that what
//! this kernel does not count is null, and that a kernel which counts nothing is no failure: it says what would turn that on.
#![forbid(unsafe_code)]

mod psi;

use std::error::Error as _;
use std::io::{Error as IoError, ErrorKind as IoErrorKind};

use plugin_api::options::NoOptions;
use plugin_api::{Collector, Error, Host, ProcFile, Recorder, ScalarId, Schema, perfwatch_plugin};
use psi::{Pressure, Stall};

/// A line of a file: its name in `plugin.toml`, and where it is in a reading.
type Line = (&'static str, fn(&Pressure) -> Option<Stall>);

const FILES: [(&str, &[Line]); 4] = [
    ("cpu", &[SOME]),
    ("memory", &[SOME, FULL]),
    ("io", &[SOME, FULL]),
    // Whom an interrupt takes the processor from is all that runs there: the kernel has `full` alone.
    ("irq", &[FULL]),
];
const SOME: Line = ("some", |pressure| pressure.some);
const FULL: Line = ("full", |pressure| pressure.full);

struct PressureFiles {
    /// Those that this kernel has.
    files: Vec<Resource>,
}

struct Resource {
    name: &'static str,
    file: ProcFile,
    lines: Vec<Metrics>,
}

struct Metrics {
    stall: fn(&Pressure) -> Option<Stall>,
    avg60: ScalarId,
    avg300: ScalarId,
    time: ScalarId,
}

impl Collector for PressureFiles {
    type Options = NoOptions;

    fn new(_: NoOptions, host: &Host, schema: &mut Schema) -> Result<Self, Error> {
        let mut files = Vec::new();
        for (name, lines) in FILES {
            let file = match host.proc(&format!("pressure/{name}")) {
                Err(error) if cause(&error) == Some(IoErrorKind::NotFound) => continue,
                opened => opened?.in_one_read(),
            };
            let lines = lines.iter().map(|(line, stall)| {
                let mut metric = |what: &str| schema.scalar(&format!("{name}.{line}_{what}"));
                let (avg60, avg300) = (metric("avg60_percent")?, metric("avg300_percent")?);
                Ok(Metrics { stall: *stall, avg60, avg300, time: metric("time_us")? })
            });
            files.push(Resource { name, file, lines: lines.collect::<Result<_, Error>>()? });
        }
        if files.is_empty() {
            return Err(unavailable("there is no /proc/pressure"));
        }
        Ok(PressureFiles { files })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let (all, mut failed) = (self.files.len(), Vec::new());
        for Resource { name, file, lines } in &mut self.files {
            match read(file) {
                Ok(pressure) => lines.iter().for_each(|metrics| metrics.set(&pressure, out)),
                Err(error) => failed.push((*name, error)),
            }
        }
        if failed.len() == all {
            // Nothing is left of the reading: the first says why.
            return failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error));
        }
        failed.iter().for_each(|(name, error)| out.part_failed(name, error));
        Ok(())
    }
}

impl Metrics {
    fn set(&self, pressure: &Pressure, out: &mut Recorder) {
        let stall = (self.stall)(pressure);
        out.set(self.avg60, stall.map(|stall| stall.avg60));
        out.set(self.avg300, stall.map(|stall| stall.avg300));
        out.set(self.time, stall.map(|stall| stall.total));
    }
}

fn read(file: &mut ProcFile) -> Result<Pressure, Error> {
    let pressure = Pressure::parse(file.read().map_err(switched_off)?);
    pressure.map_err(|wrong| wrong.of(file.path()))
}

/// A kernel that was started with `psi=0`, or built so that it must be asked for, has the files and refuses to read them (EOPNOTSUPP).
fn switched_off(error: Error) -> Error {
    match cause(&error) {
        Some(IoErrorKind::Unsupported) => unavailable("the kernel counts no pressure"),
        _ => error,
    }
}

fn unavailable(what: &str) -> Error {
    Error::unavailable(format!(
        "{what}: it needs Linux 4.20 with CONFIG_PSI, and `psi=1` on the kernel's command line where the distribution has switched it off"
    ))
}

fn cause(error: &Error) -> Option<IoErrorKind> {
    error.source()?.downcast_ref::<IoError>().map(IoError::kind)
}

perfwatch_plugin!(PressureFiles);

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::ErrorKind;

    #[test]
    fn every_test_case_gives_what_it_expects() {
        plugin_api::host_side::testcase::run_all::<PressureFiles>(include_str!("../plugin.toml"), "testcases");
    }

    #[test]
    fn a_kernel_that_refuses_to_count_has_nothing_here_and_any_other_refusal_is_a_failure() {
        let read = |errno| switched_off(Error::failed("could not read").because(IoError::from_raw_os_error(errno)));
        let (not_supported, input_output) = (95, 5);
        assert_eq!(read(not_supported).kind(), ErrorKind::UNAVAILABLE);
        assert!(read(not_supported).to_string().contains("`psi=1`"));
        assert_eq!(read(input_output).kind(), ErrorKind::FAILED);
    }
}
