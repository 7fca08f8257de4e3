//! An author's way, from an empty folder outside of the project to a section in the snapshot of an agent that runs, with nothing but the agent's
//! program, a toolchain and the sources of `plugin-api`: what `plugins new` makes, and the commands that it prints.
//!
//! Dependencies are built once, in a folder that stays. Debug builds: what is printed is for release, and would build all of it once more.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::{Finished, Running, Site, root, skip};
use perfwatch::cli::code;
use plugin_api::host_side::manifest::Manifest;
use rustix::process::Signal;
use serde_json::Value;

use crate::docs::{METRICS, OPTIONS, block, metrics, options, read, table};

/// What a toolchain needs of the environment.
const TOOLCHAIN: [&str; 4] = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];

/// An author's desk: an empty folder beside an agent.
struct Desk {
    site: Site,
    /// Of Rust, which cargo is asked to forget at the end, so that the shared folder does not grow.
    packages: Vec<String>,
}

impl Desk {
    fn new() -> Desk {
        let site = Site::new();
        fs::create_dir(site.path("desk")).unwrap();
        Desk { site, packages: Vec::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.site.path("desk").join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// What a user would have in a shell there.
    fn here(&self, mut command: Command) -> Command {
        let variables = TOOLCHAIN.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(variables).env("CARGO_TARGET_DIR", root().join("target/author")).env("CARGO_NET_OFFLINE", "true");
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        command.current_dir(self.site.path("desk"));
        command
    }

    fn perfwatch(&self, arguments: &[&str]) -> Finished {
        Running::start(self.here(self.site.command(arguments))).wait()
    }

    /// Makes a plugin, and gives the commands that it prints.
    fn make(&mut self, name: &str, arguments: &[&str]) -> Vec<String> {
        let finished = self.perfwatch(&[&["plugins", "new", name], arguments].concat());
        assert_eq!((finished.code(), &*finished.stderr), (code::OK.into(), ""), "{finished}");
        self.packages.extend(self.path(name).join("Cargo.toml").exists().then(|| name.to_owned()));
        let lines = finished.stdout.lines().filter_map(|line| line.strip_prefix("  "));
        lines.map(|line| line.replace(" --release", "").replace("/release/", "/debug/")).collect()
    }

    /// Runs this as a shell does, and gives what it prints. However long cargo takes: it ends by itself.
    fn shell(&self, script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-ec", script]).env_clear();
        // All that the agent would have.
        command.envs(self.site.command([""; 0]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = self.here(command).stdin(Stdio::null()).output().unwrap();
        let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}: {}\n{said}\n{failed}", output.status);
        said.into_owned()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for name in &self.packages {
            let mut cargo = Command::new("cargo");
            cargo.args([
                "clean",
                "--quiet",
                "--manifest-path",
                &format!("{name}/Cargo.toml"),
                "-p",
                &format!("perfwatch-{name}"),
            ]);
            // What is left over is small, and a destructor has nobody to tell.
            let _ = self.here(cargo).stdin(Stdio::null()).output();
        }
    }
}

/// The sources, as a user names them.
fn api() -> String {
    root().join("plugin-api").to_str().unwrap().to_owned()
}

/// What the README has an author change: lines of a file that are looked for, and those that come behind them.
fn edit(desk: &Desk, folder: &str, diff: &str) {
    for part in diff.split("--- ").skip(1) {
        let (file, lines) = part.split_once('\n').unwrap();
        let path = format!("{folder}/{file}");
        let mut text = desk.read(&path);
        let mut at = if lines.starts_with('+') { text.len() } else { 0 };
        for line in lines.lines() {
            match line.split_at(1) {
                ("+", new) => {
                    text.insert_str(at, &format!("{new}\n"));
                    at += new.len() + 1;
                }
                (_, known) => {
                    let known = format!("{known}\n");
                    at += text[at..].find(&known).unwrap_or_else(|| panic!("{path} has no line {known}")) + known.len();
                }
            }
        }
        fs::write(desk.path(&path), text).unwrap();
    }
}

/// The three commands that were printed, one after the other as they are pasted.
fn pasted(commands: &[String]) -> String {
    let [build, test, install] = commands else { panic!("{commands:?}") };
    // `&&`: what fails in the middle of a line does not end a shell.
    format!("{build} && {test} && {install}")
}

/// As the README's diff, in C.
const ANOTHER_METRIC_IN_C: &str = "\
--- plugin.toml
+[metrics.threads]
+type = \"u64\"
+unit = \"{thread}\"
+description = \"threads of all processes\"
--- plugin.c
     uint64_t load;
+    uint64_t threads;
     self->load = host->metric(host, \"load\");
+    self->threads = host->metric(host, \"threads\");
     host->set_f64(host, self->load, average[self->field]);
+    unsigned threads;
+    if (sscanf(text, \"%*f %*f %*f %*u/%u\", &threads) == 1)
+        host->set_u64(host, self->threads, threads);
";

/// The README of a plugin says what its manifest does.
fn readme_is_of_the_manifest(desk: &Desk, folder: &str) {
    let manifest = Manifest::parse(&desk.read(&format!("{folder}/plugin.toml"))).unwrap();
    let readme = desk.read(&format!("{folder}/README.md"));
    assert_eq!(table(&readme, OPTIONS), Some(&*options(&manifest)));
    assert_eq!(table(&readme, METRICS), Some(&*metrics(&manifest)));
}

#[test]
fn author_goes_the_four_steps_of_the_readme_from_an_empty_folder_to_the_snapshot_of_a_running_agent() {
    let mut desk = Desk::new();
    desk.site.bundled("memory");
    desk.site.config("[agent]\ninterval = \"100ms\"\n");
    let mut agent = desk.site.start(["run"]);
    agent.snapshot();

    let commands = desk.make("load", &["--api", &api()]);
    readme_is_of_the_manifest(&desk, "load");
    desk.shell("cd load && cargo test && cargo fmt --check");
    let readme = read("README.md").replace("\n   ", "\n");
    edit(&desk, "load", block(&readme, "diff"));
    desk.shell("cd load && UPDATE_GOLDEN=1 cargo test");
    assert!(desk.read("load/testcases/fifteen_minutes/0/expected.json").contains("\"threads\": 602"));
    let said = desk.shell(&pasted(&commands));
    assert!(said.contains("1 passed") && said.contains("\"load\":{\"_status\":\"ok\""), "{said}");

    let seen = agent.snapshot_where(|snapshot| snapshot["load"]["_status"] == "ok");
    assert!(seen["load"]["threads"].as_u64() > Some(1) && seen["load"]["load"].is_f64(), "{seen}");
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), 0);
}

#[test]
fn new_plugin_with_a_table_builds_and_passes_its_tests_at_once() {
    let mut desk = Desk::new();
    // A path that a shell and TOML have to be told apart.
    let named = desk.path("it's \"here\"");
    std::os::unix::fs::symlink(root(), &named).unwrap();
    let commands = desk.make("softirqs", &["--table", "--api", named.join("plugin-api").to_str().unwrap()]);
    readme_is_of_the_manifest(&desk, "softirqs");
    // In a folder that is another workspace's.
    fs::write(desk.path("Cargo.toml"), "[workspace]\n").unwrap();
    let said = desk.shell(&format!("{}\ncargo fmt --check", pasted(&commands)));
    assert!(said.contains("1 passed") && said.contains("\"per_sec\":"), "{said}");
}

#[test]
fn new_plugins_in_c_are_built_changed_and_seen_in_the_snapshot_of_a_running_agent() {
    if Command::new("cc").arg("--version").output().is_err() {
        return skip("cc");
    }
    let mut desk = Desk::new();
    desk.site.bundled("memory");
    desk.site.config("[agent]\ninterval = \"100ms\"\n");
    let mut agent = desk.site.start(["run"]);
    agent.snapshot();
    for (name, arguments) in [("load", &["--lang", "c"][..]), ("softirqs", &["--lang", "c", "--table"])] {
        let commands = desk.make(name, arguments);
        readme_is_of_the_manifest(&desk, name);
        // No warning, and the Makefile's own words.
        desk.shell(&format!("cd {name} && make CFLAGS='-O2 -Wall -Wextra -Wpedantic -Werror' && make install DESTDIR=./staged PLUGINS=/plugins && rm *.so"));
        assert!(desk.path(&format!("{name}/staged/plugins/libperfwatch_{name}.so")).exists());
        if name == "load" {
            edit(&desk, name, ANOTHER_METRIC_IN_C);
            let expected =
                desk.read("load/testcases/fifteen_minutes/0/expected.json").replace("1.25", "1.25, \"threads\": 602");
            fs::write(desk.path("load/testcases/fifteen_minutes/0/expected.json"), expected).unwrap();
        }
        let said = desk.shell(&pasted(&commands));
        assert!(said.contains(&format!("\"{name}\":{{\"_status\":\"ok\"")), "{said}");
    }
    let both = |snapshot: &Value| ["load", "softirqs"].iter().all(|name| snapshot[name]["_status"] == "ok");
    let seen = agent.snapshot_where(both);
    assert!(seen["load"]["threads"].as_u64() > Some(1) && seen["load"]["load"].is_f64(), "{seen}");
    let seen =
        agent.snapshot_where(|snapshot| both(snapshot) && snapshot["softirqs"]["kinds"]["TIMER"]["per_sec"].is_f64());
    assert!(seen["softirqs"]["kinds"]["TIMER"]["busiest_percent"].is_f64(), "{seen}");
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), 0);
}

#[test]
fn what_new_refuses_it_says_and_leaves_nothing_behind() {
    let desk = Desk::new();
    fs::write(desk.path("taken"), "mine").unwrap();
    let api = api();
    for (arguments, exit, said) in [
        (
            ["a-b", "--api", &api],
            code::USAGE,
            "`a-b` is not a name: a to z, then a to z, 0 to 9 and _, at most 64 bytes; `a_b` would do\n",
        ),
        (
            ["../x", "--api", &api],
            code::USAGE,
            "`../x` is not a name: a to z, then a to z, 0 to 9 and _, at most 64 bytes; `x` would do\n",
        ),
        (["agent", "--api", &api], code::USAGE, "`agent` is the name of the agent's own collector"),
        (
            ["taken", "--api", &api],
            code::FAILED,
            "taken is there already, and nothing is overwritten: choose another name\n",
        ),
        (
            ["ups", "--api", "nowhere"],
            code::USAGE,
            "could not read nowhere: --api is to name the folder `plugin-api` of PerfWatch's sources: No such file",
        ),
    ] {
        let finished = desk.perfwatch(&[&["plugins", "new"], &arguments[..]].concat());
        assert_eq!(finished.code(), i32::from(exit), "{finished}");
        assert!(finished.stderr.starts_with(said) && finished.stdout.is_empty(), "{finished}");
    }
    assert_eq!(desk.read("taken"), "mine");
    assert_eq!(fs::read_dir(desk.path("")).unwrap().count(), 1);
}

#[test]
fn name_of_a_plugin_that_there_is_already_is_said() {
    let desk = Desk::new();
    desk.site.bundled("memory");
    let finished = desk.perfwatch(&["plugins", "new", "memory", "--api", &api()]);
    assert_eq!(finished.code(), i32::from(code::OK), "{finished}");
    assert!(finished.stderr.starts_with("warning: there is a plugin `memory` already, "), "{finished}");
}
