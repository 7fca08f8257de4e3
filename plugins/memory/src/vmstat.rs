//! `/proc/vmstat`: a name, a blank and a number, about 200 of them (proc(5)). Six are read.

use plugin_api::scan;

/// The counters, by the names that the kernel and `plugin.toml` share.
pub const COUNTERS: [&str; 6] = ["pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault"];

/// Their values, in that order. What this kernel lacks, or what is no number, is none.
pub fn parse(file: &[u8]) -> [Option<u64>; COUNTERS.len()] {
    let mut values = [None; COUNTERS.len()];
    let mut found = 0;
    for line in scan::lines(file) {
        // All are of the p kind: a quick look spares most lines a comparison of names.
        if line.text.first() != Some(&b'p') {
            continue;
        }
        let mut fields = line.fields();
        let (name, value) = (fields.next().unwrap_or_default(), fields.next());
        if let Some(place) = COUNTERS.iter().position(|counter| counter.as_bytes() == name) {
            values[place] = value.and_then(scan::u64);
            found += 1;
            if found == COUNTERS.len() {
                break;
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_names_in_any_order() {
        let values =
            parse(b"nr_free_pages 1\npswpin 3\npgpgin 7\npgfault_x 9\npgmajfault 18446744073709551615\npgfault 5\n");
        assert_eq!(values, [Some(7), None, Some(3), None, Some(5), Some(u64::MAX)]);
    }

    #[test]
    fn garbage_is_no_value_and_no_failure() {
        assert_eq!(parse(b"pgpgin\npgpgout x\n\xff\0\n"), [None; 6]);
    }
}
