//! PerfWatch, the agent as a library.
#![deny(unsafe_code)]

pub mod agent;
pub mod assemble;
pub mod bench;
pub mod child;
pub mod cli;
pub mod config;
pub mod control;
pub mod embed;
pub mod harmless;
pub mod libraries;
pub mod limits;
pub mod log;
pub mod own;
pub mod plugin;
pub mod proof;
pub mod record;
pub mod reload;
pub mod resident;
pub mod schedule;
pub mod setup;
pub mod sink;
pub mod snapshot;
pub mod stdio;
pub mod stop;
