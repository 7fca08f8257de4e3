//! What a collector in C asks and sets, behind the functions of `host`: ids, options, and the frame of the call that is going on.
//!
//! A mistake is kept until the call into the plugin has returned, and is what it failed with; the first one counts. One that is made
//! between two calls, by a thread of the plugin's, fails the next. What is set goes through a lock: of a thread that goes on setting when its reading is over, nothing comes but the mistake. The lock is never held
//! while the plugin's code runs.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use abi_stable::std_types::{RResult, RSlice, RStr};
use serde_json::Value as Json;

use super::super::door::Failure;
use super::super::manifest::Table;
use super::super::roots::{HostHandle, undeclared};
use super::host::PlainHost;
use crate::abi::{Note, RawFrame, RawHost, RawSpace, Resolve, Root};
use crate::{Cell, ErrorKind};

/// What one collector is given, for as long as it lives.
pub(super) struct Given {
    pub(super) table: PlainHost,
    pub(super) handle: HostHandle,
    options: Options,
    call: Mutex<Call>,
    /// What `table` points at.
    _texts: [CString; 5],
}

// SAFETY: the pointers of `table` lead to `_texts` and to this very value, which are not written while it lives; all else is `Sync`.
unsafe impl Send for Given {}
// SAFETY: as above.
unsafe impl Sync for Given {}

/// The call that is going on, and what it left.
#[derive(Default)]
struct Call {
    reading: Option<Reading>,
    failure: Option<Failure>,
}

/// A reading that is being taken.
struct Reading {
    frame: NonNull<RawFrame>,
    due: Instant,
    row: Option<Begun>,
}

/// The table of the row begun last, and where its cells begin; nowhere where it found no room.
type Begun = (u32, Option<u32>);

// SAFETY: the frame is written only through the lock around the `Call`, whichever thread holds it.
unsafe impl Send for Reading {}

/// What an id names. Never 0, which is what the field of a struct is that was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Metric(u32),
    Table(u32),
    Column(u32, u32),
}

impl Id {
    fn packed(self) -> u64 {
        let pack = |kind: u64, table: u32, place: u32| kind << 56 | u64::from(table) << 32 | u64::from(place);
        match self {
            Id::Metric(place) => pack(1, 0, place),
            Id::Table(table) => pack(2, table, 0),
            Id::Column(table, place) => pack(3, table, place),
        }
    }

    fn unpacked(id: u64) -> Option<Id> {
        let (table, place) = ((id >> 32) as u32 & 0xff_ffff, id as u32);
        match id >> 56 {
            1 => Some(Id::Metric(place)),
            2 => Some(Id::Table(table)),
            3 => Some(Id::Column(table, place)),
            _ => None,
        }
    }
}

impl Given {
    pub(super) fn new(options: &str, handle: HostHandle) -> Result<Arc<Given>, Failure> {
        let failed = |message: String| Failure { kind: ErrorKind::FAILED, message };
        let known = Options::new(options).map_err(failed)?;
        let folder = |which| CString::new(handle.root(which).as_slice());
        let texts =
            [CString::new(options), folder(Root::HOST), folder(Root::PROC), folder(Root::SYS), folder(Root::NET)];
        let [Ok(json), Ok(root), Ok(proc), Ok(sys), Ok(net)] = texts else {
            return Err(failed("its options or the root of the host hold a NUL, which ends a text in C".into()));
        };
        let texts = [json, root, proc, sys, net];
        Ok(Arc::new_cyclic(|given: &Weak<Given>| Given {
            table: PlainHost::new(
                given.as_ptr().cast(),
                [0, 1, 2, 3, 4].map(|text: usize| texts[text].as_ptr()),
                &handle,
            ),
            handle,
            options: known,
            call: Mutex::default(),
            _texts: texts,
        }))
    }

    fn call(&self) -> MutexGuard<'_, Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends a frame to what is set, until [`Given::end`].
    pub(super) fn begin(&self, frame: &mut RawFrame) {
        let due = Instant::now().checked_add(Duration::from_nanos(frame.time_left_ns));
        let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 30));
        self.call().reading = Some(Reading { frame: NonNull::from(frame), due, row: None });
    }

    /// Takes the frame back, and says what the call failed with.
    pub(super) fn end(&self) -> Option<Failure> {
        std::mem::take(&mut *self.call()).failure
    }

    /// Keeps what a call fails with, where it has not failed already.
    pub(super) fn fail(&self, kind: ErrorKind, message: impl FnOnce() -> String) {
        self.call().failure.get_or_insert_with(|| Failure { kind, message: message() });
    }

    pub(super) fn metric(&self, name: &CStr) -> Result<u64, String> {
        self.resolve(Resolve::SCALAR, 0, name).map(|place| Id::Metric(place as u32).packed())
    }

    pub(super) fn table(&self, name: &CStr) -> Result<u64, String> {
        self.resolve(Resolve::TABLE, 0, name).map(|packed| Id::Table(packed as u32).packed())
    }

    pub(super) fn column(&self, table: u64, name: &CStr) -> Result<u64, String> {
        let Some(Id::Table(table)) = Id::unpacked(table) else {
            return Err(format!("column {}: {table} is no table's id", name.to_string_lossy()));
        };
        self.resolve(Resolve::COLUMN, table, name).map(|place| Id::Column(table, place as u32).packed())
    }

    fn resolve(&self, what: Resolve, table: u32, name: &CStr) -> Result<u64, String> {
        match self.handle.resolve(what, table, RStr::from_str(&name.to_string_lossy())) {
            RResult::ROk(packed) => Ok(packed),
            RResult::RErr(message) => Err(message.into_string()),
        }
    }

    /// Of an integer, a bool, a duration in ns, or a size in bytes; 0 where it has no value.
    pub(super) fn option_int(&self, name: &str) -> Result<i64, String> {
        match self.option(name)?.map(|(value, _)| value) {
            None => Ok(0),
            Some(Json::Bool(is_on)) => Ok(i64::from(*is_on)),
            Some(Json::Number(number)) if let Some(value) = number.as_i64() => Ok(value),
            Some(Json::Number(number)) if number.is_u64() => Ok(i64::MAX),
            Some(value) => Err(format!("option {name} is asked for as an integer and is {value}")),
        }
    }

    /// Of a number; 0 where it has no value.
    pub(super) fn option_float(&self, name: &str) -> Result<f64, String> {
        let Some((value, _)) = self.option(name)? else { return Ok(0.0) };
        value.as_f64().ok_or_else(|| format!("option {name} is asked for as a number and is {value}"))
    }

    /// Of any; null where it has no value.
    pub(super) fn option_text(&self, name: &str) -> Result<*const c_char, String> {
        Ok(self.option(name)?.map_or(std::ptr::null(), |(_, text)| text.as_ptr()))
    }

    fn option(&self, name: &str) -> Result<Option<&(Json, CString)>, String> {
        let options = || self.handle.manifest().options.iter().map(|option| option.name.as_str());
        let below = |outer: &str| name.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if options().any(below) { Ok(self.options.0.get(name)) } else { Err(undeclared("option ", name, options())) }
    }

    /// Sets a metric, or a column of the row begun last.
    pub(super) fn set(&self, id: u64, cell: Cell) -> Result<(), String> {
        self.reading(|frame, row| {
            let place = self.place(id, *row)?;
            if let Some(slot) = place.and_then(|place| frame.cells.used().get_mut(place as usize)) {
                *slot = cell;
            }
            Ok(())
        })
    }

    pub(super) fn set_text(&self, id: u64, text: &CStr) -> Result<(), String> {
        self.reading(|frame, row| {
            if let Some(place) = self.place(id, *row)?
                && let Some(text) = frame.push_text(text.to_bytes())
                && let Some(slot) = frame.cells.used().get_mut(place as usize)
            {
                *slot = Cell::text(text.offset, text.len);
            }
            Ok(())
        })
    }

    /// Which cell an id means; none in a row that found no room.
    fn place(&self, id: u64, row: Option<Begun>) -> Result<Option<u32>, String> {
        let manifest = self.handle.manifest();
        match Id::unpacked(id) {
            Some(Id::Metric(place)) if (place as usize) < manifest.metrics.len() => Ok(Some(place)),
            Some(Id::Column(table, place)) if let Some(of) = manifest.tables.get(table as usize) => match row {
                Some((begun, first)) if begun == table && (place as usize) < of.columns.len() => {
                    Ok(first.map(|first| first + of.keys.len() as u32 + place))
                }
                _ => Err(format!("a column of {} was set and no row of it is begun: call host->row before", of.name)),
            },
            _ => Err(format!(
                "{id} is no id of a metric or a column: look it up in create by host->metric or host->column"
            )),
        }
    }

    /// How many keys a row of this table has.
    pub(super) fn keys(&self, table: u64) -> Result<usize, String> {
        self.declared(table).map(|(_, table)| table.keys.len())
    }

    /// Begins a row of a table, with as many keys as it has.
    pub(super) fn row(&self, table: u64, keys: &[&[u8]]) -> Result<(), String> {
        let (place, table) = self.declared(table)?;
        self.reading(|frame, row| {
            *row = Some((place, frame.push_row(place, keys, table.columns.len())));
            Ok(())
        })
    }

    fn declared(&self, table: u64) -> Result<(u32, &Table), String> {
        match Id::unpacked(table) {
            Some(Id::Table(place)) if let Some(table) = self.handle.manifest().tables.get(place as usize) => {
                Ok((place, table))
            }
            _ => Err(format!("{table} is no id of a table: look it up in create by host->table")),
        }
    }

    pub(super) fn row_failed(&self, message: &CStr) -> Result<(), String> {
        self.reading(|frame, row| {
            let (_, first) = row.ok_or("row_failed was called and no row is begun: call host->row before")?;
            if let Some(first) = first {
                frame.push_note(first, b"", message.to_bytes());
            }
            Ok(())
        })
    }

    pub(super) fn part_failed(&self, part: &CStr, message: &CStr) -> Result<(), String> {
        self.reading(|frame, _| {
            frame.push_note(Note::PART, part.to_bytes(), message.to_bytes());
            Ok(())
        })
    }

    /// How long the reading has; 0 outside of one.
    pub(super) fn time_left(&self) -> Duration {
        let due = self.call().reading.as_ref().map(|reading| reading.due);
        due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()))
    }

    pub(super) fn log(&self, level: u32, message: &str) {
        self.handle.log(level, RStr::from_str(message));
    }

    pub(super) fn space(&self, path: &CStr) -> Result<RawSpace, i32> {
        self.handle.statvfs(RSlice::from_slice(path.to_bytes())).into_result()
    }

    fn reading<T>(
        &self,
        write: impl FnOnce(&mut RawFrame, &mut Option<Begun>) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut call = self.call();
        let Some(Reading { frame, row, .. }) = &mut call.reading else {
            return Err("a value was set and no reading is being taken: set values in collect only".into());
        };
        // SAFETY: `begin` made it of an exclusive borrow that lasts until `end` has taken the pointer back, through the lock that is
        // held here, so that this is the only way to the frame.
        write(unsafe { frame.as_mut() }, row)
    }
}

/// The options that have a value, by name, each as it crosses to a plugin and as a text. An entry of a list or a map has a name of its
/// own: `only.0`, `labels.region`.
struct Options(BTreeMap<String, (Json, CString)>);

impl Options {
    fn new(json: &str) -> Result<Options, String> {
        let json = serde_json::from_str(json).map_err(|cause| format!("could not read the options: {cause}"))?;
        let mut options = Options(BTreeMap::new());
        options.add(String::new(), json)?;
        Ok(options)
    }

    fn add(&mut self, name: String, value: Json) -> Result<(), String> {
        let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        match &value {
            Json::Object(entries) => {
                entries.iter().try_for_each(|(key, value)| self.add(below(key), value.clone()))?;
            }
            Json::Array(entries) => {
                entries
                    .iter()
                    .enumerate()
                    .try_for_each(|(at, value)| self.add(below(&at.to_string()), value.clone()))?;
            }
            _ => {}
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text = CString::new(text).map_err(|_| format!("option {name} holds a NUL, which ends a text in C"))?;
        self.0.insert(name, (value, text));
        Ok(())
    }
}
