//! Where a lock is required, what was locked is loaded and nothing else; one command renews it and shows what changed.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Finished, Running, Site, built, skip};
use rustix::process::Signal;
use serde_json::Value;

const REQUIRED: &str = "[agent]\ninterval = \"50ms\"\nrequire_lock = true\n\
     [collectors.mock]\nisolation = \"none\"\noptions = { script = \"script\" }\n";

/// `mock` from elsewhere and `memory` that comes with the agent, each no link to what cargo built.
fn site(config: &str) -> (Site, PathBuf) {
    let site = Site::new();
    site.write("script", "value=1.5");
    site.config(config);
    fs::copy(&built().plugins["perfwatch_memory"], site.path("bin/libperfwatch_memory.so")).unwrap();
    let library = site.path("plugins/libperfwatch_mock.so");
    fs::copy(&built().test_plugins["perfwatch_mock"], &library).unwrap();
    (site, library)
}

fn lock(site: &Site, arguments: &[&str]) -> Finished {
    site.output(["plugins", "lock"].iter().chain(arguments))
}

fn once(site: &Site) -> Value {
    let once = site.output(["once", "--format", "json", "--window", "200ms"]);
    assert_eq!(once.code(), 0, "{once}");
    serde_json::from_str(&once.stdout).unwrap()
}

/// A library of other bytes, which says the same of itself: what is added is in no section.
fn build_anew(library: &Path) {
    let bytes = [&fs::read(library).unwrap()[..], b"built anew"].concat();
    fs::write(library.with_extension("new"), bytes).unwrap();
    fs::rename(library.with_extension("new"), library).unwrap();
}

#[test]
fn without_a_lock_nothing_is_loaded_where_one_is_required_and_with_it_all_that_was_there() {
    let (site, _) = site(REQUIRED);
    let check = site.output(["check"]);
    assert_eq!(check.code(), 69, "{check}");
    let (config, path) = (site.path("perfwatch.toml"), site.path("plugins.lock"));
    let command = format!("perfwatch plugins lock -c {}", config.display());
    for name in ["memory", "mock"] {
        let missing = format!(
            "{name}: not loaded: agent.require_lock is set, and there is no {}; to write it: {command}\n",
            path.display()
        );
        assert!(check.stderr.contains(&missing), "no {missing} in {check}");
    }
    let written = lock(&site, &["-c", config.to_str().unwrap()]);
    assert_eq!(written.code(), 0, "{written}");
    let told = format!(
        "added    memory ({})\nadded    mock ({})\nwrote {}: 2 plugins\n",
        site.path("bin/libperfwatch_memory.so").display(),
        site.path("plugins/libperfwatch_mock.so").display(),
        path.display()
    );
    assert_eq!((&*written.stdout, &*written.stderr), (&*told, ""));
    assert_eq!(site.output(["check"]).code(), 0);
    let snapshot = once(&site);
    assert_eq!((&snapshot["mock"]["value"], &snapshot["memory"]["_status"]), (&1.5.into(), &"ok".into()));
}

#[test]
fn library_that_was_replaced_is_not_loaded_until_the_lock_is_renewed() {
    let (site, library) = site(REQUIRED);
    assert_eq!(lock(&site, &[]).code(), 0);
    let text = fs::read_to_string(site.path("plugins.lock")).unwrap();
    let (_, rest) = text.split_once("name = \"mock\"").unwrap();
    let before = &rest.split_once("sha256 = \"").unwrap().1[..12];
    build_anew(&library);
    let check = site.output(["check"]);
    assert_eq!(check.code(), 69, "{check}");
    assert!(
        check.stderr.contains(&format!("mock: not loaded: {} has changed since it was locked", library.display())),
        "{check}"
    );
    let command = format!("with {before}; to admit it once it has been looked at: perfwatch plugins lock -c ");
    assert!(check.stderr.contains(&command), "{check}");
    let here = check.stderr.split_once("SHA-256 begins with ").unwrap().1[..12].to_owned();
    let snapshot = once(&site);
    assert_eq!((&snapshot["mock"]["_status"], &snapshot["memory"]["_status"]), (&"failed".into(), &"ok".into()));
    assert!(snapshot["mock"]["_error"].as_str().unwrap().contains("has changed since it was locked"), "{snapshot}");
    let changed = format!("changed  mock ({}): only its bytes: SHA-256 {before}… → {here}…\n", library.display());
    let compared = lock(&site, &["--check"]);
    assert_eq!((compared.code(), &*compared.stdout), (1, &*changed), "{compared}");
    assert_eq!(fs::read_to_string(site.path("plugins.lock")).unwrap(), text, "it is only compared");
    let renewed = lock(&site, &[]);
    assert_eq!(renewed.code(), 0);
    assert!(renewed.stdout.starts_with(&changed) && renewed.stdout.contains("\nwrote "), "{renewed}");
    assert_eq!(once(&site)["mock"]["value"], 1.5);
}

#[test]
fn lock_tells_what_is_there_no_more_and_when_nothing_changed() {
    let (site, library) = site(REQUIRED);
    let missing = lock(&site, &["--check"]);
    assert_eq!(missing.code(), 1, "{missing}");
    assert!(missing.stderr.contains("plugins.lock is not there"), "{missing}");
    assert_eq!(lock(&site, &[]).code(), 0);
    for arguments in [&[][..], &["--check"]] {
        let same = lock(&site, arguments);
        assert_eq!((same.code(), same.stdout.starts_with("nothing changed: ")), (0, true), "{same}");
    }
    fs::remove_file(&library).unwrap();
    let gone = lock(&site, &[]);
    assert!(gone.stdout.starts_with(&format!("gone     mock ({})\n", library.display())), "{gone}");
}

#[test]
fn lock_is_not_asked_where_it_is_not_required_and_so_it_is_said() {
    let (site, library) = site(&REQUIRED.replace("true", "false"));
    let written = lock(&site, &[]);
    assert_eq!((written.code(), written.stderr.contains("agent.require_lock is not set")), (0, true), "{written}");
    build_anew(&library);
    assert_eq!(once(&site)["mock"]["value"], 1.5);
}

#[test]
fn plugin_that_is_not_in_the_lock_does_not_shadow_the_one_that_is() {
    let (site, library) = site(REQUIRED);
    assert_eq!(lock(&site, &[]).code(), 0);
    fs::copy(&library, site.path("plugins/a.so")).unwrap();
    let (snapshot, check) = (once(&site), site.output(["check"]));
    assert_eq!(snapshot["mock"]["value"], 1.5);
    let told = format!("mock: not loaded: {} is not in ", site.path("plugins/a.so").display());
    assert!(check.code() == 69 && check.stderr.contains(&told), "{check}");
}

#[test]
fn lock_that_others_may_write_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        return skip("root");
    }
    let (site, _) = site(REQUIRED);
    assert_eq!(lock(&site, &[]).code(), 0);
    let path = site.path("plugins.lock");
    std::os::unix::fs::chown(&path, Some(61_234), None).unwrap();
    let check = site.output(["check"]);
    assert_eq!(check.code(), 69, "{check}");
    let told = format!(
        "{0} is not believed: {0} belongs to user 61234; who writes there runs code as root. chown root {0}\n",
        path.display()
    );
    assert!(check.stderr.contains(&told), "no {told} in {check}");
    let renewed = lock(&site, &[]);
    assert!(renewed.stdout.starts_with("nothing changed") && renewed.stderr.contains("warning: "), "{renewed}");
}

#[test]
fn running_agent_takes_a_library_that_was_replaced_only_once_the_lock_is_renewed() {
    let (site, library) = site(&REQUIRED.replace("[agent]", "[agent]\nwatch = \"off\""));
    assert_eq!(lock(&site, &[]).code(), 0);
    let mut agent: Running = site.start(["run"]);
    agent.snapshot_where(|snapshot| snapshot["mock"]["value"] == 1.5);
    build_anew(&library);
    let refused = site.output(["reload"]);
    let words = format!("mock: not loaded: {} has changed since it was locked", library.display());
    assert!(refused.code() == 78 && refused.stderr.contains(&words), "{refused}");
    assert_eq!(lock(&site, &[]).code(), 0);
    let loaded =
        || fs::read_to_string(format!("/proc/{}/maps", agent.pid())).unwrap().matches("libperfwatch_mock").count();
    let before = loaded();
    let reloaded = site.output(["reload"]);
    assert_eq!(reloaded.code(), 0, "{reloaded}");
    assert!(before > 0 && loaded() > before, "another copy is mapped now, and none was before");
    agent.snapshot_where(|snapshot| snapshot["mock"]["value"] == 1.5);
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), 0);
}
