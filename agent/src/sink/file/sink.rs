//! The file output as a sink: a snapshot becomes a line, a loss becomes the worker's to count and to say.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use super::{Error, FileOutput, FileSettings};
use crate::sink::encode::json::Json;
use crate::sink::{Sink, SinkError};
use crate::snapshot::Snapshot;

/// A file sink.
pub struct FileSink {
    output: FileOutput,
    json: Json,
    line: Vec<u8>,
}

impl FileSink {
    /// Opens the live file of `settings`.
    ///
    /// # Errors
    /// As [`FileOutput::open`].
    pub fn open(settings: FileSettings) -> Result<FileSink, Error> {
        Ok(FileSink { output: FileOutput::open(settings)?, json: Json::default(), line: Vec::new() })
    }
}

impl Sink for FileSink {
    fn accept(&mut self, snapshot: &Snapshot, gap: u64) -> Result<(), SinkError> {
        self.line.clear();
        self.json.line(snapshot, gap, &mut self.line);
        let timestamp = UNIX_EPOCH + Duration::from_nanos(snapshot.timestamp.0);
        self.output.write(&self.line, timestamp).map_err(|cause| SinkError::Failed(io::Error::other(cause)))
    }

    fn reopen(&mut self) {
        self.output.reopen();
    }

    fn finish(&mut self) {
        if let Err(error) = self.output.close() {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "the last snapshots may not have reached the disk");
        }
    }
}
