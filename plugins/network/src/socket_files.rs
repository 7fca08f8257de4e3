//! The kernel's text about sockets, proc(5): net/tcp and net/tcp6 (a line a socket), net/sockstat, net/sockstat6 and
//! net/snmp (sums). Pure: bytes in, counts out.

use plugin_api::scan::{self, Unexpected};

use crate::states::Tally;

/// Fields before the state: number, local address, remote address.
const STATE: usize = 3;

/// Counts the lines of net/tcp or net/tcp6 by state.
///
/// # Errors
/// A line has no state: a file that is cut would count too little, and an unknown number is better than a wrong one.
pub(crate) fn tcp(file: &[u8], into: &mut Tally) -> Result<(), Unexpected> {
    let mut lines = scan::lines(file);
    // "  sl  local_address rem_address   st tx_queue …" (net/tcp6 spells it remote_address).
    let heading = lines.next().ok_or(Unexpected::missing("a heading"))?;
    let place = heading.fields().nth(STATE);
    if place != Some(b"st") {
        return Err(heading.expected("the heading `st`", place));
    }
    for line in lines {
        let field = line.fields().nth(STATE);
        into.add(field.and_then(hex_byte).ok_or_else(|| line.expected("a state of two hexadecimal digits", field))?);
    }
    Ok(())
}

/// The number behind a word in the line of sockstat or sockstat6 that begins with `line`:
/// `"TCP: inuse 5 orphan 0 tw 2 …"`, `"TCP:"`, `"tw"` is 2.
pub(crate) fn sockstat(file: &[u8], line: &[u8], word: &[u8]) -> Option<u64> {
    for text in scan::lines(file) {
        let mut fields = text.fields();
        if fields.next() == Some(line) {
            fields.find(|field| *field == word)?;
            return scan::u64(fields.next()?);
        }
    }
    None
}

/// `CurrEstab` of net/snmp (RFC 4022, tcpCurrEstab): connections in state ESTABLISHED or CLOSE_WAIT, both families.
/// The file has two lines a protocol, names and then numbers.
pub(crate) fn curr_estab(file: &[u8]) -> Option<u64> {
    let mut of_tcp = scan::lines(file).filter(|line| line.text.starts_with(b"Tcp: "));
    let (names, numbers) = (of_tcp.next()?, of_tcp.next()?);
    let column = names.fields().position(|name| name == b"CurrEstab")?;
    // The kernel adds up counters of each processor that may be negative one by one; should the sum be so for a moment, it
    // prints a number near 2^64.
    scan::u64(numbers.fields().nth(column)?).filter(|count| *count <= i64::MAX as u64)
}

fn hex_byte(field: &[u8]) -> Option<u8> {
    match field {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::states::State;
    use proptest::prelude::*;

    const TCP: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn counted(body: &str) -> Option<Tally> {
        let mut tally = Tally::default();
        tcp(format!("{TCP}{body}").as_bytes(), &mut tally).ok().map(|()| tally)
    }

    #[test]
    fn each_line_counts_for_the_state_it_names() {
        let tally = counted(
            "   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100 0 0 10 0   \n\
             12345: 0100007F:0277 0100007F:D431 01 00000000:00000000 00:00000000 00000000 0 0 1 1 0\n\
             2: 0100007F:0277 0100007F:D432 0a 0:0 0 0\n",
        )
        .expect("every line has a state");
        assert_eq!((tally.of(State::Listen), tally.of(State::Established)), (2, 1));
    }

    #[test]
    fn a_line_without_a_state_leaves_the_count_unknown() {
        for body in ["   0: 0100007F:0277 000", "0: a b 0", "0: a b 0G 1\n", "0: a b 001\n", "\0\0\0\0\n"] {
            assert_eq!(counted(body), None, "{body:?}");
        }
        assert!(tcp(b"", &mut Tally::default()).is_err());
        assert_eq!(counted(""), Some(Tally::default()), "no socket at all is zero");
    }

    #[test]
    fn a_sum_is_found_by_its_line_and_word() {
        let file =
            b"sockets: used 13\nTCP: inuse 1 orphan 0 tw 7 alloc 1 mem 165\nUDP: inuse 3 mem 0\nUDPLITE: inuse 9\n";
        assert_eq!(sockstat(file, b"TCP:", b"tw"), Some(7));
        assert_eq!(sockstat(file, b"UDP:", b"inuse"), Some(3));
        assert_eq!(sockstat(file, b"UDP6:", b"inuse"), None);
        assert_eq!(sockstat(b"UDP: inuse", b"UDP:", b"inuse"), None);
        assert_eq!(sockstat(b"TCP: inuse 1\nX: tw 1\n", b"TCP:", b"tw"), None, "a word of another line");
    }

    #[test]
    fn established_is_found_by_the_name_of_its_column() {
        let file =
            b"Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm MaxConn CurrEstab InSegs\nTcp: 1 -1 42 9\nTcpExt: CurrEstab\n";
        assert_eq!(curr_estab(file), Some(42));
        assert_eq!(curr_estab(b"Tcp: CurrEstab\nTcp: 18446744073709551615\n"), None, "a negative sum");
        assert_eq!(curr_estab(b"Tcp: A CurrEstab\nTcp: 1\n"), None);
        assert_eq!(curr_estab(b"Tcp: A\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = tcp(&[TCP.as_bytes(), &bytes].concat(), &mut Tally::default());
            let _ = (tcp(&bytes, &mut Tally::default()), sockstat(&bytes, b"TCP:", b"tw"), curr_estab(&bytes));
        }
    }
}
