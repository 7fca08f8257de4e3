//! A kernel file that is read again and again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::Error;

/// A file of procfs or sysfs: the descriptor stays open, the buffer is reused.
pub struct ProcFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl ProcFile {
    /// Opens the file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: PathBuf) -> Result<ProcFile, Error> {
        let file = File::open(&path)
            .map_err(|cause| Error::failed(format!("could not open {}", path.display())).because(cause))?;
        Ok(ProcFile { path, file, buffer: vec![0; 4096] })
    }

    /// Reads the whole file, from its beginning.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self) -> Result<&[u8], Error> {
        let mut len = 0;
        loop {
            if len == self.buffer.len() {
                self.buffer.resize(2 * len, 0);
            }
            let more = self
                .file
                .read_at(&mut self.buffer[len..], len as u64)
                .map_err(|cause| Error::failed(format!("could not read {}", self.path.display())).because(cause))?;
            if more == 0 {
                return Ok(&self.buffer[..len]);
            }
            len += more;
        }
    }
}
