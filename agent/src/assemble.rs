//! Configured collectors and sinks into those that run: libraries are loaded here, sinks opened.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::Level;
use plugin_api::host_side::door::{Instance, Module};
use plugin_api::host_side::manifest::Manifest;
use plugin_api::host_side::options::Settings;
use plugin_api::host_side::roots::{HostHandle, Log, Roots};

use crate::own::{self, Own, Sources};
use crate::plugin::known::Known;
use crate::plugin::library;
use crate::plugin::trust::Authority;
use crate::schedule::call::Maker;
use crate::schedule::grid::Grid;
use crate::schedule::tick::Recruit;
use crate::snapshot::Schema;
use crate::snapshot::aggregate::brief;

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

/// Loads a plugin's library.
///
/// # Errors
/// As one line, what is wrong with it.
pub fn load(known: &Known, authority: &Authority, state_dir: &Path) -> Result<Module, String> {
    let loadable = known.loadable(authority, state_dir).map_err(|fault| chain(&fault.problem))?;
    library::load(&loadable.keep()).map_err(|cause| chain(&cause))
}

/// A collector of a plugin.
pub fn recruit(
    name: &str,
    manifest: &Arc<Manifest>,
    settings: &Settings,
    timing: Timing,
    roots: &Arc<Roots>,
    module: Result<Module, String>,
) -> Recruit {
    let host = HostHandle::new(Arc::clone(roots), Arc::clone(manifest), log(name));
    let options = settings.json();
    let maker = module.map(|module| -> Maker { Box::new(move || module.create(&options, host.clone())) });
    let schema = Schema::new(Arc::clone(manifest), |option| settings.is_on(option));
    enlist(name, Arc::new(schema), timing, maker)
}

/// A collector whose plugin cannot be had: it has a section, which says why.
pub fn hopeless(name: &str, timing: Timing, why: String) -> Recruit {
    enlist(name, Arc::new(Schema::of_nothing()), timing, Err(why))
}

/// The `agent` section. The machine id in it is that of the host that is measured.
pub fn own(timing: Timing, sources: Sources, host_root: &Path) -> Recruit {
    let manifest = Arc::new(own_manifest());
    let roots = Arc::new(Roots::new(host_root));
    let host = HostHandle::new(roots, Arc::clone(&manifest), log(own::NAME));
    let maker: Maker = Box::new(move || {
        let sources = sources.clone();
        Instance::linked(host.clone(), |host, schema| Own::new(sources, host, schema))
    });
    enlist(own::NAME, Arc::new(Schema::new(manifest, |_| true)), timing, Ok(maker))
}

/// The manifest of the `agent` section.
pub fn own_manifest() -> Manifest {
    Manifest::parse(own::MANIFEST).expect("a test parses own.toml")
}

fn enlist(name: &str, schema: Arc<Schema>, timing: Timing, maker: Result<Maker, String>) -> Recruit {
    Recruit {
        name: name.into(),
        schema,
        grid: Grid::new(timing.interval, timing.offset),
        timeout: timing.timeout,
        maker,
    }
}

fn log(name: &str) -> Log {
    let name = name.to_owned();
    Arc::new(move |level, text| {
        let text = brief(text);
        match level {
            Level::Error => tracing::error!(collector = name, "{text}"),
            Level::Warn => tracing::warn!(collector = name, "{text}"),
            Level::Info => tracing::info!(collector = name, "{text}"),
            _ => tracing::debug!(collector = name, "{text}"),
        }
    })
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
        let recruit = own(timing, Sources { ledger: Arc::default(), sinks: Vec::new() }, host.path());
        let mut instance = recruit.maker.unwrap()().map_err(|failure| failure.message).unwrap();
        let mut frame = Frame::new(Limits::default());
        instance.collect(&mut frame, &recruit.schema.shape, timing.timeout);
        let names = recruit.schema.manifest.metrics.iter().map(|metric| &*metric.name);
        let texts: Vec<_> = names.zip(frame.cells()).map(|(name, cell)| (name, frame.text_of(*cell))).collect();
        assert!(texts.contains(&("machine_id", b"0123456789abcdef0123456789abcdef")), "{texts:?}");
        assert!(texts.contains(&("boot_id", b"")));
    }
}
