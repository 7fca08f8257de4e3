//! What a library's file says of itself, read without running it.
//!
//! Promises: any bytes at all give facts or an error, never a panic and never a long read: what is read is the header, two tables, the
//! manifest and the names of the C library's versions, each bounded by a constant below, whatever the size of the file. A library whose
//! segments do not all lie inside its file is refused here, because the loader maps them unseen and the agent would die of SIGBUS.
//!
//! Refuses to know: what a manifest means, and whether the code is sound. Libraries of other machines are read like our own;
//! [`Elf::runs_here`] is a question of its own, so that `plugins inspect` can show them.
//!
//! Sources: elf(5), the System V ABI (gABI) chapters 4 and 5, and the Linux Standard Base for symbol versions.
#![forbid(unsafe_code)]

mod fault;
mod glibc;
mod machine;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use plugin_api::abi::MANIFEST_SECTION;
use plugin_api::host_side::manifest::MAX_MANIFEST_BYTES;

pub use fault::ElfError;
pub use glibc::Glibc;
pub use machine::Machine;

use super::digest::Sha256;

/// Longest manifest that is read.
pub const MANIFEST_BYTES_MAX: u64 = MAX_MANIFEST_BYTES as u64;
/// Most program headers. Linkers write 7 to 14.
const SEGMENTS_MAX: u64 = 128;
/// Most sections. A library with debug information has about 40; the table of this many is 256 KiB.
const SECTIONS_MAX: u64 = 4096;
/// Longest table of section names: 256 bytes for each of [`SECTIONS_MAX`].
const SECTION_NAMES_BYTES_MAX: u64 = 1 << 20;

const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
const SECTION_BYTES: usize = 64;

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const TYPE_SHARED: u16 = 3;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_DYNAMIC: u32 = 2;
const SECTION_WITHOUT_BYTES: u32 = 8;
const SECTION_VERSIONS_NEEDED: u32 = 0x6fff_fffe;

/// Bytes that can be read at a place: an open file, or a slice in tests and fuzzers.
pub trait ReadAt {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// The source's own, and `UnexpectedEof` where it ends before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = from.checked_add(buffer.len()).and_then(|to| self.get(from..to));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A shared library as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// What it was built for.
    pub machine: Machine,
    /// Size of the file in bytes.
    pub size: u64,
    /// The digest of the section `.perfwatch`; none where it has no such section: another library. A plugin is known for as long as the
    /// agent runs, and the text of its manifest, 6 KiB, is read once.
    pub manifest: Option<Sha256>,
    /// The newest version of the GNU C library that it asks for.
    pub glibc: Option<Glibc>,
}

impl Elf {
    /// Reads a library of `size` bytes. With it comes what its section `.perfwatch` holds.
    ///
    /// # Errors
    /// Not a 64-bit little-endian shared library, cut short, contradicting itself, or not readable.
    pub fn read(source: &(impl ReadAt + ?Sized), size: u64) -> Result<(Elf, Option<Vec<u8>>), ElfError> {
        let library = Library { source, size };
        let header = library.header()?;
        library.check_segments(&header)?;
        let sections = library.sections(&header)?;
        let manifest = library.manifest(&header, &sections)?;
        let elf = Elf {
            machine: Machine(u16_at(&header, 18)),
            size,
            manifest: manifest.as_deref().map(Sha256::of_bytes),
            glibc: library.glibc(&sections)?,
        };
        Ok((elf, manifest))
    }

    /// Whether this machine can run it.
    ///
    /// # Errors
    /// Names both machines where they differ.
    pub fn runs_here(&self) -> Result<(), ElfError> {
        if self.machine == Machine::HERE { Ok(()) } else { Err(ElfError::OtherMachine { built_for: self.machine }) }
    }
}

/// One entry of the section table, as far as it is used.
#[derive(Clone, Copy)]
struct Section {
    name: u32,
    kind: u32,
    offset: u64,
    bytes: u64,
    link: u32,
}

struct Library<'a, R: ?Sized> {
    source: &'a R,
    size: u64,
}

impl<R: ReadAt + ?Sized> Library<'_, R> {
    fn header(&self) -> Result<[u8; HEADER_BYTES], ElfError> {
        let mut header = [0; HEADER_BYTES];
        let there = HEADER_BYTES.min(usize::try_from(self.size).unwrap_or(HEADER_BYTES));
        self.fill("the header", &mut header[..there], 0)?;
        if !header.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf);
        }
        if there < HEADER_BYTES {
            return Err(ElfError::Truncated { what: "the header".into(), end: HEADER_BYTES as u64, size: self.size });
        }
        if header[4] != CLASS_64 {
            return Err(ElfError::Not64Bit);
        }
        if header[5] != LITTLE_ENDIAN {
            return Err(ElfError::BigEndian);
        }
        match u16_at(&header, 16) {
            TYPE_SHARED => Ok(header),
            kind => Err(ElfError::NotShared { kind }),
        }
    }

    /// Every segment that the loader maps lies inside the file, and so does the table it starts from.
    fn check_segments(&self, header: &[u8; HEADER_BYTES]) -> Result<(), ElfError> {
        let (count, entry) = (u64::from(u16_at(header, 56)), usize::from(u16_at(header, 54)));
        if count == 0 {
            return Err(ElfError::Malformed("it has no segments"));
        }
        if entry != SEGMENT_BYTES {
            return Err(ElfError::Malformed("its segment table has entries of another size than 56 bytes"));
        }
        if count > SEGMENTS_MAX {
            return Err(ElfError::TooMany { what: "segments", count, max: SEGMENTS_MAX });
        }
        let table: Vec<[u8; SEGMENT_BYTES]> = self.table("the segment table", u64_at(header, 32), count)?;
        let (mut mapped, mut dynamic) = (Vec::with_capacity(table.len()), None);
        for (index, segment) in table.iter().enumerate() {
            let (offset, bytes) = (u64_at(segment, 8), u64_at(segment, 32));
            match u32_at(segment, 0) {
                SEGMENT_LOAD => {
                    self.check_inside(&format!("segment {index}"), offset, bytes)?;
                    mapped.push((offset, offset + bytes));
                }
                SEGMENT_DYNAMIC => dynamic = Some((offset, bytes)),
                _ => {}
            }
        }
        // The loader follows the dynamic section's address unchecked: one outside of what it mapped is a SIGSEGV in the agent.
        let (offset, bytes) = dynamic.ok_or(ElfError::Malformed("it has no dynamic section"))?;
        let end = offset.checked_add(bytes);
        if !mapped.iter().any(|&(from, to)| offset >= from && end.is_some_and(|end| end <= to)) {
            return Err(ElfError::Malformed("its dynamic section lies outside of its segments"));
        }
        Ok(())
    }

    fn sections(&self, header: &[u8; HEADER_BYTES]) -> Result<Vec<Section>, ElfError> {
        let (offset, count) = (u64_at(header, 40), u64::from(u16_at(header, 60)));
        if offset == 0 || count == 0 {
            return Ok(Vec::new());
        }
        if usize::from(u16_at(header, 58)) != SECTION_BYTES {
            return Err(ElfError::Malformed("its section table has entries of another size than 64 bytes"));
        }
        if count > SECTIONS_MAX {
            return Err(ElfError::TooMany { what: "sections", count, max: SECTIONS_MAX });
        }
        let table: Vec<[u8; SECTION_BYTES]> = self.table("the section table", offset, count)?;
        let section = |entry: &[u8; SECTION_BYTES]| Section {
            name: u32_at(entry, 0),
            kind: u32_at(entry, 4),
            offset: u64_at(entry, 24),
            bytes: u64_at(entry, 32),
            link: u32_at(entry, 40),
        };
        Ok(table.iter().map(section).collect())
    }

    fn manifest(&self, header: &[u8; HEADER_BYTES], sections: &[Section]) -> Result<Option<Vec<u8>>, ElfError> {
        let index = usize::from(u16_at(header, 62));
        if sections.is_empty() || index == 0 {
            return Ok(None);
        }
        let names =
            sections.get(index).ok_or(ElfError::Malformed("its section names are in a section it does not have"))?;
        let names = self.bytes("the section names", names.offset, names.bytes, SECTION_NAMES_BYTES_MAX)?;
        let named = |section: &&Section| text_at(&names, section.name) == Some(MANIFEST_SECTION.as_bytes());
        let mut found = sections.iter().filter(named);
        let Some(section) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(ElfError::Malformed("it has two sections .perfwatch"));
        }
        if section.kind == SECTION_WITHOUT_BYTES {
            return Err(ElfError::Malformed("its section .perfwatch has no bytes in the file"));
        }
        self.bytes("the section .perfwatch", section.offset, section.bytes, MANIFEST_BYTES_MAX).map(Some)
    }

    fn glibc(&self, sections: &[Section]) -> Result<Option<Glibc>, ElfError> {
        let Some(needed) = sections.iter().find(|section| section.kind == SECTION_VERSIONS_NEEDED) else {
            return Ok(None);
        };
        let names = usize::try_from(needed.link).ok().and_then(|index| sections.get(index));
        let names = names.ok_or(ElfError::Malformed("its version names are in a section it does not have"))?;
        let needed = self.bytes("the version table", needed.offset, needed.bytes, glibc::NEEDED_BYTES_MAX)?;
        let mut newest = None;
        for name in glibc::names(&needed)? {
            let mut text = [0; glibc::NAME_BYTES_MAX];
            let there = names.bytes.saturating_sub(u64::from(name));
            let text =
                &mut text[..usize::try_from(there).map_or(glibc::NAME_BYTES_MAX, |n| n.min(glibc::NAME_BYTES_MAX))];
            self.fill("the version names", text, names.offset.saturating_add(u64::from(name)))?;
            newest = newest.max(text_at(text, 0).and_then(Glibc::parse));
        }
        Ok(newest)
    }

    fn table<const N: usize>(&self, what: &str, offset: u64, count: u64) -> Result<Vec<[u8; N]>, ElfError> {
        let bytes = self.bytes(what, offset, count * N as u64, u64::MAX)?;
        Ok(bytes.as_chunks().0.to_vec())
    }

    fn bytes(&self, what: &str, offset: u64, bytes: u64, max: u64) -> Result<Vec<u8>, ElfError> {
        // Against the file first: nothing is set aside for bytes that are not there.
        self.check_inside(what, offset, bytes)?;
        if bytes > max {
            return Err(ElfError::TooLong { what: what.into(), bytes, max });
        }
        let mut buffer = vec![0; usize::try_from(bytes).map_err(|_| ElfError::Malformed("a part of it is too large"))?];
        self.fill(what, &mut buffer, offset)?;
        Ok(buffer)
    }

    fn fill(&self, what: &str, buffer: &mut [u8], offset: u64) -> Result<(), ElfError> {
        self.check_inside(what, offset, buffer.len() as u64)?;
        self.source.read_exact_at(buffer, offset).map_err(|source| ElfError::Read { what: what.into(), source })
    }

    fn check_inside(&self, what: &str, offset: u64, bytes: u64) -> Result<(), ElfError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.size => Ok(()),
            end => Err(ElfError::Truncated { what: what.into(), end: end.unwrap_or(u64::MAX), size: self.size }),
        }
    }
}

/// The text that begins at `offset` of a table of names and ends at a zero byte.
fn text_at(names: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = names.get(usize::try_from(offset).ok()?..)?;
    rest.split(|&byte| byte == 0).next()
}

// Fields of a record whose size the compiler knows: every offset that is passed is a constant inside it.

fn u16_at<const N: usize>(record: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([record[at], record[at + 1]])
}

fn u32_at<const N: usize>(record: &[u8; N], at: usize) -> u32 {
    u32::from(u16_at(record, at)) | u32::from(u16_at(record, at + 2)) << 16
}

fn u64_at<const N: usize>(record: &[u8; N], at: usize) -> u64 {
    u64::from(u32_at(record, at)) | u64::from(u32_at(record, at + 4)) << 32
}

#[cfg(test)]
mod tests;
