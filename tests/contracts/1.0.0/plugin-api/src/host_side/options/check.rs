//! THE check of options, the agent's own, a sink's and a plugin's alike.

use std::cmp::Ordering;
use std::io;
use std::path::Path;

use super::super::fault::{Fault, Origin, Sources};
use super::super::tree::{Data, Entry, Table, Value};
use super::declare::whole;
use super::{OptionSpec, OptionType, OptionValue, Presence, Scalar, Setting, Settings, units};

/// How the file of a secret is read. The check itself touches nothing outside.
pub type ReadSecret<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// Checks what is given against what is declared, fills in defaults, and tells every fault. `at` is where a missing option is
/// told. The places of secrets are hidden in `sources`.
pub fn check(
    specs: &[OptionSpec],
    given: &Table,
    at: Origin,
    read_secret: ReadSecret<'_>,
    sources: &mut Sources,
    faults: &mut Vec<Fault>,
) -> Settings {
    check_beside(specs, given, at, &[], read_secret, sources, faults)
}

/// [`check`] of a table in which the keys `elsewhere` are someone else's to check.
pub fn check_beside(
    specs: &[OptionSpec],
    given: &Table,
    at: Origin,
    elsewhere: &[&str],
    read_secret: ReadSecret<'_>,
    sources: &mut Sources,
    faults: &mut Vec<Fault>,
) -> Settings {
    let mut checker = Checker { specs, elsewhere, read_secret, sources, faults, found: vec![None; specs.len()] };
    checker.table("", given);
    let mut settings = Settings::default();
    let found = std::mem::take(&mut checker.found);
    for (spec, found) in specs.iter().zip(found) {
        let secret = matches!(spec.option_type, OptionType::One(Scalar::Secret) | OptionType::List(Scalar::Secret));
        let (value, origin) = match (found, &spec.presence) {
            (Some(Found { value: Some(value), origin }), _) => (value, Some(origin)),
            (Some(Found { value: None, .. }), _) => continue,
            (None, Presence::Default(value)) => (value.clone(), None),
            (None, Presence::Optional) => continue,
            (None, Presence::Required) => {
                faults.push(Fault::new(at, format!("`{}` is required", spec.name)).allowed(allowed(spec)));
                continue;
            }
        };
        settings.list.push(Setting { name: spec.name.clone(), value, origin, secret });
    }
    settings
}

#[derive(Clone)]
struct Found {
    /// Absent where it was given and wrong, which was told.
    value: Option<OptionValue>,
    origin: Origin,
}

struct Checker<'a> {
    specs: &'a [OptionSpec],
    elsewhere: &'a [&'a str],
    read_secret: ReadSecret<'a>,
    sources: &'a mut Sources,
    faults: &'a mut Vec<Fault>,
    found: Vec<Option<Found>>,
}

impl Checker<'_> {
    /// One level; `prefix` is that of the names in it.
    fn table(&mut self, prefix: &str, table: &Table) {
        for entry in &table.entries {
            let name = format!("{prefix}{}", entry.key);
            let dotted = entry.key.contains('.');
            let named = |spec: &OptionSpec| !dotted && spec.name == name;
            let below = format!("{name}.");
            if prefix.is_empty() && self.elsewhere.contains(&name.as_str()) {
                continue;
            }
            if let Some(at) = self.specs.iter().position(named) {
                self.option(at, entry);
            } else if !dotted && self.specs.iter().any(|spec| spec.name.starts_with(&below)) {
                match &entry.value.data {
                    Data::Table(inner) => self.table(&below, inner),
                    other => {
                        let message = format!("`{name}` is {}", other.kind());
                        let inner = self.specs.iter().filter_map(|spec| spec.name.strip_prefix(&below));
                        let allowed = format!("a table of {}", inner.collect::<Vec<_>>().join(", "));
                        self.faults.push(Fault::new(entry.value.origin, message).allowed(allowed));
                    }
                }
            } else if let Some(at) = self.specs.iter().position(|spec| !dotted && is_file_of(spec, &name)) {
                self.secret_file(at, entry);
            } else {
                self.unknown(prefix, entry);
            }
        }
    }

    fn option(&mut self, at: usize, entry: &Entry) {
        let (specs, origin) = (self.specs, entry.value.origin);
        let spec = &specs[at];
        if matches!(spec.option_type, OptionType::One(Scalar::Secret) | OptionType::List(Scalar::Secret)) {
            self.sources.hide(origin);
        }
        let value = match whole(spec, &entry.value) {
            Ok(value) => Some(value),
            Err(found) => {
                self.faults.extend(found);
                None
            }
        };
        self.take(at, value, origin);
    }

    fn secret_file(&mut self, at: usize, entry: &Entry) {
        let origin = entry.value.origin;
        let value = match &entry.value.data {
            Data::String(path) => match (self.read_secret)(Path::new(path)) {
                Ok(text) => Some(OptionValue::Text(text)),
                Err(error) => {
                    let message =
                        format!("could not read the secret of `{}` from {path}: {error}", self.specs[at].name);
                    self.faults.push(Fault::new(origin, message));
                    None
                }
            },
            other => {
                let fault = Fault::new(origin, format!("`{}` is {}", entry.key, other.kind()));
                self.faults.push(fault.allowed("a path, as a string"));
                None
            }
        };
        self.take(at, value, origin);
    }

    fn take(&mut self, at: usize, value: Option<OptionValue>, origin: Origin) {
        if self.found[at].is_some() {
            let name = &self.specs[at].name;
            self.faults.push(Fault::new(origin, format!("both `{name}` and `{name}_file` are given")));
        }
        self.found[at] = Some(Found { value, origin });
    }

    fn unknown(&mut self, prefix: &str, entry: &Entry) {
        let mut known: Vec<&str> = Vec::new();
        for rest in self.specs.iter().filter_map(|spec| spec.name.strip_prefix(prefix)) {
            let key = rest.split('.').next().unwrap_or(rest);
            if !known.contains(&key) {
                known.push(key);
            }
        }
        if prefix.is_empty() {
            known.extend(self.elsewhere);
        }
        let message = format!("unknown key `{prefix}{}`", entry.key);
        self.faults.push(Fault::new(entry.key_origin, message).among(&entry.key, known));
    }
}

fn is_file_of(spec: &OptionSpec, name: &str) -> bool {
    spec.option_type == OptionType::One(Scalar::Secret) && name.strip_suffix("_file") == Some(spec.name.as_str())
}

/// Reads a single value of the declared type; its range is another question.
pub(super) fn read(spec: &OptionSpec, scalar: Scalar, value: &Value) -> Result<OptionValue, Fault> {
    let read = match (scalar, &value.data) {
        (Scalar::String | Scalar::Secret, Data::String(text)) => Some(OptionValue::Text(text.clone())),
        (Scalar::Path, Data::String(text)) if !text.is_empty() && !text.contains('\0') => {
            Some(OptionValue::Text(text.clone()))
        }
        (Scalar::Enum, Data::String(text)) if spec.values.contains(text) => Some(OptionValue::Text(text.clone())),
        (Scalar::Duration | Scalar::Size, Data::String(text)) if spec.words.contains(text) => {
            Some(OptionValue::Text(text.clone()))
        }
        (Scalar::Duration, Data::String(text)) => units::duration(text).map(OptionValue::Duration),
        (Scalar::Size, Data::String(text)) => units::size(text).map(OptionValue::Size),
        (Scalar::Integer, Data::Integer(number)) => Some(OptionValue::Integer(*number)),
        (Scalar::Float, Data::Float(number)) if number.is_finite() => Some(OptionValue::Float(*number)),
        (Scalar::Float, Data::Integer(number)) => Some(OptionValue::Float(*number as f64)),
        (Scalar::Bool, Data::Bool(flag)) => Some(OptionValue::Bool(*flag)),
        _ => None,
    };
    read.ok_or_else(|| {
        let what = match &value.data {
            Data::String(text) if scalar == Scalar::Enum || scalar == Scalar::Duration || scalar == Scalar::Size => {
                let noun = match scalar {
                    Scalar::Enum => "none of the words of",
                    Scalar::Duration => "no duration, in",
                    _ => "no size, in",
                };
                format!("`{text}` is {noun} `{}`", spec.name)
            }
            Data::String(_) if scalar == Scalar::Path => format!("`{}` is no path", spec.name),
            other => format!("`{}` is {}", spec.name, other.kind()),
        };
        let fault = Fault::new(value.origin, what);
        match &value.data {
            Data::String(text) if scalar == Scalar::Enum => {
                fault.among(text, spec.values.iter().map(String::as_str)).allowed(allowed_one(spec, scalar))
            }
            _ => fault.allowed(allowed_one(spec, scalar)),
        }
    })
}

/// The fault of a value past the declared bounds.
pub(super) fn range_fault(spec: &OptionSpec, value: &OptionValue, origin: Origin) -> Option<Fault> {
    let below = spec.min.as_ref().is_some_and(|min| order(value, min) == Some(Ordering::Less));
    let above = spec.max.as_ref().is_some_and(|max| order(value, max) == Some(Ordering::Greater));
    let what = if below { "below its least value" } else { "above its greatest value" };
    (below || above).then(|| Fault::new(origin, format!("`{}` is {what}", spec.name)).allowed(allowed(spec)))
}

/// How two values of one ordered type stand to each other.
pub(super) fn order(one: &OptionValue, other: &OptionValue) -> Option<Ordering> {
    match (one, other) {
        (OptionValue::Integer(one), OptionValue::Integer(other)) => Some(one.cmp(other)),
        (OptionValue::Float(one), OptionValue::Float(other)) => one.partial_cmp(other),
        (OptionValue::Duration(one), OptionValue::Duration(other)) => Some(one.cmp(other)),
        (OptionValue::Size(one), OptionValue::Size(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// What an option takes, in words.
pub(super) fn allowed(spec: &OptionSpec) -> String {
    match spec.option_type {
        OptionType::One(scalar) => allowed_one(spec, scalar),
        OptionType::List(scalar) => format!("a list, each {}", allowed_one(spec, scalar)),
        OptionType::Map => "a table of strings".to_owned(),
    }
}

fn allowed_one(spec: &OptionSpec, scalar: Scalar) -> String {
    let mut text = match scalar {
        Scalar::String | Scalar::Secret => "a string".to_owned(),
        Scalar::Integer => "an integer".to_owned(),
        Scalar::Float => "a finite number".to_owned(),
        Scalar::Bool => "true or false".to_owned(),
        Scalar::Duration => units::DURATION.to_owned(),
        Scalar::Size => units::SIZE.to_owned(),
        Scalar::Path => "a path, as a string that is not empty".to_owned(),
        Scalar::Enum => spec.values.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "),
    };
    let bound = |bound: &OptionValue| bound.toml().trim_matches('"').to_owned();
    match (spec.min.as_ref().map(bound), spec.max.as_ref().map(bound)) {
        (Some(min), Some(max)) => text.push_str(&format!(", from {min} to {max}")),
        (Some(min), None) => text.push_str(&format!(", at least {min}")),
        (None, Some(max)) => text.push_str(&format!(", at most {max}")),
        (None, None) => {}
    }
    for word in &spec.words {
        text.push_str(&format!(", or \"{word}\""));
    }
    text
}
