//! The folder of a new plugin. [E mkdir, write, unlink]
#![forbid(unsafe_code)]

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::render::File;

/// Makes the folder with these files in it, whole or not at all.
///
/// # Errors
/// It is there already, whatever it is, or cannot be written; then nothing of it stays.
pub(super) fn create(folder: &Path, files: &[File]) -> io::Result<()> {
    // The one step that says whose it is: a name that is taken fails it.
    fs::create_dir(folder)?;
    let written = files.iter().try_for_each(|(path, text)| {
        let path = folder.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
    });
    if written.is_err() {
        // Why it is there is what matters, and a try under the same name will say that it is.
        let _ = fs::remove_dir_all(folder);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_whole_is_not_there() {
        let at = tempfile::tempdir().unwrap();
        let folder = at.path().join("ups");
        // A file where a folder is to be.
        let files = [("a", "1".to_owned()), ("a/b", "2".to_owned())];
        assert!(create(&folder, &files).is_err());
        assert!(!folder.exists());
    }

    #[test]
    fn what_is_there_is_left_as_it_is() {
        let at = tempfile::tempdir().unwrap();
        fs::write(at.path().join("a"), "mine").unwrap();
        let error = create(at.path(), &[("a", "1".to_owned())]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(at.path().join("a")).unwrap(), "mine");
    }
}
