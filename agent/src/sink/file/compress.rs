//! Compresses one file put aside: `[E]` its reads, its temporary file, the rename.
//!
//! A kill at any instant leaves the plain file, or the complete compressed one, or both for a moment; what was under
//! way lies under a hidden name and is removed by the next pass. The compressed file takes the mode, the group and the
//! modification time of the plain one, as gzip(1) does, so that `find -mtime` and a shipper's rights still hold.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Read at once, and between two looks at whether to stop.
const CHUNK: usize = 64 << 10;

/// Compresses `plain` to `packed` by way of `temporary`, all of one folder, and removes `plain`. False: `stop` was set
/// and nothing is changed.
pub(super) fn compress(plain: &Path, temporary: &Path, packed: &Path, stop: &AtomicBool) -> io::Result<bool> {
    let done = pack(plain, temporary, stop).and_then(|whole| {
        if whole {
            fs::rename(temporary, packed)?;
        }
        Ok(whole)
    });
    match done {
        Ok(true) => {
            // The new name must be on the disk before the old file is gone from it.
            sync_folder(packed)?;
            fs::remove_file(plain)?;
            Ok(true)
        }
        Ok(false) => fs::remove_file(temporary).map(|()| false),
        Err(error) => {
            // Where this fails too, the next pass removes it; the first error is the one to tell.
            let _ = fs::remove_file(temporary);
            Err(error)
        }
    }
}

fn pack(plain: &Path, temporary: &Path, stop: &AtomicBool) -> io::Result<bool> {
    let mut from = File::open(plain)?;
    let meta = from.metadata()?;
    let to = File::options().write(true).create_new(true).mode(0o600).open(temporary)?;
    let mut encoder = GzEncoder::new(to, Compression::default());
    let mut chunk = vec![0; CHUNK];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => encoder.write_all(&chunk[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let to = encoder.finish()?;
    if let Err(error) = fchown(&to, None, Some(meta.gid())) {
        tracing::warn!(path = %plain.display(), %error, "the compressed file keeps the agent's own group");
    }
    to.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o777))?;
    to.set_modified(meta.modified()?)?;
    to.sync_all()?;
    // 100 MiB read once must not push a neighbour's pages out of memory; advice, so a refusal means nothing.
    let _ = rustix::fs::fadvise(&from, 0, None, rustix::fs::Advice::DontNeed);
    Ok(true)
}

/// Brings the names in the folder of `path` to the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn unpacked(path: &Path) -> Vec<u8> {
        let mut content = Vec::new();
        flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut content).unwrap();
        content
    }

    #[test]
    fn the_compressed_file_has_the_content_the_mode_and_the_time_of_the_plain_one() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, temporary, packed] = ["a", ".a.tmp", "a.gz"].map(|name| folder.path().join(name));
        let content = "{\"a\":1}\n".repeat(50_000);
        fs::write(&plain, &content).unwrap();
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o604)).unwrap();
        File::options().write(true).open(&plain).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(77)).unwrap();
        assert!(compress(&plain, &temporary, &packed, &AtomicBool::new(false)).unwrap());
        assert_eq!(unpacked(&packed), content.as_bytes());
        let meta = fs::metadata(&packed).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.mtime()), (0o604, 77));
        assert!(meta.len() < content.len() as u64 / 10);
        assert!(!plain.exists() && !temporary.exists());
    }

    #[test]
    fn a_stop_leaves_the_plain_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, temporary, packed] = ["a", ".a.tmp", "a.gz"].map(|name| folder.path().join(name));
        fs::write(&plain, "{}\n").unwrap();
        assert!(!compress(&plain, &temporary, &packed, &AtomicBool::new(true)).unwrap());
        assert!(plain.exists() && !temporary.exists() && !packed.exists());
    }

    #[test]
    fn an_error_leaves_the_plain_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, temporary, packed] = ["a", ".a.tmp", "a.gz"].map(|name| folder.path().join(name));
        fs::write(&plain, "{}\n").unwrap();
        fs::create_dir(&packed).unwrap();
        compress(&plain, &temporary, &packed, &AtomicBool::new(false)).unwrap_err();
        assert!(plain.exists() && !temporary.exists());
    }
}
