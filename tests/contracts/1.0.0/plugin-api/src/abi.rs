//! The stable ABI: what two separately built binaries agree on.
//!
//! Two layers. The data path ([`RawFrame`] and what is in it) is plain `repr(C)` and frozen for 1.x: a child process
//! puts the same bytes on a wire, and a plugin in C fills the same frame. Above it, `abi_stable` carries the root
//! module and the two trait objects, which grow by appended methods with defaults.
//!
//! Lists of numbers are open and say what an unknown one is worth: an agent takes an unknown [`Tag`](crate::Tag) for null and an unknown
//! [`crate::ErrorKind`] for a failure, answers an unknown [`Number`] with 0, an unknown [`Root`] with nothing, and refuses an unknown
//! [`Which`] or [`Resolve`]. So a newer plugin can ask, and see that an older agent does not know.
//!
//! What is in a frame and its buffers is private: whoever could write an address there in safe code would have every recorder write
//! to it. A library that goes below the recorder, in C or to lie, has the layout, and its own unsafe code.
//!
//! ```compile_fail,E0616
//! fn astray(frame: &mut plugin_api::abi::RawFrame) {
//!     frame.memory = std::ptr::null_mut();
//! }
//! ```
//!
//! The unsafe code here is the plugin's view of memory that the host owns: every pointer comes from the host's
//! `door`, is valid for `capacity` elements, and stays so until `RawFrame::grow` replaces it.
#![allow(unsafe_code)]
// `sabi_trait` and `StableAbi` put their implementations inside a const block.
#![allow(non_local_definitions)]

use std::ffi::c_void;

use abi_stable::library::RootModule;
use abi_stable::package_version_strings;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, RResult, RSlice, RStr, RString};
use abi_stable::{StableAbi, sabi_trait};

use crate::cell::Cell;

/// The symbol of a `u32` with the contract that a library was built against, read before anything else.
pub const CONTRACT_SYMBOL: &str = "perfwatch_contract";
/// The symbol of the `abi_stable` header of the library's root module.
pub const MODULE_SYMBOL: &str = "perfwatch_module";
/// The ELF section that holds `plugin.toml`, byte for byte.
pub const MANIFEST_SECTION: &str = ".perfwatch";

/// A run of bytes in the frame's arena.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, StableAbi)]
pub struct Text {
    /// Where it begins, in bytes from the start of the arena.
    pub offset: u32,
    /// Its length in bytes.
    pub len: u32,
}

/// A row of a table: its keys, as texts, then its columns, in consecutive cells.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, StableAbi)]
pub struct RowHead {
    /// Which table, by its place in the manifest.
    pub table: u32,
    /// Where its cells begin.
    pub first: u32,
}

/// A part that failed: a row, or something named by `subject`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, StableAbi)]
pub struct Note {
    /// The row's [`RowHead::first`], which names it whatever the order of rows, or [`Note::PART`].
    pub row: u32,
    /// The part's name, where this is no row.
    pub subject: Text,
    /// What went wrong, in one line.
    pub message: Text,
}

impl Note {
    /// In `row`: this is about a part of its own.
    pub const PART: u32 = u32::MAX;
}

/// Host-owned memory that a plugin fills: `len` of `capacity` elements are in use.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct Buffer<T> {
    pub(crate) first: *mut T,
    pub(crate) len: u32,
    pub(crate) capacity: u32,
}

/// Names a buffer to `RawFrame::grow`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Which(pub u32);

impl Which {
    /// The cells of scalars and rows.
    pub const CELLS: Which = Which(0);
    /// The rows' heads.
    pub const ROWS: Which = Which(1);
    /// The parts that failed.
    pub const NOTES: Which = Which(2);
    /// The arena of texts, in bytes.
    pub const TEXT: Which = Which(3);
}

/// One reading, as a plugin fills it. The cells of all scalars come first, null at the start of a call; rows follow.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawFrame {
    /// An [`crate::ErrorKind`]; 0 where the reading is good.
    pub(crate) outcome: u32,
    /// Rows that found no room.
    pub(crate) lost_rows: u32,
    /// Texts, keys and notes that found no room.
    pub(crate) lost_texts: u32,
    /// Room for flags of either side: a host of 1.0 writes 0 and does not look at it afterwards, a plugin of 1.0 leaves it.
    pub(crate) reserved: u32,
    /// How long the call has, in nanoseconds from its start.
    pub(crate) time_left_ns: u64,
    /// What went wrong, where `outcome` is not 0.
    pub(crate) message: Text,
    pub(crate) cells: Buffer<Cell>,
    pub(crate) rows: Buffer<RowHead>,
    pub(crate) notes: Buffer<Note>,
    pub(crate) text: Buffer<u8>,
    /// Passed back to `grow`.
    pub(crate) memory: *mut c_void,
    /// Makes room for `at_least` elements in one buffer, keeps what it holds, stores its new address and returns its
    /// new capacity; 0 where the reading's budget is used up. Never called in the steady state.
    pub(crate) grow:
        unsafe extern "C" fn(memory: *mut c_void, which: Which, at_least: u32, first: *mut *mut c_void) -> u32,
}

impl<T: Copy> Buffer<T> {
    /// What is in use.
    pub(crate) fn used(&mut self) -> &mut [T] {
        // SAFETY: the host made `first` from a live, initialised allocation of `capacity` elements that nothing else
        // touches during the call, and `len <= capacity` holds since only `push` below and `RawFrame` raise it.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.len as usize) }
    }

    /// Appends where `room` was made before.
    fn append(&mut self, values: &[T]) {
        debug_assert!(self.len as usize + values.len() <= self.capacity as usize);
        // SAFETY: `RawFrame::room` has just returned true for this many elements, so the destination lies inside the
        // allocation; the source is a borrowed slice of this library and cannot overlap host memory handed out
        // exclusively for the call.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.first.add(self.len as usize), values.len()) };
        self.len += values.len() as u32;
    }
}

impl RawFrame {
    fn room(&mut self, which: Which, more: usize) -> bool {
        let (len, capacity) = match which {
            Which::CELLS => (self.cells.len, self.cells.capacity),
            Which::ROWS => (self.rows.len, self.rows.capacity),
            Which::NOTES => (self.notes.len, self.notes.capacity),
            _ => (self.text.len, self.text.capacity),
        };
        let Some(needed) = u32::try_from(more).ok().and_then(|more| len.checked_add(more)) else { return false };
        if needed <= capacity {
            return true;
        }
        let mut first = std::ptr::null_mut();
        // SAFETY: `grow` and `memory` are the host's own pair, valid for this call; `first` is a live local.
        let capacity = unsafe { (self.grow)(self.memory, which, needed, &mut first) };
        if capacity < needed {
            return false;
        }
        match which {
            Which::CELLS => (self.cells.first, self.cells.capacity) = (first.cast(), capacity),
            Which::ROWS => (self.rows.first, self.rows.capacity) = (first.cast(), capacity),
            Which::NOTES => (self.notes.first, self.notes.capacity) = (first.cast(), capacity),
            _ => (self.text.first, self.text.capacity) = (first.cast(), capacity),
        }
        true
    }

    /// Copies a text into the arena; `None`, and counted, where there is no room.
    pub(crate) fn push_text(&mut self, text: &[u8]) -> Option<Text> {
        if !self.room(Which::TEXT, text.len()) {
            self.lost_texts = self.lost_texts.saturating_add(1);
            return None;
        }
        let place = Text { offset: self.text.len, len: text.len() as u32 };
        self.text.append(text);
        Some(place)
    }

    /// Begins a row of `keys.len() + columns` cells and returns where its cells begin; `None`, and counted, where there is no room.
    pub(crate) fn push_row(&mut self, table: u32, keys: &[&[u8]], columns: usize) -> Option<u32> {
        let keys_len: usize = keys.iter().map(|key| key.len()).sum();
        if !(self.room(Which::ROWS, 1)
            && self.room(Which::CELLS, keys.len() + columns)
            && self.room(Which::TEXT, keys_len))
        {
            self.lost_rows = self.lost_rows.saturating_add(1);
            return None;
        }
        let first = self.cells.len;
        self.rows.append(&[RowHead { table, first }]);
        for key in keys {
            let cell = Cell::text(self.text.len, key.len() as u32);
            self.text.append(key);
            self.cells.append(&[cell]);
        }
        for _ in 0..columns {
            self.cells.append(&[Cell::NULL]);
        }
        Some(first)
    }

    /// Notes a part that failed; counted where there is no room.
    pub(crate) fn push_note(&mut self, row: u32, subject: &[u8], message: &[u8]) {
        if !(self.room(Which::NOTES, 1) && self.room(Which::TEXT, subject.len() + message.len())) {
            self.lost_texts = self.lost_texts.saturating_add(1);
            return;
        }
        if let (Some(subject), Some(message)) = (self.push_text(subject), self.push_text(message)) {
            self.notes.append(&[Note { row, subject, message }]);
        }
    }
}

/// An error of a constructor.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct RawError {
    /// An [`crate::ErrorKind`].
    pub kind: u32,
    /// The error with its causes, in one line.
    pub message: RString,
}

/// Space of a mounted file system, in bytes and inodes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, StableAbi)]
pub struct RawSpace {
    /// Size of the file system.
    pub total_bytes: u64,
    /// Free, what is reserved for root included.
    pub free_bytes: u64,
    /// Free for programs without privileges.
    pub available_bytes: u64,
    /// Inodes; 0 where the file system makes them as it needs them.
    pub inodes_total: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

/// Which folder [`RawHost::root`] is asked for. An unknown one is answered by an empty path.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Root(pub u32);

impl Root {
    /// Where the measured host's `/` is.
    pub const HOST: Root = Root(0);
    /// Where its `/proc` is.
    pub const PROC: Root = Root(1);
    /// Where its `/sys` is.
    pub const SYS: Root = Root(2);
    /// Where the files of `/proc/net` are: `<proc>/1/net` under a foreign root, since `/proc/net` is the reader's own namespace.
    pub const NET: Root = Root(3);
}

/// Which number [`RawHost::number`] is asked for. An unknown one is answered by 0.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Number(pub u32);

impl Number {
    /// Bytes of a page of memory (`_SC_PAGESIZE`, sysconf(3)).
    pub const PAGE_SIZE: Number = Number(0);
    /// Clock ticks in a second (`_SC_CLK_TCK`, sysconf(3)).
    pub const CLOCK_TICKS: Number = Number(1);
    /// 1 where the measured host is not the one that this process runs in, else 0.
    pub const IS_FOREIGN: Number = Number(2);
}

/// What [`RawHost::resolve`] is asked for.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Resolve(pub u32);

impl Resolve {
    /// A metric: its place.
    pub const SCALAR: Resolve = Resolve(0);
    /// A table: place | keys << 32 | columns << 48.
    pub const TABLE: Resolve = Resolve(1);
    /// A column of a table: its place.
    pub const COLUMN: Resolve = Resolve(2);
}

/// What the host gives a plugin. Appended methods need a default.
#[sabi_trait]
pub trait RawHost: Send + Sync {
    /// The path of a folder of the measured host.
    fn root(&self, which: Root) -> RSlice<'_, u8>;
    /// A constant of the measured host.
    fn number(&self, which: Number) -> u64;
    /// The place of what the manifest declares under this name, packed as [`Resolve`] says; `table` is the place of the table where a
    /// column is asked for. Fails with a message that has the nearest name.
    fn resolve(&self, what: Resolve, table: u32, name: RStr<'_>) -> RResult<u64, RString>;
    /// The space of the file system mounted at a path (statvfs(3)). Fails with an errno.
    fn statvfs(&self, path: RSlice<'_, u8>) -> RResult<RawSpace, i32>;
    /// Writes to the agent's log; `level` is a [`Level`](crate::Level), an unknown one the least.
    #[sabi(last_prefix_field)]
    fn log(&self, level: u32, message: RStr<'_>);
}

/// What a plugin gives the host: a collector behind the guard against panics. Appended methods need a default.
#[sabi_trait]
pub trait RawCollector: Send {
    /// Takes one reading into the frame; what became of it is the frame's outcome.
    #[sabi(last_prefix_field)]
    fn collect(&mut self, frame: &mut RawFrame);
}

/// The host, as a plugin holds it.
pub type HostObject = RawHost_TO<'static, RBox<()>>;
/// A collector, as the host holds it.
pub type CollectorObject = RawCollector_TO<'static, RBox<()>>;

/// The root module of a plugin. Fields are only appended, behind the last one here, and are absent (`None`) in the module of an
/// older plugin; an older agent does not look behind those that it knows.
///
/// So a sink's entry will be `create_sink: extern "C" fn(RStr<'_>, HostObject) -> RResult<SinkObject, RawError>`, behind `create`, with
/// a trait object of its own. In a library that is only a sink, `create` answers with an error; an older agent does not get that
/// far, since it refuses `kind = "sink"` in the manifest. `tests/contracts` builds and runs this.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[sabi(missing_field(option))]
pub struct PluginModule {
    /// Makes a collector from its options, a JSON text.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(options: RStr<'_>, host: HostObject) -> RResult<CollectorObject, RawError>,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "perfwatch";
    const NAME: &'static str = "perfwatch";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// The data path is frozen for 1.x: libraries that were built with these numbers are out there.
    #[test]
    fn frame_lies_in_memory_as_contract_1_0_has_it() {
        assert_eq!((size_of::<Text>(), align_of::<Text>()), (8, 4));
        assert_eq!((offset_of!(Text, offset), offset_of!(Text, len)), (0, 4));
        assert_eq!((size_of::<RowHead>(), offset_of!(RowHead, table), offset_of!(RowHead, first)), (8, 0, 4));
        let note = (offset_of!(Note, row), offset_of!(Note, subject), offset_of!(Note, message));
        assert_eq!((size_of::<Note>(), note), (20, (0, 4, 12)));
        let buffer = (offset_of!(Buffer<u8>, first), offset_of!(Buffer<u8>, len), offset_of!(Buffer<u8>, capacity));
        assert_eq!((size_of::<Buffer<u8>>(), buffer), (16, (0, 8, 12)));
        let frame = [
            offset_of!(RawFrame, outcome),
            offset_of!(RawFrame, lost_rows),
            offset_of!(RawFrame, lost_texts),
            offset_of!(RawFrame, reserved),
            offset_of!(RawFrame, time_left_ns),
            offset_of!(RawFrame, message),
            offset_of!(RawFrame, cells),
            offset_of!(RawFrame, rows),
            offset_of!(RawFrame, notes),
            offset_of!(RawFrame, text),
            offset_of!(RawFrame, memory),
            offset_of!(RawFrame, grow),
        ];
        assert_eq!((size_of::<RawFrame>(), frame), (112, [0, 4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 104]));
        let space = [
            offset_of!(RawSpace, total_bytes),
            offset_of!(RawSpace, free_bytes),
            offset_of!(RawSpace, available_bytes),
            offset_of!(RawSpace, inodes_total),
            offset_of!(RawSpace, inodes_free),
        ];
        assert_eq!((size_of::<RawSpace>(), space), (40, [0, 8, 16, 24, 32]));
    }

    /// What a number means is in no layout.
    #[test]
    fn numbers_that_cross_are_those_of_contract_1_0() {
        use crate::{ErrorKind, Level, Tag};
        assert_eq!(
            [Tag::NULL, Tag::U64, Tag::I64, Tag::F64, Tag::BOOL, Tag::TEXT].map(|tag| tag.0),
            [0, 1, 2, 3, 4, 5]
        );
        let kinds =
            [ErrorKind::NONE, ErrorKind::FAILED, ErrorKind::UNAVAILABLE, ErrorKind::DENIED, ErrorKind::PANICKED];
        assert_eq!(kinds.map(|kind| kind.0), [0, 1, 2, 3, 4]);
        assert_eq!([Which::CELLS, Which::ROWS, Which::NOTES, Which::TEXT].map(|which| which.0), [0, 1, 2, 3]);
        assert_eq!([Root::HOST, Root::PROC, Root::SYS, Root::NET].map(|root| root.0), [0, 1, 2, 3]);
        assert_eq!([Number::PAGE_SIZE, Number::CLOCK_TICKS, Number::IS_FOREIGN].map(|number| number.0), [0, 1, 2]);
        assert_eq!([Resolve::SCALAR, Resolve::TABLE, Resolve::COLUMN].map(|what| what.0), [0, 1, 2]);
        assert_eq!([Level::Error, Level::Warn, Level::Info, Level::Debug].map(|level| level as u32), [0, 1, 2, 3]);
        assert_eq!(Note::PART, u32::MAX);
    }

    /// A plugin keeps its host in whatever thread it likes, and the agent a collector.
    #[test]
    fn host_goes_to_any_thread_and_a_collector_to_another() {
        fn shared<T: Send + Sync + 'static>() {}
        fn moved<T: Send + 'static>() {}
        shared::<crate::Host>();
        moved::<CollectorObject>();
    }

    /// Every type of the contract that the layout check compares, as text. A change here is a change of the contract: fields and
    /// methods may be appended behind the last ones of module and traits, and nothing else may change within 1.x.
    #[test]
    fn layouts_are_those_of_contract_1_0() {
        let mut lines = std::collections::BTreeSet::new();
        let mut todo = vec![<PluginModuleRef as StableAbi>::LAYOUT];
        let mut seen = Vec::new();
        while let Some(layout) = todo.pop() {
            if seen.contains(&layout.get_utypeid()) {
                continue;
            }
            seen.push(layout.get_utypeid());
            todo.extend(layout.phantom_fields().iter().map(|field| field.layout()));
            let mut parts = Vec::new();
            for field in layout.get_fields().into_iter().flat_map(|fields| fields.to_vec()) {
                todo.push(field.layout());
                let functions = field.function_range().iter();
                let functions = functions.map(|function| {
                    todo.extend(function.param_type_layouts.iter().map(|layout| layout()));
                    todo.extend(function.return_type_layout().map(|layout| layout()));
                    function.to_string().lines().next().unwrap_or_default().to_owned()
                });
                let functions = functions.collect::<Vec<_>>().join("; ");
                let of = if functions.is_empty() { field.full_type().to_string() } else { functions };
                parts.push(format!("{}: {of}", field.name()));
            }
            if layout.package().as_str() == env!("CARGO_PKG_NAME") {
                let (name, size, align) = (layout.full_type(), layout.size(), layout.alignment());
                lines.insert(format!("{name} {size}/{align} {{ {} }}", parts.join(", ")));
            }
        }
        let found: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(found, include_str!("abi.golden"), "the layouts are now:\n{found}");
    }
}
