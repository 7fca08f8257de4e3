//! The config: a TOML text, then variables, each `NAME=value` behind a zero byte. With the plugins that come with the agent, and one
//! that has an option of each type.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use perfwatch::config::layers::Environment;
use perfwatch::config::plan::{Available, CollectorPlan, Plan, Plugins, SinkKind, Unavailable};
use perfwatch::config::show::show;
use perfwatch::config::{Config, Refused};
use perfwatch::sink::file::{self, FileSettings};
use plugin_api::host_side::manifest::Manifest;
use plugin_api::host_side::options::Settings;

use crate::manifest::{self, harmless};

pub(crate) const WORDS: &[&str] = &[
    "[agent]\n",
    "[collectors.cpu]\n",
    "[collectors.of_each]\n",
    "[collectors.\"a\\nb\"]\n",
    "[sinks.a]\ntype = \"file\"\npath = \"/a\"\n",
    "[sinks.a]\ntype = \"stdout\"\n",
    "plugin = \"of_each\"\n",
    "plugin = \"ups\"\n",
    "path = \"/lib/a\\nb.so\"\n",
    "options = { a.b = 1 }\n",
    "options.duration = \"1y\"\n",
    "options.size = \"9223372036854775807B\"\n",
    "options.list = [\"${A:-b}\", \"$${\"]\n",
    "options.map = { \"a.b\" = \"\\\"\", \"\" = \"\" }\n",
    "isolation = \"auto\"\n",
    "grant = [\"tcp:1\", \"unix:/a\", \"exec:/b\", \"cap:CAP_KILL\"]\n",
    "budget = { cpu = \"1ns\", rows = 0 }\n",
    "interval = \"100ms\"\n",
    "timeout = \"1ns\"\n",
    "enabled = false\n",
    "required = true\n",
    "strict = true\n",
    "\0A=",
    "\0PERFWATCH__AGENT__INTERVAL=1s",
    "\0PERFWATCH__COLLECTORS__CPU__OPTIONS__A=",
    "${A}",
    "${A:?",
    "\"\"\"",
    "'''",
    "\\u0000",
    "\u{1b}[2J",
];

/// A plugin with an option of each type, and two to be given.
const OF_EACH: &str = r#"contract = "1.0"
[plugin]
name = "of_each"
description = "d"
reads = ["/proc/${options.path}", "tcp:${options.string}", "exec:/bin/true"]
budget = { cpu = "10ms", rows = 5 }
[options.string]
type = "string"
default = "1"
description = "d"
[options.integer]
type = "integer"
default = 3
min = -5
max = 5
description = "d"
[options.float]
type = "float"
default = 0.1
description = "d"
[options.bool]
type = "bool"
default = false
description = "d"
[options.duration]
type = "duration"
default = "1m30s"
words = ["never"]
description = "d"
[options.size]
type = "size"
default = "1.5GiB"
description = "d"
[options.path]
type = "path"
default = "a b"
description = "d"
[options.secret]
type = "secret"
optional = true
description = "d"
[options.enum]
type = "enum"
values = ["one", "t\"wo"]
default = "t\"wo"
description = "d"
[options.list]
type = "[string]"
default = ["${x}", "\u0001"]
description = "d"
[options.durations]
type = "[duration]"
default = ["1s"]
description = "d"
[options.map]
type = "{string}"
optional = true
description = "d"
[options."deep.er"]
type = "integer"
optional = true
description = "d"
[metrics.a]
unit = "1"
when = "bool"
description = "d"
"#;

fn plugins() -> &'static Plugins {
    static PLUGINS: OnceLock<Plugins> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        let of_each = Manifest::parse(OF_EACH).unwrap_or_else(|faults| panic!("{faults:?}"));
        let manifests = manifest::all().into_iter().chain([("of_each".into(), Arc::new(of_each))]);
        let found = |(name, manifest): (String, _)| {
            let path = PathBuf::from(format!("/lib/libperfwatch_{name}.so"));
            Available { path, manifest, bundled: name != "of_each" }
        };
        let found: Vec<Available> = manifests.map(found).collect();
        let at_paths = vec![Available { path: PathBuf::from("/a"), ..found[0].clone() }];
        let gone = Unavailable {
            path: PathBuf::from("/lib/libperfwatch_ups.so"),
            plugin: None,
            reason: "others may write to it".into(),
        };
        Plugins { found, at_paths, unavailable: vec![gone], searched: vec![PathBuf::from("/lib")] }
    })
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let shipped = perfwatch::config::layers::SHIPPED.as_bytes().to_vec();
    let uncommented: Vec<u8> =
        String::from_utf8_lossy(&shipped).replace("\n# ", "\n").replace("\n#", "\n").into_bytes();
    vec![shipped, uncommented]
}

/// As the agent asks its sinks.
fn sink_check(kind: SinkKind, settings: &Settings) -> Result<(), (String, String)> {
    if kind != SinkKind::File {
        return Ok(());
    }
    let settings: FileSettings = serde_json::from_str(&settings.json()).expect("what is declared is what it takes");
    match settings.check() {
        Err(file::Error::Setting { key, problem }) => Err((key.to_owned(), problem)),
        other => other.map_err(|error| ("path".to_owned(), error.to_string())),
    }
}

fn planned(text: &str, environment: Environment) -> Result<(Config, Plan), Refused> {
    let mut config = Config::of_text(text, environment)?;
    let plan = config.plan(plugins(), &sink_check)?;
    Ok((config, plan))
}

pub(crate) fn run(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let mut parts = input.split('\0');
    let text = parts.next().unwrap_or_default();
    let variables =
        parts.filter_map(|part| part.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = Environment { variables: variables.collect(), ..Environment::default() };
    match planned(text, environment) {
        Err(refused) => {
            manifest::told(&refused.faults, &refused.sources);
            assert!(!refused.to_string().is_empty());
        }
        Ok((config, plan)) => shown(&config, &plan),
    }
}

/// What is shown is a config, and means the same.
fn shown(config: &Config, plan: &Plan) {
    let text = show(config, plan, false);
    harmless(&text);
    harmless(&show(config, plan, true));
    let again = planned(&text, Environment::default());
    let (_, again) = again.unwrap_or_else(|refused| panic!("{refused}\nin\n{text}"));
    let names = |plan: &Plan| plan.collectors.iter().map(|collector| collector.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&again), names(plan), "{text}");
    assert_eq!(without_secrets(&again.settings), without_secrets(&plan.settings));
    for (collector, again) in plan.collectors.iter().zip(&again.collectors) {
        let times = |collector: &CollectorPlan| (collector.interval, collector.timeout, collector.allowance);
        assert_eq!(times(collector), times(again), "{text}");
        let place =
            |collector: &CollectorPlan| (collector.isolation, collector.isolation_written, collector.grants.clone());
        assert_eq!(place(collector), place(again), "{text}");
        assert!(!collector.interval.is_zero() && !collector.timeout.is_zero());
        manifest::json_object(&collector.settings.json());
        match (&collector.plugin, &again.plugin) {
            (Ok(plugin), Ok(again)) => {
                manifest::json_object(&plugin.options.json());
                assert_eq!(plugin.path, again.path);
                assert_eq!(without_secrets(&plugin.options), without_secrets(&again.options), "{text}");
            }
            (Err(why), Err(again)) => assert_eq!(why, again),
            (one, other) => panic!("{one:?} is shown as {other:?} in {text}"),
        }
    }
    let sinks = |plan: &Plan| plan.sinks.iter().map(|sink| (sink.name.clone(), sink.kind.clone())).collect::<Vec<_>>();
    assert_eq!(sinks(&again), sinks(plan), "{text}");
    // The one that is there where no table says any has no settings.
    for (sink, again) in plan.sinks.iter().zip(&again.sinks).filter(|(sink, _)| !sink.settings.list.is_empty()) {
        manifest::json_object(&sink.settings.json());
        let kept = |settings: &Settings| {
            let mut settings = settings.clone();
            settings.list.retain(|setting| setting.name != "type");
            without_secrets(&settings)
        };
        assert_eq!(kept(&sink.settings), kept(&again.settings), "{text}");
    }
}

/// A secret is shown as `***`, and so is read as that.
fn without_secrets(settings: &Settings) -> String {
    let mut settings = settings.clone();
    settings.list.retain(|setting| !setting.secret);
    settings.json()
}
