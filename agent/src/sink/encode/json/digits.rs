//! Decimal digits, eight at a time in one word and without a branch or a table: the pairs of four digits, of two and of one are split by
//! multiplications in all lanes at once. Printing numbers one by one, each by calls, was half of what a line cost.
//!
//! What a library prints is the rule: `float` gives up where it cannot tell that it would print the same.

/// What a word of eight digits can hold.
pub const EIGHT: u64 = 100_000_000;

/// The digits of a number below 10^8, the first in the lowest byte: in memory they stand as they are read. Values, not letters.
#[inline]
fn eight(number: u32) -> u64 {
    let number = u64::from(number);
    // Two lanes of four digits, each below 10^4: 10486 / 2^20 is 1 / 100 for them.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    // Four lanes of two digits: 103 / 2^10 is 1 / 10 for them.
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

const LETTERS: u64 = 0x3030_3030_3030_3030;

/// All eight, as text.
#[inline]
pub fn all(number: u32) -> [u8; 8] {
    (eight(number) | LETTERS).to_le_bytes()
}

/// Those from the first that is not 0 on, as text, and how many; the last stands in any case.
#[inline]
pub fn leading(number: u32) -> ([u8; 8], usize) {
    let digits = eight(number);
    let zeros = (digits | 1 << 56).trailing_zeros() / 8;
    (((digits | LETTERS) >> (8 * zeros)).to_le_bytes(), 8 - zeros as usize)
}

/// All eight, as text, and how many stand up to the last that is not 0; the first stands in any case.
#[inline]
pub fn trailing(number: u32) -> ([u8; 8], usize) {
    let digits = eight(number);
    let zeros = (digits | 1).leading_zeros() / 8;
    ((digits | LETTERS).to_le_bytes(), 8 - zeros as usize)
}

/// A number as what stands before its decimal point and eight digits behind it, where these are its shortest text: it is a multiple of 10^-4, or
/// below one of 10^-8, as what is derived is, and has no more than 15 digits, of which no two make the same number. None of a negative
/// number, and of one that is so small that the library takes an exponent.
#[inline]
pub fn float(value: f64) -> Option<(u64, u32)> {
    /// Below this and above 0 there is an exponent.
    const LEAST: f64 = 1_000.0;
    const TWO_TO_52: f64 = 4_503_599_627_370_496.0;
    let is_small = value < 1.0;
    let scale = if is_small { 1e8 } else { 1e4 };
    let scaled = value * scale;
    // From 2^52 on there are no halves: the sum is rounded, and its last bits are the whole number.
    let sum = scaled + TWO_TO_52;
    let whole = sum - TWO_TO_52;
    // Of a NaN nothing is so.
    let is_common = scaled < 1e15 && value.is_sign_positive() && whole / scale == value;
    if !is_common || (whole > 0.0 && whole < LEAST) {
        return None;
    }
    let whole = sum.to_bits() - TWO_TO_52.to_bits();
    Some(if is_small { (0, whole as u32) } else { (whole / 10_000, (whole % 10_000 * 10_000) as u32) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_of_every_number_of_four_are_those_of_the_library_in_both_halves() {
        for number in 0..10_000 {
            assert_eq!(&all(number), format!("{number:08}").as_bytes());
            assert_eq!(&all(number * 10_000 + 7), format!("{number:04}0007").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn digits_are_cut_where_nothing_stands(number in 0..EIGHT as u32) {
            let (digits, count) = leading(number);
            let whole = number.to_string();
            prop_assert_eq!(&digits[..count], whole.as_bytes());
            let (digits, count) = trailing(number);
            let whole = format!("{number:08}");
            let wanted = whole.trim_end_matches('0');
            prop_assert_eq!(&digits[..count], if wanted.is_empty() { "0" } else { wanted }.as_bytes());
        }
    }
}
