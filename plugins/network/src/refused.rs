//! The whole collector where netlink is really refused: in threads that a seccomp filter holds, as a sandbox does.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugin_api::ErrorKind;
use plugin_api::host_side::door::Module;
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::manifest::Manifest;
use plugin_api::host_side::roots::{HostHandle, Roots};
use plugin_api::host_side::shape::Shape;
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Listeners that the test holds: at least so many must be counted.
const HELD: u64 = 8;

/// The numbers of socket(2) and sendto(2).
#[cfg(target_arch = "x86_64")]
const CALLS: (i64, i64) = (41, 44);
#[cfg(not(target_arch = "x86_64"))]
const CALLS: (i64, i64) = (198, 206);

/// What a filter refuses.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// socket(2) for netlink.
    Socket,
    /// sendto(2), for everything.
    Send,
}

/// From now on the calling thread is refused this, and so is what it starts.
fn refuse(what: Refused, errno: Errno) {
    let netlink = |argument| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 16).unwrap();
    let rules = match what {
        Refused::Socket => (CALLS.0, vec![SeccompRule::new(vec![netlink(0)]).unwrap()]),
        Refused::Send => (CALLS.1, Vec::new()),
    };
    let answer = SeccompAction::Errno(errno.raw_os_error() as u32);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(BTreeMap::from([rules]), SeccompAction::Allow, answer, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).expect("a thread may always be allowed less");
}

/// Reads three times and gives each count of listeners, the parts that failed, and what was logged.
fn readings() -> (Vec<Option<u64>>, usize, Vec<String>) {
    let manifest = Arc::new(Manifest::parse(include_str!("../plugin.toml")).unwrap());
    let logged = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&logged);
    let log = Arc::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned()));
    let host = HostHandle::new(Arc::new(Roots::new(Path::new("/"))), Arc::clone(&manifest), log);
    let made = Module::linked::<crate::Network>().create(r#"{"interfaces":[],"connections":true}"#, host);
    let mut network = made.unwrap_or_else(|failure| panic!("{failure:?}"));
    let listening = manifest.metrics.iter().position(|metric| metric.name == "connections.tcp.listen").unwrap();
    let (mut counts, mut failed) = (Vec::new(), 0);
    for _ in 0..3 {
        let mut frame = Frame::new(Limits::default());
        network.collect(&mut frame, &Shape::of(&manifest), Duration::from_secs(10));
        assert_eq!(frame.outcome, ErrorKind::NONE, "{}", String::from_utf8_lossy(frame.message()));
        counts.push(frame.cells()[listening].as_u64());
        failed += frame.notes().len();
    }
    let logged = logged.lock().unwrap().clone();
    (counts, failed, logged)
}

#[test]
fn where_netlink_is_refused_sockets_are_counted_from_files_and_it_is_said_once() {
    let held: Vec<_> = (0..HELD).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let socket = [Errno::PERM, Errno::ACCESS, Errno::PROTONOSUPPORT, Errno::AFNOSUPPORT];
    let cases = socket.map(|errno| (Refused::Socket, errno)).into_iter().chain([(Refused::Send, Errno::PERM)]);
    for (what, errno) in cases {
        let in_sandbox = std::thread::spawn(move || {
            refuse(what, errno);
            readings()
        });
        let (counts, failed, logged) = in_sandbox.join().unwrap();
        assert!(counts.iter().all(|count| *count >= Some(held.len() as u64)), "{what:?} {errno}: {counts:?}");
        assert_eq!(failed, 0, "{what:?} {errno}");
        // It is said when it is refused, so this is how often it was asked.
        let [line] = &logged[..] else { panic!("{what:?} {errno}: {logged:?}") };
        assert!(
            line.contains("netlink is refused: ") && line.contains(&std::io::Error::from(errno).to_string()),
            "{line}"
        );
    }
}
