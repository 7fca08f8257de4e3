//! Lines, fields and numbers of kernel files, over bytes.
//!
//! Kernel files are ASCII where it matters and arbitrary bytes where a name stands, so nothing here asks for UTF-8.
//! It promises never to panic, never to allocate before something is wrong, and to take a number whole or not at all:
//! one that does not fit its type is no number, rather than one that wrapped. It refuses to guess: a sign, a blank or
//! a NUL inside a number makes it none.
//!
//! ```
//! use plugin_api::scan::{self, Unexpected};
//!
//! /// Free pages, of all processors.
//! fn free(file: &[u8]) -> Result<u64, Unexpected> {
//!     let line = scan::lines(file).find(|line| line.text.starts_with(b"free "));
//!     let line = line.ok_or(Unexpected::missing("free"))?;
//!     let number = line.fields().nth(1);
//!     number.and_then(scan::u64).ok_or_else(|| line.expected("a number", number))
//! }
//!
//! assert_eq!(free(b"total 9\nfree 7\n"), Ok(7));
//! let error = free(b"total 9\nfree x7\n").unwrap_err().of("/proc/pages");
//! assert_eq!(error.chain(), "could not parse /proc/pages: line 2: expected a number, found \"x7\"");
//! ```
#![forbid(unsafe_code)]

use std::fmt;
use std::path::Path;

use crate::Error;

/// How much of a token an error shows: enough to recognise it, on one line of a log.
const TOKEN_MAX: usize = 40;

/// The lines of a file, without their ends, each with its number from 1.
pub fn lines(file: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let file = file.strip_suffix(b"\n").unwrap_or(file);
    let none = file.is_empty();
    file.split(|byte| *byte == b'\n').filter(move |_| !none).zip(1..).map(|(text, number)| Line { number, text })
}

/// The words of a line between blanks: any run of spaces, tabs and what else ASCII has of them.
pub fn fields(line: &[u8]) -> Fields<'_> {
    Fields { rest: line }
}

/// An unsigned decimal integer, and nothing else.
pub fn u64(field: &[u8]) -> Option<u64> {
    // Nineteen digits always fit, so that the common case multiplies without a check: /proc/stat of a large host has
    // thousands of numbers.
    if field.is_empty() {
        return None;
    }
    let (head, tail) = field.split_at(field.len().min(19));
    let mut number = 0u64;
    for byte in head {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    for byte in tail {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// A decimal integer, with a leading minus or without.
pub fn i64(field: &[u8]) -> Option<i64> {
    match field.strip_prefix(b"-") {
        Some(digits) => 0i64.checked_sub_unsigned(u64(digits)?),
        None => i64::try_from(u64(field)?).ok(),
    }
}

/// A decimal number such as `0.52`, with a leading minus or without; without exponents, which the kernel never writes. With up to 15 digits
/// it is the nearest number there is, with more it may be the one beside that.
///
/// Not the standard library's, which is right to the last digit of a thousand: its tables make a plugin 17 KB larger.
pub fn f64(field: &[u8]) -> Option<f64> {
    let (digits, sign) = field.strip_prefix(b"-").map_or((field, 1.0), |digits| (digits, -1.0));
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let mut number = u64(whole)?;
    let mut scale = 1.0;
    if fraction.is_some_and(|digits| digits.is_empty() || !digits.iter().all(u8::is_ascii_digit)) {
        return None;
    }
    for byte in fraction.unwrap_or_default() {
        // 19 digits are more than an f64 tells apart: what comes after them changes nothing.
        let Some(longer) = number.checked_mul(10).and_then(|ten| ten.checked_add(u64::from(byte - b'0'))) else {
            break;
        };
        // Exact up to 10^22.
        (number, scale) = (longer, scale * 10.0);
    }
    // Two exact numbers, and so one rounding, where the first has no more than 53 bits.
    Some(sign * (number as f64 / scale))
}

/// An iterator over [`fields`].
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// What has not been taken yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.trim_ascii_start();
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        let (field, rest) = rest.split_at(end);
        self.rest = rest;
        (!field.is_empty()).then_some(field)
    }
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// Its bytes, without the line's end.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Its words between blanks.
    pub fn fields(&self) -> Fields<'a> {
        fields(self.text)
    }

    /// An error about a token of this line, or about its end where there is none.
    pub fn expected(&self, expected: &'static str, found: Option<&[u8]>) -> Unexpected {
        Unexpected { line: Some(self.number), expected, found: found.map(quoted) }
    }
}

/// What a kernel file holds in place of what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpected {
    line: Option<usize>,
    expected: &'static str,
    found: Option<String>,
}

impl Unexpected {
    /// An error about the file as a whole: it ends and something never came.
    pub fn missing(expected: &'static str) -> Unexpected {
        Unexpected { line: None, expected, found: None }
    }

    /// The error of the file: `could not parse /proc/stat: line 3: expected a number, found "x"`.
    pub fn of(self, file: impl AsRef<Path>) -> Error {
        Error::failed(format!("could not parse {}", file.as_ref().display())).because(self)
    }
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "expected {}, found ", self.expected)?;
        match (&self.found, self.line) {
            (Some(token), _) => f.write_str(token),
            (None, Some(_)) => f.write_str("the end of the line"),
            (None, None) => f.write_str("the end of the file"),
        }
    }
}

impl std::error::Error for Unexpected {}

fn quoted(token: &[u8]) -> String {
    let shown = &token[..token.len().min(TOKEN_MAX)];
    let more = if token.len() > TOKEN_MAX { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_numbered_and_the_last_needs_no_end() {
        let found: Vec<_> = lines(b"a b\n\nc").map(|line| (line.number, line.text)).collect();
        assert_eq!(found, [(1, &b"a b"[..]), (2, b""), (3, b"c")]);
        assert_eq!(lines(b"a\n").count(), 1, "an end is no empty line more");
        assert_eq!(lines(b"").count(), 0);
    }

    #[test]
    fn fields_stand_between_any_blanks() {
        let mut found = fields(b"  cpu0 \t 12\r");
        assert_eq!(found.next(), Some(&b"cpu0"[..]));
        assert_eq!(found.rest(), b" \t 12\r");
        assert_eq!(found.next(), Some(&b"12"[..]));
        assert_eq!(found.next(), None);
        assert_eq!(found.next(), None);
    }

    #[test]
    fn a_number_that_does_not_fit_is_none() {
        assert_eq!(u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(u64(b"18446744073709551616"), None);
        assert_eq!(u64(b"99999999999999999999999"), None);
        assert_eq!(i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(i64(b"-9223372036854775809"), None);
        assert_eq!(i64(b"9223372036854775808"), None);
    }

    #[test]
    fn leading_zeros_do_not_use_up_the_digits() {
        assert_eq!(u64(b"0000000000000000000000042"), Some(42));
    }

    #[test]
    fn what_is_no_number_is_none() {
        for field in [&b""[..], b"-", b"+1", b"1 ", b"1\0", b"0x10", b"1e3", b"\xff"] {
            assert_eq!((u64(field), i64(field), f64(field)), (None, None, None), "{field:?}");
        }
        for field in [&b"."[..], b"1.", b".5", b"1.2.3", b"1.-2", b"nan", b"inf", b"1.x"] {
            assert_eq!(f64(field), None, "{field:?}");
        }
    }

    #[test]
    fn decimals_are_the_nearest_double() {
        assert_eq!(f64(b"0.52"), Some(0.52));
        assert_eq!(f64(b"-12.5"), Some(-12.5));
        assert_eq!(f64(b"37"), Some(37.0));
        assert_eq!(f64(b"0.333333333333333"), Some(0.333333333333333));
        let third = f64(b"0.3333333333333333333333333333333333").unwrap();
        assert!((third - 1.0 / 3.0).abs() <= f64::EPSILON, "{third}");
    }

    #[test]
    fn an_error_names_file_line_token_and_what_was_expected() {
        let line = Line { number: 3, text: b"cpu1 x" };
        let error = line.expected("a number", Some(b"x\xff\n")).of("/proc/stat");
        assert_eq!(error.chain(), r#"could not parse /proc/stat: line 3: expected a number, found "x\xff\n""#);
        let long = line.expected("a number", Some(&[b'z'; 90]));
        assert_eq!(long.to_string().chars().filter(|char| *char == 'z').count(), 40);
        assert_eq!(line.expected("a number", None).to_string(), "line 3: expected a number, found the end of the line");
        assert_eq!(Unexpected::missing("a line `cpu`").to_string(), "expected a line `cpu`, found the end of the file");
    }

    proptest! {
        #[test]
        fn integers_read_as_they_were_written(number: u64, signed: i64) {
            prop_assert_eq!(u64(number.to_string().as_bytes()), Some(number));
            prop_assert_eq!(i64(signed.to_string().as_bytes()), Some(signed));
        }

        #[test]
        fn any_field_ends_in_the_answer_of_the_standard_library(field in "[0-9]{0,25}") {
            prop_assert_eq!(u64(field.as_bytes()), field.parse().ok());
        }

        #[test]
        fn hundredths_read_as_they_were_written(hundredths in 0u64..1 << 40) {
            let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            prop_assert_eq!(f64(text.as_bytes()), text.parse().ok());
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for line in lines(&bytes) {
                for field in line.fields() {
                    let numbers = (u64(field), i64(field), f64(field));
                    prop_assert!(numbers.2.is_none_or(f64::is_finite));
                }
            }
        }
    }
}
