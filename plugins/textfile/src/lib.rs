//! Values that other programs leave in a folder, as `*.prom` in Prometheus' text format: the convention of node_exporter's textfile
//! collector.
//!
//! Rows, an option that is a path, and partial failures: what is wrong with a file is said of its row in `files`, and the others go on. A
//! file is taken whole or not at all. A series that a second line or file has again is named, and the first stays. It refuses
//! timestamps, as node_exporter does: what is read here is of now, and a value that says otherwise is no longer in its place.
#![forbid(unsafe_code)]

mod folder;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use plugin_api::prometheus::{Kind, Sample, samples};
use plugin_api::{Collector, ColumnId, Error, Host, Recorder, Schema, TableId, options, perfwatch_plugin};
use serde::Deserialize;

/// How much of a series a message shows.
const NAMED_MAX: usize = 120;
/// The most samples of all files. The rows of a reading are 10,000 where the operator says nothing else, and some are for the files.
const SAMPLES_MAX: usize = 9000;

#[derive(Deserialize)]
struct Options {
    folder: PathBuf,
    stale_after: StaleAfter,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StaleAfter {
    Age(options::Duration),
    /// `off`, the only word.
    Word(#[expect(dead_code, reason = "there is one word, and that there is one says it")] String),
}

struct Textfile {
    folder: PathBuf,
    stale_after: Option<Duration>,
    text: Vec<u8>,
    series: Series,
    tables: Tables,
}

/// The series of a reading so far, by the hash of name and labels: of 9,000 two have the same by accident once in 10¹¹ readings.
#[derive(Default)]
struct Series {
    hasher: RandomState,
    seen: HashSet<u64>,
}

struct Tables {
    counters: TableId,
    total: ColumnId,
    total_millionths: ColumnId,
    gauges: TableId,
    value: ColumnId,
    files: TableId,
    age: ColumnId,
    samples: ColumnId,
}

impl Collector for Textfile {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Self, Error> {
        let mut table = schema.table("counters")?;
        let (counters, total, total_millionths) =
            (table.id(), table.column("total")?, table.column("total_millionths")?);
        let mut table = schema.table("gauges")?;
        let (gauges, value) = (table.id(), table.column("value")?);
        let mut table = schema.table("files")?;
        let (files, age, samples) = (table.id(), table.column("age_minutes")?, table.column("samples")?);
        Ok(Textfile {
            folder: host.root_path(options.folder),
            stale_after: match options.stale_after {
                StaleAfter::Age(age) => Some(age.0),
                StaleAfter::Word(_) => None,
            },
            text: Vec::new(),
            series: Series::default(),
            tables: Tables { counters, total, total_millionths, gauges, value, files, age, samples },
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let listing = folder::list(&self.folder)?;
        self.series.seen.clear();
        for name in &listing.names {
            self.file(name, out);
        }
        if let Some(message) = &listing.left_out {
            out.part_failed("folder", &**message);
        }
        Ok(())
    }
}

impl Textfile {
    fn file(&mut self, name: &OsStr, out: &mut Recorder) {
        let path = self.folder.join(name);
        let written = match folder::read(&path, &mut self.text) {
            Ok(Some(written)) => written,
            // Gone since the folder was listed: nobody misses it.
            Ok(None) => return,
            Err(error) => return out.row(self.tables.files, name.as_bytes()).failed(&error.chain()),
        };
        // A clock that was set back makes a file of the future: it is new.
        let age = SystemTime::now().duration_since(written).unwrap_or_default();
        let mut wrong = stale(age, self.stale_after);
        let read = samples(&self.text).collect::<Result<Vec<_>, _>>().map_err(|wrong| wrong.of(&path).chain());
        let taken = read.and_then(|samples| match self.series.refused(&samples) {
            Some(wrong) => Err(wrong),
            None => Ok(samples),
        });
        let taken = taken.map(|samples| {
            let mut taken = 0u64;
            for sample in &samples {
                if self.series.is_new(sample) {
                    self.tables.set(sample, out);
                    taken += 1;
                } else {
                    let repeated = || {
                        format!("{} was there already, in this file or one before it; the first stays", named(sample))
                    };
                    wrong.get_or_insert_with(repeated);
                }
            }
            taken
        });
        let mut row = out.row(self.tables.files, name.as_bytes());
        row.set(self.tables.age, age.as_secs() / 60);
        row.set(self.tables.samples, taken.as_ref().ok().copied());
        if let Some(wrong) = taken.err().or(wrong) {
            row.failed(&wrong);
        }
    }
}

impl Series {
    /// Why a file with these is not taken.
    fn refused(&self, samples: &[Sample<'_>]) -> Option<String> {
        if let Some(sample) = samples.iter().find(|sample| sample.timestamp.is_some()) {
            return Some(format!("{} has a timestamp, which no value here may have", named(sample)));
        }
        let (before, these) = (self.seen.len(), samples.len());
        let too_many = before + these > SAMPLES_MAX;
        too_many.then(|| {
            format!("it has {these} samples, after {before} in the files before it, and {SAMPLES_MAX} is the most")
        })
    }

    fn is_new(&mut self, sample: &Sample<'_>) -> bool {
        self.seen.insert(self.hasher.hash_one((sample.name, &sample.labels)))
    }
}

impl Tables {
    fn set(&self, sample: &Sample<'_>, out: &mut Recorder) {
        let key = [sample.name, &*sample.labels];
        let value = Some(sample.value).filter(|value| value.is_finite());
        if sample.kind == Kind::Counter {
            let mut row = out.row(self.counters, key);
            row.set(self.total, value);
            row.set(self.total_millionths, sample.millionths());
        } else {
            out.row(self.gauges, key).set(self.value, value);
        }
    }
}

/// A series as a message names it: enough to find it.
fn named(sample: &Sample<'_>) -> String {
    sample.name.chars().chain(sample.labels.chars()).take(NAMED_MAX).collect()
}

/// Says that a file is older than it may be.
fn stale(age: Duration, longest: Option<Duration>) -> Option<String> {
    let longest = longest.filter(|longest| age > *longest)?;
    Some(format!("it was last written {} ago, and `stale_after` is {}", spelt(age), spelt(longest)))
}

/// A length of time in its largest whole unit: what matters is whether it is minutes or days.
fn spelt(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86400),
    }
}

perfwatch_plugin!(Textfile);

#[cfg(test)]
mod tests;
