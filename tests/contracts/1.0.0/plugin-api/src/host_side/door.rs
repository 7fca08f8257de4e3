//! The door: one call into a plugin, a checked frame out.
//!
//! Nothing of the ABI passes it. The agent sees a [`Module`] that makes [`Instance`]s, and an instance that fills a
//! [`Frame`]; raw pointers live for the time of one call. A call moves nothing but what it is given: the instance and
//! the frame go in and come back, so a call that never returns keeps them, and the agent holds no reference.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use abi_stable::std_types::{RResult, RStr};

use super::check::Check;
use super::frame::Frame;
use super::plain;
use super::roots::HostHandle;
use super::shape::Shape;
use crate::abi::{Buffer, CollectorObject, PluginModuleRef, RawCollector_TO, RawFrame, RawHost_TO, Text, Which};
use crate::{Collector, Error, ErrorKind, Host, Schema};

/// A plugin's code, loaded. It is never unloaded.
#[derive(Clone, Copy)]
pub struct Module {
    entry: Entry,
}

/// The two ways into a library.
#[derive(Clone, Copy)]
enum Entry {
    Rust(PluginModuleRef),
    Plain(plain::Entry),
}

/// Why a collector could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// The plugin's words.
    pub message: String,
}

impl Module {
    pub(crate) fn new(module: PluginModuleRef) -> Module {
        Module { entry: Entry::Rust(module) }
    }

    pub(super) fn plain(entry: plain::Entry) -> Module {
        Module { entry: Entry::Plain(entry) }
    }

    /// The module of a collector that is linked into this program: for test kits.
    pub fn linked<C: crate::Collector>() -> Module {
        Module::new(crate::export::module::<C>())
    }

    /// Makes a collector from its options, a JSON text.
    ///
    /// # Errors
    /// What the plugin says, or that it panicked.
    pub fn create(&self, options: &str, host: HostHandle) -> Result<Instance, Failure> {
        let opaque = abi_stable::erased_types::TD_Opaque;
        let object = match self.entry {
            Entry::Rust(module) => match module.create()(RStr::from_str(options), RawHost_TO::from_value(host, opaque))
            {
                RResult::ROk(object) => object,
                RResult::RErr(error) => {
                    return Err(Failure { kind: ErrorKind(error.kind), message: error.message.into_string() });
                }
            },
            Entry::Plain(entry) => RawCollector_TO::from_value(plain::Plain::create(entry, options, host)?, opaque),
        };
        Ok(Instance { object, check: Check::default() })
    }
}

/// A collector, as the agent holds it.
pub struct Instance {
    object: CollectorObject,
    check: Check,
}

impl Instance {
    /// A collector that is linked into this program and made by `make`: the agent's own, or a mock of a test.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn linked<C: Collector>(
        host: HostHandle,
        make: impl FnOnce(&Host, &mut Schema) -> Result<C, Error>,
    ) -> Result<Instance, Failure> {
        let object = Arc::new(RawHost_TO::from_value(host, abi_stable::erased_types::TD_Opaque));
        let made = make(&Host::new(Arc::clone(&object)), &mut Schema::new(&object));
        let collector = made.map_err(|error| Failure { kind: error.kind(), message: error.chain() })?;
        Ok(Instance { object: crate::export::guarded(collector), check: Check::default() })
    }

    /// Takes one reading into `frame`, which has `shape`, and checks it.
    pub fn collect(&mut self, frame: &mut Frame, shape: &Shape, time_left: Duration) {
        self.collect_unchecked(frame, shape.scalars.len(), time_left);
        self.check.pass(frame, shape);
    }

    /// Takes one reading into `frame`, which has so many scalars, and leaves it as the plugin wrote it: for a child, whose
    /// agent checks what it sends.
    pub fn collect_unchecked(&mut self, frame: &mut Frame, scalars: usize, time_left: Duration) {
        frame.begin(scalars);
        let limits = frame.limits;
        let memory: *mut Frame = frame;
        // SAFETY: `memory` comes from the exclusive borrow above and is the only way to the frame until the call
        // below has returned; each buffer's pointer stays valid until `grow` replaces it.
        let mut raw = unsafe {
            RawFrame {
                outcome: ErrorKind::FAILED.0,
                lost_rows: 0,
                lost_texts: 0,
                reserved: 0,
                time_left_ns: time_left.as_nanos().try_into().unwrap_or(u64::MAX),
                message: Text::default(),
                cells: lend(&mut (*memory).cells, limits.cells),
                rows: lend(&mut (*memory).rows, limits.rows),
                notes: lend(&mut (*memory).notes, limits.notes),
                text: lend(&mut (*memory).text, limits.text),
                memory: memory.cast(),
                grow,
            }
        };
        self.object.collect(&mut raw);
        frame.outcome = ErrorKind(raw.outcome);
        frame.message = raw.message;
        frame.lost_rows = raw.lost_rows;
        frame.lost_texts = raw.lost_texts;
        frame.cells.adopt(raw.cells.len);
        frame.rows.adopt(raw.rows.len);
        frame.notes.adopt(raw.notes.len);
        frame.text.adopt(raw.text.len);
        // A plugin that shortened the run of scalars gets them back, as it left them.
        frame.cells.len = frame.cells.len.max(scalars);
    }
}

/// The arena may be larger than the budget: the check puts mended texts behind it.
fn lend<T: Copy + Default>(part: &mut super::frame::Part<T>, limit: u32) -> Buffer<T> {
    let capacity = (part.memory.len() as u32).min(limit);
    Buffer { first: part.memory.as_mut_ptr(), len: part.len as u32, capacity }
}

/// [`RawFrame::grow`].
unsafe extern "C" fn grow(memory: *mut c_void, which: Which, at_least: u32, first: *mut *mut c_void) -> u32 {
    // SAFETY: `memory` is the pointer that `collect` made from its exclusive borrow of a frame, whose call is still
    // going on; `first` is a live local of the plugin's `room`.
    let (frame, first) = unsafe { (&mut *memory.cast::<Frame>(), &mut *first) };
    let limits = frame.limits;
    let at_least = at_least as usize;
    match which {
        Which::CELLS => enlarge(&mut frame.cells, at_least, limits.cells, first),
        Which::ROWS => enlarge(&mut frame.rows, at_least, limits.rows, first),
        Which::NOTES => enlarge(&mut frame.notes, at_least, limits.notes, first),
        Which::TEXT => enlarge(&mut frame.text, at_least, limits.text, first),
        _ => 0,
    }
}

fn enlarge<T: Copy + Default>(
    part: &mut super::frame::Part<T>,
    at_least: usize,
    limit: u32,
    first: &mut *mut c_void,
) -> u32 {
    if !part.room(at_least, limit as usize) {
        return 0;
    }
    *first = part.memory.as_mut_ptr().cast();
    (part.memory.len() as u32).min(limit)
}

#[cfg(test)]
mod tests;
