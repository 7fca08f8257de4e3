//! /proc/net/dev, proc(5): two lines of heading, then a line an interface; eight columns received, eight sent.
//!
//! Pure and borrowed. The line of an interface that makes no sense costs that interface; a file with another heading
//! is refused, because its columns would be guessed.

use plugin_api::scan::{self, Unexpected};

/// The columns of a line: eight received, eight sent.
pub(crate) type Numbers = [u64; 16];

/// The columns of the table, each with its place among the columns of a line.
pub(crate) const COLUMNS: [(&str, usize); 8] = [
    ("bytes_recv", 0),
    ("packets_recv", 1),
    ("errors_in", 2),
    ("drops_in", 3),
    ("bytes_sent", 8),
    ("packets_sent", 9),
    ("errors_out", 10),
    ("drops_out", 11),
];

/// One line: whose it is (`None` where it does not say), and its numbers (`None` where they are cut or none).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) interface: Option<&'a [u8]>,
    pub(crate) numbers: Option<Numbers>,
}

/// The lines below the heading.
///
/// # Errors
/// The heading is not the known one.
pub(crate) fn lines(file: &[u8]) -> Result<impl Iterator<Item = Line<'_>>, Unexpected> {
    const HEADING: &str = "the heading `face |bytes packets …|bytes packets …`";
    let mut lines = scan::lines(file);
    let heading = lines.nth(1).ok_or(Unexpected::missing(HEADING))?;
    let mut groups = heading.text.split(|byte| *byte == b'|').skip(1);
    let known = |group: &[u8]| group.starts_with(b"bytes ");
    if !(groups.next().is_some_and(known) && groups.next().is_some_and(known)) {
        return Err(heading.expected(HEADING, Some(heading.text)));
    }
    Ok(lines.map(|line| parsed(line.text)))
}

fn parsed(line: &[u8]) -> Line<'_> {
    // The last colon: a name may have one on old kernels (an alias, `eth0:1`), numbers have none. On old kernels a large
    // count of bytes follows it without a space.
    let Some(colon) = line.iter().rposition(|byte| *byte == b':') else {
        return Line { interface: None, numbers: None };
    };
    let name = line[..colon].trim_ascii();
    Line { interface: (!name.is_empty()).then_some(name), numbers: numbers(&line[colon + 1..]) }
}

fn numbers(columns: &[u8]) -> Option<Numbers> {
    let mut numbers = [0; 16];
    let mut fields = scan::fields(columns);
    for number in &mut numbers {
        *number = scan::u64(fields.next()?)?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADING: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";

    fn rows(body: &str) -> Vec<(String, Option<Numbers>)> {
        let file = format!("{HEADING}{body}");
        let lines = lines(file.as_bytes()).expect("the heading is the known one");
        lines.map(|line| (String::from_utf8_lossy(line.interface.unwrap_or(b"?")).into(), line.numbers)).collect()
    }

    #[test]
    fn every_column_is_taken_from_its_place() {
        let found = rows("  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
        let numbers = found[0].1.expect("sixteen numbers");
        let taken = COLUMNS.map(|(name, place)| (name, numbers[place]));
        let expected = [
            ("bytes_recv", 1),
            ("packets_recv", 2),
            ("errors_in", 3),
            ("drops_in", 4),
            ("bytes_sent", 9),
            ("packets_sent", 10),
            ("errors_out", 11),
            ("drops_out", 12),
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn a_name_ends_at_the_last_colon_and_needs_no_space_behind_it() {
        let found = rows(
            "eth0:1:4294967296 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n br-lan.7: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n",
        );
        assert_eq!(found[0].0, "eth0:1");
        assert_eq!(found[0].1.map(|numbers| numbers[0]), Some(1 << 32));
        assert_eq!(found[1].0, "br-lan.7");
        assert!(found[1].1.is_some(), "a column more is a later kernel's");
    }

    #[test]
    fn a_line_that_is_cut_or_no_number_costs_that_line() {
        let found = rows(
            "a: 1 2 3\nb: 1 2 x 4 5 6 7 8 9 10 11 12 13 14 15 16\nc: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nno colon\n: 1\n",
        );
        let names: Vec<_> = found.iter().map(|(name, numbers)| (name.as_str(), numbers.is_some())).collect();
        assert_eq!(names, [("a", false), ("b", false), ("c", true), ("?", false), ("?", false)]);
    }

    #[test]
    fn another_heading_is_refused() {
        for file in ["", "\n", "\0\0\0\0\n\0\0\n", "a\nb |packets bytes|bytes packets\n", "a\n face |bytes packets\n"] {
            assert!(lines(file.as_bytes()).is_err(), "{file:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_parsed(numbers in proptest::array::uniform16(any::<u64>())) {
            let text = numbers.map(|number| number.to_string()).join(" ");
            let found = rows(&format!("x:{text}\n"));
            prop_assert_eq!(found[0].1, Some(numbers));
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let file = [HEADING.as_bytes(), &bytes].concat();
            prop_assert!(lines(&file).expect("the heading is the known one").count() <= bytes.len());
            let _ = lines(&bytes).map(Iterator::count);
        }
    }
}
