//! What an event means. Pure.
//!
//! A file is being written from its first write until somebody who could write has closed it, as a copy takes many writes and seconds in between. One that
//! is new and empty counts as such, too, until its bytes come; a link of either kind has them at once, and no close follows. A writer that is
//! killed is closed by the kernel. Whoever maps a file to write it tells nothing in between, but that it was given its
//! length, which is a write, and the close.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::ReadFlags;

use super::Target;

/// Names of files that are being written, at most; of more it is not known. As many as one folder may have libraries.
pub(super) const NAMES_MAX: usize = 4096;

/// What the watches are on, by the kernel's number.
pub(super) type Watched = HashMap<i32, Place>;

/// What a watch is on. It may be all of it.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The folder of these targets.
    pub(super) folder_of: Vec<usize>,
    /// A folder in which these names, parts of a path, are missing.
    pub(super) awaits: Vec<OsString>,
    /// The file behind these links.
    pub(super) file_of: Vec<PathBuf>,
}

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is new, and may be empty.
    New,
    /// Something was written into it.
    Written,
}

/// The files that are being written.
#[derive(Debug, Default)]
pub(super) struct Writing(HashMap<PathBuf, Stage>);

impl Writing {
    pub(super) fn names(&self) -> HashSet<PathBuf> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn stages(&self) -> Vec<(PathBuf, Stage)> {
        self.0.iter().map(|(path, stage)| (path.clone(), *stage)).collect()
    }

    /// Forgets those that were found to be whole or gone, and tells whether there were any.
    pub(super) fn are_whole(&mut self, files: &[PathBuf]) -> bool {
        files.iter().filter(|path| self.0.remove(*path).is_some()).count() > 0
    }

    /// Forgets those of which nobody will be told any more.
    pub(super) fn only_in(&mut self, targets: &[Target]) {
        self.0.retain(|path, _| targets.iter().any(|target| path.parent() == Some(&target.folder)));
    }

    fn insert(&mut self, path: PathBuf, stage: Stage) {
        if self.0.len() < NAMES_MAX || self.0.contains_key(&path) {
            self.0.insert(path, stage);
        }
    }
}

/// What some events came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Something is different.
    pub(super) is_change: bool,
    /// There is a new name, of a file that may have to be waited for.
    pub(super) is_new: bool,
    /// A path may lead elsewhere.
    pub(super) is_structure: bool,
}

impl Heard {
    /// Takes an event in: the watch's number, what happened, and to which name in the folder, if it was not the watched itself.
    pub(super) fn take(
        &mut self,
        watched: &Watched,
        targets: &[Target],
        writing: &mut Writing,
        (number, flags, name): (i32, ReadFlags, Option<&OsStr>),
    ) {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            // A close may be among what was lost.
            writing.0.clear();
            (self.is_change, self.is_structure) = (true, true);
            return;
        }
        let Some(place) = watched.get(&number) else { return };
        let Some(name) = name else {
            let itself = ReadFlags::ATTRIB
                | ReadFlags::DELETE_SELF
                | ReadFlags::MOVE_SELF
                | ReadFlags::UNMOUNT
                | ReadFlags::IGNORED;
            self.is_structure |= flags.intersects(itself);
            place.file_of.iter().for_each(|path| self.file(writing, path, flags - ReadFlags::ATTRIB));
            return;
        };
        self.is_structure |= place.awaits.iter().any(|awaited| awaited == name);
        if flags.contains(ReadFlags::ISDIR) {
            return;
        }
        for target in place.folder_of.iter().filter_map(|&target| targets.get(target)) {
            if is_wanted(name, target.ending) {
                self.file(writing, &target.folder.join(name), flags);
            }
        }
    }

    fn file(&mut self, writing: &mut Writing, path: &Path, flags: ReadFlags) {
        let settled = ReadFlags::CLOSE_WRITE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
        if flags.intersects(settled) {
            writing.0.remove(path);
            self.is_change = true;
        }
        if flags.contains(ReadFlags::ATTRIB) {
            self.is_change = true;
        }
        if flags.contains(ReadFlags::CREATE) {
            writing.insert(path.to_owned(), Stage::New);
            self.is_new = true;
        }
        if flags.contains(ReadFlags::MODIFY) {
            writing.insert(path.to_owned(), Stage::Written);
        }
    }
}

/// Whether a file of this name is looked for.
pub(super) fn is_wanted(name: &OsStr, ending: &str) -> bool {
    let name = name.as_bytes();
    let stem = name.strip_suffix(ending.as_bytes()).and_then(|stem| stem.strip_suffix(b"."));
    stem.is_some() && !name.starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Vec<Target> {
        [("/p", "so"), ("/c", "toml"), ("/q", "so")]
            .map(|(folder, ending)| Target { folder: folder.into(), ending })
            .into()
    }

    /// What comes of events of watch 1, which is on the folders /p, /c and on what /q should be in; and what is being written then.
    fn after(events: &[(ReadFlags, &str)]) -> (Heard, Vec<PathBuf>) {
        let place = Place { folder_of: vec![0, 1], awaits: vec!["q".into()], file_of: vec![] };
        let file = Place { file_of: vec!["/p/link.so".into()], ..Place::default() };
        let (mut heard, mut writing) = (Heard::default(), Writing::default());
        let watched = Watched::from([(1, place), (2, file)]);
        for (flags, name) in events {
            let (number, name) = match *name {
                "" => (1, None),
                "-> file" => (2, None),
                name => (1, Some(OsStr::new(name))),
            };
            heard.take(&watched, &targets(), &mut writing, (number, *flags, name));
        }
        let mut names: Vec<_> = writing.names().into_iter().collect();
        names.sort();
        (heard, names)
    }

    const NOTHING: Heard = Heard { is_change: false, is_new: false, is_structure: false };
    const CHANGE: Heard = Heard { is_change: true, ..NOTHING };
    const STRUCTURE: Heard = Heard { is_structure: true, ..NOTHING };

    #[test]
    fn names_that_nobody_looks_for_do_not_matter_whatever_happens_to_them() {
        for name in ["x", "x.so.tmp", ".x.so", "so", ".so", "x.o", "perfwatch", "x.json", "deps"] {
            let all =
                [ReadFlags::CREATE, ReadFlags::MODIFY, ReadFlags::CLOSE_WRITE, ReadFlags::ATTRIB, ReadFlags::DELETE];
            assert_eq!(after(&all.map(|flags| (flags, name))), (NOTHING, vec![]), "{name}");
        }
        assert_eq!(after(&[(ReadFlags::CREATE | ReadFlags::ISDIR, "x.so")]), (NOTHING, vec![]));
    }

    #[test]
    fn file_is_being_written_from_its_first_write_until_the_close() {
        let (create, modify, close) = (ReadFlags::CREATE, ReadFlags::MODIFY, ReadFlags::CLOSE_WRITE);
        let one = || vec![PathBuf::from("/p/x.so")];
        assert_eq!(after(&[(modify, "x.so")]), (NOTHING, one()));
        assert_eq!(after(&[(create, "x.so")]), (Heard { is_new: true, ..NOTHING }, one()));
        assert_eq!(after(&[(modify, "x.so"), (close, "x.so")]), (CHANGE, vec![]));
        assert_eq!(after(&[(modify, "y.toml"), (modify, "x.so"), (close, "y.toml")]), (CHANGE, one()));
        assert_eq!(after(&[(modify, "x.so"), (ReadFlags::DELETE, "x.so")]), (CHANGE, vec![]));
        assert_eq!(after(&[(modify, "x.so"), (ReadFlags::MOVED_TO, "x.so")]), (CHANGE, vec![]));
        assert_eq!(after(&[(modify, "x.so"), (ReadFlags::ATTRIB, "x.so")]), (CHANGE, one()));
        // Once more before anybody has looked.
        assert_eq!(after(&[(modify, "x.so"), (close, "x.so"), (modify, "x.so")]), (CHANGE, one()));
    }

    #[test]
    fn file_behind_a_link_is_told_by_the_name_of_the_link() {
        let link = || vec![PathBuf::from("/p/link.so")];
        assert_eq!(after(&[(ReadFlags::MODIFY, "-> file")]), (NOTHING, link()));
        assert_eq!(after(&[(ReadFlags::MODIFY, "-> file"), (ReadFlags::CLOSE_WRITE, "-> file")]), (CHANGE, vec![]));
        assert_eq!(after(&[(ReadFlags::ATTRIB, "-> file")]), (STRUCTURE, vec![]));
    }

    #[test]
    fn part_of_a_path_that_comes_goes_or_changes_is_a_matter_of_structure() {
        for flags in [ReadFlags::CREATE | ReadFlags::ISDIR, ReadFlags::MOVED_TO, ReadFlags::CREATE] {
            assert_eq!(after(&[(flags, "q")]), (STRUCTURE, vec![]));
            assert_eq!(after(&[(flags, "r")]), (NOTHING, vec![]));
        }
        for flags in
            [ReadFlags::DELETE_SELF, ReadFlags::MOVE_SELF, ReadFlags::ATTRIB, ReadFlags::UNMOUNT, ReadFlags::IGNORED]
        {
            assert_eq!(after(&[(flags, "")]), (STRUCTURE, vec![]), "{flags:?}");
        }
    }

    #[test]
    fn lost_events_are_a_change_and_leave_nothing_unfinished_for_ever() {
        let overflow = Heard { is_change: true, is_structure: true, is_new: false };
        assert_eq!(after(&[(ReadFlags::MODIFY, "x.so"), (ReadFlags::QUEUE_OVERFLOW, "")]), (overflow, vec![]));
    }

    #[test]
    fn names_that_are_kept_are_bounded() {
        let mut writing = Writing::default();
        (0..2 * NAMES_MAX).for_each(|number| writing.insert(format!("/p/{number}.so").into(), Stage::Written));
        assert_eq!(writing.names().len(), NAMES_MAX);
        writing.insert("/p/0.so".into(), Stage::New);
        assert!(writing.stages().contains(&("/p/0.so".into(), Stage::New)));
        writing.only_in(&targets()[1..]);
        assert!(writing.names().is_empty());
    }
}
