//! Libraries and files of `conf.d` that come, change and go while the agent runs, and what is wrong with some. Whoever is not concerned is read
//! on and on by the same instance.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Finished, Running, Site, built, skip};
use rustix::process::Signal;
use serde_json::Value;

/// By then whatever was to come would have come, on a machine that is not much slower than ours; on one that is, a fault passes.
const A_WHILE: Duration = Duration::from_millis(1500);

/// An agent with a collector that nothing happens to.
struct Agent {
    site: Site,
    running: Running,
    /// How often its instance has been read: ten for each reading.
    witnessed: Option<u64>,
}

impl Agent {
    /// With this in its config.
    fn start(config: &str) -> Agent {
        Agent::on(Site::new(), config)
    }

    fn on(site: Site, config: &str) -> Agent {
        fs::copy(library("perfwatch_wild"), site.path("bin/libperfwatch_wild.so")).unwrap();
        site.write("script", "value=1.5 count=1");
        site.config(&format!(
            "[agent]\ninterval = \"50ms\"\n{config}\n\
             [collectors.witness]\nplugin = \"wild\"\nisolation = \"none\"\noptions = {{ does = \"nothing\" }}\n"
        ));
        let running = site.start(["run"]);
        let mut agent = Agent { site, running, witnessed: None };
        agent.until(|_| true);
        agent
    }

    /// The first snapshot of which this holds, and that the witness was read all the way to it.
    fn until(&mut self, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let witnessed = &mut self.witnessed;
        self.running.snapshot_where(|snapshot| {
            if let Some(witness) = snapshot.get("witness").filter(|witness| witness["_status"] == "ok") {
                let count = witness["count"].as_u64().unwrap();
                assert!(witnessed.is_none_or(|before| count == before + 10), "after {witnessed:?}: {snapshot}");
                *witnessed = Some(count);
            }
            holds(snapshot)
        })
    }

    /// The first snapshot in which a collector answered.
    fn well(&mut self, collector: &str) -> Value {
        self.until(|snapshot| snapshot[collector]["_status"] == "ok")
    }

    fn gone(&mut self, collector: &str) {
        // Due at every tick, it is in every snapshot while it is there at all.
        let mut without = 0;
        self.until(|snapshot| {
            without = if snapshot.get(collector).is_none() { without + 1 } else { 0 };
            without == 3
        });
    }

    fn event(&mut self, kind: &str, collector: &str) -> Value {
        let mut found = None;
        self.until(|snapshot| {
            found = event(snapshot, kind, collector).cloned();
            found.is_some()
        });
        found.unwrap()
    }

    /// For a while this holds of every snapshot.
    fn always(&mut self, holds: impl Fn(&Value) -> bool) {
        let end = Instant::now() + A_WHILE;
        self.until(|snapshot| {
            assert!(holds(snapshot), "{snapshot}");
            Instant::now() >= end
        });
    }

    fn says(&mut self, text: &str) {
        self.running.wait_for_stderr(text);
    }

    /// How often it has said this.
    fn said(&self, text: &str) -> usize {
        self.running.stderr().matches(text).count()
    }

    fn in_plugins(&self, name: &str) -> PathBuf {
        self.site.path("plugins").join(format!("libperfwatch_{name}.so"))
    }

    fn end(self) -> Finished {
        self.running.signal(Signal::TERM);
        let finished = self.running.wait();
        assert_eq!(finished.code(), 0, "{finished}");
        finished
    }
}

fn event<'a>(snapshot: &'a Value, kind: &str, collector: &str) -> Option<&'a Value> {
    let mut events = snapshot["_events"].as_array().into_iter().flatten();
    events.find(|event| event["kind"] == kind && event["collector"] == collector)
}

fn library(name: &str) -> &'static Path {
    built().test_plugins.get(name).or_else(|| built().plugins.get(name)).unwrap()
}

/// A library whose manifest says something else of the same length.
fn another(name: &str, old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = fs::read(library(name)).unwrap();
    let places: Vec<_> =
        (0..bytes.len() - old.len()).filter(|&place| bytes[place..].starts_with(old.as_bytes())).collect();
    assert!(!places.is_empty(), "{old}");
    for place in places {
        bytes[place..place + old.len()].copy_from_slice(new.as_bytes());
    }
    bytes
}

/// As installers do: under a name that nobody looks at, then renamed.
fn install(bytes: impl AsRef<[u8]>, path: &Path) {
    let hidden = path.with_extension("new");
    fs::write(&hidden, bytes).unwrap();
    fs::rename(hidden, path).unwrap();
}

const MOCK: &str = "[collectors.mock]\nisolation = \"none\"\noptions = { script = \"script\" }\n";
/// As it is in the manifest of the mock, and another word that is as long.
const RATE: [&str; 2] = ["count_per_sec", "count_per_min"];

#[test]
fn library_that_is_dropped_in_runs_and_one_that_is_removed_ends() {
    let mut agent = Agent::start("");
    let path = agent.in_plugins("memory");
    // A second time it is as the first.
    for _ in 0..2 {
        fs::copy(library("perfwatch_memory"), &path).unwrap();
        let first = agent.until(|snapshot| snapshot.get("memory").is_some());
        assert!(event(&first, "start", "memory").is_some(), "{first}");
        agent.well("memory");
        fs::remove_file(&path).unwrap();
        agent.gone("memory");
    }
    agent.end();
}

#[test]
fn collector_whose_plugin_was_missing_has_it_as_soon_as_it_is_there() {
    let mut agent = Agent::start(MOCK);
    agent.until(|snapshot| snapshot["mock"]["_status"] == "failed");
    install(fs::read(library("perfwatch_mock")).unwrap(), &agent.in_plugins("mock"));
    assert_eq!(agent.well("mock")["mock"]["value"], 1.5);
    agent.end();
}

#[test]
fn library_is_not_looked_at_before_it_is_whole() {
    let mut agent = Agent::start("");
    let bytes = fs::read(library("perfwatch_memory")).unwrap();
    let (one, two) = bytes.split_at(bytes.len() / 2);
    let mut file = File::create(agent.in_plugins("memory")).unwrap();
    for (half, place) in [(one, "first"), (two, "second")] {
        file.write_all(half).unwrap();
        // Something else is taken up meanwhile, for which all is looked through.
        agent.site.write("conf.d/a.toml", format!("[agent.labels]\nhalf = \"{place}\"\n"));
        agent.until(|snapshot| snapshot["labels"]["half"] == place);
        agent.always(|snapshot| snapshot.get("memory").is_none());
    }
    drop(file);
    agent.well("memory");
    let finished = agent.end();
    assert!(!finished.stderr.contains("libperfwatch_memory"), "{finished}");
}

#[test]
fn library_that_runs_goes_on_while_another_is_copied_over_it() {
    for config in [MOCK.to_owned(), MOCK.replace("isolation", "path = \"plugins/libperfwatch_mock.so\"\nisolation")] {
        let site = Site::new();
        let path = site.path("plugins/libperfwatch_mock.so");
        fs::copy(library("perfwatch_mock"), &path).unwrap();
        let mut agent = Agent::on(site, &config);
        agent.well("mock");
        let bytes = another("perfwatch_mock", RATE[0], RATE[1]);
        let mut file = OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        for (half, place) in bytes.chunks(bytes.len().div_ceil(2)).zip(["first", "second"]) {
            file.write_all(half).unwrap();
            agent.site.write("conf.d/a.toml", format!("[agent.labels]\nhalf = \"{place}\"\n"));
            agent.until(|snapshot| snapshot["labels"]["half"] == place);
            agent.always(|snapshot| {
                snapshot.get("mock").is_none_or(|mock| mock["_status"] == "ok" && mock.get(RATE[1]).is_none())
            });
        }
        drop(file);
        let swapped = agent.event("swapped", "mock");
        let cause = swapped["cause"].as_str().unwrap();
        assert_eq!(cause, "added: count_per_min, rows.count_per_min; gone: count_per_sec, rows.count_per_sec");
        agent.until(|snapshot| snapshot["mock"].get(RATE[1]).is_some());
        let finished = agent.end();
        assert!(!finished.stderr.contains("truncated"), "{finished}");
    }
}

#[test]
fn library_that_does_not_do_leaves_the_old_one_running_and_is_told_once() {
    for (does, why) in
        [("new panic=ouch", "panicked: ouch"), ("hang=1", "no answer for 1s"), ("abort=1", "the child died: signal: 6")]
    {
        let site = Site::new();
        let path = site.path("plugins/libperfwatch_mock.so");
        fs::copy(library("perfwatch_mock"), &path).unwrap();
        let mut agent = Agent::on(site, MOCK);
        agent.well("mock");
        // The one that runs has read its script.
        agent.site.write("script", does);
        install(another("perfwatch_mock", RATE[0], RATE[1]), &path);
        agent.says(why);
        agent.site.write("conf.d/a.toml", "[agent.labels]\nlooked = \"again\"\n");
        agent.until(|snapshot| snapshot["labels"]["looked"] == "again");
        agent
            .always(|snapshot| snapshot.get("mock").is_none_or(|mock| mock["_status"] == "ok" && mock["value"] == 1.5));
        assert_eq!(agent.said("what was to replace it"), 1, "{}", agent.running.stderr());
        // Another one that does.
        agent.site.write("script", "value=2.5");
        install(another("perfwatch_mock", "plays a script", "plays a ballad"), &path);
        agent.until(|snapshot| snapshot["mock"]["value"] == 2.5);
        agent.end();
    }
}

#[test]
fn garbage_over_a_library_leaves_the_old_one_running() {
    let site = Site::new();
    let path = site.path("plugins/libperfwatch_mock.so");
    fs::copy(library("perfwatch_mock"), &path).unwrap();
    let mut agent = Agent::on(site, MOCK);
    agent.well("mock");
    fs::write(&path, "not a library any more").unwrap();
    agent.says("libperfwatch_mock.so");
    agent.always(|snapshot| snapshot.get("mock").is_none_or(|mock| mock["_status"] == "ok"));
    assert_eq!(agent.said("libperfwatch_mock.so: "), 1, "{}", agent.running.stderr());
    fs::copy(library("perfwatch_mock"), &path).unwrap();
    agent.always(|snapshot| snapshot.get("mock").is_none_or(|mock| mock["_status"] == "ok"));
    agent.end();
}

#[test]
fn library_that_is_none_is_told_once_and_disturbs_nobody() {
    let mut agent = Agent::start("");
    fs::write(agent.in_plugins("ups"), "INPUT(libc.so.6)").unwrap();
    let cut = &fs::read(library("perfwatch_memory")).unwrap()[..100_000];
    fs::write(agent.in_plugins("memory"), cut).unwrap();
    symlink("nowhere", agent.in_plugins("link")).unwrap();
    for name in ["ups", "memory", "link"] {
        agent.says(&format!("libperfwatch_{name}.so: "));
    }
    fs::copy(library("perfwatch_memory"), agent.site.path("plugins/good.so")).unwrap();
    agent.well("memory");
    agent.always(|_| true);
    let finished = agent.end();
    for name in ["ups", "memory", "link"] {
        let count = finished.stderr.matches(&format!("libperfwatch_{name}.so: ")).count();
        assert_eq!(count, 1, "{name}: {finished}");
    }
}

#[test]
fn second_plugin_of_a_name_is_told_and_takes_over_when_the_first_goes() {
    let mut agent = Agent::start("");
    let (first, second) = (agent.site.path("plugins/a.so"), agent.site.path("plugins/b.so"));
    install(fs::read(library("perfwatch_memory")).unwrap(), &first);
    agent.well("memory");
    install(fs::read(library("perfwatch_memory")).unwrap(), &second);
    agent.says("b.so is not used: ");
    fs::remove_file(&first).unwrap();
    agent.always(|snapshot| snapshot.get("memory").is_none_or(|memory| memory["_status"] == "ok"));
    agent.well("memory");
    agent.end();
}

#[test]
fn file_of_the_config_comes_changes_and_goes() {
    let site = Site::new();
    fs::copy(library("perfwatch_mock"), site.path("plugins/libperfwatch_mock.so")).unwrap();
    let mut agent = Agent::on(site, "");
    let collector = |value: &str| {
        format!("[collectors.other]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = {value:?} }}\n")
    };
    let path = agent.site.write("conf.d/other.toml", collector("script"));
    let first = agent.until(|snapshot| snapshot.get("other").is_some());
    assert!(event(&first, "start", "other").is_some(), "{first}");
    agent.well("other");
    agent.site.write("script2", "value=2.5");
    fs::write(&path, collector("script2")).unwrap();
    agent.until(|snapshot| snapshot["other"]["value"] == 2.5);
    fs::remove_file(&path).unwrap();
    agent.gone("other");
    // All in the folder, with it.
    agent.site.write("conf.d/other.toml", collector("script"));
    agent.well("other");
    fs::remove_dir_all(agent.site.path("conf.d")).unwrap();
    agent.gone("other");
    agent.end();
}

#[test]
fn file_of_the_config_that_is_at_fault_is_told_once_and_what_ran_goes_on() {
    let mut agent = Agent::start("");
    let path = agent.site.write("conf.d/labels.toml", "[agent.labels]\nrack = \"one\"\n");
    agent.until(|snapshot| snapshot["labels"]["rack"] == "one");
    for fault in ["[agent.labels]\nrack = ", "[agent]\nintervall = \"1s\"\n"] {
        fs::write(&path, fault).unwrap();
        agent.says(if fault.contains("intervall") { "intervall" } else { "labels.toml:2:" });
        // It keeps nothing else from being taken up, for which all is looked at again, and is not told again.
        let shelf = fault.len().to_string();
        agent.site.write("conf.d/good.toml", format!("[agent.labels]\nshelf = {shelf:?}\n"));
        agent.until(|snapshot| snapshot["labels"]["shelf"] == shelf);
        fs::copy(library("perfwatch_memory"), agent.in_plugins("memory")).unwrap();
        agent.well("memory");
        agent.always(|snapshot| snapshot["labels"]["rack"] == "one");
        fs::remove_file(agent.in_plugins("memory")).unwrap();
        agent.gone("memory");
    }
    assert_eq!(agent.said("labels.toml is at fault"), 2, "{}", agent.running.stderr());
    fs::write(&path, "[agent.labels]\nrack = \"two\"\n").unwrap();
    agent.until(|snapshot| snapshot["labels"]["rack"] == "two" && snapshot["labels"].get("shelf").is_some());
    agent.end();
}

#[test]
fn file_that_was_left_out_at_the_start_keeps_nothing_from_being_taken_up() {
    let site = Site::new();
    let path = site.write("conf.d/bad.toml", "[collectors.bad]\nplugin = \"wild\"\ninterval = 1\n");
    let mut agent = Agent::on(site, "");
    agent.until(|snapshot| snapshot["bad"]["_status"] == "failed");
    fs::copy(library("perfwatch_memory"), agent.in_plugins("memory")).unwrap();
    agent.well("memory");
    agent.until(|snapshot| snapshot["bad"]["_status"] == "failed");
    assert_eq!(agent.said("bad.toml is left out:\n"), 1, "{}", agent.running.stderr());
    assert_eq!(agent.said("bad.toml is at fault"), 0, "{}", agent.running.stderr());
    fs::write(&path, "[collectors.bad]\nplugin = \"wild\"\noptions = { does = \"nothing\" }\n").unwrap();
    agent.well("bad");
    agent.end();
}

#[test]
fn file_of_the_config_is_not_taken_up_before_it_is_whole() {
    let mut agent = Agent::start("");
    let path = agent.site.write("conf.d/labels.toml", "[agent.labels]\nrack = \"one\"\nshelf = \"one\"\n");
    agent.until(|snapshot| snapshot["labels"]["shelf"] == "one");
    let mut file = OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    file.write_all(b"[agent.labels]\nrack = \"two\"\n").unwrap();
    agent.site.write("conf.d/other.toml", "[agent.labels]\nother = \"one\"\n");
    agent.always(|snapshot| snapshot["labels"]["rack"] == "one" && snapshot["labels"]["shelf"] == "one");
    file.write_all(b"shelf = \"two\"\n").unwrap();
    drop(file);
    let told = agent.until(|snapshot| snapshot["labels"]["shelf"] == "two");
    assert_eq!(told["labels"]["rack"], "two");
    agent.until(|snapshot| snapshot["labels"]["other"] == "one");
    agent.end();
}

#[test]
fn folder_that_comes_later_goes_and_comes_back_is_followed() {
    let site = Site::new();
    fs::remove_dir(site.path("plugins")).unwrap();
    let mut agent = Agent::on(site, "");
    let plugins = agent.site.path("plugins");
    fs::create_dir(&plugins).unwrap();
    fs::copy(library("perfwatch_memory"), agent.in_plugins("memory")).unwrap();
    agent.well("memory");
    fs::rename(&plugins, agent.site.path("away")).unwrap();
    agent.gone("memory");
    fs::rename(agent.site.path("away"), &plugins).unwrap();
    agent.well("memory");
    fs::rename(&plugins, agent.site.path("v1")).unwrap();
    symlink("v1", &plugins).unwrap();
    agent.well("memory");
    fs::create_dir(agent.site.path("v2")).unwrap();
    symlink("v2", agent.site.path("next")).unwrap();
    fs::rename(agent.site.path("next"), &plugins).unwrap();
    agent.gone("memory");
    fs::copy(library("perfwatch_memory"), agent.in_plugins("memory")).unwrap();
    agent.well("memory");
    agent.end();
}

#[test]
fn library_that_may_be_loaded_after_all_is_taken_up() {
    if !rustix::process::geteuid().is_root() {
        return skip("root");
    }
    let mut agent = Agent::start("");
    let path = agent.in_plugins("memory");
    let hidden = agent.site.path("plugins/.memory");
    fs::copy(library("perfwatch_memory"), &hidden).unwrap();
    fs::set_permissions(&hidden, Permissions::from_mode(0o666)).unwrap();
    fs::rename(&hidden, &path).unwrap();
    agent.says("chmod ");
    agent.always(|snapshot| snapshot.get("memory").is_none_or(|memory| memory["_status"] == "failed"));
    assert_eq!(agent.said("memory: not loaded: "), 1, "{}", agent.running.stderr());
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    agent.well("memory");
    agent.end();
}

#[test]
fn nothing_is_taken_up_where_the_config_says_so() {
    let mut agent = Agent::start("watch = \"conf.d\"");
    fs::copy(library("perfwatch_memory"), agent.in_plugins("memory")).unwrap();
    agent.always(|snapshot| snapshot.get("memory").is_none());
    agent.end();
    let mut agent = Agent::start("watch = \"off\"");
    agent.site.write("conf.d/labels.toml", "[agent.labels]\nrack = \"one\"\n");
    agent.always(|snapshot| snapshot["labels"].get("rack").is_none());
    agent.end();
}

/// As on a machine on which editors and file synchronisers have taken all of them.
#[test]
fn without_watches_left_it_is_said_once_what_to_do_and_all_else_goes_on() {
    let site = Site::new();
    fs::copy(library("perfwatch_memory"), site.path("plugins/libperfwatch_memory.so")).unwrap();
    site.config("agent.interval = \"50ms\"\n");
    let agent = site.command(["run"]);
    let mut command = Command::new("unshare");
    command.args(["-Ur", "sh", "-c", "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\""]);
    command.arg(agent.get_program()).args(agent.get_args()).env_clear();
    command.envs(agent.get_envs().filter_map(|(key, value)| Some((key, value?)))).current_dir(site.path(""));
    let mut allowed = Command::new("unshare");
    if !allowed.args(["-Ur", "test", "-w", "/proc/sys/user/max_inotify_watches"]).status().is_ok_and(|ok| ok.success())
    {
        return skip("user namespaces");
    }
    let mut running = Running::start(command);
    running.wait_for_stderr("raise fs.inotify.max_user_watches");
    for name in ["a", "b"] {
        fs::write(site.path("plugins").join(name).with_extension("so"), "x").unwrap();
        fs::write(site.path("bin").join(name).with_extension("so"), "x").unwrap();
    }
    let end = Instant::now() + A_WHILE;
    running.snapshot_where(|snapshot| Instant::now() >= end && snapshot["memory"]["_status"] == "ok");
    running.signal(Signal::TERM);
    let finished = running.wait();
    assert_eq!((finished.code(), finished.stderr.matches("max_user_watches").count()), (0, 1), "{finished}");
}
