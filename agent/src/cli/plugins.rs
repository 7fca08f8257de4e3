//! `perfwatch plugins`: what there is, known by manifests. No plugin's code runs, but in the children of `test`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use plugin_api::host_side::manifest::{Condition, Kind, Manifest, Metric, Source, ValueType};
use plugin_api::host_side::options::{OptionSpec, OptionType, Presence, Scalar};

use super::{Invocation, asks, code, fail, new, print};
use crate::assemble::chain;
use crate::harmless;
use crate::plugin::known::{Bundled, Known, Origin};
use crate::setup::Setup;

/// What plugins there are, what one declares, whether it is good, and which are held in a child
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Plugins {
    /// List the plugins that are found, what uses them, and which are held in a child for what they did
    #[command(after_help = "Example: perfwatch plugins list")]
    List,
    /// Show what a plugin declares, what it asks for and where it runs, without running its code
    #[command(
        after_help = "Example: perfwatch plugins inspect ./libperfwatch_ups.so, or: perfwatch plugins inspect cpu"
    )]
    Inspect {
        /// A library, or the name of a plugin that is found
        file: PathBuf,
    },
    New(new::New),
    /// Write plugins.lock, beside the config: what may be loaded where agent.require_lock is set; and show what changed
    #[command(after_help = "Example: perfwatch plugins lock -c perfwatch.toml && perfwatch reload -c perfwatch.toml")]
    Lock {
        /// Only compare: exit code 1 where the lock does not fit what is there
        #[arg(long)]
        check: bool,
    },
    Test(super::test::Test),
    /// Let a plugin run in the agent again that is held in a child for what it did: at once where the agent runs, else from its next start
    #[command(after_help = "Example: perfwatch plugins release ups")]
    Release {
        /// The plugin, or a collector of it
        name: String,
    },
}

pub(super) fn plugins(invocation: &Invocation, plugins: &Plugins) -> u8 {
    match plugins {
        Plugins::List => match invocation.setup() {
            Ok(setup) => list(&setup),
            Err(code) => code,
        },
        Plugins::Inspect { file } => inspect(invocation, file),
        Plugins::New(asked) => new::new(invocation, asked),
        Plugins::Test(test) => super::test::test(test),
        Plugins::Lock { check } => super::lock::lock(invocation, *check),
        Plugins::Release { name } => super::release::release(invocation, name),
    }
}

fn list(setup: &Setup) -> u8 {
    let mut rows = vec![[
        "NAME".into(),
        "VERSION".into(),
        "COLLECTORS".into(),
        "ISOLATION".into(),
        "LIBRARY".into(),
        "ABOUT".into(),
    ]];
    for known in setup.found.plugins.iter().chain(&setup.at_paths) {
        let uses = setup
            .plan
            .collectors
            .iter()
            .filter(|collector| collector.plugin.as_ref().is_ok_and(|plugin| plugin.path == known.path));
        let (uses, mut places): (Vec<_>, Vec<_>) =
            uses.map(|collector| (collector.name.as_str(), collector.isolation.word())).unzip();
        // One word where all are alike, else one each.
        if places.windows(2).all(|pair| pair[0] == pair[1]) {
            places.truncate(1);
        }
        let or_none = |words: Vec<&str>| if words.is_empty() { "-".into() } else { words.join(", ") };
        let plugin = &known.manifest.plugin;
        rows.push([
            plugin.name.clone(),
            plugin.version.clone().unwrap_or_else(|| "-".into()),
            or_none(uses),
            or_none(places),
            harmless::path(&known.path).to_string(),
            // On one line, whatever a stranger's manifest has in it.
            plugin.description.split_whitespace().collect::<Vec<_>>().join(" "),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    let mut text = String::new();
    for [name, version, uses, places, path, about] in &rows {
        let [a, b, c, d, e] = widths;
        line(&mut text, format_args!("{name:a$}  {version:b$}  {uses:c$}  {places:d$}  {path:e$}  {about}"));
    }
    text.push_str(&super::release::held(setup));
    let printed = print(&text);
    super::remark(setup);
    printed
}

fn inspect(invocation: &Invocation, file: &Path) -> u8 {
    let named = file.to_str().filter(|name| !name.contains('/') && !file.exists());
    let Some(name) = named else {
        return match Known::read(file, &Bundled::of_this_agent()) {
            Ok(known) => print(&describe(&known)),
            Err(fault) => {
                fail(&chain(&fault));
                code::UNAVAILABLE
            }
        };
    };
    let setup = match invocation.setup() {
        Ok(setup) => setup,
        Err(code) => return code,
    };
    match setup.found.plugins.iter().find(|known| known.manifest.plugin.name == name) {
        Some(known) => print(&describe(known)),
        None => {
            let found: Vec<_> = setup.found.plugins.iter().map(|known| &*known.manifest.plugin.name).collect();
            fail(&format!("no file and no plugin `{name}`; found are: {}", found.join(", ")));
            code::UNAVAILABLE
        }
    }
}

/// What a person wants to know of a plugin before it is installed.
fn describe(known: &Known) -> String {
    let (manifest, mut text) = (&*known.manifest, String::new());
    let plugin = &manifest.plugin;
    line(&mut text, format_args!("{}: {}", plugin.name, plugin.description));
    let mut fact = |name: &str, value: String| line(&mut text, format_args!("  {name:<12}{value}"));
    fact("file", harmless::path(&known.path).to_string());
    fact("size", format!("{} bytes", known.elf.size));
    // As plugins.lock has it.
    fact(
        "sha256",
        known.sha256().map_or_else(|cause| format!("could not be read: {cause}"), |sha256| sha256.to_string()),
    );
    fact("built for", known.elf.machine.to_string());
    fact("glibc", known.elf.glibc.as_ref().map_or("any".into(), |glibc| format!("{glibc} or newer")));
    fact("contract", manifest.contract.to_string());
    fact("version", plugin.version.clone().unwrap_or_else(|| "-".into()));
    fact("licence", plugin.licence.clone().unwrap_or_else(|| "-".into()));
    let loaded = match known.origin {
        Origin::Bundled => "in place: it comes with the agent",
        Origin::Other => "from a sealed copy",
    };
    fact("loaded", loaded.into());
    if let Err(error) = known.elf.runs_here() {
        fact("runs here", format!("no: {error}"));
    }
    let bundled = known.origin == Origin::Bundled;
    fact("runs", asks::runs(manifest, bundled).into());
    fact("budget", asks::budget(manifest));
    for read in asks::reads(manifest, bundled) {
        fact("reads", read);
    }
    metrics(&mut text, "metrics", &manifest.metrics);
    for table in &manifest.tables {
        let keys: Vec<_> = table.keys.iter().map(|key| format!("<{key}>")).collect();
        let title = format!("{}.{}: {}{}", table.name, keys.join("."), table.description, when(&table.when));
        metrics(&mut text, &title, &table.columns);
    }
    text.push_str("\nto configure it:\n\n");
    configure(&mut text, manifest, bundled);
    text
}

fn metrics(text: &mut String, title: &str, metrics: &[Metric]) {
    if metrics.is_empty() {
        return;
    }
    line(text, format_args!("\n{title}"));
    let names = metrics.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
    for metric in metrics {
        let kind = match (&metric.kind, &metric.source, metric.value) {
            (_, Source::Derived(_), _) => "derived",
            (Kind::Counter { .. }, ..) => "counter",
            (Kind::State, ..) => "state",
            (Kind::Info, ..) => "info",
            (Kind::Time, ..) => "time",
            (Kind::Gauge, _, ValueType::Text) => "text",
            (Kind::Gauge, _, ValueType::Bool) => "bool",
            (Kind::Gauge, ..) => "gauge",
        };
        let unit = metric.unit.as_deref().unwrap_or("-");
        let mut notes = when(&metric.when);
        if !metric.json {
            notes.push_str(" (not in the JSON)");
        }
        let (name, about) = (&metric.name, &metric.description);
        line(text, format_args!("  {name:names$}  {kind:<8}{unit:<16}{about}{notes}"));
    }
}

fn when(conditions: &[Condition]) -> String {
    let texts = conditions.iter().map(|condition| {
        let not = if condition.is { "" } else { "not " };
        format!(" ({not}with {})", condition.option)
    });
    texts.collect()
}

/// A block to paste: every option with its default, those that must be given uncommented.
fn configure(text: &mut String, manifest: &Manifest, bundled: bool) {
    line(text, format_args!("[collectors.{}]", manifest.plugin.name));
    if let Some(grant) = asks::grant(manifest, bundled) {
        line(
            text,
            format_args!("# all that it asks for and does not get by itself; leave out what it is not to reach"),
        );
        line(text, format_args!("# {grant}"));
    }
    if manifest.options.is_empty() {
        return;
    }
    line(text, format_args!("[collectors.{}.options]", manifest.plugin.name));
    for option in &manifest.options {
        line(text, format_args!("# {}: {}", kind(option), option.description));
        match &option.presence {
            Presence::Default(value) => line(text, format_args!("# {} = {}", option.name, value.toml())),
            Presence::Required => line(text, format_args!("{} = ", option.name)),
            Presence::Optional => line(text, format_args!("# {} = ", option.name)),
        }
    }
}

fn kind(option: &OptionSpec) -> String {
    let scalar = |scalar| match scalar {
        Scalar::String => "string",
        Scalar::Integer => "integer",
        Scalar::Float => "float",
        Scalar::Bool => "bool",
        Scalar::Duration => "duration",
        Scalar::Size => "size",
        Scalar::Path => "path",
        Scalar::Secret => "secret",
        Scalar::Enum => "one of",
    };
    let mut text = match option.option_type {
        OptionType::One(one) => scalar(one).to_owned(),
        OptionType::List(one) => format!("list of {}", scalar(one)),
        OptionType::Map => "map of strings".to_owned(),
    };
    if !option.values.is_empty() {
        text.push_str(&format!(" {}", option.values.join(", ")));
    }
    if option.presence == Presence::Required {
        text.push_str(", required");
    }
    text
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(words);
    text.push('\n');
}
