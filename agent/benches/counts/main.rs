//! What the agent's own work costs, in instructions: the same number on a calm machine and on a busy one, so that a change that makes a
//! tick dearer is seen in the run that checks it. Times are told too, and judged by nobody.
//!
//! - `cargo bench -p perfwatch --bench counts` counts, and fails where something takes over [`baseline::TOLERATED`] percent more than
//!   `baseline.toml` says
//! - `… --bench counts -- --renew` writes that file anew: with the change that is meant to cost what it costs
//! - `… --bench counts -- --time` prints nanoseconds, with those that a value of a snapshot takes from readings to its JSON
//!
//! What is counted, over captured hosts (`tests/hosts`) whose counters grow from tick to tick (`host.rs`):
//! - `parse.FILE.HOST`: a parser of a plugin's over a kernel file, compiled into this program
//! - `collect.PLUGIN.HOST`: one reading of the released library, loaded as the agent loads it: door, reading of files, check
//! - `assemble.HOST`: readings of the four kernel collectors into a snapshot, rates included
//! - `encode.HOST`: that snapshot as a JSON line
//! - `tick.HOST`: a whole steady tick of the four, from the end of the sleep to the line, in one thread. What it leaves out is what the
//!   collection thread does beside (`schedule/collect.rs`: two locks and a timer), and the hand-over to a sink's thread
//!
//! The counting is valgrind's, by callgrind. `marks.rs` says how one program is counted in parts. Not gungraun, which would do the same:
//! its runner must be built first, for 158 s of CPU on two cores of CI, and its client requests want libclang; what is left to do here is
//! to read one number a part. Nor a profile with symbols: it would compile every dependency once more.
//!
//! Runs, on a busy machine as well, differ by less than 0.4 %, most counts by less than 0.1. The toolchain and the C library do make a difference: a baseline of others than those here is told of, and fails
//! nothing. Functions that the C library chooses by processor are held to the plainest ones (`valgrind.rs`). `plugins` are counted as
//! released, so a change of one shows in `collect` and `tick` alone; those of `parse` are for telling where.
#![allow(clippy::unwrap_used, reason = "what fails here is the measurement")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program with something to say")]

mod baseline;
mod cases;
mod desk;
mod host;
mod marks;
mod parsers;
mod valgrind;

use std::process::ExitCode;

use baseline::Baseline;
use marks::Meter;
// Where a parser looks for it.
use parsers::states;

/// How this program is called to be counted.
const COUNTED: &str = "--counted";

fn main() -> ExitCode {
    // Whoever is called by cargo is given `--bench` as well.
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match asked.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => check(false),
        ["--renew"] => check(true),
        ["--time"] => {
            desk::build();
            let mut meter = Meter::clock();
            cases::all(&mut meter);
            meter.tell_times();
            ExitCode::SUCCESS
        }
        [COUNTED] => {
            let mut meter = Meter::marks();
            cases::all(&mut meter);
            meter.tell_order();
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: counts [--renew | --time]");
            ExitCode::FAILURE
        }
    }
}

fn check(renew: bool) -> ExitCode {
    if !valgrind::is_there() {
        eprintln!("skipped: valgrind is not here, and counts the instructions");
        return if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    desk::build();
    let found = Baseline::here(valgrind::counted());
    if renew {
        found.write();
        return ExitCode::SUCCESS;
    }
    if found.holds_against(&Baseline::read()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
