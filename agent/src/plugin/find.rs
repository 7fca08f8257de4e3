//! Looks for plugins in their folders. [E readdir]
//!
//! Promises: the same files give the same result in the same order, whatever the order in which a folder lists them; each candidate
//! is either used, at fault, shadowed or passed over, and each is told. No code of a plugin runs.
//!
//! A library is `*.so`. One without the section `.perfwatch` is someone else's and passed over, unless its name says that it
//! should be a plugin. Hidden files are what installers write before they rename; as for a shell's `*.so`, they are not there.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs, io};

use super::fault::{Fault, Problem};
use super::known::{Bundled, Known, SYSTEM_FOLDER};
use super::open::Inode;
use super::trust::{Authority, Doubt, Ground};

/// Most libraries in one folder: four times as many plugins as were ever loaded at once, and twice `/usr/lib` of a desktop, named by mistake.
const LIBRARIES_MAX: usize = 4096;
/// A library so named is meant to be a plugin.
pub(super) const PREFIX: &str = "libperfwatch_";

/// A folder to look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the operator named it: then it has to be there.
    pub named: bool,
}

/// A plugin that is not used because another of its name came first.
#[derive(Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// The name of both.
    pub name: String,
    /// The library that is not used.
    pub path: PathBuf,
    /// The one that is.
    pub by: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// One for each name, in the order in which they were found.
    pub plugins: Vec<Arc<Known>>,
    /// Libraries that should be plugins and are not, and folders that could not be searched.
    pub faults: Vec<Fault>,
    /// Good ones that came second.
    pub shadowed: Vec<Shadowed>,
    /// Of the plugins in use, what others could change.
    pub doubts: Vec<Doubt>,
    /// Libraries that are nobody's plugin, each with what is missing.
    pub passed_over: Vec<Fault>,
    /// The folders that were searched, those of the system whether they are there or not: a plugin could be put there.
    pub searched: Vec<PathBuf>,
}

/// The folders in their order: those of `agent.plugin_dirs`, the executable's, and the two of the system.
#[must_use]
pub fn folders(plugin_dirs: &[PathBuf]) -> Vec<Folder> {
    let named = plugin_dirs.iter().map(|path| Folder { path: path.clone(), named: true });
    let beside = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let system = ["/usr/local/lib/perfwatch/plugins", SYSTEM_FOLDER].map(PathBuf::from);
    let own = beside.into_iter().chain(system).map(|path| Folder { path, named: false });
    named.chain(own).collect()
}

/// Looks through the folders. A folder that comes twice counts once.
#[must_use]
pub fn find(folders: &[Folder], bundled: &Bundled, authority: &Authority) -> Found {
    let (mut found, mut seen, mut ground) = (Found::default(), HashSet::new(), Ground::default());
    for Folder { path: folder, named } in folders {
        match Inode::of(folder) {
            Ok(inode) if !seen.insert(inode) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => {
                found.searched.push(folder.clone());
                continue;
            }
            // An error of its own is met again where the folder is read, and told there.
            Ok(_) | Err(_) => {}
        }
        match libraries(folder) {
            Ok(names) => {
                found.searched.push(folder.clone());
                for name in names {
                    let should_be_ours = name.as_bytes().starts_with(PREFIX.as_bytes());
                    let known = Known::read(&folder.join(&name), bundled);
                    let known = known.and_then(|known| Ok((known.may_be_loaded_on(authority, &mut ground)?, known)));
                    found.take(known, should_be_ours);
                }
            }
            Err(problem) => found.faults.push(Fault { path: folder.clone(), problem }),
        }
    }
    found
}

impl Found {
    /// Of files that are being written what was known of them before holds: what can be read of them now says nothing.
    pub(crate) fn leave(&mut self, unfinished: &[(PathBuf, Option<Arc<Known>>)]) {
        let is_unfinished = |path: &Path| unfinished.iter().any(|(other, _)| other == path);
        self.faults.retain(|fault| !is_unfinished(&fault.path));
        self.plugins.retain(|known| !is_unfinished(&known.path));
        self.plugins.extend(unfinished.iter().filter_map(|(_, before)| before.clone()));
    }

    /// Of those that are at fault now, and there all the same, what was known of them before holds; the fault stands.
    pub(crate) fn keep(&mut self, before: &[Arc<Known>]) {
        for known in before {
            // What was a plugin is meant to be one, by whatever name.
            let meant = self.passed_over.extract_if(.., |fault| fault.path == known.path);
            self.faults.extend(meant);
            let is_faulty = self.faults.iter().any(|fault| fault.path == known.path);
            if is_faulty && !self.plugins.iter().any(|other| other.name() == known.name()) {
                self.plugins.push(Arc::clone(known));
            }
        }
    }

    /// What is wrong with this file, if it is there and no plugin can be had of it.
    pub(crate) fn fault(&self, path: &Path) -> Option<&Fault> {
        self.faults.iter().chain(&self.passed_over).find(|fault| fault.path == path)
    }

    fn take(&mut self, known: Result<(Vec<Doubt>, Known), Fault>, should_be_ours: bool) {
        match known {
            Ok((doubts, known)) => match self.plugins.iter().find(|first| first.name() == known.name()) {
                Some(first) => {
                    self.shadowed.push(Shadowed {
                        name: known.name().to_owned(),
                        path: known.path,
                        by: first.path.clone(),
                    });
                }
                None => {
                    for doubt in doubts {
                        // A folder's is the same for all in it.
                        if !self.doubts.iter().any(|told| told.covers(&doubt)) {
                            self.doubts.push(doubt);
                        }
                    }
                    self.plugins.push(Arc::new(known));
                }
            },
            Err(fault) if should_be_ours || fault.problem.is_of_a_plugin() => self.faults.push(fault),
            Err(fault) => self.passed_over.push(fault),
        }
    }
}

/// Names of the libraries in a folder, sorted.
fn libraries(folder: &Path) -> Result<Vec<OsString>, Problem> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(Problem::Folder)? {
        let name = entry.map_err(Problem::Folder)?.file_name();
        if !name.as_bytes().ends_with(b".so") || name.as_bytes().starts_with(b".") {
            continue;
        }
        if names.len() == LIBRARIES_MAX {
            // All or none: which ones come first is up to the file system.
            return Err(Problem::TooManyLibraries { max: LIBRARIES_MAX });
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::elf::Machine;
    use super::super::sample::{Sample, manifest};
    use super::*;

    fn plugin(name: &str) -> Vec<u8> {
        Sample { manifest: Some(manifest(name).as_bytes()), ..Sample::default() }.bytes()
    }

    fn search(folders: &[&Path]) -> Found {
        let folders: Vec<_> = folders.iter().map(|path| Folder { path: path.to_path_buf(), named: true }).collect();
        find(&folders, &Bundled::default(), &Authority::of_this_agent())
    }

    fn names(found: &Found) -> Vec<&str> {
        found.plugins.iter().map(|known| known.name()).collect()
    }

    fn files(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|fault| fault.path.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn plugins_come_in_order_of_folders_and_then_of_file_names() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(first.path().join("z.so"), plugin("zebra")).unwrap();
        fs::write(first.path().join("b.so"), plugin("bee")).unwrap();
        fs::write(second.path().join("a.so"), plugin("ape")).unwrap();
        assert_eq!(names(&search(&[first.path(), second.path()])), ["bee", "zebra", "ape"]);
        assert_eq!(names(&search(&[second.path(), first.path()])), ["ape", "bee", "zebra"]);
    }

    #[test]
    fn second_plugin_of_a_name_is_shadowed_and_told() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (used, unused) = (first.path().join("one.so"), second.path().join("two.so"));
        fs::write(&used, plugin("ups")).unwrap();
        fs::write(&unused, plugin("ups")).unwrap();
        let found = search(&[first.path(), second.path()]);
        assert_eq!(found.plugins[0].path, used);
        assert_eq!(found.shadowed, [Shadowed { name: "ups".into(), path: unused, by: used }]);
    }

    #[test]
    fn faulty_plugin_does_not_shadow_a_good_one() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let whole = plugin("ups");
        let foreign = if Machine::HERE == Machine(183) { 62 } else { 183 };
        let manifest = manifest("ups");
        let manifest = Some(manifest.as_bytes());
        fs::write(first.path().join("a.so"), Sample { machine: foreign, manifest, ..Sample::default() }.bytes())
            .unwrap();
        fs::write(first.path().join("libperfwatch_b.so"), &whole[..whole.len() - 1]).unwrap();
        fs::write(second.path().join("c.so"), &whole).unwrap();
        let found = search(&[first.path(), second.path()]);
        assert_eq!(found.plugins[0].path, second.path().join("c.so"));
        assert_eq!(files(&found.faults), ["a.so", "libperfwatch_b.so"]);
        assert!(found.shadowed.is_empty() && found.passed_over.is_empty());
    }

    #[test]
    fn other_libraries_are_passed_over_unless_their_name_says_plugin() {
        let folder = tempfile::tempdir().unwrap();
        for prefix in ["", "libperfwatch_"] {
            let at = |name: &str| folder.path().join(format!("{prefix}{name}.so"));
            fs::write(at("other"), Sample { manifest: None, ..Sample::default() }.bytes()).unwrap();
            fs::write(at("script"), "INPUT(libc.so.6)").unwrap();
            symlink("nowhere", at("dangling")).unwrap();
            fs::create_dir(at("folder")).unwrap();
        }
        let found = search(&[folder.path()]);
        assert_eq!(files(&found.passed_over), ["dangling.so", "folder.so", "other.so", "script.so"]);
        assert_eq!(
            files(&found.faults),
            ["dangling", "folder", "other", "script"].map(|name| format!("libperfwatch_{name}.so"))
        );
        assert!(found.faults[2].to_string().contains("no section .perfwatch: another library"));
        assert!(found.plugins.is_empty());
    }

    #[test]
    fn broken_manifest_is_a_fault_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let broken = Sample { manifest: Some(b"= 1"), ..Sample::default() }.bytes();
        fs::write(folder.path().join("ups.so"), broken).unwrap();
        assert_eq!(files(&search(&[folder.path()]).faults), ["ups.so"]);
    }

    #[test]
    fn hidden_files_and_other_endings_are_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".libperfwatch_a.so", "libperfwatch_a.so.1", "libperfwatch_a.so.dpkg-new", "libperfwatch_a"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = search(&[folder.path()]);
        assert!(found.faults.is_empty() && found.passed_over.is_empty());
    }

    #[test]
    fn plugins_in_a_folder_that_others_may_write_are_told_once_or_refused_each() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ups", "usv"] {
            fs::write(folder.path().join(name).with_extension("so"), plugin(name)).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let folders = [Folder { path: folder.path().to_owned(), named: true }];
        let look = |authority: &Authority| find(&folders, &Bundled::default(), authority);
        let relaxed = look(&Authority::of_this_agent().relaxed(true));
        let told: Vec<_> = relaxed.doubts.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("is writable by everyone (0777)"), "{told:?}");
        assert_eq!(names(&relaxed), ["ups", "usv"]);
        // Another user than root is only warned.
        let strict = look(&Authority::of_this_agent().in_service());
        assert!(strict.plugins.is_empty() && strict.doubts.is_empty());
        let refused: Vec<_> = strict.faults.iter().map(ToString::to_string).collect();
        assert_eq!(refused.len(), 2);
        assert!(refused[1].starts_with("usv: not loaded: /") && refused[1].contains(" is writable by everyone (0777)"));
    }

    #[test]
    fn refused_plugin_does_not_shadow_a_good_one() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&first, &second] {
            fs::write(folder.path().join("ups.so"), plugin("ups")).unwrap();
        }
        fs::set_permissions(first.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let folders = [&first, &second].map(|folder| Folder { path: folder.path().to_owned(), named: true });
        let found = find(&folders, &Bundled::default(), &Authority::of_this_agent().in_service());
        assert_eq!(found.plugins[0].path, second.path().join("ups.so"));
        assert_eq!((found.faults.len(), found.shadowed.len()), (1, 0));
    }

    #[test]
    fn folder_that_comes_twice_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let link = tempfile::tempdir().unwrap();
        symlink(folder.path(), link.path().join("again")).unwrap();
        fs::write(folder.path().join("a.so"), plugin("a")).unwrap();
        let found = search(&[folder.path(), &link.path().join("again"), folder.path()]);
        assert_eq!(found.searched, [folder.path()]);
        assert!(found.shadowed.is_empty());
    }

    #[test]
    fn only_a_folder_that_was_named_has_to_be_there() {
        let at = |named| {
            find(&[Folder { path: "/nowhere".into(), named }], &Bundled::default(), &Authority::of_this_agent()).faults
        };
        assert!(at(false).is_empty());
        let found =
            find(&[Folder { path: "/nowhere".into(), named: false }], &Bundled::default(), &Authority::of_this_agent());
        assert_eq!(found.searched, [Path::new("/nowhere")]);
        assert_eq!(at(true)[0].to_string(), "/nowhere: could not search the folder for plugins");
    }

    #[test]
    fn folder_with_too_many_libraries_is_refused_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.so"), plugin("a")).unwrap();
        for number in 0..LIBRARIES_MAX {
            symlink("a.so", folder.path().join(format!("{number}.so"))).unwrap();
        }
        let found = search(&[folder.path()]);
        assert!(found.plugins.is_empty());
        assert!(found.faults[0].to_string().contains("more than 4096 libraries"));
    }

    #[test]
    fn named_folders_come_first_then_the_executables_and_the_systems() {
        let folders = folders(&["/opt/plugins".into()]);
        assert_eq!(folders[0], Folder { path: "/opt/plugins".into(), named: true });
        assert_eq!(Some(folders[1].path.as_path()), env::current_exe().unwrap().parent());
        assert_eq!(folders[2].path, Path::new("/usr/local/lib/perfwatch/plugins"));
        assert_eq!(folders[3].path, Path::new("/usr/lib/perfwatch/plugins"));
        assert!(folders[1..].iter().all(|folder| !folder.named));
    }
}
