//! The agent inside another program: the example as it is, and a stream in this very process.

use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;

use harness::{DEADLINE, Running, Site};
use perfwatch::agent::Agent;
use perfwatch::config::layers::FILE_VARIABLE;
use perfwatch::setup::SetupError;
use perfwatch::snapshot::{Snapshot, Status};

/// Runs it on a thread of its own, with a runtime, and gives up at the deadline.
fn awaited<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (done, result) = channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // The test may have given up.
        let _ = done.send(runtime.block_on(future));
    });
    result.recv_timeout(DEADLINE).expect("it ends, and does not panic")
}

/// A configuration of one mock, found in the folders of the site alone.
fn config(site: &Site, more: &str) -> String {
    let script = site.write("script", "count=1\ncount=2\ncount=3\n");
    let (plugins, state) = (site.path("plugins"), site.path("state"));
    format!(
        "[agent]\ninterval = \"50ms\"\ncollect = \"named\"\nplugin_dirs = [{plugins:?}]\nstate_dir = {state:?}\n\
         [collectors.mock]\nisolation = \"none\"\noptions = {{ script = {script:?} }}\n{more}"
    )
}

fn count(snapshot: &Snapshot) -> Option<u64> {
    let section = snapshot.sections.iter().find(|section| &*section.name == "mock").expect("mock is due at every tick");
    assert_eq!(section.status, Status::Ok, "{}", section.error);
    let place = section.schema.manifest.metrics.iter().position(|metric| metric.name == "count").unwrap();
    section.frame.cells()[place].as_u64()
}

#[test]
fn example_prints_three_snapshots_and_ends() {
    let site = Site::new();
    site.bundled("memory");
    let config = site.config("[agent]\ninterval = \"100ms\"\n");
    let mut command = site.example("embed", [&config]);
    command.env_remove(FILE_VARIABLE);
    let ended = Running::start(command).wait();
    assert_eq!(ended.code(), 0, "{ended}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let memory: Vec<_> = lines.iter().filter(|line| line.contains(" memory {")).collect();
    assert_eq!(memory.len(), 3, "{ended}");
    assert!(memory.iter().all(|line| line.contains("\"total_bytes\":")), "{ended}");
    assert_eq!(lines.last(), Some(&"ended, lost 0: clean"), "{ended}");
}

#[test]
fn stream_has_every_snapshot_in_its_order_and_ends_with_the_agent() {
    let site = Site::new();
    site.plugin("mock");
    let config = config(&site, "");
    awaited(async move {
        let (agent, mut snapshots) = Agent::from_text(&config).unwrap();
        for wanted in 0..3 {
            let snapshot = snapshots.next().await.expect("it runs");
            assert_eq!((snapshot.sequence, count(&snapshot)), (wanted, Some(wanted + 1)));
        }
        assert!(agent.stopped().await.unwrap().is_clean());
        while snapshots.next().await.is_some() {}
        assert_eq!(snapshots.lost(), 0);
    });
}

#[test]
fn dropped_agent_ends_as_well() {
    let site = Site::new();
    site.plugin("mock");
    let config = config(&site, "");
    awaited(async move {
        let (agent, mut snapshots) = Agent::from_text(&config).unwrap();
        drop(agent);
        while snapshots.next().await.is_some() {}
    });
}

#[test]
fn file_sink_of_an_embedded_agent_writes_and_standard_output_is_left_to_the_program() {
    let site = Site::new();
    site.plugin("mock");
    let path = site.path("snapshots.jsonl");
    let config =
        config(&site, &format!("[sinks.out]\ntype = \"stdout\"\n[sinks.archive]\ntype = \"file\"\npath = {path:?}\n"));
    awaited(async move {
        let (agent, mut snapshots) = Agent::from_text(&config).unwrap();
        snapshots.next().await.expect("it runs");
        assert!(agent.stopped().await.unwrap().is_clean());
    });
    let written = std::fs::read_to_string(site.path("snapshots.jsonl")).unwrap();
    assert!(written.lines().count() > 0 && written.ends_with('\n'), "{written}");
}

#[test]
fn what_cannot_be_started_says_why() {
    let refused = |config: &str| Agent::from_text(config).map(|_| ()).unwrap_err();
    let wrong = refused("[agent]\nintervall = \"1s\"\n");
    assert!(matches!(wrong, SetupError::Config(_)));
    assert!(wrong.to_string().contains("config:2:1: "), "{wrong}");
    let locked = refused("[agent]\nrequire_lock = true\n").to_string();
    assert!(locked.contains("config:2:16: a config that is no file has no plugins.lock beside it"), "{locked}");
    let empty = Site::new();
    let named = format!("[agent]\ncollect = \"named\"\nplugin_dirs = [{:?}]\n", empty.path("plugins"));
    assert!(matches!(refused(&named), SetupError::Unavailable(_)));
    let missing = Agent::from_config(Path::new("/nowhere/perfwatch.toml")).map(|_| ()).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/perfwatch.toml"), "{missing}");
}
