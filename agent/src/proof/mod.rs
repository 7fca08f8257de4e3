//! `perfwatch plugins test`: a library goes through what a host will do to it, on its author's desk, and is told what to change.
//!
//! Promises: nothing of the library runs in this process. `rehearsal` runs it in a child: with these options, under this root, with so
//! much room, in its sandbox or in none, for so many readings; and gives back what it said, cost, printed and asked the kernel for. Each
//! family of checks plans such runs and judges what they gave: a pure function, and a [`Check`] with a name that stays. What can hang is
//! killed after its patience; what is tried many times has a time in all, and says how far it came. No process of it and no temporary file
//! is left at the end, nor after a signal in the middle.
//!
//! Refuses to judge what an author's machine cannot know: a metric that no kernel of this kind has is a remark, how fast a loaded machine
//! is as well, unless a timeout is missed.

mod budget;
mod cases;
mod desk;
mod files;
mod host;
mod interrupt;
mod options;
mod readings;
mod rehearsal;
mod report;
mod sandbox;
mod seen;
mod strays;
mod trace;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugin_api::host_side::manifest::Allowance;
use plugin_api::host_side::testcase::Captured;

use self::desk::{Desk, Given};
pub use self::interrupt::{Interrupt, told as interrupted};
pub use self::report::{Check, Finding, Report, Verdict};
use crate::assemble::chain;
use crate::child::sandbox::Without;
use crate::child::{Start, Trial, trial};
use crate::plugin::known::{Bundled, Known};
use crate::plugin::trust::Authority;

/// How long the constructors of a library may take: what the agent gives them at its start.
const LOAD_PATIENCE: Duration = Duration::from_secs(5);

/// The check without which there is nothing to examine.
const LOADS: &str = "loads";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The library.
    pub file: PathBuf,
    /// A file with its options.
    pub options: Option<PathBuf>,
    /// The folder of its testcases.
    pub testcases: Option<PathBuf>,
}

/// Examines a library. Where it cannot even be loaded, that is all there is in the report: the check `loads`, failed.
///
/// This process may have no other children meanwhile: what a plugin leaves running becomes a child of it, and is killed.
///
/// # Errors
/// In words, why it cannot be run with the options that are given, or which signal came.
pub fn examine(wanted: &Wanted) -> Result<Report, String> {
    let begun = Instant::now();
    interrupt::listen().map_err(|cause| format!("could not listen to signals: {cause}"))?;
    strays::adopt().map_err(|cause| format!("could not adopt what a plugin leaves running: {cause}"))?;
    // Whoever tests it may also install it where nobody else writes: that is a remark, and no reason not to look.
    let authority = Authority::of_this_agent();
    let loadable = |known: &Known| known.loadable(&authority.clone().relaxed(true), &std::env::temp_dir());
    let read = Known::read(&wanted.file, &Bundled::of_this_agent());
    let (known, library) = match read.and_then(|known| loadable(&known).map(|library| (known, library))) {
        Ok(found) => found,
        Err(fault) => return Ok(unknown(&wanted.file, &chain(&fault))),
    };
    let manifest = Arc::clone(&known.manifest);
    let cases = wanted.testcases.clone().or_else(|| desk::cases_of(&wanted.file));
    let given = desk::given(&manifest, wanted.options.as_deref(), cases.as_deref());
    let mut report = Report {
        plugin: manifest.plugin.name.clone(),
        file: wanted.file.display().to_string(),
        contract: manifest.contract.to_string(),
        options: given.as_ref().map_or_else(Clone::clone, |given| given.from.clone()),
        checks: Vec::new(),
        seconds: 0.0,
    };
    let mut desk = Desk {
        timeout: desk::timeout(&manifest),
        allowance: Allowance::of(manifest.plugin.budget),
        library: Arc::new(library),
        settings: given.as_ref().map(|given| given.settings.clone()).unwrap_or_default(),
        root: PathBuf::from("/"),
        cases,
        without: Without::from_env()?,
        manifest,
    };
    let loads = loads(&desk.start(), &known, &authority);
    let is_loaded = loads.verdict != Verdict::Failed;
    report.checks.push(loads);
    match given {
        _ if !is_loaded => {}
        Ok(given) => {
            // Gone at the end of the run.
            let host = given.case.as_deref().map(Captured::of).transpose()?;
            host.iter().for_each(|host| desk.root = host.root().to_owned());
            run_all(&desk, &given, &mut report.checks);
        }
        Err(why) if wanted.options.is_some() => return Err(why),
        Err(why) => {
            report.checks.push(Check::skipped("readings", why));
            report.checks.extend(options::beyond(&desk));
            report.checks.push(cases::check(&desk));
        }
    }
    if let Some(signal) = interrupted() {
        return Err(format!("ended by {} in the middle, and what was being tried with it", signal.name));
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

/// The report of a file of which nothing is known but this.
fn unknown(file: &Path, why: &str) -> Report {
    let change = if file.is_file() {
        "mend that, in its plugin.toml or in how it is built: `perfwatch plugins new` makes one that is right"
    } else {
        "name the library that the build has made: target/release/libperfwatch_NAME.so, or that of make"
    };
    Report {
        plugin: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        file: file.display().to_string(),
        contract: "unknown".into(),
        options: "none: its manifest is not known".into(),
        checks: vec![Check::new(LOADS, "it is no plugin that can be loaded here", vec![Finding::failure(why, change)])],
        seconds: 0.0,
    }
}

/// Loaded as the agent loads it.
fn loads(start: &Start, known: &Known, authority: &Authority) -> Check {
    let begun = Instant::now();
    let trial = trial(start, LOAD_PATIENCE);
    // Its constructors start the same ones again in each run that is counted.
    strays::end(0);
    let took = report::short(begun.elapsed());
    let failed = |why: &str| {
        let change = "build it as that says; what it links to, and its constructors (.init_array), have to work here";
        vec![Finding::failure(why, change)]
    };
    let findings = match trial {
        Trial::Passed => match known.may_be_loaded(authority) {
            Ok(_) => Vec::new(),
            Err(fault) => {
                let change =
                    "mend it where it is installed, or put the file into a folder that only you or root can write";
                vec![Finding::remark(format!("an agent would not load it from here: {}", chain(&fault)), change)]
            }
        },
        Trial::Failed(why) => failed(&why),
        Trial::Omitted(cause) => failed(&format!("no child could be started: {cause}")),
    };
    Check::new(LOADS, format!("in {took}, in a child process"), findings)
}

/// In this order. What cannot even be read is not tried any further.
fn run_all(desk: &Desk, given: &Given, checks: &mut Vec<Check>) {
    let taken = readings::Taken::take(desk);
    let is_read = taken.can_be_read();
    checks.extend(readings::checks(desk, &taken));
    if is_read {
        checks.extend(sandbox::checks(desk, &taken));
        checks.extend(files::checks(desk, &taken));
        checks.extend(budget::checks(desk, &taken));
        checks.extend(options::checks(desk, given, &taken));
    }
    checks.push(cases::check(desk));
}
