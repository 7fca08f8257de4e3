//! The way to a file, walked from "/" on descriptors. [E openat, fstat, readlinkat, getxattr]
//!
//! The kernel follows a path and tells what it ended at, not what it passed. Here each name is opened by itself, below the descriptor of the
//! folder before it and without following it; a link is read and followed by hand. So what is judged is each folder and each link that
//! was really passed, whatever is renamed meanwhile: a name that leads elsewhere by now ends at another file, which whoever walks
//! compares with the one that it has open.
//!
//! Cheap: the way to a folder is walked once for all libraries in it ([`Ground`]).
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf, absolute};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::super::open::{Inode, self_path};
use super::TrustError;
use super::names::Names;

/// As many as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// What every access list of POSIX is kept in.
const ACL: &str = "system.posix_acl_access";

/// A folder or a link that was passed, or the file.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Where it lies, no link in it.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) inode: Inode,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// With the bits of the kind.
    pub(super) mode: u32,
    /// Whether a list of its own says who else may write it. Asked only where the group may.
    pub(super) has_acl: bool,
    /// Whether it lies above the file itself, and not only on the way to a link.
    pub(super) is_above: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
}

/// What was seen in one look at the plugins: ways to their folders, and the machine's users.
#[derive(Debug, Default)]
pub struct Ground {
    folders: HashMap<PathBuf, Way>,
    names: OnceCell<Names>,
}

impl Ground {
    /// All that is passed on the way to the file, which is the last.
    pub(super) fn way_to(&mut self, path: &Path) -> Result<Vec<Step>, TrustError> {
        let look = |source| TrustError::Look { path: path.to_owned(), source };
        let path = absolute(path).map_err(look)?;
        if let (Some(folder), Some(Component::Normal(name))) = (path.parent(), path.components().next_back()) {
            if !self.folders.contains_key(folder) {
                let mut way = Way::from_root()?;
                way.follow(folder)?;
                self.folders.insert(folder.to_owned(), way);
            }
            let way = &self.folders[folder];
            let (_, step) = way.look_at(name)?;
            if step.kind == Kind::File {
                return Ok(way.steps.iter().cloned().chain([step]).collect());
            }
        }
        let mut way = Way::from_root()?;
        way.follow(&path)?;
        Ok(way.steps)
    }

    #[cfg(test)]
    pub(super) fn of(names: Names) -> Ground {
        Ground { names: OnceCell::from(names), ..Ground::default() }
    }

    /// The machine's users and groups, read when they are first asked for.
    pub(super) fn names(&self) -> &Names {
        self.names.get_or_init(Names::read)
    }
}

impl Step {
    /// Of an open file or folder, or of a link that was opened without following it.
    pub(super) fn of(place: impl AsFd, path: PathBuf) -> io::Result<Step> {
        let stat = rustix::fs::fstat(&place)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::File,
        };
        // None, none here (ENOTSUP), or not to be known: then the mode is all there is to judge by.
        let acl = || rustix::fs::getxattr_query(self_path(place.as_fd()), ACL).is_ok();
        Ok(Step {
            path,
            kind,
            inode: Inode { device: stat.st_dev, number: stat.st_ino },
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode,
            has_acl: kind != Kind::Link && stat.st_mode & Mode::WGRP.bits() != 0 && acl(),
            is_above: kind != Kind::Link,
        })
    }
}

/// As far as it was walked.
#[derive(Debug)]
struct Way {
    steps: Vec<Step>,
    /// The folders that lead to where it stands, from "/" on, with their places among the steps.
    folders: Vec<(OwnedFd, usize)>,
}

impl Way {
    fn from_root() -> Result<Way, TrustError> {
        let path = PathBuf::from("/");
        let failed = |source| TrustError::Look { path: PathBuf::from("/"), source };
        let root = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let root = root.map_err(|errno| failed(errno.into()))?;
        let step = Step::of(&root, path).map_err(failed)?;
        Ok(Way { steps: vec![step], folders: vec![(root, 0)] })
    }

    /// Goes on along a path.
    fn follow(&mut self, path: &Path) -> Result<(), TrustError> {
        let (mut left, mut links) = (Vec::new(), 0);
        self.prepend(path, &mut left);
        while let Some(name) = left.pop() {
            let failed = |errno: Errno| Err(TrustError::Look { path: path.to_owned(), source: errno.into() });
            if name == ".." {
                self.up_to(self.folders.len() - 1);
                continue;
            }
            let (place, step) = self.look_at(&name)?;
            let (kind, at) = (step.kind, self.steps.len());
            self.steps.push(step);
            match kind {
                Kind::Folder => self.folders.push((place, at)),
                Kind::File if left.is_empty() => {}
                Kind::File => return failed(Errno::NOTDIR),
                Kind::Link => {
                    links += 1;
                    if links > LINKS_MAX {
                        return failed(Errno::LOOP);
                    }
                    match rustix::fs::readlinkat(&place, "", Vec::new()) {
                        Ok(target) => self.prepend(Path::new(&OsString::from_vec(target.into_bytes())), &mut left),
                        Err(errno) => return failed(errno),
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts the names of a path before those that are left, which stand in reverse. An absolute one begins anew.
    fn prepend(&mut self, path: &Path, left: &mut Vec<OsString>) {
        if path.is_absolute() {
            self.up_to(1);
        }
        let is_name = |component: &Component<'_>| matches!(component, Component::Normal(_) | Component::ParentDir);
        let names = path.components().filter(is_name).map(|component| component.as_os_str().to_owned());
        let at = left.len();
        left.extend(names);
        left[at..].reverse();
    }

    /// Goes up to the folder that has so many in its path; "/" is its own parent.
    fn up_to(&mut self, folders: usize) {
        for (_, step) in self.folders.drain(folders.max(1)..) {
            self.steps[step].is_above = false;
        }
    }

    /// What lies under this name where the way stands.
    fn look_at(&self, name: &OsStr) -> Result<(OwnedFd, Step), TrustError> {
        let (folder, at) = self.folders.last().expect("`up_to` leaves the first");
        let path = self.steps[*at].path.join(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::openat(folder, name.as_bytes(), flags, Mode::empty()).map_err(io::Error::from);
        let step = place.and_then(|place| Step::of(&place, path.clone()).map(|step| (place, step)));
        step.map_err(|source| TrustError::Look { path, source })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn passed(path: &Path) -> Vec<(Kind, PathBuf, bool)> {
        let way = Ground::default().way_to(path).unwrap();
        way.into_iter().map(|step| (step.kind, step.path, step.is_above)).collect()
    }

    fn site() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        fs::create_dir_all(at.join("real/inner")).unwrap();
        fs::write(at.join("real/inner/a.so"), "a").unwrap();
        (folder, at)
    }

    /// What is passed below the folder of the test.
    fn below(at: &Path, path: &Path) -> Vec<(Kind, String, bool)> {
        let passed = passed(path).into_iter();
        let inside = passed.filter_map(|(kind, path, is_above)| {
            Some((kind, path.strip_prefix(at).ok()?.to_str()?.to_owned(), is_above)).filter(|step| !step.1.is_empty())
        });
        inside.collect()
    }

    fn folder(name: &str) -> (Kind, String, bool) {
        (Kind::Folder, name.into(), true)
    }

    fn passed_by(name: &str) -> (Kind, String, bool) {
        (Kind::Folder, name.into(), false)
    }

    fn link(name: &str) -> (Kind, String, bool) {
        (Kind::Link, name.into(), false)
    }

    const FILE: &str = "real/inner/a.so";

    fn file() -> (Kind, String, bool) {
        (Kind::File, FILE.into(), true)
    }

    #[test]
    fn every_folder_from_the_root_is_passed() {
        let (_folder, at) = site();
        let folders = at.ancestors().map(Path::to_owned).collect::<Vec<_>>().into_iter().rev();
        let folders = folders.chain([at.join("real"), at.join("real/inner")]).map(|path| (Kind::Folder, path, true));
        let expected: Vec<_> = folders.chain([(Kind::File, at.join(FILE), true)]).collect();
        assert_eq!(passed(&at.join(FILE)), expected);
    }

    #[test]
    fn link_is_passed_with_all_that_leads_to_it_and_to_its_target() {
        let (_folder, at) = site();
        fs::create_dir(at.join("links")).unwrap();
        symlink("../real/inner", at.join("links/relative")).unwrap();
        symlink(at.join("links/relative/a.so"), at.join("links/absolute.so")).unwrap();
        let whole = [folder("real"), folder("real/inner"), file()];
        let relative: Vec<_> = [passed_by("links"), link("links/relative")].into_iter().chain(whole).collect();
        assert_eq!(below(&at, &at.join("links/relative/a.so")), relative);
        let absolute: Vec<_> = [passed_by("links"), link("links/absolute.so")].into_iter().chain(relative).collect();
        assert_eq!(below(&at, &at.join("links/absolute.so")), absolute);
    }

    #[test]
    fn parent_is_the_folder_above_and_that_which_was_left_was_passed() {
        let (_folder, at) = site();
        fs::create_dir(at.join("aside")).unwrap();
        let expected = [passed_by("aside"), folder("real"), folder("real/inner"), file()];
        assert_eq!(below(&at, &at.join("aside/.././real//inner/a.so")), expected);
        let above_root: PathBuf =
            [Path::new("/../.."), at.strip_prefix("/").unwrap(), Path::new(FILE)].iter().collect();
        assert_eq!(passed(&above_root).last().unwrap().1, at.join(FILE));
    }

    #[test]
    fn loop_of_links_and_a_file_in_the_place_of_a_folder_are_errors() {
        let (_folder, at) = site();
        symlink("b.so", at.join("a.so")).unwrap();
        symlink("a.so", at.join("b.so")).unwrap();
        symlink("real/inner/a.so/..", at.join("c.so")).unwrap();
        let errno = |name: &str| match Ground::default().way_to(&at.join(name)).unwrap_err() {
            TrustError::Look { source, .. } => source.raw_os_error().map(Errno::from_raw_os_error),
            other => panic!("{other}"),
        };
        assert_eq!(errno("a.so"), Some(Errno::LOOP));
        assert_eq!(errno("c.so"), Some(Errno::NOTDIR));
        assert_eq!(errno("absent.so"), Some(Errno::NOENT));
        // As many as the kernel follows are no loop.
        symlink("real/inner/a.so", at.join("40")).unwrap();
        (1..LINKS_MAX).rev().for_each(|number| symlink((number + 1).to_string(), at.join(number.to_string())).unwrap());
        assert!(fs::read(at.join("1")).is_ok());
        assert_eq!(passed(&at.join("1")).last().unwrap().1, at.join(FILE));
    }

    #[test]
    fn way_to_a_folder_is_walked_once_and_its_files_are_those_of_the_folder_that_was_passed() {
        let (_folder, at) = site();
        fs::write(at.join("real/inner/b.so"), "b").unwrap();
        let mut ground = Ground::default();
        let first = ground.way_to(&at.join(FILE)).unwrap();
        fs::rename(at.join("real"), at.join("gone")).unwrap();
        let second = ground.way_to(&at.join("real/inner/b.so")).unwrap();
        assert_eq!(second.len(), first.len());
        assert_eq!(second.last().unwrap().inode, Inode::of(&at.join("gone/inner/b.so")).unwrap());
        assert!(Ground::default().way_to(&at.join(FILE)).is_err());
    }

    #[test]
    fn owner_and_mode_are_those_of_each_step() {
        let (_folder, at) = site();
        fs::set_permissions(at.join("real"), fs::Permissions::from_mode(0o1770)).unwrap();
        symlink("real", at.join("link")).unwrap();
        let way = Ground::default().way_to(&at.join("link/inner/a.so")).unwrap();
        let step = |path: &str| way.iter().find(|step| step.path == at.join(path)).unwrap();
        assert_eq!((step("real").mode & 0o7777, step("link").mode & 0o7777), (0o1770, 0o777));
        assert_eq!(step("link").uid, rustix::process::geteuid().as_raw());
        assert_eq!(step(FILE).inode, Inode::of(&at.join(FILE)).unwrap());
    }
}
