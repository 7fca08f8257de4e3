//! The JSON Schema (2020-12) of declared options, for editors and for `config schema`.

use serde_json::{Map, Value as Json, json};

use super::{OptionSpec, OptionType, OptionValue, Presence, Scalar};

/// The schema of a table that holds these options and no other key.
#[must_use]
pub fn schema(specs: &[OptionSpec]) -> Json {
    object(specs.iter().map(|spec| (spec.name.as_str(), spec)).collect())
}

fn object(named: Vec<(&str, &OptionSpec)>) -> Json {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (at, (name, spec)) in named.iter().enumerate() {
        let Some((head, _)) = name.split_once('.') else {
            properties.insert((*name).to_owned(), property(spec));
            if spec.option_type == OptionType::One(Scalar::Secret) {
                let description = format!("a file that holds `{name}`");
                properties.insert(format!("{name}_file"), json!({"type": "string", "description": description}));
            } else if spec.presence == Presence::Required {
                required.push(Json::from(*name));
            }
            continue;
        };
        let here = |(name, spec): &(&'_ str, &'_ OptionSpec)| {
            let inner = name.strip_prefix(head)?.strip_prefix('.')?;
            Some((inner.to_owned(), (*spec).clone()))
        };
        if named[..at].iter().any(|earlier| here(earlier).is_some()) {
            continue;
        }
        let inner: Vec<(String, OptionSpec)> = named.iter().filter_map(here).collect();
        let inner = object(inner.iter().map(|(name, spec)| (name.as_str(), spec)).collect());
        if inner.get("required").is_some() {
            required.push(Json::from(head));
        }
        properties.insert(head.to_owned(), inner);
    }
    let mut object = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        object["required"] = Json::from(required);
    }
    object
}

fn property(spec: &OptionSpec) -> Json {
    let mut property = match spec.option_type {
        OptionType::One(scalar) => one(spec, scalar),
        OptionType::List(scalar) => json!({"type": "array", "items": one(spec, scalar)}),
        OptionType::Map => json!({"type": "object", "additionalProperties": {"type": "string"}}),
    };
    property["description"] = Json::from(described(spec));
    if let Presence::Default(value) = &spec.presence {
        property["default"] = written(value);
    }
    property
}

/// JSON Schema cannot order durations and sizes, which are strings: their bounds are told.
fn described(spec: &OptionSpec) -> String {
    let told = |bound: &Option<OptionValue>, word: &str| match bound {
        Some(bound @ (OptionValue::Duration(_) | OptionValue::Size(_))) => format!("; {word} {}", bound.toml()),
        _ => String::new(),
    };
    format!("{}{}{}", spec.description, told(&spec.min, "at least"), told(&spec.max, "at most"))
}

/// Patterns admit `${VAR}`, which is filled in before the check.
fn one(spec: &OptionSpec, scalar: Scalar) -> Json {
    let mut schema = match scalar {
        Scalar::String => json!({"type": "string"}),
        Scalar::Secret => json!({"type": "string", "writeOnly": true}),
        Scalar::Path => json!({"type": "string", "minLength": 1}),
        Scalar::Integer => json!({"type": "integer"}),
        Scalar::Float => json!({"type": "number"}),
        Scalar::Bool => json!({"type": "boolean"}),
        Scalar::Duration => json!({"type": "string", "pattern": r"^(0|(\s*\d+\s*[A-Za-zµ]+\s*)+|.*\$\{.*)$"}),
        Scalar::Size => {
            json!({"type": "string", "pattern": r"^(\s*(0|\d+(\.\d{1,9})?\s*([KMGT]iB|[kMGT]?B))\s*|.*\$\{.*)$"})
        }
        Scalar::Enum => json!({"enum": spec.values}),
    };
    if matches!(scalar, Scalar::Integer | Scalar::Float) {
        for (key, bound) in [("minimum", &spec.min), ("maximum", &spec.max)] {
            if let Some(bound) = bound {
                schema[key] = bound.json();
            }
        }
    }
    if spec.words.is_empty() { schema } else { json!({"anyOf": [schema, {"enum": spec.words}]}) }
}

/// A value as it is written in a config, where durations and sizes are strings.
fn written(value: &OptionValue) -> Json {
    match value {
        OptionValue::Duration(_) | OptionValue::Size(_) => Json::from(value.toml().trim_matches('"')),
        OptionValue::List(values) => Json::from(values.iter().map(written).collect::<Vec<_>>()),
        other => other.json(),
    }
}
