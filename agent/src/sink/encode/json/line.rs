//! What JSON is written to: memory that is ready some way ahead. A key or a number is then one block of a fixed size, which a few
//! instructions copy, and what comes next begins where it ends. To append each by its length is a call of memcpy(3), and there are up to
//! five of them in a value: with these, and digits as `digits.rs` has them, a line cost 187 instructions a value and not 308.
//!
//! Promises valid JSONB: finite numbers or null, valid UTF-8 where the texts are, no U+0000; and numbers in the text of serde_json, which
//! prints those that are not of the common kinds.

use std::io::{self, Write};
use std::time::Duration;

use crate::sink::encode::plan::{Piece, Plan};
use crate::snapshot::Wall;

use super::digits::{self, EIGHT};

/// How much further than to its end a line is made ready that finds no room, which is some 150 values: the lines after it have it.
const AHEAD: usize = 4096;
/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;

/// A line of JSON, and the memory of the one before.
#[derive(Default)]
pub struct Line {
    /// From `end` on it is only made ready.
    bytes: Vec<u8>,
    end: usize,
    clock: Clock,
}

/// The last minute of which a time was told, as text. At the next tick it is mostly the same, and in a line always.
#[derive(Default)]
struct Clock {
    minute: Option<u64>,
    date: [u8; b"2026-11-24T03:30:05Z".len()],
}

impl Clock {
    #[cold]
    #[inline(never)]
    fn begin(&mut self, minute: u64) {
        // 64 bits of nanoseconds end in the year 2554, long before RFC 3339 does.
        let at = std::time::UNIX_EPOCH + Duration::from_nanos(minute * MINUTE);
        let written = write!(&mut self.date[..], "{}", humantime::format_rfc3339_seconds(at));
        debug_assert!(written.is_ok());
        self.minute = Some(minute);
    }
}

/// How exact a time is.
#[derive(Clone, Copy)]
pub enum Precision {
    Milliseconds = 3,
    Microseconds = 6,
}

impl Line {
    /// Begins anew.
    pub fn clear(&mut self) {
        self.end = 0;
    }

    /// What was written.
    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Appends what lies in a block, as far as it goes.
    #[inline]
    fn block<const N: usize>(&mut self, block: &[u8; N], bytes: usize) {
        match self.bytes.get_mut(self.end..).and_then(|ahead| ahead.first_chunk_mut()) {
            Some(place) => {
                *place = *block;
                self.end += bytes;
            }
            None => self.beyond(*block, bytes),
        }
    }

    /// Not in the way of the others: of what a tick runs through little is in the nearest cache. By value, so that only here a block has to
    /// lie in memory.
    #[cold]
    #[inline(never)]
    fn beyond<const N: usize>(&mut self, block: [u8; N], bytes: usize) {
        self.bytes(&block[..bytes]);
    }

    /// Appends what is always the same.
    #[inline]
    pub fn literal<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.block(bytes, N);
    }

    /// Appends a byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.literal(&[byte]);
    }

    /// Appends a piece of a plan's text.
    #[inline]
    pub fn piece(&mut self, plan: &Plan, piece: Piece) {
        match plan.block(piece) {
            Some(block) => self.block(block, piece.bytes as usize),
            None => self.bytes(plan.bytes(piece)),
        }
    }

    /// Appends bytes.
    #[inline(never)]
    pub fn bytes(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if end > self.bytes.len() {
            self.bytes.resize(end + AHEAD, 0);
        }
        self.bytes[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// Appends a comma before all but the first.
    #[inline]
    pub fn comma(&mut self, place: usize) {
        if place > 0 {
            self.byte(b',');
        }
    }

    /// How much is written.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Takes back what was appended since so much was.
    pub fn back_to(&mut self, end: usize) {
        self.end = self.end.min(end);
    }

    /// Appends a whole number.
    #[inline]
    pub fn whole(&mut self, number: u64) {
        match number {
            // Most of what is counted on a healthy machine is none at all, and most shares have two digits before the point.
            0..10 => self.byte(b'0' + number as u8),
            10..100 => self.literal(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]),
            100..EIGHT => {
                let (digits, count) = digits::leading(number as u32);
                self.block(&digits, count);
            }
            EIGHT.. => self.long(number),
        }
    }

    #[inline(never)]
    fn long(&mut self, number: u64) {
        self.whole(number / EIGHT);
        self.block(&digits::all((number % EIGHT) as u32), 8);
    }

    /// Appends a whole number that may be negative.
    pub fn signed(&mut self, number: i64) {
        if number < 0 {
            self.byte(b'-');
        }
        self.whole(number.unsigned_abs());
    }

    /// Appends a number; null where it is none.
    pub fn float(&mut self, number: f64) {
        // Most of what is counted on a healthy machine is none at all.
        if number.to_bits() == 0 {
            return self.literal(b"0.0");
        }
        match digits::float(number) {
            Some((whole, behind)) => {
                self.whole(whole);
                self.byte(b'.');
                let (digits, count) = digits::trailing(behind);
                self.block(&digits, count);
            }
            None => self.uncommon(number),
        }
    }

    #[cold]
    #[inline(never)]
    fn uncommon(&mut self, number: f64) {
        // serde_json writes a number without an allocation, and this takes all there is.
        let written = serde_json::to_writer(self, &number);
        debug_assert!(written.is_ok());
    }

    /// Appends a time in seconds, which has up to nine digits behind the point.
    pub fn seconds(&mut self, duration: Duration) {
        let nanoseconds = duration.as_nanos() as u64;
        // As of other numbers: here there is an exponent, and there more digits than a number can tell.
        if !(10_000..1_000_000_000_000_000).contains(&nanoseconds) {
            return self.float(nanoseconds as f64 / 1e9);
        }
        self.whole(nanoseconds / SECOND);
        self.byte(b'.');
        let rest = (nanoseconds % SECOND) as u32;
        let (digits, count) = digits::trailing(rest / 10);
        match rest % 10 {
            0 => self.block(&digits, count),
            last => {
                self.block(&digits, 8);
                self.byte(b'0' + last as u8);
            }
        }
    }

    /// Appends a time by RFC 3339, as a string.
    pub fn time(&mut self, at: Wall, precision: Precision) {
        let (minute, second, rest) = (at.0 / MINUTE, at.0 % MINUTE / SECOND, at.0 % SECOND);
        if self.clock.minute != Some(minute) {
            self.clock.begin(minute);
        }
        let date = self.clock.date;
        self.byte(b'"');
        self.block(&date, b"2026-11-24T03:30:".len());
        self.block(&digits::all(second as u32 * 1_000_000), 2);
        self.byte(b'.');
        self.block(&digits::all(rest as u32 / 10), precision as usize);
        self.literal(b"Z\"");
    }

    /// Appends a string.
    pub fn string(&mut self, text: &[u8]) {
        self.byte(b'"');
        self.escaped(text);
        self.byte(b'"');
    }

    /// Appends a row's key. One that begins with `_` gets one more in front, so that no key of the data begins with exactly one.
    pub fn row_key(&mut self, key: &[u8]) {
        match key.first() {
            Some(b'_') => self.literal(b"\"_"),
            _ => self.byte(b'"'),
        }
        self.escaped(key);
        self.byte(b'"');
    }

    /// Appends what stands in a string. What the check has let pass, or the agent wrote, is UTF-8; quotes, backslashes and controls are
    /// escaped.
    pub fn escaped(&mut self, text: &[u8]) {
        let (blocks, rest) = text.as_chunks();
        blocks.iter().for_each(|block| self.letters(block, block.len()));
        let mut block = [b' '; 8];
        block[..rest.len()].copy_from_slice(rest);
        self.letters(&block, rest.len());
    }

    #[inline]
    fn letters(&mut self, block: &[u8; 8], bytes: usize) {
        match is_plain(u64::from_le_bytes(*block)) {
            true => self.block(block, bytes),
            false => block[..bytes].iter().for_each(|&byte| self.letter(byte)),
        }
    }

    fn letter(&mut self, byte: u8) {
        match byte {
            b'"' | b'\\' => self.literal(&[b'\\', byte]),
            0x20.. => self.byte(byte),
            b'\n' => self.literal(b"\\n"),
            b'\t' => self.literal(b"\\t"),
            b'\r' => self.literal(b"\\r"),
            // JSONB refuses U+0000 even escaped.
            0 => self.bytes("\u{fffd}".as_bytes()),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                self.literal(b"\\u00");
                self.literal(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
}

/// Whether none of eight bytes is to be escaped. It may say no where the one before is.
#[inline]
fn is_plain(eight: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below = |bytes: u64, limit: u8| bytes.wrapping_sub(ONES * u64::from(limit)) & !bytes & (ONES << 7);
    let is = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    below(eight, 0x20) | is(b'"') | is(b'\\') == 0
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is written behind something that was there.
    fn written(write: impl FnOnce(&mut Line)) -> String {
        let mut line = Line::default();
        line.literal(b"before ");
        write(&mut line);
        String::from_utf8(line.written().into()).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    fn by_the_library(value: impl serde::Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    /// A number that is a multiple of a power of ten, as most are; its neighbours; and any.
    fn any_number() -> impl Strategy<Value = f64> {
        let whole = prop_oneof![0u64..2000, 0u64..1 << 30, any::<u64>()];
        let round = (whole, 0..10, -1i64..2).prop_map(|(whole, power, away)| {
            f64::from_bits((whole as f64 / 10f64.powi(power)).to_bits().saturating_add_signed(away))
        });
        prop_oneof![3 => round, 1 => any::<u64>().prop_map(f64::from_bits)]
    }

    #[test]
    fn what_is_to_be_escaped_is_so_at_every_place() {
        for byte in 0..128u8 {
            for place in 0..20 {
                let mut text = vec![b'x'; 20];
                text[place] = byte;
                let read: String = serde_json::from_str(&written(|line| line.string(&text))).unwrap();
                assert_eq!(read.into_bytes(), String::from_utf8(text).unwrap().replace('\0', "\u{fffd}").into_bytes());
            }
        }
    }

    #[test]
    fn times_have_each_their_own_second_and_minute() {
        let at = |second, rest| Wall(second * SECOND + rest);
        let line = written(|line| {
            line.time(at(0, 1_000_000), Precision::Milliseconds);
            line.time(at(0, 999_999_999), Precision::Microseconds);
            line.time(at(59, 0), Precision::Milliseconds);
            line.time(at(86_460, 0), Precision::Milliseconds);
        });
        let times = r#""1970-01-01T00:00:00.001Z""1970-01-01T00:00:00.999999Z""1970-01-01T00:00:59.000Z""1970-01-02T00:01:00.000Z""#;
        assert_eq!(line, times);
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_the_library_does(number in any_number(), other in any_number(), whole in any::<u64>(), power in 0..64u32) {
            let whole = whole >> power;
            prop_assert_eq!(written(|line| line.float(number)), by_the_library(number));
            prop_assert_eq!(written(|line| line.float(-number)), by_the_library(-number));
            prop_assert_eq!(written(|line| line.whole(whole)), by_the_library(whole));
            prop_assert_eq!(written(|line| line.signed((whole as i64).wrapping_neg())), by_the_library((whole as i64).wrapping_neg()));
            let both = format!("{},{}", by_the_library(number), by_the_library(other));
            prop_assert_eq!(written(|line| { line.float(number); line.byte(b','); line.float(other); }), both);
            prop_assert_eq!(written(|line| line.seconds(Duration::from_nanos(whole))), by_the_library(whole as f64 / 1e9));
        }

        #[test]
        fn text_is_read_back_as_it_was(text in any::<String>()) {
            let read: String = serde_json::from_str(&written(|line| line.string(text.as_bytes()))).unwrap();
            prop_assert_eq!(read, text.replace('\0', "\u{fffd}"));
        }
    }
}
