//! The config as an operator meets it: real files in a folder, and what comes out of them.

mod declared;
mod faults;
mod good;
mod layered;
mod planned;
mod shown;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::host_side::manifest::Manifest;
use tempfile::TempDir;

use super::layers::Environment;
use super::plan::{Available, Plan, Plugins, Unavailable};
use super::{Config, Refused};

/// A folder with config files, and the variables of the process.
pub(super) struct Place {
    pub(super) folder: TempDir,
    pub(super) environment: Environment,
}

impl Place {
    /// With this as its `perfwatch.toml`.
    pub(super) fn new(text: &str) -> Place {
        let place = Place { folder: TempDir::new().unwrap(), environment: Environment::default() };
        place.write("perfwatch.toml", text);
        place
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// With this drop-in.
    pub(super) fn and(self, name: &str, text: &str) -> Place {
        self.write(&format!("conf.d/{name}"), text);
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Place {
        self.environment.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn read(&self) -> Result<Config, Refused> {
        Config::read(Some(&self.folder.path().join("perfwatch.toml")), self.environment.clone())
    }

    /// The plan with the plugins of [`plugins`], or every fault, with the folder's path taken out.
    pub(super) fn plan(&self) -> Result<(Config, Plan), String> {
        let told = |refused: Refused| self.without_folder(&refused.to_string());
        let mut config = self.read().map_err(told)?;
        let plan = config.plan(&plugins(), &|_, _| Ok(())).map_err(told)?;
        Ok((config, plan))
    }

    pub(super) fn without_folder(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn available(path: &str, name: &str, rest: &str) -> Available {
    let text = format!(
        "contract = \"1.0\"\n[plugin]\nname = \"{name}\"\ndescription = \"the {name} of the tests\"\n{rest}\n\
         [metrics.a]\nunit = \"1\"\ndescription = \"a\"\n"
    );
    let manifest = Manifest::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}"));
    Available { path: PathBuf::from(path), manifest: Arc::new(manifest), bundled: path.starts_with("/lib/") }
}

/// cpu; network with two options; slow, which likes to be read every minute; needy, which needs an option; another at a path; and
/// one that cannot be loaded.
pub(super) fn plugins() -> Plugins {
    let lib = |name: &str, rest: &str| available(&format!("/lib/libperfwatch_{name}.so"), name, rest);
    Plugins {
        found: vec![
            lib("cpu", "[options.per_core]\ntype = \"bool\"\ndefault = true\ndescription = \"each core\""),
            lib(
                "network",
                "[options.interfaces]\ntype = \"[string]\"\ndefault = [\"!lo\"]\ndescription = \"patterns\"\n\
                 [options.token]\ntype = \"secret\"\noptional = true\ndescription = \"a token\"",
            ),
            lib("slow", "interval = \"1m\"\ntimeout = \"3s\""),
            lib("needy", "[options.url]\ntype = \"string\"\nrequired = true\ndescription = \"where it asks\""),
        ],
        at_paths: vec![available("/opt/mine.so", "cpu", "")],
        unavailable: vec![Unavailable {
            plugin: None,
            path: PathBuf::from("/lib/libperfwatch_ups.so"),
            reason: "others may write to it".to_owned(),
        }],
        searched: vec![PathBuf::from("/lib"), PathBuf::from("/usr/lib")],
    }
}

pub(super) fn names(plan: &Plan) -> Vec<&str> {
    plan.collectors.iter().map(|collector| collector.name.as_str()).collect()
}

pub(super) fn path(text: &str) -> &Path {
    Path::new(text)
}
