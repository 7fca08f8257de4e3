//! A file of `/proc/pressure` (Documentation/accounting/psi.rst): a line `some` and a line `full`, each of averages in percent and of a
//! total in microseconds.
//!
//! A line that a kernel does not write is none; fields and lines that it adds are passed over.
#![forbid(unsafe_code)]

use plugin_api::scan::{self, Unexpected};

/// What one line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// Share of the last minute, in percent.
    pub avg60: f64,
    /// Share of the last five minutes, in percent.
    pub avg300: f64,
    /// Time since boot, in microseconds.
    pub total: u64,
}

/// The lines of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Option<Stall>,
    /// All tasks with work waited at once.
    pub full: Option<Stall>,
}

impl Pressure {
    /// Reads a file.
    pub fn parse(file: &[u8]) -> Result<Pressure, Unexpected> {
        let mut pressure = Pressure::default();
        for line in scan::lines(file) {
            let place = match line.fields().next() {
                Some(b"some") => &mut pressure.some,
                Some(b"full") => &mut pressure.full,
                _ => continue,
            };
            let field = |key: &str| line.fields().find_map(|field| field.strip_prefix(key.as_bytes()));
            let average = |key: &str| {
                let text = field(key);
                text.and_then(scan::f64).ok_or_else(|| line.expected("an average in percent", text))
            };
            let total = field("total=");
            *place = Some(Stall {
                avg60: average("avg60=")?,
                avg300: average("avg300=")?,
                total: total.and_then(scan::u64).ok_or_else(|| line.expected("a total in microseconds", total))?,
            });
        }
        if pressure == Pressure::default() { Err(Unexpected::missing("a line `some` or `full`")) } else { Ok(pressure) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_a_later_kernel_is_passed_over_and_so_is_a_field() {
        let file = b"most avg10=x\nfull avg10=0.00 avg30=1 avg60=0.06 avg300=12.50 total=85 stalls=3\n";
        let full = Stall { avg60: 0.06, avg300: 12.5, total: 85 };
        assert_eq!(Pressure::parse(file), Ok(Pressure { some: None, full: Some(full) }));
    }

    #[test]
    fn a_field_that_is_no_number_or_missing_is_told() {
        let told = |file: &[u8]| Pressure::parse(file).unwrap_err().to_string();
        assert_eq!(told(b"some avg60=0 avg300=0 total=-1"), "line 1: expected a total in microseconds, found \"-1\"");
        assert_eq!(told(b"some avg60=0 total=1"), "line 1: expected an average in percent, found the end of the line");
        assert_eq!(told(b""), "expected a line `some` or `full`, found the end of the file");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(file in "((some|full| avg60=| avg300=| total=|1|\\.|\n|x){0,30})", raw: Vec<u8>) {
            for file in [file.as_bytes(), &raw] {
                if let Ok(pressure) = Pressure::parse(file) {
                    prop_assert!(pressure.some.or(pressure.full).is_some_and(|stall| stall.avg60.is_finite()));
                }
            }
        }
    }
}
