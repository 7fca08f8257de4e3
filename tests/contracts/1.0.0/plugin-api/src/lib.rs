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
//! **`plugin-api/README.md` is the author's guide**, from an empty folder to a plugin that is tested and installed. Here is the reference.
//!
//! # A whole collector
//!
//! A crate such as `perfwatch plugins new uptime` makes, with `crate-type = ["cdylib"]`, the library name `perfwatch_uptime` and this
//! crate as its dependency; beside its `Cargo.toml` this `plugin.toml`:
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
//! # What runs where
//!
//! What an operator drops in runs in **a child process of the agent**, one for each collector, in a sandbox; with `isolation = "none"` in the
//! agent itself, and with `"auto"` in a child until ten good readings, then in the agent, and back for good after a panic, a hang or a
//! broken budget. The library is the same file, and nothing of this is seen from inside. It means:
//!
//! - **The guard.** A panic, in `new` or `collect`, is caught on the plugin's side and fails the reading; the next call is of a new
//!   instance. Undefined behaviour, `abort` and `exit` are not caught: in a child they cost a reading, in the agent the agent. With
//!   `RUST_BACKTRACE=1` a panic takes as long as its backtrace does, a third of a second in a library with debug information.
//! - **`reads`** in `plugin.toml` is what the sandbox lets it read. `/proc` is there for everybody, and so is what every program needs: libraries,
//!   `/etc/{passwd,group,hosts,resolv.conf,localtime}`, certificates, `/dev/{null,zero,urandom}`. The rest is named: a file or a folder with
//!   all in it. A file that is replaced by another of the same name is read by naming its folder. What is refused is `EACCES`, and the
//!   collector's error then says which lines would end it: name the path in the error, as [`ProcFile`] does, so that they can.
//! - **No writes**: `EROFS`, wherever. No programs, processes, signals, network or Unix sockets (`EPERM`, `EACCES`), unless `reads` asks and
//!   the operator grants; no capability, so that a child of root reads what everybody may. Once the library is loaded, no new executable
//!   memory: no JIT, no `dlopen` of another library, unless a port or a program is granted.
//! - **Nothing outlives the process.** A child that dies, or is killed since it hung, is started again, and so is the collector in it: what
//!   it counted itself begins anew. The agent knows, so that rates and growth are null once and never negative; a counter of the
//!   kernel's goes on as it was. Count in the collector only what nobody else counts, and keep nothing in files: a plugin cannot write them.
//! - **Deadlines.** [`Recorder::deadline`] is when the reading is due. In a child, a call that is still out at its next tick, or after three
//!   timeouts, is killed with the process and all that it started. The first call has the same time, with `new` in it.
//! - **Threads** are free, and count for the budget: their CPU time between two readings, and each one's stack whole for the memory (Rust's 2 MiB;
//!   32 MiB are added for stacks). One that panics ends by itself. A thread may keep its [`Host`] and log at any time.
//! - **Environment of a child**: `PATH`, `LANG`, `LANGUAGE`, `LC_*`, `TZ`, `RUST_BACKTRACE`, `LD_LIBRARY_PATH`, and the agent's working directory.
//!   What a plugin has to know it takes as an option, a secret too.
//! - **What it prints**, and the message of a panic, goes to the agent's standard error as it is. [`Host::log`] goes to the agent's log with
//!   the collector's name and the operator's level; more than 32 lines between two answers are counted and dropped.
//!
//! # Where to go on
//!
//! - `plugin.toml`, each key with its default and meaning: `host_side/manifest/grammar.md`, which is also the documentation of
//!   `host_side::manifest`.
//! - Options: [`options`]. Rows: [`Recorder::row`]. A part that failed: [`Recorder::part_failed`]. Errors: [`ErrorKind`].
//! - Files: [`Host::proc`] for one of procfs, [`ProcFile::open`] with [`Host::sys_path`] or [`Host::root_path`] for any other; [`scan`] takes them
//!   apart, [`prometheus`] the text of exporters, and [`pattern`] chooses among names.
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
pub mod prometheus;
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
