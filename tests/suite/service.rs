//! The agent as a service: what its manager is told and when, and that a config which is refused at the start does not end it
//! where a good one was kept.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use harness::{DEADLINE, Running, Site};
use perfwatch::cli::code;
use rustix::process::Signal;

use crate::mocked::{lines, mocked, wait_until};

/// A line of a config that the agent refuses.
const TYPO: &str = "\n[collectors.other]\nplugin = \"mock\"\nintervall = \"1s\"\n";

#[test]
fn typing_error_and_a_reboot_leave_it_running_with_what_it_ran_with() {
    let site = mocked("50ms", "value=1", "");
    let good = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    let good = good.replace("[agent]", "[agent]\nlast_good = \"state/last-good.toml\"");
    let with = |more: &str| site.config(&format!("{good}{more}"));
    with("");
    let copy = site.path("state/last-good.toml");
    let agent = site.start(["run"]);
    wait_until("a copy is kept", || copy.exists());
    drop(agent);
    let config = with(TYPO);
    let mut agent = site.start(["run"]);
    assert_eq!(agent.snapshot()["mock"]["value"], 1.0);
    for said in ["perfwatch.toml:", "unknown key `intervall`", "did you mean `interval`?", "`perfwatch reload`"] {
        agent.wait_for_stderr(said);
    }
    drop(agent);
    // Those who look at a config want to know what is wrong with it.
    for command in [&["check"][..], &["once"], &["config", "show"], &["schema"]] {
        let finished = site.output(command);
        assert_eq!(finished.code(), i32::from(code::CONFIG), "{command:?}: {finished}");
    }
    fs::remove_file(config).unwrap();
    let mut agent = site.start(["run"]);
    agent.snapshot();
    agent.wait_for_stderr("perfwatch.toml: could not read it");
    drop(agent);
    fs::remove_file(copy).unwrap();
    assert_eq!(site.output(["run"]).code(), i32::from(code::CONFIG));
}

/// What only the machine knows is found out when the sinks are opened.
#[test]
fn sink_that_cannot_be_opened_is_a_fault_of_the_config_where_that_of_the_copy_can() {
    let sink = |path: &str, more: &str| format!("[sinks.archive]\ntype = \"file\"\npath = \"{path}\"\n{more}");
    let site = mocked("50ms", "value=1", "");
    let good = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    let good = good.replace("[agent]", "[agent]\nlast_good = \"state/last-good.toml\"");
    site.config(&format!("{good}{}", sink("out.jsonl", "")));
    let copy = site.path("state/last-good.toml");
    let agent = site.start(["run"]);
    wait_until("a copy is kept", || copy.exists());
    drop(agent);
    fs::remove_file(site.path("out.jsonl")).unwrap();
    site.write("file", "");
    for (bad, why) in [
        (sink("out.jsonl", "group = \"nobody-has-this\"\n"), "group: nobody-has-this is not in /etc/group"),
        (sink("out.jsonl", "min_free = \"8000000TiB\"\n"), "can never have"),
        (sink("file/out.jsonl", ""), "could not open sink `archive`"),
    ] {
        site.config(&format!("{good}{bad}"));
        let agent = site.start(["run"]);
        wait_until("the copy's sink is written to", || lines(&site.path("out.jsonl")) > 0);
        agent.wait_for_stderr(why);
        agent.wait_for_stderr("this runs with the copy of the last good one");
        drop(agent);
        fs::remove_file(site.path("out.jsonl")).unwrap();
    }
    // Where the copy's own cannot be opened either, nothing can be said against the config.
    site.write("out.jsonl/x", "");
    let finished = site.output(["run"]);
    assert_eq!(finished.code(), i32::from(code::FAILED), "{finished}");
    assert!(!finished.stderr.contains("copy"), "{finished}");
}

#[test]
fn mended_config_is_taken_by_a_reload_and_kept_for_the_next_start() {
    let site = mocked("50ms", "value=1", "");
    let good = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    let good = good.replace("[agent]", "[agent]\nlast_good = \"state/last-good.toml\"");
    site.config(&good);
    let copy = || fs::read_to_string(site.path("state/last-good.toml")).unwrap_or_default();
    let agent = site.start(["run"]);
    wait_until("a copy is kept", || copy().contains(&good));
    drop(agent);
    site.config(&format!("{good}{TYPO}"));
    let mut agent = site.start(["run"]);
    agent.snapshot();
    let kept = copy();
    assert_eq!(site.output(["reload"]).code(), i32::from(code::CONFIG));
    assert_eq!(copy(), kept, "what is refused is not kept");
    let mended = good.replace("[collectors", "labels = { rack = \"7\" }\n[collectors");
    site.config(&mended);
    let finished = site.output(["reload"]);
    assert_eq!(finished.code(), 0, "{finished}");
    agent.snapshot_where(|snapshot| snapshot["labels"]["rack"] == "7");
    wait_until("the mended one is kept", || copy().contains(&mended));
}

/// What the command line says stands above the config, before and after.
#[test]
fn level_of_the_log_follows_the_config_at_a_reload() {
    for (arguments, follows) in [(&["run"][..], true), (&["run", "--log-level", "info"], false)] {
        let site = mocked("50ms", "value=1", "");
        let good = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
        let at = |level: &str| site.config(&good.replace("[agent]", &format!("[agent]\nlog.level = \"{level}\"")));
        at("error");
        let mut agent = site.start(arguments);
        agent.snapshot();
        at("info");
        assert_eq!(site.output(["reload"]).code(), 0);
        at("error");
        assert_eq!(site.output(["reload"]).code(), 0);
        agent.signal(Signal::TERM);
        let finished = agent.wait();
        let said = ["reloaded: ", "ends: SIGTERM"].map(|text| finished.stderr.contains(text));
        assert_eq!(said, [true, !follows], "{finished}");
    }
}

/// A service manager: the socket that the agent is told to speak to.
struct Manager(UnixDatagram);

impl Manager {
    /// Of the agent that `command` starts, which it expects a sign of life of within this time.
    fn of(site: &Site, command: &mut Command, watchdog: Option<Duration>) -> Manager {
        let path = site.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        command.env("NOTIFY_SOCKET", path);
        command.envs(watchdog.map(|watchdog| ("WATCHDOG_USEC", watchdog.as_micros().to_string())));
        Manager(socket)
    }

    /// Starts the agent below it.
    fn start(site: &Site, watchdog: Option<Duration>) -> (Manager, Running) {
        let mut command = site.command(["run"]);
        let manager = Manager::of(site, &mut command, watchdog);
        (manager, Running::start(command))
    }

    fn hear(&self) -> Option<String> {
        let mut bytes = [0; 8192];
        let length = self.0.recv(&mut bytes).ok()?;
        Some(str::from_utf8(&bytes[..length]).unwrap().to_owned())
    }

    #[track_caller]
    fn next(&self) -> String {
        self.hear().unwrap()
    }

    /// The next message that is no status.
    #[track_caller]
    fn state(&self) -> String {
        loop {
            let told = self.next();
            if !told.starts_with("STATUS=") {
                return told;
            }
        }
    }

    #[track_caller]
    fn status_where(&self, holds: impl Fn(&str) -> bool) {
        let mut told = Vec::new();
        while !told.last().and_then(|told: &String| told.strip_prefix("STATUS=")).is_some_and(&holds) {
            let Some(next) = self.hear() else { panic!("no such status for {DEADLINE:?}: {told:?}") };
            told.push(next);
        }
    }
}

#[test]
fn service_is_ready_with_its_first_snapshot_and_says_when_it_ends() {
    let site = mocked("1h", "sleep=300ms print=awake value=1", "timeout = \"30s\"\n");
    let (manager, mut agent) = Manager::start(&site, None);
    assert_eq!(manager.next(), "READY=1");
    agent.wait_for_stderr("awake");
    manager.status_where(|status| status == "2 collectors, 2 ok");
    agent.snapshot();
    agent.signal(Signal::TERM);
    assert_eq!(manager.state(), "STOPPING=1");
    assert_eq!(agent.wait().code(), 0);
}

#[test]
fn service_is_ready_though_a_collector_takes_its_time() {
    let site = mocked("1h", "hang=forever", "timeout = \"40m\"\n");
    let (manager, _agent) = Manager::start(&site, None);
    assert_eq!(manager.state(), "READY=1");
}

#[test]
fn service_is_ready_again_after_each_reload_whatever_came_of_it() {
    let site = mocked("50ms", "value=1", "");
    let good = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    let (manager, mut agent) = Manager::start(&site, None);
    assert_eq!(manager.state(), "READY=1");
    for (config, reloads) in [(good.clone(), code::OK), (format!("{good}{TYPO}"), code::CONFIG), (good, code::OK)] {
        site.config(&config);
        let finished = site.output(["reload"]);
        assert_eq!(finished.code(), i32::from(reloads), "{finished}");
        let began = manager.state();
        assert!(began.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{began}");
        assert_eq!(manager.state(), "READY=1");
    }
    agent.signal(Signal::HUP);
    assert!(manager.state().starts_with("RELOADING=1\n"));
    assert_eq!(manager.state(), "READY=1");
    agent.snapshot();
}

#[test]
fn status_of_the_service_names_who_does_not_do_well_and_a_config_that_does_not_hold() {
    // Once: four in a row are a back-off.
    let site = mocked("1h", "error=\"no luck\"", "");
    let good = fs::read_to_string(site.path("perfwatch.toml")).unwrap();
    let good = good.replace("[agent]", "[agent]\nlast_good = \"state/last-good.toml\"");
    site.config(&good);
    let (manager, agent) = Manager::start(&site, None);
    manager.status_where(|status| status == "2 collectors, 1 ok; mock: failed");
    drop((agent, manager));
    fs::remove_file(site.path("notify")).unwrap();
    site.config(&format!("{good}{TYPO}"));
    let (manager, agent) = Manager::start(&site, None);
    manager.status_where(|status| status.starts_with("config refused, runs with the last good one; 2 collectors"));
    site.config(&good);
    agent.signal(Signal::HUP);
    manager.status_where(|status| status.starts_with("2 collectors"));
}

/// Far more often than a unit would want it, and far less than what a busy machine holds a thread up.
const WATCHDOG: Duration = Duration::from_secs(4);

#[test]
fn service_shows_signs_of_life_whatever_its_collectors_do() {
    let site = mocked("100ms", "value=1\nhang=forever", "timeout = \"50ms\"\n");
    let (manager, mut agent) = Manager::start(&site, Some(WATCHDOG));
    agent.snapshot_where(|snapshot| snapshot["mock"]["_status"] == "timeout");
    let signs = || (0..).map(|_| manager.state()).take_while(|told| told == "WATCHDOG=1" || told == "READY=1");
    // Each within half of the time, which a manager that waits for all of it will not miss.
    manager.0.set_read_timeout(Some(WATCHDOG)).unwrap();
    assert_eq!(signs().filter(|told| told == "WATCHDOG=1").take(4).count(), 4);
}

#[test]
fn thread_that_collects_and_stands_still_is_no_sign_of_life() {
    let site = Site::new();
    site.plugin("wild");
    site.config(
        "[agent]\ninterval = \"1h\"\ncollect = \"named\"\n\
         [collectors.wild]\nisolation = \"none\"\noptions = { does = \"stun\" }\n",
    );
    let (manager, mut agent) = Manager::start(&site, Some(WATCHDOG / 4));
    agent.snapshot();
    agent.wait_for_stderr("the service manager gets no sign of life until it does");
    manager.0.set_nonblocking(true).unwrap();
    while manager.hear().is_some() {}
    manager.0.set_nonblocking(false).unwrap();
    manager.0.set_read_timeout(Some(WATCHDOG / 2)).unwrap();
    while let Some(told) = manager.hear() {
        assert!(told.starts_with("STATUS="), "{told}");
    }
}
