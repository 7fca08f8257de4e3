//! A plugin is code: one that others could have changed is not run, and whoever asks is told what to do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Finished, Running, Site, built, skip};
use serde_json::Value;

/// Nobody's number.
const STRANGER: u32 = 61_234;

/// A site where `mock` answers 1.5, with its library, which is no link to the one that cargo built: the tests change its mode and owner.
/// None where this is not root, whom alone others are refused.
fn site(agent: &str) -> Option<(Site, PathBuf)> {
    if !rustix::process::geteuid().is_root() {
        skip("root");
        return None;
    }
    let site = Site::new();
    site.write("script", "value=1.5");
    site.config(&format!(
        "[agent]\ninterval = \"50ms\"\n{agent}\n[collectors.mock]\nisolation = \"none\"\noptions = {{ script = \"script\" }}\n"
    ));
    let library = site.path("plugins/libperfwatch_mock.so");
    fs::copy(&built().test_plugins["perfwatch_mock"], &library).unwrap();
    mode(&library, 0o755);
    mode(&site.path("plugins"), 0o755);
    Some((site, library))
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn give(path: &Path) {
    lchown(path, Some(STRANGER), None).unwrap();
}

fn once(site: &Site) -> (Value, String) {
    let once = site.output(["once", "--format", "json", "--window", "200ms"]);
    assert_eq!(once.code(), 0, "{once}");
    (serde_json::from_str(&once.stdout).unwrap(), once.stderr)
}

/// It is refused wherever one asks, in these words.
fn is_refused(site: &Site, words: &str) {
    let check = site.output(["check"]);
    assert_eq!(check.code(), 69, "{check}");
    assert!(check.stderr.contains(&format!("mock: not loaded: {words}")), "no {words:?} in {check}");
    let (snapshot, _) = once(site);
    assert_eq!(snapshot["mock"]["_status"], "failed");
    assert!(snapshot["mock"]["_error"].as_str().unwrap().contains(words), "no {words:?} in {}", snapshot["mock"]);
    assert!(snapshot["mock"].get("value").is_none(), "it ran");
}

/// Does what the message says to do, and then it runs.
fn command_ends_it(site: &Site, command: &str) {
    let check = site.output(["check"]);
    assert!(check.stderr.contains(&format!(". {command}, or: install -m 0755 ")), "no {command:?} in {check}");
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
    runs(site);
}

fn runs(site: &Site) -> String {
    let check = site.output(["check"]);
    assert_eq!(check.code(), 0, "{check}");
    let (snapshot, _) = once(site);
    assert_eq!(snapshot["mock"]["value"], 1.5);
    check.stderr
}

fn runs_on(mut agent: Running) -> Finished {
    agent.snapshot_where(|snapshot| snapshot["mock"]["value"] == 1.5);
    agent.signal(rustix::process::Signal::TERM);
    agent.wait()
}

#[test]
fn plugin_in_a_folder_that_everyone_may_write_is_refused_until_the_command_that_is_told() {
    let Some((site, library)) = site("") else { return };
    let folder = site.path("plugins");
    mode(&folder, 0o777);
    let install = format!("install -m 0755 {} /usr/local/lib/perfwatch/plugins/", library.display());
    let (what, chmod) = (folder.display(), format!("chmod o-w {}", folder.display()));
    is_refused(
        &site,
        &format!("{what} is writable by everyone (0777); who writes there runs code as root. {chmod}, or: {install}"),
    );
    command_ends_it(&site, &chmod);
}

#[test]
fn file_and_folders_further_above_count_as_well() {
    let Some((site, library)) = site("") else { return };
    mode(&library, 0o666);
    is_refused(&site, &format!("{} is writable by everyone (0666)", library.display()));
    command_ends_it(&site, &format!("chmod o-w {}", library.display()));
    let above = site.path("");
    let above = Path::new(above.to_str().unwrap().trim_end_matches('/'));
    mode(above, 0o777);
    is_refused(&site, &format!("{} is writable by everyone (0777)", above.display()));
    mode(above, 0o1777);
    runs(&site);
}

#[test]
fn plugin_of_a_stranger_is_refused_and_so_is_what_lies_in_a_strangers_folder() {
    let Some((site, library)) = site("") else { return };
    let folder = site.path("plugins");
    give(&library);
    is_refused(&site, &format!("{} belongs to user {STRANGER}; who writes there runs code as root", library.display()));
    command_ends_it(&site, &format!("chown root {}", library.display()));
    give(&folder);
    is_refused(&site, &format!("{} belongs to user {STRANGER}; who writes there runs code as root", folder.display()));
    lchown(&folder, Some(0), None).unwrap();
    runs(&site);
}

#[test]
fn link_is_refused_where_others_could_point_it_elsewhere() {
    let Some((site, library)) = site("") else { return };
    let real = site.path("real.so");
    fs::rename(&library, &real).unwrap();
    symlink(&real, &library).unwrap();
    runs(&site);
    give(&library);
    is_refused(
        &site,
        &format!("the link {} belongs to user {STRANGER}; who replaces it runs code as root", library.display()),
    );
    command_ends_it(&site, &format!("chown -h root {}", library.display()));
    // The folder is passed on the way to the link, and does not lie above the file.
    mode(&site.path("plugins"), 0o777);
    is_refused(&site, &format!("{} is writable by everyone (0777)", site.path("plugins").display()));
    fs::remove_file(&library).unwrap();
    site.config(&format!(
        "[collectors.mock]\npath = {real:?}\nisolation = \"none\"\noptions = {{ script = \"script\" }}\n"
    ));
    runs(&site);
}

#[test]
fn refused_plugin_that_nobody_named_does_not_run_while_the_others_do() {
    let Some((site, _)) = site("") else { return };
    site.config("[agent]\ninterval = \"50ms\"\n");
    site.bundled("memory");
    mode(&site.path("plugins"), 0o777);
    let (snapshot, told) = once(&site);
    assert_eq!((&snapshot["memory"]["_status"], snapshot.get("mock")), (&"ok".into(), None));
    assert!(told.contains("mock: not loaded: "), "{told}");
    assert_eq!(site.output(["check"]).code(), 69);
}

#[test]
fn collector_is_told_why_whatever_the_library_of_its_plugin_is_called() {
    let Some((site, library)) = site("") else { return };
    let other = site.path("plugins/other.so");
    fs::rename(&library, &other).unwrap();
    give(&other);
    is_refused(&site, &format!("{} belongs to user {STRANGER}", other.display()));
}

#[test]
fn refused_plugin_that_is_required_ends_the_start() {
    let Some((site, library)) = site("") else { return };
    site.config("[collectors.mock]\nrequired = true\noptions = { script = \"script\" }\n");
    give(&library);
    let run = site.output(["run"]);
    assert_eq!(run.code(), 69, "{run}");
    assert!(run.stderr.contains(&format!("belongs to user {STRANGER}")), "{run}");
}

#[test]
fn relaxed_warns_in_the_same_words_and_runs() {
    let Some((site, library)) = site("trust = \"relaxed\"") else { return };
    give(&library);
    mode(&site.path("plugins"), 0o777);
    let told = runs(&site);
    for words in [format!("{} belongs to user {STRANGER}", library.display()), "is writable by everyone (0777)".into()]
    {
        assert!(
            told.lines().any(|line| line.starts_with("warning: ") && line.contains(&words)),
            "no {words:?} in {told}"
        );
    }
    let mut in_child = site.command(["run"]);
    in_child.env("PERFWATCH__COLLECTORS__MOCK__ISOLATION", "process");
    let finished = runs_on(Running::start(in_child));
    assert!(finished.stderr.contains(" WARN ") && finished.stderr.contains("chmod o-w "), "{finished}");
}

#[test]
fn another_user_is_only_warned_of_what_others_may_write_and_a_service_is_not() {
    let Some((site, _)) = site("") else { return };
    mode(&site.path(""), 0o755);
    mode(&site.path("plugins"), 0o777);
    let check = |service: bool| {
        let mut command = site.command(["check"]);
        command.uid(STRANGER).gid(STRANGER).envs(service.then_some(("INVOCATION_ID", "1")));
        Running::start(command).wait()
    };
    let by_hand = check(false);
    assert_eq!(by_hand.code(), 0, "{by_hand}");
    let why = format!("who writes there runs code as {STRANGER}. chmod o-w {}\n", site.path("plugins").display());
    assert!(by_hand.stderr.starts_with("warning: ") && by_hand.stderr.contains(&why), "{by_hand}");
    assert_eq!(check(true).code(), 69);
}

#[test]
fn user_behind_sudo_is_believed_with_a_warning() {
    let Some((site, library)) = site("") else { return };
    give(&library);
    let check = |variables: &[(&str, &str)]| {
        let mut command = site.command(["check"]);
        command.env("SUDO_UID", STRANGER.to_string()).envs(variables.iter().copied());
        Running::start(command).wait()
    };
    let by_hand = check(&[]);
    assert_eq!(by_hand.code(), 0, "{by_hand}");
    assert!(by_hand.stderr.starts_with("warning: ") && by_hand.stderr.contains("belongs to user"), "{by_hand}");
    assert_eq!(check(&[("INVOCATION_ID", "1")]).code(), 69);
}
