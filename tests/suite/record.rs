//! What a plugin did is remembered: it is shown with its reason, and forgotten when the operator says so.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use harness::Site;
use perfwatch::cli::code;
use perfwatch::plugin::known::{Bundled, Known};
use perfwatch::record::{Blame, Record, What};

/// An agent with `mock`, which a collector of another name runs, and a record that says what its library did.
fn site() -> Site {
    isolated("auto")
}

/// An agent of two collectors of `mock` that run there, and a record that says what its library did.
pub fn isolated(isolation: &str) -> Site {
    let site = Site::new();
    let library = site.plugin("mock");
    site.write("script", "");
    let table = |name: &str| {
        let options = format!("options = {{ script = {:?} }}", site.path("script"));
        format!("[collectors.{name}]\nplugin = \"mock\"\nisolation = \"{isolation}\"\n{options}\n")
    };
    site.config(&(table("ups") + &table("other")));
    blame(&site, &library, "ups");
    site
}

fn blame(site: &Site, library: &Path, collector: &str) {
    let library = Known::read(library, &Bundled::default()).unwrap().sha256().unwrap();
    let when = UNIX_EPOCH + Duration::from_secs(1_795_491_005);
    let blame = Blame { collector: collector.into(), plugin: "mock".into(), when, what: What::AgentDied };
    Record::read(&site.path("state")).change(|record| record.blame(library, blame)).unwrap();
}

/// What is told of it.
pub const WHY: &str = "held in a child since 2026-11-24T03:30:05Z: the agent died in a call of it (collector ups)";

#[test]
fn list_says_why_a_plugin_is_held_in_a_child_and_what_ends_it() {
    let site = site();
    let listed = site.output(["plugins", "list"]);
    let line = format!("mock: {WHY}; to end it: perfwatch plugins release mock");
    assert_eq!(listed.stdout.lines().last(), Some(&*line), "{listed}");
}

#[test]
fn list_does_not_say_held_where_the_operator_said_where_it_runs() {
    for isolation in ["none", "process"] {
        let listed = isolated(isolation).output(["plugins", "list"]);
        let why = WHY.strip_prefix("held in a child ").unwrap();
        let line = format!("mock: on record {why}; its `isolation` holds all the same; to forget it: ");
        assert!(listed.stdout.contains(&line), "{isolation}: {listed}");
    }
}

#[test]
fn library_that_did_nothing_is_not_held_for_what_another_build_of_it_did() {
    let site = site();
    let library = site.path("plugins/libperfwatch_mock.so");
    let mut bytes = fs::read(&library).unwrap();
    bytes.push(0);
    fs::remove_file(&library).unwrap();
    fs::write(&library, bytes).unwrap();
    let listed = site.output(["plugins", "list"]);
    assert!(listed.stdout.contains("libperfwatch_mock.so") && !listed.stdout.contains("held"), "{listed}");
}

#[test]
fn release_forgets_by_the_name_of_the_plugin_or_of_any_collector_of_it() {
    for name in ["mock", "ups", "other"] {
        let site = site();
        let released = site.output(["plugins", "release", name]);
        let expected = format!("released: mock, {WHY}\nThis holds from the next start of the agent.\n");
        assert_eq!((released.code(), &*released.stdout), (0, &*expected), "{name}: {released}");
        assert!(!site.output(["plugins", "list"]).stdout.contains("held"), "{name}");
    }
}

#[test]
fn nothing_to_release_is_a_sentence_and_exit_1() {
    let site = site();
    let path = site.path("state/placement.json");
    let told = |name: &str| {
        let finished = site.output(["plugins", "release", name]);
        assert_eq!((finished.code(), &*finished.stdout), (code::FAILED.into(), ""), "{finished}");
        finished.stderr
    };
    assert_eq!(told("mok"), "no plugin and no collector is called `mok`, did you mean `mock`?\n");
    assert_eq!(told("nothing-like-it"), "no plugin and no collector is called `nothing-like-it`\n");
    assert_eq!(site.output(["plugins", "release", "mock"]).code(), 0);
    let nothing = format!("mock is not held in a child: {} has nothing against it\n", path.display());
    assert_eq!(told("mock"), nothing);
    fs::write(&path, "{").unwrap();
    assert!(told("mock").starts_with(&format!("{} is not used: it is no record of placements: ", path.display())));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{", "it is for the operator to look at");
}

#[test]
fn record_that_cannot_be_read_is_told_by_the_list_which_is_whole() {
    let site = site();
    fs::write(site.path("state/placement.json"), "{").unwrap();
    let listed = site.output(["plugins", "list"]);
    assert!(listed.code() == 0 && listed.stdout.contains("libperfwatch_mock.so"), "{listed}");
    assert!(listed.stderr.starts_with("warning: ") && listed.stderr.contains("is not used: "), "{listed}");
}
