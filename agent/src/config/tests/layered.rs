//! Which layer wins, and what a faulty one costs.

use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;

fn interval(place: &Place) -> Duration {
    place.read().unwrap().agent().interval
}

#[test]
fn later_layer_wins_in_the_order_file_drop_ins_by_name_variables() {
    let place = Place::new("");
    assert_eq!(interval(&place), Duration::from_secs(5));
    let place = Place::new("agent.interval = \"1s\"");
    assert_eq!(interval(&place), Duration::from_secs(1));
    let place = place.and("20.toml", "agent.interval = \"3s\"").and("10.toml", "agent.interval = \"2s\"");
    assert_eq!(interval(&place), Duration::from_secs(3));
    let place = place.variable("PERFWATCH__AGENT__INTERVAL", "4s");
    assert_eq!(interval(&place), Duration::from_secs(4));
}

#[test]
fn only_visible_toml_files_of_conf_d_are_read() {
    let place =
        Place::new("").and(".a.toml", "= x").and("a.toml~", "= x").and("a.toml.bak", "= x").and("README", "= x");
    assert_eq!(place.read().unwrap().left_out(), []);
}

#[test]
fn drop_in_that_is_no_file_is_left_out_and_not_waited_for() {
    let place = Place::new("agent.interval = \"1s\"").and("a.toml", "");
    let at = |name: &str| place.folder.path().join("conf.d").join(name);
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo.toml"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    // How a file of a package is masked.
    symlink("/dev/null", at("masked.toml")).unwrap();
    let config = place.read().unwrap();
    let [left_out] = config.left_out() else { panic!("{:?}", config.left_out()) };
    assert!(left_out.path.ends_with("fifo.toml"), "{}", left_out.path);
    assert_eq!(left_out.faults[0].message, "could not read it: it is not a regular file");
}

#[test]
fn name_of_a_file_stays_on_its_line() {
    let config = Place::new("").and("a\nb.toml", "= x").read().unwrap();
    assert!(config.left_out()[0].path.ends_with("/a\\u000ab.toml"), "{:?}", config.left_out());
}

#[test]
fn file_that_is_no_text_is_told_with_its_line() {
    let place = Place::new("");
    let path = place.write("latin.toml", "[agent]\n");
    std::fs::write(&path, b"[agent]\nhostname = \"b\xfcro\"\n").unwrap();
    let refused = Config::read(Some(&path), Environment::default()).unwrap_err().to_string();
    assert!(refused.ends_with("latin.toml: could not read it: line 2 is not UTF-8"), "{refused}");
}

#[test]
fn file_is_the_explicit_one_else_that_of_the_variable() {
    let place = Place::new("agent.interval = \"1s\"");
    let other = place.write("other/x.toml", "agent.interval = \"2s\"");
    let place = place.variable("PERFWATCH_CONFIG", other.to_str().unwrap());
    assert_eq!(interval(&place), Duration::from_secs(1));
    let config = Config::read(None, place.environment.clone()).unwrap();
    assert_eq!(config.agent().interval, Duration::from_secs(2));
}

#[test]
fn file_that_is_named_has_to_be_there() {
    let place = Place::new("");
    let refused = Config::read(Some(&place.folder.path().join("gone.toml")), Environment::default()).unwrap_err();
    let told = place.without_folder(&refused.to_string());
    assert_eq!(told, "gone.toml: could not read it: No such file or directory (os error 2)");
    let refused = Config::read(Some(place.folder.path()), Environment::default()).unwrap_err();
    assert!(refused.to_string().ends_with("could not read it: is a directory"), "{refused}");
}

#[test]
fn tables_of_several_files_are_one() {
    let place = Place::new("[collectors.cpu]\ninterval = \"1s\"\noptions = { per_core = true }\n")
        .and("a.toml", "[collectors.cpu]\ntimeout = \"100ms\"\noptions = { per_core = false }\n")
        .variable("PERFWATCH__COLLECTORS__CPU__REQUIRED", "true");
    let (_, plan) = place.plan().unwrap();
    let cpu = &plan.collectors[0];
    assert_eq!((cpu.interval, cpu.timeout, cpu.required), (Duration::from_secs(1), Duration::from_millis(100), true));
    assert!(!cpu.plugin.as_ref().unwrap().options.is_on("per_core"));
}

#[test]
fn faulty_drop_in_is_left_out_and_what_it_configures_is_failed() {
    let text =
        "[collectors.uplink]\nplugin = \"network\"\n[collectors.cpu]\ninterval = \n[sinks.archive]\ntype = \"file\"\n";
    let place = Place::new("[collectors.slow]\n").and("a.toml", text).and("b.toml", "agent.interval = \"7s\"");
    let (config, plan) = place.plan().unwrap();
    assert_eq!(config.left_out().len(), 1);
    let left_out = &config.left_out()[0];
    assert_eq!(place.without_folder(&left_out.path), "conf.d/a.toml");
    assert_eq!((left_out.faults.len(), left_out.faults[0].message.is_empty()), (1, false));
    assert_eq!(plan.agent.interval, Duration::from_secs(7), "the other files hold");
    assert_eq!(names(&plan), ["slow", "uplink", "cpu"], "network and cpu do not run with defaults instead");
    let why: Vec<String> = plan.failed().map(|(_, why)| place.without_folder(why)).collect();
    assert_eq!(why[0], "its table in conf.d/a.toml is left out, as that file is at fault");
    assert_eq!(why.len(), 2);
    assert_eq!(plan.sinks.len(), 1, "standard output does not run instead");
    assert!(plan.sinks[0].kind.is_err() && plan.sinks[0].name == "archive");
}

#[test]
fn drop_in_is_at_fault_by_what_it_says_too_and_the_file_below_is_failed_with_it() {
    for text in [
        "[collectors.cpu]\noptions = { per_cores = true }\n",
        "[collectors.cpu]\nintervall = \"1s\"\n",
        "[collectors.cpu]\n[agent]\ninterval = \"1\"\n",
        "[collectors.cpu]\n[nonsense]\n",
        "[collectors.cpu]\ninterval = \"${UNSET}\"\n",
    ] {
        let place = Place::new("[collectors.cpu]\ninterval = \"1s\"\n").and("a.toml", text);
        let (config, plan) = place.plan().unwrap_or_else(|told| panic!("{told}"));
        assert_eq!(config.left_out().len(), 1, "{text}");
        assert_eq!(plan.failed().map(|(collector, _)| collector.name.as_str()).collect::<Vec<_>>(), ["cpu"], "{text}");
    }
}

#[test]
fn strict_refuses_what_would_be_left_out() {
    for text in ["x = ", "[nonsense]", "[collectors.cpu]\nintervall = 1", "agent.interval = \"x\""] {
        let place = Place::new("agent.strict = true").and("a.toml", text);
        let told = place.plan().unwrap_err();
        assert!(told.starts_with("conf.d/a.toml:"), "{told}");
    }
}

#[test]
fn unreadable_drop_in_is_left_out() {
    let place = Place::new("").and("b.toml", "");
    symlink("/nowhere/at/all", place.folder.path().join("conf.d/a.toml")).unwrap();
    let (config, _) = place.plan().unwrap();
    assert_eq!(config.left_out()[0].faults[0].message, "could not read it: No such file or directory (os error 2)");
}

#[test]
fn strings_are_filled_in_from_variables() {
    let place = Place::new("[agent]\nhostname = \"${NAME}-${ZONE:-eu}\"\n").variable("NAME", "web");
    assert_eq!(place.read().unwrap().agent().hostname.as_deref(), Some("web-eu"));
    let told = Place::new("[agent]\nhostname = \"${NAME:?say who you are}\"\n").plan().unwrap_err();
    assert!(told.starts_with("perfwatch.toml:2:12: variable NAME is not set: say who you are\n"), "{told}");
}

#[test]
fn secret_comes_from_its_file_without_the_last_newline() {
    let place = Place::new("");
    let secret = place.write("token", "hunter2\n");
    place.write("perfwatch.toml", &format!("[collectors.network]\noptions.token_file = \"{}\"\n", secret.display()));
    let (_, plan) = place.plan().unwrap();
    assert_eq!(plan.collectors[0].plugin.as_ref().unwrap().options.text("token"), Some("hunter2"));
}

#[test]
fn socket_of_an_agent_is_found_in_a_config_that_is_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("perfwatch.toml");
    let control = |text: &str, variables: &[(&str, &str)]| {
        std::fs::write(&path, text).unwrap();
        let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let environment = Environment { variables, is_root: true, broken: Vec::new() };
        let (agent, faulty) = Config::agent_that_runs(Some(&path), &environment);
        (agent.control.unwrap().to_str().unwrap().to_owned(), faulty)
    };
    let (here, default) = ("/here.sock".to_owned(), "/run/perfwatch/control.sock".to_owned());
    assert_eq!(control("[agent]\ncontrol = \"/here.sock\"", &[]), (here.clone(), false));
    assert_eq!(control("", &[]), (default.clone(), false));
    // No TOML after it; a fault beside it; a fault of its own.
    assert_eq!(control("[agent]\ncontrol = \"/here.sock\"\n[sinks", &[]), (here.clone(), true));
    assert_eq!(control("[agent]\ncontrol = \"/here.sock\"\nintervall = 1", &[]), (here.clone(), true));
    assert_eq!(control("[agent]\ncontrol = 5", &[]), (default.clone(), true));
    assert_eq!(control("[agent", &[("PERFWATCH__AGENT__CONTROL", "/here.sock")]), (here, true));
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let drop_in = folder.path().join("conf.d/a.toml");
    // The agent leaves such a file out, and its socket with it.
    std::fs::write(&drop_in, "[agent]\ncontrol = \"/left-out.sock\"\n[collectors").unwrap();
    assert_eq!(control("", &[]).0, default);
}

#[test]
fn socket_of_an_agent_is_that_of_the_copy_where_its_config_is_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("perfwatch.toml"), folder.path().join("good.toml"));
    let config = |control: &str| format!("[agent]\nlast_good = \"{}\"\n{control}", copy.display());
    let agent = || Config::agent_that_runs(Some(&path), &Environment::default());
    std::fs::write(&path, config("control = \"/before.sock\"")).unwrap();
    Config::read(Some(&path), Environment::default()).unwrap().keep_good().unwrap();
    for fault in ["control = /after.sock", "control = \"/after.sock\"\nintervall = 1"] {
        std::fs::write(&path, config(fault)).unwrap();
        let (found, faulty) = agent();
        assert_eq!((found.control.unwrap().to_str(), faulty), (Some("/before.sock"), true), "{fault}");
    }
}
