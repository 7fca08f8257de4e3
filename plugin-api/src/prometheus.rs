//! The text format of Prometheus, version 0.0.4, over bytes: what textfiles, exporters and many commands print.
//!
//! Its description is <https://prometheus.io/docs/instrumenting/exposition_formats/>. What OpenMetrics text adds and harms nobody is
//! passed over or understood: `# UNIT`, `# EOF`, exemplars, `_total` and `_created` of a counter, and its further types.
//!
//! It promises to take any bytes without a panic, to borrow what it gives from them (labels are written anew only where they stand in
//! another order or with blanks), and never to give half a number: a text whose last line has no end was cut, and is refused. Of a text
//! it keeps the names of its metrics; a sample has 64 labels and 16 KiB at most. It refuses names in quotes, which 0.0.4 has not, and
//! timestamps with a fraction, which are OpenMetrics' seconds where these are milliseconds.
//!
//! ```
//! use plugin_api::prometheus::{Kind, samples};
//!
//! let text = b"# TYPE jobs_total counter\njobs_total{queue=\"mail\", host=\"a\"} 12\nload 0.25\n";
//! let samples: Vec<_> = samples(text).collect::<Result<_, _>>()?;
//! assert_eq!((samples[0].name, samples[0].value, samples[0].kind), ("jobs_total", 12.0, Kind::Counter));
//! assert_eq!(samples[0].labels, r#"{host="a",queue="mail"}"#); // sorted, so that it names the series
//! assert_eq!((&*samples[1].labels, samples[1].kind), ("{}", Kind::Untyped));
//!
//! let wrong = plugin_api::prometheus::samples(b"load 0,25\n").next().unwrap().unwrap_err();
//! assert_eq!(wrong.of("/srv/a.prom").chain(), r#"could not parse /srv/a.prom: line 1: expected a number, found "0,25""#);
//! # Ok::<(), plugin_api::scan::Unexpected>(())
//! ```
#![forbid(unsafe_code)]

mod number;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::scan::{self, Line, Unexpected};
use number::number;

/// The most labels of a sample: Prometheus scrapes with a few, a `le` among them, and 64 find room on the stack for sorting.
const LABELS_MAX: usize = 64;
/// The longest line of a sample: it names a series, and a name of a page already helps nobody.
const LINE_MAX: usize = 16 << 10;

/// One value of a text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample<'a> {
    /// The name, as it stands there: `http_requests_total`, `http_duration_seconds_bucket`.
    pub name: &'a str,
    /// The labels as the format writes them, sorted by name, without blanks and without those of no value, which mean the same as none:
    /// `{code="200",method="get"}`, and `{}` where there are none. Never empty, so that it can be a row's key; escapes stay as they are.
    pub labels: Cow<'a, str>,
    /// The value. NaN and infinities are among them; a metric of ours takes neither, and is null then.
    pub value: f64,
    /// What its `# TYPE` says.
    pub kind: Kind,
    /// Milliseconds since the Unix epoch, where it has a time of its own.
    pub timestamp: Option<i64>,
}

/// How a value behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until it begins anew: a counter; buckets, sum and count of a histogram; sum and count of a summary.
    Counter,
    /// It goes up and down: a gauge, a quantile of a summary, the time at which a counter was made.
    Gauge,
    /// Nobody says.
    Untyped,
}

impl Sample<'_> {
    /// The value in whole millionths, modulo 2^64, for a counter in `plugin.toml`, which is an integer: with `scale = 1e-6` its growth is the
    /// sample's. Whatever its size, it costs one null in 18·10¹² that it grows by. None where no counter can be: NaN, infinite, negative.
    pub fn millionths(&self) -> Option<u64> {
        let (whole, part) = (self.value.trunc(), self.value.fract());
        // In two steps, since their product would be rounded; beyond 2^128 the cast saturates, where no growth can be seen either.
        let whole = (whole as u128 as u64).wrapping_mul(1_000_000);
        (self.value.is_finite() && self.value >= 0.0).then(|| whole.wrapping_add((part * 1e6).round() as u64))
    }
}

/// The samples of a text, in its order.
pub fn samples(text: &[u8]) -> Samples<'_> {
    Samples { rest: text, line: 0, types: BTreeMap::new(), last: None }
}

/// An iterator over [`samples`]. It ends after the first fault, which is of the whole text: half of what somebody wrote is not what he wrote.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    rest: &'a [u8],
    /// The number of the last line taken.
    line: usize,
    /// What each name that came is; of names without a `# TYPE` too, since one that comes later is a fault.
    types: BTreeMap<&'a str, Type>,
    /// The name of the last sample, and what it is: samples of a name stand together.
    last: Option<(&'a str, Kind)>,
}

/// A word of `# TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Counter,
    Gauge,
    Histogram,
    Summary,
    GaugeHistogram,
    Untyped,
    /// There was none.
    Unsaid,
}

const TYPES: [(&str, Type); 9] = [
    ("counter", Type::Counter),
    ("gauge", Type::Gauge),
    ("histogram", Type::Histogram),
    ("summary", Type::Summary),
    ("untyped", Type::Untyped),
    // Of OpenMetrics.
    ("unknown", Type::Untyped),
    ("info", Type::Gauge),
    ("stateset", Type::Gauge),
    ("gaugehistogram", Type::GaugeHistogram),
];

impl<'a> Iterator for Samples<'a> {
    type Item = Result<Sample<'a>, Unexpected>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            self.line += 1;
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let (text, rest) = end.map_or((self.rest, None), |end| (&self.rest[..end], Some(&self.rest[end + 1..])));
            self.rest = rest.unwrap_or_default();
            let line = Line { number: self.line, text };
            let taken = match rest {
                Some(_) => self.take(line),
                None => Err(line.expected("a line that has an end", Some(text))),
            };
            match taken {
                Ok(None) => {}
                Ok(Some(sample)) => return Some(Ok(sample)),
                Err(fault) => {
                    self.rest = &[];
                    return Some(Err(fault));
                }
            }
        }
        None
    }
}

impl<'a> Samples<'a> {
    fn take(&mut self, line: Line<'a>) -> Result<Option<Sample<'a>>, Unexpected> {
        match line.text.trim_ascii_start() {
            [] => Ok(None),
            [b'#', comment @ ..] => self.comment(line, comment).map(|()| None),
            rest => self.sample(line, rest).map(Some),
        }
    }

    /// `# TYPE name word`; every other comment says nothing.
    fn comment(&mut self, line: Line<'a>, comment: &'a [u8]) -> Result<(), Unexpected> {
        let mut words = scan::fields(comment);
        if words.next() != Some(b"TYPE") {
            return Ok(());
        }
        let (name, word) = (words.next(), words.next());
        let Some((name, [])) = name.and_then(|name| split_name(name, true)) else {
            return Err(line.expected("the name of a metric", name));
        };
        let known = word.and_then(|word| TYPES.iter().find(|(known, _)| word.eq_ignore_ascii_case(known.as_bytes())));
        let Some((_, said)) = known else { return Err(line.expected("a type, such as counter or gauge", word)) };
        if let more @ Some(_) = words.next() {
            return Err(line.expected("the end of the line", more));
        }
        let Entry::Vacant(entry) = self.types.entry(name) else {
            return Err(line.expected("one type of a name, before its samples", Some(name.as_bytes())));
        };
        entry.insert(*said);
        Ok(())
    }

    fn sample(&mut self, line: Line<'a>, text: &'a [u8]) -> Result<Sample<'a>, Unexpected> {
        if text.len() > LINE_MAX {
            return Err(line.expected("a sample of at most 16 KiB", Some(text)));
        }
        let Some((name, rest)) = split_name(text, true) else {
            return Err(expected(line, "the name of a metric", text));
        };
        let (labels, rest) = match rest.trim_ascii_start() {
            labels @ [b'{', ..] => split_labels(line, labels)?,
            value if value.len() == rest.len() && !rest.is_empty() => {
                return Err(expected(line, "a blank after the name", rest));
            }
            value => (Cow::Borrowed("{}"), value),
        };
        let mut words = scan::fields(rest);
        let word = words.next();
        let Some(value) = word.and_then(number) else { return Err(line.expected("a number", word)) };
        let mut next = words.next();
        let mut timestamp = None;
        if let Some(word) = next.filter(|word| !word.starts_with(b"#")) {
            timestamp = scan::i64(word);
            if timestamp.is_none() {
                return Err(line.expected("a time in whole milliseconds", Some(word)));
            }
            next = words.next();
        }
        // What follows a `#` is an exemplar.
        if let Some(more) = next.filter(|word| !word.starts_with(b"#")) {
            return Err(line.expected("the end of the line", Some(more)));
        }
        Ok(Sample { name, labels, value, kind: self.kind(name), timestamp })
    }

    fn kind(&mut self, name: &'a str) -> Kind {
        if let Some((_, kind)) = self.last.filter(|(last, _)| *last == name) {
            return kind;
        }
        let kind = match *self.types.entry(name).or_insert(Type::Unsaid) {
            Type::Counter => Kind::Counter,
            Type::Gauge | Type::Summary | Type::GaugeHistogram => Kind::Gauge,
            Type::Untyped | Type::Histogram => Kind::Untyped,
            Type::Unsaid => self.part(name),
        };
        self.last = Some((name, kind));
        kind
    }

    /// What a name is that is a part of a metric with a type.
    fn part(&self, name: &str) -> Kind {
        let Some(at) = name.bytes().rposition(|byte| byte == b'_') else { return Kind::Untyped };
        let (whole, part) = name.split_at(at);
        match (self.types.get(whole), part) {
            (Some(Type::Histogram), "_bucket" | "_sum" | "_count")
            | (Some(Type::Summary), "_sum" | "_count")
            | (Some(Type::Counter), "_total") => Kind::Counter,
            (Some(Type::Counter | Type::Histogram | Type::Summary), "_created")
            | (Some(Type::GaugeHistogram), "_bucket" | "_gsum" | "_gcount")
            | (Some(Type::Gauge), "_info") => Kind::Gauge,
            _ => Kind::Untyped,
        }
    }
}

fn expected(line: Line<'_>, what: &'static str, rest: &[u8]) -> Unexpected {
    line.expected(what, scan::fields(rest).next())
}

/// A name of a metric or label, and what follows it. Only that of a metric may have colons.
fn split_name(text: &[u8], colons: bool) -> Option<(&str, &[u8])> {
    let of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || colons && *byte == b':';
    let end = text.iter().position(|byte| !of_a_name(byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    name.first().filter(|first| !first.is_ascii_digit())?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

/// Labels with their braces in the one way to write them, and what follows them.
fn split_labels<'a>(line: Line<'_>, text: &'a [u8]) -> Result<(Cow<'a, str>, &'a [u8]), Unexpected> {
    let mut labels = [("", ""); LABELS_MAX];
    let mut count = 0;
    let mut rest = text[1..].trim_ascii_start();
    while !rest.starts_with(b"}") {
        let Some((name, after)) = split_name(rest, false) else {
            return Err(expected(line, "the name of a label", rest));
        };
        let Some(after) = after.trim_ascii_start().strip_prefix(b"=") else {
            return Err(expected(line, "a `=`", after));
        };
        let (value, after) = split_value(line, after.trim_ascii_start())?;
        let at = labels[..count].iter().position(|(other, _)| *other >= name).unwrap_or(count);
        if labels[at..count].first().is_some_and(|(other, _)| *other == name) {
            return Err(line.expected("each label once", Some(name.as_bytes())));
        }
        if count == LABELS_MAX {
            return Err(line.expected("at most 64 labels", Some(name.as_bytes())));
        }
        // Where it belongs, so that they are sorted at any time: a sort of the standard library's has 6 KB of code.
        labels.copy_within(at..count, at + 1);
        labels[at] = (name, value);
        count += 1;
        rest = match after.trim_ascii_start() {
            [b',', after @ ..] => after.trim_ascii_start(),
            end @ [b'}', ..] => end,
            other => return Err(expected(line, "a `,` or a `}`", other)),
        };
    }
    let (written, rest) = text.split_at(text.len() - rest.len() + 1);
    let labels = &labels[..count];
    let mut left = Some(written);
    write_labels(labels, &mut |piece| left = left.and_then(|left| left.strip_prefix(piece.as_bytes())));
    let labels = match (left, std::str::from_utf8(written)) {
        (Some([]), Ok(written)) => Cow::Borrowed(written),
        _ => {
            let mut text = String::with_capacity(written.len());
            write_labels(labels, &mut |piece| text.push_str(piece));
            Cow::Owned(text)
        }
    };
    Ok((labels, rest))
}

/// The one way to write sorted labels, piece by piece.
fn write_labels(labels: &[(&str, &str)], put: &mut dyn FnMut(&str)) {
    let mut before = "{";
    for (name, value) in labels.iter().filter(|(_, value)| *value != "\"\"") {
        [before, name, "=", value].into_iter().for_each(&mut *put);
        before = ",";
    }
    put(if before == "{" { "{}" } else { "}" });
}

/// A value in its quotes, and what follows it. Its escapes are the only way to write what they stand for, so they stay.
fn split_value<'a>(line: Line<'_>, text: &'a [u8]) -> Result<(&'a str, &'a [u8]), Unexpected> {
    let mut end = 1;
    loop {
        match text.get(end) {
            _ if !text.starts_with(b"\"") => return Err(expected(line, "a value in quotes", text)),
            Some(b'"') => break,
            Some(b'\\') if matches!(text.get(end + 1), Some(b'\\' | b'"' | b'n')) => end += 2,
            Some(b'\\') => {
                return Err(line.expected("one of `\\\\`, `\\\"` and `\\n`", text.get(end..(end + 2).min(text.len()))));
            }
            Some(_) => end += 1,
            None => return Err(line.expected("a quote that ends a value", None)),
        }
    }
    let (value, rest) = text.split_at(end + 1);
    let value = std::str::from_utf8(value).map_err(|_| line.expected("a value in UTF-8", Some(value)))?;
    Ok((value, rest))
}

#[cfg(test)]
mod tests;
