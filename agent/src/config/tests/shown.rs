//! What the commands of the config print.

use serde_json::Value as Json;

use super::super::schema::schema;
use super::super::show::{default_text, show};
use super::*;

const TEXT: &str = "[agent]\ninterval = \"2s\"\nlabels = { env = \"prod\", \"a b\" = \"$${x}\" }\n[collectors.network]\ntimeout = \"1s\"\nbudget.rows = 50\ngrant = [\"tcp:1\"]\n\
                    options = { token = \"hunter2\" }\n[collectors.ups]\n[sinks.out]\ntype = \"stdout\"\n";

fn shown(origins: bool) -> String {
    let place = Place::new(TEXT).and("a.toml", "[collectors.network]\ninterval = \"3s\"\n").and("b.toml", "= 1");
    let place = place.variable("PERFWATCH__AGENT__COLLECT", "named");
    let (config, plan) = place.plan().unwrap();
    place.without_folder(&show(&config, &plan, origins))
}

#[test]
fn every_value_is_shown_with_the_layer_that_won() {
    let expected = include_str!("shown.expected");
    let shown = shown(true);
    assert_eq!(shown, expected, "\n---- shown:\n{shown}\n----");
}

#[test]
fn what_is_shown_can_be_read_again_and_means_the_same() {
    let shown = shown(false);
    assert!(!shown.contains("hunter2") && shown.contains("options.token = \"***\""), "{shown}");
    let place = Place::new(&shown);
    let (config, plan) = place.plan().unwrap_or_else(|told| panic!("{told}"));
    let left_out = "# conf.d/b.toml is left out, faults: 1\n\n";
    assert_eq!(place.without_folder(&show(&config, &plan, false)), shown.replace(left_out, ""));
}

#[test]
fn what_is_off_and_what_failed_stay_so_when_what_is_shown_is_read_again() {
    let text = "[collectors.cpu]\nenabled = false\n[collectors.mine]\nplugin = \"a\\nb\"\n\
                [sinks.out]\ntype = \"stdout\"\nenabled = false\n";
    let (config, plan) = Place::new(text).plan().unwrap();
    let shown = show(&config, &plan, false);
    let (_, again) = Place::new(&shown).plan().unwrap_or_else(|told| panic!("{told} in {shown}"));
    assert_eq!(names(&again), names(&plan), "{shown}");
    assert!(!names(&again).contains(&"cpu") && again.sinks.is_empty(), "{shown}");
    assert_eq!(again.failed().count(), plan.failed().count());
}

#[test]
fn default_is_the_shipped_file() {
    assert!(default_text().starts_with("# PerfWatch.") && default_text().contains("\n[agent]\n"));
}

#[test]
fn schema_knows_the_agents_keys_those_of_sinks_and_the_options_of_plugins() {
    let plugins = plugins();
    let schema = schema(plugins.found.iter().map(|available| &*available.manifest));
    let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer} of {schema:#}"));
    assert_eq!(*at("/properties/agent/properties/interval/default"), Json::from("5s"));
    assert_eq!(*at("/properties/agent/additionalProperties"), Json::from(false));
    assert_eq!(
        *at("/properties/collectors/properties/cpu/else/properties/options/$ref"),
        Json::from("#/$defs/options/cpu")
    );
    assert_eq!(*at("/$defs/options/cpu/properties/per_core/default"), Json::from(true));
    assert_eq!(*at("/$defs/collector/allOf/1/if/properties/plugin/const"), Json::from("network"));
    assert_eq!(*at("/$defs/collector/properties/options/type"), Json::from("object"));
    assert_eq!(*at("/$defs/collector/properties/isolation/enum"), serde_json::json!(["none", "process", "auto"]));
    assert_eq!(*at("/$defs/collector/properties/budget/properties/rows/maximum"), Json::from(1_000_000));
    assert_eq!(*at("/$defs/collector/properties/grant/items/type"), Json::from("string"));
    assert_eq!(
        *at("/properties/sinks/additionalProperties/allOf/1/then/required"),
        serde_json::json!(["type", "path"])
    );
}
