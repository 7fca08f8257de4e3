//! What runs, by which rule.

use std::time::Duration;

use plugin_api::host_side::frame::Limits;
use plugin_api::host_side::manifest::Allowance;

use super::super::agent::{SandboxMode, Trust, Watch};
use super::super::plan::{CollectorPlan, Format, Isolation, SinkKind};
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
    let needs = "[options.url]\ntype = \"string\"\nrequired = true\ndescription = \"where it asks\"";
    let notes = |bundled| asking("", needs, bundled).unwrap().notes;
    assert_eq!(notes(false), ["plugin `ups` does not run: it needs `url`; give it in [collectors.ups]"]);
    assert_eq!(notes(true), [""; 0], "what comes with the agent was put there by nobody who waits for it");
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

/// The plan with plugins from elsewhere that ask for more than files.
fn asking(text: &str, rest: &str, bundled: bool) -> Result<Plan, String> {
    let mut plugins = Plugins::default();
    plugins.found.push(Available { bundled, ..available("/opt/libperfwatch_ups.so", "ups", rest) });
    let refused = |refused: Refused| refused.to_string();
    let mut config = Place::new(text).read().map_err(refused)?;
    config.plan(&plugins, &|_, _| Ok(())).map_err(refused)
}

const ASKS: &str = "reads = [\"/proc/stat\", \"tcp:${options.port}\", \"netlink:route\"]\nbudget = { cpu = \"1ms\", rows = 7 }\n\
                    [options.port]\ntype = \"integer\"\ndefault = 3493\ndescription = \"of upsd\"\n";

fn asked(text: &str) -> (CollectorPlan, Vec<String>) {
    let mut plan = asking(text, ASKS, false).unwrap_or_else(|told| panic!("{told}"));
    (plan.collectors.remove(0), plan.notes)
}

#[test]
fn what_comes_with_the_agent_runs_in_it_and_all_else_in_a_child() {
    let of = |text: &str, rest: &str, bundled| {
        let plan = asking(text, rest, bundled).unwrap();
        (plan.collectors[0].isolation, plan.collectors[0].isolation_written)
    };
    assert_eq!(of("", ASKS, true), (Isolation::None, false));
    assert_eq!(of("", ASKS, false), (Isolation::Process, false));
    let exec = "reads = [\"exec:/usr/bin/upsc\"]";
    assert_eq!(of("", exec, true), (Isolation::Process, false), "it asks to start programs");
    for (word, isolation) in [("none", Isolation::None), ("process", Isolation::Process), ("auto", Isolation::Auto)] {
        for bundled in [true, false] {
            let text = format!("[collectors.ups]\nisolation = \"{word}\"\n");
            assert_eq!(of(&text, exec, bundled), (isolation, true), "the operator decides");
            assert_eq!(isolation.word(), word);
        }
    }
    let two = "[collectors.a]\nplugin = \"ups\"\nisolation = \"none\"\n[collectors.b]\nplugin = \"ups\"\n";
    let plan = asking(two, ASKS, false).unwrap();
    assert_eq!(
        plan.collectors.iter().map(|one| one.isolation).collect::<Vec<_>>(),
        [Isolation::None, Isolation::Process]
    );
}

#[test]
fn budget_is_the_tables_else_the_plugins_else_the_default_word_by_word() {
    let ms = Duration::from_millis;
    let default = Allowance { cpu: ms(50), memory: 64 << 20, descriptors: 64, limits: Limits::default() };
    assert_eq!((Allowance::default(), default.limits.rows), (default, 10_000));
    assert_eq!(asking("", "", false).unwrap().collectors[0].allowance, default);
    let limits = Limits { rows: 7, ..Limits::default() };
    assert_eq!(asked("").0.allowance, Allowance { cpu: ms(1), limits, ..default });
    let text =
        "[collectors.ups]\nbudget = { cpu = \"2s\", memory = \"1GiB\", descriptors = 100, cells = 9, text = \"8B\" }\n";
    let limits = Limits { rows: 7, cells: 9, text: 8, ..Limits::default() };
    let expected = Allowance { cpu: ms(2000), memory: 1 << 30, descriptors: 100, limits };
    assert_eq!(asked(text).0.allowance, expected, "the operator may also allow more than the plugin asks for");
}

#[test]
fn what_is_asked_for_and_not_granted_is_told_with_the_line_that_grants_it() {
    let (collector, notes) = asked("");
    assert_eq!(collector.grants, []);
    let expected = "collector ups: asks for tcp:3493, netlink:route, which is not granted; to grant it, in [collectors.ups]: \
                    grant = [\"tcp:3493\", \"netlink:route\"]";
    assert_eq!(notes, [expected]);
    let (_, notes) = asked("[collectors.ups]\ngrant = [\"cap:bpf\", \"netlink:route\"]\n");
    assert!(notes[0].ends_with("grant = [\"cap:bpf\", \"netlink:route\", \"tcp:3493\"]"), "{notes:?}");
    let (collector, notes) = asked("[collectors.ups]\noptions.port = 1\ngrant = [\"netlink:route\"]\n");
    let grants: Vec<String> = collector.grants.iter().map(ToString::to_string).collect();
    assert_eq!((grants, notes), (vec!["netlink:route".to_owned()], vec![]), "the port stands in an option");
    assert_eq!(asked("[collectors.ups]\nisolation = \"none\"\n").1, Vec::<String>::new(), "nothing is refused there");
    assert_eq!(asking("", ASKS, true).unwrap().notes, Vec::<String>::new(), "it comes with the agent");
}

#[test]
fn faulty_grant_in_a_drop_in_leaves_that_file_out() {
    let place = Place::new("").and("a.toml", "[collectors.cpu]\ngrant = [\"tcp:x\"]\n");
    let (config, plan) = place.plan().unwrap();
    assert_eq!(config.left_out()[0].faults[0].message, "`tcp:x` cannot be granted");
    assert_eq!(plan.failed().map(|(collector, _)| collector.name.as_str()).collect::<Vec<_>>(), ["cpu"]);
    let many = vec!["\"tcp:1\""; 257].join(", ");
    let told = Place::new(&format!("[collectors.cpu]\ngrant = [{many}]\n")).plan().unwrap_err();
    assert!(told.contains("more than 256 entries in `grant`"), "{told}");
}

#[test]
fn sandbox_and_runtime_folder_are_as_they_are_written() {
    let agent = plan("[agent]\nsandbox = \"require\"\nruntime_dir = \"/r\"\n").agent;
    assert_eq!((agent.sandbox, agent.runtime_dir.as_deref()), (SandboxMode::Require, Some(path("/r"))));
}

#[test]
fn control_socket_lies_in_the_runtime_folder_unless_a_path_is_written() {
    let control = |text| plan(text).agent.control;
    assert_eq!(control("[agent]\nruntime_dir = \"/r\"\n").as_deref(), Some(path("/r/control.sock")));
    assert_eq!(control("[agent]\nruntime_dir = \"/r\"\ncontrol = \"/c\"\n").as_deref(), Some(path("/c")));
    assert_eq!(control(""), None);
}

#[test]
fn what_is_watched_trusted_and_kept_is_as_it_is_written() {
    let agent =
        plan("[agent]\nwatch = \"conf.d\"\ntrust = \"relaxed\"\nrequire_lock = true\nlast_good = \"/l\"\n").agent;
    assert_eq!((agent.watch, agent.trust, agent.require_lock), (Watch::ConfD, Trust::Relaxed, true));
    assert_eq!(agent.last_good.as_deref(), Some(path("/l")));
    let agent = plan("[agent]\nwatch = \"off\"\n").agent;
    assert_eq!((agent.watch, agent.trust, agent.require_lock), (Watch::Off, Trust::Strict, false));
}
