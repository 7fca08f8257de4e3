//! /proc/stat, proc(5): time by mode, of all cores and of each, then what else the kernel counts.
//!
//! Pure and borrowed. It promises to look at the first number only of the line of interrupts, which has one for each
//! that the machine could have: 10 KB on a large host. A line that it does not know is passed over, so a later kernel's
//! file reads as well as an old one's, which has fewer columns.

use plugin_api::scan::{self, Line, Unexpected};

/// The modes in the order of the columns. The two columns behind them are guest and guest_nice, which the kernel has
/// counted in user and nice already.
pub(crate) const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// The columns that every kernel has: user, nice, system, idle.
const ALWAYS: usize = 4;

/// Time by mode in ticks of the clock; none where this kernel has no such column.
pub(crate) type Ticks = [Option<u64>; 8];

/// A line that matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    All(Ticks),
    /// Its number as it is written, and its time.
    Core(&'a [u8], Result<Ticks, Unexpected>),
    Interrupts(u64),
    ContextSwitches(u64),
    ProcessesCreated(u64),
}

/// The lines that matter, in the order of the file. A line of one core that makes no sense is that core's trouble;
/// any other is an error.
pub(crate) fn entries(file: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, Unexpected>> {
    scan::lines(file).filter_map(|line| entry(&line).transpose())
}

fn entry<'a>(line: &Line<'a>) -> Result<Option<Entry<'a>>, Unexpected> {
    let mut fields = line.fields();
    let one = |mut fields: scan::Fields<'a>| {
        let field = fields.next();
        field.and_then(scan::u64).ok_or_else(|| line.expected("a number", field))
    };
    Ok(Some(match fields.next() {
        Some(b"cpu") => Entry::All(ticks(line)?),
        Some(b"intr") => Entry::Interrupts(one(fields)?),
        Some(b"ctxt") => Entry::ContextSwitches(one(fields)?),
        Some(b"processes") => Entry::ProcessesCreated(one(fields)?),
        Some(name) => match name.strip_prefix(b"cpu") {
            Some(number) if number.iter().all(u8::is_ascii_digit) => Entry::Core(number, ticks(line)),
            _ => return Ok(None),
        },
        None => return Ok(None),
    }))
}

fn ticks(line: &Line<'_>) -> Result<Ticks, Unexpected> {
    let mut ticks = [None; 8];
    let mut fields = line.fields();
    fields.next();
    for (place, slot) in ticks.iter_mut().enumerate() {
        match fields.next() {
            None if place >= ALWAYS => break,
            field => *slot = Some(field.and_then(scan::u64).ok_or_else(|| line.expected("a number", field))?),
        }
    }
    Ok(ticks)
}

/// /proc/loadavg, proc(5): the averages over 1, 5 and 15 minutes.
pub(crate) fn loads(file: &[u8]) -> Result<[f64; 3], Unexpected> {
    let line = scan::lines(file).next().ok_or(Unexpected::missing("three load averages"))?;
    let mut fields = line.fields();
    let mut load = || {
        let field = fields.next();
        field.and_then(scan::f64).ok_or_else(|| line.expected("a load average", field))
    };
    Ok([load()?, load()?, load()?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(file: &str) -> Vec<Entry<'_>> {
        entries(file.as_bytes()).map(|entry| entry.expect("every line makes sense")).collect()
    }

    #[test]
    fn each_line_that_matters_is_taken() {
        let file = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 11 12 13 14 15 16 17 18 19 20\nintr 21 0 0 x\nctxt 22\nbtime 23\nprocesses 24\nprocs_running 1\nprocs_blocked 0\nsoftirq 25 1\n";
        let expected = [
            Entry::All([1, 2, 3, 4, 5, 6, 7, 8].map(Some)),
            Entry::Core(b"0", Ok([11, 12, 13, 14, 15, 16, 17, 18].map(Some))),
            Entry::Interrupts(21),
            Entry::ContextSwitches(22),
            Entry::ProcessesCreated(24),
        ];
        assert_eq!(parsed(file), expected);
    }

    #[test]
    fn a_kernel_with_fewer_columns_leaves_the_modes_it_lacks_unset() {
        let seven = parsed("cpu 1 2 3 4 5 6 7\n");
        assert_eq!(seven, [Entry::All([Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), Some(7), None])]);
        let four = parsed("cpu 1 2 3 4\n");
        assert_eq!(four, [Entry::All([Some(1), Some(2), Some(3), Some(4), None, None, None, None])]);
    }

    #[test]
    fn a_line_that_is_cut_costs_its_core_only() {
        let file = "cpu 1 2 3 4\ncpu0 1 2\ncpu1 1 2 x 4\ncpu2 1 2 3 4\n";
        let entries: Vec<_> = entries(file.as_bytes()).map(|entry| entry.expect("no line fails them all")).collect();
        let Entry::Core(b"0", Err(cut)) = &entries[1] else { panic!("{entries:?}") };
        assert_eq!(cut.to_string(), "line 2: expected a number, found the end of the line");
        let Entry::Core(b"1", Err(wrong)) = &entries[2] else { panic!("{entries:?}") };
        assert_eq!(wrong.to_string(), "line 3: expected a number, found \"x\"");
        assert!(matches!(entries[3], Entry::Core(b"2", Ok(_))));
    }

    #[test]
    fn a_total_that_makes_no_sense_is_an_error() {
        let wrong = entries(b"cpu 1 2 3\n").next().expect("a line").expect_err("three columns");
        assert_eq!(wrong.to_string(), "line 1: expected a number, found the end of the line");
        let wrong = entries(b"ctxt -1\n").next().expect("a line").expect_err("a negative count");
        assert_eq!(wrong.to_string(), "line 1: expected a number, found \"-1\"");
    }

    #[test]
    fn the_first_three_numbers_are_the_loads() {
        assert_eq!(loads(b"0.52 1.58 12.09 1/613 23415\n"), Ok([0.52, 1.58, 12.09]));
        assert!(loads(b"0.52 1.58\n").is_err());
        assert!(loads(b"").is_err());
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_parsed(numbers in proptest::array::uniform8(any::<u64>()), core in 0u32..9999) {
            let text = numbers.map(|number| number.to_string()).join(" ");
            let number = core.to_string();
            let expected = Entry::Core(number.as_bytes(), Ok(numbers.map(Some)));
            let file = format!("cpu{core} {text} 1 2\n");
            prop_assert_eq!(parsed(&file), [expected]);
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(entries(&bytes).count() <= bytes.len());
            let _ = loads(&bytes);
            let file = [&b"cpu "[..], &bytes].concat();
            prop_assert!(entries(&file).count() <= file.len());
        }
    }
}
