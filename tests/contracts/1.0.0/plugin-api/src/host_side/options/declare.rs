//! From `[options.NAME]` tables to [`OptionSpec`]s.

use super::super::fault::{Fault, Origin};
use super::super::keys::Keys;
use super::super::names;
use super::super::tree::{Data, Table, Value};
use super::check::{order, range_fault, read};
use super::{OptionSpec, OptionType, Presence, Scalar};

/// The most options of one plugin: past it, it is a language and no longer options.
pub const MAX_OPTIONS: usize = 256;

/// The words of `type`.
const SCALARS: [(&str, Scalar); 9] = [
    ("string", Scalar::String),
    ("integer", Scalar::Integer),
    ("float", Scalar::Float),
    ("bool", Scalar::Bool),
    ("duration", Scalar::Duration),
    ("size", Scalar::Size),
    ("path", Scalar::Path),
    ("secret", Scalar::Secret),
    ("enum", Scalar::Enum),
];

pub(in crate::host_side) const KEYS: [&str; 9] =
    ["type", "description", "default", "required", "optional", "min", "max", "words", "values"];

/// Reads the declared options below the key `options` of a document. `unknown_type` words the fault of a type that this version
/// does not know.
pub(in crate::host_side) fn declared(
    document: &Keys<'_>,
    lenient: bool,
    unknown_type: &dyn Fn(Fault, &str) -> Fault,
    faults: &mut Vec<Fault>,
) -> Vec<OptionSpec> {
    let mut specs: Vec<OptionSpec> = Vec::new();
    for (entry, table) in document.tables("options", faults) {
        let at = entry.key_origin;
        if specs.len() == MAX_OPTIONS {
            faults.push(Fault::new(at, format!("more than {MAX_OPTIONS} options")));
            break;
        }
        if !names::is_dotted_name(&entry.key) {
            faults.push(Fault::new(at, format!("`{}` is no name of an option", entry.key)).allowed(names::DOTTED_NAME));
        }
        if let Some(other) = specs.iter().find(|spec| collide(&spec.name, &entry.key)) {
            faults.push(Fault::new(at, format!("option `{}` collides with option `{}`", entry.key, other.name)));
        }
        specs.extend(declaration(&entry.key, table, at, lenient, unknown_type, faults));
    }
    for spec in specs.iter().filter(|spec| spec.option_type == OptionType::One(Scalar::Secret)) {
        let file = format!("{}_file", spec.name);
        if let Some(entry) = document.table_of("options", &mut Vec::new()).and_then(|options| options.entry(&file)) {
            let message = format!("option `{file}` collides with the file of the secret `{}`", spec.name);
            faults.push(Fault::new(entry.key_origin, message));
        }
    }
    specs
}

/// The specs of a text that has nothing but `[options.NAME]` tables, as the agent declares its own keys.
///
/// # Errors
/// Every fault of the text.
pub fn declarations(text: &str) -> Result<Vec<OptionSpec>, Vec<Fault>> {
    let (table, mut faults) = super::super::tree::parse(0, text);
    if !faults.is_empty() {
        return Err(faults);
    }
    let document = Keys::new(&table, Origin::default(), "the declaration", &["options"], false, &mut faults);
    let unknown = |fault: Fault, word: &str| fault.among(word, type_words());
    let specs = declared(&document, false, &unknown, &mut faults);
    if faults.is_empty() { Ok(specs) } else { Err(faults) }
}

/// The words that `type` of an option may be; the last two are the forms of a list and a map.
pub(in crate::host_side) fn type_words() -> impl Iterator<Item = &'static str> {
    SCALARS.iter().map(|(word, _)| *word).chain(["[string]", "{string}"])
}

fn collide(one: &str, other: &str) -> bool {
    let below = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    below(one, other) || below(other, one)
}

fn declaration(
    name: &str,
    table: &Table,
    at: Origin,
    lenient: bool,
    unknown_type: &dyn Fn(Fault, &str) -> Fault,
    faults: &mut Vec<Fault>,
) -> Option<OptionSpec> {
    let keys = Keys::new(table, at, format!("option `{name}`"), &KEYS, lenient, faults);
    let description = keys.needed_text("description", faults).0.to_owned();
    if keys.entry("type").is_none() {
        keys.missing("type", faults);
    }
    let (word, word_origin) = keys.text("type", faults)?;
    let Some(option_type) = option_type(word) else {
        let message = format!("unknown type `{word}` of option `{name}`");
        faults.push(unknown_type(Fault::new(word_origin, message), word));
        return None;
    };
    let scalar = match option_type {
        OptionType::One(scalar) | OptionType::List(scalar) => Some(scalar),
        OptionType::Map => None,
    };
    let mut spec = OptionSpec {
        name: name.to_owned(),
        description,
        option_type,
        presence: Presence::Optional,
        min: None,
        max: None,
        words: owned(&keys, "words", matches!(scalar, Some(Scalar::Duration | Scalar::Size)), word, faults),
        values: owned(&keys, "values", scalar == Some(Scalar::Enum), word, faults),
    };
    if scalar == Some(Scalar::Enum) && keys.entry("values").is_none() {
        keys.missing("values", faults);
    }
    let ordered = matches!(scalar, Some(Scalar::Integer | Scalar::Float | Scalar::Duration | Scalar::Size));
    for key in ["min", "max"] {
        let Some(value) = table.value(key) else { continue };
        match scalar
            .filter(|_| ordered)
            .map(|scalar| read(&OptionSpec { words: Vec::new(), ..spec.clone() }, scalar, value))
        {
            Some(Ok(bound)) if key == "min" => spec.min = Some(bound),
            Some(Ok(bound)) => spec.max = Some(bound),
            Some(Err(fault)) => faults.push(fault),
            None => faults.push(misplaced(table, key, word, "integer, float, duration, size")),
        }
    }
    if let (Some(min), Some(max)) = (&spec.min, &spec.max)
        && order(min, max) == Some(std::cmp::Ordering::Greater)
    {
        faults.push(Fault::new(at, format!("`min` of option `{name}` is above its `max`")));
    }
    spec.presence = presence(&spec, &keys, table, faults);
    Some(spec)
}

fn option_type(word: &str) -> Option<OptionType> {
    let scalar = |word: &str| SCALARS.iter().find(|(known, _)| *known == word).map(|(_, scalar)| *scalar);
    if word == "{string}" {
        Some(OptionType::Map)
    } else if let Some(inner) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        scalar(inner).map(OptionType::List)
    } else {
        scalar(word).map(OptionType::One)
    }
}

/// A list of distinct words, where the type has any use for it.
fn owned(keys: &Keys<'_>, key: &str, belongs: bool, word: &str, faults: &mut Vec<Fault>) -> Vec<String> {
    let Some(entry) = keys.entry(key) else { return Vec::new() };
    if !belongs {
        let of = if key == "words" { "duration, size" } else { "enum" };
        faults.push(Fault::new(entry.key_origin, format!("`{key}` does not go with type `{word}`")).allowed(of));
        return Vec::new();
    }
    let mut words: Vec<String> = Vec::new();
    for (text, origin) in keys.list(key, faults) {
        if text.is_empty() || words.iter().any(|word| word == text) {
            faults.push(Fault::new(origin, format!("`{text}` in `{key}` is empty or comes twice")));
        }
        words.push(text.to_owned());
    }
    if words.is_empty() {
        faults.push(Fault::new(entry.value.origin, format!("`{key}` has no words")));
    }
    words
}

fn misplaced(table: &Table, key: &str, word: &str, of: &str) -> Fault {
    let origin = table.entry(key).map_or(Origin::default(), |entry| entry.key_origin);
    Fault::new(origin, format!("`{key}` does not go with type `{word}`")).allowed(of)
}

fn presence(spec: &OptionSpec, keys: &Keys<'_>, table: &Table, faults: &mut Vec<Fault>) -> Presence {
    let required = keys.flag("required", faults).is_some_and(|(flag, _)| flag);
    let optional = keys.flag("optional", faults).is_some_and(|(flag, _)| flag);
    let default = table.entry("default");
    let ways = usize::from(required) + usize::from(optional) + usize::from(default.is_some());
    if ways != 1 {
        let message = match ways {
            0 => format!("option `{}` does not say what holds where it is not given", spec.name),
            _ => format!("option `{}` says more than once what holds where it is not given", spec.name),
        };
        let at = default.map_or_else(|| keys.at(), |entry| entry.key_origin);
        faults.push(Fault::new(at, message).allowed("one of: default = …, required = true, optional = true"));
    }
    match default {
        Some(entry) if spec.option_type == OptionType::One(Scalar::Secret) => {
            faults.push(Fault::new(entry.key_origin, format!("secret `{}` has a default", spec.name)));
            Presence::Optional
        }
        Some(entry) => match whole(spec, &entry.value) {
            Ok(value) => Presence::Default(value),
            Err(found) => {
                faults.extend(found);
                Presence::Optional
            }
        },
        None if required => Presence::Required,
        None => Presence::Optional,
    }
}

/// A value of the option's whole type, list and map included, in range.
pub(super) fn whole(spec: &OptionSpec, value: &Value) -> Result<super::OptionValue, Vec<Fault>> {
    let one = |scalar, value: &Value| -> Result<super::OptionValue, Fault> {
        let checked = read(spec, scalar, value)?;
        match range_fault(spec, &checked, value.origin) {
            Some(fault) => Err(fault),
            None => Ok(checked),
        }
    };
    match (spec.option_type, &value.data) {
        (OptionType::One(scalar), _) => one(scalar, value).map_err(|fault| vec![fault]),
        (OptionType::List(scalar), Data::Array(values)) => {
            let (mut taken, mut faults) = (Vec::new(), Vec::new());
            for value in values {
                match one(scalar, value) {
                    Ok(value) => taken.push(value),
                    Err(fault) => faults.push(fault),
                }
            }
            if faults.is_empty() { Ok(super::OptionValue::List(taken)) } else { Err(faults) }
        }
        (OptionType::Map, Data::Table(table)) => {
            let (mut taken, mut faults) = (Vec::new(), Vec::new());
            for entry in &table.entries {
                match &entry.value.data {
                    Data::String(text) => taken.push((entry.key.clone(), text.clone())),
                    other => {
                        let message = format!("`{}` in `{}` is {}", entry.key, spec.name, other.kind());
                        faults.push(Fault::new(entry.value.origin, message).allowed("a string"));
                    }
                }
            }
            if faults.is_empty() { Ok(super::OptionValue::Map(taken)) } else { Err(faults) }
        }
        (_, other) => {
            let message = format!("`{}` is {}", spec.name, other.kind());
            Err(vec![Fault::new(value.origin, message).allowed(super::check::allowed(spec))])
        }
    }
}
