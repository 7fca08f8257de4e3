//! In the steady state a tick allocates nothing: not the agent, not its sink's worker, not the collectors that read the kernel.
//!
//! A program of its own, which cargo runs by itself: beside a hundred other agents a sink falls behind, and what waits in its queue is
//! memory that the pools have to get.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::path::Path;

use harness::Site;
use serde_json::Value;

/// Ticks until every buffer has its size and every thread has started.
const WARM_UP: usize = 50;
const TICKS: usize = 100;
/// Lines that the agent may be ahead of what was read when its allocations are looked at.
const AHEAD: usize = 10;
/// A busy machine makes calls late, which is told and so allocates: another hundred ticks are tried.
const TRIES: usize = 20;
/// Not all that changes is told: a file system that is mounted somewhere is a new row. So of so many hundreds the best counts; what
/// is allocated each tick, or each tenth, is in all of them.
const HUNDREDS: usize = 3;

/// Allocations of the agent and all its threads during [`TICKS`] ticks in which nothing happened, and what is known of the latest.
fn allocations_of_ticks(site: &Site) -> (u64, String) {
    let (mut agent, allocations) = site.start_counted(["run"]);
    let mut calm = |ticks| (0..ticks).filter(|_| !is_calm(&agent.snapshot())).count() == 0;
    calm(WARM_UP);
    let mut counts = Vec::new();
    for _ in 0..TRIES {
        let before = allocations.so_far();
        let calm_between = calm(TICKS);
        let (after, latest) = (allocations.so_far(), allocations.latest());
        if calm(AHEAD) && calm_between {
            counts.push((after - before, latest));
        }
        if counts.len() == HUNDREDS || counts.last().is_some_and(|(count, _)| *count == 0) {
            break;
        }
    }
    let least = counts.into_iter().min();
    least.unwrap_or_else(|| {
        panic!("something happened in each of {TRIES} times {TICKS} ticks; it said:\n{}", agent.stderr())
    })
}

/// Nothing is told but readings.
fn is_calm(snapshot: &Value) -> bool {
    let sections = snapshot.as_object().into_iter().flatten().filter(|(_, section)| section.get("_status").is_some());
    snapshot.get("_events").is_none() && sections.into_iter().all(|(_, section)| section["_status"] == "ok")
}

fn with_mock(script: &str) -> Site {
    let site = Site::new();
    site.plugin("mock");
    site.write("script", script);
    site.config(
        "[agent]\ninterval = \"20ms\"\ncollect = \"named\"\n\
         [collectors.mock]\nisolation = \"none\"\noptions = { script = \"script\" }\n",
    );
    site
}

#[test]
fn a_tick_of_numbers_texts_and_rows_allocates_nothing() {
    let site = with_mock("value=1.5 count=1 text=some state=1 rows.eth0.count=1 rows.eth0.text=some rows.eth1.value=2");
    let (count, latest) = allocations_of_ticks(&site);
    assert_eq!(count, 0, "{latest}");
}

#[test]
fn one_allocation_a_tick_is_seen() {
    let (count, _) = allocations_of_ticks(&with_mock("value=1.5 allocate=1"));
    assert!(count.abs_diff(TICKS as u64) <= AHEAD as u64, "{count} in {TICKS} ticks");
}

#[test]
fn the_collectors_of_the_kernel_allocate_nothing() {
    let site = Site::new();
    let mut names = vec!["cpu", "disk", "memory", "network"];
    // One that has nothing here is made anew ever more seldom, which does allocate.
    names.extend(Path::new("/proc/pressure/cpu").exists().then_some("pressure"));
    for name in names {
        site.bundled(name);
    }
    site.config("[agent]\ninterval = \"50ms\"\n");
    let (count, latest) = allocations_of_ticks(&site);
    assert_eq!(count, 0, "{latest}");
}

#[test]
fn a_tick_of_a_thousand_collectors_allocates_nothing() {
    let site = Site::new();
    site.plugin("mock");
    site.write("script", "value=1.5 count=1");
    let mut config = "[agent]\ninterval = \"100ms\"\ncollect = \"named\"\n".to_owned();
    for number in 0..1000 {
        config += &format!(
            "[collectors.c{number}]\nplugin = \"mock\"\nisolation = \"none\"\noptions = {{ script = \"script\" }}\n"
        );
    }
    site.config(&config);
    let (count, latest) = allocations_of_ticks(&site);
    assert_eq!(count, 0, "{latest}");
}
