//! What a copy of the last good config saves, and what it must not be taken for.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use super::super::good;
use super::*;

/// What a good config says here.
const GOOD: &str = "[agent]\ninterval = \"7s\"\nlast_good = \"${STATE}/last.toml\"\n\n[collectors.cpu]\n";

fn place(text: &str) -> Place {
    let place = Place::new(text);
    let state = place.folder.path().join("state");
    let state = state.to_str().unwrap().to_owned();
    // Where the copy lies by default is state/home/perfwatch.
    place.variable("XDG_STATE_HOME", &format!("{state}/home")).variable("STATE", &state)
}

fn copy(place: &Place) -> PathBuf {
    place.folder.path().join("state/last.toml")
}

/// A start that goes well, and what it leaves.
fn run(place: &Place) {
    place.plan().unwrap().0.keep_good().unwrap();
}

/// A start, from the copy if need be: the interval that it says, and since when it holds.
fn start(place: &Place) -> Result<(Config, Plan), String> {
    let told = |refused: Refused| place.without_folder(&refused.to_string());
    let plan = |mut config: Config| config.plan(&plugins(), &|_, _| Ok(())).map(|plan| (config, plan));
    let path = place.folder.path().join("perfwatch.toml");
    let refused = match place.read().and_then(plan) {
        Ok(good) => return Ok(good),
        Err(refused) => refused,
    };
    let config = good::stand_in(Some(&path), place.environment.clone(), refused).map_err(told)?;
    let stand_in = config.stands_in().unwrap().clone();
    plan(config).map_err(|also| told(good::refused_too(&stand_in, also)))
}

/// That the copy runs in the place of what is refused with these words.
fn stands_in(place: &Place, refused: &str) {
    let (config, plan) = start(place).unwrap_or_else(|told| panic!("{refused}: {told}"));
    assert_eq!(plan.agent.interval, Duration::from_secs(7), "{refused}");
    let stand_in = config.stands_in().unwrap();
    assert!(stand_in.refused.to_string().contains(refused), "{}", stand_in.refused);
    assert!(stand_in.told().contains(&stand_in.taken), "{}", stand_in.told());
}

#[test]
fn copy_is_private_and_written_when_something_has_changed() {
    let place = place(GOOD).and("a.toml", "[collectors.slow]\n");
    run(&place);
    let taken = fs::metadata(copy(&place)).unwrap();
    assert_eq!(taken.mode() & 0o7777, 0o600);
    run(&place);
    assert_eq!(fs::metadata(copy(&place)).unwrap().ino(), taken.ino());
    place.write("conf.d/a.toml", "[collectors.slow]\ninterval = \"1m\"\n");
    run(&place);
    let text = fs::read_to_string(copy(&place)).unwrap();
    assert!(text.contains("[collectors.slow]\ninterval = \"1m\"\n") && text.contains(GOOD), "{text}");
    let left: Vec<_> = fs::read_dir(copy(&place).parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// The same, with the copy in its default place.
fn by_default() -> String {
    GOOD.replace("${STATE}/last.toml", "${XDG_STATE_HOME}/perfwatch/last-good.toml")
}

#[test]
fn whatever_is_wrong_with_the_config_the_copy_stands_in_for_it() {
    for (from, to, refused) in [
        ("[collectors.cpu]", "[collectors.cpu]\nintervall = \"1s\"", "unknown key `intervall`"),
        ("[collectors.cpu]", "[collectors.cpu]\ninterval = \"${UNSET}\"", "variable UNSET is not set"),
        ("interval", "intervall", "unknown key `intervall`"),
        ("\"7s\"", "7s", "perfwatch.toml:2"),
        ("\"7s\"", "", "perfwatch.toml:2"),
        ("\"7s\"", "\"7s", "perfwatch.toml:2"),
        ("[collectors.cpu]", "[collectors.cpu", "perfwatch.toml:5"),
        ("[collectors.cpu]", "x = \"\"\"\n", "perfwatch.toml:7"),
    ] {
        let place = place(GOOD);
        run(&place);
        place.write("perfwatch.toml", &GOOD.replace(from, to));
        stands_in(&place, refused);
    }
}

#[test]
fn copy_in_the_default_place_is_found_where_the_key_itself_is_lost() {
    let good = by_default();
    for (from, to, refused) in [
        ("[agent]", "[agent", "perfwatch.toml:1"),
        ("[agent]", "[agents]", "unknown table `agents`"),
        ("[agent]", "x = \"\"\"\n[agent]", "perfwatch.toml:"),
        ("last_good", "last_god", "unknown key `last_god`"),
        ("last_good =", "last_good", "perfwatch.toml:3"),
        ("${XDG_STATE_HOME}", "${XDG_STATE_HOM}", "variable XDG_STATE_HOM is not set"),
    ] {
        let place = place(&good);
        run(&place);
        place.write("perfwatch.toml", &good.replace(from, to));
        stands_in(&place, refused);
    }
}

#[test]
fn copy_that_is_not_wanted_any_more_is_removed() {
    let place = place(&by_default());
    run(&place);
    let at = place.folder.path().join("state/home/perfwatch/last-good.toml");
    let mine = fs::read(&at).unwrap();
    let other = Place { folder: TempDir::new().unwrap(), environment: place.environment.clone() };
    other.write("perfwatch.toml", "");
    run(&other);
    assert_eq!(fs::read(&at).unwrap(), mine, "it is of another config");
    for wanted in ["", GOOD] {
        place.write("perfwatch.toml", wanted);
        run(&place);
        assert!(!at.exists());
        place.write("perfwatch.toml", &by_default());
        run(&place);
    }
    // The same place, by another name.
    symlink("home", at.ancestors().nth(2).unwrap().with_file_name("link")).unwrap();
    place.write("perfwatch.toml", &by_default().replace("${XDG_STATE_HOME}", "${STATE}/link"));
    run(&place);
    assert!(at.exists());
}

#[test]
fn config_that_is_gone_or_unreadable_is_a_refused_one() {
    let place = place(&by_default());
    run(&place);
    let path = place.folder.path().join("perfwatch.toml");
    fs::remove_file(&path).unwrap();
    stands_in(&place, "perfwatch.toml: could not read it: No such file or directory");
    fs::write(&path, b"[agent]\nhostname = \"b\xfcro\"\n").unwrap();
    stands_in(&place, "perfwatch.toml: could not read it: line 2 is not UTF-8");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    stands_in(&place, "perfwatch.toml: could not read it: is a directory");
}

#[test]
fn copy_in_the_default_place_is_no_copy_of_another_config() {
    let place = place(&by_default());
    run(&place);
    let other = place.folder.path().join("perfwach.toml");
    let refused = Config::read(Some(&other), place.environment.clone()).unwrap_err();
    let refused = good::stand_in(Some(&other), place.environment.clone(), refused).unwrap_err();
    assert_eq!(refused.faults.len(), 1, "{refused}");
}

#[test]
fn variable_says_where_the_copy_is_whatever_became_of_the_file() {
    let place = place("[agent]\ninterval = \"7s\"\n");
    let at = place.folder.path().join("elsewhere/last.toml");
    let place = place.variable("PERFWATCH__AGENT__LAST_GOOD", at.to_str().unwrap());
    run(&place);
    fs::remove_file(place.folder.path().join("perfwatch.toml")).unwrap();
    stands_in(&place, "could not read it");
}

#[test]
fn drop_ins_are_in_the_copy_and_one_that_was_left_out_is_not() {
    let strict = GOOD.replace("[agent]", "[agent]\nstrict = true");
    let (lenient, strict) = (place(GOOD), place(&strict));
    for place in [&lenient, &strict] {
        place.write("conf.d/a.toml", "[collectors.slow]\n");
        run(place);
        place.write("conf.d/b.toml", "[collectors.network]\nintervall = \"1s\"\n");
    }
    let (config, plan) = start(&strict).unwrap();
    assert!(config.stands_in().unwrap().refused.to_string().contains("conf.d/b.toml:2"));
    assert_eq!(names(&plan), ["cpu", "slow", "network"]);
    assert!(plan.failed().next().is_none(), "network runs as by default");
    run(&lenient);
    let text = fs::read_to_string(copy(&lenient)).unwrap();
    assert!(text.contains("/conf.d/a.toml") && !text.contains("/conf.d/b.toml"), "{text}");
}

#[test]
fn what_nobody_may_be_trusted_with_is_no_copy_and_the_config_refused_with_its_reason() {
    let refused = |edit: &dyn Fn(&Path)| {
        let place = place(GOOD);
        run(&place);
        edit(&copy(&place));
        place.write("perfwatch.toml", &GOOD.replace("7s", "7"));
        let told = start(&place).unwrap_err();
        assert!(told.starts_with("perfwatch.toml:2:12: "), "{told}");
        told.lines().last().unwrap().to_owned()
    };
    let mode = |mode| move |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let edited = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, text.replace("\"7s\"", "\"8s\"")).unwrap();
    };
    let linked = |path: &Path| {
        fs::rename(path, path.with_extension("x")).unwrap();
        symlink(path.with_extension("x"), path).unwrap();
    };
    let not_used = |why: &str| format!("state/last.toml: is no copy to start from: {why}");
    assert_eq!(refused(&mode(0o620)), not_used("others may write it (mode 0620)"));
    assert_eq!(refused(&edited), not_used("it is damaged, or was edited"));
    assert_eq!(refused(&linked), not_used("it is something else"));
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    assert_eq!(refused(&gone), "state/last.toml: there is no copy of a good config yet, to start from");
    if rustix::process::geteuid().is_root() {
        let given = |path: &Path| std::os::unix::fs::chown(path, Some(65534), None).unwrap();
        assert_eq!(refused(&given), not_used("it belongs to user 65534, and the agent runs as user 0"));
    }
}

#[test]
fn copy_that_does_not_hold_today_is_told_with_its_own_faults() {
    let mut place = place(&format!("{GOOD}options = {{ per_core = true }}\n")).variable("HOST", "a");
    place.write("conf.d/a.toml", "agent.hostname = \"${HOST}\"\n");
    place.write("perfwatch.toml", &GOOD.replace("[agent]", "[agent]\nstrict = true"));
    run(&place);
    place.environment.variables.remove("HOST");
    let told = start(&place).unwrap_err();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "conf.d/a.toml:1:18: variable HOST is not set");
    assert!(lines[4].starts_with("state/last.toml: this copy, of 20"), "{told}");
    assert!(lines[4].ends_with("Z, is refused as well, for what follows"), "{told}");
    assert!(lines[5].starts_with("conf.d/a.toml as of 20"), "{told}");
    assert!(lines[5].ends_with(":1:18: variable HOST is not set"), "{told}");
}

#[test]
fn nothing_but_a_copy_is_overwritten() {
    let mut place = place(GOOD);
    symlink("perfwatch.toml", place.folder.path().join("link")).unwrap();
    for name in ["perfwatch.toml", "link", "."] {
        let path = place.folder.path().join(name);
        place = place.variable("PERFWATCH__AGENT__LAST_GOOD", path.to_str().unwrap());
        let refused = place.plan().unwrap().0.keep_good().unwrap_err().to_string();
        assert_eq!(refused, "what is there is no copy of a config, and is left as it is");
    }
    assert_eq!(fs::read_to_string(place.folder.path().join("perfwatch.toml")).unwrap(), GOOD);
    place.environment.variables.remove("PERFWATCH__AGENT__LAST_GOOD");
    // A copy that was damaged is replaced, and so is what somebody has made room with.
    run(&place);
    let good = fs::read_to_string(copy(&place)).unwrap();
    for damaged in [&good[..good.len() - 9], ""] {
        fs::write(copy(&place), damaged).unwrap();
        run(&place);
        assert!(fs::read_to_string(copy(&place)).unwrap().contains(GOOD));
    }
}

#[test]
fn config_that_is_no_file_has_no_copy() {
    let place = place("");
    let config = Config::of_text(GOOD, place.environment.clone()).unwrap();
    config.keep_good().unwrap();
    assert!(!copy(&place).exists());
}

#[test]
fn secret_of_a_file_is_not_copied_and_read_again_from_its_file() {
    let place = place("");
    let token = place.write("token", "hunter2\n");
    let options = format!("[collectors.network]\noptions = {{ token_file = \"{}\" }}\n", token.display());
    place.write("perfwatch.toml", &format!("{GOOD}{options}"));
    run(&place);
    assert!(!fs::read_to_string(copy(&place)).unwrap().contains("hunter2"));
    place.write("perfwatch.toml", &GOOD.replace("7s", "7"));
    place.write("token", "hunter3\n");
    let (_, plan) = start(&place).unwrap();
    let network = plan.collectors.iter().find(|collector| collector.name == "network").unwrap();
    assert_eq!(network.plugin.as_ref().unwrap().options.text("token"), Some("hunter3"));
}
