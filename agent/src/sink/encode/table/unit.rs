//! Numbers with their UCUM units as a person says them: `1.5 GiB`, `98/s`, `12.2%`, `340 µs`, `1,234`.
//!
//! Three significant digits, so that a column of numbers is as narrow as it can be; counts in full to a million. A zero
//! is a bare `0`, which the eye passes over, and what is not zero never looks like one: `<0.01`.

/// What the unit of a number makes of it.
enum Scale {
    /// Binary prefixes, over so many bytes.
    Bytes(f64),
    /// The largest unit of time that it has one of, over so many seconds.
    Time(f64),
    Percent,
    /// Decimal prefixes on this symbol, over so much of it.
    Decimal(f64, &'static str),
    Celsius,
    /// A number of things, which the name has said.
    Count,
    /// As it is.
    Unknown,
}

fn scale(unit: &str) -> Scale {
    match unit {
        "" | "1" => Scale::Count,
        "%" => Scale::Percent,
        "By" => Scale::Bytes(1.0),
        "kBy" => Scale::Bytes(1e3),
        "KiBy" => Scale::Bytes(1024.0),
        "MiBy" => Scale::Bytes(1024.0 * 1024.0),
        "GiBy" => Scale::Bytes(1024.0 * 1024.0 * 1024.0),
        "ns" => Scale::Time(1e-9),
        "us" => Scale::Time(1e-6),
        "ms" => Scale::Time(1e-3),
        "s" => Scale::Time(1.0),
        "min" => Scale::Time(60.0),
        "h" => Scale::Time(3600.0),
        "d" => Scale::Time(86_400.0),
        "Hz" => Scale::Decimal(1.0, "Hz"),
        "kHz" => Scale::Decimal(1e3, "Hz"),
        "MHz" => Scale::Decimal(1e6, "Hz"),
        "GHz" => Scale::Decimal(1e9, "Hz"),
        "bit" => Scale::Decimal(1.0, "bit"),
        "W" => Scale::Decimal(1.0, "W"),
        "J" => Scale::Decimal(1.0, "J"),
        "Cel" => Scale::Celsius,
        _ if unit.starts_with('{') && unit.ends_with('}') => Scale::Count,
        _ => Scale::Unknown,
    }
}

/// A number and the unit that stands behind it, with the blank between them.
pub fn number(unit: &str, value: f64, whole: bool) -> (String, String) {
    if value == 0.0 {
        return ("0".to_owned(), String::new());
    }
    let (of, per) = unit.split_at(unit.find('/').unwrap_or(unit.len()));
    let (size, sign) = (value.abs(), if value < 0.0 { "-" } else { "" });
    let (number, symbol) = match scale(of) {
        Scale::Bytes(bytes) => binary(size * bytes),
        Scale::Time(seconds) => time(size * seconds),
        Scale::Percent => (at_least(size, 1), "%".to_owned()),
        Scale::Decimal(base, symbol) => decimal(size * base, symbol),
        Scale::Celsius => (at_least(size, 1), " °C".to_owned()),
        Scale::Count => (count(size, whole), String::new()),
        Scale::Unknown => (count(size, whole), format!(" {of}")),
    };
    (format!("{sign}{number}"), format!("{symbol}{per}"))
}

/// Both as one.
pub fn said(unit: &str, value: f64) -> String {
    let (number, unit) = number(unit, value, value.fract() == 0.0);
    number + &unit
}

/// A name without the words at its end that its unit says: `bytes_recv_per_sec` in `By/s` is `bytes_recv`.
pub fn short<'a>(name: &'a str, unit: &str) -> &'a str {
    let (of, per) = unit.split_at(unit.find('/').unwrap_or(unit.len()));
    let words: &[&str] = match of {
        "%" => &["_percent"],
        "By" => &["_bytes"],
        "KiBy" => &["_kib"],
        "s" => &["_seconds"],
        "ms" => &["_ms", "_milliseconds"],
        "us" => &["_us", "_microseconds"],
        "ns" => &["_ns", "_nanoseconds"],
        "MHz" => &["_mhz"],
        "Cel" => &["_celsius"],
        _ => &[],
    };
    let name = without(name, if per == "/s" { &["_per_sec", "_per_second"] } else { &[] });
    without(name, words)
}

fn without<'a>(name: &'a str, ends: &[&str]) -> &'a str {
    let stem = ends.iter().find_map(|end| name.strip_suffix(end));
    stem.filter(|stem| !stem.is_empty() && !stem.ends_with('.')).unwrap_or(name)
}

fn binary(bytes: f64) -> (String, String) {
    let (mut value, mut prefix) = (bytes, 0);
    // What would be rounded to 1024 is one of the next.
    while value >= 1023.5 && prefix < 6 {
        (value, prefix) = (value / 1024.0, prefix + 1);
    }
    let symbol = [" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"][prefix];
    (count(value, prefix == 0 && value.fract() == 0.0), symbol.to_owned())
}

fn decimal(value: f64, symbol: &str) -> (String, String) {
    let (divisor, prefix) = match value {
        _ if value >= 999.5e6 => (1e9, "G"),
        _ if value >= 999.5e3 => (1e6, "M"),
        _ if value >= 999.5 => (1e3, "k"),
        _ => (1.0, ""),
    };
    (significant(value / divisor), format!(" {prefix}{symbol}"))
}

fn time(seconds: f64) -> (String, String) {
    let (divisor, symbol) = match seconds {
        _ if seconds >= 59.95 => return (long(seconds), String::new()),
        _ if seconds >= 0.9995 => (1.0, " s"),
        _ if seconds >= 999.5e-6 => (1e-3, " ms"),
        _ if seconds >= 999.5e-9 => (1e-6, " µs"),
        _ => (1e-9, " ns"),
    };
    (significant(seconds / divisor), symbol.to_owned())
}

/// A minute or more, in its two largest units.
fn long(seconds: f64) -> String {
    // A float of seconds that is past 64 bits becomes the largest there is.
    let seconds = seconds.round() as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{}d {hours:02}h", grouped(days)),
    }
}

/// A number of things: in full to a million.
fn count(value: f64, whole: bool) -> String {
    match value {
        _ if value >= 999.5e12 => format!("{value:.2e}"),
        _ if value >= 999.5e9 => format!("{}T", significant(value / 1e12)),
        _ if value >= 999.5e6 => format!("{}G", significant(value / 1e9)),
        _ if value >= 999_999.5 => format!("{}M", significant(value / 1e6)),
        _ if whole => grouped(value as u64),
        _ => significant(value),
    }
}

/// Three significant digits, or all before the point; two decimals at most.
fn significant(value: f64) -> String {
    match value {
        _ if value < 9.995 => at_least(value, 2),
        _ if value < 99.95 => format!("{value:.1}"),
        _ if value < 1e15 => grouped(value.round() as u64),
        _ => format!("{value:.2e}"),
    }
}

/// So many decimals, and never what looks like zero.
fn at_least(value: f64, decimals: usize) -> String {
    let least = 0.1_f64.powi(decimals as i32);
    if value < least / 2.0 { format!("<{least:.decimals$}") } else { format!("{value:.decimals$}") }
}

/// Thousands apart.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_prefixes_and_three_digits() {
        let said = |bytes: f64| said("By", bytes);
        assert_eq!([said(12.0), said(1023.0), said(1024.0), said(1536.0)], ["12 B", "1,023 B", "1.00 KiB", "1.50 KiB"]);
        assert_eq!([said(8_350_000_000.0), said(1_048_575.0)], ["7.78 GiB", "1.00 MiB"]);
        assert_eq!(super::number("By/s", 0.25, false), ("0.25".into(), " B/s".into()));
        assert_eq!(super::number("KiBy/s", 2048.0, false), ("2.00".into(), " MiB/s".into()));
        assert_eq!(said(1.8e19), "15.6 EiB");
    }

    #[test]
    fn time_is_said_in_the_unit_that_fits() {
        let said = |seconds: f64| said("s", seconds);
        assert_eq!([said(61e-6), said(0.000_999_6), said(0.34), said(1.5)], ["61.0 µs", "1.00 ms", "340 ms", "1.50 s"]);
        assert_eq!([said(59.96), said(3599.0), said(45_296.0)], ["1m 00s", "59m 59s", "12h 34m"]);
        assert_eq!([said(1_234_567.0), super::number("ms", 2.5, false).0], ["14d 06h", "2.50"]);
    }

    #[test]
    fn counts_stand_in_full_to_a_million_and_their_unit_is_not_repeated() {
        let said = |value: f64| said("{packet}/s", value);
        assert_eq!([said(0.52), said(31.54), said(1234.0)], ["0.52/s", "31.5/s", "1,234/s"]);
        assert_eq!([said(999_999.0), said(12_345_678.0), said(3e9)], ["999,999/s", "12.3M/s", "3.00G/s"]);
        assert_eq!(super::number("1", 3.0, false).0, "3.00");
    }

    #[test]
    fn zero_is_bare_and_what_is_not_zero_never_looks_like_it() {
        assert_eq!([said("%", 0.0), said("By/s", 0.0)], ["0", "0"]);
        assert_eq!([said("%", 0.01), said("{x}/s", 0.001), said("1", 1e-300)], ["<0.1%", "<0.01/s", "<0.01"]);
    }

    #[test]
    fn other_units_stand_behind_the_number_as_they_are() {
        assert_eq!([said("mm[Hg]", 12.5), said("Cel", -4.25)], ["12.5 mm[Hg]", "-4.2 °C"]);
        assert_eq!([said("MHz", 2400.0), said("MHz", 800.0)], ["2.40 GHz", "800 MHz"]);
        assert_eq!([said("1", f64::MAX), said("s", f64::MAX)], ["1.80e308", "213,503,982,334,601d 07h"]);
    }

    #[test]
    fn a_name_leaves_to_the_unit_what_the_unit_says() {
        assert_eq!(short("bytes_recv_per_sec", "By/s"), "bytes_recv");
        assert_eq!(short("read_bytes_per_sec", "By/s"), "read");
        assert_eq!(short("usage_percent", "%"), "usage");
        assert_eq!(short("usage_percent", "1"), "usage_percent");
        assert_eq!(short("_bytes", "By"), "_bytes");
    }
}
