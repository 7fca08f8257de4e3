//! The states of a TCP socket, and a tally of sockets by state.
//!
//! The numbers are the kernel's own (include/net/tcp_states.h), the same in netlink answers and in /proc/net/tcp.
//! A number that this list does not know is counted nowhere: an unknown state of a later kernel costs its own sockets.

/// One state: the kernel's number is the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Established = 1,
    SynSent = 2,
    SynRecv = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
}

impl State {
    /// Every state with the last word of its metric, in the kernel's order.
    pub(crate) const ALL: [(State, &'static str); 11] = [
        (State::Established, "established"),
        (State::SynSent, "syn_sent"),
        (State::SynRecv, "syn_recv"),
        (State::FinWait1, "fin_wait1"),
        (State::FinWait2, "fin_wait2"),
        (State::TimeWait, "time_wait"),
        (State::Close, "close"),
        (State::CloseWait, "close_wait"),
        (State::LastAck, "last_ack"),
        (State::Listen, "listen"),
        (State::Closing, "closing"),
    ];
}

/// TCP_NEW_SYN_RECV (Linux 4.1): a connection that is still a request. Both sources print it as SYN_RECV; counted so
/// should one ever print the number itself.
const NEW_SYN_RECV: u8 = 12;

/// How many sockets are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally([u64; 12]);

impl Tally {
    /// Counts one socket in the state of this number.
    pub(crate) fn add(&mut self, number: u8) {
        let number = if number == NEW_SYN_RECV { State::SynRecv as u8 } else { number };
        // Slot 0 takes what has no name; nobody reads it.
        let slot = if usize::from(number) < self.0.len() { usize::from(number) } else { 0 };
        self.0[slot] += 1;
    }

    /// Sockets in one state.
    pub(crate) fn of(&self, state: State) -> u64 {
        self.0[state as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_still_a_request_is_syn_recv_and_an_unknown_state_is_nothing() {
        let mut tally = Tally::default();
        for number in [1, 3, 12, 13, 0, 255] {
            tally.add(number);
        }
        assert_eq!(tally.of(State::Established), 1);
        assert_eq!(tally.of(State::SynRecv), 2);
        let named: u64 = State::ALL.iter().map(|(state, _)| tally.of(*state)).sum();
        assert_eq!(named, 3);
    }
}
