//! The dump against this host's own files, with sockets that the test holds in known states. Other programs open and
//! close sockets meanwhile: so the bounds below are what is held here, and the bounds above leave room for all the
//! others to change by as much as is held here, in each of several tries.

use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::diag::{Diag, is_refusal};
use crate::message::Counted;
use crate::socket_files::{curr_estab, sockstat, tcp};
use crate::states::{State, Tally};

/// Sockets of each kind; far more than another program opens between two reads, far less than any limit.
const HELD: u64 = 16;
const TRIES: usize = 50;

/// Listeners that no single batch of a dump has room for.
const MANY: usize = 300;

fn later() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn dump() -> Counted {
    Diag::new().dump(later()).expect("asked once before, and not refused")
}

/// Some sandboxes do not let anyone ask. There is nothing to compare then.
fn is_refused() -> bool {
    let refused = Diag::new().dump(later()).is_err_and(|error| is_refusal(&error));
    if refused {
        println!("not compared: netlink is refused here");
    }
    refused
}

fn net(name: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/net/{name}")).unwrap_or_default()
}

fn in_files() -> Tally {
    let mut tally = Tally::default();
    for name in ["tcp", "tcp6"] {
        let file = net(name);
        if !file.is_empty() {
            tcp(&file, &mut tally).expect("every line has a state");
        }
    }
    tally
}

/// `HELD` connections over loopback, each with the listener's end first.
fn connections(host: SocketAddr) -> Option<(TcpListener, Vec<(TcpStream, TcpStream)>)> {
    let listener = TcpListener::bind(host).ok()?;
    let pairs = (0..HELD).map(|_| {
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, far)
    });
    let pairs = pairs.collect();
    Some((listener, pairs))
}

/// Waits for a condition that other parts of the kernel bring about in their own time.
fn within_tries(mut holds: impl FnMut() -> bool) -> bool {
    (0..TRIES).any(|_| {
        holds() || {
            std::thread::sleep(Duration::from_millis(50));
            false
        }
    })
}

#[test]
fn the_dump_counts_what_the_files_list_and_the_sums_fill_in_the_rest() {
    if is_refused() {
        return;
    }
    let local: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let listeners: Vec<_> = (0..HELD).map(|_| TcpListener::bind(local).unwrap()).collect();
    // A host without IPv6 has none of these.
    let listeners6: Vec<_> = (0..HELD).map_while(|_| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()).collect();
    let listening = (listeners.len() + listeners6.len()) as u64;

    let (_listener, established) = connections(local).unwrap();
    // Half closed by this end: FIN_WAIT2 here, CLOSE_WAIT there.
    let (_listener_half, half_closed) = connections(local).unwrap();
    for (near, far) in &half_closed {
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&mut &*far).read(&mut [0]).unwrap(), 0);
    }
    // Closed by this end, not by that: remains in FIN_WAIT2 here, CLOSE_WAIT there.
    let (_listener_remains, closed_here) = connections(local).unwrap();
    let mut far_ends = Vec::new();
    for (near, mut far) in closed_here {
        drop(near);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        far_ends.push(far);
    }
    // Closed by both: TIME_WAIT here.
    let (_listener_closed, closed) = connections(local).unwrap();
    for (near, mut far) in closed {
        drop(near);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }

    let held_at_least = |counted: &Counted| {
        counted.tally.of(State::Listen) >= listening + 4
            && counted.tally.of(State::CloseWait) >= 2 * HELD
            && counted.tally.of(State::FinWait2) >= 2 * HELD
            // One or another stays whole: the kernel keeps a socket that it finds locked when the last answer comes.
            && counted.fin_wait2_remains > 0
            && counted.fin_wait2_remains + HELD <= counted.tally.of(State::FinWait2)
    };
    assert!(within_tries(|| held_at_least(&dump())), "held here and not counted: {:?}", dump());

    let near = |ours: u64, theirs: u64| ours.abs_diff(theirs) < HELD / 2;
    let mut last = String::new();
    let agrees = within_tries(|| {
        let (dumped, listed) = (dump(), in_files());
        let (estab, tw) = (curr_estab(&net("snmp")), sockstat(&net("sockstat"), b"TCP:", b"tw"));
        last = format!("{dumped:?} {listed:?} CurrEstab {estab:?} tw {tw:?}");
        State::ALL.iter().all(|(state, _)| match state {
            State::Established | State::TimeWait => dumped.tally.of(*state) == 0,
            _ => near(dumped.tally.of(*state), listed.of(*state)),
        }) && estab.is_some_and(|both| near(both, listed.of(State::Established) + listed.of(State::CloseWait)))
            && tw.is_some_and(|both| near(both, listed.of(State::TimeWait) + dumped.fin_wait2_remains))
            && listed.of(State::Established) >= 2 * established.len() as u64
            && listed.of(State::TimeWait) >= HELD
    });
    assert!(agrees, "{last}");
}

#[test]
fn the_sums_of_udp_are_the_sockets_that_the_files_list() {
    let bound: Vec<_> = (0..HELD).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let bound6: Vec<_> = (0..HELD).map_while(|_| UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).ok()).collect();
    let held = (bound.len() + bound6.len()) as u64;
    let lines = |name| net(name).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).skip(1).count() as u64;
    let mut last = (0, 0);
    let agrees = within_tries(|| {
        let sums = sockstat(&net("sockstat"), b"UDP:", b"inuse").unwrap()
            + sockstat(&net("sockstat6"), b"UDP6:", b"inuse").unwrap_or(0);
        last = (sums, lines("udp") + lines("udp6"));
        sums >= held && sums.abs_diff(last.1) < HELD / 2
    });
    assert!(agrees, "summed {}, listed {}, held {held}", last.0, last.1);
}

#[test]
fn a_dump_that_is_late_fails_and_leaves_nothing_to_the_next() {
    if is_refused() {
        return;
    }
    let _listeners: Vec<_> = (0..MANY).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let mut diag = Diag::new();
    let too_late = Instant::now();
    assert_eq!(diag.dump(too_late).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    // Twice: with the socket opened anew, and with the same one.
    for _ in 0..2 {
        let agrees = within_tries(|| {
            let (dumped, listed) = (diag.dump(later()).unwrap().tally.of(State::Listen), in_files().of(State::Listen));
            dumped >= MANY as u64 && dumped.abs_diff(listed) < MANY as u64 / 2
        });
        assert!(agrees, "{:?} {:?}", dump(), in_files());
    }
}
