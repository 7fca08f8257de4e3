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
}

impl FileSink {
    /// Opens the live file of `settings`.
    ///
    /// # Errors
    /// As [`FileOutput::open`].
    pub fn open(settings: FileSettings) -> Result<FileSink, Error> {
        Ok(FileSink { output: FileOutput::open(settings)?, json: Json::default() })
    }
}

impl Sink for FileSink {
    fn accept(&mut self, snapshot: &Snapshot, gap: u64) -> Result<(), SinkError> {
        let line = self.json.line(snapshot, gap);
        let timestamp = UNIX_EPOCH + Duration::from_nanos(snapshot.timestamp.0);
        self.output.write(line, timestamp).map_err(|cause| SinkError::Failed(io::Error::other(cause)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Identity, Wall};
    use std::fs;
    use std::sync::Arc;

    fn snapshot(second: u64, sequence: u64) -> Snapshot {
        let identity = Identity { host: None, run: "0".repeat(32), labels: Vec::new() };
        let timestamp = Wall(second * 1_000_000_000);
        Snapshot {
            timestamp,
            sequence,
            identity: Arc::new(identity),
            sections: Vec::new(),
            roster: Arc::default(),
            events: Vec::new(),
        }
    }

    #[test]
    fn the_time_of_a_snapshot_rotates_and_is_read_back_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = FileSettings::new(folder.path().join("s.jsonl"));
        settings.min_free.0 = 0;
        settings.rotate.every.0 = Duration::from_secs(86_400);
        for (second, sequence) in [(1_795_392_000, 0), (1_795_478_399, 1), (1_795_478_400, 2)] {
            let mut sink = FileSink::open(settings.clone()).unwrap();
            sink.accept(&snapshot(second, sequence), 0).unwrap();
            sink.finish();
        }
        let lines = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap().lines().count();
        assert_eq!((lines("s.2026-11-23T00-00-00Z.jsonl"), lines("s.jsonl")), (2, 1));
    }

    #[test]
    fn a_snapshot_that_cannot_be_written_fails_with_its_cause() {
        let mut sink = FileSink::open(FileSettings::new("/dev/full")).unwrap();
        match sink.accept(&snapshot(0, 0), 0) {
            Err(SinkError::Failed(error)) => assert_eq!(error.to_string(), "the disk is full"),
            other => panic!("{other:?}"),
        }
    }
}
