//! The sinks of a plan: checked before anything is opened, opened, put to work.
#![forbid(unsafe_code)]

use std::fs::File;
use std::sync::Arc;

use plugin_api::host_side::options::Settings;
use tokio::sync::Notify;

use super::{From, Setup, SetupError};
use crate::assemble;
use crate::config::good;
use crate::config::plan::{Format, SinkKind, SinkPlan};
use crate::sink::encode::json::Json;
use crate::sink::file::{self, FileSettings, FileSink};
use crate::sink::stdout::{self, Stdout};
use crate::sink::worker::Worker;
use crate::sink::{Sink, Sinks};

/// Sinks that are open, and wait for snapshots.
pub struct Opened {
    pub(super) sinks: Sinks,
    /// Told when the last of them has lost its reader.
    pub(super) closed: Arc<Notify>,
    pub(super) output: Option<Arc<File>>,
}

impl Setup {
    /// The sinks of this configuration, open, and itself. Where one cannot be opened, those of the copy of the last one that was good,
    /// and that, with its remarks logged. Where those cannot be opened either, it is not the configuration that is at fault.
    ///
    /// # Errors
    /// One cannot be opened, or none is left.
    pub fn open_or_last_good(self, output: Option<Arc<File>>) -> Result<(Setup, Opened), SetupError> {
        let error = match self.open(output.clone()) {
            Ok(opened) => return Ok((self, opened)),
            Err(error) => error,
        };
        let copy = match &self.from {
            From::File(path) if self.config.stands_in().is_none() => {
                let refused = good::refused_for(&self.config, assemble::chain(&error));
                Setup::of_last_good(path.as_deref(), refused).ok()
            }
            From::File(_) | From::Text(_) => None,
        };
        let Some(copy) = copy.filter(|copy| copy.can_run().is_ok()) else { return Err(error) };
        let Ok(opened) = copy.open(output) else { return Err(error) };
        copy.log_remarks();
        Ok((copy, opened))
    }

    /// Opens the sinks and puts them to work. Without an `output`, in a program of somebody else, those of standard output are
    /// passed over, and there may be none at all.
    ///
    /// # Errors
    /// One cannot be opened, or none is left.
    pub fn open(&self, output: Option<Arc<File>>) -> Result<Opened, SetupError> {
        let closed = Arc::new(Notify::new());
        Ok(Opened { sinks: self.sinks(output.as_deref(), &closed)?, closed, output })
    }

    fn sinks(&self, output: Option<&File>, closed: &Arc<Notify>) -> Result<Sinks, SetupError> {
        let mut opened: Vec<(&SinkPlan, Box<dyn Sink>)> = Vec::new();
        for plan in &self.plan.sinks {
            match &plan.kind {
                Ok(_) => opened.extend(open(plan, output)?.map(|open| (plan, open))),
                Err(why) => tracing::error!(sink = plan.name, "{why}"),
            }
        }
        if opened.is_empty() && output.is_some() {
            return Err(SetupError::NoSink);
        }
        let sinks = Sinks::new(Arc::clone(closed));
        let workers = opened.into_iter().map(|(plan, sink)| start_sink(plan, sink, &sinks));
        let workers = workers.collect::<Result<_, _>>()?;
        sinks.change(&[], workers);
        Ok(sinks)
    }
}

fn file_settings(settings: &Settings) -> serde_json::Result<FileSettings> {
    serde_json::from_str(&settings.json())
}

/// What a sink has against its settings, before it is opened.
pub(super) fn sink_check(kind: SinkKind, settings: &Settings) -> Result<(), (String, String)> {
    match kind {
        SinkKind::Stdout(_) => Ok(()),
        SinkKind::File => match file_settings(settings).map(|settings| settings.check()) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(file::Error::Setting { key, problem })) => Err((key.to_owned(), problem)),
            Ok(Err(error)) => Err(("path".to_owned(), assemble::chain(&error))),
            // Every value was checked against its declaration: the two differ.
            Err(error) => Err(("type".to_owned(), error.to_string())),
        },
    }
}

/// Puts an open sink to work.
pub(crate) fn start_sink(plan: &SinkPlan, sink: Box<dyn Sink>, sinks: &Sinks) -> Result<Worker, SetupError> {
    Worker::start(plan.name.as_str().into(), plan.word(), sink, sinks.on_closed())
        .map_err(|cause| SetupError::System("start a thread", cause))
}

/// Opens a sink; none where it is passed over, as nobody's standard output is given.
pub(crate) fn open(sink: &SinkPlan, output: Option<&File>) -> Result<Option<Box<dyn Sink>>, SetupError> {
    let failed = |cause| SetupError::Sink { name: sink.name.clone(), cause };
    match &sink.kind {
        Err(_) => Ok(None),
        Ok(SinkKind::Stdout(format)) => {
            let Some(output) = output else { return Ok(None) };
            let output = output.try_clone().map_err(|cause| failed(cause.into()))?;
            let format = match format {
                Format::Auto => stdout::Format::auto(&output, true),
                Format::Json => stdout::Format::Json(Json::default()),
                Format::Table => stdout::Format::table(&output, true),
            };
            Ok(Some(Box::new(Stdout::new(output, format))))
        }
        Ok(SinkKind::File) => {
            let settings = file_settings(&sink.settings).map_err(|cause| failed(cause.into()))?;
            Ok(Some(Box::new(FileSink::open(settings).map_err(|cause| failed(cause.into()))?)))
        }
    }
}
