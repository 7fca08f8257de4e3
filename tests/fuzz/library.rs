//! A library's file: what it says of itself, and its manifest.

use std::cell::Cell;
use std::io;

use perfwatch::plugin::elf::{Elf, MANIFEST_BYTES_MAX, ReadAt};

/// Of any library, whatever its size: the header, the tables of segments and sections, the names of sections, the manifest, and for each of the 4096
/// records that a table of versions can hold a name of 32 bytes.
const READ_BYTES_MAX: u64 = 64 + 128 * 56 + 4096 * 64 + (1 << 20) + MANIFEST_BYTES_MAX + (64 << 10) + 4096 * 32;

struct Counted<'a> {
    bytes: &'a [u8],
    read: Cell<u64>,
}

impl ReadAt for Counted<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.set(self.read.get() + buffer.len() as u64);
        self.bytes.read_exact_at(buffer, offset)
    }
}

pub(crate) fn run(input: &[u8]) {
    let source = Counted { bytes: input, read: Cell::new(0) };
    let read = Elf::read(&source, input.len() as u64);
    assert!(source.read.get() <= READ_BYTES_MAX, "{} bytes read of {}", source.read.get(), input.len());
    match read {
        Ok((elf, manifest)) => {
            // Told on a terminal in any case.
            let told = format!("{} {:?} {:?}", elf.machine, elf.glibc.map(|glibc| glibc.to_string()), elf.runs_here());
            assert!(told.len() < 4096);
            if let Some(manifest) = manifest {
                assert!(manifest.len() <= input.len() && manifest.len() as u64 <= MANIFEST_BYTES_MAX);
                crate::manifest::run(&manifest);
            }
        }
        Err(error) => assert!(error.to_string().len() < 4096),
    }
}
