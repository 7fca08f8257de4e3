//! The option vocabulary: what a plugin, a sink and the agent itself declare of their keys, and the one check of what is given.
//!
//! Promises that a value which passed [`check`] is of its declared type and range, with its default filled in, and knows
//! where it was written; and that every fault is told at once. Refuses unknown keys: a key that does nothing is a mistake.
#![forbid(unsafe_code)]

mod check;
mod declare;
mod schema;
#[cfg(test)]
mod tests;
pub mod units;

use std::time::Duration;

use serde_json::{Map, Value as Json};

pub use check::{ReadSecret, check, check_beside};
#[cfg(test)]
pub(super) use declare::KEYS as DECLARATION_KEYS;
pub use declare::{MAX_OPTIONS, declarations};
pub(super) use declare::{declared, type_words};
pub use schema::schema;

use super::fault::Origin;

/// One declared option.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionSpec {
    /// Its name; dots nest.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Its type.
    pub option_type: OptionType,
    /// What holds where it is not given.
    pub presence: Presence,
    /// The least value, where values order.
    pub min: Option<OptionValue>,
    /// The greatest value, where values order.
    pub max: Option<OptionValue>,
    /// Words admitted beside a duration or size.
    pub words: Vec<String>,
    /// The words of an enum.
    pub values: Vec<String>,
}

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionType {
    /// A single value.
    One(Scalar),
    /// `"[T]"`: a list.
    List(Scalar),
    /// `"{string}"`: a map to strings.
    Map,
}

/// The type of a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Any text.
    String,
    /// A signed integer of 64 bits.
    Integer,
    /// A finite float; integers are taken too.
    Float,
    /// True or false.
    Bool,
    /// A length of time, `"1m30s"`; nanoseconds at the boundary.
    Duration,
    /// A number of bytes, `"10MiB"`; bytes at the boundary.
    Size,
    /// A path, not empty.
    Path,
    /// A text that is never shown; also taken from the file that `NAME_file` names.
    Secret,
    /// One of the declared `values`.
    Enum,
}

/// What holds where an option is not given.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    /// This value.
    Default(OptionValue),
    /// It has to be given.
    Required,
    /// It has no value.
    Optional,
}

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// A string, path, secret, word of an enum, or word beside a duration or size.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A finite float.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A length of time, at most 2^63 ns.
    Duration(Duration),
    /// A number of bytes, at most 2^63.
    Size(u64),
    /// A list.
    List(Vec<OptionValue>),
    /// A map to strings, in the order given.
    Map(Vec<(String, String)>),
}

/// Checked options, in the order of their declaration; one without a value is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The options that have a value.
    pub list: Vec<Setting>,
}

/// The value of one option.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The option's name; dots nest.
    pub name: String,
    /// Its value.
    pub value: OptionValue,
    /// Where the value was written; absent where it is the declared default.
    pub origin: Option<Origin>,
    /// Whether the value must never be shown.
    pub secret: bool,
}

impl Settings {
    /// The value of an option, if it has one.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&OptionValue> {
        self.list.iter().find(|setting| setting.name == name).map(|setting| &setting.value)
    }

    /// Whether a bool option is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        matches!(self.value(name), Some(OptionValue::Bool(true)))
    }

    /// The text of a string, path, secret or word.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(OptionValue::text)
    }

    /// The value of a duration; `None` too where it has none or a word stands for it.
    #[must_use]
    pub fn duration(&self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            OptionValue::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    /// The value of a size; `None` too where it has none or a word stands for it.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            OptionValue::Size(bytes) => Some(*bytes),
            _ => None,
        }
    }

    /// The value of an integer.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            OptionValue::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The texts of a list.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let Some(OptionValue::List(values)) = self.value(name) else { return Vec::new() };
        values.iter().filter_map(OptionValue::text).collect()
    }

    /// The text that crosses to a plugin: a JSON object, names with dots nested, durations as integers of nanoseconds and sizes
    /// of bytes.
    #[must_use]
    pub fn json(&self) -> String {
        let mut root = Map::new();
        for setting in &self.list {
            insert(&mut root, &setting.name, setting.value.json());
        }
        Json::Object(root).to_string()
    }
}

/// Puts a value where its name, whose dots nest, says.
fn insert(root: &mut Map<String, Json>, name: &str, value: Json) {
    let Some((head, tail)) = name.split_once('.') else {
        root.insert(name.to_owned(), value);
        return;
    };
    if let Json::Object(inner) = root.entry(head).or_insert_with(|| Json::Object(Map::new())) {
        insert(inner, tail, value);
    }
}

impl OptionValue {
    /// The text of a string, path, secret or word.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            OptionValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as it crosses to a plugin.
    #[must_use]
    pub fn json(&self) -> Json {
        match self {
            OptionValue::Text(text) => Json::from(text.as_str()),
            OptionValue::Integer(number) => Json::from(*number),
            OptionValue::Float(number) => Json::from(*number),
            OptionValue::Bool(flag) => Json::from(*flag),
            OptionValue::Duration(duration) => Json::from(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
            OptionValue::Size(bytes) => Json::from(*bytes),
            OptionValue::List(values) => Json::from(values.iter().map(OptionValue::json).collect::<Vec<_>>()),
            OptionValue::Map(entries) => {
                Json::Object(entries.iter().map(|(key, text)| (key.clone(), Json::from(text.as_str()))).collect())
            }
        }
    }

    /// The value as it is written in TOML.
    #[must_use]
    pub fn toml(&self) -> String {
        match self {
            OptionValue::Text(text) => quoted(text),
            OptionValue::Integer(number) => number.to_string(),
            OptionValue::Float(number) => format!("{number:?}"),
            OptionValue::Bool(flag) => flag.to_string(),
            OptionValue::Duration(duration) => quoted(&units::duration_text(*duration)),
            OptionValue::Size(bytes) => quoted(&units::size_text(*bytes)),
            OptionValue::List(values) => {
                format!("[{}]", values.iter().map(OptionValue::toml).collect::<Vec<_>>().join(", "))
            }
            OptionValue::Map(entries) if entries.is_empty() => "{}".to_owned(),
            OptionValue::Map(entries) => {
                let entries = entries.iter().map(|(key, text)| format!("{} = {}", key_text(key), quoted(text)));
                format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A key of TOML, bare where it may be.
fn key_text(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quoted(key) }
}

/// A basic string of TOML. JSON's escapes are among TOML's, but for DEL, which JSON leaves as it is.
fn quoted(text: &str) -> String {
    Json::from(text).to_string().replace('\u{7f}', "\\u007F")
}
