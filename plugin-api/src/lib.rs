//! The contract between the PerfWatch agent and its collector plugins.
#![deny(unsafe_code)]

#[cfg(feature = "host")]
pub mod host_side;
