//! The plugin `exec`: what a command prints is in the snapshot, what a command does costs its own section, and nothing of it is left.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Running, Site, skip};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::hostile::beside::eventually;

/// An agent to be, with a collector for each script.
struct Scene {
    site: Site,
    config: String,
}

impl Scene {
    fn new() -> Scene {
        let site = Site::new();
        site.bundled("exec");
        Scene { site, config: "[agent]\ninterval = \"1s\"\n".into() }
    }

    /// Runs a script; `more` are lines of its collector's table, and of its options.
    fn script(&mut self, name: &str, script: &str, more: &str, options: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.site.write(format!("scripts/{name}"), script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.config += &format!(
            "[collectors.{name}]\nplugin = \"exec\"\n{more}\n[collectors.{name}.options]\nprogram = {path:?}\n{options}\n"
        );
        path
    }

    fn start(self) -> (Site, Running) {
        self.site.config(&self.config);
        let agent = self.site.start(["run"]);
        (self.site, agent)
    }
}

/// What `grant` of a table says so that a script may call others.
const TOOLS: &str = "grant = [\"exec:/usr/bin\", \"exec:/bin\"]";

fn end(agent: Running) {
    agent.signal(Signal::TERM);
    let finished = agent.wait();
    assert_eq!(finished.code(), 0, "{finished}");
}

/// How many processes there are with this argument, and have not ended.
fn sleepers(argument: &str) -> usize {
    let lines =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())).count()
}

#[test]
fn command_that_prints_is_a_section_wherever_it_runs() {
    const JSON: &str = "#!/bin/sh\necho '{\"queue\":{\"depth\":3,\"full\":true}}'\n";
    const TEXT: &str =
        "#!/bin/sh\nn=0\necho '# TYPE jobs_total counter'\necho 'jobs_total{queue=\"mail\"} 12.5'\necho load 0.25\n";
    let mut scene = Scene::new();
    scene.script("json", JSON, "", "");
    scene.script("text", TEXT, "interval = \"1s\"", "");
    scene.script("near", JSON, "isolation = \"none\"", "");
    scene.script(
        "args",
        "#!/bin/sh\necho \"$1 $GREETING\"; [ -z \"$HOME\" ]\n",
        "",
        "args = [\"value\"]\nenvironment = { GREETING = \"7\" }",
    );
    scene.script("by_env", "#!/usr/bin/env -S A=1 sh\necho value $A\n", "", "");
    let has_python = Path::new("/usr/bin/python3").exists();
    if has_python {
        let script = "#!/usr/bin/python3\nimport json, os\nprint(json.dumps({'value': os.cpu_count()}))\n";
        scene.script("python", script, "", "");
    } else {
        skip("Python");
    }
    scene.script("calls", "#!/bin/sh\nset -e\ndf -P / | tail -1 >/dev/null\ncat <<END\nvalue 1\nEND\n", TOOLS, "");
    let (_site, mut agent) = scene.start();
    let snapshot = agent.snapshot();
    for name in ["json", "near"] {
        let gauges = json!({ "queue.depth": { "{}": { "value": 3.0 } }, "queue.full": { "{}": { "value": 1.0 } } });
        assert_eq!((&snapshot[name]["_status"], &snapshot[name]["gauges"]), (&json!("ok"), &gauges), "{snapshot:#}");
        assert_eq!(snapshot[name]["exit_code"], 0);
    }
    assert_eq!(snapshot["text"]["gauges"]["load"]["{}"]["value"], 0.25);
    assert_eq!(snapshot["args"]["gauges"]["value"]["{}"]["value"], 7.0);
    for name in ["calls", "by_env", "python"].into_iter().filter(|name| *name != "python" || has_python) {
        assert!(snapshot[name]["gauges"]["value"]["{}"]["value"].as_f64() >= Some(1.0), "{snapshot:#}");
    }
    let jobs = |snapshot: &Value| snapshot["text"]["counters"]["jobs_total"]["{queue=\"mail\"}"].clone();
    let later = agent.snapshot_where(|snapshot| jobs(snapshot)["per_second"].is_number());
    assert_eq!(jobs(&later), json!({ "total": 12.5, "per_second": 0.0 }));
    end(agent);
}

#[test]
fn command_that_misbehaves_says_what_to_change_and_leaves_nothing_behind() {
    // In the background of the background, so that its parent is gone; and one that is waited for.
    const SLEEPS: &str = "#!/bin/sh\n(sleep NUMBER & sleep NUMBER &)\nsleep NUMBER &\necho slept 1\n";
    let mut scene = Scene::new();
    let number = |add: u32| format!("{}", 1_000_000 + std::process::id() * 10 + add);
    let sleeps = |add: u32| SLEEPS.replace("NUMBER", &number(add));
    let waits = |add: u32| sleeps(add) + "wait\n";
    scene.script("left", &sleeps(0), TOOLS, "");
    scene.script("late", &waits(1), TOOLS, "timeout = \"300ms\"");
    scene.script("near", &waits(2), "isolation = \"none\"", "timeout = \"300ms\"");
    scene.script("later", &waits(3), &format!("{TOOLS}\ntimeout = \"500ms\""), "");
    scene.script("three", "#!/bin/sh\necho a 1\necho no such queue >&2\nexit 3\n", "", "");
    scene.script("known", "#!/bin/sh\necho a 1\nexit 3\n", "", "exit_codes = [0, 3]");
    scene.script("flood", "#!/bin/sh\nwhile :; do echo value 1; done\n", "", "");
    scene.script("fault", "#!/bin/sh\necho a 1\necho b,c\n", "", "");
    let denied = scene.script("denied", "#!/bin/sh\nset -e\necho a 1\nuname\n", "", "");
    scene.script("writes", "#!/bin/sh\necho a 1 > /tmp/perfwatch-exec-writes\n", "", "");
    scene.script("no_shell", "#!/nowhere/sh\n", "", "");
    let (_site, mut agent) = scene.start();
    let snapshot = agent.snapshot();
    let says = |name: &str, status: &str, words: &[&str]| {
        let section = &snapshot[name];
        let error = section["_error"].as_str().or(section["_errors"]["output"].as_str()).unwrap_or_default();
        let found = section["_status"] == status && words.iter().all(|word| error.contains(word));
        assert!(found, "{name}: expected {status}, {words:?}, found {section:#}");
    };
    says("left", "ok", &[]);
    for name in ["late", "near"] {
        says(
            name,
            "failed",
            &["had run for 300ms and was killed with all that it started", "raise `timeout` in its options"],
        );
    }
    says("later", "failed", &["and was killed", "raise the `timeout` of the collector"]);
    says("three", "failed", &["ended with exit code 3: no such queue"]);
    says("known", "ok", &[]);
    assert_eq!(snapshot["known"]["exit_code"], 3);
    says("flood", "failed", &["it printed more than 1 MiB"]);
    says("fault", "partial", &["line 2: expected a blank after the name, found \",c\""]);
    assert_eq!(snapshot["fault"]["gauges"]["a"]["{}"]["value"], 1.0);
    says(
        "denied",
        "failed",
        &[denied.to_str().unwrap(), "uname: Permission denied", "uname\"]` in [collectors.denied] allows it"],
    );
    says("writes", "failed", &["/tmp/perfwatch-exec-writes: Permission denied", "nobody in it writes to files"]);
    assert!(!PathBuf::from("/tmp/perfwatch-exec-writes").exists());
    says("no_shell", "failed", &["no_shell: what its first line names behind `#!` is not there"]);
    for add in 0..4 {
        eventually("nothing that a command started is left", || sleepers(&number(add)) == 0);
    }
    end(agent);
}

#[test]
fn command_dies_with_its_collectors_child_and_with_the_agent() {
    let number = format!("{}", 2_000_000 + std::process::id());
    let mut scene = Scene::new();
    let times = "timeout = \"900s\"\ninterval = \"1000s\"\n";
    scene.script("long", &format!("#!/bin/sh\nsleep {number}\n"), &format!("{times}{TOOLS}"), "timeout = \"800s\"");
    let (_site, agent) = scene.start();
    // The shell's own line has the number in the script alone.
    eventually("it runs", || sleepers(&number) == 1);
    agent.signal(Signal::KILL);
    drop(agent);
    eventually("it has ended with the agent", || sleepers(&number) == 0);
}
