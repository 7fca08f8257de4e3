//! Where the sources of `plugin-api` are that a new plugin in Rust is built with. [E read]
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plugin_api::CONTRACT;

use crate::harmless;

/// The sources, looked at.
#[derive(Debug)]
pub(super) struct Api {
    /// From `/` on.
    pub(super) path: String,
    /// The `Cargo.lock` of its workspace, where there is one: with it cargo takes the versions that this machine has already.
    pub(super) lock: Option<String>,
}

/// Why they cannot be used.
#[derive(Debug)]
pub(super) enum ApiError {
    Gone(PathBuf),
    Unreadable(PathBuf, io::Error),
    NoManifest(PathBuf, Box<toml::de::Error>),
    Another(PathBuf),
    Above(PathBuf),
    Contract(PathBuf, String),
    NoText(PathBuf),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &Path| harmless::path(path).to_string();
        match self {
            ApiError::Gone(path) => write!(
                f,
                "the sources that this agent was built from are not in {} any more: name the folder `plugin-api` of a clone, --api PATH",
                shown(path)
            ),
            ApiError::Unreadable(path, _) => write!(
                f,
                "could not read {}: --api is to name the folder `plugin-api` of PerfWatch's sources",
                shown(path)
            ),
            ApiError::NoManifest(path, _) => write!(f, "{} is no manifest of cargo", shown(path)),
            ApiError::Another(path) => write!(
                f,
                "{} is not the package plugin-api: --api is to name the folder `plugin-api` of PerfWatch's sources",
                shown(path)
            ),
            ApiError::Above(path) => write!(f, "plugin-api is a folder deeper: --api {}", harmless::word(path)),
            ApiError::Contract(path, version) => write!(
                f,
                "{} has contract {version}, and this agent speaks {}.{}: --api is to name sources of the same",
                shown(path),
                CONTRACT >> 16,
                CONTRACT & 0xffff
            ),
            ApiError::NoText(path) => write!(
                f,
                "{} is not UTF-8, which a Cargo.toml has to be: move it, or link to it from elsewhere",
                shown(path)
            ),
        }
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ApiError::Unreadable(_, cause) => Some(cause),
            ApiError::NoManifest(_, cause) => Some(cause),
            _ => None,
        }
    }
}

/// The sources that were named, else those that this agent was built from.
///
/// # Errors
/// They are not there, are another package, or have another contract.
pub(super) fn find(named: Option<&Path>) -> Result<Api, ApiError> {
    match named {
        Some(path) => look_at(path),
        None => {
            // As it was when this was compiled.
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("plugin-api");
            if path.is_dir() { look_at(&path) } else { Err(ApiError::Gone(path)) }
        }
    }
}

fn look_at(folder: &Path) -> Result<Api, ApiError> {
    let folder = folder.canonicalize().map_err(|cause| ApiError::Unreadable(folder.to_owned(), cause))?;
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(|cause| ApiError::Unreadable(manifest.clone(), cause))?;
    let table: toml::Table = text.parse().map_err(|cause| ApiError::NoManifest(manifest.clone(), Box::new(cause)))?;
    let of_package = |key: &str| table.get("package")?.get(key)?.as_str();
    if of_package("name") != Some("plugin-api") {
        let below = folder.join("plugin-api");
        return Err(if below.join("Cargo.toml").exists() {
            ApiError::Above(below)
        } else {
            ApiError::Another(manifest)
        });
    }
    // Its version is that of the contract, whose promise is of a major one.
    let version = of_package("version").unwrap_or("none");
    if version.split('.').next().and_then(|major| major.parse().ok()) != Some(CONTRACT >> 16) {
        return Err(ApiError::Contract(folder, version.to_owned()));
    }
    let lock = folder.with_file_name("Cargo.lock");
    let lock = match fs::read_to_string(&lock) {
        Ok(text) => Some(text),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => return Err(ApiError::Unreadable(lock, cause)),
    };
    match folder.into_os_string().into_string() {
        Ok(path) => Ok(Api { path, lock }),
        Err(path) => Err(ApiError::NoText(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    /// What is said of a folder with this manifest.
    fn said(manifest: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        let root = folder.path().canonicalize().unwrap();
        find(Some(folder.path())).unwrap_err().to_string().replace(&*root.to_string_lossy(), "…")
    }

    #[test]
    fn sources_that_the_agent_was_built_from_are_found_with_their_lock() {
        let api = find(None).unwrap();
        assert!(api.path.ends_with("/plugin-api") && api.lock.unwrap().contains("name = \"abi_stable\""));
    }

    #[test]
    fn what_is_not_plugin_api_is_refused_with_what_is() {
        assert!(said("x").starts_with("…/Cargo.toml is no manifest of cargo"));
        assert!(said("[package]\nname = \"x\"\n").starts_with("…/Cargo.toml is not the package plugin-api"));
        let other = "[package]\nname = \"plugin-api\"\nversion = \"2.0.1\"\n";
        assert!(said(other).starts_with("… has contract 2.0.1, and this agent speaks 1.0"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let above = find(Some(root)).unwrap_err().to_string();
        assert!(above.starts_with("plugin-api is a folder deeper: --api /"), "{above}");
    }

    #[test]
    fn folder_whose_name_is_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(std::ffi::OsStr::from_bytes(b"a\xff"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("Cargo.toml"), "[package]\nname = \"plugin-api\"\nversion = \"1.0.0\"\n").unwrap();
        assert!(matches!(find(Some(&path)), Err(ApiError::NoText(_))));
    }
}
