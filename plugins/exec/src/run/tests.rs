use super::*;

fn shell(script: &str) -> Program {
    let args = ["-c", script].map(str::to_owned);
    Program::new("/bin/sh".into(), &args, [("GREETING".to_owned(), "hello".to_owned())]).unwrap()
}

fn long() -> Duration {
    Duration::from_secs(60)
}

/// Waits until a process has ended: outside of a child it is somebody else's to bury.
#[track_caller]
fn assert_ends(number: &str) {
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    let until = Instant::now() + long();
    while lives() {
        assert!(Instant::now() < until, "{number} lives on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_it_prints_and_how_it_ends_is_told() {
    let ran = shell("echo out; echo first >&2; echo second >&2; exit 3").run(long(), "").unwrap();
    assert_eq!((&*ran.output, ran.status.code(), &*ran.complaint.unwrap()), (&b"out\n"[..], Some(3), "first"));
    let ran = shell("kill -9 $$").run(long(), "").unwrap();
    assert_eq!((ran.status.code(), ran.complaint), (None, None));
}

#[test]
fn its_environment_is_what_is_said_and_its_input_is_empty() {
    let ran = shell("cat; pwd; env").run(long(), "").unwrap();
    let output = String::from_utf8(ran.output).unwrap();
    let names: Vec<&str> = output.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert!(output.starts_with("/\n") && output.contains("GREETING=hello\n"), "{output}");
    assert!(
        names.iter().all(|name| ["GREETING", "PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)),
        "{output}"
    );
}

#[test]
fn what_runs_for_too_long_is_killed_with_all_that_it_started() {
    let script = "sleep 1000 & echo $! >&2; wait";
    let error = shell(script).run(Duration::from_millis(300), "wait").unwrap_err().chain();
    let (words, child) = error.split_once("; it said: ").unwrap();
    assert_eq!(words, "/bin/sh had run for 300ms and was killed with all that it started: make it quicker, or wait");
    assert_ends(child);
}

#[test]
fn what_it_leaves_behind_is_killed_and_not_waited_for() {
    let ran = shell("sleep 1000 & echo $!").run(long(), "").unwrap();
    assert_ends(String::from_utf8(ran.output).unwrap().trim());
}

#[test]
fn flood_is_cut_off_and_complaints_are_not_kept() {
    let error = shell("yes").run(long(), "").unwrap_err().chain();
    assert!(error.starts_with("/bin/sh was killed, as it printed more than 1 MiB"), "{error}");
    let ran = shell("head -c 3000000 /dev/zero >&2; head -c 1048576 /dev/zero").run(long(), "").unwrap();
    assert_eq!((ran.status.code(), ran.output.len()), (Some(0), OUTPUT_MAX));
}

#[test]
fn what_cannot_be_run_says_why() {
    let error = |path: &str| match Program::new(path.into(), &[], []) {
        Ok(mut program) => program.run(long(), "").unwrap_err().chain(),
        Err(error) => error.chain(),
    };
    assert_eq!(error("df"), "`program` is `df`, which is no absolute path: write the one that `command -v df` shows");
    assert_eq!(error("/nowhere/df"), "could not run /nowhere/df: No such file or directory (os error 2)");
    assert_eq!(error("/etc/passwd"), "could not run /etc/passwd: Permission denied (os error 13)");
}

#[test]
fn line_that_says_most_is_the_first_and_of_a_traceback_the_last() {
    assert_eq!(telling(b"\n  one \ntwo\n").unwrap(), "one");
    assert_eq!(telling(b"Traceback (most recent call last):\n  File x\nKeyError: 'a'\n").unwrap(), "KeyError: 'a'");
    assert_eq!(telling(b" \n"), None);
    assert_eq!(telling("\u{fc}".repeat(500).as_bytes()).unwrap().chars().count(), LINE_MAX);
}
