//! Limits of resources, setrlimit(2). They are of the whole process, and its programs inherit them.
//!
//! **Memory by `RLIMIT_DATA`** (private writable memory, since Linux 4.7), not by `RLIMIT_AS`: address space counts the libraries and what
//! is only reserved, of which each of glibc's arenas takes 64 MiB, so that a collector with two threads would fail within 64 MiB. Of
//! `RLIMIT_DATA` an arena has what it made writable, 132 KiB at first. But a thread's stack counts whole, though a page or two of it
//! is touched: 2 MiB by Rust, 8 MiB by glibc; hence [`STACKS`] above the budget. What is beyond is `ENOMEM`, of which Rust's allocator
//! makes an abort. `RLIMIT_CPU` counts since the start and is not for a child that lives long.
//!
//! **Core dumps** are 0: a child's memory holds the options with their secrets. Where `core_pattern` is a pipe, the kernel does not ask.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For stacks, above the budget of memory: of 16 threads by Rust or 4 by glibc; and for what the child itself has.
pub(super) const STACKS: u64 = 32 << 20;

/// What the child itself has open: the standard three, the socket, the library, and a few for a moment (a directory of `/proc`, what
/// glibc reads to resolve a name).
pub(super) const OWN_DESCRIPTORS: u32 = 16;

pub(super) fn draw(memory: u64, descriptors: u32) -> rustix::io::Result<()> {
    lower(Resource::Data, memory.saturating_add(STACKS))?;
    lower(Resource::Nofile, u64::from(descriptors.saturating_add(OWN_DESCRIPTORS)))?;
    lower(Resource::Core, 0)
}

/// Both the soft and the hard limit, which nobody without `CAP_SYS_RESOURCE` may raise.
fn lower(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let to = Some(getrlimit(resource).maximum.map_or(to, |hard| hard.min(to)));
    setrlimit(resource, Rlimit { current: to, maximum: to })
}
