//! The runner of `testcases/`: captured kernel files in, the section's JSON out, no code for a case.
//!
//! ```text
//! testcases/core_goes_offline/
//!     options.toml            options of the collector, where the defaults are not meant
//!     host                    the path, from this folder, of a captured host that lies under step 0
//!     0/  proc/…  sys/…  statvfs.toml  expected.json
//!     1/  proc/…  gone  seconds  expected.json
//! ```
//!
//! The collector is made once, on the host of step 0. Each further step is laid over what is there, in place, so that
//! held descriptors see what they would see: files of the same name are written anew, those named in `gone`, a path a
//! line, are removed. `seconds` is how long after the step before it is read; 1 where there is no such file.
//!
//! A step expects the section's JSON in `expected.json`, without what is different each time (`_timestamp`,
//! `_duration_seconds`, `_window_seconds`), or in `expected.err` the error of a reading that fails, or, in step 0, of
//! a collector that cannot be made. Paths in it begin at the captured root: `could not open /proc/stat: …`.
//! With `UPDATE_GOLDEN=1` what came out is written there instead; read the difference before you keep it.
#![forbid(unsafe_code)]

mod section;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use self::section::Section;
use super::door::{Instance, Module};
use super::fault::{Origin, Sources, render_all};
use super::frame::{Frame, Limits};
use super::manifest::Manifest;
use super::options::{self, Settings};
use super::roots::{HostHandle, Roots};
use super::shape::Shape;
use super::tree;
use crate::{Collector, ErrorKind};

/// How long a reading has: long beside any file system and short beside a person's patience.
const TIME: Duration = Duration::from_secs(5);
/// The most steps of a case; one that needs more tests two things.
const STEPS_MAX: usize = 100;

/// Runs every case of a folder against a collector that is linked into the test.
///
/// # Panics
/// Where a case does not give what it expects, with all that differs; where the manifest has faults; where there is no case.
pub fn run_all<C: Collector>(manifest: &str, folder: impl AsRef<Path>) {
    let manifest = match Manifest::parse(manifest) {
        Ok(manifest) => Arc::new(manifest),
        Err(faults) => panic!("{}", render_all(&faults, &Sources::of("plugin.toml", manifest))),
    };
    let module = Module::linked::<C>();
    let cases = cases(folder.as_ref()).unwrap_or_else(|why| panic!("{why}"));
    let failed: Vec<String> = cases.iter().filter_map(|case| run(module, &manifest, case).err()).collect();
    assert!(failed.is_empty(), "{} of {} cases failed\n\n{}", failed.len(), cases.len(), failed.join("\n\n"));
}

/// The cases of a folder, in the order of their names.
///
/// # Errors
/// It cannot be read, or has none.
pub fn cases(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let names = entries(folder)?;
    let cases: Vec<PathBuf> =
        names.into_iter().map(|name| folder.join(name)).filter(|path| path.join("0").is_dir()).collect();
    if cases.is_empty() { Err(format!("no test case in {}", folder.display())) } else { Ok(cases) }
}

/// Runs one case.
///
/// # Errors
/// What differs, or what in the case itself cannot be used.
pub fn run(module: Module, manifest: &Arc<Manifest>, case: &Path) -> Result<(), String> {
    let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let result = Run::new(module, manifest, case).and_then(|mut run| {
        let mut differences = Vec::new();
        for number in (0..STEPS_MAX).take_while(|number| case.join(number.to_string()).is_dir()) {
            let step = case.join(number.to_string());
            if let Err(why) = run.step(&step) {
                differences.push(format!("step {number}: {why}"));
            }
        }
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    });
    result.map_err(|why| format!("{name}: {why}"))
}

struct Run {
    module: Module,
    manifest: Arc<Manifest>,
    settings: Settings,
    host: Captured,
    roots: Option<Arc<Roots>>,
    instance: Option<Instance>,
    section: Section,
}

impl Run {
    fn new(module: Module, manifest: &Arc<Manifest>, case: &Path) -> Result<Run, String> {
        let path = case.join("options.toml");
        let text = if path.exists() { read(&path)? } else { String::new() };
        let mut sources = Sources::of("options.toml", &text);
        let (table, mut faults) = tree::parse(0, &text);
        let secret = |path: &Path| fs::read_to_string(path);
        let settings = options::check(&manifest.options, &table, Origin::default(), &secret, &mut sources, &mut faults);
        if !faults.is_empty() {
            return Err(render_all(&faults, &sources));
        }
        let section = Section::new(manifest, &settings);
        let host = Captured::of(case)?;
        Ok(Run { module, manifest: manifest.clone(), settings, host, roots: None, instance: None, section })
    }

    fn step(&mut self, step: &Path) -> Result<(), String> {
        self.host.lay_over(step)?;
        let seconds = step.join("seconds");
        let seconds = if seconds.exists() { read(&seconds)?.trim().to_owned() } else { "1".into() };
        let seconds: f64 = seconds.parse().map_err(|_| format!("seconds: {seconds:?} is no number"))?;
        compare(step, self.reading(seconds)?)
    }

    /// The section as JSON, or the words of the error.
    fn reading(&mut self, seconds: f64) -> Result<Result<Value, String>, String> {
        match &self.roots {
            Some(roots) => roots.recapture()?,
            None => {
                let roots = Arc::new(Roots::captured(&self.host.root)?);
                let host = HostHandle::new(roots.clone(), self.manifest.clone(), Arc::new(|_, _| {}));
                self.roots = Some(roots);
                match self.module.create(&self.settings.json(), host) {
                    Ok(instance) => self.instance = Some(instance),
                    Err(failure) => return Ok(Err(self.host.words(&failure.message))),
                }
            }
        }
        let Some(instance) = &mut self.instance else { return Err("the collector could not be made".into()) };
        let mut frame = Frame::new(Limits::default());
        instance.collect(&mut frame, &Shape::of(&self.manifest), TIME);
        if frame.outcome != ErrorKind::NONE {
            let message = String::from_utf8_lossy(frame.message()).into_owned();
            self.section.passed(seconds);
            return Ok(Err(self.host.words(&message)));
        }
        let json = self.section.json(frame, seconds);
        Ok(Ok(self.host.plain(json)))
    }
}

/// The variable with which what comes out is written as what is expected.
pub const UPDATE: &str = "UPDATE_GOLDEN";

/// Whether what comes out is written, and not compared.
#[must_use]
pub fn is_written() -> bool {
    std::env::var_os(UPDATE).is_some()
}

fn compare(step: &Path, found: Result<Value, String>) -> Result<(), String> {
    let (json, err) = (step.join("expected.json"), step.join("expected.err"));
    if is_written() {
        let (path, other, mut text) = match found {
            Ok(value) => (json, err, format!("{value:#}")),
            Err(message) => (err, json, message),
        };
        text.push('\n');
        if other.exists() {
            fs::remove_file(&other).map_err(|cause| format!("{}: {cause}", other.display()))?;
        }
        return fs::write(&path, text).map_err(|cause| format!("{}: {cause}", path.display()));
    }
    match (json.exists(), err.exists(), found) {
        (true, false, Ok(found)) => {
            let expected = serde_json::from_str(&read(&json)?).map_err(|cause| format!("expected.json: {cause}"))?;
            let mut differences = Vec::new();
            section::differences("", &expected, &found, &mut differences);
            if differences.is_empty() { Ok(()) } else { Err(differences.join("\n    ")) }
        }
        (false, true, Err(found)) => {
            let expected = read(&err)?;
            if expected.trim_end() == found {
                Ok(())
            } else {
                Err(format!("expected the error\n    {}found\n    {found}", expected))
            }
        }
        (true, false, Err(found)) => Err(format!("expected a reading, found the error\n    {found}")),
        (false, true, Ok(found)) => Err(format!("expected an error, found the reading\n{found:#}")),
        _ => {
            Err("needs expected.json or expected.err, and not both; UPDATE_GOLDEN=1 writes the one that it gives"
                .into())
        }
    }
}

/// Removes the captured hosts that a process has left behind which was killed while it ran a case, and which had no `TMPDIR`.
pub fn sweep(process: u32) {
    let names = entries(Path::new("/tmp")).unwrap_or_default();
    for name in names.iter().filter(|name| name.starts_with(&format!("{CAPTURED}{process}-"))) {
        // What stays behind is in the way of nobody.
        let _ = fs::remove_dir_all(Path::new("/tmp").join(name));
    }
}

/// What the folders of captured hosts are named, before the number of the process.
const CAPTURED: &str = "perfwatch-testcase-";

/// The captured host of a case, in a folder of its own that goes with it.
#[derive(Debug)]
pub struct Captured {
    root: PathBuf,
}

impl Captured {
    /// The host of a case as its step 0 has it.
    ///
    /// # Errors
    /// What in the case cannot be used.
    pub fn of(case: &Path) -> Result<Captured, String> {
        let host = Captured::new()?;
        let under = case.join("host");
        if under.exists() {
            host.lay_over(&case.join(read(&under)?.trim()))?;
        }
        host.lay_over(&case.join("0"))?;
        Ok(host)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn new() -> Result<Captured, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("{CAPTURED}{}-{number}", std::process::id()));
        fs::create_dir(&root).map_err(|cause| format!("{}: {cause}", root.display()))?;
        Ok(Captured { root })
    }

    fn lay_over(&self, step: &Path) -> Result<(), String> {
        let gone = step.join("gone");
        if gone.exists() {
            for path in read(&gone)?.lines() {
                let path = self.root.join(path.trim_start_matches('/'));
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(|cause| format!("gone: {}: {cause}", path.display()))?;
            }
        }
        for name in entries(step)? {
            if !matches!(&*name, "gone" | "seconds" | "expected.json" | "expected.err") {
                copy(&step.join(&name), &self.root.join(&name))?;
            }
        }
        Ok(())
    }

    /// A message in which paths begin at the captured root.
    fn words(&self, message: &str) -> String {
        message.replace(&*self.root.to_string_lossy(), "")
    }

    fn plain(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.words(&text)),
            Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, self.plain(value))).collect()),
            value => value,
        }
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        // A folder that stays behind is in the way of nobody, and a destructor has nobody to tell.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Writes in place what is there already: a descriptor that is held on it sees the new content, as in procfs.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |cause: std::io::Error| format!("{}: {cause}", from.display());
    let kind = fs::symlink_metadata(from).map_err(failed)?;
    if kind.is_dir() {
        fs::create_dir_all(to).map_err(failed)?;
        entries(from)?.into_iter().try_for_each(|name| copy(&from.join(&name), &to.join(&name)))
    } else if kind.is_symlink() {
        if to.is_symlink() {
            fs::remove_file(to).map_err(failed)?;
        }
        std::os::unix::fs::symlink(fs::read_link(from).map_err(failed)?, to).map_err(failed)
    } else if kind.is_file() {
        fs::write(to, fs::read(from).map_err(failed)?).map_err(failed)
    } else {
        // Nobody writes to a FIFO here.
        Err(format!("{}: no file, folder or link, and so nothing that can be copied", from.display()))
    }
}

fn entries(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |cause: std::io::Error| format!("could not read {}: {cause}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|cause| format!("could not read {}: {cause}", path.display()))
}
