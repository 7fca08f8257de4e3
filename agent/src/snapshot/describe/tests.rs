use super::*;
use crate::snapshot::draft::schema;

const MANIFEST: &str = r#"
[metrics."tcp.established"]
type = "u64"
unit = "{connection}"
description = "open connections"
[metrics.traffic]
kind = "counter"
unit = "By"
rate = "traffic_per_sec"
description = "bytes"
[metrics.raw]
kind = "counter"
unit = "1"
json = false
description = "d"
[metrics.health]
kind = "state"
values = ["good", "bad"]
description = "how it is"
[metrics.boot]
kind = "time"
description = "when"
[tables.tasks]
key = ["pid", "name"]
description = "what runs"
[tables.tasks.columns.model]
type = "text"
label = true
description = "of which kind"
"#;

fn described() -> Value {
    let schema = schema(MANIFEST);
    json_schema([("mock", &*schema)])
}

#[test]
fn metric_says_its_type_unit_kind_and_text() {
    let properties = described()["properties"]["mock"]["properties"].clone();
    let wanted = json!({"type": ["integer", "null"], "minimum": 0, "description": "open connections", "x-kind": "gauge", "x-unit": "{connection}"});
    assert_eq!(properties["tcp"]["properties"]["established"], wanted);
    let wanted =
        json!({"type": ["integer", "null"], "minimum": 0, "description": "bytes", "x-kind": "counter", "x-unit": "By"});
    assert_eq!(properties["traffic"], wanted);
    let wanted = json!({"type": ["number", "null"], "minimum": 0, "description": "bytes, per second", "x-kind": "gauge", "x-unit": "By/s"});
    assert_eq!(properties["traffic_per_sec"], wanted);
    assert_eq!(
        properties["health"],
        json!({"enum": ["good", "bad", null], "description": "how it is", "x-kind": "state"})
    );
    let wanted = json!({"type": ["string", "null"], "format": "date-time", "description": "when", "x-kind": "time"});
    assert_eq!((&properties["boot"], properties.get("raw")), (&wanted, None));
}

#[test]
fn table_nests_by_its_keys() {
    let tasks = described()["properties"]["mock"]["properties"]["tasks"].clone();
    assert_eq!((&tasks["x-key"], &tasks["description"]), (&"pid".into(), &"what runs".into()));
    let names = &tasks["additionalProperties"];
    assert_eq!(names["x-key"], "name");
    let row = &names["additionalProperties"];
    let model = json!({"type": ["string", "null"], "description": "of which kind", "x-kind": "info", "x-label": true});
    assert_eq!(row["required"], json!(["model"]));
    assert_eq!(row["properties"]["model"]["x-label"], model["x-label"]);
}

#[test]
fn what_is_no_snapshot_of_these_collectors_is_not_valid() {
    let line = || {
        json!({
            "timestamp": "2026-11-24T03:30:05.000Z", "host": null, "run": "5f0c", "sequence": 0, "labels": {},
            "_events": [{"kind": "gap", "sink": "archive", "count": 3}],
            "mock": {
                "_status": "partial", "_errors": {"tasks": {"7": {"init": "gone"}}, "fan": "stuck"},
                "tcp": {"established": 1}, "traffic": 5, "traffic_per_sec": null, "health": "bad", "boot": null,
                "tasks": {"7": {"init": {"model": null}}},
            },
        })
    };
    let told = |spoil: &dyn Fn(&mut Value)| {
        let mut line = line();
        spoil(&mut line);
        validate(&line, &described()).err()
    };
    assert_eq!(told(&|_| ()), None);
    assert_eq!(told(&|line| line["mock"] = json!({"_status": "timeout", "_error": "no answer"})), None);
    assert_eq!(told(&|line| drop(line.as_object_mut().unwrap().remove("mock"))), None);
    let refused: [&dyn Fn(&mut Value); 12] = [
        &|line| line["other"] = json!({"_status": "ok"}),
        &|line| drop(line.as_object_mut().unwrap().remove("run")),
        &|line| line["sequence"] = (-1).into(),
        &|line| line["_events"][0]["when"] = "x".into(),
        &|line| line["mock"]["_status"] = "tired".into(),
        &|line| line["mock"]["_status"] = "timeout".into(),
        &|line| line["mock"]["new"] = 1.into(),
        &|line| line["mock"]["_new"] = 1.into(),
        &|line| drop(line["mock"].as_object_mut().unwrap().remove("traffic")),
        &|line| line["mock"]["health"] = "so so".into(),
        &|line| line["mock"]["tasks"]["7"]["init"]["cpu"] = 1.into(),
        &|line| line["mock"]["_errors"]["tasks"]["7"] = "gone".into(),
    ];
    for (place, spoil) in refused.into_iter().enumerate() {
        assert!(told(spoil).is_some(), "number {place} is not valid");
    }
}

/// Whether a value is what a schema says, by the keywords that are used here.
pub(crate) fn validate(value: &Value, schema: &Value) -> Result<(), String> {
    against(value, schema, schema)
}

fn against(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    let wrong = |keyword: &str| Err(format!("{value} is not valid: {keyword} of {schema}"));
    let none = Map::new();
    let object = value.as_object().unwrap_or(&none);
    let listed = |schema: &Value, key: &str| schema["properties"].get(key).is_some();
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "type" => {
                let is = |word: &Value| match word.as_str().expect("a word") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                if !rule.as_array().map_or_else(|| is(rule), |words| words.iter().any(is)) {
                    return wrong(keyword);
                }
            }
            "enum" if !rule.as_array().expect("a list").contains(value) => return wrong(keyword),
            "minimum" if value.as_f64().is_some_and(|value| value < rule.as_f64().expect("a number")) => {
                return wrong(keyword);
            }
            "required"
                if rule.as_array().expect("a list").iter().any(|key| !object.contains_key(key.as_str().unwrap())) =>
            {
                return wrong(keyword);
            }
            "properties" => {
                for (key, rule) in rule.as_object().expect("a map") {
                    object.get(key).map_or(Ok(()), |value| against(value, rule, root))?;
                }
            }
            "additionalProperties" => {
                for (key, value) in object.iter().filter(|(key, _)| !listed(schema, key)) {
                    match rule {
                        Value::Bool(false) => return Err(format!("{key} is not described")),
                        rule => against(value, rule, root)?,
                    }
                }
            }
            "unevaluatedProperties" => {
                let defined = &root["$defs"]["section"];
                if let Some(key) = object.keys().find(|key| !listed(schema, key) && !listed(defined, key)) {
                    return Err(format!("{key} is not described"));
                }
            }
            "propertyNames" => match (rule.get("pattern"), rule.get("minLength")) {
                (Some(pattern), None) => {
                    assert_eq!(pattern, "^_");
                    if object.keys().any(|key| !key.starts_with('_')) {
                        return wrong(keyword);
                    }
                }
                _ if object.keys().any(String::is_empty) => return wrong(keyword),
                _ => {}
            },
            "items" => value.as_array().into_iter().flatten().try_for_each(|item| against(item, rule, root))?,
            "$ref" => {
                let name = rule.as_str().and_then(|path| path.strip_prefix("#/$defs/")).expect("a definition");
                against(value, &root["$defs"][name], root)?;
            }
            "if" => {
                let branch = if against(value, rule, root).is_ok() { "then" } else { "else" };
                against(value, &schema[branch], root)?;
            }
            "enum" | "minimum" | "required" | "minItems" | "then" | "else" | "format" | "$schema" | "$defs"
            | "title" | "description" => {}
            other => assert!(other.starts_with("x-"), "keyword {other}"),
        }
    }
    Ok(())
}
