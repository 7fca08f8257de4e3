//! The host's half of the contract: what the agent, its children and test kits need, and a plugin never does.

pub mod check;
pub mod door;
pub mod fault;
pub mod frame;
mod keys;
pub mod layout;
pub mod manifest;
pub mod names;
pub mod options;
pub mod plain;
pub mod roots;
pub mod shape;
mod sources;
pub mod testcase;
pub mod tree;
