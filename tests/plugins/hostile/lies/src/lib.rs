//! Fills its frame with what no honest plugin writes: unknown tags, places outside of the memory it was given, rows of no table. Whatever
//! it writes, the agent says what is wrong in its section and lives.
#![allow(non_upper_case_globals)]

use std::ffi::c_void;

use abi_stable::library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RResult, RStr};
use plugin_api::abi::{
    CollectorObject, HostObject, Note, PluginModule, PluginModuleRef, RawCollector, RawCollector_TO, RawError,
    RawFrame, RowHead, Text, Which,
};
use plugin_api::{Cell, Tag};

const MANIFEST: &[u8] = include_bytes!("../plugin.toml");

#[used]
#[unsafe(link_section = ".perfwatch")]
static SECTION: [u8; MANIFEST.len()] = *include_bytes!("../plugin.toml");

#[derive(serde::Deserialize)]
struct Options {
    lie: Lie,
}

/// The places: metric 0 is a number, metric 1 a text; metric 2 is no lie.
#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Lie {
    Tag,
    TextOutside,
    TextNotUtf8,
    RowOutside,
    RowOfNoTable,
    NoteOutside,
    MessageOutside,
    Outcome,
    Bool,
    Nan,
}

/// What a plugin in C would see of a buffer.
#[repr(C)]
struct Buffer<T> {
    first: *mut T,
    len: u32,
    capacity: u32,
}

/// What a plugin in C would see of [`RawFrame`], whose fields are its own crate's.
#[repr(C)]
struct Frame {
    outcome: u32,
    lost_rows: u32,
    lost_texts: u32,
    reserved: u32,
    time_left_ns: u64,
    message: Text,
    cells: Buffer<Cell>,
    rows: Buffer<RowHead>,
    notes: Buffer<Note>,
    text: Buffer<u8>,
    memory: *mut c_void,
    grow: unsafe extern "C" fn(memory: *mut c_void, which: Which, at_least: u32, first: *mut *mut c_void) -> u32,
}

const _: () = assert!(size_of::<Frame>() == size_of::<RawFrame>());

struct Liar(Lie);

const FAR: u32 = u32::MAX - 7;
const NOWHERE: Text = Text { offset: FAR, len: 100 };

impl RawCollector for Liar {
    fn collect(&mut self, frame: &mut RawFrame) {
        let frame = std::ptr::from_mut(frame).cast::<Frame>();
        // SAFETY: `Frame` has the layout of `RawFrame`, which is frozen for 1.x, and nothing else uses it during the call.
        let frame = unsafe { &mut *frame };
        frame.outcome = 0;
        put(frame, 2, Cell { tag: Tag::U64, aux: 0, bits: 7 });
        match self.0 {
            Lie::Tag => put(frame, 0, Cell { tag: Tag(77), aux: 0, bits: 1 }),
            Lie::TextOutside => put(frame, 1, Cell::text(FAR, 100)),
            Lie::TextNotUtf8 => {
                for byte in b"\xff\xfe\x00" {
                    push(frame, Which::TEXT, *byte);
                }
                put(frame, 1, Cell::text(0, 3));
            }
            Lie::RowOutside => push(frame, Which::ROWS, RowHead { table: 0, first: FAR }),
            Lie::RowOfNoTable => push(frame, Which::ROWS, RowHead { table: 9, first: 0 }),
            Lie::NoteOutside => push(frame, Which::NOTES, Note { row: FAR, subject: NOWHERE, message: NOWHERE }),
            Lie::MessageOutside => {
                frame.outcome = 1;
                frame.message = NOWHERE;
            }
            Lie::Outcome => frame.outcome = 4711,
            Lie::Bool => put(frame, 0, Cell { tag: Tag::BOOL, aux: 0, bits: 2 }),
            Lie::Nan => put(frame, 0, Cell { tag: Tag::F64, aux: 0, bits: f64::NAN.to_bits() }),
        }
    }
}

fn put(frame: &mut Frame, metric: u32, cell: Cell) {
    assert!(metric < frame.cells.len);
    // SAFETY: the host's cells of all metrics come first, `len` of them, and nothing else touches them during the call.
    unsafe { *frame.cells.first.add(metric as usize) = cell };
}

/// Appends to one of the frame's lists, whose elements are `T`.
fn push<T>(frame: &mut Frame, which: Which, value: T) {
    let len = match which {
        Which::ROWS => frame.rows.len,
        Which::NOTES => frame.notes.len,
        _ => frame.text.len,
    };
    let mut first = std::ptr::null_mut();
    // SAFETY: `grow` and `memory` are the host's own pair, and it gives room for `len + 1` elements or 0.
    let capacity = unsafe { (frame.grow)(frame.memory, which, len + 1, &mut first) };
    assert!(capacity > len, "no room for a lie");
    // SAFETY: inside of what was just given.
    unsafe { first.cast::<T>().add(len as usize).write(value) };
    match which {
        Which::ROWS => (frame.rows.first, frame.rows.len, frame.rows.capacity) = (first.cast(), len + 1, capacity),
        Which::NOTES => (frame.notes.first, frame.notes.len, frame.notes.capacity) = (first.cast(), len + 1, capacity),
        _ => (frame.text.first, frame.text.len, frame.text.capacity) = (first.cast(), len + 1, capacity),
    }
}

extern "C" fn create(options: RStr<'_>, _host: HostObject) -> RResult<CollectorObject, RawError> {
    match serde_json::from_str::<Options>(options.as_str()) {
        Ok(options) => {
            RResult::ROk(RawCollector_TO::from_value(Liar(options.lie), abi_stable::erased_types::TD_Opaque))
        }
        Err(error) => RResult::RErr(RawError { kind: 1, message: error.to_string().into() }),
    }
}

fn module() -> PluginModuleRef {
    PluginModule { create }.leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(module)
}

#[unsafe(no_mangle)]
static perfwatch_contract: u32 = plugin_api::CONTRACT;

#[unsafe(no_mangle)]
static perfwatch_module: LibHeader =
    // SAFETY: `load` is a loader of `PluginModuleRef`, the same type that the header is made for.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(load, CheckTypeLayout::Yes) };
