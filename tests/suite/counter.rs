//! The counter of allocations counts: what the promise of none rests on.

use std::process::Command;

use harness::{Allocations, Running};

/// Allocations of a shell that adds `words` words to its list of arguments.
fn allocations(words: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("set -- {}; echo", "word ".repeat(words))]);
    let counted = Allocations::count(&mut shell, folder.path().join("allocations"));
    assert!(Running::start(shell).wait().status.success());
    counted.so_far()
}

#[test]
fn every_allocation_of_a_process_is_counted() {
    let (few, many) = (allocations(10), allocations(5010));
    assert!(many > few + 50, "{few} for 10 words, {many} for 5010");
}
