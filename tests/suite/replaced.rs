//! What happens to a plugin's file while its library is loaded does not happen to the agent.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use harness::{Running, Site};
use rustix::process::Signal;

fn with_mock() -> Site {
    let site = Site::new();
    site.write("script", "value=1.5");
    site.config(
        "[agent]\ninterval = \"50ms\"\ncollect = \"named\"\n[collectors.mock]\noptions = { script = \"script\" }\n",
    );
    site
}

/// Its own copy of the library: what the tests do to it must not reach the one that cargo built.
fn copied(built: &Path) {
    let bytes = fs::read(built).unwrap();
    fs::remove_file(built).unwrap();
    fs::write(built, bytes).unwrap();
}

/// It goes on, and its library's code still runs: to the very end, where the collector is dropped.
fn goes_on(mut agent: Running) {
    for _ in 0..10 {
        agent.snapshot_where(|snapshot| snapshot["mock"]["value"] == 1.5);
    }
    agent.signal(Signal::TERM);
    let finished = agent.wait();
    assert_eq!(finished.code(), 0, "{finished}");
}

#[test]
fn library_that_is_written_over_while_it_runs_goes_on_as_it_was() {
    let site = with_mock();
    let library = site.plugin("mock");
    copied(&library);
    let mut agent = site.start(["run"]);
    agent.snapshot_where(|snapshot| snapshot["mock"]["value"] == 1.5);
    // As `cp` does it: the file keeps its inode, and its bytes are others.
    let size = fs::metadata(&library).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(&library).unwrap();
    file.write_all(&vec![0xcc; usize::try_from(size).unwrap()]).unwrap();
    goes_on(agent);
}

#[test]
fn library_that_is_cut_while_it_runs_goes_on_as_it_was() {
    let site = with_mock();
    let library = site.plugin("mock");
    copied(&library);
    let mut agent = site.start(["run"]);
    agent.snapshot_where(|snapshot| snapshot["mock"]["value"] == 1.5);
    OpenOptions::new().write(true).open(&library).unwrap().set_len(0).unwrap();
    goes_on(agent);
}

#[test]
fn bundled_library_that_is_replaced_by_a_rename_goes_on_as_it_was() {
    let site = with_mock();
    let library = site.path("bin/libperfwatch_mock.so");
    fs::rename(site.plugin("mock"), &library).unwrap();
    let mut agent = site.start(["run"]);
    agent.snapshot_where(|snapshot| snapshot["mock"]["value"] == 1.5);
    fs::rename(site.write("new.so", "a newer one"), &library).unwrap();
    goes_on(agent);
}
