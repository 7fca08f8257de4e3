//! Opens the live file: what it is, whose it is, whether its end is whole.
//!
//! | the path is | what happens |
//! |---|---|
//! | nothing | created with `mode` and `group`, whatever the umask |
//! | a regular file of JSON lines | locked, its end repaired, appended to; its mode and group stay |
//! | a regular file of something else | refused, untouched |
//! | a link | followed once; see `place` |
//! | a pipe | written to while something reads it, no rotation; without a reader snapshots are lost and counted |
//! | a character device (`/dev/null`, a terminal) | written to, no rotation, no lock |
//! | a folder, a socket, a block device | refused |

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::OFlags;

use super::place::Place;
use super::repair::{self, Repaired};
use super::settings::FileSettings;
use super::{Error, lock, space};

/// Tries to find the path and the opened file the same: another's rename between two calls needs one more, and a file
/// system with unstable inode numbers never gets there (then it is written to, but not watched).
const TRIES: usize = 3;

/// The open live file.
#[derive(Debug)]
pub(super) struct Live {
    /// Open for appending; shared with who brings it to the disk after its time as the live file.
    pub(super) file: Arc<File>,
    /// Where it lies.
    pub(super) place: Arc<Place>,
    /// Whether it is a regular file: then it is locked, repaired, watched and rotated.
    pub(super) regular: bool,
    /// Its bytes, if regular.
    pub(super) len: u64,
    /// The time of its first snapshot; none while it is empty.
    pub(super) first: Option<SystemTime>,
    /// Device and inode, where the file system keeps to them.
    id: Option<(u64, u64)>,
}

impl Live {
    /// Opens or creates the live file of `settings`; what is created goes to group `gid`.
    pub(super) fn open(settings: &FileSettings, gid: Option<u32>) -> Result<Live, Error> {
        let place = Arc::new(Place::of(&settings.path)?);
        for attempt in 1..=TRIES {
            let Some((file, created)) = reach(&place.path)? else { continue };
            let meta = file.metadata().map_err(failed("examine", &place.path))?;
            if !meta.is_file() {
                let file = Arc::new(file);
                return Ok(Live { file, place, regular: false, len: 0, first: None, id: None });
            }
            lock::take(&file, &place.path)?;
            let mut live = Live {
                file: Arc::new(file),
                place: Arc::clone(&place),
                regular: true,
                len: meta.len(),
                first: None,
                id: None,
            };
            // Whoever held the lock before may have put this very file aside.
            let id = (meta.dev(), meta.ino());
            if live.is_at_path(id) {
                live.id = Some(id);
            } else if attempt < TRIES {
                continue;
            }
            return match live.prepare(settings, gid.filter(|_| created), created) {
                Ok(()) => Ok(live),
                Err(error) => {
                    // Left there, it would be an existing file the next time, and keep rights that nobody asked for.
                    if created && let Err(error) = fs::remove_file(&live.place.path) {
                        tracing::warn!(path = %live.place.path.display(), %error, "an empty file stays behind");
                    }
                    Err(error)
                }
            };
        }
        let problem = "is being replaced over and over: see what else writes or rotates it";
        Err(Error::Unusable { path: place.path.clone(), problem })
    }

    /// Whether the path still leads to this file. None: it cannot be told, or was never so on this file system.
    pub(super) fn is_current(&mut self) -> Option<bool> {
        let id = self.id?;
        match fs::symlink_metadata(&self.place.path) {
            Ok(meta) if (meta.dev(), meta.ino()) == id => {
                // Another's truncation (`copytruncate` of logrotate) is a new beginning.
                if meta.len() < self.len {
                    let first = repair::first_snapshot(&self.file).ok().flatten();
                    self.first = if meta.len() == 0 { None } else { first.or(self.first) };
                }
                self.len = meta.len();
                Some(true)
            }
            Ok(_) => Some(false),
            Err(error) if error.kind() == ErrorKind::NotFound => Some(false),
            Err(_) => None,
        }
    }

    /// Whether the file has no name any more.
    pub(super) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    fn is_at_path(&self, id: (u64, u64)) -> bool {
        fs::symlink_metadata(&self.place.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == id)
    }

    /// Makes the file ready to be appended to: its rights where it was created, its end, a floor that can be kept.
    fn prepare(&mut self, settings: &FileSettings, gid: Option<u32>, created: bool) -> Result<(), Error> {
        let path = self.place.path.as_path();
        if gid.is_some() {
            fchown(&self.file, None, gid).map_err(failed("set the group of", path))?;
        }
        if created {
            let mode = fs::Permissions::from_mode(settings.mode);
            self.file.set_permissions(mode).map_err(failed("set the mode of", path))?;
        }
        if let Some(room) = space::room(&self.file).filter(|room| room.total <= settings.min_free.0) {
            let (total, floor) = (room.total, settings.min_free.0);
            let problem = format!(
                "the file system of {} has {total} bytes in all and can never have {floor} free: lower it (0 turns it off)",
                path.display()
            );
            return Err(Error::Setting { key: "min_free", problem });
        }
        self.mend()
    }

    fn mend(&mut self) -> Result<(), Error> {
        let path = self.place.path.as_path();
        match repair::repair(&self.file, self.len).map_err(failed("repair the end of", path))? {
            Repaired::Sound => {}
            Repaired::Cut(bytes) => tracing::warn!(path = %path.display(), bytes, "cut off a torn last line"),
            Repaired::Completed => tracing::warn!(path = %path.display(), "gave the last line its newline"),
            Repaired::Foreign => {
                let problem = "does not hold snapshots, one JSON object a line: move it away, or choose another path";
                return Err(Error::Unusable { path: path.into(), problem });
            }
        }
        let meta = self.file.metadata().map_err(failed("examine", path))?;
        self.len = meta.len();
        if self.len > 0 {
            let first = repair::first_snapshot(&self.file).map_err(failed("read", path))?;
            // A first line without a time is not of this agent; its last change is the best that is known.
            self.first = Some(first.or_else(|| meta.modified().ok()).unwrap_or(SystemTime::UNIX_EPOCH));
        }
        Ok(())
    }
}

impl Drop for Live {
    /// Gives up the lock by word and not just by closing: a child between its fork and its exec holds every open file
    /// of ours a moment longer, and whoever opens the path next, this sink included, must not meet its own shadow.
    fn drop(&mut self) {
        if self.regular
            && let Err(error) = self.file.unlock()
        {
            tracing::debug!(path = %self.place.path.display(), %error, "the lock goes with the file");
        }
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + use<'a> {
    move |source| Error::Operation { doing, path: path.into(), source }
}

/// Opens what is at `path`, or creates a file there (true). None: that has changed under our hands.
fn reach(path: &Path) -> Result<Option<(File, bool)>, Error> {
    let mut options = OpenOptions::new();
    // Not blocking, because a pipe without a reader would hang here; no link, because it was followed before.
    options.append(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32);
    let kind = match fs::symlink_metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match options.read(true).create_new(true).mode(0o600).open(path) {
                Ok(file) => Ok(Some((file, true))),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
                Err(error) => Err(failed("create", path)(error)),
            };
        }
        Err(error) => return Err(failed("examine", path)(error)),
    };
    if let Some(problem) = unusable(kind) {
        return Err(Error::Unusable { path: path.into(), problem });
    }
    let file = match options.read(kind.is_file()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let opened = file.metadata().map_err(failed("examine", path))?.file_type();
    if opened != kind {
        return Ok(None);
    }
    if !kind.is_file() {
        // From here the worker may wait: a slow reader costs this sink's own queue.
        let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| failed("examine", path)(error.into()))?;
        rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|error| failed("open", path)(error.into()))?;
    }
    Ok(Some((file, false)))
}

fn unusable(kind: FileType) -> Option<&'static str> {
    if kind.is_dir() {
        Some("is a folder: add the name of a file")
    } else if kind.is_block_device() {
        Some("is a block device: give the path of a file")
    } else if kind.is_socket() {
        Some("is a socket: give the path of a file or of a pipe")
    } else {
        None
    }
}
