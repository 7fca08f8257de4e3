//! What is shipped holds together: the declared keys, the shipped config, the examples and the unit.

use std::time::Duration;

use plugin_api::host_side::options::{Presence, declarations};
use plugin_api::host_side::tree::{Data, Table, parse};

use super::super::agent::{self, Collect, LogFormat, Offset, SandboxMode};
use super::super::{collectors, layers, sinks};
use super::*;

#[test]
fn declared_keys_are_read() {
    for text in [
        include_str!("../declared/agent.toml"),
        include_str!("../declared/collector.toml"),
        include_str!("../declared/stdout.toml"),
        include_str!("../declared/file.toml"),
    ] {
        assert_eq!(declarations(text).map_err(|faults| format!("{faults:?}")).map(|specs| specs.is_empty()), Ok(false));
    }
    assert!(!agent::declared().is_empty() && !collectors::declared().is_empty() && sinks::declared().len() == 2);
}

/// The shipped config, with the examples in its comments taken out of them.
fn uncommented() -> String {
    let example = |line: &str| {
        let Some(rest) = line.strip_prefix("# ") else { return line.to_owned() };
        let key = rest.split(" = ").next().unwrap_or_default();
        let is_key = rest.contains(" = ") && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if is_key || rest.starts_with('[') { rest.to_owned() } else { line.to_owned() }
    };
    layers::SHIPPED.lines().map(example).collect::<Vec<_>>().join("\n")
}

#[test]
fn shipped_config_has_every_key_of_the_agent_with_its_default() {
    let (table, faults) = parse(0, layers::SHIPPED);
    assert_eq!(faults, []);
    assert_eq!(table.entries.len(), 1, "collectors and sinks are comments");
    let place = Place::new("");
    let config = place.read().unwrap();
    for spec in agent::declared().iter() {
        match &spec.presence {
            Presence::Default(value) => {
                let setting = config.settings.list.iter().find(|setting| setting.name == spec.name).unwrap();
                assert!(setting.origin.is_some(), "{} is not in the shipped config", spec.name);
                assert_eq!(setting.value, *value, "{}", spec.name);
            }
            _ => assert!(layers::SHIPPED.contains(&format!("\n# {} = ", spec.name)), "{} is not shown", spec.name),
        }
    }
}

#[test]
fn examples_in_the_comments_of_the_shipped_config_are_accepted_and_show_every_key() {
    let text = uncommented();
    let (_, plan) = Place::new(&text).plan().unwrap_or_else(|told| panic!("{told}\n{text}"));
    assert_eq!(plan.agent.hostname.as_deref(), Some("web-1"));
    assert_eq!(plan.sinks.len(), 2);
    let (table, _) = parse(0, &text);
    let keys = |key: &str| {
        let tables: Vec<&Table> = super::super::tables(&table, key).map(|(_, table)| table).collect();
        move |name: &str| {
            let (head, tail) = name.split_once('.').unwrap_or((name, ""));
            tables.iter().any(|table| match table.value(head).map(|value| &value.data) {
                Some(Data::Table(inner)) => inner.value(tail).is_some(),
                found => found.is_some(),
            })
        }
    };
    let (in_collectors, in_sinks) = (keys("collectors"), keys("sinks"));
    for spec in collectors::declared().iter().filter(|spec| spec.name != "path") {
        assert!(in_collectors(&spec.name), "{} is not shown", spec.name);
    }
    for spec in sinks::declared().iter().flat_map(|(_, specs)| specs) {
        assert!(in_sinks(&spec.name), "{} is not shown", spec.name);
    }
}

#[test]
fn with_no_file_at_all_everything_found_runs_to_standard_output() {
    let place = Place::new("");
    let (_, plan) = place.plan().unwrap();
    assert_eq!(names(&plan), ["cpu", "network", "slow"]);
    assert_eq!(plan.sinks.len(), 1);
    let agent = plan.agent;
    assert_eq!((agent.interval, agent.offset), (Duration::from_secs(5), Offset::Fixed(Duration::ZERO)));
    assert_eq!(
        (agent.collect, agent.log_level, agent.log_format),
        (Collect::All, tracing::Level::INFO, LogFormat::Text)
    );
    assert_eq!((agent.sandbox, agent.runtime_dir), (SandboxMode::Available, None));
    assert_eq!((agent.host_root.as_path(), agent.hostname, agent.labels), (path("/"), None, vec![]));
}

#[test]
fn examples_are_accepted_and_the_unit_uses_the_one_for_servers() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config");
    let text = |name: &str| fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let (_, minimal) = Place::new(&text("examples/minimal.toml")).plan().unwrap();
    assert_eq!(minimal.agent.interval, Duration::from_secs(1));
    let server = Place::new(&text("examples/server.toml")).variable("STATE_DIRECTORY", "/var/lib/private/perfwatch");
    let (_, server) = server.plan().unwrap();
    assert_eq!(server.agent.offset, Offset::Host);
    assert_eq!(server.sinks[0].settings.text("path"), Some("/var/lib/private/perfwatch/snapshots.jsonl"));
    assert_eq!(server.agent.last_good.as_deref(), Some(path("/var/lib/private/perfwatch/last-good.toml")));
    assert!(text("perfwatch.service").contains("\nExecStart=/usr/bin/perfwatch run -c /etc/perfwatch/server.toml\n"));
}
