//! Who asks: connects, says a line, reads a line. [E connect]
//!
//! Promises an end: an agent that was stopped in the middle (SIGSTOP, a debugger) keeps nobody waiting for longer than the
//! patience of the request.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::connect;

use super::socket::{address, socket};
use super::wire::{Request, Response};
use crate::harmless;

/// How long a status is waited for: it takes the agent a millisecond.
pub const STATUS_WITHIN: Duration = Duration::from_secs(10);
/// How long what has to be done is waited for: libraries are tried in children first, each for seconds at worst.
pub const DONE_WITHIN: Duration = Duration::from_secs(60);
/// The most bytes of a response: a collector takes 1 KiB, and an error of it as much again.
const RESPONSE_BYTES: u64 = 64 << 20;
/// Between two tries to connect where too many wait for that.
const PAUSE: Duration = Duration::from_millis(20);

/// Why there is no response.
#[derive(Debug)]
pub enum Unanswered {
    /// No agent is there.
    Nobody(PathBuf, io::Error),
    /// Whoever asks is neither the agent's user nor root.
    NotPermitted(PathBuf, io::Error),
    /// It did not answer in time.
    Silent(PathBuf, Duration),
    /// It hung up.
    HungUp(PathBuf),
    /// It is no agent, or one of another version; in a sentence.
    Strange(PathBuf, String),
    /// Something else failed.
    Failed(PathBuf, io::Error),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Nobody(path, _) => write!(f, "no agent answers at {}", harmless::path(path)),
            Unanswered::NotPermitted(path, _) => {
                let path = harmless::path(path);
                write!(f, "not permitted to ask the agent at {path}: that is for its own user and root")
            }
            Unanswered::Silent(path, patience) => {
                let (path, seconds) = (harmless::path(path), patience.as_secs());
                write!(
                    f,
                    "the agent at {path} has not answered within {seconds} s; what it was asked may still be done: see its log"
                )
            }
            Unanswered::HungUp(path) => {
                let path = harmless::path(path);
                write!(f, "the agent at {path} hung up without an answer: it ends, or is asked by too many at once")
            }
            Unanswered::Strange(path, what) => write!(f, "{}: {what}", harmless::path(path)),
            Unanswered::Failed(path, _) => write!(f, "could not ask the agent at {}", harmless::path(path)),
        }
    }
}

impl Error for Unanswered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Unanswered::Nobody(_, cause) | Unanswered::NotPermitted(_, cause) | Unanswered::Failed(_, cause) => {
                Some(cause)
            }
            Unanswered::Silent(..) | Unanswered::HungUp(_) | Unanswered::Strange(..) => None,
        }
    }
}

/// Asks the agent at `path`, and waits for as long as that may take.
///
/// # Errors
/// There is no response.
pub fn ask(path: &Path, request: &Request) -> Result<Response, Unanswered> {
    let patience = match request {
        Request::Status => STATUS_WITHIN,
        Request::Reload | Request::Diff | Request::Release { .. } => DONE_WITHIN,
    };
    ask_within(path, request, patience)
}

/// The same, and waits for as long as is said.
pub(super) fn ask_within(path: &Path, request: &Request, patience: Duration) -> Result<Response, Unanswered> {
    let until = Instant::now() + patience;
    let asked = connected(path, until).and_then(|stream| said(stream, request, until));
    let line = asked.map_err(|cause| {
        let path = path.to_owned();
        match cause.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Unanswered::Nobody(path, cause),
            ErrorKind::PermissionDenied => Unanswered::NotPermitted(path, cause),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Unanswered::Silent(path, patience),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => Unanswered::HungUp(path),
            _ => Unanswered::Failed(path, cause),
        }
    })?;
    Response::parse(&line).map_err(|what| Unanswered::Strange(path.to_owned(), what))
}

fn connected(path: &Path, until: Instant) -> io::Result<UnixStream> {
    let (address, socket) = (address(path)?, socket()?);
    loop {
        match connect(&socket, &address).map_err(io::Error::from) {
            Ok(()) => break,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock && Instant::now() < until => thread::sleep(PAUSE),
            Err(cause) => return Err(cause),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// The line that answers.
fn said(mut stream: UnixStream, request: &Request, until: Instant) -> io::Result<Vec<u8>> {
    stream.set_write_timeout(Some(left(until)?))?;
    // Who is refused without being heard is told why all the same: that is read below.
    let sent = stream.write_all(&request.line()).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut line = Vec::new();
    let mut bytes = [0; 16 << 10];
    while !line.ends_with(b"\n") {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut bytes) {
            Ok(0) => return Err(sent.err().unwrap_or_else(|| ErrorKind::UnexpectedEof.into())),
            Ok(read) => line.extend_from_slice(&bytes[..read]),
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
        if line.len() as u64 > RESPONSE_BYTES {
            return Err(io::Error::other(format!("it answers with more than {RESPONSE_BYTES} bytes")));
        }
    }
    Ok(line)
}

/// A timeout of zero would be none.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}
