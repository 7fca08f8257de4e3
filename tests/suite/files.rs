//! A file sink keeps every line whole and says what it could not keep: over kills, rotation, a full disk and readers that do not read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use harness::{Finished, Running, Site, jsonb, skip};
use rustix::process::Signal;
use serde_json::Value;

use super::mocked::{assert_told_whole, gap, lines, mocked, snapshots, wait_until};

/// A reading of some 400 bytes.
const SCRIPT: &str = "value=1 text=\"not much to say\" rows.a.value=1 rows.b.value=2 rows.c.value=3";
const STDOUT: &str = "[sinks.stdout]\ntype = \"stdout\"\n";

fn file(settings: &str) -> String {
    format!("[sinks.file]\ntype = \"file\"\npath = \"out/s.jsonl\"\nmin_free = \"0B\"\n{settings}")
}

fn live(site: &Site) -> PathBuf {
    site.path("out/s.jsonl")
}

#[track_caller]
fn ended(agent: Running) -> Finished {
    agent.signal(Signal::TERM);
    let finished = agent.wait();
    assert_eq!(finished.code(), 0, "{finished}");
    finished
}

/// What a sink has left in its folder, by name. A compression that the end has cut short has left the plain file, or both: the next
/// start tidies up.
fn left_in(folder: &Path) -> BTreeMap<String, String> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let mut text = String::new();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match path.extension().unwrap().to_str().unwrap() {
            "gz" => GzDecoder::new(&bytes[..]).read_to_string(&mut text).map(drop),
            "jsonl" if folder.join(format!("{name}.gz")).exists() => return None,
            "jsonl" => (&bytes[..]).read_to_string(&mut text).map(drop),
            "tmp" => return None,
            other => panic!("{}: what is a {other}?", path.display()),
        }
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some((name, text))
    };
    fs::read_dir(folder).unwrap().filter_map(|entry| read(entry.unwrap().path())).collect()
}

/// The snapshots of a folder by run, each run in its order.
fn by_run(folder: &Path) -> BTreeMap<String, Vec<Value>> {
    let mut runs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for snapshot in left_in(folder).values().flat_map(|text| jsonb::snapshots(text)) {
        runs.entry(snapshot["run"].as_str().unwrap().to_owned()).or_default().push(snapshot);
    }
    runs.values_mut().for_each(|run| run.sort_by_key(|snapshot| snapshot["sequence"].as_u64()));
    runs
}

#[test]
fn kills_leave_every_line_whole_and_every_run_without_a_hole() {
    let settings = "rotate.size = \"8KiB\"\nkeep.total = \"0B\"\ncompress = \"gzip\"\n";
    let site = mocked("10ms", SCRIPT, &format!("{STDOUT}{}", file(settings)));
    const KILLS: usize = 20;
    for kill in 0..KILLS {
        let mut agent = site.start(["run"]);
        // Some of them while files are put aside and compressed, which happens every twenty snapshots.
        for _ in 0..[1, 2, 25, 45][kill % 4] {
            agent.snapshot();
        }
        agent.signal(Signal::KILL);
        let _killed = agent.wait();
    }
    let mut agent = site.start(["run"]);
    (0..50).for_each(|_| drop(agent.snapshot()));
    let pending = |name: &str| name.ends_with(".tmp") || site.path("out").join(format!("{name}.gz")).exists();
    wait_until("what kills left is tidied", || {
        !fs::read_dir(site.path("out")).unwrap().any(|entry| pending(entry.unwrap().file_name().to_str().unwrap()))
    });
    ended(agent);
    let runs = by_run(&site.path("out"));
    assert!(runs.len() > KILLS / 2, "only {} runs have left something", runs.len());
    for run in runs.values() {
        assert_eq!((run[0]["sequence"].as_u64(), assert_told_whole(run)), (Some(0), 0));
    }
}

#[test]
fn torn_last_line_is_cut_off_and_told() {
    let site = mocked("10ms", SCRIPT, &file(""));
    let agent = site.start(["run"]);
    wait_until("it writes", || lines(&live(&site)) > 2);
    agent.signal(Signal::KILL);
    let _killed = agent.wait();
    // As a power loss leaves it.
    let whole = fs::read(live(&site)).unwrap();
    fs::write(live(&site), &whole[..whole.len() - 7]).unwrap();
    let agent = site.start(["run"]);
    agent.wait_for_stderr("cut off a torn last line");
    let left = whole.iter().filter(|byte| **byte == b'\n').count() - 1;
    wait_until("it goes on", || lines(&live(&site)) > left + 1);
    ended(agent);
    let told = snapshots(&live(&site));
    assert_eq!((told[left]["sequence"].as_u64(), told[0]["run"] == told[left]["run"]), (Some(0), false));
    assert_eq!(assert_told_whole(&told[..left]) + assert_told_whole(&told[left..]), 0);
}

#[test]
fn rotation_keeps_so_many_files_while_it_runs() {
    let site = mocked(
        "50ms",
        SCRIPT,
        &file("rotate.size = \"4KiB\"\nkeep.files = 3\nkeep.total = \"0B\"\ncompress = \"gzip\"\n"),
    );
    let agent = site.start(["run"]);
    let names = || -> Vec<String> {
        let entries = fs::read_dir(site.path("out")).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".tmp"));
        names.sort();
        names
    };
    wait_until("it puts files aside", || names().len() >= 4);
    let oldest = names().remove(0);
    wait_until("the oldest goes", || {
        let names = names();
        !names.iter().any(|name| oldest.starts_with(name.trim_end_matches(".gz")))
    });
    // Each by itself: whoever compresses has the lowest priority, and a busy machine lets it fall behind.
    wait_until("one is compressed", || names().iter().any(|name| name.ends_with(".gz")));
    wait_until("no more are there than are kept", || names().len() == 4);
    ended(agent);
    for (name, text) in left_in(&site.path("out")) {
        assert!(text.len() <= 4096, "{name} has {} bytes", text.len());
    }
    let runs = by_run(&site.path("out"));
    let [run] = &runs.values().collect::<Vec<_>>()[..] else { panic!("{} runs", runs.len()) };
    assert!(run[0]["sequence"].as_u64() > Some(0));
    assert_eq!(assert_told_whole(run), 0);
}

/// Starts the agent with a file system of 1 MiB at `out/`, which is mounted for it alone: no other process sees a mount come, and none is
/// left behind. None where this user may not mount. With it comes where the folder is to be seen.
fn start_on_a_small_disk(site: &Site) -> Option<(Running, PathBuf)> {
    fs::create_dir_all(site.path("out")).unwrap();
    let ready = site.command(["run"]);
    let mount = "mount -t tmpfs -o size=1m perfwatch-test out";
    let try_it = Command::new("unshare").args(["-m", "sh", "-c", mount]).current_dir(site.path("")).output();
    if !try_it.is_ok_and(|output| output.status.success()) {
        skip("the right to mount a tmpfs");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{mount} && exec bin/perfwatch run")]);
    command.current_dir(site.path("")).env_clear();
    command.envs(ready.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let agent = Running::start(command);
    let root = PathBuf::from(format!("/proc/{}/root", agent.pid()));
    Some((agent, root.join(site.path("out").strip_prefix("/").unwrap())))
}

/// Fills a file system, but for so many bytes.
fn fill(folder: &Path, but: u64) -> PathBuf {
    let path = folder.join("ballast");
    let mut ballast = fs::File::create(&path).unwrap();
    while ballast.write_all(&[0; 1024]).is_ok() {}
    let len = ballast.metadata().unwrap().len();
    ballast.set_len(len - but).unwrap();
    path
}

#[track_caller]
fn disk_without_room_costs_what_is_told_and_no_more(settings: &str, but: u64, cause: &str) {
    let site = mocked("10ms", SCRIPT, &format!("{STDOUT}{}", file("").replace("min_free = \"0B\"\n", settings)));
    let Some((mut agent, out)) = start_on_a_small_disk(&site) else { return };
    let mut printed: Vec<_> = (0..5).map(|_| agent.snapshot()).collect();
    let ballast = fill(&out, but);
    agent.wait_for_stderr(&format!("could not write a snapshot: {cause}"));
    printed.extend((0..30).map(|_| agent.snapshot()));
    let live = out.join("s.jsonl");
    let before = lines(&live);
    fs::remove_file(ballast).unwrap();
    wait_until("it goes on by itself", || lines(&live) > before + 5);
    agent.wait_for_stderr("writes again");
    // The mount ends with the agent, but for what is open.
    let mut live = fs::File::open(live).unwrap();
    let finished = ended(agent);
    printed.extend(jsonb::snapshots(&finished.stdout));
    assert_eq!(assert_told_whole(&printed), 0, "the other sink loses nothing");
    let mut text = String::new();
    live.read_to_string(&mut text).unwrap();
    let told = jsonb::snapshots(&text);
    let lost = assert_told_whole(&told);
    assert!(lost > 0 && told.len() + lost as usize == printed.len(), "{} and {lost} of {}", told.len(), printed.len());
    // Once for all that is lost. At the very edge of a file system there may be room for a line, and then none again.
    let said = |text| finished.stderr.matches(text).count();
    assert_eq!(said("could not write a snapshot"), said("writes again"), "{finished}");
    assert!((said("writes again") as u64) < lost, "{finished}");
}

#[test]
fn full_disk_costs_what_is_told_and_no_more() {
    disk_without_room_costs_what_is_told_and_no_more("min_free = \"0B\"\n", 0, "the disk is full");
}

#[test]
fn last_room_of_a_disk_is_left_to_others() {
    let (floor, cause) = ("min_free = \"256KiB\"\n", "less than min_free is left on the disk");
    disk_without_room_costs_what_is_told_and_no_more(floor, 128 << 10, cause);
}

#[test]
fn reader_that_does_not_read_delays_nothing_and_its_loss_is_told() {
    let site = mocked("10ms", SCRIPT, &format!("{STDOUT}{}", file("")));
    let (agent, mut unread) = Running::start_unread(site.command(["run"]));
    // A page: ten lines, and 128 wait in the queue.
    rustix::pipe::fcntl_setpipe_size(&unread, 4096).unwrap();
    wait_until("the file goes on", || lines(&live(&site)) > 250);
    assert_eq!(assert_told_whole(&whole_lines(&live(&site))), 0);
    // It reads again, until it is told.
    let mut text = Vec::new();
    let mut told = Vec::new();
    wait_until("the loss is told", || {
        let mut bytes = [0; 4096];
        let read = unread.read(&mut bytes).unwrap();
        text.extend_from_slice(&bytes[..read]);
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        told.extend(jsonb::snapshots(std::str::from_utf8(&text[..whole]).unwrap()));
        text.drain(..whole);
        told.iter().any(|snapshot| gap(snapshot) > 0)
    });
    assert!(assert_told_whole(&told) > 0);
    drop(unread);
    ended(agent);
    assert_eq!(assert_told_whole(&snapshots(&live(&site))), 0);
}

/// The snapshots of a file that is being written.
fn whole_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    jsonb::snapshots(&text[..text.rfind('\n').map_or(0, |end| end + 1)])
}

#[test]
fn reader_that_does_not_read_delays_no_end_and_the_loss_is_told() {
    let site = mocked("10ms", SCRIPT, &format!("{STDOUT}{}", file("")));
    let (agent, unread) = Running::start_unread(site.command(["run"]));
    rustix::pipe::fcntl_setpipe_size(&unread, 4096).unwrap();
    wait_until("the pipe is full", || lines(&live(&site)) > 50);
    agent.signal(Signal::TERM);
    let finished = agent.wait();
    assert_eq!(finished.code(), 1, "{finished}");
    assert!(finished.stderr.contains("are lost sink=\"stdout\""), "{finished}");
    assert_eq!(assert_told_whole(&snapshots(&live(&site))), 0);
    drop(unread);
}

#[test]
fn two_agents_on_one_file_are_one_too_many() {
    let site = mocked("10ms", SCRIPT, &file(""));
    let first = site.start(["run"]);
    wait_until("it writes", || lines(&live(&site)) > 0);
    let second = site.output(["run"]);
    assert_eq!(second.code(), 1, "{second}");
    let holder = format!("is being written by process {} (perfwatch)", first.pid());
    assert!(second.stderr.contains(&holder) && second.stderr.contains("sink `file`"), "{second}");
    ended(first);
    assert_eq!(assert_told_whole(&snapshots(&live(&site))), 0);
}

#[test]
fn two_sinks_on_one_file_are_a_fault_of_the_config() {
    for other in ["out/s.jsonl", "./out//s.jsonl", "out/./s.jsonl"] {
        let second = format!("[sinks.other]\ntype = \"file\"\npath = \"{other}\"\nmin_free = \"0B\"\n");
        let finished = mocked("10ms", SCRIPT, &format!("{}{second}", file(""))).output(["run"]);
        assert_eq!(finished.code(), 78, "{other}: {finished}");
        assert!(finished.stderr.contains("sink `other` writes to out/s.jsonl, as sink `file` does"), "{finished}");
    }
}
