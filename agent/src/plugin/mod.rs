//! Plugins: found, known before their code runs, and loaded.
//!
//! In the order of use: [`find`] looks through the folders and makes each candidate [`known`]: it is opened once ([`open`]) and what
//! its file says of itself is read ([`elf`]); whose it is decides whether it may be loaded ([`trust`]); where others may write, [`seal`] makes the copy that is loaded. Up to here no code of a
//! plugin has run. It runs first in [`library`], which loads.

pub mod astray;
pub mod compare;
pub mod digest;
pub mod elf;
pub mod fault;
pub mod find;
pub mod known;
pub mod library;
pub mod lock;
pub mod open;
pub mod seal;
pub mod trust;

#[cfg(test)]
pub(crate) mod sample;
