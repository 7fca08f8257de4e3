//! What it costs to have a collector in a process of its own: 100 values of one library, called in this process and asked of a
//! child. Prints µs a reading (median and 99th percentile), what a start takes, and what an idle child has for itself.
//!
//! `cargo bench -p perfwatch --bench round_trip`; with `PERFWATCH_SANDBOX_WITHOUT=landlock,seccomp,capabilities` without a sandbox
#![allow(clippy::unwrap_used, reason = "what fails here is the measurement")]
#![allow(clippy::print_stdout, reason = "a program with something to say")]

use std::fmt::Write as _;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch::child::sandbox::{Policy, Terms, Without};
use perfwatch::child::{self, Born, Heard, Line, Start};
use perfwatch::plugin::known::{Bundled, Known};
use perfwatch::plugin::library;
use perfwatch::plugin::trust::Authority;
use perfwatch::stop;
use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::manifest::Read;
use plugin_api::host_side::options::Settings;
use plugin_api::host_side::roots::{HostHandle, Roots};
use plugin_api::host_side::shape::Shape;
use rustix::event::epoll;

const READINGS: usize = 20_000;
const STARTS: usize = 100;
const SECOND: Duration = Duration::from_secs(1);

fn main() {
    if let Some(code) = child::enter() {
        stop::exit(code);
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    let mut line = String::new();
    for row in 0..50 {
        write!(line, "rows.r{row}.value=1.5 rows.r{row}.count=7 ").unwrap();
    }
    fs::write(&script, line).unwrap();
    let known = Known::read(&mock(), &Bundled::default()).unwrap();
    let loadable = || known.loadable(&Authority::of_this_agent(), folder.path()).unwrap();
    let shape = Shape::of(&known.manifest);
    let options = format!("{{\"script\":{script:?}}}");
    let start = Start {
        name: "mock".into(),
        library: Arc::new(loadable()),
        options: options.clone(),
        host_root: "/".into(),
        limits: Limits::default(),
        policy: Some(policy(&known, &script)),
        log_level: tracing::Level::INFO,
    };

    let kept = std::mem::ManuallyDrop::new(loadable());
    let module = library::load(&kept.path()).unwrap();
    let roots = Arc::new(Roots::new(Path::new("/")));
    let host = HostHandle::new(roots, Arc::clone(&known.manifest), Arc::new(|_, _| {}));
    let mut instance = module.create(&options, host).map_err(|failure| failure.message).unwrap();
    let mut frame = Frame::new(Limits::default());
    let here = measured(READINGS, || instance.collect(&mut frame, &shape, SECOND));
    assert_eq!(frame.rows().len(), 50);
    tell("in the agent", here);

    let mut child = Child::start(&start);
    let mut check = Check::default();
    tell(
        "in a child",
        measured(READINGS, || {
            child.read();
            check.pass(&mut child.frame, &shape);
        }),
    );
    assert_eq!(child.frame.rows().len(), 50);
    println!("private memory of the child: {} KiB", child.private_kib());
    let mut idle = Child::start(&start);
    idle.read();
    println!("private memory of a child after its first reading: {} KiB", idle.private_kib());
    let starts = measured(STARTS, || Child::start(&start).read());
    tell("start to first answer, and the end", starts);
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    println!("{what}: p50 {:.1} µs, p99 {:.1} µs", at(50), at(99));
}

/// How long it takes, so many times, after a tenth of them unmeasured.
fn measured(times: usize, mut what: impl FnMut()) -> Vec<Duration> {
    (0..times / 10).for_each(|_| what());
    let one = |_| {
        let before = Instant::now();
        what();
        before.elapsed()
    };
    (0..times).map(one).collect()
}

/// A child, and how the collection thread waits for it.
struct Child {
    family: child::Family,
    /// Nobody prints.
    _printed: child::Printed,
    line: Line,
    ready: std::os::fd::OwnedFd,
    frame: Frame,
}

impl Child {
    fn start(start: &Start) -> Child {
        let Born { family, socket, printed } = child::spawn(start).unwrap();
        let line = Line::new(socket, start.limits);
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        epoll::add(&ready, line.as_fd(), epoll::EventData::new_u64(0), epoll::EventFlags::IN).unwrap();
        Child { family, _printed: printed, line, ready, frame: Frame::new(start.limits) }
    }

    fn read(&mut self) {
        self.line.ask(SECOND).unwrap();
        let mut events = Vec::with_capacity(1);
        loop {
            events.clear();
            epoll::wait(&self.ready, rustix::buffer::spare_capacity(&mut events), None).unwrap();
            match self.line.hear(&mut self.frame) {
                Heard::Reading(_) => return,
                Heard::Nothing | Heard::Said(..) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn private_kib(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.family.id())).unwrap();
        let of = |line: &str| line.split_ascii_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
        rollup.lines().filter(|line| line.starts_with("Private_")).filter_map(of).sum()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.family.end().unwrap();
    }
}

fn policy(known: &Known, script: &Path) -> Policy {
    Policy::new(&Terms {
        collector: known.name(),
        reads: &known.manifest.plugin.reads,
        options: &Settings::default(),
        grants: &[Read::parse(&script.display().to_string()).map_err(|_| "a path is granted").unwrap()],
        bundled: false,
        host_root: Path::new("/"),
        memory: 64 << 20,
        descriptors: 64,
        required: false,
        without: Without::from_env().unwrap(),
    })
}

/// Builds the mock of the tests.
fn mock() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plugins");
    let target = workspace.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--release", "--package", "perfwatch-mock", "--manifest-path"]);
    command.arg(workspace.join("Cargo.toml")).arg("--target-dir").arg(&target);
    assert!(command.status().unwrap().success(), "the mock does not compile");
    target.join("release/libperfwatch_mock.so")
}
