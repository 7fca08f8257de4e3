//! `[sinks.NAME]`, and standard output where there is none.

use std::path::{Component, Path, PathBuf};

use plugin_api::host_side::fault::{Fault, Origin};
use plugin_api::host_side::names;
use plugin_api::host_side::options::{OptionSpec, Settings, check, declarations};
use plugin_api::host_side::tree::{Data, Entry, Table};

use super::layers::read_secret;
use super::plan::{Format, Planner, SinkKind, SinkPlan};

/// The kinds of sinks, with what `[sinks.NAME]` may hold for each.
pub fn declared() -> [(&'static str, Vec<OptionSpec>); 2] {
    let declared = |text| declarations(text).expect("a test reads the declared keys");
    [("stdout", declared(include_str!("declared/stdout.toml"))), ("file", declared(include_str!("declared/file.toml")))]
}

/// The sink that runs where no table says another.
const DEFAULT: &str = "stdout";

impl Planner<'_> {
    /// All sinks that run.
    pub(super) fn sinks(&mut self, merged: &Table) -> Vec<SinkPlan> {
        let mut sinks = Vec::new();
        let mut claims: Vec<(PathBuf, &str)> = Vec::new();
        let tables = self.named(merged, "sinks");
        let none_at_all = tables.is_empty() && self.left_out.iter().all(|left_out| left_out.sinks.is_empty());
        for (entry, table) in tables {
            if !names::is_dashed_name(&entry.key) {
                self.fault(entry.key_origin, format!("`{}` is not a name", entry.key), names::COLLECTOR_NAME);
            }
            let Some(sink) = self.sink(entry, table) else { continue };
            let claim = match (&sink.kind, sink.settings.text("path")) {
                // `a//b` and `./a/b` are `a/b`; two links to one file are told when it is opened.
                (_, Some(path)) => Path::new(path).components().filter(|part| *part != Component::CurDir).collect(),
                (Ok(SinkKind::Stdout(_)), None) => PathBuf::from("standard output"),
                // Without its path, which was told.
                _ => continue,
            };
            if let Some((_, first)) = claims.iter().find(|(claimed, _)| *claimed == claim) {
                let origin = table.value("path").map_or(entry.key_origin, |value| value.origin);
                let message = format!("sink `{}` writes to {}, as sink `{first}` does", entry.key, claim.display());
                self.faults.push(Fault::new(origin, message));
            }
            claims.push((claim, entry.key.as_str()));
            sinks.push(sink);
        }
        for left_out in self.left_out {
            for name in &left_out.sinks {
                let why = format!("its table in {} is left out, as that file is at fault", left_out.path);
                sinks.retain(|sink: &SinkPlan| sink.name != *name);
                self.disabled.1.retain(|sink| sink.name != *name);
                sinks.push(SinkPlan { name: name.clone(), kind: Err(why), settings: Settings::default() });
            }
        }
        if none_at_all {
            sinks.push(SinkPlan {
                name: DEFAULT.to_owned(),
                kind: Ok(SinkKind::Stdout(Format::Auto)),
                settings: Settings::default(),
            });
        }
        sinks
    }

    /// The sink of a table; none where it is not enabled or its kind not known.
    fn sink(&mut self, entry: &Entry, table: &Table) -> Option<SinkPlan> {
        let declared = declared();
        let kinds = declared.iter().map(|(kind, _)| *kind);
        let Some(given) = table.value("type") else {
            let fault = Fault::new(entry.key_origin, format!("sink `{}` has no `type`", entry.key));
            self.faults.push(fault.allowed(kinds.collect::<Vec<_>>().join(", ")));
            return None;
        };
        let Data::String(word) = &given.data else {
            let message = format!("`type` of sink `{}` is {}", entry.key, given.data.kind());
            self.faults.push(Fault::new(given.origin, message).allowed(kinds.collect::<Vec<_>>().join(", ")));
            return None;
        };
        let Some((kind, specs)) = declared.iter().find(|(kind, _)| kind == word) else {
            let fault = Fault::new(given.origin, format!("unknown type `{word}` of sink `{}`", entry.key));
            self.faults.push(fault.among(word, kinds));
            return None;
        };
        let before = self.faults.len();
        let settings = self.checked(specs, table, entry.key_origin);
        let runs = settings.is_on("enabled");
        let kind = match (*kind, settings.text("format")) {
            ("file", _) => SinkKind::File,
            (_, Some("json")) => SinkKind::Stdout(Format::Json),
            (_, Some("table")) => SinkKind::Stdout(Format::Table),
            _ => SinkKind::Stdout(Format::Auto),
        };
        if self.faults.len() == before
            && let Err((key, problem)) = (self.sink_check)(kind, &settings)
        {
            let written = settings.list.iter().find(|setting| setting.name == key).and_then(|setting| setting.origin);
            let message = format!("sink `{}`: {key}: {problem}", entry.key);
            self.faults.push(Fault::new(written.unwrap_or(entry.key_origin), message));
        }
        let sink = SinkPlan { name: entry.key.clone(), kind: Ok(kind), settings };
        if runs {
            return Some(sink);
        }
        self.disabled.1.push(sink);
        None
    }

    fn checked(&mut self, specs: &[OptionSpec], table: &Table, at: Origin) -> Settings {
        check(specs, table, at, &read_secret, self.sources, &mut self.faults)
    }
}
