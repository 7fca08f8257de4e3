//! Whether any TCP socket can have changed its state since the last dump: where none can, the last dump still holds.
//!
//! A dump makes the kernel walk its whole table of connections, 1.6 ms where a table has 262,144 buckets, however few are
//! in use. Every change of a state sends or receives a segment, which net/snmp counts in its `Tcp` lines, or is the end of a
//! socket, which the `TCP` lines of net/sockstat and net/sockstat6 show in `inuse`, `orphan` or `tw`. The one exception is a
//! connection that is still a request (SYN_RECV): it may expire without a segment, and is in none of the sums; so a dump
//! that found one holds for that reading only. A new one needs a segment. All of these are of one network namespace.
//!
//! The lines are compared whole, byte for byte: what else stands in them (`alloc`, `mem`) can only cost a dump too many. They are
//! read before the dump, so that whatever moves beside it is seen at the next reading.

use plugin_api::scan;

use crate::message::Counted;
use crate::states::State;

/// The last dump, and what the sums were before it.
#[derive(Default)]
pub(crate) struct Still {
    before: Vec<u8>,
    now: Vec<u8>,
    is_whole: bool,
    last: Option<Counted>,
}

impl Still {
    /// Begins to take the sums in.
    pub(crate) fn begin(&mut self) {
        self.now.clear();
        self.is_whole = true;
    }

    /// Takes in the lines of a file that begin with a word. A file without any leaves the question open.
    pub(crate) fn take(&mut self, file: &[u8], word: &[u8]) {
        let length = self.now.len();
        for line in scan::lines(file).filter(|line| line.text.starts_with(word)) {
            self.now.extend_from_slice(line.text);
            self.now.push(b'\n');
        }
        self.is_whole &= self.now.len() > length;
    }

    /// The last dump, where it still holds.
    pub(crate) fn holds(&self) -> Option<&Counted> {
        let unmoved = self.is_whole && self.now == self.before;
        self.last.as_ref().filter(|last| unmoved && last.tally.of(State::SynRecv) == 0)
    }

    /// Keeps a dump that was made after the sums were taken in.
    pub(crate) fn keep(&mut self, counted: Counted) -> &Counted {
        std::mem::swap(&mut self.before, &mut self.now);
        self.last.insert(counted)
    }

    /// There is no dump to hold.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &[u8] = b"Ip: 1\nTcp: InSegs OutSegs\nTcp: 10 12\nUdp: 3\n";
    const SOCKSTAT: &[u8] = b"sockets: used 9\nTCP: inuse 2 orphan 0 tw 0 alloc 3 mem 1\nUDP: inuse 1 mem 0\n";

    fn taken(still: &mut Still, snmp: &[u8], sockstat: &[u8]) {
        still.begin();
        still.take(snmp, b"Tcp:");
        still.take(sockstat, b"TCP:");
    }

    fn after_a_dump(states: &[State]) -> Still {
        let (mut still, mut counted) = (Still::default(), Counted::default());
        states.iter().for_each(|state| counted.tally.add(*state as u8));
        taken(&mut still, SNMP, SOCKSTAT);
        assert!(still.holds().is_none(), "there was none yet");
        still.keep(counted);
        still
    }

    #[test]
    fn dump_holds_while_no_segment_and_no_socket_came_or_went() {
        let mut still = after_a_dump(&[State::Listen, State::CloseWait]);
        taken(&mut still, SNMP, b"sockets: used 30\nTCP: inuse 2 orphan 0 tw 0 alloc 3 mem 1\nUDP: inuse 8 mem 5\n");
        assert_eq!(still.holds().map(|counted| counted.tally.of(State::CloseWait)), Some(1));
    }

    #[test]
    fn one_segment_or_one_socket_more_ends_it() {
        let mut still = after_a_dump(&[State::Listen]);
        taken(&mut still, b"Tcp: InSegs OutSegs\nTcp: 11 12\n", SOCKSTAT);
        assert!(still.holds().is_none());
        taken(&mut still, SNMP, b"TCP: inuse 3 orphan 0 tw 0 alloc 3 mem 1\n");
        assert!(still.holds().is_none());
        taken(&mut still, SNMP, SOCKSTAT);
        assert!(still.holds().is_some());
        still.forget();
        assert!(still.holds().is_none());
    }

    #[test]
    fn request_that_may_expire_by_itself_is_counted_anew() {
        let mut still = after_a_dump(&[State::SynRecv]);
        taken(&mut still, SNMP, SOCKSTAT);
        assert!(still.holds().is_none());
    }

    #[test]
    fn file_without_its_line_leaves_the_question_open() {
        let mut still = after_a_dump(&[]);
        still.keep(Counted::default());
        taken(&mut still, b"Ip: 1\n", b"UDP: inuse 1\n");
        still.keep(Counted::default());
        taken(&mut still, b"Ip: 1\n", b"UDP: inuse 1\n");
        assert!(still.holds().is_none());
    }
}
