//! `perfwatch plugins test`: good plugins pass, each kind of fault has its sentence, and a library that kills its process kills no more.

use std::path::Path;

use harness::{Finished, Site, built};
use serde_json::{Value, json};

fn examine(site: &Site, library: &Path, more: &[&str]) -> Finished {
    let library = library.to_str().unwrap();
    site.output(["plugins", "test", library].into_iter().chain(more.iter().copied()))
}

/// The report as JSON; the exit code is the one that goes with it.
fn report(site: &Site, library: &Path, more: &[&str]) -> Value {
    let finished = examine(site, library, &[more, &["--report", "json"]].concat());
    let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished}"));
    assert_eq!(finished.code() == 0, report["verdict"] == "passed", "{finished}");
    report
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

/// All that was found in a check, and what to change.
fn told(report: &Value, name: &str) -> String {
    let findings = check(report, name)["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| format!("{} -> {}\n", finding["what"].as_str().unwrap(), finding["change"].as_str().unwrap()))
        .collect()
}

fn site_with_options(options: &str) -> (Site, String) {
    let site = Site::new();
    let path = site.write("desk.toml", options);
    (site, path.to_str().unwrap().to_owned())
}

fn test_plugin(name: &str) -> &'static Path {
    &built().test_plugins[&format!("perfwatch_{name}")]
}

#[test]
fn plugins_that_come_with_the_agent_pass() {
    let site = Site::new();
    for name in ["memory", "cpu", "disk", "network", "system", "pressure", "textfile", "exec"] {
        let cases = harness::root().join("plugins").join(name).join("testcases");
        let library = &built().plugins[&format!("perfwatch_{name}")];
        let finished = examine(&site, library, &["--testcases", cases.to_str().unwrap()]);
        assert_eq!(finished.code(), 0, "{finished}");
        assert!(finished.stdout.starts_with(&format!("{name} (contract 1.")), "{finished}");
        assert!(finished.stdout.lines().any(|line| line.starts_with("good")), "{finished}");
        // Paths of the host's own are what a sandboxed child asks for: seen by the tracer, and covered by `reads`.
        assert!(finished.stdout.contains("\npassed   sandbox "), "{finished}");
        assert!(finished.stdout.contains("\npassed   reads "), "{finished}");
        assert!(finished.stdout.contains("\npassed   testcases "), "{finished}");
    }
}

#[test]
fn each_fault_of_a_careless_plugin_is_told_with_what_to_change() {
    let site = Site::new();
    let file = site.write("words", "one two");
    let options = site.write("desk.toml", format!("file = {file:?}\n"));
    let report = report(&site, test_plugin("careless"), &["--options", options.to_str().unwrap()]);
    let file = file.to_str().unwrap();
    let allow = format!("`reads = [\"{file}\"]` in its plugin.toml would ask for it");
    for (name, verdict, sentences) in [
        ("loads", "passed", vec![]),
        ("read_in_agent", "passed", vec![]),
        ("read_in_child", "passed", vec![]),
        ("same_in_both", "failed", vec!["words has a value in the agent, and never in its sandbox"]),
        ("declared", "remark", vec!["readings: count, forgotten", "take it out of plugin.toml"]),
        ("types", "failed", vec!["count was set to what its declaration does not allow"]),
        ("time", "failed", vec!["it is given up at its timeout", "declare `timeout` in plugin.toml"]),
        ("cpu", "failed", vec!["over its budget", "declare `budget = { cpu = ... }`"]),
        ("memory", "failed", vec!["KiB more after "]),
        ("threads", "failed", vec!["more after ", "end them with it"]),
        ("descriptors", "failed", vec!["more after ", "close what a reading opens"]),
        ("processes", "passed", vec![]),
        ("output", "failed", vec!["it prints: \"reading 0\"", "host.log"]),
        ("sandbox", "failed", vec![&allow, "could not make a socket for tcp", "`reads = [\"tcp:9\"]`"]),
        ("reads", "remark", vec!["does not name: \"/proc/loadavg\""]),
        ("other_root", "remark", vec!["although its host is elsewhere: /proc/loadavg"]),
        ("files_missing", "failed", vec!["/proc/sys/fs/file-nr is missing: files_open is 0, where it was "]),
        ("files_empty", "failed", vec!["/proc/uptime is empty: it panics: panicked: a number"]),
        ("files_garbage", "failed", vec!["/proc/uptime is garbage: it panics: panicked: text"]),
        ("files_huge", "passed", vec![]),
        ("counters_fall", "failed", vec!["when counters fall, switches_per_sec is -", "checked_sub"]),
        ("over_budget", "skipped", vec![]),
        ("options_at_limits", "failed", vec!["`step = 10`: it panics: panicked: no such step", "narrow option `step`"]),
        ("options_beyond", "passed", vec![]),
        ("testcases", "skipped", vec![]),
    ] {
        let told = told(&report, name);
        assert_eq!(check(&report, name)["verdict"], verdict, "{name}: {told}");
        sentences.iter().for_each(|sentence| assert!(told.contains(sentence), "{name}: {sentence}: {told}"));
    }
    assert_eq!((&report["plugin"], &report["contract"]), (&json!("careless"), &json!("1.0")));
    let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == "failed").count();
    assert_eq!(report["counts"]["failed"], failed);
}

#[test]
fn library_that_kills_its_process_or_hangs_is_named_and_the_report_goes_on() {
    for (does, sentence) in [
        ("segv", "at reading 1: it crashed: signal: 11 (SIGSEGV)"),
        ("exit_0", "at reading 1: it ended its process with exit code 0"),
        ("panic", "reading 1 is an error: panicked: lost my head"),
        ("hang", "no answer to reading 1 for 2s: killed"),
    ] {
        let (site, options) = site_with_options(&format!("does = \"{does}\""));
        let report = report(&site, test_plugin("wild"), &["--options", &options]);
        let told = told(&report, "read_in_agent");
        assert!(told.contains(sentence), "{does}: {told}");
        // What comes after it was still asked.
        assert_eq!(check(&report, "testcases")["verdict"], "skipped", "{does}");
    }
}

/// Waits for what a process does, and gives up after long.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn nothing_is_left_of_a_plugin_that_leaves_processes_and_it_is_told() {
    let (site, options) = site_with_options("does = \"fork\"");
    let report = report(&site, test_plugin("wild"), &["--options", &options]);
    let told = told(&report, "processes");
    assert!(told.contains("processes were left of it after") && told.contains("wait for each process"), "{told}");
}

#[test]
fn signal_in_the_middle_ends_it_with_its_child_and_its_temporary_files() {
    let site = Site::new();
    site.write("testcases/hangs/options.toml", "does = \"hang\"\n");
    site.write("testcases/hangs/0/proc/uptime", "1 1\n");
    let cases = site.path("testcases");
    let temporary = site.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = std::process::Command::new(&built().agent);
        command.args([
            "plugins",
            "test",
            test_plugin("wild").to_str().unwrap(),
            "--testcases",
            cases.to_str().unwrap(),
        ]);
        command.env("TMPDIR", &temporary).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let tester = command.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", tester.id());
        let child = || std::fs::read_to_string(&children).unwrap_or_default();
        let in_reading = || {
            let child = child();
            let name = std::fs::read_to_string(format!("/proc/{}/comm", child.trim())).unwrap_or_default();
            name.trim() == "wild" && std::fs::read_dir(&temporary).unwrap().count() == 1
        };
        until("a child that goes by the plugin's name reads the copy of a testcase's host", in_reading);
        let its = child();
        let killed =
            std::process::Command::new("kill").args([&format!("-{signal}"), &tester.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let output = tester.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(&format!("ended by SIG{signal} in the middle")), "{said}");
        assert!(!Path::new("/proc").join(its.trim()).exists(), "the child {its} lives");
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    }
}

#[test]
fn signal_ends_it_while_it_waits_for_a_file_that_nobody_writes() {
    let site = Site::new();
    let fifo = site.path("options");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let tester = std::process::Command::new(&built().agent)
        .args(["plugins", "test", test_plugin("wild").to_str().unwrap(), "--options", fifo.to_str().unwrap()])
        .spawn()
        .unwrap();
    // Of its threads one listens, and the first comes to open(2) and to no end.
    let threads = format!("/proc/{}/task", tester.id());
    until("it listens to signals", || std::fs::read_dir(&threads).is_ok_and(|threads| threads.count() > 1));
    assert!(std::process::Command::new("kill").arg(tester.id().to_string()).status().unwrap().success());
    assert_eq!(tester.wait_with_output().unwrap().status.code(), Some(143));
}

#[test]
fn library_that_needs_a_newer_glibc_is_told_which_and_where_to_build_it() {
    let site = Site::new();
    let mut bytes = std::fs::read(test_plugin("careless")).unwrap();
    let (old, new) = (b"GLIBC_2.34\0", b"GLIBC_2.99\0");
    let places: Vec<_> = (0..bytes.len() - old.len()).filter(|&at| bytes[at..].starts_with(old)).collect();
    assert!(!places.is_empty(), "it was linked against a glibc that has no 2.34");
    places.iter().for_each(|&at| bytes[at..at + new.len()].copy_from_slice(new));
    // The hash by which the dynamic linker compares (ELF's) stands beside the name.
    let hash = |name: &[u8]| {
        name.iter().fold(0u32, |hash, &byte| {
            let hash = (hash << 4) + u32::from(byte);
            let high = hash & 0xf000_0000;
            (hash ^ (high >> 24)) & !high
        })
    };
    let (old, new) = (hash(b"GLIBC_2.34").to_le_bytes(), hash(b"GLIBC_2.99").to_le_bytes());
    let at = (0..bytes.len() - 4).find(|&at| bytes[at..].starts_with(&old)).unwrap();
    bytes[at..at + 4].copy_from_slice(&new);
    let library = site.write("libperfwatch_careless.so", bytes);
    let finished = examine(&site, &library, &[]);
    assert_eq!(finished.code(), 69, "{finished}");
    let sentence = "it needs glibc 2.99, and this machine's C library is older: build it on the oldest machine that it shall run on";
    assert!(finished.stdout.contains(sentence), "{finished}");
}

#[test]
fn testcase_of_a_library_is_written_where_that_is_asked_for_and_passes_then() {
    let site = Site::new();
    let script = site.write("script", "count=1 text=x");
    site.write("testcases/new/options.toml", format!("script = {script:?}\n"));
    site.write("testcases/new/0/proc/uptime", "1 1\n");
    let cases = site.path("testcases");
    let arguments = ["--testcases", cases.to_str().unwrap()];
    let before = report(&site, test_plugin("mock"), &arguments);
    assert!(
        told(&before, "testcases").contains("`UPDATE_GOLDEN=1 perfwatch plugins test FILE` write it"),
        "{before:#}"
    );
    let written = std::process::Command::new(&built().agent)
        .args(["plugins", "test", test_plugin("mock").to_str().unwrap()])
        .args(arguments)
        .env("UPDATE_GOLDEN", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&written.stdout);
    assert!(said.contains("1 of 1 written anew"), "{said}");
    let json = std::fs::read_to_string(site.path("testcases/new/0/expected.json")).unwrap();
    assert!(json.contains("\"count\": 1"), "{json}");
    assert_eq!(check(&report(&site, test_plugin("mock"), &arguments), "testcases")["verdict"], "passed");
}

#[test]
fn file_that_cannot_be_loaded_is_told_in_one_sentence_with_69() {
    let site = Site::new();
    let text = site.write("libperfwatch_text.so", "no library");
    for (library, sentence) in [
        (text.as_path(), "not an ELF file, so no shared library"),
        (Path::new("/no/library.so"), "name the library that the build has made"),
        (test_plugin("newer_contract"), "contract"),
        (test_plugin("no_module"), "is perfwatch_plugin! called in it"),
        (test_plugin("aborts_on_load"), "a process that loaded it died: signal: 6 (SIGABRT)"),
    ] {
        let finished = examine(&site, library, &["--report", "json"]);
        assert_eq!(finished.code(), 69, "{finished}");
        let report: Value = serde_json::from_str(&finished.stdout).unwrap();
        assert_eq!(check(&report, "loads")["verdict"], "failed");
        assert!(told(&report, "loads").contains(sentence), "{sentence}: {report:#}");
    }
}

#[test]
fn options_that_have_to_be_given_are_asked_for_or_taken_from_a_testcase() {
    let site = Site::new();
    let without = report(&site, test_plugin("mock"), &[]);
    let why = check(&without, "readings");
    assert_eq!(
        (why["verdict"].as_str(), why["seen"].as_str()),
        (Some("skipped"), Some("it needs options: give a file with `script = ...` to --options"))
    );
    // With its own: rows, a part that fails, and a case that is right beside one that is not.
    let script =
        site.write("script", "count=1 text=x rows.a.value=1 rows.b.value=2 rows.c.value=3 rows.d!=\"no answer\"");
    for (case, expected) in [
        ("good", json!({ "_status": "partial", "_errors": { "rows": { "d": "no answer" } } })),
        ("wrong", json!({ "_status": "ok" })),
    ] {
        site.write(format!("testcases/{case}/options.toml"), format!("script = {script:?}\n"));
        site.write(format!("testcases/{case}/0/expected.json"), expected.to_string());
    }
    let cases = site.path("testcases");
    let given = report(&site, test_plugin("mock"), &["--testcases", cases.to_str().unwrap()]);
    assert_eq!(given["options"], "options and host of its testcase good");
    let told_of = |name| told(&given, name);
    assert!(told_of("read_in_agent").contains("a part or row failed: rows.d: no answer"), "{given:#}");
    assert_eq!(check(&given, "over_budget")["verdict"], "passed", "{given:#}");
    assert_eq!(check(&given, "testcases")["verdict"], "failed");
    let cases = told_of("testcases");
    assert!(cases.contains("wrong: step 0: /_status: expected \"ok\", found \"partial\""), "{cases}");
    let (site, options) = site_with_options("scrip = \"x\"");
    let finished = examine(&site, test_plugin("mock"), &["--options", &options]);
    assert_eq!(finished.code(), 2, "{finished}");
    assert!(finished.stderr.contains("desk.toml:1:") && finished.stderr.contains("script"), "{finished}");
}
