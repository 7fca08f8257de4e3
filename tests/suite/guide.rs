//! The author's guide, `plugin-api/README.md`: each block of code in it is the file of a plugin that is built here, or is run.

use std::fs;
use std::os::unix::fs::symlink;

use harness::{Running, Site, root};
use serde_json::Value;

use crate::docs::{listed, read};

const GUIDE: &str = "plugin-api/README.md";
/// The plugin that it shows whole.
const SHOWN: &str = "tests/plugins/numa";

/// What is fenced, with its language, in order.
fn blocks(guide: &str) -> Vec<(&str, &str)> {
    let fenced = guide.split("\n```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap_or_else(|| panic!("a fence without an end: {block}"))).collect()
}

/// A folder as the author's: the library where cargo puts it.
fn site() -> Site {
    let site = Site::new();
    let built = site.plugin("numa");
    fs::create_dir_all(site.path("target/release")).unwrap();
    fs::rename(built, site.path("target/release/libperfwatch_numa.so")).unwrap();
    site
}

#[test]
fn code_in_the_guide_is_that_of_a_plugin_that_is_built() {
    let mut guide = read(GUIDE);
    let files = ["plugin.toml", "src/lib.rs"].map(|file| (file, read(format!("{SHOWN}/{file}"))));
    for (place, (file, content)) in files.into_iter().enumerate() {
        let shown = blocks(&guide)[place + 1].1.to_owned();
        if std::env::var_os("UPDATE_GOLDEN").is_some() && shown != content.trim_end() {
            guide = guide.replacen(&shown, content.trim_end(), 1);
            fs::write(root().join(GUIDE), &guide).unwrap();
        }
        assert_eq!(blocks(&guide)[place + 1].1, content.trim_end(), "UPDATE_GOLDEN=1 shows {file} as it is");
    }
    let section: Value = serde_json::from_str(blocks(&guide)[3].1).unwrap();
    let expected: Value = serde_json::from_str(&read(format!("{SHOWN}/testcases/two_nodes/1/expected.json"))).unwrap();
    assert_eq!(section, expected);
    let languages: Vec<_> = blocks(&guide).iter().map(|(language, _)| language.to_string()).collect();
    assert_eq!(
        languages,
        ["sh", "toml", "rust", "json", "sh", "toml", "sh"],
        "each block has a test, and this is their order"
    );
}

#[test]
fn commands_in_the_guide_are_known_and_its_plugin_passes_the_one_that_tests_it() {
    let guide = read(GUIDE);
    let site = site();
    for file in ["plugin.toml", "testcases"] {
        symlink(root().join(SHOWN).join(file), site.path(file)).unwrap();
    }
    let plugins = listed(&site, &["plugins"]);
    let mut tested = false;
    for line in blocks(&guide).iter().filter(|(language, _)| *language == "sh").flat_map(|(_, lines)| lines.lines()) {
        let Some((_, command)) = line.split_once("perfwatch plugins ") else { continue };
        let words: Vec<&str> = command.split(' ').take_while(|word| !["&&", ""].contains(word)).collect();
        assert!(plugins.iter().any(|known| known == words[0]), "there is no command perfwatch plugins {}", words[0]);
        if words[0] == "test" {
            let finished = site.output(["plugins"].iter().chain(&words).chain(&["--report", "json"]));
            let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished}"));
            let checks = report["checks"].as_array().unwrap();
            // What the others find is of this machine, which may have no nodes, or be busy.
            tested = checks.iter().any(|check| check["name"] == "testcases" && check["verdict"] == "passed");
            assert!(tested, "{finished}");
        }
    }
    assert!(tested, "the guide says how to test");
}

#[test]
fn config_in_the_guide_tries_the_plugin_and_gives_its_section() {
    let guide = read(GUIDE);
    let blocks = blocks(&guide);
    let site = site();
    site.write("try.toml", blocks[5].1);
    let mut command = site.command(blocks[6].1.strip_prefix("perfwatch ").unwrap().split(' '));
    command.env_remove("PERFWATCH__AGENT__PLUGIN_DIRS"); // the folder is the config's
    // Another machine may have no nodes.
    command.env("PERFWATCH__AGENT__HOST_ROOT", root().join(SHOWN).join("testcases/two_nodes/0"));
    let finished = Running::start(command).wait();
    let snapshot: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished}"));
    let section = &snapshot["numa"];
    assert_eq!((&section["_status"], &section["nodes"]["0"]["missed"]), (&"ok".into(), &100.into()), "{section}");
}
