//! Durations (`"1m30s"`) and sizes (`"10MiB"`) as people write them.

use std::time::Duration;

/// What [`duration`] reads, for messages.
pub const DURATION: &str = r#"a duration such as "500ms", "1m30s" or "1d""#;

/// What [`size`] reads, for messages.
pub const SIZE: &str = r#"a size such as "10MiB" or "1GB" (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)"#;

/// The units of a size. Binary and decimal ones are told apart, as a disk vendor does and `K` does not.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// The units that a duration is written in.
const DURATION_UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration. Every one needs a unit, but for `0`. None is longer than 2^63 ns (292 years), as it crosses to plugins as an
/// integer of nanoseconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let duration = humantime::parse_duration(text).ok()?;
    i64::try_from(duration.as_nanos()).is_ok().then_some(duration)
}

/// Reads a size: a number, then a unit. `0` needs none, and none is larger than 2^63 bytes.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    if text == "0" {
        return Some(0);
    }
    let (number, unit) = SIZE_UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)))?;
    let (whole, fraction) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let tenths = 10u128.pow(fraction.len() as u32);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / tenths;
    let bytes = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit) + part;
    i64::try_from(bytes).ok()?.try_into().ok()
}

/// A duration as it is written: `1d`, where humantime would say `1day`, and nothing longer, as a month is no length of time.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (unit, nanoseconds) in DURATION_UNITS {
        if rest >= nanoseconds {
            text.push_str(&format!("{}{unit}", rest / nanoseconds));
            rest %= nanoseconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size as it is written: with the largest unit that divides it.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let divides = |(_, unit): &&(&str, u64)| bytes != 0 && bytes.is_multiple_of(*unit);
    let (name, unit) = SIZE_UNITS.iter().find(divides).unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_have_a_bound() {
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("250us"), Some(Duration::from_micros(250)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(duration("1000y"), None);
        assert!(["", "5", "-1s", "1x", "s"].iter().all(|text| duration(text).is_none()));
        assert_eq!(duration_text(Duration::from_millis(90_500)), "1m30s500ms");
    }

    #[test]
    fn sizes_know_binary_and_decimal_units_and_fractions() {
        assert_eq!(size("10MiB"), Some(10 << 20));
        assert_eq!(size("1.5 GiB"), Some(3 << 29));
        assert_eq!(size("2GB"), Some(2_000_000_000));
        assert_eq!(size("7B"), Some(7));
        assert_eq!(size("0"), Some(0));
        assert!(
            ["", "5", "K", "1K", "-1B", "1.B", ".5B", "1e3B", "9000000TiB"].iter().all(|text| size(text).is_none())
        );
        assert_eq!(
            (size_text(100 << 20), size_text(0), size_text(1500)),
            ("100MiB".into(), "0B".into(), "1500B".into())
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        for bytes in [0, 1, 1023, 1 << 20, 5_000_000, 3 << 41] {
            assert_eq!(size(&size_text(bytes)), Some(bytes));
        }
        for nanoseconds in [0, 1, 10_000_000, 86_400_000_000_000, 90_000_000_001, i64::MAX as u64] {
            let time = Duration::from_nanos(nanoseconds);
            assert_eq!(duration(&duration_text(time)), Some(time));
        }
    }
}
