//! `perfwatch plugins new`: a folder with a plugin that builds and passes its tests as it is, for an author to change.
#![forbid(unsafe_code)]

mod api;
mod folder;
mod name;
mod render;

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rustix::fs::{Access, access};

use self::render::{Language, Plan};
use super::{Invocation, code, fail, print};
use crate::assemble::chain;
use crate::harmless;
use crate::setup::Setup;

/// Make a folder with a new plugin in it, which builds and passes its tests as it is, and say what to do next
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  perfwatch plugins new ups                        one metric, in Rust
  perfwatch plugins new ups --table --lang c       a table, a row for each of what there are several of, in C
  perfwatch plugins new ups --api ~/perfwatch/plugin-api")]
pub(super) struct New {
    /// Of the plugin, of the folder that is made here, and of the section in a snapshot: a to z, 0 to 9 and _
    name: String,
    /// In which language
    #[arg(long, value_enum, default_value = "rust")]
    lang: Lang,
    /// With a table instead of a single metric: a counter with its rate, and a gauge, for each row
    #[arg(long)]
    table: bool,
    /// The folder `plugin-api` of PerfWatch's sources, that it is built with; else of those that this agent was built from
    #[arg(long, value_name = "PATH")]
    api: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// Built with cargo, and with the crate `plugin-api`
    Rust,
    /// Built with make and cc; perfwatch.h is copied in
    C,
}

/// Builds and tests a plugin in Rust.
const CARGO: &str = "cargo test && cargo build --release";

/// Where what is dropped in belongs, unless the configuration names a folder.
const INSTALLED: &str = "/usr/local/lib/perfwatch/plugins";

pub(super) fn new(invocation: &Invocation, new: &New) -> u8 {
    if let Some(fault) = name::fault(&new.name) {
        fail(&fault);
        return code::USAGE;
    }
    let api = match (new.lang, &new.api) {
        (Lang::Rust, named) => api::find(named.as_deref()).map(Some),
        (Lang::C, None) => Ok(None),
        (Lang::C, Some(_)) => {
            fail("--api is for Rust: a plugin in C has perfwatch.h copied into its folder");
            return code::USAGE;
        }
    };
    let language = match &api {
        Ok(Some(api)) => Language::Rust { api: &api.path, lock: api.lock.as_deref() },
        Ok(None) => Language::C,
        Err(error) => {
            fail(&chain(error));
            return code::USAGE;
        }
    };
    let files = render::render(&Plan { name: &new.name, table: new.table, language });
    if let Err(cause) = folder::create(Path::new(&new.name), &files) {
        let name = &new.name;
        return match cause.kind() {
            ErrorKind::AlreadyExists => {
                fail(&format!("{name} is there already, and nothing is overwritten: choose another name"))
            }
            kind => {
                fail(&format!("could not make the folder {name}: {cause}"));
                if kind == ErrorKind::PermissionDenied { code::NOT_PERMITTED } else { code::FAILED }
            }
        };
    }
    let installed = place(invocation, &new.name);
    print(&next(&new.name, new.lang, &program(), &installed))
}

/// The folder of plugins, and whether there is such a plugin already, which is for the author to know.
fn place(invocation: &Invocation, name: &str) -> PathBuf {
    let setup = match Setup::read(invocation.config.as_deref()) {
        Ok(setup) => setup,
        Err(error) => {
            fail(&format!("warning: whether there is a plugin `{name}` already is not known: {}", chain(&error)));
            return INSTALLED.into();
        }
    };
    if let Some(known) = setup.found.plugins.iter().find(|known| known.name() == name) {
        let path = harmless::path(&known.path);
        fail(&format!("warning: there is a plugin `{name}` already, {path}: of two that are found the first runs"));
    }
    setup.plan.agent.plugin_dirs.first().cloned().unwrap_or_else(|| INSTALLED.into())
}

/// This program, as a shell finds it.
fn program() -> String {
    let by_path = env::args_os().next().is_some_and(|name| Path::new(&name).components().count() > 1);
    let path = env::current_exe().ok().filter(|_| by_path);
    path.map_or_else(|| "perfwatch".to_owned(), |path| harmless::word(&path))
}

/// Where cargo puts what it builds, where that is not beside the sources.
fn target() -> Option<PathBuf> {
    env::var_os("CARGO_TARGET_DIR").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The next three commands.
fn next(name: &str, lang: Lang, program: &str, installed: &Path) -> String {
    let library = format!("libperfwatch_{name}.so");
    // Testcases are found from the library upwards, and so from a folder of cargo's beside them alone.
    let (build, library, testcases) = match (lang, target()) {
        (Lang::C, _) => ("make", library.into(), ""),
        (Lang::Rust, None) => (CARGO, Path::new("target/release").join(library), ""),
        (Lang::Rust, Some(target)) => (CARGO, target.join("release").join(library), " --testcases testcases"),
    };
    let library = harmless::word(&library);
    // The nearest that is there says who may write.
    let there = installed.ancestors().find(|folder| folder.exists());
    let sudo = if there.is_some_and(|folder| access(folder, Access::WRITE_OK).is_ok()) { "" } else { "sudo " };
    let installed = harmless::word(installed);
    format!(
        "made {name}/, a plugin that builds and passes its tests as it is; {name}/README.md says what to change. Next:\n\n  \
         cd {name} && {build}\n  \
         {program} plugins test {library}{testcases}\n  \
         {sudo}install -Dm 0755 -t {installed} {library} && {program} once\n\n\
         An agent that runs takes it up by itself.\n"
    )
}
