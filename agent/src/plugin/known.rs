//! One library, known before its code runs.
//!
//! Promises: a [`Known`] is a descriptor and what was read through it. Whether it may be loaded is asked apart ([`Known::may_be_loaded`]), so
//! that a plugin of another machine or of a stranger can still be shown. What is loaded is read once more from the very bytes that
//! are loaded, and refused if they say anything else than before.
//!
//! Cheap on purpose: a copy in memory is made by [`Known::loadable`], for what is really loaded.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, io};

use plugin_api::host_side::fault::{Sources, render_all};
use plugin_api::host_side::manifest::Manifest;

use super::digest::Sha256;
use super::elf::Elf;
use super::fault::{Fault, Problem};
use super::open::{self, Identity, Inode, OpenError, Opened};
use super::seal;
use super::trust::{Authority, Doubt, Ground, TrustError};

/// Where distributions install the plugins that come with the agent.
pub const SYSTEM_FOLDER: &str = "/usr/lib/perfwatch/plugins";

/// A plugin whose code has not run.
#[derive(Debug)]
pub struct Known {
    /// What its `plugin.toml` says, whose digest is in `elf`.
    pub manifest: Arc<Manifest>,
    /// Where it was found.
    pub path: PathBuf,
    /// Whether it came with the agent.
    pub origin: Origin,
    /// What its file says of itself.
    pub elf: Elf,
    opened: Opened,
}

/// Where a plugin is from, which decides how it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It came with the agent: loaded in place, as installers replace by a rename.
    Bundled,
    /// Anyone's: loaded from a sealed copy.
    Other,
}

/// The folders of what comes with the agent, by device and inode: that of its executable, and [`SYSTEM_FOLDER`].
#[derive(Debug, Clone, Default)]
pub struct Bundled(Vec<Inode>);

impl Bundled {
    /// Those of the running agent. One that is not there holds nothing.
    #[must_use]
    pub fn of_this_agent() -> Bundled {
        let beside = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
        Bundled::new(beside.into_iter().chain([PathBuf::from(SYSTEM_FOLDER)]))
    }

    /// These folders, for a test.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Bundled {
        Bundled(folders.into_iter().filter_map(|folder| Inode::of(&folder).ok()).collect())
    }

    /// Whether the opened file lies in one of them. Where a link is, does not matter: what it leads to is what is loaded.
    fn hold(&self, opened: &Opened) -> bool {
        let folder = opened.real_path.parent().and_then(|folder| Inode::of(folder).ok());
        let still_there = Inode::of(&opened.real_path).is_ok_and(|inode| inode == opened.identity.inode);
        still_there && folder.is_some_and(|folder| self.0.contains(&folder))
    }
}

impl Known {
    /// Whether this is what was read of the same file before, in the same state.
    #[must_use]
    pub fn is_unchanged(&self, before: &Known) -> bool {
        let of = |known: &Known| (known.opened.identity, known.origin);
        of(self) == of(before)
            && self.path == before.path
            && self.opened.real_path == before.opened.real_path
            && self.elf == before.elf
    }

    /// Opens a library and reads what it says of itself.
    ///
    /// # Errors
    /// The first check that it does not pass.
    pub fn read(path: &Path, bundled: &Bundled) -> Result<Known, Fault> {
        let fault = |problem| Fault { path: path.to_owned(), problem };
        let opened = open::open(path).map_err(|error| fault(error.into()))?;
        let (elf, text) = Elf::read(&*opened.file, opened.identity.size).map_err(|error| fault(error.into()))?;
        let text = text.as_deref().ok_or_else(|| fault(Problem::NoManifest))?;
        let text = std::str::from_utf8(text).map_err(|_| fault(Problem::ManifestIsNoText))?;
        let manifest = Manifest::parse(text)
            .map_err(|faults| fault(Problem::Manifest(render_all(&faults, &Sources::of("plugin.toml", text)))))?;
        Ok(Known {
            manifest: Arc::new(manifest),
            path: path.to_owned(),
            origin: if bundled.hold(&opened) { Origin::Bundled } else { Origin::Other },
            elf,
            opened,
        })
    }

    /// Whether this machine can run it, and nobody could have changed it who must not: what is left to doubt is in the warnings.
    ///
    /// # Errors
    /// Names both machines where they differ, or who could have changed what.
    pub fn may_be_loaded(&self, authority: &Authority) -> Result<Vec<Doubt>, Fault> {
        self.may_be_loaded_on(authority, &mut Ground::default())
    }

    /// The same of one of many: what is passed on the way to them is looked at once.
    ///
    /// # Errors
    /// As of [`Known::may_be_loaded`].
    pub fn may_be_loaded_on(&self, authority: &Authority, ground: &mut Ground) -> Result<Vec<Doubt>, Fault> {
        self.runs_here()?;
        let doubts = authority.judge(&self.path, &self.opened, ground).map_err(|error| self.untrusted(error))?;
        self.is_locked(authority, &self.opened.file, self.opened.identity.size)?;
        Ok(doubts)
    }

    fn runs_here(&self) -> Result<(), Fault> {
        self.elf.runs_here().map_err(|error| self.fault(error.into()))
    }

    /// Whether this file of so many bytes is the one that was locked, where that is asked.
    fn is_locked(&self, authority: &Authority, file: &File, bytes: u64) -> Result<(), Fault> {
        let Some(lock) = authority.lock() else { return Ok(()) };
        let admitted = lock.admit(&self.path, file, bytes);
        admitted.map_err(|error| self.fault(Problem::Lock { plugin: self.name().to_owned(), error }))
    }

    fn untrusted(&self, error: TrustError) -> Fault {
        self.fault(Problem::Trust { plugin: self.name().to_owned(), error })
    }

    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.manifest.plugin.name
    }

    /// The state that the file was in when it was opened.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.opened.identity
    }

    /// Whether the file behind the descriptor is in the state in which it was opened: nobody has written over it.
    #[must_use]
    pub fn is_as_it_was(&self) -> bool {
        self.opened.file.metadata().is_ok_and(|metadata| Identity::from(&metadata) == self.opened.identity)
    }

    /// The digest of the file that was checked, whatever lies at its path by now. Reads all of it: for the few of which something is on record.
    ///
    /// # Errors
    /// It cannot be read, or is shorter than it was.
    pub fn sha256(&self) -> io::Result<Sha256> {
        Sha256::of(&self.opened.file, self.opened.identity.size)
    }

    /// What the dynamic loader is to map: the file itself where it came with the agent, else a sealed copy, in memory or, where that is
    /// refused, in `state_folder`.
    ///
    /// # Errors
    /// It may not be loaded, no copy can be made, or its bytes are no longer those that were checked.
    pub fn loadable(&self, authority: &Authority, state_folder: &Path) -> Result<Loadable, Fault> {
        self.runs_here()?;
        // Warnings were told when it was found.
        let _told: Vec<Doubt> = authority.judge_again(&self.opened).map_err(|error| self.untrusted(error))?;
        let file = match self.origin {
            Origin::Bundled => {
                open::reopen(self.opened.file.as_fd()).map_err(|error| self.fault(OpenError::Open(error).into()))?
            }
            Origin::Other => {
                let name = self.path.file_name().unwrap_or_default().to_string_lossy();
                seal::copy(&self.opened.file, self.opened.identity.size, &name, state_folder)
                    .map_err(|error| self.fault(Problem::Seal(error)))?
            }
        };
        let size = file.metadata().map_err(|error| self.fault(OpenError::Open(error).into()))?.len();
        let (elf, _) = Elf::read(&file, size).map_err(|error| self.fault(error.into()))?;
        if elf != self.elf {
            return Err(self.fault(Problem::Changed));
        }
        self.is_locked(authority, &file, size)?;
        Ok(Loadable { file: Arc::new(file) })
    }

    /// The same plugin, that lets go of the file it was read from and goes by what is mapped: a file that was replaced long ago holds
    /// neither a descriptor nor a place on the disk.
    #[must_use]
    pub fn of_what_is_mapped(&self, mapped: &Loadable) -> Known {
        let Opened { identity, real_path, .. } = &self.opened;
        Known {
            manifest: Arc::clone(&self.manifest),
            path: self.path.clone(),
            origin: self.origin,
            elf: self.elf.clone(),
            opened: Opened { file: Arc::clone(&mapped.file), identity: *identity, real_path: real_path.clone() },
        }
    }

    fn fault(&self, problem: Problem) -> Fault {
        Fault { path: self.path.clone(), problem }
    }
}

/// A library in the form in which it is mapped.
#[derive(Debug)]
pub struct Loadable {
    file: Arc<File>,
}

impl Loadable {
    /// The path to give to dlopen. The descriptor behind it has to stay open until the process ends: the dynamic loader knows libraries by
    /// this name first, and under a reused number it would hand out the old library again.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        open::self_path(self.file.as_fd())
    }
}

impl Loadable {
    /// The digest of the bytes that are mapped. Reads all of them.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn sha256(&self) -> io::Result<Sha256> {
        Sha256::of(&self.file, self.file.metadata()?.len())
    }
}

/// For a child process, which inherits the descriptor.
impl AsFd for Loadable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::elf::Machine;
    use super::super::sample::{Sample, manifest};
    use super::*;

    fn library(folder: &Path, manifest: impl AsRef<[u8]>) -> PathBuf {
        let path = folder.join("libperfwatch_ups.so");
        fs::write(&path, Sample { manifest: Some(manifest.as_ref()), ..Sample::default() }.bytes()).unwrap();
        path
    }

    fn bytes(loadable: Loadable) -> Vec<u8> {
        fs::read(loadable.path()).unwrap()
    }

    #[test]
    fn plugin_is_known_by_the_name_in_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let known = Known::read(&library(folder.path(), manifest("ups")), &Bundled::default()).unwrap();
        assert_eq!((known.name(), known.elf.manifest), ("ups", Some(Sha256::of_bytes(manifest("ups").as_bytes()))));
    }

    #[test]
    fn manifest_that_cannot_be_read_is_a_fault_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let told = |manifest: &[u8]| {
            let path = library(folder.path(), manifest);
            let told = Known::read(&path, &Bundled::default()).unwrap_err().to_string();
            told.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
        };
        assert!(told(b"\xff").contains("not UTF-8"));
        assert!(told(b"= 1").starts_with("plugin.toml:1:"));
        assert!(told(manifest("Ups").as_bytes()).starts_with("plugin.toml:"), "no name");
    }

    #[test]
    fn what_lies_in_a_bundled_folder_is_bundled_however_it_is_named() {
        let (bundled, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ours = Bundled::new([bundled.path().to_owned(), PathBuf::from("/nowhere")]);
        let path = library(bundled.path(), manifest("ups"));
        let (link, folder) = (other.path().join("link.so"), other.path().join("folder"));
        symlink(&path, &link).unwrap();
        symlink(bundled.path(), &folder).unwrap();
        for path in [&path, &link, &folder.join("libperfwatch_ups.so")] {
            assert_eq!(Known::read(path, &ours).unwrap().origin, Origin::Bundled, "{}", path.display());
        }
    }

    #[test]
    fn link_in_a_bundled_folder_does_not_make_its_target_bundled() {
        let (bundled, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = bundled.path().join("link.so");
        symlink(library(other.path(), manifest("ups")), &link).unwrap();
        let known = Known::read(&link, &Bundled::new([bundled.path().to_owned()])).unwrap();
        assert_eq!(known.origin, Origin::Other);
    }

    #[test]
    fn others_are_loaded_from_a_copy_and_the_bundled_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = library(folder.path(), manifest("ups"));
        let inode = |loadable: &Loadable| Inode::from(&fs::metadata(open::self_path(loadable.as_fd())).unwrap());
        let other = Known::read(&path, &Bundled::default()).unwrap();
        let bundled = Known::read(&path, &Bundled::new([folder.path().to_owned()])).unwrap();
        let (copy, in_place) = (
            other.loadable(&Authority::of_this_agent(), folder.path()).unwrap(),
            bundled.loadable(&Authority::of_this_agent(), folder.path()).unwrap(),
        );
        assert_ne!(inode(&copy), other.identity().inode);
        assert_eq!(inode(&in_place), bundled.identity().inode);
        assert_eq!(bytes(copy), fs::read(&path).unwrap());
        assert_eq!(bytes(in_place), fs::read(&path).unwrap());
    }

    #[test]
    fn library_replaced_by_a_rename_is_loaded_as_it_was_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = library(folder.path(), manifest("ups"));
        let (known, before) = (Known::read(&path, &Bundled::default()).unwrap(), fs::read(&path).unwrap());
        fs::write(folder.path().join("new"), "new").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(bytes(known.loadable(&Authority::of_this_agent(), folder.path()).unwrap()), before);
    }

    #[test]
    fn digest_is_of_the_file_that_was_checked_and_not_of_what_took_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = library(folder.path(), manifest("ups"));
        let known = Known::read(&path, &Bundled::default()).unwrap();
        let before = known.sha256().unwrap();
        fs::write(folder.path().join("new"), "new").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(known.sha256().unwrap(), before);
        library(folder.path(), manifest("usv"));
        assert_ne!(Known::read(&path, &Bundled::default()).unwrap().sha256().unwrap(), before);
    }

    #[test]
    fn library_written_over_since_it_was_checked_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for ours in [Bundled::default(), Bundled::new([folder.path().to_owned()])] {
            let known = Known::read(&library(folder.path(), manifest("ups")), &ours).unwrap();
            library(folder.path(), manifest("usv"));
            let told = known.loadable(&Authority::of_this_agent(), folder.path()).unwrap_err().to_string();
            assert!(told.contains("written since it was checked"), "{told}");
        }
    }

    #[test]
    fn library_of_another_machine_is_known_and_never_loadable() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = if Machine::HERE == Machine(183) { 62 } else { 183 };
        let path = folder.path().join("libperfwatch_ups.so");
        fs::write(
            &path,
            Sample { machine: foreign, manifest: Some(manifest("ups").as_bytes()), ..Sample::default() }.bytes(),
        )
        .unwrap();
        let known = Known::read(&path, &Bundled::default()).unwrap();
        assert_eq!(known.name(), "ups");
        assert!(
            known
                .loadable(&Authority::of_this_agent(), folder.path())
                .unwrap_err()
                .to_string()
                .contains(": built for ")
        );
    }
}
