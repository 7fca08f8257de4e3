//! A collector is started in a child, read once and ended: what is said of it, and that nothing is left.

use std::sync::{Arc, Mutex};

use perfwatch::child::{Probe, Trial, probe, trial};
use perfwatch::snapshot::Status;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

pub(super) const TESTS: &[(&str, fn())] = &[
    ("collector_that_can_be_read_passes_and_how_it_stands_is_told", passes),
    ("collector_that_cannot_be_read_fails_in_the_words_of_its_section", fails),
    ("library_that_cannot_be_loaded_fails_in_a_probe_and_in_a_trial", unloadable),
    ("child_that_speaks_out_of_turn_fails", speaks_out_of_turn),
    ("probe_without_a_policy_may_do_what_the_agent_may", without_a_policy),
    ("what_a_probe_says_and_prints_is_logged_under_its_name", is_logged),
    ("probe_leaves_the_running_child_of_the_same_collector_alone", leaves_others_alone),
];

/// More than any step takes on a busy machine, and what is waited for a collector that hangs.
const PATIENCE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(300);

fn passed(site: &Site) -> Status {
    match probe(&site.start, &site.schema, DEADLINE) {
        Probe::Passed(status) => status,
        other => panic!("{other:?}"),
    }
}

fn failed(site: &Site, patience: Duration) -> String {
    match probe(&site.start, &site.schema, patience) {
        Probe::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

/// With the library that does a thing in its first reading.
fn wild(does: &str) -> Site {
    let mut site = Site::of(&built().test_plugins["perfwatch_wild"], tempfile::tempdir().unwrap(), None);
    site.start.options = format!("{{\"does\":{does:?},\"at\":\"collect\",\"after\":0}}");
    site
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Does it, and sees that no process, descriptor or thread is left of it.
fn leaving_nothing<T>(act: impl FnOnce() -> T) -> T {
    let before = (open_descriptors(), threads());
    let done = act();
    assert_eq!((open_descriptors(), threads()), before);
    let children = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
    assert_eq!(children.unwrap_err(), rustix::io::Errno::CHILD);
    done
}

fn passes() {
    for (script, expected) in [
        ("count=1", Status::Ok),
        ("rows.a.value=1 rows.b!=\"no answer\"", Status::Partial),
        ("part.cpufreq=\"not here\"", Status::Partial),
        ("unavailable=\"no sensor here\"", Status::Unavailable),
        ("new unavailable=\"no sensor here\"", Status::Unavailable),
        // What is no reading of it any more is not its business.
        ("count=1\nabort=1", Status::Ok),
        ("count=1\ndrop hang=1", Status::Ok),
    ] {
        assert_eq!(leaving_nothing(|| passed(&Site::mock(script))), expected, "{script}");
    }
}

fn fails() {
    for (script, patience, expected) in [
        ("error=\"no such device\"", PATIENCE, "no such device"),
        ("denied=\"needs CAP_X\"", PATIENCE, "needs CAP_X"),
        ("error=", PATIENCE, "it did not say why"),
        ("new error=\"no key\"", PATIENCE, "no key"),
        ("panic=ouch", PATIENCE, "panicked: ouch"),
        ("new panic=ouch", PATIENCE, "panicked: ouch"),
        ("exit=3", PATIENCE, "the child died: exit status: 3"),
        ("exit=0", PATIENCE, "the child died: exit status: 0"),
        ("abort=1", PATIENCE, "the child died: signal: 6 (SIGABRT)"),
        ("hang=1", SHORT, "no answer for 300ms"),
        ("new hang=1", SHORT, "no answer for 300ms"),
    ] {
        let told = leaving_nothing(|| failed(&Site::mock(script), patience));
        assert!(told.starts_with(expected), "{script}: {told}");
    }
    let told = leaving_nothing(|| failed(&wild("segv"), PATIENCE));
    assert!(told.starts_with("the child died: signal: 11 (SIGSEGV)"), "{told}");
    let long = Site::mock(&format!("error={}", "x".repeat(100_000)));
    assert!(failed(&long, PATIENCE).len() <= 4096);
}

fn unloadable() {
    let site = |name: &str| Site::of(&built().test_plugins[name], tempfile::tempdir().unwrap(), None);
    for (name, patience, probed, tried) in [
        ("perfwatch_no_module", PATIENCE, "it does not export", "it does not export"),
        ("perfwatch_aborts_on_load", PATIENCE, "the child died: signal: 6", "a process that loaded it died: signal: 6"),
        ("perfwatch_hangs_on_load", SHORT, "no answer for 300ms", "its constructors hung while it was loaded"),
    ] {
        let mut site = site(name);
        let told = leaving_nothing(|| failed(&site, patience));
        assert!(told.contains(probed), "{name}: {told}");
        site.start.policy = None;
        match leaving_nothing(|| trial(&site.start, patience)) {
            Trial::Failed(told) => assert!(told.contains(tried), "{name}: {told}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut good = Site::mock("abort=1");
    good.start.policy = None;
    assert!(matches!(leaving_nothing(|| trial(&good.start, DEADLINE)), Trial::Passed), "it is loaded, not read");
}

fn speaks_out_of_turn() {
    for (does, expected) in [
        ("socket_noise", "killed, as it sent garbage: "),
        ("socket_long", "killed, as it sent garbage: a message of 4294967299 bytes"),
        ("socket_lines", "killed, as it sent garbage: more log lines than one reading may have"),
        ("socket_zeros", "killed, as it sent garbage: an answer to request 0 instead of 1"),
        ("socket_half", "no answer for 300ms"),
        // Its answer cannot be written, and the child ends as it does when the agent has gone.
        ("socket_closed", "the child died: exit status: 0"),
    ] {
        let patience = if expected.starts_with("no answer") { SHORT } else { PATIENCE };
        let told = leaving_nothing(|| failed(&wild(does), patience));
        assert!(told.starts_with(expected), "{does}: {told}");
    }
}

fn without_a_policy() {
    let mut site = Site::mock("count=1\n");
    site.start.policy = Some(Policy::new(&terms(&Settings::default(), Without::default())));
    let told = failed(&site, PATIENCE);
    assert!(told.contains("Permission denied"), "the script is not granted: {told}");
    site.start.policy = None;
    assert_eq!(leaving_nothing(|| passed(&site)), Status::Ok);
    // What it forks has its socket and its pipe, too, and ends with it.
    let mut forks = wild("fork");
    forks.start.policy = None;
    assert_eq!(leaving_nothing(|| passed(&forks)), Status::Ok);
    fs::write(site.folder.path().join("script"), "abort=1\n").unwrap();
    // Without a budget, nothing is said of one.
    let told = failed(&site, PATIENCE);
    assert!(told.starts_with("the child died: signal: 6") && !told.contains("budget"), "{told}");
}

/// What was logged, as `collector: text`.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<String>>>);

impl Subscriber for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(format!("{}: {}", fields.collector, fields.message));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields {
    collector: String,
    message: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "collector" => self.collector = format!("{value:?}").trim_matches('"').to_owned(),
            _ => {}
        }
    }
}

fn is_logged() {
    let logged = Logged::default();
    tracing::subscriber::with_default(logged.clone(), || {
        assert_eq!(passed(&wild("log")), Status::Ok);
        assert_eq!(passed(&wild("stdout")), Status::Ok);
        failed(&Site::mock("print=\"last words\" hang=1"), Duration::from_secs(1));
    });
    let logged = logged.0.lock().unwrap();
    let count = |text: &str| logged.iter().filter(|line| line.starts_with(text)).count();
    assert_eq!(count("wild: flood"), 32 + 128, "{logged:?}");
    assert_eq!(count("wild: 268 more log lines at one reading are not told"), 1, "{logged:?}");
    assert_eq!(count("wild: 172 more lines were printed and are not told"), 1, "{logged:?}");
    assert_eq!(count("mock: last words"), 1, "{logged:?}");
}

/// Children that may start programs are in control groups, where there are any, and those are killed as a whole.
fn leaves_others_alone() {
    let library = &built().test_plugins["perfwatch_runs_programs"];
    let mut site = Site::of(library, tempfile::tempdir().unwrap(), None);
    site.start.options = "{\"program\":\"/bin/sleep\"}".into();
    let grants = [Read::parse("exec:/bin/sleep").unwrap()];
    site.start.policy = Some(Policy::new(&Terms {
        collector: "runs_programs",
        reads: &grants,
        grants: &grants,
        ..terms(&Settings::default(), Without::default())
    }));
    let mut running = site.spawn();
    running.taken();
    assert_eq!(running.frame.outcome, ErrorKind::NONE, "{:?}", String::from_utf8_lossy(running.frame.message()));
    assert_eq!(passed(&site), Status::Ok);
    running.taken();
    assert_eq!(running.frame.outcome, ErrorKind::NONE);
}
