//! `perfwatch plugins test`: a library goes through what a host will do to it. What of its code runs, runs in child processes.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::ValueEnum;

use super::{code, fail, print};
use crate::proof::{self, Verdict, Wanted};

const ABOUT: &str = "\
Runs the library in child processes, on this machine and on damaged copies of the kernel files that it reads, and tells for each failure
what to change. Checks: loads, read_in_agent, read_in_child, same_in_both, declared, types, room, time, cpu, memory, threads, descriptors,
processes, output, sandbox, reads, other_root, files_missing, files_empty, files_cut, files_garbage, files_huge, counters_fall, over_budget,
options_at_limits, options_beyond, testcases.

--report json prints one document: plugin, file, contract, options, verdict (passed, failed), counts, seconds and checks, each with name,
verdict (passed, failed, remark, skipped), seen and findings, each with what and change.

Exit codes: 0 nothing failed (remarks and what was skipped do not count); 1 a check failed; 2 usage; 69 it cannot be loaded;
130 or 143 ended by Ctrl-C or SIGTERM, with all that it had started and written.

Examples:
  perfwatch plugins test target/release/libperfwatch_ups.so
  perfwatch plugins test ./libperfwatch_ups.so --options desk.toml --report json | jq '.checks[] | select(.verdict == \"failed\")'";

/// Run a library through what a host will do to it, and tell what to change
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = ABOUT)]
pub(super) struct Test {
    /// A library
    file: PathBuf,
    /// What is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    report: Format,
    /// Its options, a TOML file as options.toml of a testcase; else its defaults, or those of a testcase where some have to be given
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Its testcases; else `testcases` beside the library, or beside the plugin.toml in a folder above it
    #[arg(long, value_name = "DIR")]
    testcases: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn test(test: &Test) -> u8 {
    let wanted = Wanted { file: test.file.clone(), options: test.options.clone(), testcases: test.testcases.clone() };
    let report = match proof::examine(&wanted) {
        Ok(report) => report,
        Err(why) => {
            fail(&why);
            return proof::interrupted().map_or(code::USAGE, |signal| signal.code);
        }
    };
    let printed = print(&match test.report {
        Format::Text => report.text(),
        Format::Json => report.json(),
    });
    match report.verdict() {
        _ if !report.is_loaded() => code::UNAVAILABLE,
        Verdict::Failed => code::FAILED,
        _ => printed,
    }
}
