//! A kernel file that is read again and again: the one place where a plugin's files are opened and read.
//!
//! The descriptor stays open (opening costs 4–10 µs a file, a read from the start 2) and the buffer is kept, so that a
//! steady reading allocates nothing. It promises the whole file or an error, and never more memory than [`LARGEST`].
//! It does not watch, and it does not read in part: files of which only the head matters are few and short.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{Error as IoError, ErrorKind as IoErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::Error;

/// The first buffer: a page, which holds all of most files.
const FIRST: usize = 4096;

/// The buffer that a small file keeps at least: the frequencies of 512 cores are 512 files of 8 bytes, and would keep 2 MiB in pages.
const SMALL: usize = 64;

/// The largest file that is read. The largest known, `net/tcp` of a host with 100,000 sockets, has 15 MB; past this a
/// file is an accident, and a reading that takes a second and its size in memory helps nobody.
const LARGEST: usize = 16 << 20;

/// A file of procfs or sysfs: the descriptor stays open, the buffer is reused.
///
/// ```
/// use plugin_api::{ProcFile, scan};
///
/// # fn main() -> Result<(), plugin_api::Error> {
/// let mut file = ProcFile::open("/proc/uptime")?.in_one_read(); // a plugin: host.proc("uptime")?.in_one_read()
/// let seconds = scan::fields(file.read()?).next().and_then(scan::f64);
/// assert!(seconds.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ProcFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// A read that leaves room in the buffer has reached the end.
    one_read: bool,
}

impl ProcFile {
    /// Opens the file. For procfs [`Host::proc`](crate::Host::proc) is shorter.
    ///
    /// # Errors
    /// It cannot be opened; [`ErrorKind::DENIED`](crate::ErrorKind::DENIED) where it may not be.
    pub fn open(path: impl Into<PathBuf>) -> Result<ProcFile, Error> {
        let path = path.into();
        let file = File::open(&path).map_err(|cause| failed("open", &path, cause))?;
        Ok(ProcFile { path, file, buffer: Vec::new(), one_read: false })
    }

    /// Says that the kernel writes this file in one piece: a sysfs attribute, or a file of procfs made with
    /// `single_open` (`stat`, `loadavg`, `meminfo`). It saves the read that only finds the end, which files of many
    /// records (`diskstats`, `mountinfo`, `vmstat`, `net/dev`) need: they come in pieces of a page or less.
    pub fn in_one_read(mut self) -> ProcFile {
        self.one_read = true;
        self
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file, from its beginning. A descriptor whose file is gone and came again under the same name
    /// (the attribute of a device or core that was unplugged) is opened anew, once.
    ///
    /// The bytes are valid until the next reading, and come from a buffer that is kept: 4 KiB at first, doubled as the file needs;
    /// of a file in one read that is much smaller, twice its size.
    ///
    /// # Errors
    /// It cannot be read, or is larger than 16 MiB.
    pub fn read(&mut self) -> Result<&[u8], Error> {
        let len = match self.fill() {
            Err(cause) if is_stale(&cause) => {
                self.file = File::open(&self.path).map_err(|cause| failed("open", &self.path, cause))?;
                self.fill()
            }
            filled => filled,
        }
        .map_err(|cause| failed("read", &self.path, cause))?;
        Ok(&self.buffer[..len])
    }

    fn fill(&mut self) -> Result<usize, IoError> {
        let is_first = self.buffer.is_empty();
        let mut len = 0;
        loop {
            if len == self.buffer.len() {
                if len >= LARGEST {
                    return Err(IoError::other(format!("it is larger than {} MiB", LARGEST >> 20)));
                }
                self.buffer.resize((2 * len).max(FIRST), 0);
            }
            match self.file.read_at(&mut self.buffer[len..], len as u64) {
                Ok(0) => return Ok(len),
                Ok(more) => len += more,
                Err(cause) if cause.kind() == IoErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
            if self.one_read && len < self.buffer.len() {
                if is_first && 8 * len < FIRST {
                    self.buffer.truncate((2 * len).max(SMALL));
                    self.buffer.shrink_to_fit();
                }
                return Ok(len);
            }
        }
    }
}

/// For `poll`: some files of procfs tell that they have changed.
impl AsFd for ProcFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn is_stale(cause: &IoError) -> bool {
    let stale = [Errno::STALE, Errno::NODEV].map(Errno::raw_os_error);
    cause.raw_os_error().is_some_and(|errno| stale.contains(&errno))
}

fn failed(what: &str, path: &Path, cause: IoError) -> Error {
    let message = format!("could not {what} {}", path.display());
    let error = match cause.kind() {
        IoErrorKind::PermissionDenied => Error::denied(message),
        _ => Error::failed(message),
    };
    error.because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn file(content: &[u8]) -> (tempfile::TempDir, ProcFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat");
        std::fs::write(&path, content).unwrap();
        let file = ProcFile::open(path).unwrap();
        (folder, file)
    }

    #[test]
    fn every_reading_starts_at_the_beginning_and_sees_the_file_of_now() {
        let (_folder, mut file) = file(b"one");
        assert_eq!(file.read().unwrap(), b"one");
        std::fs::write(file.path(), b"second").unwrap();
        assert_eq!(file.read().unwrap(), b"second");
        std::fs::write(file.path(), b"3").unwrap();
        assert_eq!(file.read().unwrap(), b"3", "nothing of the last reading is left");
    }

    #[test]
    fn a_file_of_any_size_up_to_the_limit_is_read_whole() {
        for len in [0, 1, FIRST - 1, FIRST, FIRST + 1, 3 * FIRST, LARGEST - 1] {
            let content: Vec<u8> = (0..len).map(|at| at as u8).collect();
            for one_read in [false, true] {
                let (_folder, mut file) = file(&content);
                file.one_read = one_read;
                assert_eq!(file.read().unwrap(), content, "{len} {one_read}");
            }
        }
    }

    #[test]
    fn a_file_without_end_is_an_error_and_bounded() {
        let mut file = ProcFile::open("/dev/zero").unwrap();
        let error = file.read().unwrap_err();
        assert_eq!(error.chain(), "could not read /dev/zero: it is larger than 16 MiB");
        assert_eq!(file.buffer.len(), LARGEST);
    }

    #[test]
    fn the_buffer_grows_only_when_needed() {
        let (_folder, mut file) = file(&[b'x'; 5000]);
        file.read().unwrap();
        let before = (file.buffer.as_ptr(), file.buffer.len());
        file.read().unwrap();
        assert_eq!((file.buffer.as_ptr(), file.buffer.len()), before);
        assert_eq!(before.1, 2 * FIRST);
    }

    #[test]
    fn a_small_file_keeps_a_small_buffer_and_is_read_whole_when_it_grows() {
        let (_folder, mut file) = file(b"2000000\n");
        file.one_read = true;
        assert_eq!(file.read().unwrap(), b"2000000\n");
        let small = (file.buffer.as_ptr(), file.buffer.capacity());
        assert_eq!(small.1, SMALL);
        assert_eq!(file.read().unwrap(), b"2000000\n");
        assert_eq!((file.buffer.as_ptr(), file.buffer.capacity()), small);
        std::fs::write(file.path(), [b'x'; 1000]).unwrap();
        assert_eq!(file.read().unwrap(), [b'x'; 1000]);
    }

    #[test]
    fn a_kernel_file_comes_whole_with_either_way_of_reading() {
        for path in ["/proc/self/status", "/proc/self/mountinfo"] {
            let mut file = ProcFile::open(path).unwrap();
            let expected = std::fs::read(path).unwrap();
            assert_eq!(
                file.read().unwrap().split(|byte| *byte == b'\n').count(),
                expected.split(|byte| *byte == b'\n').count()
            );
        }
        let mut file = ProcFile::open("/proc/version").unwrap().in_one_read();
        assert_eq!(file.read().unwrap(), std::fs::read("/proc/version").unwrap());
    }

    #[test]
    fn errors_say_what_could_not_be_done_to_which_file() {
        let error = ProcFile::open("/proc/no_such_file").unwrap_err();
        assert_eq!(error.to_string(), "could not open /proc/no_such_file");
        assert!(error.chain().ends_with(": No such file or directory (os error 2)"));
        let mut folder = ProcFile::open("/proc").unwrap();
        assert_eq!(folder.read().unwrap_err().to_string(), "could not read /proc");
    }

    #[test]
    fn only_a_file_that_went_away_is_opened_anew() {
        let errno = |errno: Errno| is_stale(&IoError::from_raw_os_error(errno.raw_os_error()));
        assert!(errno(Errno::NODEV) && errno(Errno::STALE));
        assert!(!errno(Errno::IO) && !errno(Errno::ACCESS));
    }

    #[test]
    fn what_is_not_permitted_is_told_from_what_failed() {
        let denied = failed("read", Path::new("/x"), IoError::from(IoErrorKind::PermissionDenied));
        assert_eq!(denied.kind(), ErrorKind::DENIED);
        let error = failed("read", Path::new("/x"), IoError::from(IoErrorKind::NotFound));
        assert_eq!(error.kind(), ErrorKind::FAILED);
    }
}
