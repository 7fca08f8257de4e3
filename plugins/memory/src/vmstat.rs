//! `/proc/vmstat`: a name, a blank and a number, about 200 of them (proc(5)). Six are read.

use plugin_api::scan::{self, Unexpected};

/// The counters, by the names that the kernel and `plugin.toml` share.
pub const COUNTERS: [&str; 6] = ["pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault"];

/// Their values, in that order. What this kernel lacks is none.
///
/// # Errors
/// One of them is no number.
pub fn parse(file: &[u8]) -> Result<[Option<u64>; COUNTERS.len()], Unexpected> {
    let mut values = [None; COUNTERS.len()];
    let mut found = 0;
    for line in scan::lines(file) {
        // All six begin with p: a look at one byte spares most lines six comparisons of names.
        if line.text.first() != Some(&b'p') {
            continue;
        }
        let mut fields = line.fields();
        let name = fields.next().unwrap_or_default();
        if let Some(place) = COUNTERS.iter().position(|counter| counter.as_bytes() == name) {
            let token = fields.next();
            values[place] = Some(token.and_then(scan::u64).ok_or_else(|| line.expected("a number", token))?);
            found += 1;
            if found == COUNTERS.len() {
                break;
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_names_in_any_order() {
        let file = b"nr_free_pages 1\npswpin 3\npgpgin 7\npgfault_x 9\npgmajfault 18446744073709551615\npgfault 5\n";
        assert_eq!(parse(file).unwrap(), [Some(7), None, Some(3), None, Some(5), Some(u64::MAX)]);
    }

    #[test]
    fn what_is_no_number_is_named_with_its_line() {
        let wrong = parse(b"pgpgin 1\npgpgout x\n").unwrap_err();
        assert_eq!(wrong.to_string(), "line 2: expected a number, found \"x\"");
        assert_eq!(parse(b"pgpgin\n").unwrap_err().to_string(), "line 1: expected a number, found the end of the line");
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..200) {
            // Noise alone never gets past the first letter.
            let at = at.min(bytes.len());
            bytes.splice(at..at, *b"\npgpgin ");
            let _ = parse(&bytes); // either answer will do: what matters is that one comes
        }
    }
}
