//! A collector in a process of its own: the same library, called over a socket pair, inside a sandbox.

pub mod sandbox;
