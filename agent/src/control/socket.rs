//! The place where the agent is asked: a socket in the file system that is its user's alone. [E bind]
//!
//! Promises that nobody else could ever connect, not even between its making and a `chmod`; that one which a dead agent left
//! is replaced; that one at which an agent answers is not, and that at the end nothing is removed but what is its own.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

use super::client;
use super::wire::Request;
use crate::harmless;

/// The longest path of a socket: `sun_path` of unix(7) has 108 bytes, of which the last is a zero.
pub const PATH_BYTES: usize = 107;
/// How many clients the kernel lets wait to be accepted: they are at once, so that this is for a burst.
const BACKLOG: i32 = 128;
/// How long an agent that lives already has to say who it is.
const WHO: Duration = Duration::from_secs(1);
/// For how long another agent that binds in the same folder is waited for. It takes a millisecond, or [`WHO`] on top.
const OTHERS: Duration = Duration::from_secs(2);
/// Between two looks at whether it has.
const PAUSE: Duration = Duration::from_millis(10);

/// A socket that clients can connect to. Its file goes with it.
#[derive(Debug)]
pub struct Listener {
    pub(super) incoming: UnixListener,
    pub(super) claim: Claim,
}

/// The file of a socket that is ours.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Listener {
    /// Makes it. The folder that it is to lie in is made, for its user alone, where the one above is there.
    ///
    /// # Errors
    /// Another agent answers there ([`ErrorKind::AddrInUse`]), something else lies there, the path is longer than
    /// [`PATH_BYTES`], or the folder cannot be written. The text says what to do.
    pub fn bind(path: &Path) -> io::Result<Listener> {
        let shown = harmless::path(path);
        let address = address(path)?;
        // A parent of "" is the current folder.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        make(folder)?;
        let turn = turn(folder)?;
        if let Some(there) = found(path)? {
            if !there.file_type().is_socket() {
                let what =
                    format!("{shown} is there and is no socket: remove it, or set agent.control to another path");
                return Err(io::Error::new(ErrorKind::AlreadyExists, what));
            }
            if lives(&address).map_err(|cause| failed("connect to", path, &cause))? {
                // Who else wants it need not wait for what it says of itself.
                drop(turn);
                return Err(io::Error::new(ErrorKind::AddrInUse, taken(path)));
            }
            fs::remove_file(path).map_err(|cause| failed("remove the old", path, &cause))?;
        }
        let socket = socket()?;
        // bind(2) takes the mode of the file from that of the socket, so that there is no moment with another one; an umask
        // would be that of all threads.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &address).map_err(|cause| failed("make", path, &cause.into()))?;
        let made = fs::symlink_metadata(path)?;
        let claim = Claim { path: path.to_owned(), identity: (made.dev(), made.ino()) };
        listen(&socket, BACKLOG)?;
        Ok(Listener { incoming: UnixListener::from(socket), claim })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.claim.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let ours = |there: &Metadata| (there.dev(), there.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(|there| ours(&there))
            && let Err(cause) = fs::remove_file(&self.path)
        {
            // The next agent replaces it.
            tracing::debug!(%cause, "could not remove the control socket");
        }
    }
}

/// The address of a path.
///
/// # Errors
/// It is too long.
pub(super) fn address(path: &Path) -> io::Result<SocketAddrUnix> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > PATH_BYTES {
        let shown = harmless::path(path);
        let what = format!(
            "{shown} has {bytes} bytes, and a socket's path {PATH_BYTES} at most: set agent.control to a shorter one"
        );
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    Ok(SocketAddrUnix::new(path)?)
}

/// A socket that is not waited for.
pub(super) fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

fn failed(what: &str, path: &Path, cause: &io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("could not {what} {}: {cause}", harmless::path(path)))
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(()),
        // Also where it may not be written: then it matters only whether it is there.
        Err(_) if folder.is_dir() => Ok(()),
        Err(cause) => Err(failed("make the folder", folder, &cause)),
    }
}

/// Keeps two agents that start at once apart: each would take the other's socket for a dead one's before it listens.
fn turn(folder: &Path) -> io::Result<File> {
    let opened = File::open(folder).map_err(|cause| failed("open", folder, &cause))?;
    for _ in 0..OTHERS.as_millis() / PAUSE.as_millis() {
        if opened.try_lock().is_ok() {
            return Ok(opened);
        }
        thread::sleep(PAUSE);
    }
    // Somebody locks it who is no agent: no reason not to be asked.
    tracing::debug!(folder = %harmless::path(folder), "somebody else has locked the folder of the control socket");
    Ok(opened)
}

fn found(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(Some(there)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed("look at", path, &cause)),
    }
}

/// Whether somebody listens there.
fn lives(address: &SocketAddrUnix) -> io::Result<bool> {
    match connect(&socket()?, address).map_err(io::Error::from) {
        Ok(()) => Ok(true),
        Err(cause) => match cause.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => Ok(false),
            // So many wait to be accepted that no more can.
            ErrorKind::WouldBlock => Ok(true),
            _ => Err(cause),
        },
    }
}

/// Who has it already. Not as the kernel tells: it knows no number of a process in another PID namespace.
fn taken(path: &Path) -> String {
    let shown = harmless::path(path);
    let what = "stop that one first, or set agent.control to another path";
    let status = client::ask_within(path, &Request::Status, WHO).ok().and_then(|response| response.status);
    match status {
        Some(status) => format!("an agent with pid {} answers at {shown} already: {what}", status.agent.pid),
        None => format!("a program that does not say who it is listens at {shown} already: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn socket_and_its_folder_are_the_users_alone_and_the_socket_goes_with_its_listener() {
        let folder = folder();
        let path = folder.path().join("run/control.sock");
        let listener = Listener::bind(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn folder_is_not_made_with_the_folders_above_it() {
        let folder = folder();
        let error = Listener::bind(&folder.path().join("a/b/control.sock")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("could not make the folder"), "{error}");
        assert!(!folder.path().join("a").exists());
    }

    #[test]
    fn socket_of_a_dead_agent_is_replaced_and_one_that_is_listened_at_is_not() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a socket is left behind");
        let listener = Listener::bind(&path).unwrap();
        let error = Listener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains("does not say who it is"), "{error}");
        UnixStream::connect(&path).unwrap();
        drop(listener);
    }

    #[test]
    fn what_is_no_socket_is_left_alone_and_told() {
        let folder = folder();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "mine").unwrap();
        symlink(folder.path().join("elsewhere.sock"), &link).unwrap();
        for path in [&path, &link] {
            let error = Listener::bind(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert!(error.to_string().contains("is no socket: remove it, or set agent.control"), "{error}");
        }
        assert_eq!(fs::read_to_string(path).unwrap(), "mine");
        assert!(!folder.path().join("elsewhere.sock").exists());
    }

    #[test]
    fn at_the_end_another_agents_socket_stays() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        let first = Listener::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Listener::bind(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn path_that_is_too_long_is_told_with_what_to_do() {
        let folder = folder();
        let path = folder.path().join("x".repeat(PATH_BYTES));
        let error = Listener::bind(&path).unwrap_err().to_string();
        assert!(error.contains("107 at most: set agent.control to a shorter one"), "{error}");
        let longest = PATH_BYTES - folder.path().as_os_str().len() - 1;
        let listener = Listener::bind(&folder.path().join("x".repeat(longest))).unwrap();
        UnixStream::connect(listener.path()).unwrap();
    }

    #[test]
    fn of_agents_that_start_at_once_one_has_it() {
        let folder = folder();
        let path = folder.path().join("control.sock");
        for _ in 0..4 {
            drop(UnixListener::bind(&path).unwrap());
            let bound: Vec<_> = thread::scope(|scope| {
                let each: Vec<_> = (0..4).map(|_| scope.spawn(|| Listener::bind(&path))).collect();
                each.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1, "{bound:?}");
        }
    }
}
