//! PerfWatch, the agent as a library.
#![deny(unsafe_code)]

pub mod plugin;
