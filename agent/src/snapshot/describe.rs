//! What a line of JSON holds, for a given configuration: a JSON Schema (draft 2020-12) for validators, editors,
//! generators of code, and whoever asks what a number means.
//!
//! Beside what JSON Schema has words for, each metric says its unit as `x-unit` (UCUM, `1` for none) and its kind as
//! `x-kind`: gauge, counter, state, info or time. A table says with `x-key` what its keys are, and with `x-label` that
//! a text names the row's subject. Validators pass over these. Collectors that are not configured are no part of it:
//! the schema refuses what the configuration does not tell of.

use plugin_api::host_side::manifest::{Kind, Metric, Source, Table, ValueType};
use serde_json::{Map, Value, json};

use super::{EventKind, Schema, Status};

/// The JSON Schema of the snapshots of these collectors, each a name and what its cells mean.
pub fn json_schema<'a>(collectors: impl IntoIterator<Item = (&'a str, &'a Schema)>) -> Value {
    let mut properties = Map::new();
    let envelope = [
        ("timestamp", time("the tick, the same for all that was read at it")),
        ("host", json!({"type": ["string", "null"], "description": "the host's name, where it is known"})),
        ("run", json!({"type": "string", "description": "this run of the agent, new at every start"})),
        (
            "sequence",
            json!({"type": "integer", "minimum": 0, "description": "counts from 0 without holes within a run"}),
        ),
        (
            "labels",
            json!({"type": "object", "additionalProperties": {"type": "string"}, "description": "the operator's labels"}),
        ),
    ];
    let required = Vec::from(envelope.each_ref().map(|(key, _)| *key));
    properties.extend(envelope.map(|(key, value)| (key.to_owned(), value)));
    properties
        .insert("_events".to_owned(), json!({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/event"}}));
    properties.extend(collectors.into_iter().map(|(name, schema)| (name.to_owned(), section(schema))));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "snapshot",
        "description": "one line of perfwatch; each key that is not required is the section of a collector and absent where it was not due. x-unit is a unit of UCUM, x-kind one of gauge, counter, state, info, time; null is unknown",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
        "$defs": {"section": any_section(), "event": event()},
    })
}

/// What every section has, whatever it measures.
fn any_section() -> Value {
    let seconds =
        |description: &str| json!({"type": "number", "minimum": 0, "x-unit": "s", "description": description});
    json!({
        "type": "object",
        "properties": {
            "_status": {"enum": Status::ALL.map(Status::word), "description": "how the collector stood"},
            "_timestamp": time("the moment of the read; of the call's start where there is no reading"),
            "_duration_seconds": seconds("how long the call took"),
            "_window_seconds": seconds("how long the growth spans that rates and shares are made of"),
            "_since": time("since when it has been so"),
            "_error": {"type": "string", "description": "what went wrong"},
            "_errors": {"type": "object", "description": "rows that failed, by table, and parts"},
        },
        "required": ["_status"],
    })
}

fn event() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    // A gap is a sink's own, and no event of a snapshot.
    let kinds = EventKind::ALL.map(EventKind::word).join(", ");
    let kinds = format!("what happened: {kinds}, gap; later versions add to these");
    json!({
        "type": "object",
        "properties": {
            "kind": text(&kinds),
            "collector": text("to which collector"),
            "sink": text("to which sink"),
            "from": text("from what state, or when"),
            "to": text("to what state, or until when"),
            "count": {"type": "integer", "minimum": 0, "description": "how many times; of a gap, how many snapshots"},
            "cause": text("why"),
        },
        "required": ["kind"],
        "additionalProperties": false,
    })
}

fn section(schema: &Schema) -> Value {
    let mut metrics = Object::default();
    for (metric, exists) in schema.manifest.metrics.iter().zip(&schema.metrics) {
        if *exists && metric.json {
            metrics.put(&metric.name, value(metric));
        }
    }
    let mut failed = Map::new();
    for (table, exist) in schema.manifest.tables.iter().zip(&schema.tables).filter(|(_, exist)| exist.exists) {
        let mut row = Object::default();
        for (column, exists) in table.columns.iter().zip(&exist.columns) {
            if *exists && column.json {
                row.put(&column.name, value(column));
            }
        }
        let mut rows = rows(table, row.described());
        rows["description"] = table.description.clone().into();
        metrics.put(&table.name, rows);
        failed.insert(table.name.clone(), self::rows(table, json!({"type": "string"})));
    }
    let (mut properties, required) = metrics.parts();
    let part = json!({"type": "string"});
    properties.insert("_errors".to_owned(), json!({"properties": failed, "additionalProperties": part}));
    json!({
        "description": schema.manifest.plugin.description,
        "$ref": "#/$defs/section",
        "properties": properties,
        "if": {"properties": {"_status": {"enum": [Status::Ok.word(), Status::Partial.word()]}}},
        "then": {"required": required},
        "else": {"propertyNames": {"pattern": "^_"}},
        "unevaluatedProperties": false,
    })
}

/// An object of metrics, in which dotted names nest.
#[derive(Default)]
struct Object {
    values: Map<String, Value>,
    objects: std::collections::BTreeMap<String, Object>,
}

impl Object {
    fn put(&mut self, name: &str, value: Value) {
        match name.split_once('.') {
            Some((first, rest)) => self.objects.entry(first.to_owned()).or_default().put(rest, value),
            None => drop(self.values.insert(name.to_owned(), value)),
        }
    }

    /// The properties, and the names of all of them.
    fn parts(self) -> (Map<String, Value>, Vec<String>) {
        let mut properties = self.values;
        properties.extend(self.objects.into_iter().map(|(name, object)| (name, object.described())));
        let names = properties.keys().cloned().collect();
        (properties, names)
    }

    fn described(self) -> Value {
        let (properties, required) = self.parts();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}

/// Objects in objects, one a key, with `leaf` under the last.
fn rows(table: &Table, leaf: Value) -> Value {
    table.keys.iter().rfold(leaf, |inner, key| {
        json!({"type": "object", "x-key": key, "propertyNames": {"minLength": 1}, "additionalProperties": inner})
    })
}

fn value(metric: &Metric) -> Value {
    let mut value = match (metric.kind, metric.value) {
        (Kind::State, _) => {
            let words = metric.values.iter().map(|word| Value::from(word.as_str()));
            json!({"enum": words.chain([Value::Null]).collect::<Vec<_>>()})
        }
        (Kind::Time, _) => json!({"type": ["string", "null"], "format": "date-time"}),
        (_, ValueType::U64) => json!({"type": ["integer", "null"], "minimum": 0}),
        (_, ValueType::I64) => json!({"type": ["integer", "null"]}),
        (_, ValueType::F64) => json!({"type": ["number", "null"]}),
        (_, ValueType::Bool) => json!({"type": ["boolean", "null"]}),
        (_, ValueType::Text) => json!({"type": ["string", "null"]}),
    };
    if let Source::Derived(_) = metric.source {
        value["minimum"] = 0.into();
    }
    value["description"] = metric.description.as_str().into();
    value["x-kind"] = kind(metric.kind).into();
    if let Some(unit) = &metric.unit {
        value["x-unit"] = unit.as_str().into();
    }
    if metric.label {
        value["x-label"] = true.into();
    }
    value
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Gauge => "gauge",
        Kind::Counter { .. } => "counter",
        Kind::State => "state",
        Kind::Info => "info",
        Kind::Time => "time",
    }
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

#[cfg(test)]
pub(crate) mod tests;
