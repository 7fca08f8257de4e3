//! An agent that runs is asked at its socket: how it is, to read its config anew, what that would change. Whoever asks, and however
//! badly, costs no tick.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::thread;

use harness::{Finished, Running, Site, root, skip};
use perfwatch::cli::code;
use perfwatch::control::server::{Answering, serve};
use perfwatch::control::socket::Listener;
use perfwatch::control::status::Status;
use perfwatch::control::wire::Reply;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::mocked::{assert_told_whole, mocked, wait_until};
use crate::record;

/// Where the agent of a site is asked.
const SOCKET: &str = "run/control.sock";

/// An agent that runs and has been read.
fn running(site: &Site) -> Running {
    let mut agent = site.start(["run"]);
    agent.snapshot();
    // The file is there a moment before somebody listens.
    wait_until("it can be asked", || UnixStream::connect(site.path(SOCKET)).is_ok());
    agent
}

#[track_caller]
fn status(site: &Site) -> Value {
    let finished = site.output(["status", "--json"]);
    assert_eq!(finished.code(), 0, "{finished}");
    assert_eq!(finished.stdout.lines().count(), 1, "{finished}");
    serde_json::from_str(&finished.stdout).unwrap()
}

#[track_caller]
fn assert_said(finished: &Finished, code: u8, stdout: &str, stderr: &str) {
    assert_eq!(finished.code(), i32::from(code), "{finished}");
    assert!(finished.stdout.contains(stdout) && finished.stderr.contains(stderr), "{finished}");
    assert!(
        stdout.is_empty() == finished.stdout.is_empty() && stderr.is_empty() == finished.stderr.is_empty(),
        "{finished}"
    );
}

/// A config with one more line at its end.
fn and(site: &Site, line: &str) {
    let before = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    site.config(&format!("{before}{line}\n"));
}

#[test]
fn status_says_how_agent_collectors_and_sinks_are() {
    let sinks = "timeout = \"40ms\"\n[sinks.stdout]\ntype = \"stdout\"\n";
    let site = mocked("50ms", "value=1\nerror=\"no answer\"", sinks);
    let mut agent = site.start(["run"]);
    let failed = agent.snapshot_where(|snapshot| snapshot["mock"]["_status"] == "failed");
    // The file is there a moment before somebody listens.
    wait_until("it can be asked", || UnixStream::connect(site.path(SOCKET)).is_ok());
    let told = status(&site);
    let of = |key: &str| told["agent"][key].clone();
    assert_eq!((of("pid"), of("run")), (agent.pid().into(), failed["run"].clone()));
    assert_eq!(of("config"), site.path("perfwatch.toml").to_str().unwrap());
    assert_eq!(of("control"), site.path(SOCKET).to_str().unwrap());
    assert_eq!((of("watch"), of("trust"), of("locked")), ("all".into(), "strict".into(), false.into()));
    assert!(of("snapshots").as_u64().unwrap() >= 2 && of("uptime_seconds").as_f64().unwrap() > 0.0, "{told}");
    let one = told["collectors"].as_array().unwrap().iter().find(|one| one["name"] == "mock").unwrap();
    assert_eq!(
        (&one["plugin"], &one["placement"], &one["isolation"]),
        (&"mock".into(), &"agent".into(), &"none".into())
    );
    assert_eq!((&one["interval_seconds"], &one["timeout_seconds"]), (&0.05.into(), &0.04.into()));
    assert_eq!(
        (one["error"].as_str(), one["library"].as_str()),
        (Some("no answer"), site.path("plugins/libperfwatch_mock.so").to_str())
    );
    assert!(one["failures"].as_u64().unwrap() >= 1 && one["last_seconds"].as_f64().unwrap() > 0.0, "{one}");
    assert!(one["mean_cpu_seconds"].as_f64().unwrap() > 0.0, "{one}");
    let sink = &told["sinks"][0];
    assert_eq!((&sink["name"], &sink["type"], &sink["lost"]), (&"stdout".into(), &"stdout".into(), &0.into()));
    let table = site.output(["status"]);
    assert!(table.stdout.contains("1 of 2 collectors at fault: mock ") && !table.stdout.contains('\u{1b}'), "{table}");
    assert!(table.stdout.lines().any(|line| line.starts_with("    for ") && line.ends_with(": no answer")), "{table}");
}

#[test]
fn socket_is_its_users_alone_and_goes_with_the_agent() {
    let site = mocked("50ms", "value=1", "");
    let agent = running(&site);
    let mode = |path: &str| fs::metadata(site.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(SOCKET), mode("run")), (0o600, 0o700));
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), 0);
    assert!(!site.path(SOCKET).exists());
    let told = format!("no agent answers at {}", site.path(SOCKET).display());
    for command in [&["status"][..], &["status", "--json"], &["reload"], &["config", "diff"]] {
        assert_said(&site.output(command), code::FAILED, "", &told);
    }
}

#[test]
fn socket_of_an_agent_that_was_killed_is_taken_over_and_that_of_one_that_lives_is_not() {
    let site = mocked("50ms", "value=1", "");
    let killed = running(&site);
    killed.signal(Signal::KILL);
    drop(killed);
    assert!(site.path(SOCKET).exists(), "nobody took it away");
    let first = site.start(["run"]);
    wait_until("the second answers", || site.output(["status"]).code() == 0);
    let mut second = site.start(["run"]);
    second.wait_for_stderr(&format!("an agent with pid {} answers at", first.pid()));
    // It cannot be asked, and runs.
    second.snapshot();
    second.signal(Signal::TERM);
    assert_eq!(second.wait().code(), 0);
    assert_eq!(status(&site)["agent"]["pid"], first.pid());
}

#[test]
fn where_no_socket_can_be_it_is_said_what_to_set() {
    let site = mocked("50ms", "value=1", "");
    let mut command = site.command(["status"]);
    command.env_remove("PERFWATCH__AGENT__RUNTIME_DIR");
    if rustix::process::geteuid().is_root() {
        // Root has /run/perfwatch.
        assert!(fs::metadata(site.path("bin/perfwatch")).unwrap().permissions().mode() & 0o001 != 0);
        fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(65534);
    }
    let finished = Running::start(command).wait();
    assert_said(&finished, code::FAILED, "", "set agent.control = \"PATH\" and start the agent anew");
}

#[test]
fn reload_says_what_changed_and_a_diff_before_what_would() {
    let site = mocked("50ms", "value=1", "");
    let mut agent = running(&site);
    assert_said(&site.output(["config", "diff"]), code::OK, "nothing would change\n", "");
    assert_said(&site.output(["reload"]), code::OK, "nothing has changed\n", "");
    and(&site, "[collectors.other]\nplugin = \"mock\"\noptions = { script = \"script\" }\nisolation = \"none\"");
    assert_said(&site.output(["config", "diff"]), code::OK, "+ collector other", "");
    assert!(!status(&site)["collectors"].to_string().contains("\"other\""), "a diff changes nothing");
    assert_said(&site.output(["reload"]), code::OK, "+ collector other", "");
    // It was waited for: who asks now sees it.
    let told = status(&site);
    assert!(told["collectors"].to_string().contains("\"other\""), "{told}");
    assert_eq!(told["reload"]["applied"], true);
    assert!(told["reload"]["text"].as_str().unwrap().contains("+ collector other"), "{told}");
    agent.snapshot_where(|snapshot| snapshot["other"]["_status"] == "ok");
}

#[test]
fn reload_of_a_config_at_fault_reaches_the_agent_which_refuses_it_and_goes_on() {
    let site = mocked("50ms", "value=1", "");
    let control = site.path("elsewhere.sock");
    let before = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    let before = before.replace("[agent]\n", &format!("[agent]\ncontrol = {control:?}\n"));
    site.config(&before);
    let mut agent = site.start(["run"]);
    let first = agent.snapshot();
    wait_until("it can be asked", || control.exists());
    for (fault, told) in [
        ("intervall = \"1s\"", "unknown key `intervall`"),
        ("[sinks", "perfwatch.toml:"),
        ("[agent]\nwatch = \"none\"", "perfwatch.toml:"),
    ] {
        site.config(&format!("{before}{fault}\n"));
        let finished = site.output(["reload"]);
        assert_said(&finished, code::CONFIG, "", told);
        let diff = site.output(["config", "diff"]);
        assert_said(&diff, code::CONFIG, "", told);
        let told = status(&site);
        assert_eq!((&told["agent"]["pid"], &told["reload"]["applied"]), (&agent.pid().into(), &false.into()));
    }
    let table = site.output(["status"]).stdout;
    assert!(table.contains("last reload ") && table.contains(" refused: "), "{table}");
    let after = agent.snapshot_where(|snapshot| snapshot["mock"]["_status"] == "ok");
    assert_eq!(after["run"], first["run"]);
    site.config(&before);
    assert_said(&site.output(["reload"]), code::OK, "nothing has changed\n", "");
}

#[test]
fn release_holds_at_once_where_the_agent_runs() {
    let site = record::isolated("auto");
    let _agent = running(&site);
    let released = site.output(["plugins", "release", "ups"]);
    let text = format!("released: mock, {}\n", record::WHY);
    assert!(released.code() == 0 && released.stdout.starts_with(&text), "{released}");
    assert!(!released.stdout.contains("next start"), "{released}");
    assert!(!site.output(["plugins", "list"]).stdout.contains("held"));
    let again = site.output(["plugins", "release", "ups"]);
    assert_said(&again, code::FAILED, "", "ups is not held in a child: ");
}

/// The same lines as for people with `socat`, and all that a client can do wrong at once.
#[test]
fn clients_of_every_kind_cost_no_tick() {
    let site = mocked("200ms", "value=1", "");
    let mut agent = running(&site);
    let connect = || UnixStream::connect(site.path(SOCKET)).unwrap();
    let mut kept = Vec::new();
    for nth in 0..400 {
        let mut stream = connect();
        let said: &[u8] = match nth % 4 {
            // Says nothing; half a line; asks and never reads; garbage.
            0 => b"",
            1 => b"{\"ask\":",
            2 => b"{\"ask\":\"status\"}\n",
            _ => b"\x00\xff\xfe\n",
        };
        stream.write_all(said).unwrap();
        // A fifth of them goes at once.
        if nth % 5 > 0 {
            kept.push(stream);
        }
        if nth % 100 == 0 {
            status(&site);
        }
    }
    let mut told: Vec<_> = (0..5).map(|_| agent.snapshot()).collect();
    let mut answer = String::new();
    let mut stream = connect();
    stream.write_all(b"{\"ask\":\"status\"}\n").unwrap();
    stream.read_to_string(&mut answer).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["version"], &answer["code"]), (&1.into(), &0.into()));
    for one in answer["status"]["collectors"].as_array().unwrap() {
        assert_eq!((&one["missed"], &one["skipped"]), (&0.into(), &0.into()), "{one}");
    }
    told.extend((0..3).map(|_| agent.snapshot()));
    assert_eq!(assert_told_whole(&told), 0);
    assert!(told.iter().all(|snapshot| snapshot["mock"]["_status"] == "ok"), "{told:?}");
    drop(kept);
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), 0);
}

#[test]
fn another_user_is_not_permitted_whatever_the_mode_of_the_socket() {
    if !rustix::process::geteuid().is_root() {
        return skip("root, to be another user");
    }
    let site = mocked("50ms", "value=1", "");
    let agent = running(&site);
    for (path, mode) in [("", 0o755), ("run", 0o755), (SOCKET, 0o600)] {
        fs::set_permissions(site.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let asked = || {
        let mut command = site.command(["status"]);
        command.uid(65534).gid(65534);
        Running::start(command).wait()
    };
    assert_said(&asked(), code::NOT_PERMITTED, "", "not permitted to ask the agent at");
    fs::set_permissions(site.path(SOCKET), fs::Permissions::from_mode(0o666)).unwrap();
    assert_said(&asked(), code::NOT_PERMITTED, "", "not permitted: the agent is asked by its own user and root");
    agent.wait_for_stderr("a user who may not was at the control socket");
    status(&site);
}

/// Answers as a test wants.
#[derive(Clone)]
struct Fake {
    status: Value,
    reply: Reply,
}

impl Answering for Fake {
    fn status(&self) -> Status {
        serde_json::from_value(self.status.clone()).unwrap()
    }
    fn reload(&self) -> Reply {
        self.reply.clone()
    }
    fn diff(&self) -> Reply {
        self.reply.clone()
    }
    fn release(&self, name: &str) -> Reply {
        Reply { text: format!("{name}: {}", self.reply.text), ..self.reply.clone() }
    }
}

/// Answers at the socket of a site for as long as the test's process lives.
fn answers(site: &Site, fake: Fake) {
    let listener = Listener::bind(&site.path(SOCKET)).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(listener, fake));
    });
}

#[test]
fn commands_exit_with_what_the_agent_answers() {
    for answered in [code::OK, code::FAILED, code::UNAVAILABLE, code::NOT_PERMITTED, code::CONFIG] {
        let site = Site::new();
        // What a file is called may command a terminal.
        let reply = Reply { code: answered, text: "a line\nand \u{1b}[2J\n".into() };
        answers(&site, Fake { status: json!({}), reply });
        for command in [&["reload"][..], &["config", "diff"], &["plugins", "release", "ups"]] {
            let name = if command[0] == "plugins" { "ups: " } else { "" };
            let text = format!("{name}a line\nand \\u001b[2J\n");
            let finished = site.output(command);
            let (stdout, stderr) = if answered == code::OK { (&*text, "") } else { ("", &*text) };
            let said = (finished.code(), &*finished.stdout, &*finished.stderr);
            assert_eq!(said, (answered.into(), stdout, stderr), "{command:?}");
        }
    }
}

#[test]
fn what_is_no_agent_or_another_version_is_told() {
    for (answer, told) in [
        ("{\"version\":2,\"code\":0}\n", "the agent there speaks version 2 of the control socket"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is no agent"),
        ("", "hung up without an answer"),
    ] {
        let site = Site::new();
        fs::create_dir(site.path("run")).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(site.path(SOCKET)).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                stream.unwrap().write_all(answer.as_bytes()).unwrap();
            }
        });
        assert_said(&site.output(["status"]), code::FAILED, "", told);
    }
}

#[test]
fn status_in_the_readme_is_what_it_prints() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("$ perfwatch status\n").unwrap();
    let (told, _) = rest.split_once("```").unwrap();
    let collector = json!({
        "name": "cpu", "status": "ok", "placement": "agent", "interval_seconds": 5.0, "last_seconds": 61e-6, "mean_seconds": 58.4e-6,
        "mean_cpu_seconds": 57.9e-6, "calls": 54843,
    });
    let but = |changes: Value| {
        let mut one = collector.clone();
        one.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        one
    };
    let status = json!({
        "agent": {
            "version": "0.1.0", "pid": 4242, "host": "web-1", "at": "2026-11-24T17:30:05.000Z", "started": "2026-11-21T13:19:49.000Z",
            "uptime_seconds": 274_216.0, "config": "/etc/perfwatch/perfwatch.toml", "drop_ins": ["/etc/perfwatch/conf.d/ups.toml"],
            "watch": "all", "trust": "strict", "tick": "2026-11-24T17:30:02.000Z", "late_seconds": 120e-6, "snapshots": 54843,
        },
        "reload": {"at": "2026-11-24T15:25:05.000Z", "applied": true, "text": "+ collector ups: plugin ups 0.1.0, every 5s, isolation process\n"},
        "collectors": [collector, but(json!({"name": "memory"})), but(json!({
            "name": "ups", "status": "backoff", "placement": "child", "last_seconds": 1.2e-3, "mean_seconds": 1.25e-3,
            "mean_cpu_seconds": 310e-6, "calls": 1440,
            "failures": 61, "memory_bytes": 716_800, "since": "2026-11-24T17:25:02.000Z", "next_due": "2026-11-24T17:30:50.000Z",
            "error": "could not connect to 127.0.0.1:3493: Connection refused (os error 111)",
        }))],
        "sinks": [{"name": "archive", "type": "file", "depth": 0, "capacity": 128, "written": 54843}],
    });
    let site = Site::new();
    answers(&site, Fake { status, reply: Reply::done("") });
    assert_eq!(site.output(["status"]).stdout, told);
}

/// Two reloads that a hanging library holds up, one after the other.
#[test]
fn reload_that_takes_its_time_keeps_nobody_from_asking_how_the_agent_is() {
    let site = mocked("50ms", "value=1", "timeout = \"3s\"\n");
    let mut agent = running(&site);
    site.write("hangs", "hang=forever");
    let before = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    site.config(&before.replace("script = \"script\"", "script = \"hangs\""));
    let mut reloads: Vec<_> = (0..2).map(|_| site.start(["reload"])).collect();
    let mut over = |at_least: usize| {
        reloads.retain(|reload| !reload.stderr().contains("failed"));
        2 - reloads.len() >= at_least
    };
    wait_until("one is over", || over(1));
    status(&site);
    assert!(!over(2), "it was answered after the second only");
    wait_until("both are over", || over(2));
    agent.snapshot_where(|snapshot| snapshot["mock"]["_status"] == "ok");
}
