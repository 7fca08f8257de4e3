//! Whatever ends, the child, the agent or both, and however: what the child has started ends with it.

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fs, thread};

use harness::{DEADLINE, Running, Site};
use rustix::process::{Pid, Signal};

/// An agent whose one collector has started two programs.
fn started() -> (Site, Running, i32) {
    let site = Site::new();
    site.plugin("runs_programs");
    // The file itself: what is granted is that, and no link that leads to it.
    let program = Path::new("/bin/sleep").canonicalize().unwrap();
    site.config(&format!(
        "[agent]\ninterval = \"1s\"\nlog.level = \"debug\"\n[collectors.runs_programs]\noptions = {{ program = {program:?} }}\n"
    ));
    let mut agent = site.start(["run"]);
    let group = group_of(&mut agent);
    (site, agent, group)
}

/// The process group of a program that is seen in a snapshot: its number is the child's.
fn group_of(agent: &mut Running) -> i32 {
    let mut group = None;
    agent.snapshot_where(|snapshot| {
        let program = snapshot["runs_programs"]["program"].as_u64();
        let program = program.and_then(|program| Process::read(&format!("/proc/{program}")));
        group = program.map(|program| program.group);
        group.is_some()
    });
    group.unwrap()
}

struct Process {
    pid: i32,
    state: char,
    parent: i32,
    group: i32,
    /// Its command line.
    line: String,
}

impl Process {
    /// Of its folder; none where it has ended.
    fn read(folder: &str) -> Option<Process> {
        let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
        let line = fs::read_to_string(format!("{folder}/cmdline")).ok()?;
        let (pid, rest) = stat.split_once(' ')?;
        let mut rest = rest.rsplit_once(") ")?.1.split(' ');
        let state = rest.next()?.chars().next()?;
        let (parent, group) = (rest.next()?.parse().ok()?, rest.next()?.parse().ok()?);
        Some(Process { pid: pid.parse().ok()?, state, parent, group, line })
    }

    fn all() -> Vec<Process> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| Process::read(entry.path().to_str()?)).collect()
    }

    /// Of a group, without those that only nobody has waited for yet.
    fn of_group(group: i32) -> Vec<Process> {
        let all = Process::all().into_iter();
        all.filter(|process| process.group == group && process.state != 'Z').collect()
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "in vain: {what}");
        thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// As an operator does it: what is left of the agent afterwards is a fault.
fn end(agent: Running) {
    agent.signal(Signal::TERM);
    let finished = agent.wait();
    assert_eq!(finished.code(), 0, "{finished}");
}

fn assert_family(agent: &Running, group: i32) {
    let agent = i32::try_from(agent.pid()).unwrap();
    let family = Process::of_group(group);
    let of = |parent| family.iter().filter(move |process| process.parent == parent);
    assert_eq!(of(group).count(), 2, "two programs");
    assert_eq!(of(agent).count(), 2, "the child and its guard");
    let guard = of(agent).find(|process| process.pid != group).unwrap();
    assert_eq!(guard.line, format!("perfwatch: runs_programs\0--perfwatch-guard\0{agent}\0"));
}

/// The folder of a child's control group, where this machine has version 2 and lets us write it: else the agent has said so.
fn cgroup(agent: &Running, child: i32) -> Option<PathBuf> {
    let folder = cgroup_of(child).filter(|folder| folder.to_string_lossy().contains("-runs_programs-"));
    assert_eq!(folder.is_none(), agent.stderr().contains("in no control group"), "{folder:?}");
    folder
}

fn cgroup_of(process: i32) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    Some(Path::new(mount.split(' ').nth(1)?).join(group))
}

#[test]
fn programs_of_a_child_end_with_an_agent_that_is_killed() {
    let (site, agent, group) = started();
    assert_family(&agent, group);
    let folder = cgroup(&agent, group);
    agent.signal(Signal::KILL);
    drop(agent);
    eventually("an empty group", || Process::of_group(group).is_empty());
    // The one after it takes away what it could not.
    let mut next = site.start(["run"]);
    group_of(&mut next);
    end(next);
    assert!(!folder.is_some_and(|folder| folder.exists()));
}

#[test]
fn programs_of_a_child_end_with_it_and_its_successor_has_its_own() {
    let (_site, mut agent, group) = started();
    let child = Pid::from_raw(group).unwrap();
    rustix::process::kill_process(child, Signal::KILL).unwrap();
    eventually("an empty group", || Process::of_group(group).is_empty());
    let mut next = group;
    while next == group {
        next = group_of(&mut agent);
    }
    assert_family(&agent, next);
    let parent = i32::try_from(agent.pid()).unwrap();
    let unburied = Process::all().into_iter().filter(|process| process.parent == parent && process.state == 'Z');
    assert_eq!(unburied.count(), 0);
    end(agent);
}

#[test]
fn programs_of_a_child_end_with_an_agent_that_is_told_to_end() {
    let (_site, agent, group) = started();
    let folder = cgroup(&agent, group);
    end(agent);
    assert_eq!(Process::of_group(group).iter().map(|process| &process.line).collect::<Vec<_>>(), [""; 0]);
    assert!(!folder.is_some_and(|folder| folder.exists()));
}

#[test]
fn guard_that_is_killed_leaves_the_child_to_the_agent() {
    let (_site, agent, group) = started();
    let parent = i32::try_from(agent.pid()).unwrap();
    let guard = Process::of_group(group).into_iter().find(|process| process.parent == parent && process.pid != group);
    rustix::process::kill_process(Pid::from_raw(guard.unwrap().pid).unwrap(), Signal::KILL).unwrap();
    end(agent);
    eventually("an empty group", || Process::of_group(group).is_empty());
}
