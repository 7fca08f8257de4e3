//! Files that lie in the wrong one of two folders: a library in `conf.d`, a file of the configuration among the plugins. [E readdir]
//!
//! Whoever drops one there waits for something to happen. What is looked for is what an operator puts there by hand: names that say
//! plugin, and folders that the configuration names; a folder of programs may hold what it likes.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use super::find::PREFIX;
use crate::harmless;

/// Most of a folder that are told: the first says it.
const TOLD_MAX: usize = 8;

/// What lies astray, and where it belongs, a line each.
#[must_use]
pub fn astray(drop_ins: &Path, plugin_dirs: &[PathBuf]) -> Vec<String> {
    let mut told = Vec::new();
    for path in named(drop_ins, |name| name.starts_with(PREFIX) && name.ends_with(".so")) {
        let place = plugin_dirs.first().map_or(Path::new("/usr/local/lib/perfwatch/plugins"), PathBuf::as_path);
        told.push(line(&path, "plugins are looked for in folders of plugins", place));
    }
    for folder in plugin_dirs {
        for path in named(folder, |name| name.ends_with(".toml") && !["plugin.toml", "Cargo.toml"].contains(&name)) {
            told.push(line(&path, "files of the configuration are read in conf.d", drop_ins));
        }
    }
    told
}

fn line(path: &Path, why: &str, place: &Path) -> String {
    let (path, place) = (harmless::path(path), harmless::path(place));
    format!("{path} is not looked at, as {why}: mv {path} {place}/")
}

/// The files of a folder with such names, sorted. A folder that cannot be read is told by whoever reads it.
fn named(folder: &Path, is: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let named =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| !name.starts_with('.') && is(name)));
    let mut paths: Vec<_> = named.map(|entry| entry.path()).collect();
    paths.sort();
    paths.truncate(TOLD_MAX);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_in_conf_d_and_config_among_plugins_are_told_with_where_they_belong() {
        let root = tempfile::tempdir().unwrap();
        let (drop_ins, plugins) = (root.path().join("conf.d"), root.path().join("plugins"));
        fs::create_dir(&drop_ins).unwrap();
        fs::create_dir(&plugins).unwrap();
        for path in [
            "conf.d/libperfwatch_ups.so",
            "conf.d/ups.toml",
            "conf.d/other.so",
            "plugins/ups.toml",
            "plugins/plugin.toml",
        ] {
            fs::write(root.path().join(path), "").unwrap();
        }
        let told = astray(&drop_ins, std::slice::from_ref(&plugins));
        let root = root.path().display();
        let expected = [
            format!(
                "{root}/conf.d/libperfwatch_ups.so is not looked at, as plugins are looked for in folders of plugins: mv {root}/conf.d/libperfwatch_ups.so {root}/plugins/"
            ),
            format!(
                "{root}/plugins/ups.toml is not looked at, as files of the configuration are read in conf.d: mv {root}/plugins/ups.toml {root}/conf.d/"
            ),
        ];
        assert_eq!(told, expected);
    }
}
