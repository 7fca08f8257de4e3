//! A `plugin.toml`. Of one that is taken everything that the agent makes of a manifest holds: schema, options, sandbox, frame, JSON.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use perfwatch::child::Policy;
use perfwatch::child::sandbox::{Terms, Without};
use perfwatch::config::plan::Isolation;
use perfwatch::snapshot::Schema;
use perfwatch::snapshot::describe::json_schema;
use plugin_api::host_side::fault::{Fault, MAX_SHOWN_FAULTS, Origin, Sources, render_all};
use plugin_api::host_side::manifest::{Allowance, MAX_MANIFEST_BYTES, Manifest, Read, Source};
use plugin_api::host_side::options::{OptionValue, Settings, check};
use plugin_api::host_side::tree::Table;

use crate::{files, frame, root};

pub(crate) const WORDS: &[&str] = &[
    "\n[metrics.a]\nunit = \"1\"\ndescription = \"d\"\n",
    "\n[metrics.\"a.b\"]\nunit = \"1\"\ndescription = \"d\"\n",
    "\n[metrics.c]\nkind = \"counter\"\nunit = \"By\"\nrate = \"c_per_sec\"\ndescription = \"d\"\n",
    "\n[metrics.d]\nunit = \"%\"\nderive = { of = [\"c\"], over = [\"c\"], scale = 1e308 }\ndescription = \"d\"\n",
    "\n[metrics.s]\nkind = \"state\"\nvalues = [\"a\", \"b\\\"\"]\ndescription = \"d\"\n",
    "\n[metrics.t]\nkind = \"time\"\ndescription = \"d\"\n",
    "\n[tables.a]\nkey = [\"x\", \"y\"]\ndescription = \"d\"\n[tables.a.columns.v]\nunit = \"1\"\ndescription = \"d\"\n",
    "\n[options.o]\ntype = \"duration\"\ndefault = \"1s\"\nwords = [\"never\"]\ndescription = \"d\"\n",
    "\n[options.\"o.p\"]\ntype = \"[enum]\"\nvalues = [\"a\"]\ndefault = [\"a\"]\ndescription = \"d\"\n",
    "contract = \"1.0\"\n",
    "contract = \"1.2\"\n",
    "budget = { cpu = \"1ns\", memory = \"8PB\", rows = 0 }\n",
    "json = false\n",
    "label = true\n",
    "width = 32\n",
    "may_decrease = true\n",
    "max_rows = 1\n",
    "when = \"!o\"\n",
    "type = \"text\"\n",
    "type = \"i64\"\n",
    "exec:${options.o}",
    "tcp:0",
    "unix:/",
    "cap:CAP_SYS_ADMIN",
    "netlink:sock_diag",
    "device:/dev/../etc",
    "\\u0000",
    "\u{202e}",
    "\"\"\"",
    "'''",
    "inf",
    "-nan",
    "0x7fffffffffffffff",
    "{a.a.a.a.a.a.a.a.a.a=",
    "[[a]]\n",
];

/// The manifests of this project, which are all that there are.
pub(crate) fn all() -> Vec<(String, Arc<Manifest>)> {
    let taken = |text: Vec<u8>| {
        let text = String::from_utf8(text).expect("a manifest is UTF-8");
        let manifest = Manifest::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}"));
        (manifest.plugin.name.clone(), Arc::new(manifest))
    };
    [seeds_of("plugins"), seeds_of("tests/plugins/mock")].concat().into_iter().map(taken).collect()
}

fn seeds_of(folder: &str) -> Vec<Vec<u8>> {
    let named = |path: &Path| path.file_name().is_some_and(|name| name == "plugin.toml");
    let built = |path: &Path| path.components().any(|part| part.as_os_str() == "target");
    files(&root().join(folder), &|path| named(path) && !built(path))
        .iter()
        .map(|path| fs::read(path).expect("a manifest"))
        .collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [seeds_of("plugins"), seeds_of("plugin-api/src/host_side/manifest/tests"), seeds_of("tests/plugins/mock")].concat()
}

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Manifest::parse(text) {
        Ok(manifest) => holds(&Arc::new(manifest)),
        Err(faults) => told(&faults, &Sources::of("plugin.toml", text)),
    }
    assert!(text.len() <= MAX_MANIFEST_BYTES || Manifest::parse(text).is_err());
}

/// Faults are there, and their text is bounded and safe to print.
pub(crate) fn told(faults: &[Fault], sources: &Sources) {
    assert!(!faults.is_empty(), "refused, and nobody says why");
    let text = render_all(faults, sources);
    assert!(!text.trim().is_empty());
    assert!(text.lines().count() <= 8 * MAX_SHOWN_FAULTS, "{} lines of {} faults", text.lines().count(), faults.len());
    harmless(&text);
}

/// Nothing in it drives a terminal.
pub(crate) fn harmless(text: &str) {
    let harmful = |one: &char| one.is_control() && *one != '\n' && *one != '\t';
    if let Some(one) = text.chars().find(harmful) {
        panic!("{one:?} in {text:?}");
    }
}

fn holds(manifest: &Arc<Manifest>) {
    names(manifest);
    let (mut sources, mut faults) = (Sources::default(), Vec::new());
    let none = |_: &Path| Ok(String::new());
    let settings = check(&manifest.options, &Table::default(), Origin::default(), &none, &mut sources, &mut faults);
    assert_eq!(faults.is_empty(), !manifest.needs_options(), "options that are not required have a value or none");
    json_object(&settings.json());
    for setting in &settings.list {
        toml(&setting.value);
    }
    policy(manifest, &settings);
    let on = |option: &str| settings.is_on(option);
    for is_on in [&on as &dyn Fn(&str) -> bool, &|_| true, &|_| false] {
        let schema = Arc::new(Schema::new(Arc::clone(manifest), is_on));
        frame::of_each(&schema);
        let described = json_schema([("c", &*schema)]).to_string();
        assert!(described.len() > 2);
    }
}

/// A default that is written is read again as it was: what `config show` prints has to mean what it says.
fn toml(value: &OptionValue) {
    let text = value.toml();
    let read = plugin_api::host_side::tree::parse(0, &format!("a = {text}\n"));
    assert_eq!(read.1, [], "{text}");
}

pub(crate) fn json_object(text: &str) {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|told| panic!("{told}: {text}"));
    assert!(value.is_object());
}

/// What the grammar promises of names and operands.
fn names(manifest: &Manifest) {
    let mut taken = BTreeSet::new();
    assert!(manifest.metrics.iter().all(|metric| taken.insert(&metric.name)), "a name comes twice");
    assert!(manifest.tables.iter().all(|table| taken.insert(&table.name)), "a name comes twice");
    for name in &taken {
        let below = format!("{name}.");
        assert!(!taken.iter().any(|other| other.starts_with(&below)), "{name} is a value and an object");
    }
    for metrics in manifest.tables.iter().map(|table| &table.columns).chain([&manifest.metrics]) {
        for metric in metrics {
            let Source::Derived(derivation) = &metric.source else { continue };
            assert!(derivation.scale.is_finite() && derivation.scale != 0.0 && !derivation.of.is_empty());
            for &operand in derivation.of.iter().chain(derivation.over.iter().flatten()) {
                assert!(metrics[operand].kind.is_counter() && metrics[operand].source == Source::Reported);
            }
        }
    }
}

/// What is not granted is refused, whoever asks; and what crosses to the child comes back as it was.
fn policy(manifest: &Manifest, settings: &Settings) {
    let allowance = Allowance::of(manifest.plugin.budget);
    let terms = |bundled, reads| Terms {
        collector: "c",
        reads,
        options: settings,
        grants: &[],
        bundled,
        host_root: Path::new("/host"),
        memory: allowance.memory,
        descriptors: allowance.descriptors,
        required: false,
        without: Without::default(),
    };
    let reads: &[Read] = &manifest.plugin.reads;
    for bundled in [true, false] {
        let policy = Policy::new(&terms(bundled, reads));
        let json = serde_json::to_string(&policy).expect("a policy has a JSON text");
        assert_eq!(serde_json::from_str::<Policy>(&json).expect("and is read from it"), policy);
        assert!(!bundled || policy.refused().is_empty());
        // Prints what would end a refusal.
        if let Some(more) = policy.explain("could not open /etc/shadow: Permission denied (os error 13): denied") {
            harmless(&more);
        }
        let _placed = Isolation::of(manifest, bundled).word();
    }
}
