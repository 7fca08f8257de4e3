//! Its testcases, each in a child of its own.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use plugin_api::host_side::testcase;

use super::desk::Desk;
use super::rehearsal::{self, Run};
use super::report::{Check, Finding};
use crate::child::Task;

/// All of them together take no longer: a few thousand steps.
const WITHIN: Duration = Duration::from_secs(20);

/// The one check.
#[must_use]
pub fn check(desk: &Desk) -> Check {
    const NAME: &str = "testcases";
    let Some(folder) = &desk.cases else {
        let why = "no folder testcases beside the library or its plugin.toml: --testcases names one, and the README of plugin-api says how to write a case";
        return Check::skipped(NAME, why);
    };
    let cases = match testcase::cases(folder) {
        Ok(cases) => cases,
        Err(why) => {
            return Check::new(
                NAME,
                "none could be run",
                vec![Finding::failure(why, "give another folder to --testcases")],
            );
        }
    };
    let begun = Instant::now();
    let (mut findings, mut passed, mut tried) = (Vec::new(), 0, 0);
    for case in cases.iter().take_while(|_| begun.elapsed() < WITHIN) {
        tried += 1;
        let run = Run { task: Task::Testcase(case.clone()), ..desk.plan(desk.start()) };
        let ran = rehearsal::run(&run, &mut |_| Ok(()));
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        let change = "mend it; or, where the new is right, let `UPDATE_GOLDEN=1 perfwatch plugins test FILE` write it, and read the difference";
        match (ran.fault(), ran.error()) {
            (Some(fault), _) => {
                testcase::sweep(ran.process);
                findings.push(Finding::failure(format!("{name}: {fault}"), "it may do so on no host"));
            }
            (None, Some((_, error))) => findings.push(Finding::failure(error, change)),
            (None, None) => passed += 1,
        }
    }
    let of = if tried == cases.len() {
        String::new()
    } else {
        format!(", {} not tried, as the time was over", cases.len() - tried)
    };
    let verb = if testcase::is_written() { "written anew, to be read before they are kept" } else { "passed" };
    Check::new(NAME, format!("{passed} of {} {verb}{of}", cases.len()), findings)
}
