//! TOML as a tree that remembers where each key and value was written.
//!
//! Promises all syntax errors at once, entries in the order of the source, and an [`Origin`] on every key and value,
//! which survives merging. Refuses what nothing in our files can mean: integers past 64 bits and nesting past
//! [`MAX_DEPTH`]. serde is not used to read files: `flatten` and internally tagged enums lose the spans.
#![forbid(unsafe_code)]

use std::ops::Range;
use std::{io, thread};

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::fault::{Fault, Origin};

/// The deepest nesting of tables and arrays. Our deepest is 5 (`collectors.NAME.options.A.B`).
pub const MAX_DEPTH: usize = 32;

/// Keys and values, in the order of the source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The entries; no key comes twice.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key, unquoted.
    pub key: String,
    /// Where the key stands.
    pub key_origin: Origin,
    /// The value.
    pub value: Value,
}

/// A value and where it stands. Of a table under a header that is the header.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What it is.
    pub data: Data,
    /// Where it stands.
    pub origin: Origin,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// A string.
    String(String),
    /// An integer.
    Integer(i64),
    /// A float, possibly infinite or not a number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A date or a time, which nothing of ours takes.
    Datetime,
    /// A list.
    Array(Vec<Value>),
    /// A table.
    Table(Table),
}

impl Data {
    /// The value's type in words, with its article.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Data::String(_) => "a string",
            Data::Integer(_) => "an integer",
            Data::Float(_) => "a float",
            Data::Bool(_) => "a bool",
            Data::Datetime => "a date or time",
            Data::Array(_) => "a list",
            Data::Table(_) => "a table",
        }
    }
}

impl Table {
    /// The entry of a key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }
}

/// Reads a document. With faults the table holds what could be read of it.
#[must_use]
pub fn parse(source: usize, text: &str) -> (Table, Vec<Fault>) {
    let read = || {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { source, faults: Vec::new() };
        for error in errors {
            let origin = reader.origin(error.span().unwrap_or_default());
            reader.faults.push(Fault::new(origin, error.message()));
        }
        let table = reader.table(document.get_ref(), 0);
        (table, reader.faults)
    };
    with_room(text, read).unwrap_or_else(|cause| {
        let origin = Origin { source, ..Origin::default() };
        (Table::default(), vec![Fault::new(origin, format!("could not be read, as it may nest deeply: {cause}"))])
    })
}

/// Reads one value, such as that of a variable; `None` where the text is no TOML value.
#[must_use]
pub fn parse_value(source: usize, text: &str) -> Option<Value> {
    let read = || {
        let mut reader = Reader { source, faults: Vec::new() };
        let value = reader.value(&DeValue::parse(text).ok()?, 0);
        reader.faults.is_empty().then_some(value)
    };
    with_room(text, read).ok()?
}

/// Runs the parser where the stack lasts. It bounds the nesting of inline tables to 80 and the keys of a path to 80, which lets more
/// than 6400 tables nest, and drops them by recursion, also within itself where a key comes twice. A level takes 0.8 KiB of stack
/// in a debug build: a thread of 2 MiB does not last, and that of a manifest's reader may be one.
fn with_room<T: Send>(text: &str, read: impl FnOnce() -> T + Send) -> io::Result<T> {
    /// As many levels, at the least, fit any thread. The longest manifest of ours has 220 bytes that could open one.
    const LEVELS_ANYWHERE: usize = 1000;
    const STACK_BYTES: usize = 16 << 20;
    let opens = text.bytes().filter(|byte| matches!(byte, b'.' | b'{' | b'[')).nth(LEVELS_ANYWHERE);
    if opens.is_none() {
        return Ok(read());
    }
    thread::scope(|scope| {
        let reading = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, read)?;
        reading.join().map_err(|_panicked| io::Error::other("the parser panicked"))
    })
}

struct Reader {
    source: usize,
    faults: Vec<Fault>,
}

impl Reader {
    fn origin(&self, span: Range<usize>) -> Origin {
        Origin { source: self.source, start: span.start, end: span.end }
    }

    fn table(&mut self, table: &DeTable<'_>, depth: usize) -> Table {
        let entry = |(key, value): (&Spanned<_>, _)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            let key_origin = self.origin(key.span());
            Entry { key: key.get_ref().to_string(), key_origin, value: self.value(value, depth + 1) }
        };
        let mut entries: Vec<Entry> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.key_origin);
        Table { entries }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, depth: usize) -> Value {
        let origin = self.origin(value.span());
        if depth > MAX_DEPTH {
            self.faults.push(Fault::new(origin, format!("nested deeper than {MAX_DEPTH} tables and lists")));
            return Value { data: Data::Bool(false), origin };
        }
        let data = match value.get_ref() {
            DeValue::String(text) => Data::String(text.to_string()),
            DeValue::Integer(number) => self.integer(number, origin),
            DeValue::Float(number) => Data::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Data::Bool(*flag),
            DeValue::Datetime(_) => Data::Datetime,
            DeValue::Array(items) => Data::Array(items.iter().map(|item| self.value(item, depth + 1)).collect()),
            DeValue::Table(table) => Data::Table(self.table(table, depth)),
        };
        Value { data, origin }
    }

    fn integer(&mut self, number: &DeInteger<'_>, origin: Origin) -> Data {
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Data::Integer(number),
            Err(_) => {
                let allowed = format!("{} to {}", i64::MIN, i64::MAX);
                self.faults.push(Fault::new(origin, "integer does not fit 64 bits").allowed(allowed));
                Data::Integer(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str, origin: Origin) -> &str {
        &source[origin.start..origin.end]
    }

    #[test]
    fn entries_keep_the_order_of_the_source_and_know_where_they_stand() {
        let source = "zebra = 1\n[metrics.b]\nunit = \"By\"\n[plugin]\n[metrics.a]\n";
        let (table, faults) = parse(3, source);
        assert_eq!(faults, []);
        let keys: Vec<&str> = table.entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["zebra", "metrics", "plugin"]);
        let Data::Table(metrics) = &table.value("metrics").unwrap().data else { panic!("not a table") };
        assert_eq!(metrics.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(text(source, metrics.entry("a").unwrap().key_origin), "a");
        assert_eq!(text(source, metrics.value("a").unwrap().origin), "[metrics.a]");
        let Data::Table(b) = &metrics.value("b").unwrap().data else { panic!("not a table") };
        let unit = b.value("unit").unwrap();
        assert_eq!((text(source, unit.origin), unit.origin.source), ("\"By\"", 3));
    }

    #[test]
    fn all_syntax_errors_come_at_once() {
        let source = "a = \nb = 1\nc = [1,\n";
        let (table, faults) = parse(0, source);
        assert!(faults.len() >= 2, "{faults:?}");
        assert_eq!(table.value("b").map(|value| &value.data), Some(&Data::Integer(1)));
    }

    #[test]
    fn numbers_are_read_in_every_base_and_bounded_to_64_bits() {
        let (table, faults) = parse(0, "a = 0xff\nb = 1_000\nc = -1.5e3\nd = 9223372036854775808\n");
        assert_eq!(table.value("a").unwrap().data, Data::Integer(255));
        assert_eq!(table.value("b").unwrap().data, Data::Integer(1000));
        assert_eq!(table.value("c").unwrap().data, Data::Float(-1500.0));
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].message, "integer does not fit 64 bits");
    }

    #[test]
    fn nesting_has_a_bound_whatever_way_it_is_written() {
        for source in [
            format!("a = {}{}", "[".repeat(40), "]".repeat(40)),
            format!("{} = 1", vec!["a"; 60].join(".")),
            format!("{} = 1", vec!["a"; 100_000].join(".")),
            format!("a = {}1{}", format!("{{ {} = ", vec!["b"; 70].join(".")).repeat(70), "}".repeat(70)),
            format!("a = {}", "[".repeat(100_000)),
        ] {
            assert!(!parse(0, &source).1.is_empty(), "{:.80}", source);
        }
    }

    /// The parser drops these by itself, on a thread of 2 MiB here.
    #[test]
    fn what_nests_deeply_and_is_thrown_away_does_not_end_the_process() {
        let deep = format!("{}1{}", format!("{{{}=", vec!["a"; 79].join(".")).repeat(78), "}".repeat(78));
        for source in
            [format!("x = {deep}\nx = {deep}\n"), format!("x = 1\nx.y = {deep}\n"), format!("x = [{deep} !\n")]
        {
            assert!(!parse(0, &source).1.is_empty());
        }
        assert_eq!(parse_value(0, &format!("[{deep} !")), None);
    }

    #[test]
    fn lone_value_is_read_as_toml_or_not_at_all() {
        assert_eq!(parse_value(0, "true").map(|value| value.data), Some(Data::Bool(true)));
        assert_eq!(parse_value(0, "1s"), None);
        assert!(matches!(parse_value(0, "[1, 2]").map(|value| value.data), Some(Data::Array(_))));
    }
}
