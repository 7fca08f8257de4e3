//! What is said to the kernel's socket diagnostics and what it answers, as bytes: netlink(7), sock_diag(7),
//! include/uapi/linux/inet_diag.h. Pure: no descriptor, no clock.
//!
//! The request is the old `TCPDIAG_GETSOCK` (type 18, in every kernel since 2.6.14). Its successor `SOCK_DIAG_BY_FAMILY`
//! takes one family a dump, and each dump walks the whole table of connections; the old one walks it once for both.
//! Every length in an answer is checked before it is believed; bytes that make no sense end the dump with an error.

use crate::states::{State, Tally};

/// A netlink header and an `inet_diag_req` of 60 bytes.
pub(crate) const REQUEST_LENGTH: usize = HEADER + 60;

const HEADER: usize = 16;
const TCPDIAG_GETSOCK: u16 = 18;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
/// `inet_diag_msg` without its attributes.
const SOCKET_LENGTH: usize = 72;
/// What `idiag_timer` says of a socket that has shrunk to the remains kept for late packets.
const TIMER_OF_REMAINS: u8 = 3;

/// The states that the dump leaves out. Busy hosts have nearly all their sockets in these two, and both are counted
/// elsewhere for the price of a small file.
const MASKED: [State; 2] = [State::Established, State::TimeWait];

/// The request for every TCP socket, IPv4 and IPv6, that is in none of the `MASKED` states.
pub(crate) fn request() -> [u8; REQUEST_LENGTH] {
    let masked = MASKED.iter().fold(0u32, |bits, state| bits | 1 << *state as u32);
    // Bits 1 to 12. Not 13, BOUND_INACTIVE (Linux 6.8): sockets that are bound and neither connect nor listen, which
    // /proc/net/tcp does not list either.
    let states: u32 = 0x1ffe & !masked;
    let mut bytes = [0; REQUEST_LENGTH];
    bytes[0..4].copy_from_slice(&(REQUEST_LENGTH as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&TCPDIAG_GETSOCK.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // idiag_states: after family, prefix lengths and extensions (4 bytes) and the socket's identity (48), all zero: any.
    bytes[HEADER + 52..HEADER + 56].copy_from_slice(&states.to_ne_bytes());
    bytes
}

/// What a dump counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Sockets by state; FIN_WAIT2 with the remains of closed sockets in it.
    pub(crate) tally: Tally,
    /// Those of FIN_WAIT2 that are remains. net/sockstat counts them under `tw`, and /proc/net/tcp as FIN_WAIT2.
    pub(crate) fin_wait2_remains: u64,
}

/// Why an answer ends a dump before its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The kernel said no, with this errno.
    Refused(i32),
    /// Bytes that are no answer.
    Garbled,
}

/// Counts the sockets of one received batch of messages. True when it holds the end of the dump.
pub(crate) fn count(mut batch: &[u8], into: &mut Counted) -> Result<bool, Fault> {
    while !batch.is_empty() {
        let length = u32_at(batch, 0)? as usize;
        let kind = u16_at(batch, 4)?;
        let body = batch.get(HEADER..length).ok_or(Fault::Garbled)?;
        match kind {
            // Both begin with an errno, negative; 0 in DONE says that all went well. inet_diag reports a missing
            // tcp_diag module in DONE.
            NLMSG_ERROR | NLMSG_DONE => match u32_at(body, 0).map(u32::cast_signed) {
                Ok(0) if kind == NLMSG_DONE => return Ok(true),
                Ok(errno) if errno < 0 => return Err(Fault::Refused(errno.saturating_neg())),
                _ => return Err(Fault::Garbled),
            },
            TCPDIAG_GETSOCK => {
                let socket = body.get(..SOCKET_LENGTH).ok_or(Fault::Garbled)?;
                let (state, timer) = (socket[1], socket[2]);
                into.tally.add(state);
                if state == State::FinWait2 as u8 && timer == TIMER_OF_REMAINS {
                    into.fin_wait2_remains += 1;
                }
            }
            // NLMSG_NOOP, and whatever a later kernel may put between.
            _ => {}
        }
        // Messages begin at multiples of four. The last may end without its padding.
        batch = batch.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes).ok_or(Fault::Garbled)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes).ok_or(Fault::Garbled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// A socket in this state with one attribute of 5 bytes behind it, as INET_DIAG_SHUTDOWN has.
    fn socket(state: State, timer: u8) -> Vec<u8> {
        let mut body = vec![0; SOCKET_LENGTH];
        body[..3].copy_from_slice(&[2, state as u8, timer]);
        body.extend([5, 0, 8, 0, 0]);
        message(TCPDIAG_GETSOCK, &body)
    }

    #[test]
    fn a_batch_is_counted_by_state_up_to_its_end() {
        let batch: Vec<u8> = [
            socket(State::Listen, 0),
            socket(State::CloseWait, 2),
            message(1, &[]),
            socket(State::FinWait2, TIMER_OF_REMAINS),
            socket(State::FinWait2, 2),
            message(NLMSG_DONE, &[0; 4]),
            socket(State::Closing, 0),
        ]
        .concat();
        let mut counted = Counted::default();
        assert_eq!(count(&batch, &mut counted), Ok(true));
        assert_eq!(counted.tally.of(State::Listen), 1);
        assert_eq!(counted.tally.of(State::CloseWait), 1);
        assert_eq!(counted.tally.of(State::FinWait2), 2);
        assert_eq!(counted.tally.of(State::Closing), 0, "what follows the end is not part of the dump");
        assert_eq!(counted.fin_wait2_remains, 1);
    }

    #[test]
    fn a_batch_without_an_end_asks_for_more() {
        let mut counted = Counted::default();
        assert_eq!(count(&socket(State::Listen, 0), &mut counted), Ok(false));
        assert_eq!(count(&[], &mut counted), Ok(false));
        assert_eq!(counted.tally.of(State::Listen), 1);
    }

    #[test]
    fn a_refusal_is_told_by_its_errno_in_either_message() {
        let refused = (-2i32).to_ne_bytes();
        for kind in [NLMSG_ERROR, NLMSG_DONE] {
            assert_eq!(count(&message(kind, &refused), &mut Counted::default()), Err(Fault::Refused(2)));
        }
    }

    #[test]
    fn lengths_that_lie_are_garbled() {
        let whole = socket(State::Listen, 0);
        for length in [0u32, 4, 15, 17, 40, u32::MAX, whole.len() as u32 + 1] {
            let mut bytes = whole.clone();
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(count(&bytes, &mut Counted::default()), Err(Fault::Garbled), "length {length}");
        }
    }

    #[test]
    fn the_request_masks_the_two_states_that_are_counted_elsewhere() {
        let bytes = request();
        assert_eq!(bytes.len(), 76);
        assert_eq!(u32_at(&bytes, HEADER + 52), Ok(0b1_1111_1011_1100));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = count(&bytes, &mut Counted::default());
        }

        #[test]
        fn any_flipped_byte_of_a_good_batch_ends_in_an_answer(at in 0usize..120, value in any::<u8>()) {
            let mut batch = [socket(State::Listen, 0), message(NLMSG_DONE, &[0; 4])].concat();
            let at = at % batch.len();
            batch[at] = value;
            let mut counted = Counted::default();
            let _ = count(&batch, &mut counted);
            prop_assert!(counted.tally.of(State::Listen) <= 1);
        }
    }
}
