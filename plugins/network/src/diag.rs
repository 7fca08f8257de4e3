//! The one place that talks netlink: one dump of the kernel's TCP sockets through `NETLINK_SOCK_DIAG`.
//!
//! One socket and one buffer, opened at the first dump and kept: a steady dump is a send and a receive. After anything
//! that goes wrong the socket is closed, and with it whatever was left of that dump, so that no late answer is taken
//! for one of the next. It answers for the network namespace of this process only.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

use crate::message::{self, Counted, Fault};

/// The kernel makes no batch of a dump longer than 32 KiB (netlink_recvmsg in net/netlink/af_netlink.c).
const BATCH_BYTES_MAX: usize = 32 * 1024;

/// About 400,000 sockets, at 160 bytes each, that are neither established nor in TIME_WAIT: a host has nothing like it.
const DUMP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long one receive waits. The kernel writes each batch within the receive itself, so there is nothing to wait for;
/// half the usual limit of a call leaves time to say so.
const RECEIVE_PATIENCE: Duration = Duration::from_millis(500);

/// The socket and the buffer of the dumps.
pub(crate) struct Diag {
    socket: Option<OwnedFd>,
    batch: Box<[u8]>,
}

impl Diag {
    /// Nothing is opened yet.
    pub(crate) fn new() -> Diag {
        Diag { socket: None, batch: vec![0; BATCH_BYTES_MAX].into() }
    }

    /// Counts every TCP socket, IPv4 and IPv6, that is neither established nor in TIME_WAIT.
    ///
    /// # Errors
    /// What a system call or the kernel's answer said; `TimedOut` where the dump did not end by `deadline`;
    /// `InvalidData` for an answer that is none or does not end.
    pub(crate) fn dump(&mut self, deadline: Instant) -> io::Result<Counted> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open()?,
        };
        let counted = dump(&socket, &mut self.batch, deadline)?;
        self.socket = Some(socket);
        Ok(counted)
    }
}

/// True where the error says that this host does not answer such questions, rather than not now: a sandbox, a kernel
/// without the module, a user-space kernel.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let refusals = [
        Errno::ACCESS,
        Errno::AFNOSUPPORT,
        Errno::CONNREFUSED,
        Errno::INVAL,
        Errno::NOENT,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::PROTONOSUPPORT,
        Errno::SOCKTNOSUPPORT,
    ];
    error.raw_os_error().is_some_and(|code| refusals.contains(&Errno::from_raw_os_error(code)))
}

fn open() -> io::Result<OwnedFd> {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(RECEIVE_PATIENCE))?;
    Ok(socket)
}

fn dump(socket: &OwnedFd, batch: &mut [u8], deadline: Instant) -> io::Result<Counted> {
    // A netlink socket that was never connected sends to the kernel.
    send(socket, &message::request(), SendFlags::empty())?;
    let mut counted = Counted::default();
    let mut bytes = 0;
    while bytes <= DUMP_BYTES_MAX {
        // TRUNC makes the kernel say how long the batch was, so that a cut one is seen.
        let (kept, length) = retry_on_intr(|| recv(socket, &mut *batch, RecvFlags::TRUNC)).map_err(timed_out)?;
        if kept < length {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a batch is longer than a kernel makes them"));
        }
        bytes += length;
        match message::count(&batch[..length], &mut counted) {
            Ok(true) => return Ok(counted),
            Ok(false) if Instant::now() < deadline => {}
            Ok(false) => return Err(timed_out(Errno::AGAIN)),
            Err(Fault::Refused(code)) => return Err(io::Error::from_raw_os_error(code)),
            Err(Fault::Garbled) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is garbled")),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the answer does not end within 64 MiB"))
}

/// A receive whose time is up fails with EAGAIN, "Resource temporarily unavailable", which tells a reader nothing.
fn timed_out(errno: Errno) -> io::Error {
    match errno {
        Errno::AGAIN => io::Error::new(io::ErrorKind::TimedOut, "the answer did not end in time"),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_not_answer_later_either_is_a_refusal_and_what_may_is_not() {
        for errno in [Errno::PERM, Errno::ACCESS, Errno::PROTONOSUPPORT, Errno::NOENT, Errno::AFNOSUPPORT] {
            assert!(is_refusal(&errno.into()), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::BUSY, Errno::NOMEM, Errno::NOBUFS] {
            assert!(!is_refusal(&errno.into()), "{errno}");
        }
        assert!(!is_refusal(&timed_out(Errno::AGAIN)));
        assert_eq!(timed_out(Errno::AGAIN).kind(), io::ErrorKind::TimedOut);
    }
}
