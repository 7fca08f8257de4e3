//! The plain entry: a collector in C, by the one struct that `include/perfwatch.h` has it export.
//!
//! Promises that such a collector is a [`RawCollector`] like any other: what it sets by functions of the agent's lands in the same frame,
//! under the same check. What it is given is checked here (`host`): an id, a text or a count that is none is worded as the failure of the
//! constructor or the reading, and touches nothing. Nothing guards against what C itself does not: a wild pointer, `abort`, an exception of C++.
//!
//! Frozen for 1.x as the rest of the data path is: `PlainPlugin` and `PlainHost` begin with their size and only grow behind
//! their last field, in a new minor contract.
#![allow(unsafe_code)]

mod given;
mod host;
#[cfg(test)]
mod tests;

use std::ffi::{c_char, c_int, c_void};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use self::given::Given;
use self::host::PlainHost;
use super::door::{Failure, Module};
use super::roots::HostHandle;
use crate::ErrorKind;
use crate::abi::{RawCollector, RawFrame};

/// The symbol of a `PlainPlugin`.
pub const PLAIN_SYMBOL: &str = "perfwatch_plugin_v1";

type Create = unsafe extern "C" fn(host: *const PlainHost) -> *mut c_void;
type Collect = unsafe extern "C" fn(this: *mut c_void, host: *const PlainHost) -> c_int;
type Destroy = unsafe extern "C" fn(this: *mut c_void);

/// `struct perfwatch_plugin`, as a library exports it.
#[repr(C)]
#[derive(Clone, Copy)]
struct PlainPlugin {
    size: usize,
    contract: u32,
    /// Only there so that the linker keeps the section: the agent has read it from the file.
    manifest: *const c_char,
    create: Option<Create>,
    collect: Option<Collect>,
    destroy: Option<Destroy>,
}

/// A library in C whose entry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlainError {
    /// The struct is shorter than contract 1.0 has it, in bytes.
    Size(usize),
    /// It was built against another major contract, `major << 16 | minor`.
    Contract(u32),
    /// This function of it is NULL.
    Missing(&'static str),
}

impl fmt::Display for PlainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlainError::Size(size) => {
                let needed = size_of::<PlainPlugin>();
                write!(
                    f,
                    "its {PLAIN_SYMBOL} has {size} bytes and not {needed}: export it by PERFWATCH_PLUGIN of perfwatch.h"
                )
            }
            PlainError::Contract(theirs) => {
                let (major, minor, ours) = (theirs >> 16, theirs & 0xffff, crate::CONTRACT >> 16);
                write!(
                    f,
                    "it was built against contract {major}.{minor}, and this agent speaks {ours}.x: build it with this agent's perfwatch.h"
                )
            }
            PlainError::Missing(name) => {
                write!(f, "its {PLAIN_SYMBOL} has NULL for {name}: give PERFWATCH_PLUGIN all three functions")
            }
        }
    }
}

impl std::error::Error for PlainError {}

/// The three functions of a library.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    create: Create,
    collect: Collect,
    destroy: Destroy,
}

/// The module behind the symbol [`PLAIN_SYMBOL`].
///
/// # Safety
/// `symbol` is its address in a library that is never unloaded.
///
/// # Errors
/// The struct there is none of contract 1.x.
pub unsafe fn module(symbol: NonNull<c_void>) -> Result<Module, PlainError> {
    let symbol = symbol.cast::<PlainPlugin>();
    // SAFETY: the struct of every version begins with its size, which says how much of it there is; nothing behind that is read. It may
    // lie unaligned, and is copied.
    let size = unsafe { symbol.cast::<usize>().read_unaligned() };
    if size < size_of::<PlainPlugin>() {
        return Err(PlainError::Size(size));
    }
    // SAFETY: the library says that it has all these bytes; any bits are a `PlainPlugin`, whose functions may be NULL.
    let plugin = unsafe { symbol.read_unaligned() };
    if plugin.contract >> 16 != crate::CONTRACT >> 16 {
        return Err(PlainError::Contract(plugin.contract));
    }
    Ok(Module::plain(Entry {
        create: plugin.create.ok_or(PlainError::Missing("create"))?,
        collect: plugin.collect.ok_or(PlainError::Missing("collect"))?,
        destroy: plugin.destroy.ok_or(PlainError::Missing("destroy"))?,
    }))
}

/// A collector in C.
pub(super) struct Plain {
    entry: Entry,
    /// What `create` made, and the other two are given.
    this: *mut c_void,
    given: Arc<Given>,
}

// SAFETY: perfwatch.h promises `collect` and `destroy` one caller at a time and not always the same thread, and an author answers for it;
// what the agent gives is shared among threads behind a lock.
unsafe impl Send for Plain {}

impl Plain {
    /// Makes a collector from its options, a JSON text.
    pub(super) fn create(entry: Entry, options: &str, host: HostHandle) -> Result<Plain, Failure> {
        let given = Given::new(options, host)?;
        // SAFETY: the library's own constructor, of a contract that we speak; what it is given lives as long as the collector.
        let this = unsafe { (entry.create)(&raw const given.table) };
        // Before the failure is looked at: whatever was made is destroyed.
        let plain = Plain { entry, this, given };
        match plain.given.end() {
            Some(failure) => Err(failure),
            None if this.is_null() => Err(Failure {
                kind: ErrorKind::FAILED,
                message: "its create returned NULL and did not say why: call host->fail before".into(),
            }),
            None => Ok(plain),
        }
    }
}

impl RawCollector for Plain {
    fn collect(&mut self, frame: &mut RawFrame) {
        self.given.begin(frame);
        // SAFETY: `this` is what `create` returned, not destroyed yet, and this is the one call at a time; the frame is lent through
        // `given` until `end` takes it back.
        let returned = unsafe { (self.entry.collect)(self.this, &raw const self.given.table) };
        let failure = self.given.end().or_else(|| {
            let message = format!(
                "its collect returned {returned} and did not say why: return what host->fail returns, and else 0"
            );
            (returned != 0).then_some(Failure { kind: ErrorKind::FAILED, message })
        });
        frame.outcome = failure.as_ref().map_or(ErrorKind::NONE, |failure| failure.kind).0;
        frame.message = failure.and_then(|failure| frame.push_text(failure.message.as_bytes())).unwrap_or_default();
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        if !self.this.is_null() {
            // SAFETY: what `create` returned, here for the last time; what the agent gave is dropped only after this.
            unsafe { (self.entry.destroy)(self.this) }
        }
    }
}
