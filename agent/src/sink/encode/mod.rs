//! Snapshots as bytes. Pure: a snapshot in, bytes out.

pub mod json;
pub mod plan;
pub mod table;
