//! Configured collectors into those that the schedule takes.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::door::{Failure, Instance};
use plugin_api::host_side::manifest::{Allowance, Manifest};
use plugin_api::host_side::options::Settings;
use plugin_api::host_side::roots::{HostHandle, Log, Roots};
use plugin_api::{Collector, Error, ErrorKind, Host};

use crate::libraries::Library;
use crate::own::{self, Own, Sources};
use crate::schedule::call::Maker;
use crate::schedule::grid::Grid;
use crate::schedule::member::{Home, Recruit};
use crate::snapshot::Schema;

/// A collector's interval, its offset and how long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Every.
    pub interval: Duration,
    /// After the multiples of the interval.
    pub offset: Duration,
    /// A call.
    pub timeout: Duration,
}

/// A collector, configured.
pub struct Collecting<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it declares.
    pub manifest: &'a Arc<Manifest>,
    /// Its options.
    pub settings: &'a Settings,
    /// When it is called.
    pub timing: Timing,
    /// What it may cost.
    pub allowance: Allowance,
}

impl Collecting<'_> {
    /// As the schedule takes it.
    pub fn recruit(&self, home: Result<Home, String>) -> Recruit {
        let schema = Schema::new(Arc::clone(self.manifest), |option| self.settings.is_on(option));
        enlist(self.name, Arc::new(schema), self.timing, self.allowance, home)
    }

    /// Makes it in the agent.
    pub fn maker(&self, library: &Arc<Library>, roots: &Arc<Roots>) -> Maker {
        let host = HostHandle::new(Arc::clone(roots), Arc::clone(self.manifest), log(self.name));
        let (options, library) = (self.settings.json(), Arc::clone(library));
        Box::new(move || {
            let failed = |message| Failure { kind: ErrorKind::FAILED, message };
            library.module().map_err(failed)?.create(&options, host.clone())
        })
    }
}

/// A collector whose plugin cannot be had: it has a section, which says why.
pub fn hopeless(name: &str, timing: Timing, why: String) -> Recruit {
    enlist(name, Arc::new(Schema::of_nothing()), timing, Allowance::default(), Err(why))
}

/// The `agent` section. The machine id in it is that of the host that is measured.
pub fn own(timing: Timing, sources: Sources, host_root: &Path) -> Recruit {
    linked(own::NAME, own_manifest(), timing, host_root, move |host, schema| Own::new(sources.clone(), host, schema))
}

/// A collector that is part of this program.
pub(crate) fn linked<C: Collector>(
    name: &str,
    manifest: Manifest,
    timing: Timing,
    host_root: &Path,
    make: impl Fn(&Host, &mut plugin_api::Schema) -> Result<C, Error> + Send + 'static,
) -> Recruit {
    let manifest = Arc::new(manifest);
    let host = HostHandle::new(Arc::new(Roots::new(host_root)), Arc::clone(&manifest), log(name));
    let maker: Maker = Box::new(move || Instance::linked(host.clone(), &make));
    enlist(name, Arc::new(Schema::new(manifest, |_| true)), timing, Allowance::default(), Ok(Home::Agent(maker)))
}

/// The manifest of the `agent` section.
pub fn own_manifest() -> Manifest {
    Manifest::parse(own::MANIFEST).expect("a test parses own.toml")
}

fn enlist(
    name: &str,
    schema: Arc<Schema>,
    timing: Timing,
    allowance: Allowance,
    home: Result<Home, String>,
) -> Recruit {
    Recruit {
        name: name.into(),
        schema,
        grid: Grid::new(timing.interval, timing.offset),
        timeout: timing.timeout,
        allowance,
        home,
    }
}

fn log(name: &str) -> Log {
    let name = name.to_owned();
    Arc::new(move |level, text| crate::log::of_collector(&name, level, text))
}

/// An error and its causes, as one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use plugin_api::host_side::frame::{Frame, Limits};

    use super::*;

    #[test]
    fn manifest_of_the_agent_section_is_one() {
        assert_eq!(own_manifest().plugin.name, "own");
    }

    #[test]
    fn agent_section_tells_the_identity_of_the_measured_host() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir(host.path().join("etc")).unwrap();
        std::fs::write(host.path().join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let timing =
            Timing { interval: Duration::from_secs(10), offset: Duration::ZERO, timeout: Duration::from_secs(1) };
        let recruit =
            own(timing, Sources { ledger: Arc::default(), sinks: crate::sink::Sinks::default() }, host.path());
        let Ok(Home::Agent(mut maker)) = recruit.home else { panic!("it runs in the agent") };
        let mut instance = maker().map_err(|failure| failure.message).unwrap();
        let mut frame = Frame::new(Limits::default());
        instance.collect(&mut frame, &recruit.schema.shape, timing.timeout);
        let names = recruit.schema.manifest.metrics.iter().map(|metric| &*metric.name);
        let texts: Vec<_> = names.zip(frame.cells()).map(|(name, cell)| (name, frame.text_of(*cell))).collect();
        assert!(texts.contains(&("machine_id", b"0123456789abcdef0123456789abcdef")), "{texts:?}");
        assert!(texts.contains(&("boot_id", b"")));
    }
}
