//! Snapshots as bytes. Pure: a snapshot in, bytes behind those that are there.

pub mod json;
pub mod plan;
pub mod table;
