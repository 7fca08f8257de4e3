//! Signals end the agent cleanly, whatever its collectors and its readers do.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Finished, Running, jsonb};
use rustix::process::Signal;

use super::mocked::{assert_told_whole, lines, mocked, snapshots, wait_until};

/// Of the 2 s that an end may take: a busy machine's share on top.
const SOON: Duration = Duration::from_secs(10);

/// Ends it by a signal, soon.
#[track_caller]
fn ended(agent: Running, signal: Signal) -> Finished {
    let began = Instant::now();
    agent.signal(signal);
    let finished = agent.wait();
    assert!(began.elapsed() < SOON, "it took {:?} to end: {finished}", began.elapsed());
    finished
}

#[track_caller]
fn signal_ends_it_cleanly(signal: Signal, name: &str) {
    let site = mocked("10ms", "value=1 rows.a.value=1", "");
    let mut agent = site.start(["run"]);
    let mut told: Vec<_> = (0..5).map(|_| agent.snapshot()).collect();
    let finished = ended(agent, signal);
    assert_eq!(finished.code(), 0, "{finished}");
    assert!(finished.stderr.contains(&format!("ends: {name}")), "{finished}");
    told.extend(jsonb::snapshots(&finished.stdout));
    assert_eq!((told[0]["sequence"].as_u64(), assert_told_whole(&told)), (Some(0), 0));
}

#[test]
fn sigterm_ends_it_with_0_and_a_whole_last_line() {
    signal_ends_it_cleanly(Signal::TERM, "SIGTERM");
}

#[test]
fn sigint_ends_it_with_0_and_a_whole_last_line() {
    signal_ends_it_cleanly(Signal::INT, "SIGINT");
}

#[test]
fn hanging_collector_does_not_delay_the_end() {
    let mut agent = mocked("100ms", "value=1\nhang=forever", "").start(["run"]);
    agent.snapshot_where(|snapshot| snapshot["mock"]["_status"] == "timeout");
    let finished = ended(agent, Signal::TERM);
    assert_eq!(finished.code(), 0, "{finished}");
    assert!(jsonb::snapshots(&finished.stdout).iter().all(|snapshot| snapshot["mock"]["_status"] != "ok"));
}

#[test]
fn tick_that_waits_for_a_collector_does_not_delay_the_end() {
    // The tick of the start waits for up to 40 minutes.
    let agent = mocked("1h", "sleep=3000s", "timeout = \"40m\"\n").start(["run"]);
    agent.wait_for_stderr("called in a thread of its own");
    let finished = ended(agent, Signal::TERM);
    assert_eq!(finished.code(), 0, "{finished}");
    let [last] = &jsonb::snapshots(&finished.stdout)[..] else { panic!("not the snapshot of the start: {finished}") };
    assert_eq!(last["mock"]["_status"], "pending", "{last}");
}

/// As timeout(1) does it: once to its child, once to the group that the child is in.
#[test]
fn signal_that_comes_twice_at_once_is_one() {
    for _ in 0..5 {
        let mut agent = mocked("10ms", "value=1", "").start(["run"]);
        agent.snapshot();
        agent.signal(Signal::TERM);
        agent.wait_for_stderr("ends: SIGTERM");
        agent.signal(Signal::TERM);
        let finished = agent.wait();
        assert_eq!(finished.code(), 0, "{finished}");
    }
}

#[test]
fn second_signal_ends_it_at_once() {
    let sinks =
        "[sinks.stdout]\ntype = \"stdout\"\n[sinks.file]\ntype = \"file\"\npath = \"s.jsonl\"\nmin_free = \"0B\"\n";
    let site = mocked("10ms", "value=1", sinks);
    let (agent, unread) = Running::start_unread(site.command(["run"]));
    rustix::pipe::fcntl_setpipe_size(&unread, 4096).unwrap();
    // So that the end would take its 2 s.
    wait_until("the pipe is full", || lines(&site.path("s.jsonl")) > 100);
    agent.signal(Signal::TERM);
    let finished = ended(agent, Signal::INT);
    assert_eq!(finished.code(), 1, "{finished}");
    assert!(finished.stderr.contains("ends at once, at a second signal"), "{finished}");
    drop(unread);
}

#[test]
fn reader_that_closes_its_pipe_ends_it_quietly() {
    let site = mocked("10ms", "value=1", "");
    let mut shell = Command::new("sh");
    shell.args(["-c", "{ bin/perfwatch run; echo ended with $? >&2; } | head -1"]);
    let ready = site.command(["run"]);
    shell.current_dir(site.path("")).env_clear();
    shell.envs(ready.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let finished = Running::start(shell).wait();
    assert_eq!(jsonb::snapshots(&finished.stdout).len(), 1);
    assert!(finished.stderr.contains("ended with 0\n"), "{finished}");
    assert!(!finished.stderr.contains("WARN") && !finished.stderr.contains("ERROR"), "{finished}");
}

#[test]
fn reader_that_closes_its_pipe_ends_no_other_sink() {
    let sinks =
        "[sinks.stdout]\ntype = \"stdout\"\n[sinks.file]\ntype = \"file\"\npath = \"s.jsonl\"\nmin_free = \"0B\"\n";
    let site = mocked("10ms", "value=1", sinks);
    let (agent, unread) = Running::start_unread(site.command(["run"]));
    drop(unread);
    wait_until("the file goes on", || lines(&site.path("s.jsonl")) > 20);
    let finished = ended(agent, Signal::TERM);
    assert_eq!(finished.code(), 0, "{finished}");
    assert_eq!(assert_told_whole(&snapshots(&site.path("s.jsonl"))), 0);
}

#[test]
fn sigpipe_does_nothing() {
    let mut agent = mocked("10ms", "value=1", "").start(["run"]);
    agent.snapshot();
    agent.signal(Signal::PIPE);
    (0..20).for_each(|_| drop(agent.snapshot()));
    assert_eq!(ended(agent, Signal::TERM).code(), 0);
}

#[test]
fn sighup_begins_a_file_anew_that_was_renamed() {
    let sinks = "[sinks.file]\ntype = \"file\"\npath = \"s.jsonl\"\nmin_free = \"0B\"\n";
    let site = mocked("1s", "value=1", sinks);
    let agent = site.start(["run"]);
    wait_until("a line", || lines(&site.path("s.jsonl")) > 0);
    fs::rename(site.path("s.jsonl"), site.path("moved.jsonl")).unwrap();
    agent.signal(Signal::HUP);
    wait_until("a line in the new file", || lines(&site.path("s.jsonl")) > 0);
    agent.signal(Signal::HUP);
    agent.wait_for_stderr("SIGHUP");
    let finished = ended(agent, Signal::TERM);
    assert_eq!(finished.code(), 0, "{finished}");
    let mut told = snapshots(&site.path("moved.jsonl"));
    // It would have seen for itself after 16 snapshots.
    assert!(told.len() < 15, "{} snapshots went to the file that was moved", told.len());
    told.extend(snapshots(&site.path("s.jsonl")));
    assert_eq!((told[0]["sequence"].as_u64(), assert_told_whole(&told)), (Some(0), 0));
}
