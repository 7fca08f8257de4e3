//! What runs, by which rule.

use std::time::Duration;

use super::super::plan::{Format, SinkKind};
use super::*;

fn plan(text: &str) -> Plan {
    Place::new(text).plan().unwrap_or_else(|told| panic!("{told}")).1
}

#[test]
fn found_plugins_run_under_their_own_names_unless_only_named_ones_are_asked_for() {
    assert_eq!(names(&plan("")), ["cpu", "network", "slow"]);
    assert_eq!(names(&plan("agent.collect = \"named\"")), Vec::<&str>::new());
    assert_eq!(names(&plan("agent.collect = \"named\"\n[collectors.network]")), ["network"]);
}

#[test]
fn plugin_that_a_table_uses_does_not_run_beside_it() {
    let two = plan("[collectors.uplink]\nplugin = \"network\"\n[collectors.wifi]\nplugin = \"network\"\n");
    assert_eq!(names(&two), ["uplink", "wifi", "cpu", "slow"]);
    assert_eq!(names(&plan("[collectors.cpu]\nenabled = false\n")), ["network", "slow"]);
    assert_eq!(names(&plan("[collectors.uplink]\nplugin = \"network\"\nenabled = false\n")), ["cpu", "slow"]);
}

#[test]
fn plugin_with_a_required_option_runs_only_from_a_table() {
    let without = plan("");
    assert_eq!(without.notes, ["plugin `needy` does not run: it needs `url`; give it in [collectors.needy]"]);
    let with = plan("[collectors.needy]\noptions.url = \"x\"\n");
    assert_eq!(with.collectors[0].plugin.as_ref().unwrap().options.json(), r#"{"url":"x"}"#);
    let told = Place::new("[collectors.needy]\n").plan().unwrap_err();
    assert!(told.starts_with("perfwatch.toml:1:13: `url` is required\n"), "{told}");
}

#[test]
fn name_that_a_table_has_is_not_given_to_a_plugin_that_was_found() {
    let plan = plan("[collectors.cpu]\nplugin = \"network\"\n");
    assert_eq!(names(&plan), ["cpu", "slow"]);
    assert!(plan.notes[0].contains("`cpu` does not run under its own name"), "{:?}", plan.notes);
}

#[test]
fn library_at_a_path_is_the_plugin() {
    let place = Place::new("[collectors.mine]\npath = \"/opt/mine.so\"\n[collectors.lost]\npath = \"/lost.so\"\n");
    let (config, plan) = place.plan().unwrap();
    assert_eq!(config.plugin_paths(), [path("/opt/mine.so"), path("/lost.so")]);
    assert_eq!(names(&plan), ["mine", "lost", "cpu", "network", "slow"]);
    assert_eq!(plan.collectors[0].plugin.as_ref().unwrap().path, path("/opt/mine.so"));
    assert!(plan.collectors[1].plugin.is_err());
}

#[test]
fn interval_is_the_tables_else_the_plugins_else_the_agents() {
    let of = |text: &str, name: &str| {
        let plan = plan(text);
        let collector = plan.collectors.iter().find(|collector| collector.name == name).unwrap();
        (collector.interval, collector.timeout)
    };
    let ms = Duration::from_millis;
    assert_eq!(of("", "slow"), (ms(60_000), ms(3_000)));
    assert_eq!(of("", "cpu"), (ms(5_000), ms(1_000)));
    assert_eq!(of("agent.interval = \"500ms\"", "cpu"), (ms(500), ms(400)), "80 % of the interval");
    assert_eq!(of("agent.interval = \"500ms\"", "slow"), (ms(60_000), ms(3_000)));
    assert_eq!(of("[collectors.slow]\ninterval = \"10ms\"\ntimeout = \"5ms\"", "slow"), (ms(10), ms(5)));
}

#[test]
fn plugin_that_cannot_be_had_leaves_a_failed_section_and_the_others_run() {
    let plan = plan("[collectors.ups]\nrequired = true\n[collectors.nwtwork]\n[collectors.cpu]\n");
    let failed: Vec<(&str, &str)> = plan.failed().map(|(collector, why)| (collector.name.as_str(), why)).collect();
    let expected = [
        ("ups", "/lib/libperfwatch_ups.so: others may write to it"),
        ("nwtwork", "no plugin `nwtwork` in /lib, /usr/lib, did you mean `network`?"),
    ];
    assert_eq!(failed, expected);
    assert_eq!(plan.missed().map(|(collector, _)| collector.name.as_str()).collect::<Vec<_>>(), ["ups"]);
    assert!(plan.collectors.iter().any(|collector| collector.name == "cpu" && collector.plugin.is_ok()));
}

#[test]
fn any_sink_replaces_standard_output() {
    let kinds = |text: &str| plan(text).sinks.into_iter().map(|sink| (sink.name, sink.kind)).collect::<Vec<_>>();
    assert_eq!(kinds(""), [("stdout".into(), Ok(SinkKind::Stdout(Format::Auto)))]);
    assert_eq!(kinds("[sinks.x]\ntype = \"file\"\npath = \"/a\"\n"), [("x".into(), Ok(SinkKind::File))]);
    assert_eq!(
        kinds("[sinks.x]\ntype = \"stdout\"\nformat = \"table\"\n"),
        [("x".into(), Ok(SinkKind::Stdout(Format::Table)))]
    );
    assert_eq!(kinds("[sinks.x]\ntype = \"stdout\"\nenabled = false\n"), []);
}

#[test]
fn settings_of_a_file_sink_are_told_as_they_cross() {
    let text = "[sinks.x]\ntype = \"file\"\npath = \"/a\"\nrotate.every = \"1d\"\nkeep = { files = 14, age = \"30d\" }\nmin_free = \"0\"\n";
    let sink = &plan(text).sinks[0];
    let told: serde_json::Value = serde_json::from_str(&sink.settings.json()).unwrap();
    let expected = serde_json::json!({
        "type": "file", "enabled": true, "path": "/a", "rotate": {"size": 104_857_600, "every": 86_400_000_000_000u64},
        "keep": {"total": 1_073_741_824, "files": 14, "age": 2_592_000_000_000_000u64}, "min_free": 0, "compress": "none", "mode": "0640",
    });
    assert_eq!(told, expected);
}
