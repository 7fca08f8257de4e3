//! A number as Go writes it, to the nearest double there is.
//!
//! It promises what `str::parse` does, to the last of any count of digits, and takes and refuses the same texts. It is here since the
//! tables of `str::parse` make a plugin 17 KB larger. What has up to 15 digits, as nearly all has, costs a division; the rest is worked
//! out in whole numbers of any length.

/// Beyond these no double lies halfway between two, so that all that follow say one thing: whether they are zeros. (767 are needed.)
const DIGITS_MAX: usize = 800;
/// A line has 16 Ki digits at most: a larger exponent leads to the same zero or infinity.
const EXPONENT_MAX: i64 = 100_000;
/// The largest power of ten that is a double without rounding.
const EXACT_MAX: i64 = 22;
/// The largest power of ten in a `u32`.
const POWER: usize = 9;

/// A number in decimals, with an exponent or without; infinities and NaN by name. One that is too large is none: it is not what somebody
/// measured.
pub fn number(word: &[u8]) -> Option<f64> {
    let (sign, word) = match word {
        [b'-', word @ ..] => (-1.0, word),
        [b'+', word @ ..] => (1.0, word),
        _ => (1.0, word),
    };
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("inf") || is("infinity") {
        return Some(sign * f64::INFINITY);
    }
    if is("nan") {
        return Some(f64::NAN);
    }
    let (digits, power) = match split(word, |byte| matches!(byte, b'e' | b'E')) {
        (digits, Some(power)) => (digits, exponent(power)?),
        (digits, None) => (digits, 0),
    };
    let (whole, part) = split(digits, |byte| *byte == b'.');
    let part = part.unwrap_or_default();
    if whole.len() + part.len() == 0 || [whole, part].iter().any(|digits| !digits.iter().all(u8::is_ascii_digit)) {
        return None;
    }
    let digits = digits.iter().filter(|byte| **byte != b'.').map(|byte| byte - b'0');
    let number = nearest(digits, power - part.len() as i64);
    number.is_finite().then_some(sign * number)
}

fn split(text: &[u8], at: impl FnMut(&u8) -> bool) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(at) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = digits.iter().map(|byte| i64::from(byte - b'0'));
    Some(sign * digits.fold(0, |number, digit| (10 * number + digit).min(EXPONENT_MAX)))
}

/// The double that is nearest to these digits times ten to the power; of two that are as near the even one.
fn nearest(digits: impl Iterator<Item = u8> + Clone, mut power: i64) -> f64 {
    let digits = digits.skip_while(|digit| *digit == 0);
    let count = digits.clone().count();
    if count <= 15 && power.abs() <= EXACT_MAX {
        let number = digits.fold(0, |number, digit| 10 * number + u64::from(digit)) as f64;
        let ten = (0..power.abs()).fold(1.0, |ten, _| 10.0 * ten);
        // Two exact numbers, and so one rounding.
        return if power < 0 { number / ten } else { number * ten };
    }
    let order = count as i64 + power;
    if count == 0 || order < -323 {
        return 0.0;
    }
    if order > 309 {
        return f64::INFINITY;
    }

    power += count.saturating_sub(DIGITS_MAX) as i64;
    // Bits behind the point: of what is divided 64 and more stay, as a digit has 10/3 bits.
    let behind = 3 + power.min(0).unsigned_abs() as usize / POWER;
    let mut number = Whole(vec![0; behind]);
    digits.clone().take(DIGITS_MAX).for_each(|digit| number.multiply(behind, 10, digit.into()));
    let mut is_more = digits.skip(DIGITS_MAX).any(|digit| digit != 0);
    let mut left = power.unsigned_abs() as usize;
    while left > 0 {
        let ten = 10_u32.pow(left.min(POWER) as u32);
        if power < 0 {
            is_more |= number.divide(ten);
        } else {
            number.multiply(0, ten, 0);
        }
        left -= left.min(POWER);
    }
    let (top, bits) = number.top(&mut is_more);
    // The place of the highest bit, and how many are in a double there: fewer where it is so small that its exponent has no room.
    let highest = bits as i64 - 1 - 32 * behind as i64;
    let Ok(kept) = u32::try_from((highest + 1075).min(53)) else { return 0.0 };
    let (fraction, rest) = (top.checked_shr(64 - kept).unwrap_or(0), top << kept);
    let is_up = rest > 1 << 63 || rest == 1 << 63 && (is_more || fraction % 2 == 1);
    (fraction + u64::from(is_up)) as f64 * power_of_two(highest + 1 - i64::from(kept))
}

/// One that is a double: of -1074 to 1023.
fn power_of_two(power: i64) -> f64 {
    f64::from_bits(if power < -1022 { 1 << (power + 1074) } else { ((power + 1023) as u64) << 52 })
}

/// A whole number of any length, its lowest 32 bits first.
struct Whole(Vec<u32>);

impl Whole {
    /// Multiplies what is above the lowest `behind` pieces.
    fn multiply(&mut self, behind: usize, factor: u32, mut add: u32) {
        for piece in &mut self.0[behind..] {
            let product = u64::from(*piece) * u64::from(factor) + u64::from(add);
            (*piece, add) = (product as u32, (product >> 32) as u32);
        }
        if add > 0 {
            self.0.push(add);
        }
    }

    /// Whether something is left over.
    fn divide(&mut self, divisor: u32) -> bool {
        let mut left = 0;
        for piece in self.0.iter_mut().rev() {
            let divided = u64::from(left) << 32 | u64::from(*piece);
            *piece = (divided / u64::from(divisor)) as u32;
            left = (divided % u64::from(divisor)) as u32;
        }
        left > 0
    }

    /// Its highest 64 bits, and how many it has; `is_more` where one of the others is set.
    fn top(&self, is_more: &mut bool) -> (u64, usize) {
        let len = self.0.iter().rposition(|piece| *piece != 0).map_or(0, |at| at + 1);
        let (low, high) = self.0[..len].split_at(len - 3);
        let [third, second, first] = [0, 1, 2].map(|at| u128::from(high[at]));
        let high = first << 96 | second << 64 | third << 32;
        let zeros = high.leading_zeros();
        let high = high << zeros;
        *is_more |= high as u64 != 0 || low.iter().any(|piece| *piece != 0);
        ((high >> 64) as u64, 32 * len - zeros as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the standard library says, of which an infinity in digits is none.
    fn expected(word: &str) -> Option<u64> {
        let number: f64 = word.parse().ok()?;
        (number.is_finite() || !word.contains(|char: char| char.is_ascii_digit())).then_some(bits(number))
    }

    /// All NaN are one.
    fn bits(number: f64) -> u64 {
        if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() }
    }

    fn found(word: &str) -> Option<u64> {
        number(word.as_bytes()).map(bits)
    }

    /// A double, and what lies halfway to the next one, in all their digits, and a little more.
    fn around(double: f64) -> [String; 3] {
        let next = f64::from_bits(double.to_bits() + 1);
        // Doubles of at most 2^-1074 have at most 1074 digits, and half of that one more.
        let exact = |number: f64| format!("{number:.1080}");
        let (below, above) = (exact(double), exact(next));
        let mut sum = Vec::new();
        let mut carry = 0;
        let pad = "0".repeat(above.len() - below.len());
        for (one, other) in format!("{pad}{below}").bytes().zip(above.bytes()).rev() {
            if one == b'.' {
                sum.push(b'.');
                continue;
            }
            let digit = one - b'0' + other - b'0' + carry;
            carry = digit / 10;
            sum.push(b'0' + digit % 10);
        }
        sum.push(b'0' + carry);
        sum.reverse();
        let mut left = 0;
        for byte in sum.iter_mut().filter(|byte| **byte != b'.') {
            let digit = 10 * left + *byte - b'0';
            (*byte, left) = (b'0' + digit / 2, digit % 2);
        }
        let half = String::from_utf8(sum).unwrap();
        [below, format!("{half}1"), half]
    }

    #[test]
    fn what_is_hard_to_round_is_the_nearest_double() {
        for double in [
            0.0,
            f64::from_bits(1),
            f64::from_bits(2),
            f64::MIN_POSITIVE,
            f64::from_bits(f64::MIN_POSITIVE.to_bits() - 1),
            1.0,
            9007199254740991.0,
            9007199254740992.0,
            1e22,
            1e23,
            f64::from_bits(f64::MAX.to_bits() - 1),
        ] {
            for word in around(double) {
                assert_eq!(found(&word), expected(&word), "{word}");
            }
        }
        for word in
            ["1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "2.4703282292062327e-324"]
        {
            assert_eq!(found(word), expected(word), "{word}");
        }
        for word in [
            "2.4703282292062328e-324",
            "1e-323",
            "1e-324",
            "9e-324",
            "1e309",
            "0e400",
            "1e-99999999999999999999",
            "1e99999999999999999999",
        ] {
            assert_eq!(found(word), expected(word), "{word}");
        }
    }

    #[test]
    fn zeros_of_a_whole_line_change_nothing() {
        let zeros = "0".repeat(16_000);
        for word in
            [format!("{zeros}1.5"), format!("0.{zeros}15e16001"), format!("15{zeros}e-16001"), format!("1{zeros}")]
        {
            assert_eq!(found(&word), expected(&word));
        }
    }

    proptest! {
        #[test]
        fn every_double_is_read_as_it_was_written(double: f64) {
            for word in [format!("{double:e}"), format!("{double}"), format!("{double:.30e}")] {
                prop_assert_eq!(found(&word), expected(&word));
            }
        }

        #[test]
        fn what_lies_halfway_goes_where_the_standard_library_has_it(bits in 0..f64::MAX.to_bits()) {
            for word in around(f64::from_bits(bits)) {
                prop_assert_eq!(found(&word), expected(&word));
            }
        }

        #[test]
        fn any_digits_are_what_the_standard_library_says(word in "[0-9]{0,40}\\.?[0-9]{0,40}(e[+-]?[0-9]{1,3})?") {
            prop_assert_eq!(found(&word), expected(&word));
        }

        #[test]
        fn any_text_is_what_the_standard_library_says(word in "[-+]?([0-9]{0,3}|inf|Infinity|NaN)[-+.eE0-9x_ ]{0,6}") {
            prop_assert_eq!(found(&word), expected(&word));
        }
    }
}
