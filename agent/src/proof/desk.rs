//! What is on the author's desk before anything runs: the library, its options, the host that it is to read, and its testcases. [E read]
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::fault::{Origin, Sources, render_all};
use plugin_api::host_side::frame::Limits;
use plugin_api::host_side::manifest::{Allowance, Manifest};
use plugin_api::host_side::options::{self, Presence, Settings};
use plugin_api::host_side::testcase;
use plugin_api::host_side::tree;

use super::rehearsal::{self, Before, Ran, Run};
use crate::child::sandbox::{Terms, Without};
use crate::child::{Policy, Start, Task};
use crate::config::collectors::default_timeout;
use crate::config::layers::read_secret;
use crate::plugin::known::Loadable;

/// The least patience with one reading: a machine that builds beside is slow, and what is late is told by its times.
const PATIENCE_MIN: Duration = Duration::from_secs(2);
/// The most, whatever its timeout is: somebody waits for the report.
const PATIENCE_MAX: Duration = Duration::from_secs(30);
/// Times as long for one that is traced: a call costs four switches between processes then.
const TRACED: u32 = 4;

/// What there is to work with.
pub struct Desk {
    /// What it declares.
    pub manifest: Arc<Manifest>,
    /// The library in the form in which it is mapped.
    pub library: Arc<Loadable>,
    /// Its options.
    pub settings: Settings,
    /// The host that it reads: `/`, or the one that it is shown in its testcases.
    pub root: PathBuf,
    /// The folder of its testcases, if there is one.
    pub cases: Option<PathBuf>,
    /// How long one reading may take, by its manifest or by default.
    pub timeout: Duration,
    /// What one may cost.
    pub allowance: Allowance,
    /// What the kernel is said to lack.
    pub without: Without,
}

impl Desk {
    /// How long it is waited for a reading.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.timeout.clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    /// How it is started in the agent, where nothing is kept from it, as far as a child can be that.
    #[must_use]
    pub fn start(&self) -> Start {
        Start {
            name: self.manifest.plugin.name.clone(),
            library: Arc::clone(&self.library),
            options: self.settings.json(),
            host_root: self.root.clone(),
            limits: self.allowance.limits.holding(self.manifest.metrics.len()),
            policy: None,
            log_level: tracing::Level::DEBUG,
        }
    }

    /// The sandbox that it has once all that it asks for is granted: what it does not ask for is what is looked for.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let name = &self.manifest.plugin.name;
        Policy::new(&Terms {
            collector: name,
            reads: &self.manifest.plugin.reads,
            options: &self.settings,
            grants: &[],
            bundled: true,
            host_root: &self.root,
            memory: self.allowance.memory,
            descriptors: self.allowance.descriptors,
            required: false,
            without: self.without,
        })
    }

    /// A run of one reading, to be changed.
    pub fn plan(&self, start: Start) -> Run<'_> {
        Run {
            start,
            task: Task::Serve,
            manifest: &self.manifest,
            readings: 1,
            within: Duration::ZERO,
            patience: self.patience(),
            traced: false,
        }
    }

    /// Runs it for so many readings.
    pub fn run(&self, start: Start, readings: usize) -> Ran {
        self.run_with(start, readings, &mut |_| Ok(()))
    }

    /// The same, with something done before each.
    pub fn run_with(&self, start: Start, readings: usize, before: Before<'_>) -> Ran {
        rehearsal::run(&Run { readings, ..self.plan(start) }, before)
    }

    /// The same, its calls told, for which each of them waits.
    pub fn run_traced(&self, start: Start, readings: usize) -> Ran {
        let patience = self.patience() * TRACED;
        rehearsal::run(&Run { readings, patience, traced: true, ..self.plan(start) }, &mut |_| Ok(()))
    }

    /// How much a reading may hold.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.allowance.limits
    }
}

/// The options, where they are from, and the root of the host that goes with them.
pub struct Given {
    /// They.
    pub settings: Settings,
    /// In words.
    pub from: String,
    /// A testcase whose host goes with them.
    pub case: Option<PathBuf>,
}

/// The options to run with: those of `file`; else the defaults; where an option has to be given, those of the first testcase that does and
/// expects a reading, else of the first that does.
///
/// # Errors
/// In words: the file has faults, or which options are to be given.
pub fn given(manifest: &Manifest, file: Option<&Path>, cases: Option<&Path>) -> Result<Given, String> {
    if let Some(file) = file {
        let text = fs::read_to_string(file).map_err(|cause| format!("could not read {}: {cause}", file.display()))?;
        let settings = checked(manifest, &text, &file.display().to_string())?;
        return Ok(Given { settings, from: format!("options of {}", file.display()), case: None });
    }
    let wanted: Vec<&str> = required(manifest);
    if wanted.is_empty() {
        let settings = checked(manifest, "", "the defaults")?;
        return Ok(Given { settings, from: "its default options".into(), case: None });
    }
    let mut cases = cases.and_then(|cases| testcase::cases(cases).ok()).unwrap_or_default();
    // A stable sort: false comes first.
    cases.sort_by_key(|case| case.join("0/expected.err").exists());
    for case in cases {
        let text = fs::read_to_string(case.join("options.toml")).unwrap_or_default();
        if let Ok(settings) = checked(manifest, &text, "options.toml") {
            let from = format!("options and host of its testcase {}", name(&case));
            return Ok(Given { settings, from, case: Some(case) });
        }
    }
    let lines: Vec<String> = wanted.iter().map(|name| format!("{name} = ...")).collect();
    Err(format!("it needs options: give a file with `{}` to --options", lines.join("`, `")))
}

/// The options that have to be given.
#[must_use]
pub fn required(manifest: &Manifest) -> Vec<&str> {
    let required = manifest.options.iter().filter(|option| option.presence == Presence::Required);
    required.map(|option| option.name.as_str()).collect()
}

/// A collector's options as the agent checks them.
///
/// # Errors
/// All that is wrong with them.
pub fn checked(manifest: &Manifest, text: &str, file: &str) -> Result<Settings, String> {
    let mut sources = Sources::of(file, text);
    let (table, mut faults) = tree::parse(0, text);
    let at = Origin::default();
    let settings = options::check(&manifest.options, &table, at, &read_secret, &mut sources, &mut faults);
    if faults.is_empty() { Ok(settings) } else { Err(render_all(&faults, &sources)) }
}

/// The folder of testcases: beside the library, or beside the `plugin.toml` or `Cargo.toml` that it was built from.
#[must_use]
pub fn cases_of(library: &Path) -> Option<PathBuf> {
    let library = library.canonicalize().ok()?;
    let is_there = |folder: &PathBuf| testcase::cases(folder).is_ok();
    if let Some(beside) = library.parent().map(|folder| folder.join("testcases")).filter(is_there) {
        return Some(beside);
    }
    let project = library.ancestors().skip(1).find(|folder| folder.join("plugin.toml").exists())?;
    Some(project.join("testcases")).filter(is_there)
}

/// The timeout of a plugin where nobody says anything.
#[must_use]
pub fn timeout(manifest: &Manifest) -> Duration {
    let interval = manifest.plugin.interval.unwrap_or(crate::config::agent::DEFAULT_INTERVAL);
    manifest.plugin.timeout.unwrap_or_else(|| default_timeout(interval))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
