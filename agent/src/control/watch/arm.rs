//! Puts watches on all that a path depends on. [E inotify_add_watch, readlink, readdir, lstat]
//!
//! The path is walked from the root as the kernel would, a name at a time and links by hand. Each folder and each link that is passed is watched for
//! what happens to itself: it is moved, deleted, or has its mode or owner changed, which may make a library one that may be loaded. That costs nothing
//! while files come and go in it, in `/tmp` for one. Only where a name is missing is the folder above it watched for that name; and only the folder
//! at the end for its files. A link among those is walked in the same way, as files of a config that is mounted into a container are links
//! to links that are switched, and a developer's library is a link to where it is built.
//!
//! First the watch, then the look at what is there: what comes in between is found by the look or told by the watch. That may block, with the
//! file system.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::Target;
use super::heard::{Stage, Watched, is_wanted};

/// Links of one path, as of the kernel (path_resolution(7)).
const LINKS_MAX: u32 = 40;
/// Links among the files of all folders that are followed: each costs a handful of watches.
const LINKED_FILES_MAX: usize = 256;

/// What happens to a folder or a link itself.
const ITSELF: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::MASK_ADD);
/// A name comes.
const COMES: WatchFlags = ITSELF.union(WatchFlags::CREATE).union(WatchFlags::MOVED_TO);
/// What happens to files in a folder; not to those that have no name any more, which is somebody else's by now.
const FILES: WatchFlags = COMES
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);
/// What happens to a file.
const FILE: WatchFlags = ITSELF.union(WatchFlags::MODIFY).union(WatchFlags::CLOSE_WRITE);

/// Watches that are at work.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) inotify: OwnedFd,
    pub(super) watched: Watched,
    /// Of the files that were being written, those that are whole, or gone.
    pub(super) whole: Vec<PathBuf>,
    /// When anything of all this was changed last.
    pub(super) newest: Option<SystemTime>,
    /// What could not be watched, why, and what to do.
    pub(super) fault: Option<String>,
}

/// An inotify instance without watches.
///
/// # Errors
/// There are none left for this user, or descriptors have run out: in words, what to do.
pub(super) fn instance() -> io::Result<OwnedFd> {
    inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|errno| match errno {
        Errno::MFILE => io::Error::other(
            "this user has no inotify instance left: raise fs.inotify.max_user_instances, or set agent.watch = \"off\"",
        ),
        errno => errno.into(),
    })
}

/// Watches the targets, and looks which of the files that are being written are whole.
pub(super) fn arm(targets: &[Target], writing: Vec<(PathBuf, Stage)>) -> io::Result<Armed> {
    let mut arming =
        Arming { inotify: instance()?, watched: Watched::new(), fault: None, linked_files: 0, newest: None };
    for (index, target) in targets.iter().enumerate() {
        arming.target(index, target)?;
    }
    let whole = writing.into_iter().filter(|(path, stage)| is_whole(path, *stage)).map(|(path, _)| path).collect();
    let Arming { inotify, watched, fault, newest, .. } = arming;
    Ok(Armed { inotify, watched, whole, newest, fault })
}

/// Whether nobody writes it, as far as a look can tell: it is a link, new and not empty, or gone.
fn is_whole(path: &Path, stage: Stage) -> bool {
    match fs::symlink_metadata(path) {
        Ok(file) => stage == Stage::New && !(file.is_file() && file.len() == 0),
        Err(cause) => cause.kind() == io::ErrorKind::NotFound,
    }
}

struct Arming {
    inotify: OwnedFd,
    watched: Watched,
    fault: Option<String>,
    linked_files: usize,
    newest: Option<SystemTime>,
}

impl Arming {
    /// Takes down when a file or a folder was changed, by whatever way of changing it.
    fn note(&mut self, path: &Path) {
        let Ok(file) = fs::symlink_metadata(path) else { return };
        let at = Duration::new(file.ctime().unsigned_abs(), file.ctime_nsec().try_into().unwrap_or(0));
        self.newest = self.newest.max(Some(UNIX_EPOCH + at));
    }

    fn target(&mut self, index: usize, target: &Target) -> io::Result<()> {
        let Some(folder) = self.walk("/".into(), &std::path::absolute(&target.folder)?) else { return Ok(()) };
        // A file in its place is watched as a part of the path.
        let Ok(number) = self.watch(&folder, FILES) else { return Ok(()) };
        self.watched.entry(number).or_default().folder_of.push(index);
        self.note(&folder);
        // Whoever reads it next tells what is wrong with it.
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !is_wanted(&name, target.ending) {
                continue;
            }
            self.note(&entry.path());
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if is_link && self.linked_files < LINKED_FILES_MAX {
                self.linked_files += 1;
                self.linked_file(&folder, &target.folder, &name);
            }
        }
        Ok(())
    }

    fn linked_file(&mut self, folder: &Path, known_as: &Path, name: &OsStr) {
        let Some(file) = self.walk(folder.to_owned(), Path::new(name)) else { return };
        self.note(&file);
        if fs::symlink_metadata(&file).is_ok_and(|file| file.is_file())
            && let Ok(number) = self.watch(&file, FILE)
        {
            self.watched.entry(number).or_default().file_of.push(known_as.join(name));
        }
    }

    /// Watches all that is passed on a path from a folder that is watched, and tells where it leads, without a link: nowhere,
    /// where a part of it is missing, which is waited for.
    fn walk(&mut self, from: PathBuf, path: &Path) -> Option<PathBuf> {
        let mut at = from;
        let mut rest: Vec<PathBuf> = vec![path.to_owned()];
        let mut links = 0;
        while let Some(path) = rest.pop() {
            let mut parts = path.components();
            let Some(part) = parts.next() else { continue };
            rest.push(parts.as_path().to_owned());
            match part {
                Component::RootDir => {
                    at = "/".into();
                    // It is the one part that cannot be missing.
                    let _ = self.watch(&at, ITSELF);
                }
                // Of a folder to which no link leads.
                Component::ParentDir => drop(at.pop()),
                Component::CurDir | Component::Prefix(_) => {}
                Component::Normal(name) => {
                    let next = at.join(name);
                    if !self.is_there(&next) && !self.comes(&at, name, &next) {
                        return None;
                    }
                    match fs::read_link(&next) {
                        Ok(_) if links == LINKS_MAX => return None,
                        Ok(to) => {
                            links += 1;
                            rest.push(to);
                        }
                        // No link.
                        Err(_) => at = next,
                    }
                }
            }
        }
        Some(at)
    }

    fn is_there(&mut self, path: &Path) -> bool {
        // What is there and cannot be watched may be passed all the same.
        !matches!(self.watch(path, ITSELF), Err(Errno::NOENT | Errno::NOTDIR))
    }

    /// Waits for a name in a folder, and tells whether it has come before that.
    fn comes(&mut self, folder: &Path, name: &OsStr, path: &Path) -> bool {
        if let Ok(number) = self.watch(folder, COMES) {
            self.watched.entry(number).or_default().awaits.push(OsString::from(name));
        }
        self.is_there(path)
    }

    /// Watches for this, too. Gives the kernel's number of all watches on the same.
    fn watch(&mut self, path: &Path, what: WatchFlags) -> Result<i32, Errno> {
        let made = inotify::add_watch(&self.inotify, path, what);
        match made {
            Ok(number) => drop(self.watched.entry(number).or_default()),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno @ (Errno::NOSPC | Errno::NOMEM)) => {
                self.fault.get_or_insert_with(|| format!(
                    "could not watch {}: this user has no inotify watches left (errno {}): raise fs.inotify.max_user_watches, or set agent.watch = \"off\"; until then a change there is taken up by: perfwatch reload",
                    path.display(),
                    errno.raw_os_error()
                ));
            }
            // A folder that this user may pass and not read. Whoever reads it next says so, where that matters.
            Err(errno) => tracing::debug!(%errno, "could not watch {}", path.display()),
        }
        made
    }
}
