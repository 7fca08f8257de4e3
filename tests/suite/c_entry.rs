//! Plugins in C, built by cc as their author builds them: the example by the lines of its README, and one that makes every mistake.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use harness::{Finished, Site, root, skip};
use perfwatch::plugin::library;
use plugin_api::host_side::manifest::Manifest;
use plugin_api::host_side::testcase;
use serde_json::{Value, json};

const EXAMPLE: &str = "plugin-api/examples/c";
/// The plugin of mistakes.
const WRONG: &str = "tests/suite/c_entry";
/// The file system of a host with two CPUs.
const HOST: &str = "plugin-api/examples/c/testcases/two_cpus/1";

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        skip(program);
    }
    there
}

/// A C compiler in a folder, strict, with the header at hand.
fn cc(folder: &Path, compiler: &str) -> Command {
    let mut command = Command::new(compiler);
    command.current_dir(folder).args(["-O1", "-g", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC"]);
    command.arg("-I").arg(root().join("plugin-api/include"));
    command
}

/// Puts the plugin of mistakes into the site.
fn wrong(site: &Site, name: &str, entry: Option<&str>) -> PathBuf {
    let library = site.path("plugins").join(format!("libperfwatch_{name}.so"));
    let mut command = cc(&root().join(WRONG), "cc");
    command.args(entry.map(|entry| format!("-DENTRY={entry}")));
    ran(command
        .args(["-std=c99", "-Wno-misleading-indentation", "-Wno-unused-function", "wrong.c", "-o"])
        .arg(&library));
    library
}

/// Puts the example into the site, by the very lines of its README.
fn example(site: &Site) -> PathBuf {
    let place = site.path("checkout/examples/c");
    fs::create_dir_all(&place).unwrap();
    for file in ["README.md", "plugin.toml", "softnet.c"] {
        fs::copy(root().join(EXAMPLE).join(file), place.join(file)).unwrap();
    }
    std::os::unix::fs::symlink(root().join("plugin-api/include"), site.path("checkout/include")).unwrap();
    let readme = fs::read_to_string(place.join("README.md")).unwrap();
    let lines = readme.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let lines = lines.replace("/usr/local/lib/perfwatch/plugins", site.path("plugins").to_str().unwrap());
    ran(Command::new("sh").args(["-ec", &lines]).current_dir(&place));
    site.path("plugins/libperfwatch_softnet.so")
}

fn snapshot(once: &Finished) -> Value {
    assert_eq!(once.code(), 0, "{once}");
    serde_json::from_str(&once.stdout).unwrap()
}

#[test]
fn example_is_built_by_its_readme_and_runs_in_the_agent_and_in_a_child() {
    if !is_there("cc") {
        return;
    }
    let site = Site::new();
    let library = example(&site);
    site.config(&format!(
        "[agent]\ncollect = \"named\"\nhost_root = {:?}\n\
         [collectors.inside]\nplugin = \"softnet\"\nisolation = \"none\"\n\
         [collectors.child]\nplugin = \"softnet\"\nisolation = \"process\"\n\
         [collectors.sums]\nplugin = \"softnet\"\nisolation = \"none\"\noptions = {{ cpus = false }}\n",
        root().join(HOST)
    ));
    let check = site.output(["check"]);
    assert_eq!(check.code(), 0, "{check}");
    let inspect = site.output(["plugins", "inspect", library.to_str().unwrap()]);
    assert!(inspect.stdout.contains("packets that the kernel took in, dropped and put off"), "{inspect}");
    let snapshot = snapshot(&site.output(["once", "--format", "json", "--window", "200ms"]));
    for collector in ["inside", "child"] {
        let section = &snapshot[collector];
        assert_eq!((&section["_status"], &section["processed"]), (&json!("ok"), &json!(0x1064 + 0x20)), "{snapshot}");
        assert_eq!((&section["cpus"]["0"]["dropped"], &section["cpus"]["1"]["dropped"]), (&json!(5), &json!(3)));
    }
    assert_eq!((&snapshot["sums"]["dropped"], snapshot["sums"].get("cpus")), (&json!(8), None), "{snapshot}");
}

#[test]
fn testcases_of_the_example_hold() {
    if !is_there("cc") {
        return;
    }
    let site = Site::new();
    let library = example(&site);
    let module = library::load(&library).unwrap();
    let text = fs::read_to_string(root().join(EXAMPLE).join("plugin.toml")).unwrap();
    let manifest = Arc::new(Manifest::parse(&text).unwrap());
    for case in testcase::cases(&root().join(EXAMPLE).join("testcases")).unwrap() {
        testcase::run(module, &manifest, &case).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// What the plugin does, and the section's status and words that come of it.
const MISTAKES: [(&str, &str, &str); 37] = [
    ("misspell a metric", "failed", "metric cuont is not declared in plugin.toml; did you mean count?"),
    ("misspell a table", "failed", "table row is not declared in plugin.toml; did you mean rows?"),
    ("misspell a column", "failed", "column rows.vaule is not declared in plugin.toml; did you mean value?"),
    ("misspell an option", "failed", "option puase is not declared in plugin.toml; did you mean pause?"),
    ("set what is derived", "failed", "metric count_per_sec is derived by the agent and cannot be set"),
    ("ask a metric for a column", "failed", "column value: 72057594037927936 is no table's id"),
    ("ask a text for a number", "failed", "option does is asked for as an integer and is \"ask a text for a number\""),
    ("ask for NULL", "failed", "the name of a metric is NULL, and a text is needed"),
    ("ask in bytes", "failed", "metric c\u{fffd}unt is not declared in plugin.toml; did you mean count?"),
    ("set too early", "failed", "a value was set and no reading is being taken: set values in collect only"),
    ("make nothing", "failed", "its create returned NULL and did not say why: call host->fail before"),
    ("have no device", "unavailable", "no such device"),
    ("forget an id", "failed", "0 is no id of a metric or a column: look it up in create"),
    ("make up an id", "failed", "18446744073709551615 is no id of a metric or a column"),
    ("make up a place", "failed", "is no id of a metric or a column"),
    ("make up a column", "failed", "a column of rows was set and no row of it is begun"),
    ("make up a table", "failed", "is no id of a table: look it up in create"),
    ("set a table", "failed", "is no id of a metric or a column"),
    ("begin no row", "failed", "a column of rows was set and no row of it is begun: call host->row before"),
    ("fail no row", "failed", "row_failed was called and no row is begun: call host->row before"),
    ("begin another's row", "failed", "a column of rows was set and no row of it is begun: call host->row before"),
    ("give a key too few", "failed", "1 keys were given for a row, and plugin.toml declares 2 for its table"),
    ("give 2^32 keys", "failed", "4294967295 keys were given for a row, and plugin.toml declares 1 for its table"),
    ("give no keys", "failed", "the keys of a row are NULL, and 1 are needed"),
    ("give NULL as a key", "failed", "the key of a row is NULL, and a text is needed"),
    ("give NULL as a text", "failed", "a text that was set is NULL, and a text is needed"),
    ("give NULL as a place", "failed", "the place for the space of a mount is NULL"),
    ("call without a host", "ok", ""),
    ("return 9", "failed", "its collect returned 9 and did not say why"),
    ("fail twice", "unavailable", "first"),
    ("fail and return 0", "failed", "needs cap_perfmon"),
    ("fail without words", "failed", "the message of a failure is NULL, and a text is needed"),
    ("fail by no kind", "failed", "of no kind"),
    ("set another type", "ok", ""),
    ("set a huge text", "partial", ""),
    ("begin too many rows", "partial", ""),
    ("well", "partial", ""),
];

fn name(does: &str) -> String {
    does.to_lowercase().replace(' ', "_").replace(['^', '\''], "")
}

#[test]
fn every_mistake_of_a_plugin_in_c_is_put_into_words_and_harms_nobody() {
    if !is_there("cc") {
        return;
    }
    let site = Site::new();
    wrong(&site, "wrong", None);
    let mut config = "[agent]\ncollect = \"named\"\n".to_owned();
    for (place, (does, _, _)) in MISTAKES.iter().enumerate() {
        // Each fifth in a child, where it has to come to the same.
        let isolation = if place % 5 == 0 { "process" } else { "none" };
        let labels = "labels = { region = \"eu\" }";
        let table =
            format!("plugin = \"wrong\"\nisolation = \"{isolation}\"\noptions = {{ does = {does:?}, {labels} }}");
        config += &format!("[collectors.{}]\n{table}\n", name(does));
    }
    site.config(&config);
    let once = site.output(["once", "--format", "json", "--window", "300ms"]);
    let snapshot = snapshot(&once);
    for (does, status, words) in MISTAKES {
        let section = &snapshot[name(does)];
        assert_eq!(section["_status"], status, "{does}: {section}: {once}");
        assert!(words.is_empty() || section["_error"].as_str().unwrap().contains(words), "{does}: {section}");
    }
    let well = &snapshot["well"];
    let values = ["count", "signed", "ratio", "is_on", "name"].map(|metric| &well[metric]);
    assert_eq!(json!(values), json!([u64::MAX, -1, 0.25, true, "a\u{fffd}b"]), "{well}");
    assert_eq!(well["rows"], json!({ "one": { "value": 1 }, "two": { "value": null } }));
    assert_eq!(well["pairs"], json!({ "x": { "y": { "note": "" } } }));
    assert_eq!(well["_errors"], json!({ "rows": { "two": "no answer" }, "rest": "no luck" }));
    assert!(once.stderr.contains("well collector=\"well\""), "{once}");
    assert_eq!(snapshot["set_another_type"]["count"], Value::Null);
    assert_eq!(snapshot["begin_too_many_rows"]["rows"].as_object().unwrap().len(), 10_000);
}

#[test]
fn library_in_c_that_cannot_be_used_says_in_one_sentence_what_to_change() {
    if !is_there("cc") {
        return;
    }
    let site = Site::new();
    let whole = "sizeof(struct perfwatch_plugin)";
    let functions = "create, collect, destroy";
    for (name, entry, why) in [
        (
            "short",
            format!("{{40, PERFWATCH_CONTRACT, 0, {functions}}}"),
            "its perfwatch_plugin_v1 has 40 bytes and not 48: export it by PERFWATCH_PLUGIN of perfwatch.h",
        ),
        (
            "newer",
            format!("{{{whole}, 2 << 16 | 1, 0, {functions}}}"),
            "it was built against contract 2.1, and this agent speaks 1.x: build it with this agent's perfwatch.h",
        ),
        (
            "no_create",
            format!("{{{whole}, PERFWATCH_CONTRACT, 0, 0, collect, destroy}}"),
            "its perfwatch_plugin_v1 has NULL for create: give PERFWATCH_PLUGIN all three functions",
        ),
        ("no_collect", format!("{{{whole}, PERFWATCH_CONTRACT, 0, create, 0, destroy}}"), "NULL for collect"),
        ("no_destroy", format!("{{{whole}, PERFWATCH_CONTRACT, 0, create, collect, 0}}"), "NULL for destroy"),
    ] {
        let library = wrong(&site, name, Some(&entry));
        let refused = library::load(&library).err().unwrap();
        let cause = refused.source().unwrap().to_string();
        assert!(cause.contains(why), "{name}: {cause}");
    }
    // A later 1.x appends to the struct, and is loaded all the same.
    let longer = format!("{{{whole} + 64, PERFWATCH_CONTRACT + 7, 0, {functions}}}");
    library::load(&wrong(&site, "longer", Some(&longer))).map(|_| ()).unwrap();
}

/// As long as perfwatch.h says so, a plugin that was built with it loads; `structs_lie_in_memory_as_contract_1_0_has_them` holds the agent
/// to the same.
#[test]
fn header_lies_in_memory_as_contract_1_0_has_it() {
    if !is_there("cc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plugin = "size contract manifest create collect destroy";
    let host = "size agent options root proc sys net page_size clock_ticks is_foreign metric table column \
                option_int option_float option_text option_item set_u64 set_i64 set_f64 set_bool set_text \
                row row_failed part_failed time_left fail space log";
    let space = "total_bytes free_bytes available_bytes inodes_total inodes_free";
    let mut lines = vec!["#include \"perfwatch.h\"".to_owned()];
    for (name, fields) in [("plugin", plugin), ("host", host), ("space", space)] {
        let holds = |what: String| format!("_Static_assert({what}, \"{name}\");");
        lines.push(holds(format!("sizeof(struct perfwatch_{name}) == {}", 8 * fields.split(' ').count())));
        let place = |(place, field)| holds(format!("offsetof(struct perfwatch_{name}, {field}) == {}", 8 * place));
        lines.extend(fields.split(' ').enumerate().map(place));
    }
    let numbers = "PERFWATCH_CONTRACT == 65536 && PERFWATCH_FAILED == 1 && PERFWATCH_UNAVAILABLE == 2 && PERFWATCH_DENIED == 3 && \
                   PERFWATCH_ERROR == 0 && PERFWATCH_WARN == 1 && PERFWATCH_INFO == 2 && PERFWATCH_DEBUG == 3";
    lines.push(format!("_Static_assert({numbers}, \"numbers\");"));
    fs::write(folder.path().join("layout.c"), lines.join("\n")).unwrap();
    for compiler in ["cc", "clang"] {
        if compiler == "cc" || Command::new(compiler).arg("--version").output().is_ok() {
            ran(cc(folder.path(), compiler).args(["-std=c11", "-fsyntax-only", "layout.c"]));
        }
    }
}

/// The agent under valgrind, with the plugins of the site, each in it: a child's filter of system calls knows nothing of valgrind's.
fn valgrind(site: &Site, config: &str) -> Output {
    site.config(&format!("[agent]\ncollect = \"named\"\n{config}"));
    let command = site.command(["once", "--format", "json", "--window", "1s"]);
    let agent = command.get_program().to_owned();
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let mut under = Command::new("valgrind");
    under.args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
    under
        .arg("--error-exitcode=99")
        .arg(agent)
        .args(arguments)
        .envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    under.output().unwrap()
}

#[test]
fn plugin_in_c_runs_under_valgrind_without_an_error_and_one_with_an_error_is_found() {
    if !is_there("cc") || !is_there("valgrind") {
        return;
    }
    let site = Site::new();
    for library in [example(&site), wrong(&site, "wrong", None)] {
        // Beside the agent it is loaded as it lies there, and valgrind finds its lines; a sealed copy has no name on disk.
        fs::rename(&library, site.path("bin").join(library.file_name().unwrap())).unwrap();
    }
    let table = |does: &str| {
        format!(
            "[collectors.{}]\nplugin = \"wrong\"\nisolation = \"none\"\noptions = {{ does = {does:?} }}\n",
            name(does)
        )
    };
    // As perfwatch.h has it, and with what it puts into words: a frame that grows, a collector that is refused.
    let sound = ["begin too many rows", "misspell a metric", "have no device", "give NULL as a text"].map(table);
    let clean = valgrind(&site, &("[collectors.softnet]\nisolation = \"none\"\n".to_owned() + &sound.concat()));
    let said = String::from_utf8_lossy(&clean.stderr);
    assert!(clean.status.success(), "{said}");
    let snapshot: Value = serde_json::from_slice(&clean.stdout).unwrap();
    assert_eq!(snapshot["softnet"]["_status"], "ok", "{snapshot}: {said}");
    for (does, of) in [("read past its memory", "Invalid read of size 1"), ("lose its memory", "definitely lost")] {
        let found = valgrind(&site, &table(does));
        let said = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.code() == Some(99) && said.contains(of) && said.contains("wrong.c:"), "{does}: {said}");
    }
}
