//! Ticks of real time: they lie on their grids, none is lost in silence, and growth spans from reading to reading. On a busy machine
//! ticks are missed, so a test asks that what was missed is told, never that nothing was.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use harness::{Running, Site};
use rustix::process::Signal;
use serde_json::Value;

use super::mocked::{assert_told_whole, mocked};

/// Milliseconds since the Unix epoch.
fn milliseconds(time: &Value) -> u64 {
    let time = humantime::parse_rfc3339(time.as_str().unwrap()).unwrap();
    time.duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

fn tick(snapshot: &Value) -> u64 {
    milliseconds(&snapshot["timestamp"])
}

fn events<'a>(snapshot: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    snapshot["_events"].as_array().into_iter().flatten().filter(move |event| event["kind"] == kind)
}

/// Snapshots until this holds of one, in the time of the clock and not in a number: a machine may be slow.
fn until(agent: &mut Running, mut holds: impl FnMut(&Value) -> bool) -> Vec<Value> {
    let mut told = Vec::new();
    agent.snapshot_where(|snapshot| {
        told.push(snapshot.clone());
        holds(snapshot)
    });
    told
}

/// Snapshots of so many seconds by their own time.
fn seconds(agent: &mut Running, seconds: u64) -> Vec<Value> {
    let mut first = None;
    until(agent, |snapshot| tick(snapshot) >= *first.get_or_insert(tick(snapshot)) + 1000 * seconds)
}

/// Holds a collector's ticks to the promise that each is there or told as missed.
#[track_caller]
fn assert_no_tick_is_lost(told: &[Value], collector: &str, interval: u64) {
    // The first is the start, off the grid or by chance on it. Who is behind, or late, is told in the tick of another: its own is the last
    // before it.
    // A tick near the start is passed over, and its reading may be told late too.
    let from = tick(&told[0]) + interval / 2;
    let of_it = |snapshot: &&Value| {
        let section = snapshot.get(collector);
        section.is_some_and(|section| section.get("_timestamp").map_or(tick(snapshot), milliseconds) >= from)
    };
    let ticks: BTreeSet<u64> = told[1..].iter().filter(of_it).map(|snapshot| tick(snapshot) / interval).collect();
    let [Some(first), Some(last)] = [ticks.first(), ticks.last()] else { panic!("no tick of {collector}") };
    let between = |snapshot: &&Value| (*first + 1..=*last).contains(&(tick(snapshot) / interval));
    let missed: Vec<u64> = told
        .iter()
        .filter(between)
        .flat_map(|snapshot| events(snapshot, "missed"))
        .filter(|event| event["collector"] == collector)
        .map(|event| event["count"].as_u64().unwrap())
        .collect();
    let (seen, due) = (ticks.len() as u64, last - first + 1);
    // A late reading may be told in a tick that was missed.
    let off = (seen + missed.iter().sum::<u64>()).abs_diff(due);
    assert!(off <= missed.len() as u64, "of {due} ticks of {collector} {seen} are there, missed are {missed:?}");
}

/// A script whose counter grows by another amount each time, for 2000 readings.
fn counting() -> String {
    let mut count = 0u64;
    (0..2000u64).fold(String::new(), |mut script, number| {
        count += number * number % 97;
        writeln!(script, "count={count} rows.a.count={count}").unwrap();
        script
    })
}

/// Holds growth to its windows: each rate times its window is what the counter grew by since the reading before, and the windows together
/// are the time between the first and the last reading.
#[track_caller]
fn assert_growth_is_whole(told: &[Value], collector: &str) {
    let sections: Vec<&Value> =
        told.iter().map(|snapshot| &snapshot[collector]).filter(|section| section["_status"] == "ok").collect();
    assert!(sections.len() > 2, "{}", sections.len());
    assert!(sections[0]["count_per_sec"].is_null() && sections[0].get("_window_seconds").is_none(), "{}", sections[0]);
    let mut windows = 0.0;
    for pair in sections.windows(2) {
        let [before, now] = [pair[0], pair[1]].map(|section| section["count"].as_u64().unwrap());
        let window = pair[1]["_window_seconds"].as_f64().unwrap();
        let grown = (now - before) as f64;
        for rate in [&pair[1]["count_per_sec"], &pair[1]["rows"]["a"]["count_per_sec"]] {
            let told = rate.as_f64().unwrap() * window;
            // A rate has four decimals.
            let rounded = window * 1e-4 + grown * 1e-6;
            assert!((told - grown).abs() <= rounded, "{told} is told and {grown} was read: {}", pair[1]);
        }
        windows += window;
    }
    let [first, last] = [sections[0], sections[sections.len() - 1]].map(|section| milliseconds(&section["_timestamp"]));
    let between = (last - first) as f64 / 1000.0;
    // The two clocks are read one after the other: a busy machine may let a moment pass in between.
    assert!((windows - between).abs() < 0.2, "windows of {windows} s in {between} s");
}

#[test]
fn two_intervals_in_one_agent_land_on_their_grids() {
    let site = mocked(
        "10ms",
        &counting(),
        "[collectors.slow]\nplugin = \"mock\"\ninterval = \"1s\"\nisolation = \"none\"\noptions = { script = \"script\" }\n",
    );
    let mut agent = site.start(["run"]);
    let told = seconds(&mut agent, 4);
    assert_eq!((told[0]["sequence"].as_u64(), assert_told_whole(&told)), (Some(0), 0));
    assert_eq!(events(&told[0], "start").count(), 1);
    assert!(told[0].get("mock").is_some() && told[0].get("slow").is_some() && told[0].get("agent").is_some());
    for snapshot in &told[1..] {
        assert!(tick(snapshot).is_multiple_of(10), "{snapshot}");
        assert_eq!(events(snapshot, "start").count(), 0, "{snapshot}");
    }
    assert_no_tick_is_lost(&told, "mock", 10);
    assert_no_tick_is_lost(&told, "slow", 1000);
    assert_growth_is_whole(&told, "mock");
    assert_growth_is_whole(&told, "slow");
}

#[test]
fn offset_moves_all_ticks() {
    let site = mocked("500ms", "value=1", "");
    let mut command = site.command(["run"]);
    command.env("PERFWATCH__AGENT__OFFSET", "130ms");
    let mut agent = Running::start(command);
    agent.snapshot();
    for _ in 0..4 {
        let snapshot = agent.snapshot_where(|snapshot| snapshot.get("mock").is_some());
        assert_eq!(tick(&snapshot) % 500, 130, "{snapshot}");
    }
}

#[test]
fn hosts_offset_is_the_same_at_every_start() {
    let offset = |site: &Site| {
        let mut command = site.command(["run"]);
        command.env("PERFWATCH__AGENT__OFFSET", "host").env("PERFWATCH__AGENT__HOST_ROOT", site.path("host"));
        let mut agent = Running::start(command);
        agent.snapshot();
        tick(&agent.snapshot_where(|snapshot| snapshot.get("mock").is_some())) % 500
    };
    let site = mocked("500ms", "value=1", "");
    site.write("host/etc/machine-id", "6f2b8c1d0e3a4f5b9c7d8e1f2a3b4c5d\n");
    let first = offset(&site);
    assert_eq!(offset(&site), first);
    site.write("host/etc/machine-id", "00000000000000000000000000000001\n");
    assert_ne!(offset(&site), first, "another host has another");
}

#[test]
fn pause_of_the_agent_is_told_and_not_made_up_for() {
    let mut agent = mocked("100ms", &counting(), "").start(["run"]);
    let mut told = seconds(&mut agent, 1);
    agent.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(3));
    agent.signal(Signal::CONT);
    told.extend(until(&mut agent, |snapshot| {
        events(snapshot, "missed").any(|event| event["count"].as_u64() >= Some(20))
    }));
    told.extend(seconds(&mut agent, 1));
    assert_eq!(assert_told_whole(&told), 0, "a missed tick is no lost snapshot");
    assert_no_tick_is_lost(&told, "mock", 100);
    assert_growth_is_whole(&told, "mock");
}

#[test]
fn snapshots_of_two_agents_join_by_equal_times() {
    let site = mocked("200ms", "value=1", "");
    let mut agents = [site.start(["run"]), site.start(["run"])];
    let mut told = agents.each_mut().map(|agent| seconds(agent, 3));
    assert_ne!(told[0][0]["run"], told[1][0]["run"]);
    let ticks = told.each_mut().map(|told| told.drain(1..).map(|snapshot| tick(&snapshot)).collect::<BTreeSet<u64>>());
    let both = ticks[0].intersection(&ticks[1]).count();
    assert!(both >= 5, "{ticks:?}");
}
