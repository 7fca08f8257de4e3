//! How a running agent is asked and told, and whom it tells.
#![forbid(unsafe_code)]

pub mod notify;
