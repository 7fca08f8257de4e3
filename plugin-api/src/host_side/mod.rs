//! The host's half of the contract.

pub mod fault;
mod keys;
pub mod manifest;
pub mod names;
pub mod options;
pub mod tree;
