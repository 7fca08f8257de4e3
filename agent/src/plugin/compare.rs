//! What is different for whoever reads the data when a plugin takes the place of another: names that come and go, and names that do not
//! mean what they did. Pure.
//!
//! Compared is what is declared: values and tables by their names, in whatever order. Descriptions, options and budgets do not count.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::fmt;

use plugin_api::host_side::manifest::{Condition, Derivation, Kind, Manifest, Metric, Source, Table, ValueType, Width};

/// Names of a list that are told; nobody reads more of them in a line of a log.
const NAMES_MAX: usize = 20;
/// Of what is told of one name. Names have 64 bytes, two of them a column's; what a rate is made of may be a long sum.
const NAME_BYTES_MAX: usize = 200;

/// What is different. A column is `table.column`, a word of a state `state=word`, a table as a whole `table interfaces`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What there was not.
    pub added: Vec<String>,
    /// What there is no more.
    pub gone: Vec<String>,
    /// What is there under the same name and is something else, with what: `bytes (u64 → f64)`.
    pub retyped: Vec<String>,
}

/// Compares what two plugins declare.
#[must_use]
pub fn compare(old: &Manifest, new: &Manifest) -> Difference {
    let mut difference = Difference::default();
    difference.metrics("", &old.metrics, &new.metrics);
    let (gone, added) = by_name(&old.tables, &new.tables, |table| &table.name, &mut |old, new| {
        difference.tables(old, new);
    });
    difference.gone.extend(gone.iter().map(|name| format!("table {name}")));
    difference.added.extend(added.iter().map(|name| format!("table {name}")));
    difference
}

impl Difference {
    /// Whether nothing is.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.added.is_empty() && self.gone.is_empty() && self.retyped.is_empty()
    }

    fn tables(&mut self, old: &Table, new: &Table) {
        let words = |table: &Table| [Some(format!("key {}", table.keys.join(", "))), when(&table.when)];
        self.words(&format!("table {}", old.name), &words(old), &words(new));
        self.metrics(&format!("{}.", old.name), &old.columns, &new.columns);
    }

    fn metrics(&mut self, owner: &str, old: &[Metric], new: &[Metric]) {
        let (gone, added) = by_name(old, new, |metric| &metric.name, &mut |was, is| {
            let name = format!("{owner}{}", was.name);
            self.words(&name, &words(was, old), &words(is, new));
            self.states(&name, &was.values, &is.values);
        });
        self.gone.extend(gone.iter().map(|name| format!("{owner}{name}")));
        self.added.extend(added.iter().map(|name| format!("{owner}{name}")));
    }

    fn states(&mut self, name: &str, old: &[String], new: &[String]) {
        let (gone, added) = by_name(old, new, |word| word, &mut |_, _| {});
        let kept = |of: &[String], not: &[&str]| -> Vec<String> {
            of.iter().filter(|word| !not.contains(&&***word)).cloned().collect()
        };
        // Some formats have the number of a word and not the word. What is new at the end changes no number.
        let (was, is) = (kept(old, &gone), kept(new, &added));
        if was != is {
            self.retyped.push(format!("{name} ({} → {})", was.join(", "), is.join(", ")));
        }
        self.gone.extend(gone.iter().map(|word| format!("{name}={word}")));
        self.added.extend(added.iter().map(|word| format!("{name}={word}")));
    }

    /// Of two lists of words with the same places, tells where they differ.
    fn words<const N: usize>(&mut self, name: &str, old: &[Option<String>; N], new: &[Option<String>; N]) {
        let differ: Vec<_> = old.iter().zip(new).filter(|(old, new)| old != new).collect();
        if differ.is_empty() {
            return;
        }
        let side = |words: Vec<Option<&String>>| {
            let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
            if words.is_empty() { "none".to_owned() } else { words.join(" ") }
        };
        let (was, is) = differ.into_iter().map(|(old, new)| (old.as_ref(), new.as_ref())).unzip();
        self.retyped.push(format!("{name} ({} → {})", side(was), side(is)));
    }
}

/// Hands over those of the same name, and gives the names that are only among the old and only among the new.
fn by_name<'a, T>(
    old: &'a [T],
    new: &'a [T],
    name: impl Fn(&'a T) -> &'a str,
    both: &mut dyn FnMut(&'a T, &'a T),
) -> (Vec<&'a str>, Vec<&'a str>) {
    let names: HashSet<&str> = old.iter().map(&name).collect();
    let places: HashMap<&str, &T> = new.iter().map(|is| (name(is), is)).collect();
    let mut gone = Vec::new();
    for was in old {
        match places.get(name(was)) {
            Some(is) => both(was, is),
            None => gone.push(name(was)),
        }
    }
    (gone, new.iter().map(&name).filter(|name| !names.contains(name)).collect())
}

/// What one who reads a value relies on. The list is the one that it stands in.
fn words(metric: &Metric, list: &[Metric]) -> [Option<String>; 7] {
    let value = match metric.value {
        // Its cell is a number, and nobody sees it.
        _ if matches!(metric.kind, Kind::State | Kind::Time) => None,
        ValueType::U64 => Some("u64"),
        ValueType::I64 => Some("i64"),
        ValueType::F64 => Some("f64"),
        ValueType::Bool => Some("bool"),
        ValueType::Text => Some("text"),
    };
    let kind = match metric.kind {
        Kind::Gauge => "gauge",
        Kind::Counter { width: Width::W64, .. } => "counter",
        Kind::Counter { width: Width::W32, .. } => "counter of 32 bits",
        Kind::State => "state",
        Kind::Info => "info",
        Kind::Time => "time",
    };
    let derived = match &metric.source {
        Source::Reported => None,
        Source::Derived(derivation) => Some(formula(derivation, list)),
    };
    [
        value.map(str::to_owned),
        Some(kind.to_owned()),
        metric.unit.clone(),
        derived,
        when(&metric.when),
        (!metric.json).then(|| "not in JSON".to_owned()),
        metric.label.then(|| "label".to_owned()),
    ]
}

fn formula(derivation: &Derivation, list: &[Metric]) -> String {
    let sum = |places: &[usize]| {
        let names = places.iter().filter_map(|&place| list.get(place)).map(|metric| metric.name.as_str());
        let sum = names.collect::<Vec<_>>().join(" + ");
        if places.len() > 1 { format!("({sum})") } else { sum }
    };
    let scale = if derivation.scale == 1.0 { String::new() } else { format!("{} × ", derivation.scale) };
    let over = derivation.over.as_ref().map_or("seconds".to_owned(), |over| sum(over));
    format!("as {scale}{} / {over}", sum(&derivation.of))
}

fn when(conditions: &[Condition]) -> Option<String> {
    let words =
        conditions.iter().map(|condition| format!("{}{}", if condition.is { "" } else { "!" }, condition.option));
    (!conditions.is_empty()).then(|| format!("when {}", words.collect::<Vec<_>>().join(" and ")))
}

/// One line, of a bounded length.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("the same metrics");
        }
        let mut start = "";
        for (what, names) in [("added", &self.added), ("gone", &self.gone), ("retyped", &self.retyped)] {
            if names.is_empty() {
                continue;
            }
            write!(f, "{start}{what}: ")?;
            for (place, name) in names.iter().take(NAMES_MAX).enumerate() {
                let told = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
                let (comma, cut) = (if place > 0 { ", " } else { "" }, if told.len() < name.len() { "…" } else { "" });
                write!(f, "{comma}{told}{cut}")?;
            }
            if let more @ 1.. = names.len().saturating_sub(NAMES_MAX) {
                write!(f, " and {more} more")?;
            }
            start = "; ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const OLD: &str = r#"
[options.more]
type = "bool"
default = true
description = "more of it"

[metrics.bytes]
type = "u64"
kind = "counter"
unit = "By"
rate = "bytes_per_sec"
description = "bytes"

[metrics.load]
unit = "1"
description = "load"

[metrics."power.state"]
kind = "state"
values = ["off", "low", "on"]
description = "state"

[tables.disks]
key = "device"
description = "disks"

[tables.disks.columns.read]
type = "u64"
kind = "counter"
unit = "By"
rate = "read_per_sec"
description = "bytes read"

[tables.disks.columns.model]
type = "text"
kind = "info"
label = true
description = "what it says it is"
"#;

    fn manifest(text: &str) -> Manifest {
        let head = "contract = \"1.0\"\n[plugin]\nname = \"ups\"\ndescription = \"a plugin\"\n";
        Manifest::parse(&format!("{head}{text}")).unwrap()
    }

    /// The difference to the old one when these texts of it are replaced.
    fn after(replaced: &[(&str, &str)]) -> String {
        let new = replaced.iter().fold(OLD.to_owned(), |text, (old, new)| {
            assert!(text.contains(old), "{old}");
            text.replacen(old, new, 1)
        });
        compare(&manifest(OLD), &manifest(&new)).to_string()
    }

    #[test]
    fn what_is_written_in_another_order_or_words_is_the_same() {
        let (first, second) = OLD.split_at(OLD.find("[metrics.load]").unwrap());
        let (second, tables) = second.split_at(second.find("[tables.disks]").unwrap());
        let (options, first) = first.split_at(first.find("[metrics.bytes]").unwrap());
        let turned = [tables, second, first, options].concat().replace("\"bytes\"", "\"octets\"");
        let difference = compare(&manifest(OLD), &manifest(&turned));
        assert!(difference.is_none());
        assert_eq!(difference.to_string(), "the same metrics");
        assert_eq!(after(&[("\n[options.more]", "budget.cpu = \"9ms\"\n[options.less]")]), "the same metrics");
    }

    #[test]
    fn names_that_come_and_go_are_told_in_their_order() {
        assert_eq!(after(&[("metrics.load", "metrics.charge")]), "added: charge; gone: load");
        assert_eq!(
            after(&[("metrics.bytes", "metrics.octets")]),
            "added: octets; gone: bytes; retyped: bytes_per_sec (as bytes / seconds → as octets / seconds)"
        );
        assert_eq!(
            after(&[("columns.read]", "columns.got]"), ("read_per_sec", "got_per_sec")]),
            "added: disks.got, disks.got_per_sec; gone: disks.read, disks.read_per_sec"
        );
        let renamed = [("[tables.disks]", "[tables.drives]"), ("disks.columns.read", "drives.columns.read")];
        assert_eq!(
            after(&[&renamed[..], &[("disks.columns.model", "drives.columns.model")]].concat()),
            "added: table drives; gone: table disks"
        );
    }

    #[test]
    fn name_that_means_something_else_is_told_with_what_it_was_and_is() {
        for (old, new, told) in [
            ("unit = \"By\"", "unit = \"KiBy\"", "bytes (By → KiBy), bytes_per_sec (By/s → KiBy/s)"),
            ("unit = \"1\"", "type = \"u64\"\nunit = \"1\"", "load (f64 → u64)"),
            ("unit = \"1\"", "type = \"bool\"", "load (f64 1 → bool)"),
            ("unit = \"1\"", "type = \"text\"\nkind = \"info\"", "load (f64 gauge 1 → text info)"),
            ("kind = \"counter\"", "kind = \"counter\"\nwidth = 32", "bytes (counter → counter of 32 bits)"),
            ("unit = \"1\"", "unit = \"1\"\nwhen = \"more\"", "load (none → when more)"),
            ("unit = \"1\"", "unit = \"1\"\njson = false", "load (none → not in JSON)"),
            ("label = true", "label = false", "disks.model (label → none)"),
            ("key = \"device\"", "key = [\"device\", \"part\"]", "table disks (key device → key device, part)"),
            ("key = \"device\"", "key = \"device\"\nwhen = \"!more\"", "table disks (none → when !more)"),
        ] {
            assert_eq!(after(&[(old, new)]), format!("retyped: {told}"), "{old} to {new}");
        }
    }

    #[test]
    fn words_of_a_state_come_go_and_move() {
        let to = |words: &str| after(&[("\"off\", \"low\", \"on\"", words)]);
        assert_eq!(to("\"off\", \"low\", \"on\", \"broken\""), "added: power.state=broken");
        assert_eq!(to("\"off\", \"on\""), "gone: power.state=low");
        assert_eq!(to("\"on\", \"low\", \"off\""), "retyped: power.state (off, low, on → on, low, off)");
    }

    #[test]
    fn what_is_derived_in_another_way_is_told() {
        let ratio = "[metrics.share]\nderive = { of = [\"a\"], over = [\"a\", \"b\"], scale = 100 }\nunit = \"%\"\ndescription = \"share\"\n";
        let counter = |name: &str| {
            format!("[metrics.{name}]\ntype = \"u64\"\nkind = \"counter\"\nunit = \"ms\"\ndescription = \"time\"\n")
        };
        let old = format!("{}{}{ratio}", counter("a"), counter("b"));
        let new = old.replace("over = [\"a\", ", "over = [");
        assert_eq!(
            compare(&manifest(&old), &manifest(&new)).to_string(),
            "retyped: share (as 100 × a / (a + b) → as 100 × a / b)"
        );
    }

    #[test]
    fn long_lists_and_long_names_are_cut_and_counted() {
        let mut new = OLD.to_owned();
        for number in 0..32 {
            let _ = write!(new, "[metrics.m{number}]\nunit = \"1\"\ndescription = \"one\"\n");
        }
        let told = compare(&manifest(OLD), &manifest(&new)).to_string();
        assert!(told.starts_with("added: m0, m1, ") && told.ends_with(", m19 and 12 more"), "{told}");
        let long = Difference { retyped: vec!["é".repeat(1000)], ..Difference::default() };
        assert_eq!(long.to_string(), format!("retyped: {}…", "é".repeat(100)));
    }

    #[test]
    fn largest_manifests_are_compared_in_no_time() {
        let list = |letter: &str| {
            (0..4096).fold(String::new(), |text, number| {
                text + &format!("[metrics.{letter}{number}]\nunit = \"1\"\ndescription = \"one\"\n")
            })
        };
        let difference = compare(&manifest(&list("a")), &manifest(&list("b")));
        assert_eq!((difference.added.len(), difference.gone.len()), (4096, 4096));
    }
}
