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

/// Draws it, and lacks nothing.
fn draw(reads: &[Read]) {
    assert_eq!(policy(reads).draw(None).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_granted_is_read_and_the_rest_is_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("granted")).unwrap();
    fs::write(folder.path().join("granted/file"), "yes").unwrap();
    fs::write(folder.path().join("other"), "no").unwrap();
    alone("what_is_granted_is_read_and_the_rest_is_not", folder.path().to_str().unwrap(), |folder| {
        let granted = format!("{folder}/granted");
        draw(&[read(ReadKind::Path, &granted), read(ReadKind::Path, "/does/not/exist")]);
        assert_eq!(fs::read_to_string(format!("{granted}/file")).unwrap(), "yes");
        assert_eq!(fs::read_dir(&granted).unwrap().count(), 1);
        assert_eq!(errno(fs::read(format!("{folder}/other"))), EACCES);
        assert_eq!(errno(fs::read_dir(folder)), EACCES);
        assert_eq!(errno(fs::read_dir("/etc")), EACCES);
        assert_eq!(errno(fs::read_dir("/sys/class")), EACCES, "nothing of /sys is asked for");
        assert_eq!(errno(thread::spawn(|| fs::read_dir("/etc")).join().unwrap()), EACCES);
    });
}

#[test]
fn what_every_program_needs_works() {
    alone("what_every_program_needs_works", "", |_| {
        draw(&[]);
        assert!(!fs::read("/proc/self/status").unwrap().is_empty());
        assert!(!fs::read("/etc/passwd").unwrap().is_empty());
        assert!(fs::read("/sys/devices/system/cpu/online").is_ok());
        assert!(thread::available_parallelism().is_ok());
        assert_eq!(thread::spawn(|| vec![1u8; 1 << 20].len()).join().unwrap(), 1 << 20);
        assert!(std::panic::catch_unwind(|| panic!("as plugins do")).unwrap_err().is::<&str>());
    });
}

#[test]
fn rules_outlive_the_caches_of_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("status"), "charging").unwrap();
    let name = "rules_outlive_the_caches_of_the_kernel";
    alone(name, folder.path().join("status").to_str().unwrap(), |status| {
        // A thread from before the sandbox is drawn keeps its rights, and drops the caches for the others.
        let (ask, asked) = mpsc::channel::<()>();
        let (answer, answered) = mpsc::channel();
        thread::spawn(move || {
            while asked.recv().is_ok() {
                answer.send(fs::write("/proc/sys/vm/drop_caches", "3").is_ok()).unwrap();
            }
        });
        draw(&[
            read(ReadKind::Path, "/proc/stat"),
            read(ReadKind::Path, "/sys/class/net"),
            read(ReadKind::Path, status),
        ]);
        let paths =
            ["/proc/stat", "/proc/self/net/dev", "/sys/class/net/lo/mtu", "/sys/devices/system/cpu/online", status];
        for _ in 0..3 {
            for path in paths {
                assert!(!fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}")).is_empty());
            }
            ask.send(()).unwrap();
            if !answered.recv().unwrap() {
                return skip("the right to drop the kernel's caches");
            }
        }
    });
}

#[test]
fn nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    alone("nothing_is_written", folder.path().to_str().unwrap(), |folder| {
        let file = format!("{folder}/file");
        let new = format!("{folder}/new");
        let open = File::open(&file).unwrap();
        draw(&[read(ReadKind::Path, folder)]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        assert_eq!(errno(OpenOptions::new().append(true).open(&file)), EROFS);
        assert_eq!(errno(File::create(&new)), EROFS);
        assert_eq!(errno(OpenOptions::new().write(true).open("/dev/null")), EROFS);
        assert_eq!(errno(fs::remove_file(&file)), EROFS);
        assert_eq!(errno(fs::rename(&file, &new)), EROFS);
        assert_eq!(errno(fs::hard_link(&file, &new)), EROFS);
        assert_eq!(errno(symlink(&file, &new)), EROFS);
        assert_eq!(errno(fs::create_dir(&new)), EROFS);
        assert_eq!(errno(fs::set_permissions(&file, PermissionsExt::from_mode(0o777))), EROFS);
        assert_eq!(errno(std::os::unix::fs::chown(&file, Some(1), None)), EROFS);
        assert_eq!(errno(open.set_len(0)), EROFS);
        assert_eq!(errno(open.set_modified(std::time::UNIX_EPOCH)), EROFS);
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    });
}

#[test]
fn granted_device_is_written_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    alone("granted_device_is_written_and_nothing_else", folder.path().to_str().unwrap(), |folder| {
        draw(&[read(ReadKind::Device, "/dev/full"), read(ReadKind::Path, folder)]);
        assert!(OpenOptions::new().read(true).write(true).open("/dev/full").is_ok());
        assert_eq!(errno(OpenOptions::new().write(true).open("/dev/zero")), EACCES);
        assert_eq!(errno(OpenOptions::new().write(true).open(format!("{folder}/file"))), EACCES);
        assert_eq!(errno(File::create(format!("{folder}/new"))), EACCES);
        assert_eq!(errno(OpenOptions::new().write(true).open("/proc/self/comm")), EACCES);
    });
}

#[test]
fn no_network_without_a_grant() {
    let folder = tempfile::tempdir().unwrap();
    alone("no_network_without_a_grant", folder.path().join("socket").to_str().unwrap(), |path| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _unix = UnixListener::bind(path).unwrap();
        draw(&[]);
        assert_eq!(errno(TcpStream::connect(listener.local_addr().unwrap())), EACCES);
        assert_eq!(errno(UdpSocket::bind("127.0.0.1:0")), EACCES);
        assert_eq!(errno(UnixStream::connect(path)), EACCES);
        assert_eq!(errno(netlink_socket(netlink::SOCK_DIAG)), EACCES);
        assert_eq!(errno(listener.accept()), EACCES);
        assert!(UnixStream::pair().is_ok(), "a pair stays in the process");
    });
}

#[test]
fn granted_port_is_reached_by_name_and_no_other() {
    alone("granted_port_is_reached_by_name_and_no_other", "", |_| {
        let [granted, other] = [0, 0].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, closed] = [&granted, &other].map(|listener| listener.local_addr().unwrap().port());
        draw(&[read(ReadKind::Tcp, &port.to_string())]);
        let addresses: Vec<_> = ("localhost", port).to_socket_addrs().unwrap().collect();
        assert!(!addresses.is_empty());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert_eq!(errno(TcpStream::connect(("127.0.0.1", closed))), EACCES);
        assert_eq!(errno(TcpListener::bind("127.0.0.1:0")), EACCES);
        assert_eq!(errno(netlink_socket(netlink::SOCK_DIAG)), EACCES);
    });
}

#[test]
fn granted_socket_is_reached_and_abstract_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let name = "granted_socket_is_reached_and_abstract_ones_are_not";
    alone(name, folder.path().join("socket").to_str().unwrap(), |path| {
        let _listener = UnixListener::bind(path).unwrap();
        let hidden = SocketAddr::from_abstract_name(path.as_bytes()).unwrap();
        let _hidden = UnixListener::bind_addr(&hidden).unwrap();
        draw(&[read(ReadKind::Unix, path)]);
        assert!(UnixStream::connect(path).is_ok());
        assert_eq!(errno(UnixStream::connect_addr(&hidden)), EPERM);
        assert_eq!(errno(TcpStream::connect("127.0.0.1:1")), EACCES);
        assert_eq!(errno(UnixListener::bind("/tmp/x")), EACCES);
    });
}

#[test]
fn granted_netlink_family_is_asked_and_no_other() {
    alone("granted_netlink_family_is_asked_and_no_other", "", |_| {
        draw(&[read(ReadKind::Netlink, "sock_diag")]);
        let socket = netlink_socket(netlink::SOCK_DIAG).unwrap();
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0)).unwrap();
        assert_eq!(errno(netlink_socket(netlink::KOBJECT_UEVENT)), EACCES);
        assert_eq!(errno(UdpSocket::bind("127.0.0.1:0")), EACCES);
    });
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
        assert_eq!(capabilities(), [0; 5]);
        assert!(rustix::thread::no_new_privs().unwrap());
    });
}

#[test]
fn granted_capability_is_kept_alone() {
    alone("granted_capability_is_kept_alone", "", |_| {
        let raw = CapabilitySet::NET_RAW.bits();
        if capabilities()[1] & raw == 0 || capabilities()[4] & CapabilitySet::SETPCAP.bits() == 0 {
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
fn library_is_read_through_its_descriptor_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("library"), "code").unwrap();
    let name = "library_is_read_through_its_descriptor_wherever_it_lies";
    alone(name, folder.path().join("library").to_str().unwrap(), |path| {
        let library = File::open(path).unwrap();
        policy(&[]).draw(Some(library.as_fd())).unwrap();
        let again = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&library)));
        assert_eq!(fs::read_to_string(again).unwrap(), "code");
    });
}

#[test]
fn library_in_memory_needs_no_rule() {
    alone("library_in_memory_needs_no_rule", "", |_| {
        let memory = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        policy(&[]).draw(Some(memory.as_fd())).unwrap();
        assert!(File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memory))).is_ok());
    });
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

#[test]
fn what_the_kernel_lacks_is_told_and_the_rest_is_drawn() {
    alone("what_the_kernel_lacks_is_told_and_the_rest_is_drawn", "", |_| {
        let without = Without::parse("landlock,capabilities").unwrap();
        let lacks = policy_without(&[read(ReadKind::Tcp, "80")], without).draw(None).unwrap();
        assert_eq!(lacks.len(), 2);
        assert!(lacks[0].contains("Landlock is missing") && lacks[0].contains("TCP ports are all"), "{lacks:?}");
        assert!(lacks[1].contains("capabilities"), "{lacks:?}");
        assert!(fs::read_dir("/etc").is_ok());
        assert_eq!(errno(File::create("/tmp/x")), EROFS);
    });
}

#[test]
fn lesser_landlock_lets_all_ports_and_says_so() {
    alone("lesser_landlock_lets_all_ports_and_says_so", "", |_| {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let lacks =
            policy_without(&[read(ReadKind::Tcp, "1")], Without::parse("landlock-net").unwrap()).draw(None).unwrap();
        assert!(lacks.len() == 1 && lacks[0].contains("all of them"), "{lacks:?}");
        assert!(TcpStream::connect(other.local_addr().unwrap()).is_ok());
        assert_eq!(errno(fs::read_dir("/etc")), EACCES);
    });
}

#[test]
fn port_rules_are_not_missed_where_nothing_needs_them() {
    alone("port_rules_are_not_missed_where_nothing_needs_them", "", |_| {
        let lacks = policy_without(&[], Without::parse("landlock-net").unwrap()).draw(None).unwrap();
        assert_eq!(lacks, Vec::<String>::new());
    });
}

#[test]
fn without_filters_landlock_and_limits_still_hold() {
    alone("without_filters_landlock_and_limits_still_hold", "", |_| {
        let policy = policy_without(&[], Without::parse("seccomp").unwrap());
        let lacks = policy.draw(None).unwrap();
        assert!(lacks.len() == 1 && lacks[0].contains("filters of system calls"), "{lacks:?}");
        policy.narrow().unwrap();
        assert!(netlink_socket(netlink::SOCK_DIAG).is_ok());
        assert_eq!(errno(fs::read_dir("/etc")), EACCES);
        assert_eq!(errno(Command::new("/bin/true").status()), EACCES);
        assert_eq!(process::test_kill_process(process::getppid().unwrap()).err(), Some(rustix::io::Errno::PERM));
    });
}

#[test]
fn required_sandbox_is_refused_where_something_lacks() {
    for word in ["landlock", "seccomp", "capabilities", "landlock-net"] {
        let name = "required_sandbox_is_refused_where_something_lacks";
        alone(name, word, |word| {
            let mut policy = policy_without(&[read(ReadKind::Tcp, "80")], Without::parse(word).unwrap());
            policy.required = true;
            let error = policy.draw(None).unwrap_err();
            assert!(matches!(&error, SandboxError::Lacking(lacks) if lacks.len() == 1), "{error:?}");
            assert!(error.to_string().contains("agent.sandbox"), "{error}");
        });
    }
}

#[test]
fn required_sandbox_is_drawn_where_nothing_lacks() {
    alone("required_sandbox_is_drawn_where_nothing_lacks", "", |_| {
        let mut policy = policy(&[read(ReadKind::Tcp, "80")]);
        policy.required = true;
        assert_eq!(policy.draw(None).unwrap(), Vec::<String>::new());
    });
}
