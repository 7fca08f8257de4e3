//! What a user reads is what the program does: the READMEs beside manifests, commands, exit codes and real output.
//!
//! Tables of a plugin's README are made from its `plugin.toml`: `UPDATE_GOLDEN=1` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::{Site, root};
use perfwatch::agent::SHUTDOWN;
use perfwatch::child::sandbox::{Policy, Terms, Without};
use perfwatch::cli::code;
use perfwatch::config::agent::AgentSettings;
use perfwatch::config::layers::Environment;
use perfwatch::control::attend::READY_AT_LATEST;
use perfwatch::control::client::DONE_WITHIN;
use perfwatch::snapshot::read::AggregatedSnapshot;
use perfwatch::snapshot::{EventKind, Status};
use plugin_api::host_side::manifest::{Allowance, Budget, Kind, Manifest, Metric, Source};
use plugin_api::host_side::options::units::duration_text;
use plugin_api::host_side::options::{Presence, Settings};
use serde_json::Value;

use crate::live::undescribed;

pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// The names of the folders in `plugins/`.
fn plugins() -> Vec<String> {
    let entries = fs::read_dir(root().join("plugins")).unwrap().map(|entry| entry.unwrap().path());
    let folders = entries.filter(|path| path.join("plugin.toml").exists());
    let mut names: Vec<_> = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn manifest(plugin: &str) -> Manifest {
    Manifest::parse(&read(format!("plugins/{plugin}/plugin.toml"))).unwrap()
}

/// An agent with every plugin beside it.
fn site() -> Site {
    let site = Site::new();
    plugins().iter().for_each(|plugin| drop(site.bundled(plugin)));
    site
}

/// What stands between the first fence of this language and its end.
pub fn block<'text>(text: &'text str, language: &str) -> &'text str {
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no block of {language}"));
    rest.split_once("```").unwrap().0
}

/// The rows of the table under this heading, without the heading; where it stands in the text.
pub fn table<'text>(text: &'text str, heading: &str) -> Option<&'text str> {
    let (_, rest) = text.split_once(&format!("{heading}\n"))?;
    let rows: usize = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    let (rule, rows) = rest[..rows].split_once('\n').unwrap();
    assert!(rule.starts_with("|---"), "{heading}");
    Some(rows)
}

/// What is between backticks in the first cell of each row.
fn first_cells(rows: &str) -> impl Iterator<Item = &str> {
    rows.lines().flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
}

pub const OPTIONS: &str = "| option | default | meaning |";
pub const METRICS: &str = "| metric | kind | unit | meaning |";

pub fn options(manifest: &Manifest) -> String {
    let row = |option: &plugin_api::host_side::options::OptionSpec| {
        let default = match &option.presence {
            Presence::Default(value) => format!("`{}`", value.toml()),
            Presence::Required => "required".into(),
            Presence::Optional => "none".into(),
        };
        format!("| `{}` | {default} | {} |\n", option.name, option.description)
    };
    manifest.options.iter().map(row).collect()
}

pub fn metrics(manifest: &Manifest) -> String {
    let rows = |prefix: &str, metrics: &[Metric]| -> String {
        let row = |metric: &Metric| {
            let kind = match (metric.kind, &metric.source) {
                (_, Source::Derived(_)) => "derived",
                (Kind::Gauge, _) => "gauge",
                (Kind::Counter { .. }, _) => "counter",
                (Kind::State, _) => "state",
                (Kind::Info, _) => "info",
                (Kind::Time, _) => "time",
            };
            let unit = metric.unit.as_ref().map(|unit| format!("`{unit}`")).unwrap_or_default();
            format!("| `{prefix}{}` | {kind} | {unit} | {} |\n", metric.name, metric.description)
        };
        metrics.iter().filter(|metric| metric.json).map(row).collect()
    };
    let mut text = rows("", &manifest.metrics);
    for table in &manifest.tables {
        let keys: String = table.keys.iter().map(|key| format!("{}.", key.to_uppercase())).collect();
        text += &rows(&format!("{}.{keys}", table.name), &table.columns);
    }
    text
}

/// A row of the index of plugins.
fn indexed(plugin: &str) -> String {
    let manifest = manifest(plugin);
    let shown = |metrics: &[Metric]| metrics.iter().filter(|metric| metric.json).count();
    let tables = manifest.tables.iter().map(|table| format!("`{}` of {}", table.name, shown(&table.columns)));
    let every = manifest.plugin.interval.map_or("tick".to_owned(), duration_text);
    let reads = manifest.plugin.reads.iter().map(|read| format!("`{read}`"));
    let cells = [
        format!("[{plugin}]({plugin}/README.md)"),
        manifest.plugin.description.clone(),
        shown(&manifest.metrics).to_string(),
        tables.collect::<Vec<_>>().join(", "),
        every,
        reads.collect::<Vec<_>>().join(", "),
    ];
    format!("| {} |\n", cells.join(" | "))
}

const INDEX: &str = "| plugin | what it measures | metrics | tables | every | reads |";

#[test]
fn tables_of_the_plugins_are_what_their_manifests_declare() {
    let mut tables =
        vec![("plugins/README.md".to_owned(), INDEX, plugins().iter().map(|plugin| indexed(plugin)).collect())];
    for plugin in plugins() {
        let (path, manifest) = (format!("plugins/{plugin}/README.md"), manifest(&plugin));
        tables.extend([(path.clone(), OPTIONS, options(&manifest)), (path, METRICS, metrics(&manifest))]);
    }
    let mut wrong = Vec::new();
    for (path, heading, expected) in tables {
        let text = read(&path);
        let found = table(&text, heading).unwrap_or_default();
        if found == expected {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !found.is_empty() {
            fs::write(root().join(&path), text.replacen(found, &expected, 1)).unwrap();
        } else {
            wrong.push(format!("{path}: expected under {heading}\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes these tables:\n{}", wrong.join("\n"));
}

#[test]
fn index_says_of_each_plugin_what_an_author_learns_from_it() {
    let index = read("plugins/README.md");
    let patterns = table(&index, "| to see how | read |").unwrap();
    for plugin in plugins() {
        assert!(patterns.contains(&format!("| [{plugin}]({plugin}/")), "no pattern is of {plugin}");
    }
}

#[test]
fn config_in_the_readme_passes_the_check() {
    let site = site();
    site.config(block(&read("README.md"), "toml"));
    let finished = site.output(["check"]);
    assert_eq!((finished.code(), &*finished.stdout), (0, "ok: 5 collectors, 2 sinks\n"), "{finished}");
}

#[test]
fn faults_in_the_readme_are_what_the_check_says() {
    let readme = read("README.md");
    let (command, faults) = block(&readme, "console").split_once('\n').unwrap();
    let site = site();
    site.config("[collectors.cpu]\nintervall = \"1s\"\noptions = { percore = true }\n");
    let finished = site.output(command.strip_prefix("$ perfwatch ").unwrap().split(' '));
    assert_eq!((finished.code(), &*finished.stderr), (code::CONFIG.into(), faults));
}

#[test]
fn snapshot_in_the_readme_can_be_read_and_has_keys_that_the_schema_describes() {
    let readme = read("README.md");
    let snapshot = block(&readme, "json");
    serde_json::from_str::<AggregatedSnapshot>(snapshot).unwrap();
    let site = site();
    site.config("[collectors.ups]\n");
    let schema: Value = serde_json::from_str(&site.output(["schema"]).stdout).unwrap();
    let mut unknown = undescribed(&serde_json::from_str(snapshot).unwrap(), &schema, &schema);
    unknown.retain(|key| !key.ends_with("which is described and not there")); // it is shortened
    assert_eq!(unknown, Vec::<String>::new());
    let statuses = table(&readme, "| `_status` | what it means |").unwrap();
    let described = schema["$defs"]["section"]["properties"]["_status"]["enum"].as_array().unwrap();
    assert!(first_cells(statuses).eq(described.iter().map(|word| word.as_str().unwrap())), "{described:?}");
}

#[test]
fn events_in_the_readme_are_those_that_can_happen() {
    let readme = read("README.md");
    let told = first_cells(table(&readme, "| `kind` | what happened |").unwrap());
    assert!(told.eq(EventKind::ALL.map(EventKind::word).into_iter().chain(["gap"])));
}

/// The inline table of a budget, as a document shows it.
const BUDGET: &str = "budget = { ";

#[test]
fn budget_in_the_documents_has_its_words_and_their_defaults() {
    let words = Allowance::of(Budget::default()).words();
    let declared: Vec<_> = Budget::declared().into_iter().map(|option| option.name).collect();
    assert!(words.iter().map(|(word, _)| format!("budget.{word}")).eq(declared));
    let words: Vec<_> = words.iter().map(|(word, value)| format!("{word} = {}", value.toml())).collect();
    let expected = words.join(", ");
    for document in ["README.md", "config/perfwatch.toml", "plugin-api/src/host_side/manifest/grammar.md"] {
        let text = read(document);
        let (_, rest) = text.split_once(BUDGET).unwrap_or_else(|| panic!("{document} has no budget"));
        assert_eq!(rest.split(" }").next(), Some(&*expected), "{document}");
    }
}

#[test]
fn isolation_in_the_readme_has_each_of_its_words() {
    let readme = read("README.md");
    let heading = readme.lines().find(|line| line.starts_with("| `isolation` |")).unwrap();
    let told: Vec<_> = heading.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect();
    let schema: Value = serde_json::from_str(&Site::new().output(["config", "schema"]).stdout).unwrap();
    let words = &schema["$defs"]["collector"]["properties"]["isolation"]["enum"];
    let words = words.as_array().unwrap().iter().map(Value::to_string);
    assert_eq!(told, words.collect::<Vec<_>>());
}

#[test]
fn refusal_in_the_readme_is_what_a_section_says() {
    let readme = read("README.md");
    let told = block(&readme, "text").trim().replace('\n', " ");
    let options = Settings::default();
    let policy = Policy::new(&Terms {
        collector: "quota",
        reads: &[],
        options: &options,
        grants: &[],
        bundled: false,
        host_root: Path::new("/"),
        memory: 64 << 20,
        descriptors: 64,
        required: false,
        without: Without::default(),
    });
    let error = "could not open /srv/quota/limit: Permission denied (os error 13)";
    let said = format!("{error}; {}", policy.explain(error).unwrap());
    assert_eq!(told, format!("\"_error\":{}", Value::from(said)));
}

#[test]
fn statuses_in_the_architecture_are_all_of_them() {
    let text = read("agent/ARCHITECTURE.md");
    let rows = table(&text, "| status | when | metrics | `_since` |").unwrap();
    let told = rows.lines().map(|row| row.split('|').nth(1).unwrap().trim());
    assert!(told.eq(Status::ALL.map(Status::word)));
}

#[test]
fn files_with_unsafe_code_are_those_that_the_architecture_names() {
    let text = read("agent/ARCHITECTURE.md").replace('\n', " ");
    let (_, rest) = text.split_once("`unsafe` stands in ").unwrap();
    let (list, _) = rest.split_once(", and nowhere else").unwrap();
    let mut told: Vec<String> = list.split('`').skip(1).step_by(2).flat_map(braces).collect();
    let mut found = Vec::new();
    for source in ["plugin-api/src", "agent/src"] {
        with_unsafe(&root().join(source), &mut found);
    }
    told.sort();
    found.sort();
    // A name may be the end of a path, as those before it say where.
    assert!(told.len() == found.len() && told.iter().all(|name| found.iter().any(|path| path.ends_with(name))));
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn braces(text: &str) -> Vec<String> {
    let Some((before, rest)) = text.split_once('{') else { return vec![text.to_owned()] };
    let (names, after) = rest.split_once('}').unwrap();
    names.split(',').map(|name| format!("{before}{name}{after}")).collect()
}

fn with_unsafe(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            with_unsafe(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            if text.lines().any(|line| line == "#![allow(unsafe_code)]") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
}

#[test]
fn shipped_config_is_what_config_default_prints() {
    assert_eq!(Site::new().output(["config", "default"]).stdout, read("config/perfwatch.toml"));
}

/// The commands that a help text lists, but for itself.
pub fn listed(site: &Site, command: &[&str]) -> Vec<String> {
    let help = site.output(command.iter().chain(&["--help"])).stdout;
    let Some((_, rest)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| !line.is_empty());
    // A description may go on in a line of its own, which is indented further.
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn commands_in_the_readme_are_those_that_the_help_lists() {
    let site = Site::new();
    let mut known = BTreeSet::new();
    for command in listed(&site, &[]) {
        let below = listed(&site, &[&command]);
        if below.is_empty() {
            known.insert(format!("perfwatch {command}"));
        }
        known.extend(below.iter().map(|below| format!("perfwatch {command} {below}")));
    }
    let readme = read("README.md");
    let told: BTreeSet<_> = first_cells(table(&readme, "| command | what it does |").unwrap()).collect();
    assert!(told.iter().eq(&known), "the README has {told:?}, the help {known:?}");
}

#[test]
fn exit_codes_in_the_readme_and_the_help_are_those_of_the_program() {
    let codes =
        [code::OK, code::FAILED, code::USAGE, code::UNAVAILABLE, code::NOT_PERMITTED, code::CONFIG].map(u32::from);
    let readme = read("README.md");
    let rows = table(&readme, "| code | meaning |").unwrap();
    let told: Vec<u32> = rows.lines().map(|row| row.split('|').nth(1).unwrap().trim().parse().unwrap()).collect();
    assert_eq!(told, codes);
    let help = Site::new().output(["--help"]).stdout;
    let (_, rest) = help.split_once("Exit codes: ").unwrap();
    let line: String = rest.split("\nData goes").next().unwrap().replace('\n', " ");
    let told: Vec<u32> = line.split("; ").map(|code| code.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(told, codes);
}

/// The settings of the unit, and their values; one that comes twice has both.
fn unit() -> Vec<(String, String)> {
    let text = read("config/perfwatch.service");
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn of_unit(key: &str) -> String {
    let values: Vec<_> = unit().into_iter().filter(|(known, _)| known == key).map(|(_, value)| value).collect();
    assert_eq!(values.len(), 1, "{key} is {values:?}");
    values.into_iter().next().unwrap()
}

fn seconds(key: &str) -> Duration {
    Duration::from_secs(of_unit(key).strip_suffix('s').unwrap().parse().unwrap())
}

#[test]
fn unit_restarts_after_what_may_pass_and_not_after_what_stays() {
    let stays = [code::USAGE, code::NOT_PERMITTED, code::CONFIG].map(|code| code.to_string());
    assert_eq!(of_unit("RestartPreventExitStatus"), stays.join(" "));
    assert_eq!(of_unit("Restart"), "always");
}

#[test]
fn unit_uses_one_config_and_commands_that_there_are() {
    let site = Site::new();
    for (key, command) in [("ExecStart", "run"), ("ExecReload", "reload")] {
        assert_eq!(of_unit(key), format!("/usr/bin/perfwatch {command} -c /etc/perfwatch/server.toml"));
        assert!(listed(&site, &[]).iter().any(|known| known == command), "the help does not list {command}");
    }
}

#[test]
fn unit_waits_for_the_agent_longer_than_the_agent_for_anything() {
    assert!(seconds("TimeoutStopSec") >= 2 * SHUTDOWN);
    assert!(seconds("TimeoutStartSec") > DONE_WITHIN.max(READY_AT_LATEST) + Duration::from_secs(20));
    assert!(seconds("WatchdogSec") >= Duration::from_secs(10), "a stall of seconds is no death");
    assert_eq!((of_unit("Type"), of_unit("NotifyAccess")), ("notify".into(), "main".into()));
}

/// What a service of the system keeps, and where the agent looks for it by itself.
#[test]
fn unit_makes_the_folders_in_which_the_agent_of_a_service_keeps_its_own() {
    let environment =
        Environment { variables: [("INVOCATION_ID".to_owned(), "1".to_owned())].into(), ..Environment::default() };
    let agent = AgentSettings::new(&Settings::default(), &environment);
    assert_eq!(agent.state_dir, Path::new("/var/lib").join(of_unit("StateDirectory")));
    assert_eq!(agent.runtime_dir.unwrap(), Path::new("/run").join(of_unit("RuntimeDirectory")));
    // What an agent that died has left there is for the next one.
    assert_eq!(of_unit("RuntimeDirectoryPreserve"), "yes");
    // Where it lies by default, it is found in whatever part of the config the fault is.
    let last_good = format!("last_good = \"${{STATE_DIRECTORY:-{}}}/last-good.toml\"", agent.state_dir.display());
    assert!(read("config/examples/server.toml").lines().any(|line| line == last_good));
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut documents = vec!["README.md".to_owned(), "agent/ARCHITECTURE.md".into(), "plugins/README.md".into()];
    documents.push("plugin-api/README.md".into());
    documents.extend(plugins().iter().map(|plugin| format!("plugins/{plugin}/README.md")));
    for document in documents {
        let text = read(&document);
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let target = root().join(&document).parent().unwrap().join(link);
            assert!(link.starts_with("https://") || target.exists(), "{document} links to {link}");
        }
    }
}

/// `cargo run` at the root builds every library only while nothing there chooses one package or one program.
#[test]
fn first_command_of_the_readme_builds_the_plugins_too() {
    assert!(!read("agent/Cargo.toml").contains("\ndefault-run"));
    let workspace = read("Cargo.toml");
    assert!(!workspace.contains("default-members") && !workspace.contains("[package]"));
}
