//! An event of the log as a line: `TIME LEVEL MESSAGE NAME=VALUE …` for people, or one object of JSON.
//!
//! No spans, which nobody here opens: what tracing-subscriber sets aside for them is a tenth of a small agent's heap, 40 KiB.
#![forbid(unsafe_code)]

use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use serde::ser::{SerializeMap, Serializer as _};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata, callsite};

use super::{Format, Lines};

/// The level up to which there is something to say, for whoever sets it.
#[derive(Clone)]
pub(super) struct Threshold(Arc<RwLock<LevelFilter>>);

impl Threshold {
    pub(super) fn new(level: LevelFilter) -> Threshold {
        Threshold(Arc::new(RwLock::new(level)))
    }

    /// From now on this one. Each place in the code that logs keeps whether it is on, and is told.
    pub(super) fn set(&self, level: LevelFilter) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = level;
        callsite::rebuild_interest_cache();
    }

    fn level(&self) -> LevelFilter {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes each event to the queue.
pub(super) struct Events {
    pub(super) format: Format,
    pub(super) lines: Lines,
    pub(super) threshold: Threshold,
}

impl Subscriber for Events {
    fn register_callsite(&self, of: &'static Metadata<'static>) -> Interest {
        if self.enabled(of) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.threshold.level())
    }

    fn enabled(&self, of: &Metadata<'_>) -> bool {
        *of.level() <= self.threshold.level()
    }

    fn event(&self, event: &Event<'_>) {
        let now = SystemTime::now();
        match self.format {
            Format::Text => self.lines.say(text(now, event).into_bytes()),
            // A line that JSON cannot say is no line: nothing that is logged is one.
            Format::Json => json(now, event).into_iter().for_each(|line| self.lines.say(line)),
        }
    }

    fn new_span(&self, _of: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn text(now: SystemTime, event: &Event<'_>) -> String {
    let mut line = format!("{} {:>5}", humantime::format_rfc3339_micros(now), event.metadata().level());
    event.record(&mut Text(&mut line));
    line.push('\n');
    line
}

fn json(now: SystemTime, event: &Event<'_>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None).ok()?;
    map.serialize_entry("timestamp", &format_args!("{}", humantime::format_rfc3339_micros(now))).ok()?;
    map.serialize_entry("level", event.metadata().level().as_str()).ok()?;
    let mut fields = Json { map, done: Ok(()) };
    event.record(&mut fields);
    fields.done.and_then(|()| fields.map.end()).ok()?;
    line.push(b'\n');
    Some(line)
}

struct Text<'line>(&'line mut String);

impl Visit for Text<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a string takes all that is written to it");
    }
}

struct Json<M: SerializeMap> {
    map: M,
    done: Result<(), M::Error>,
}

impl<M: SerializeMap> Json<M> {
    fn entry(&mut self, field: &Field, value: impl serde::Serialize) {
        if self.done.is_ok() {
            self.done = self.map.serialize_entry(field.name(), &value);
        }
    }
}

impl<M: SerializeMap> Visit for Json<M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.entry(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.entry(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.entry(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.entry(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.entry(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.entry(field, format_args!("{value:?}"));
    }
}
