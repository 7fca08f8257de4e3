//! A collector in a process of its own: real children of this very program, which begins as the agent's does, with real
//! libraries in them. A program without libtest: a child is its executable run again, and has to get into its main.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(clippy::print_stdout, reason = "a test program's own output")]

mod probes;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use harness::{DEADLINE, built};
use perfwatch::child::keep::{Keeper, News, Ward};
use perfwatch::child::sandbox::{Terms, Without};
use perfwatch::child::{self, Born, Family, Heard, Line, Policy, Printed, Start, Taken};
use perfwatch::plugin::known::{Bundled, Known};
use perfwatch::plugin::trust::Authority;
use perfwatch::schedule::far::{Answers, Arrivals};
use perfwatch::snapshot::Schema;
use perfwatch::stop;
use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::manifest::Read;
use plugin_api::host_side::options::Settings;
use plugin_api::{ErrorKind, Level};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

const TESTS: &[(&str, fn())] = &[
    ("reading_of_a_child_is_the_plugins_own", reading_of_a_child_is_the_plugins_own),
    ("instance_stays_and_is_made_anew_after_a_panic", instance_stays_and_is_made_anew_after_a_panic),
    ("constructor_that_fails_is_the_answer_to_each_request", constructor_that_fails_is_the_answer_to_each_request),
    ("library_that_cannot_be_loaded_is_the_answer", library_that_cannot_be_loaded_is_the_answer),
    (
        "what_the_sandbox_refused_is_said_with_what_would_end_it",
        what_the_sandbox_refused_is_said_with_what_would_end_it,
    ),
    ("what_the_kernel_lacks_is_said_once", what_the_kernel_lacks_is_said_once),
    ("sandbox_that_is_required_and_lacking_is_the_answer", sandbox_that_is_required_and_lacking_is_the_answer),
    ("largest_reading_comes_whole", largest_reading_comes_whole),
    ("what_a_plugin_prints_does_not_meet_the_protocol", what_a_plugin_prints_does_not_meet_the_protocol),
    ("killed_child_is_gone", killed_child_is_gone),
    ("child_that_exits_in_a_call_is_gone", child_that_exits_in_a_call_is_gone),
    ("end_of_its_socket_ends_the_child", end_of_its_socket_ends_the_child),
    ("hanging_child_dies_with_its_parent", hanging_child_dies_with_its_parent),
    ("child_has_a_name_a_group_and_nothing_of_the_agents", child_has_a_name_a_group_and_nothing_of_the_agents),
    (
        "options_that_are_too_long_are_refused_and_leave_nothing_open",
        options_that_are_too_long_are_refused_and_leave_nothing_open,
    ),
    ("longest_options_arrive", longest_options_arrive),
    ("guard_started_by_hand_kills_nobody", guard_started_by_hand_kills_nobody),
    (
        "child_that_is_wanted_again_before_the_last_has_ended_comes",
        child_that_is_wanted_again_before_the_last_has_ended_comes,
    ),
    (
        "child_of_a_collector_that_has_left_is_killed_and_nobody_is_told",
        child_of_a_collector_that_has_left_is_killed_and_nobody_is_told,
    ),
    ("agent_started_as_a_child_by_hand_says_so", agent_started_as_a_child_by_hand_says_so),
];

/// In front of a library and a script: the program that is killed over its hanging child.
const PARENT: &str = "--parent";

fn main() {
    if let Some(code) = child::enter() {
        stop::exit(code);
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [mark, library, script] = &arguments[..]
        && mark == PARENT
    {
        be_a_parent(Path::new(library), Path::new(script));
    }
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(&**filter));
    let (mut passed, mut failed) = (0, 0);
    let tests = || TESTS.iter().chain(probes::TESTS);
    for (name, test) in tests().filter(|(name, _)| chosen(name)) {
        let ok = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    let left_out = tests().count() - passed - failed;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out"
    );
    std::process::exit(i32::from(failed > 0));
}

/// A library to start children of.
struct Site {
    folder: TempDir,
    start: Start,
    schema: Schema,
}

impl Site {
    /// With the mock, which plays this script.
    fn mock(script: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        fs::write(&path, script).unwrap();
        Site::of(&built().test_plugins["perfwatch_mock"], folder, Some(&path))
    }

    /// With any library; its options are a script, where there is one.
    fn of(library: &Path, folder: TempDir, script: Option<&Path>) -> Site {
        let known = Known::read(library, &Bundled::default()).unwrap();
        let schema = Schema::new(Arc::clone(&known.manifest), |_| true);
        let start = Start {
            name: known.name().to_owned(),
            library: Arc::new(known.loadable(&Authority::of_this_agent(), folder.path()).unwrap()),
            options: script.map_or("{}".to_owned(), |script| format!("{{\"script\":{script:?}}}")),
            host_root: "/".into(),
            limits: Limits::default(),
            policy: Some(policy(&known, script)),
            log_level: tracing::Level::INFO,
        };
        Site { folder, start, schema }
    }

    /// For a keeper.
    fn ward(&self, tenant: u64) -> Ward {
        let start = self.start.clone();
        let starter = Box::new(move || Ok(start.clone()));
        Ward { place: 0, tenant, starter, limits: Limits::default(), memory: 64 << 20 }
    }

    fn spawn(&self) -> Running {
        let Born { family, socket, printed } = child::spawn(&self.start).unwrap();
        let frame = Frame::new(self.start.limits);
        Running { family, _printed: printed, line: Some(Line::new(socket, self.start.limits)), frame }
    }
}

fn policy(known: &Known, script: Option<&Path>) -> Policy {
    let grants: Vec<_> = script.iter().map(|path| Read::parse(&path.display().to_string()).unwrap()).collect();
    let options = Settings::default();
    Policy::new(&Terms { reads: &known.manifest.plugin.reads, grants: &grants, ..terms(&options, Without::default()) })
}

fn terms(options: &Settings, without: Without) -> Terms<'_> {
    Terms {
        collector: "mock",
        reads: &[],
        options,
        grants: &[],
        bundled: false,
        host_root: Path::new("/"),
        memory: 64 << 20,
        descriptors: 64,
        required: false,
        without,
    }
}

/// A child, which ends with this value.
struct Running {
    family: Family,
    /// Held, so that what prints does not fail.
    _printed: Printed,
    line: Option<Line>,
    frame: Frame,
}

impl Running {
    fn read(&mut self) -> Heard {
        self.line.as_mut().unwrap().ask(Duration::from_secs(1)).unwrap();
        self.hear()
    }

    fn hear(&mut self) -> Heard {
        let line = self.line.as_mut().unwrap();
        let until = Instant::now() + DEADLINE;
        loop {
            match line.hear(&mut self.frame) {
                Heard::Nothing => {
                    let left = until.checked_duration_since(Instant::now()).expect("it answers");
                    poll(&mut [PollFd::new(&line.as_fd(), PollFlags::IN)], Some(&Timespec::try_from(left).unwrap()))
                        .unwrap();
                }
                heard => return heard,
            }
        }
    }

    fn taken(&mut self) -> Taken {
        match self.read() {
            Heard::Reading(taken) => taken,
            other => panic!("instead of a reading: {other:?}"),
        }
    }

    /// The outcome of a reading that is an error, and its message.
    fn failure(&mut self) -> (ErrorKind, String) {
        self.taken();
        (self.frame.outcome, String::from_utf8(self.frame.message().to_vec()).unwrap())
    }

    /// How it ended, by itself.
    fn ended(&mut self) -> ExitStatus {
        let ended = poll(&mut [PollFd::new(&self.family, PollFlags::IN)], Some(&DEADLINE.try_into().unwrap()));
        assert_eq!(ended, Ok(1), "it does not end");
        self.family.end().unwrap()
    }

    fn pid(&self) -> u32 {
        self.family.id()
    }

    fn of_proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.family.end();
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn reading_of_a_child_is_the_plugins_own() {
    let site = Site::of(&built().plugins["perfwatch_memory"], tempfile::tempdir().unwrap(), None);
    let mut child = site.spawn();
    let first = child.taken();
    assert_eq!((child.frame.outcome, first.made), (ErrorKind::NONE, true), "{:?}", child.frame.message());
    Check::default().pass(&mut child.frame, &site.schema.shape);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024;
    assert!(child.frame.cells().iter().any(|cell| cell.as_u64() == Some(total)), "{:?}", child.frame.cells());
    assert_eq!(child.frame.refused, 0);
    assert!(first.at.0 > 0 && first.at_mono.0 > 0 && first.memory > 0 && first.cpu > Duration::ZERO, "{first:?}");
    let second = child.taken();
    assert!(!second.made && second.at_mono > first.at_mono, "{second:?}");
}

fn instance_stays_and_is_made_anew_after_a_panic() {
    let site = Site::mock("count=1\ncount=2\npanic=ouch\n");
    let mut child = site.spawn();
    assert!(child.taken().made);
    assert!(!child.taken().made);
    assert_eq!(child.failure(), (ErrorKind::PANICKED, "panicked: ouch".into()));
    assert!(child.taken().made);
    assert_eq!(child.frame.cells()[1].as_u64(), Some(1), "it begins anew");
}

fn constructor_that_fails_is_the_answer_to_each_request() {
    let site = Site::mock("new denied=\"no key\"\n");
    let mut child = site.spawn();
    for _ in 0..2 {
        assert_eq!(child.failure(), (ErrorKind::DENIED, "no key".into()));
    }
}

fn library_that_cannot_be_loaded_is_the_answer() {
    let site = Site::of(&built().test_plugins["perfwatch_no_module"], tempfile::tempdir().unwrap(), None);
    let mut child = site.spawn();
    for _ in 0..2 {
        let (kind, message) = child.failure();
        assert_eq!(kind, ErrorKind::FAILED);
        assert!(message.contains("it does not export"), "{message}");
    }
}

fn what_the_sandbox_refused_is_said_with_what_would_end_it() {
    let mut site = Site::mock("count=1\n");
    let script = site.folder.path().join("script").display().to_string();
    site.start.policy = Some(Policy::new(&terms(&Settings::default(), Without::default())));
    let (kind, message) = site.spawn().failure();
    assert_eq!(kind, ErrorKind::FAILED);
    assert!(message.starts_with(&format!("could not read the script {script}: Permission denied")), "{message}");
    assert!(message.contains(&format!("`grant = [\"{script}\"]` in [collectors.mock]")), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

fn what_the_kernel_lacks_is_said_once() {
    let mut site = Site::mock("count=1\n");
    let without = Without { landlock: true, ..Without::default() };
    site.start.policy = Some(Policy::new(&terms(&Settings::default(), without)));
    let mut child = site.spawn();
    let Heard::Said(Level::Warn, text) = child.read() else { panic!("it says so first") };
    assert!(text.contains("Landlock"), "{text}");
    assert!(matches!(child.hear(), Heard::Reading(_)));
    child.taken();
}

fn sandbox_that_is_required_and_lacking_is_the_answer() {
    let mut site = Site::mock("count=1\n");
    let without = Without { seccomp: true, ..Without::default() };
    site.start.policy = Some(Policy::new(&Terms { required: true, ..terms(&Settings::default(), without) }));
    let mut child = site.spawn();
    for _ in 0..2 {
        let (kind, message) = child.failure();
        assert_eq!(kind, ErrorKind::FAILED);
        assert!(message.contains("the sandbox is required"), "{message}");
    }
}

fn largest_reading_comes_whole() {
    let mut site = Site::mock("flood=19998\nflood_text=1048576\nflood=1000000\ncount=7\n");
    site.start.limits = Limits { rows: 19_998, cells: 100_000, text: 1 << 20, notes: 1 };
    let mut child = site.spawn();
    child.taken();
    let frame = &child.frame;
    assert_eq!((frame.cells().len(), frame.rows().len(), frame.lost_rows), (99_998, 19_998, 0));
    let last = frame.rows()[19_997];
    assert_eq!(frame.key_texts(last, 1).next(), Some(&b"19997"[..]));
    assert_eq!(f64::from_bits(frame.cells()[last.first as usize + 1].bits), 19_997.0);
    child.taken();
    assert_eq!((child.frame.arena().len(), child.frame.lost_texts), (1 << 20, 0));
    assert!(child.frame.arena().iter().all(|&byte| byte == b'x'));
    child.taken();
    assert_eq!((child.frame.rows().len(), child.frame.lost_rows), (19_998, 980_002));
    child.taken();
    assert_eq!((child.frame.cells()[1].as_u64(), child.frame.rows().len()), (Some(7), 0));
}

fn what_a_plugin_prints_does_not_meet_the_protocol() {
    let site = Site::mock("print=\"printed by a plugin, as it should be\" count=1\n");
    let mut child = site.spawn();
    for _ in 0..2 {
        child.taken();
        assert_eq!(child.frame.cells()[1].as_u64(), Some(1));
    }
}

fn killed_child_is_gone() {
    let site = Site::mock("count=1\nhang=1\n");
    let mut child = site.spawn();
    child.taken();
    child.line.as_mut().unwrap().ask(Duration::from_secs(1)).unwrap();
    child.family.kill();
    assert_eq!(child.hear(), Heard::Gone);
    assert_eq!(child.ended().signal(), Some(9));
}

fn child_that_exits_in_a_call_is_gone() {
    let site = Site::mock("exit=3\n");
    let mut child = site.spawn();
    assert_eq!(child.read(), Heard::Gone);
    assert_eq!(child.ended().code(), Some(3));
    let site = Site::mock("abort=1\n");
    assert_eq!(site.spawn().read(), Heard::Gone);
}

fn end_of_its_socket_ends_the_child() {
    let site = Site::mock("count=1\n");
    let mut child = site.spawn();
    child.taken();
    child.line = None;
    assert_eq!(child.ended().code(), Some(0));
}

/// Starts a child, has it hang in a call, prints its number and waits to be killed.
fn be_a_parent(library: &Path, script: &Path) -> ! {
    let site = Site::of(library, tempfile::tempdir().unwrap(), Some(script));
    let mut child = site.spawn();
    child.line.as_mut().unwrap().ask(Duration::from_secs(1)).unwrap();
    println!("{}", child.pid());
    child.hear();
    panic!("it has hung");
}

fn hanging_child_dies_with_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "hang=1\n").unwrap();
    let library = &built().test_plugins["perfwatch_mock"];
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .arg(PARENT)
        .args([library, &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let folder = PathBuf::from(format!("/proc/{}", line.trim()));
    let comm = || fs::read_to_string(folder.join("comm")).unwrap_or_default();
    // It has its name after it has asked for the signal.
    eventually("a child named mock", || comm() == "mock\n");
    parent.kill().unwrap();
    parent.wait().unwrap();
    // Who has become its parent may leave it a zombie.
    let state = || fs::read_to_string(folder.join("stat")).unwrap_or_default();
    eventually("the end of the child", || state().is_empty() || state().contains(") Z "));
}

fn child_has_a_name_a_group_and_nothing_of_the_agents() {
    let site = Site::mock("count=1\n");
    // What a careless program leaves open for its children: without close-on-exec.
    let inherited = rustix::io::dup(fs::File::open(site.folder.path().join("script")).unwrap()).unwrap();
    let mut child = site.spawn();
    child.taken();
    let line = fs::read_to_string(child.of_proc("cmdline")).unwrap();
    assert!(line.starts_with("perfwatch: mock\0"), "{line}");
    assert_eq!(fs::read_to_string(child.of_proc("comm")).unwrap(), "mock\n");
    let stat = fs::read_to_string(child.of_proc("stat")).unwrap();
    assert_eq!(stat.rsplit_once(") ").unwrap().1.split(' ').nth(2), Some(&*child.pid().to_string()), "its own group");
    let environment = fs::read_to_string(child.of_proc("environ")).unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("CARGO"), "{environment}");
    let open: Vec<_> = fs::read_dir(child.of_proc("fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    assert_eq!(open.iter().filter(|to| *to == "/dev/null").count(), 1, "{open:?}");
    assert!(!open.iter().any(|to| to.ends_with("/script")), "{open:?}");
    // The standard ones, its socket, the library and its own memory.
    assert_eq!(open.len(), 6, "{open:?}");
    // Its own, as the agent's own standard error would be one open file for both.
    let errors = |folder: &Path| fs::read_link(folder.join("2")).unwrap();
    assert_eq!(errors(&child.of_proc("fd")), fs::read_link(child.of_proc("fd").join("1")).unwrap());
    assert_ne!(errors(&child.of_proc("fd")), errors(Path::new("/proc/self/fd")));
    drop(inherited);
}

fn options_that_are_too_long_are_refused_and_leave_nothing_open() {
    let mut site = Site::mock("count=1\n");
    let before = open_descriptors();
    drop(site.spawn());
    assert_eq!(open_descriptors(), before);
    site.start.options = format!("{{\"script\":\"{}\"}}", "x".repeat(128 << 10));
    let refused = child::spawn(&site.start).unwrap_err().to_string();
    assert!(refused.contains("shorten the options"), "{refused}");
    assert_eq!(open_descriptors(), before);
}

fn longest_options_arrive() {
    let mut site = Site::mock("count=1\n");
    site.start.options = format!("{}{}", site.start.options, " ".repeat(120 << 10));
    let mut child = site.spawn();
    child.taken();
    assert_eq!(child.frame.cells()[1].as_u64(), Some(1));
}

fn guard_started_by_hand_kills_nobody() {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&built().agent);
    let mut guard = command.arg0("perfwatch: x").args(["--perfwatch-guard", "1"]).spawn().unwrap();
    assert_eq!(guard.wait().unwrap().code(), Some(64));
}

/// It moved into the agent and panicked there at once.
fn child_that_is_wanted_again_before_the_last_has_ended_comes() {
    let site = Site::mock("count=1\n");
    let answers = Arc::new(Answers::new().unwrap());
    let keeper = Keeper::start(vec![site.ward(0)], Arc::clone(&answers)).unwrap();
    let up = || drop(comes_up(&answers, 0));
    let orders = keeper.orders();
    orders.begin(0);
    up();
    let both = orders.clone();
    // From the keeper's own thread, so that it finds both at once.
    orders.have_done(move || {
        both.leave(0);
        both.begin(0);
    });
    up();
    assert!(keeper.stop(DEADLINE));
}

fn child_of_a_collector_that_has_left_is_killed_and_nobody_is_told() {
    let site = Site::mock("count=1\n");
    let answers = Arc::new(Answers::new().unwrap());
    let keeper = Keeper::start(Vec::new(), Arc::clone(&answers)).unwrap();
    let orders = keeper.orders();
    orders.take(site.ward(1));
    orders.begin(1);
    let (mut line, mut frame) = (comes_up(&answers, 1), Frame::new(site.start.limits));
    orders.dismiss(1);
    orders.take(site.ward(2));
    orders.begin(2);
    // To who is not there any more.
    orders.begin(1);
    orders.leave(1);
    let _second = comes_up(&answers, 2);
    // Its line is open here: it was killed.
    let until = Instant::now() + DEADLINE;
    while line.hear(&mut frame) != Heard::Gone {
        assert!(Instant::now() < until, "it lives on");
        thread::sleep(Duration::from_millis(1));
    }
    // Behind all that might be told of its death.
    orders.leave(2);
    orders.begin(2);
    drop(comes_up(&answers, 2));
    assert!(keeper.stop(DEADLINE));
}

/// A child of this collector is started, and nothing else is told.
fn comes_up(answers: &Answers, tenant: u64) -> Line {
    let (until, mut arrivals) = (Instant::now() + DEADLINE, Arrivals::default());
    while arrivals.is_empty() {
        assert!(Instant::now() < until, "no child came");
        answers.collect(Duration::from_secs(1), &mut arrivals);
    }
    match arrivals.news.pop() {
        Some(News::Up { line, tenant: told, .. }) if told == tenant && arrivals.news.is_empty() => line,
        _ => panic!("something else is told"),
    }
}

fn agent_started_as_a_child_by_hand_says_so() {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&built().agent);
    let output = command.arg0("perfwatch: x").arg("--perfwatch-child").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("no agent has started this"), "{said}");
}
