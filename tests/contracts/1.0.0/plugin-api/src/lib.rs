//! The contract between the PerfWatch agent and its collector plugins.
//!
//! A plugin is a shared library that declares its metrics in an embedded `plugin.toml` and implements [`Collector`].
//! This crate is both halves of that contract, so that a change of it is one diff: what an author sees, the stable
//! ABI underneath, and, behind the feature `host`, what an agent needs to load and call a plugin.
//!
//! It promises that a plugin built against 1.x loads in any later 1.x agent, and the other way round. It refuses to
//! share anything else: no async runtime, no logger, no allocator crosses the boundary, because each library has a
//! copy of its own.
//!
//! # A whole collector
//!
//! A crate with `crate-type = ["cdylib"]`, the library name `perfwatch_uptime` and this crate as its dependency; beside its
//! `Cargo.toml` this `plugin.toml`:
//!
//! ```toml
//! contract = "1.0"
//! [plugin]
//! name = "uptime"
//! description = "how long this machine has been up"
//! reads = ["/proc/uptime"]
//!
//! [metrics.uptime_seconds]
//! unit = "s"
//! description = "time since boot"
//! ```
//!
//! ```
//! use plugin_api::{Collector, Error, Host, ProcFile, Recorder, ScalarId, Schema, options::NoOptions, scan};
//!
//! struct Uptime {
//!     file: ProcFile,
//!     uptime: ScalarId,
//! }
//!
//! impl Collector for Uptime {
//!     type Options = NoOptions;
//!
//!     fn new(_: NoOptions, host: &Host, schema: &mut Schema) -> Result<Self, Error> {
//!         Ok(Uptime { file: host.proc("uptime")?, uptime: schema.scalar("uptime_seconds")? })
//!     }
//!
//!     fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
//!         let seconds = scan::fields(self.file.read()?).next().and_then(scan::f64);
//!         out.set(self.uptime, seconds); // None is null: unknown, never 0
//!         Ok(())
//!     }
//! }
//! # // In a plugin crate: plugin_api::perfwatch_plugin!(Uptime);
//! ```
//!
//! Built and copied into a folder of plugins as `libperfwatch_uptime.so`, it runs, and a snapshot has
//! `"uptime":{"_status":"ok",…,"uptime_seconds":8949.26}`.
//!
//! # Where to go on
//!
//! - The grammar of `plugin.toml`, options, tables, counters and rates: `host_side/manifest/grammar.md`, which is also the
//!   documentation of `host_side::manifest`.
//! - Options: [`options`]. Rows: [`Recorder::row`]. A part that failed: [`Recorder::part_failed`]. Errors: [`ErrorKind`].
//! - Kernel files: [`ProcFile`] reads them, [`scan`] takes them apart, [`pattern`] chooses among names.
//! - Tests: with the feature `host` as a dev-dependency, `host_side::testcase::run_all` runs a folder of captured kernel files
//!   against the collector, without an agent and without code for a case.
#![deny(unsafe_code)]

pub mod abi;
mod cell;
mod collector;
mod error;
#[doc(hidden)]
pub mod export;
mod host;
#[cfg(feature = "host")]
pub mod host_side;
pub mod options;
pub mod pattern;
mod proc_file;
mod recorder;
pub mod scan;
mod schema;

pub use cell::{Cell, IntoCell, Tag};
pub use collector::Collector;
pub use error::{Error, ErrorKind};
pub use host::{Host, Level, Space};
pub use proc_file::ProcFile;
pub use recorder::{Recorder, Row};
pub use schema::{ColumnId, ScalarId, Schema, Table, TableId};

/// The contract that this crate speaks, `major << 16 | minor`. A plugin carries it in the symbol [`abi::CONTRACT_SYMBOL`].
pub const CONTRACT: u32 = 1 << 16;
