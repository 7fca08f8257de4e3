//! A host that is short of everything, or whose files have names that were made to deceive: a message, never a panic.

use harness::{Finished, Running, Site};

/// Runs `perfwatch` under a limit of the shell's `ulimit`.
fn limited(site: &Site, limit: &str, arguments: &[&str]) -> Finished {
    // Where it gets as far as its first line, it ends because nobody reads it.
    let (agent, unread) = Running::start_unread(site.limited(limit, arguments));
    drop(unread);
    agent.wait()
}

#[test]
fn descriptors_that_run_out_are_told_wherever_that_is() {
    let site = Site::new();
    site.plugin("mock");
    site.write("script", "value=1");
    site.config("[collectors.mock]\noptions = { script = \"script\" }\n");
    // Below, the dynamic linker cannot start the agent; from some number on, there are enough.
    for count in 4..24 {
        let finished = limited(&site, &format!("-n {count}"), &["run"]);
        let told = finished.stderr.contains("open files") || finished.stderr.contains("Error 24");
        assert!(matches!(finished.code(), 0 | 1 | 69 | 127), "{count} descriptors: {finished}");
        assert!(told || finished.code() == 0, "{count} descriptors: {finished}");
    }
}

fn assert_fit_for_a_terminal(finished: &Finished) {
    for text in [&finished.stdout, &finished.stderr] {
        assert!(!text.chars().any(|one| one.is_control() && one != '\n'), "{text:?}");
        assert!(text.lines().all(|line| !line.starts_with("FAKE")), "{text:?}");
    }
}

#[test]
fn names_of_libraries_command_no_terminal_and_fake_no_line() {
    let site = Site::new();
    let good = site.plugin("mock");
    std::fs::rename(good, site.path("plugins/libperfwatch_a\u{1b}[31m\nFAKE\u{9b}1m.so")).unwrap();
    site.plugin("mock");
    site.write("plugins/libperfwatch_b\u{1b}[31m\nFAKE\r.so", "no library");
    let list = site.output(["plugins", "list"]);
    assert!(list.stdout.contains("libperfwatch_a\\u001b[31m\\u000aFAKE\\u009b1m.so "), "{list}");
    assert!(list.stderr.contains("libperfwatch_b\\u001b[31m\\u000aFAKE\\u000d.so: "), "{list}");
    assert_fit_for_a_terminal(&list);
    for arguments in [&["plugins", "inspect", "mock"][..], &["check"], &["once", "--window", "10ms"]] {
        assert_fit_for_a_terminal(&site.output(arguments));
    }
}
