//! The JSON Schema (2020-12) of the whole config, the options of given plugins included: what editors complete from.

use plugin_api::host_side::manifest::Manifest;
use plugin_api::host_side::options::schema as options_schema;
use serde_json::{Map, Value as Json, json};

use super::{agent, collectors, sinks};

/// The schema of a config file, with these plugins at hand.
#[must_use]
pub fn schema<'a>(plugins: impl IntoIterator<Item = &'a Manifest>) -> Json {
    let mut collector = options_schema(&collectors::declared());
    collector["properties"]["options"] = json!({"type": "object", "description": "what the plugin takes"});
    let (mut options, mut by_name, mut by_plugin) = (Map::new(), Map::new(), Vec::new());
    for manifest in plugins {
        let name = &manifest.plugin.name;
        let reference = json!({"$ref": format!("#/$defs/options/{name}")});
        let takes = json!({"properties": {"options": reference}});
        options.insert(name.clone(), options_schema(&manifest.options));
        by_plugin
            .push(json!({"if": {"properties": {"plugin": {"const": name}}, "required": ["plugin"]}, "then": takes}));
        // [collectors.cpu] runs the plugin cpu unless it says otherwise.
        let otherwise = json!({"anyOf": [{"required": ["plugin"]}, {"required": ["path"]}]});
        let named = json!({
            "$ref": "#/$defs/collector",
            "description": manifest.plugin.description,
            "if": otherwise, "then": {}, "else": takes,
        });
        by_name.insert(name.clone(), named);
    }
    if !by_plugin.is_empty() {
        collector["allOf"] = Json::from(by_plugin);
    }
    // One `if` a kind, as an editor tells then what is wrong with that kind, and not that no kind fits.
    let kinds: Vec<&str> = sinks::declared().iter().map(|(kind, _)| *kind).collect();
    let sink: Vec<Json> = sinks::declared()
        .iter()
        .map(|(kind, specs)| {
            json!({"if": {"properties": {"type": {"const": kind}}, "required": ["type"]}, "then": options_schema(specs)})
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "PerfWatch config",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "agent": options_schema(&agent::declared()),
            "collectors": {
                "type": "object",
                "properties": by_name,
                "additionalProperties": {"$ref": "#/$defs/collector"},
            },
            "sinks": {
                "type": "object",
                "additionalProperties": {
                    "type": "object", "required": ["type"],
                    "properties": {"type": {"enum": kinds}},
                    "allOf": sink,
                },
            },
        },
        "$defs": {"collector": collector, "options": options},
    })
}
