//! What cargo builds for the suite: the agent, its plugins, and the plugins of the tests.
//!
//! `cargo test` builds a binary only for the tests of its own package, and never another package's library; so the suite asks cargo itself,
//! once a process, and takes the paths from its messages. Cargo has let go of its lock by the time tests run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Paths of what was built.
#[derive(Debug)]
pub struct Built {
    /// The program `perfwatch`.
    pub agent: PathBuf,
    /// Its examples, by name.
    pub examples: BTreeMap<String, PathBuf>,
    /// The libraries of `plugins/`, by their name in cargo: `perfwatch_memory`.
    pub plugins: BTreeMap<String, PathBuf>,
    /// The libraries of `tests/plugins/`, by the same.
    pub test_plugins: BTreeMap<String, PathBuf>,
}

/// Builds on the first call.
///
/// # Panics
/// What does not compile has no tests.
pub fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let all = ["--lib", "--bins", "--examples", "--exclude", env!("CARGO_PKG_NAME"), "--exclude", "perfwatch-fuzz"];
        let (mut programs, plugins) = build(&root().join("Cargo.toml"), &all);
        let (_, test_plugins) = build(&root().join("tests/plugins/Cargo.toml"), &[]);
        let agent = programs.remove("perfwatch").expect("the workspace has a program perfwatch");
        Built { agent, examples: programs, plugins, test_plugins }
    })
}

/// The project's folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the project")
}

/// Paths of what cargo built, by the name of its target.
pub type Paths = BTreeMap<String, PathBuf>;

/// Programs and libraries of a workspace, in the profile of this very test.
///
/// # Panics
/// It does not compile.
#[must_use]
pub fn build(manifest: &Path, arguments: &[&str]) -> (Paths, Paths) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--message-format=json-render-diagnostics", "--manifest-path"]);
    command.arg(manifest).args(arguments);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("cargo can be run");
    assert!(output.status.success(), "cargo build of {} failed: see above", manifest.display());
    let (mut programs, mut libraries) = (Paths::new(), Paths::new());
    for line in output.stdout.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"{")) {
        let message: Value = serde_json::from_slice(line).expect("cargo writes JSON");
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let name = message["target"]["name"].as_str().expect("a target has a name").to_owned();
        if let Some(program) = message["executable"].as_str() {
            programs.insert(name, program.into());
        } else if message["target"]["kind"].as_array().is_some_and(|kinds| kinds.contains(&"cdylib".into())) {
            let files = message["filenames"].as_array().expect("an artifact has files");
            let library = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".so"));
            libraries.extend(library.map(|library| (name, library.into())));
        }
    }
    (programs, libraries)
}
