//! A cell as a person reads it, and which metrics are worth showing.

use std::collections::BTreeMap;

use plugin_api::host_side::frame::Frame;
use plugin_api::host_side::manifest::{Kind, Metric, Source};
use plugin_api::{Cell, Tag};

use super::line::{Style, cut, cut_middle, width};
use super::unit;

/// A value, ready to be put somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// A number, aligned to the right; or a text, to the left.
    pub text: String,
    /// What stands behind a number.
    pub unit: String,
    /// Whether it is a text.
    pub is_text: bool,
    /// How it stands out.
    pub style: Style,
}

/// How wide a value is: what is before the unit, and the unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Width {
    /// Of the number.
    pub text: usize,
    /// Of the unit.
    pub unit: usize,
}

impl Width {
    /// Of both.
    pub fn total(self) -> usize {
        self.text + self.unit
    }

    /// What both of two fit.
    pub fn max(self, other: Width) -> Width {
        Width { text: self.text.max(other.text), unit: self.unit.max(other.unit) }
    }
}

impl Shown {
    /// A key of a row.
    pub fn key(text: &[u8], at_most: usize) -> Shown {
        let text = cut_middle(&String::from_utf8_lossy(text), at_most);
        Shown { text, ..Shown::text(b"", 0) }
    }

    fn text(text: &[u8], at_most: usize) -> Shown {
        let text = cut(&String::from_utf8_lossy(text), at_most);
        Shown { text, unit: String::new(), is_text: true, style: Style::Plain }
    }

    /// The value of a metric; texts are cut to a width.
    pub fn of(metric: &Metric, cell: Cell, frame: &Frame, at_most: usize) -> Shown {
        let text = |text: &[u8]| Shown::text(text, at_most);
        let value = match (metric.kind, cell.tag) {
            (_, Tag::NULL) => {
                return Shown { is_text: is_text(metric), style: Style::Quiet, ..text("–".as_bytes()) };
            }
            (Kind::State, _) => {
                let word = usize::try_from(cell.bits).ok().and_then(|place| metric.values.get(place));
                return text(word.map_or("–", String::as_str).as_bytes());
            }
            (Kind::Time, _) => return text(moment(cell.bits).as_bytes()),
            (_, Tag::BOOL) => return text(if cell.bits == 0 { b"no" } else { b"yes" }),
            (_, Tag::U64) => cell.bits as f64,
            (_, Tag::I64) => cell.bits as i64 as f64,
            (_, Tag::F64) => f64::from_bits(cell.bits),
            _ => return text(frame.text_of(cell)),
        };
        let (number, unit) = unit::number(metric.unit.as_deref().unwrap_or_default(), value, cell.tag != Tag::F64);
        let style = if value == 0.0 { Style::Quiet } else { Style::Plain };
        Shown { text: number, unit, is_text: false, style }
    }

    /// How wide it is.
    pub fn width(&self) -> Width {
        Width { text: width(&self.text), unit: width(&self.unit) }
    }
}

/// Whether its values are aligned to the left.
pub fn is_text(metric: &Metric) -> bool {
    metric.unit.is_none()
}

/// A moment to the second, in UTC as in the data.
pub fn moment(nanoseconds: u64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanoseconds);
    humantime::format_rfc3339_seconds(at).to_string().replace('T', " ").replace('Z', " UTC")
}

/// The places of the metrics a person wants: those of the JSON that exist, but no counter whose growth is shown beside
/// it. What an interface has carried since it was made is noise beside what it carries now.
pub fn worth_showing(metrics: &[Metric], exists: &[bool]) -> Vec<usize> {
    let is_there = |place: usize| exists.get(place) == Some(&true) && metrics[place].json;
    let mut grown = vec![false; metrics.len()];
    for (place, metric) in metrics.iter().enumerate() {
        if let Source::Derived(derivation) = &metric.source
            && is_there(place)
        {
            derivation.of.iter().for_each(|&counter| grown[counter] = true);
        }
    }
    (0..metrics.len()).filter(|&place| is_there(place) && !grown[place]).collect()
}

/// The names of metrics without what their units say; in full where two would be called the same.
pub fn labels<'a>(metrics: &'a [Metric], places: &[usize]) -> Vec<&'a str> {
    let short = |place: usize| unit::short(&metrics[place].name, metrics[place].unit.as_deref().unwrap_or_default());
    let mut seen = BTreeMap::new();
    for &place in places {
        *seen.entry(short(place)).or_insert(0) += 1;
    }
    let label = |&place: &usize| if seen[short(place)] == 1 { short(place) } else { metrics[place].name.as_str() };
    places.iter().map(label).collect()
}
