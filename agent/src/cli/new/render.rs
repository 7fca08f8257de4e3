//! The files of a new plugin. Pure: which and with what in them; `folder.rs` writes them.
//!
//! The templates are files of their own, in `template/`: what a plugin measures (`scalar/`, `table/`: manifest, README, test cases) is the same
//! in each language (`rust/`, `c/`: code and build). All that is filled in is the plugin's name, the path of `plugin-api`, and into the README what is
//! of its language.
#![forbid(unsafe_code)]

use plugin_api::host_side::options::OptionValue;

/// A path below the new folder, and the text of the file.
pub(super) type File = (&'static str, String);

/// What is to be made.
pub(super) struct Plan<'a> {
    pub(super) name: &'a str,
    /// A table instead of a metric outside any.
    pub(super) table: bool,
    pub(super) language: Language<'a>,
}

/// In which language, with what that needs.
pub(super) enum Language<'a> {
    Rust {
        /// Where `plugin-api` is, from anywhere.
        api: &'a str,
        /// The `Cargo.lock` that its versions were tested with.
        lock: Option<&'a str>,
    },
    C,
}

/// A file of `template/`.
macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("template/", $path))
    };
}

const SCALAR: [(&str, &str); 6] = [
    ("plugin.toml", template!("scalar/plugin.toml")),
    ("README.md", template!("scalar/README.md")),
    ("testcases/fifteen_minutes/options.toml", template!("scalar/testcases/fifteen_minutes/options.toml")),
    ("testcases/fifteen_minutes/0/proc/loadavg", template!("scalar/testcases/fifteen_minutes/0/proc/loadavg")),
    ("testcases/fifteen_minutes/0/expected.json", template!("scalar/testcases/fifteen_minutes/0/expected.json")),
    ("testcases/no_such_file/0/expected.err", template!("scalar/testcases/no_such_file/0/expected.err")),
];

const TABLE: [(&str, &str); 8] = [
    ("plugin.toml", template!("table/plugin.toml")),
    ("README.md", template!("table/README.md")),
    ("testcases/two_processors/0/proc/softirqs", template!("table/testcases/two_processors/0/proc/softirqs")),
    ("testcases/two_processors/0/expected.json", template!("table/testcases/two_processors/0/expected.json")),
    ("testcases/two_processors/1/proc/softirqs", template!("table/testcases/two_processors/1/proc/softirqs")),
    ("testcases/two_processors/1/seconds", template!("table/testcases/two_processors/1/seconds")),
    ("testcases/two_processors/1/expected.json", template!("table/testcases/two_processors/1/expected.json")),
    ("testcases/no_such_file/0/expected.err", template!("table/testcases/no_such_file/0/expected.err")),
];

/// The contract in C. A plugin has it as it was when its author began.
const HEADER: &str = include_str!("../../../../plugin-api/include/perfwatch.h");

/// All files of a new plugin.
pub(super) fn render(plan: &Plan<'_>) -> Vec<File> {
    let shape: &[(&'static str, &str)] = if plan.table { &TABLE } else { &SCALAR };
    let mut files: Vec<_> = shape.to_vec();
    let (change, api, lock) = match plan.language {
        Language::Rust { api, lock } => {
            let code = if plan.table { template!("rust/table.rs") } else { template!("rust/scalar.rs") };
            files.push(("Cargo.toml", template!("rust/Cargo.toml.in")));
            files.push(("src/lib.rs", code));
            files.push((".gitignore", template!("rust/gitignore")));
            (template!("rust/README.part.md"), OptionValue::Text(api.to_owned()).toml(), lock)
        }
        Language::C => {
            files.push(("Makefile", template!("c/Makefile")));
            files.push(("plugin.c", if plan.table { template!("c/table.c") } else { template!("c/scalar.c") }));
            files.push(("perfwatch.h", HEADER));
            files.push((".gitignore", template!("c/gitignore")));
            (template!("c/README.part.md"), String::new(), None)
        }
    };
    // The path last: whatever is in it stays as it is.
    let fill = |text: &str| named(&text.replace("@LANGUAGE@\n", change), plan.name).replace("@API@", &api);
    let mut files: Vec<File> = files.into_iter().map(|(path, text)| (path, fill(text))).collect();
    // Its name is not in it: cargo adds it, and takes out what this plugin does not need. No other version is looked for, nor a network.
    files.extend(lock.map(|lock| ("Cargo.lock", lock.to_owned())));
    files
}

/// With the name filled in; a comment behind it stays in its column.
fn named(text: &str, name: &str) -> String {
    let fill = |part: &str| part.replace("@NAME@", name);
    let line = |line: &str| match line.split_once("  #") {
        Some((code, comment)) => {
            format!("{:<width$}  #{}", fill(code.trim_end()), fill(comment), width = code.chars().count())
        }
        None => fill(line),
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use plugin_api::host_side::manifest::Manifest;

    use super::*;

    fn rendered(table: bool, api: &str) -> Vec<File> {
        render(&Plan { name: "ups", table, language: Language::Rust { api, lock: None } })
    }

    fn of_every_kind() -> impl Iterator<Item = (bool, Vec<File>)> {
        let in_c = |table| render(&Plan { name: "ups", table, language: Language::C });
        [false, true].into_iter().flat_map(move |table| [(table, rendered(table, "/api")), (table, in_c(table))])
    }

    fn text<'a>(files: &'a [File], path: &str) -> &'a str {
        files.iter().find(|(known, _)| *known == path).map(|(_, text)| &**text).unwrap()
    }

    #[test]
    fn manifest_of_each_kind_is_without_fault_and_has_what_was_asked_for() {
        for (table, files) in of_every_kind() {
            let manifest = Manifest::parse(text(&files, "plugin.toml")).unwrap();
            assert_eq!(manifest.plugin.name, "ups");
            assert_eq!((manifest.options.len(), manifest.tables.len()), (1, usize::from(table)));
            assert_eq!(manifest.metrics.len(), usize::from(!table));
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in_and_no_file_comes_twice() {
        for (_, files) in of_every_kind() {
            let marks = ["@NAME@", "@API@", "@LANGUAGE@"];
            assert!(files.iter().all(|(_, text)| marks.iter().all(|mark| !text.contains(mark))), "{files:#?}");
            let paths: BTreeSet<_> = files.iter().map(|(path, _)| path).collect();
            assert_eq!(paths.len(), files.len());
        }
    }

    #[test]
    fn comments_stand_in_one_column_whatever_the_name() {
        let template = "name = \"@NAME@\"   # of the section\nversion = \"0.1\"   # its own\nlib@NAME@.so\n";
        assert_eq!(
            named(template, "ups"),
            "name = \"ups\"      # of the section\nversion = \"0.1\"   # its own\nlibups.so\n"
        );
        assert_eq!(named(template, "a_long_name").lines().next(), Some("name = \"a_long_name\"  # of the section"));
        assert_eq!(named("make  # @NAME@", "ups"), "make  # ups");
    }

    #[test]
    fn path_of_the_api_is_one_string_of_toml_whatever_is_in_it() {
        let api = "/a b/\"c\"\\d/'e'/@NAME@/ö\u{7f}";
        let manifest: toml::Table = text(&rendered(false, api), "Cargo.toml").parse().unwrap();
        for kind in ["dependencies", "dev-dependencies"] {
            assert_eq!(manifest[kind]["plugin-api"]["path"].as_str(), Some(api));
        }
    }
}
