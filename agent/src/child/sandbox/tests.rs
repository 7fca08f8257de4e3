//! The drawn sandbox, each time in a process of its own: it binds for good.
//!
//! A test runs the test executable once more, for itself alone, with [`INSIDE`] in the environment.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

use plugin_api::host_side::manifest::{Read, ReadKind};
use plugin_api::host_side::options::Settings;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink};
use rustix::process::{self, Resource, Signal};
use rustix::thread::CapabilitySet;

use super::{Policy, SandboxError, Terms, Without, limits};
use crate::plugin::library;

mod files;
mod lacking;
mod network;

const INSIDE: &str = "PERFWATCH_TEST_INSIDE";

/// Runs `body` in a process of its own; it gets what the parent prepared, as text. `name` is the test's.
fn alone(name: &str, prepared: &str, body: impl FnOnce(&str)) {
    if let Some(prepared) = std::env::var_os(INSIDE) {
        return body(prepared.to_str().unwrap());
    }
    let output = again(name, prepared);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn again(name: &str, prepared: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("child::sandbox::tests::{name}"), "--nocapture"]).env(INSIDE, prepared);
    command.output().unwrap()
}

fn read(kind: ReadKind, target: &str) -> Read {
    Read { kind, target: target.to_owned() }
}

fn policy(reads: &[Read]) -> Policy {
    policy_without(reads, Without::default())
}

fn policy_without(reads: &[Read], without: Without) -> Policy {
    Policy::new(&Terms { bundled: true, reads, without, ..terms(&Settings::default()) })
}

fn terms(options: &Settings) -> Terms<'_> {
    Terms {
        collector: "ups",
        reads: &[],
        options,
        grants: &[],
        bundled: false,
        host_root: Path::new("/"),
        memory: 64 << 20,
        descriptors: 64,
        required: false,
        without: Without::default(),
    }
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

const EACCES: Option<i32> = Some(libc::EACCES);
const EPERM: Option<i32> = Some(libc::EPERM);
const EROFS: Option<i32> = Some(libc::EROFS);

/// A test needs something of the machine; in CI all of them have to run.
fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is needed where every test has to run");
}

/// Whether Landlock knows scopes: since Linux 6.12. Which rules a kernel has is otherwise for `draw` to say.
fn scopes() -> bool {
    let release = rustix::system::uname().release().to_str().unwrap().to_owned();
    let mut numbers = release.split(|char: char| !char.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(12))
}

/// Draws it, and lacks nothing.
fn draw(reads: &[Read]) {
    assert_eq!(policy(reads).draw(None).unwrap(), Vec::<String>::new());
}

fn netlink_socket(protocol: rustix::net::Protocol) -> io::Result<std::os::fd::OwnedFd> {
    let family = AddressFamily::NETLINK;
    Ok(rustix::net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?)
}

#[test]
fn no_process_is_started_or_touched() {
    alone("no_process_is_started_or_touched", "", |_| {
        draw(&[]);
        let agent = process::getppid().unwrap();
        assert_eq!(errno(Command::new("/bin/true").status()), EPERM);
        let refused = Some(rustix::io::Errno::PERM);
        assert_eq!(process::setsid().err(), refused);
        assert_eq!(process::setpgid(None, None).err(), refused);
        assert_eq!(process::kill_process(agent, Signal::KILL).err(), refused);
        assert_eq!(process::test_kill_process(agent).err(), refused);
        assert_eq!(process::kill_current_process_group(Signal::KILL).err(), refused);
        assert_eq!(process::setpriority_process(Some(agent), 19).err(), refused);
        assert_eq!(process::set_parent_process_death_signal(None).err(), refused);
        assert_eq!(process::pidfd_open(agent, process::PidfdFlags::empty()).err(), refused);
        let core = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        assert_eq!(process::prlimit(Some(agent), Resource::Core, core).err(), refused);
        assert!(process::test_kill_process(process::getpid()).is_ok());
        assert_eq!(errno(fs::read(format!("/proc/{agent}/environ"))), EACCES);
    });
}

#[test]
fn granted_program_runs_and_is_killed_and_no_other_runs() {
    alone("granted_program_runs_and_is_killed_and_no_other_runs", "", |_| {
        draw(&[read(ReadKind::Exec, "/bin/sleep")]);
        let agent = process::getppid().unwrap();
        let mut sleep = Command::new("/bin/sleep").arg("600").stdin(std::process::Stdio::null()).spawn().unwrap();
        sleep.kill().unwrap();
        assert_eq!(sleep.wait().unwrap().signal(), Some(9));
        assert_eq!(errno(Command::new("/bin/cat").status()), EACCES);
        let refused = Some(rustix::io::Errno::PERM);
        assert_eq!(process::kill_process(agent, Signal::KILL).err(), refused);
        assert_eq!(process::setsid().err(), refused);
        assert_eq!(errno(File::create("/tmp/x")), EACCES);
    });
}

#[test]
fn granted_script_runs_with_its_interpreter_and_finds_no_other_program() {
    let name = "granted_script_runs_with_its_interpreter_and_finds_no_other_program";
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "#!/usr/bin/env sh\necho run; cat /dev/null; exit $?\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    alone(name, script.to_str().unwrap(), |script| {
        draw(&[read(ReadKind::Exec, script)]);
        let output = Command::new(script).stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!((&*output.stdout, output.status.code()), (&b"run\n"[..], Some(126)));
    });
}

#[test]
fn abort_is_an_abort() {
    let name = "abort_is_an_abort";
    if std::env::var_os(INSIDE).is_none() {
        assert_eq!(again(name, "").status.signal(), Some(6));
        return;
    }
    draw(&[]);
    std::process::abort();
}

#[test]
fn memory_and_descriptors_end_at_their_budget() {
    alone("memory_and_descriptors_end_at_their_budget", "", |_| {
        draw(&[]);
        assert!(Vec::<u8>::new().try_reserve_exact(60 << 20).is_ok());
        assert!(Vec::<u8>::new().try_reserve_exact((64 << 20) + limits::STACKS as usize).is_err());
        let threads: Vec<_> = (0..8).map(|_| thread::spawn(|| ())).collect();
        assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
        let open: Vec<File> = (0..200).map_while(|_| File::open("/dev/null").ok()).collect();
        assert!((64..64 + limits::OWN_DESCRIPTORS as usize).contains(&open.len()), "{}", open.len());
        assert_eq!(errno(File::open("/dev/null")), Some(libc::EMFILE));
        drop(open);
        assert_eq!(process::getrlimit(Resource::Core).maximum, Some(0));
    });
}

#[test]
fn no_capability_is_left() {
    alone("no_capability_is_left", "", |_| {
        draw(&[]);
        let [inheritable, permitted, effective, bounding, ambient] = capabilities();
        assert_eq!([inheritable, permitted, effective, ambient], [0; 4]);
        if !process::geteuid().is_root() {
            return skip("root, who alone may drop the bounding set");
        }
        assert_eq!(bounding, 0);
        assert!(rustix::thread::no_new_privs().unwrap());
    });
}

#[test]
fn granted_capability_is_kept_alone() {
    alone("granted_capability_is_kept_alone", "", |_| {
        let raw = CapabilitySet::NET_RAW.bits();
        if capabilities()[1] & raw == 0 || capabilities()[2] & CapabilitySet::SETPCAP.bits() == 0 {
            return skip("root");
        }
        draw(&[read(ReadKind::Capability, "net_raw")]);
        let [inheritable, permitted, effective, bounding, ambient] = capabilities();
        assert_eq!([permitted, effective, bounding], [raw; 3]);
        assert_eq!([inheritable & !raw, ambient & !raw], [0; 2]);
    });
}

/// Inheritable, permitted, effective, bounding and ambient, of this thread.
fn capabilities() -> [u64; 5] {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_once(':').unwrap().1.trim(), 16).unwrap()
    })
}

#[test]
fn no_code_is_loaded_after_the_library() {
    alone("no_code_is_loaded_after_the_library", "", |_| {
        let policy = policy(&[]);
        policy.draw(None).unwrap();
        // Libraries of glibc that nobody has loaded: they are none of ours, and that is found out once they are in.
        let loaded = |name: &str| match library::load(Path::new(name)) {
            Err(library::LoadError::Symbol(..)) => true,
            Err(library::LoadError::Open(_)) => false,
            other => panic!("{:?}", other.err()),
        };
        assert!(loaded("libBrokenLocale.so.1"));
        // A constructor's thread is bound as well.
        let (ask, asked) = mpsc::channel::<()>();
        let thread = thread::spawn(move || asked.recv().map(|()| loaded("libthread_db.so.1")));
        policy.narrow().unwrap();
        ask.send(()).unwrap();
        assert!(!thread.join().unwrap().unwrap());
        assert!(!loaded("libnss_compat.so.2"));
        assert!(thread::spawn(|| ()).join().is_ok());
    });
}
