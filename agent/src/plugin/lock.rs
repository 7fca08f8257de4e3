//! `plugins.lock`: what may be loaded where `agent.require_lock` says so, each library by its path and by what is in it.
//!
//! It lies beside the config and is written by `perfwatch plugins lock` alone, for an operator who looks at what changed before a
//! host runs it; so it is TOML in the order of paths, and two of them differ in what differs. Version, contract and schema of a plugin
//! stand in it to say what a change is about. What is held to is the digest: of the very bytes that are mapped, which is the sealed copy
//! where there is one.
//!
//! Who writes it decides what is loaded: it is judged as a library is ([`super::trust`]). Promises that a lock which is missing, not
//! to be believed or no lock admits nothing.
//!
//! Pure but for [`store`].
#![forbid(unsafe_code)]

mod held;
mod schema;
pub mod store;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::{error, fmt, io};

use plugin_api::host_side::options::OptionValue;
use serde::Deserialize;

pub use self::held::Held;
use self::store::ReadError;
use super::digest::Sha256;
use super::known::Known;
use crate::harmless;

/// Its name, in the folder of the config.
pub const NAME: &str = "plugins.lock";

/// How it is written. Another version is another meaning of the entries.
const VERSION: u32 = 1;

const HEAD: &str = "\
# What may be loaded where agent.require_lock is set: nothing else, and these only with these bytes.
# Written by `perfwatch plugins lock`, which shows what changed.
";

/// Everything that may be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    #[serde(rename = "version")]
    form: u32,
    #[serde(rename = "plugin", default)]
    entries: Vec<Entry>,
}

/// A library.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Of the plugin.
    pub name: String,
    /// Where it is found, from the root; links are not followed in it.
    pub path: PathBuf,
    /// Of the file.
    pub sha256: Sha256,
    /// The plugin's own.
    pub version: Option<String>,
    /// That it was written for.
    pub contract: String,
    /// Of what it declares: its options and metrics.
    pub schema: Sha256,
}

/// Why a library is not admitted.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// There is no lock.
    Missing {
        /// Where it is looked for.
        lock: PathBuf,
        /// What writes it.
        command: String,
    },
    /// The lock cannot be used.
    Unusable {
        /// Its path.
        lock: PathBuf,
        /// What writes it anew.
        command: String,
        /// Why.
        cause: Arc<ReadError>,
    },
    /// It is not in the lock.
    NotIn {
        /// Its path.
        path: PathBuf,
        /// The lock's.
        lock: PathBuf,
        /// What writes the lock anew.
        command: String,
    },
    /// It has other bytes than those that were locked.
    Differs {
        /// Its path.
        path: PathBuf,
        /// The lock's.
        lock: PathBuf,
        /// What writes the lock anew.
        command: String,
        /// What is in the lock.
        locked: Sha256,
        /// What is there.
        here: Sha256,
    },
    /// Its bytes cannot be read.
    Read(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Missing { lock, command } => {
                let lock = harmless::path(lock);
                write!(f, "agent.require_lock is set, and there is no {lock}; to write it: {command}")
            }
            LockError::Unusable { lock, command, cause } => match **cause {
                // To write it anew where others may write changes nothing.
                ReadError::Trust(_) => write!(f, "{} is not believed", harmless::path(lock)),
                _ => write!(f, "{} cannot be used (to write it anew: {command})", harmless::path(lock)),
            },
            LockError::NotIn { path, lock, command } => {
                let (path, lock) = (harmless::path(path), harmless::path(lock));
                write!(f, "{path} is not in {lock}; to admit it once it has been looked at: {command}")
            }
            LockError::Differs { path, lock, command, locked, here } => {
                let (path, lock) = (harmless::path(path), harmless::path(lock));
                let (locked, here) = (locked.short(), here.short());
                write!(
                    f,
                    "{path} has changed since it was locked: its SHA-256 begins with {here}, in {lock} with {locked}; \
                     to admit it once it has been looked at: {command}"
                )
            }
            LockError::Read(_) => f.write_str("could not read it to compare it with plugins.lock"),
        }
    }
}

impl error::Error for LockError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            LockError::Read(source) => Some(source),
            LockError::Unusable { cause, .. } => Some(&**cause),
            _ => None,
        }
    }
}

impl Lock {
    /// Of these plugins, as they are now. Reads all of each.
    ///
    /// # Errors
    /// One cannot be read, or has a path that no text file can hold.
    pub fn of<'a>(plugins: impl IntoIterator<Item = &'a Arc<Known>>) -> io::Result<Lock> {
        let mut entries = plugins.into_iter().map(|known| Entry::of(known)).collect::<io::Result<Vec<_>>>()?;
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        // One library may be found in a folder and named by its path.
        entries.dedup();
        Ok(Lock { form: VERSION, entries })
    }

    /// What a lock file says.
    ///
    /// # Errors
    /// It is none: what is wrong, on one line.
    pub fn parse(text: &str) -> Result<Lock, String> {
        let fault = |error: toml::de::Error| {
            let at = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            format!("line {at}: {}", error.message().lines().next().unwrap_or_default())
        };
        let lock: Lock = toml::from_str(text).map_err(fault)?;
        if lock.form == VERSION { Ok(lock) } else { Err(format!("version {}, not {VERSION}", lock.form)) }
    }

    /// As a lock file says it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}version = {}\n", self.form);
        for entry in &self.entries {
            text.push_str("\n[[plugin]]\n");
            let mut key = |key: &str, value: &str| {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{key} = {}", OptionValue::Text(value.to_owned()).toml());
            };
            key("name", &entry.name);
            key("path", &entry.path.to_string_lossy());
            key("sha256", &entry.sha256.to_string());
            if let Some(version) = &entry.version {
                key("version", version);
            }
            key("contract", &entry.contract);
            key("schema", &entry.schema.to_string());
        }
        text
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing may be loaded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is other than it was, a line for each library.
    #[must_use]
    pub fn compare(&self, old: &Lock) -> Vec<String> {
        let was = |entry: &Entry| old.entry(&entry.path);
        let added =
            self.entries.iter().filter(|entry| was(entry).is_none()).map(|entry| format!("added    {}", entry.about()));
        let gone = old.entries.iter().filter(|entry| self.entry(&entry.path).is_none());
        let gone = gone.map(|entry| format!("gone     {}", entry.about()));
        let changed = self.entries.iter().filter_map(|entry| {
            let changes = entry.changes(was(entry)?);
            (!changes.is_empty()).then(|| format!("changed  {}: {}", entry.about(), changes.join(", ")))
        });
        added.chain(gone).chain(changed).collect()
    }

    fn entry(&self, path: &Path) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path == path)
    }
}

impl Entry {
    fn of(known: &Known) -> io::Result<Entry> {
        let path = absolute(&known.path)?;
        let fail = |cause: io::Error| io::Error::new(cause.kind(), format!("{}: {cause}", harmless::path(&path)));
        if path.to_str().is_none() {
            return Err(fail(io::Error::other("its path is not UTF-8, and no lock can name it")));
        }
        let manifest = &known.manifest;
        Ok(Entry {
            name: known.name().to_owned(),
            sha256: known.sha256().map_err(fail)?,
            version: manifest.plugin.version.clone(),
            contract: manifest.contract.to_string(),
            schema: schema::digest(manifest),
            path,
        })
    }

    fn about(&self) -> String {
        format!("{} ({})", self.name, harmless::path(&self.path))
    }

    fn changes(&self, old: &Entry) -> Vec<String> {
        let mut changes = Vec::new();
        let mut word = |what: &str, was: &str, is: &str| {
            if was != is {
                changes.push(format!("{what} {was} → {is}"));
            }
        };
        word("name", &old.name, &self.name);
        word("version", old.version.as_deref().unwrap_or("none"), self.version.as_deref().unwrap_or("none"));
        word("contract", &old.contract, &self.contract);
        if old.schema != self.schema {
            changes.push("its options or metrics".to_owned());
        }
        if old.sha256 != self.sha256 {
            let only = if changes.is_empty() { "only its bytes: " } else { "" };
            changes.push(format!("{only}SHA-256 {}… → {}…", old.sha256.short(), self.sha256.short()));
        }
        changes
    }
}
