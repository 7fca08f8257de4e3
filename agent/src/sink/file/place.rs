//! Where a file sink's files lie: its folder, the live file's real path, and what else of the sink's own is there.
//!
//! A link is followed once, here: files are put aside beside the real file, on its file system, and the link stays.
//! The last folder of a path is made if it is missing, those above it are not: a mistyped path or a disk that is not
//! mounted must be told, not filled in on the root file system.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Error;
use super::name::{Found, Naming, Stamp};

/// Where the files of one sink lie.
#[derive(Debug)]
pub(super) struct Place {
    /// The live file, absolute, no link.
    pub(super) path: PathBuf,
    folder: PathBuf,
    naming: Naming,
}

/// One of the sink's own files in the folder.
#[derive(Debug)]
pub(super) struct Entry {
    /// What its name says.
    pub(super) found: Found,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its bytes; none where it is not a regular file, and then it is nobody's to delete.
    pub(super) size: Option<u64>,
}

impl Place {
    /// Resolves `path`, which names a file; makes its folder where only that is missing.
    pub(super) fn of(path: &Path) -> Result<Place, Error> {
        let failed = |doing, path: &Path, source| Error::Operation { doing, path: path.into(), source };
        let path = std::path::absolute(path).map_err(|error| failed("resolve", path, error))?;
        let path = match fs::symlink_metadata(&path) {
            // The kernel is asked to follow it first: it refuses a link that another planted in a sticky folder
            // (protected_symlinks of proc_sys_fs(5)), and to resolve by hand goes past that.
            Ok(meta) if meta.is_symlink() => {
                fs::metadata(&path).and_then(|_| fs::canonicalize(&path)).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => Error::Unusable {
                        path: path.clone(),
                        problem: "is a link to a file that is not there: create that file, or remove the link",
                    },
                    _ => failed("follow the link", &path, error),
                })?
            }
            _ => path,
        };
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::Unusable { path, problem: "is a folder: add the name of a file" });
        };
        if fs::metadata(folder).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            fs::create_dir(folder).map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::Unusable {
                    path: folder.parent().unwrap_or(folder).into(),
                    problem: "is not there: create this folder, or mount what belongs there",
                },
                _ => failed("create the folder", folder, error),
            })?;
            tracing::info!(folder = %folder.display(), "created the folder");
        }
        let folder = fs::canonicalize(folder).map_err(|error| failed("reach the folder", folder, error))?;
        Ok(Place { path: folder.join(name), naming: Naming::of(name), folder })
    }

    /// The sink's own files besides the live one.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Some(found) = self.naming.read(&entry.file_name()) else { continue };
            let size = match entry.metadata() {
                Ok(meta) => meta.is_file().then_some(meta.len()),
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(Entry { found, path: entry.path(), size });
        }
        Ok(entries)
    }

    /// Puts the live file aside, under the time of its `first` snapshot. Only the holder of the lock gives such names,
    /// so a name found free is free.
    pub(super) fn put_aside(&self, first: SystemTime) -> io::Result<()> {
        let taken = self.entries()?.into_iter().filter_map(|entry| match entry.found {
            Found::Aside { stamp, .. } => Some(stamp),
            Found::Unfinished => None,
        });
        fs::rename(&self.path, self.aside(Stamp::next(first, taken), false))
    }

    /// Whether files can be put aside here at all.
    pub(super) fn can_rename(&self) -> bool {
        use rustix::fs::{Access, AtFlags, CWD};
        rustix::fs::accessat(CWD, &self.folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
    }

    /// The path of a file put aside.
    pub(super) fn aside(&self, stamp: Stamp, packed: bool) -> PathBuf {
        self.folder.join(self.naming.aside(stamp, packed))
    }

    /// The path under which a file put aside is compressed.
    pub(super) fn unfinished(&self, stamp: Stamp) -> PathBuf {
        self.folder.join(self.naming.unfinished(stamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_last_folder_is_made_and_those_above_are_not() {
        let root = tempfile::tempdir().unwrap();
        Place::of(&root.path().join("a/s.jsonl")).unwrap();
        assert!(root.path().join("a").is_dir());
        let error = Place::of(&root.path().join("b/c/s.jsonl")).unwrap_err().to_string();
        assert!(error.ends_with("/b is not there: create this folder, or mount what belongs there"), "{error}");
    }

    #[test]
    fn a_link_is_followed_to_where_the_file_is() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        let (real, link) = (root.path().join("data/real.jsonl"), root.path().join("s.jsonl"));
        symlink("data/real.jsonl", &link).unwrap();
        assert!(Place::of(&link).unwrap_err().to_string().contains("is a link to a file that is not there"));
        fs::write(&real, "").unwrap();
        assert_eq!(Place::of(&link).unwrap().path, real.canonicalize().unwrap());
    }

    #[test]
    fn a_file_is_put_aside_behind_those_of_its_second() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::of(&root.path().join("s.jsonl")).unwrap();
        fs::write(root.path().join("s.1970-01-01T00-00-09Z.jsonl.gz"), "").unwrap();
        fs::write(&place.path, "x").unwrap();
        place.put_aside(UNIX_EPOCH + Duration::from_millis(9900)).unwrap();
        assert_eq!(fs::read(root.path().join("s.1970-01-01T00-00-09Z_001.jsonl")).unwrap(), b"x");
        assert!(!place.path.exists());
    }

    #[test]
    fn only_regular_files_have_a_size() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::of(&root.path().join("s.jsonl")).unwrap();
        fs::create_dir(root.path().join("s.1970-01-01T00-00-09Z.jsonl")).unwrap();
        fs::write(root.path().join("other"), "xx").unwrap();
        fs::write(root.path().join("s.1970-01-01T00-00-10Z.jsonl"), "xx").unwrap();
        let mut sizes: Vec<_> = place.entries().unwrap().into_iter().map(|entry| entry.size).collect();
        sizes.sort();
        assert_eq!(sizes, [None, Some(2)]);
    }
}
