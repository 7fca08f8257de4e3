use std::cell::Cell;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::super::sample::{DYNAMIC, SEGMENTS, Sample, put, section_at};
use super::*;

fn read(file: &[u8]) -> Result<Elf, ElfError> {
    Elf::read(file, file.len() as u64).map(|(elf, _)| elf)
}

fn refusal(file: &[u8]) -> String {
    read(file).expect_err("must be refused").to_string()
}

/// A sound library in which one field was overwritten.
fn spoilt(at: usize, value: &[u8]) -> Vec<u8> {
    let mut file = Sample::default().bytes();
    put(&mut file, at, value);
    file
}

fn spoilt_section(index: usize, field: usize, value: &[u8]) -> Vec<u8> {
    let at = section_at(&Sample::default().bytes(), index);
    spoilt(at + field, value)
}

#[test]
fn manifest_machine_and_newest_version_of_the_c_library_are_read() {
    let versions = ["GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.9", "GLIBC_PRIVATE", "GCC_99.0"];
    let file = Sample { versions: &versions, ..Sample::default() }.bytes();
    let elf = read(&file).unwrap();
    assert_eq!(elf.manifest, Some(Sha256::of_bytes(b"contract = \"1.0\"\n")));
    assert_eq!(elf.machine, Machine::HERE);
    assert_eq!(elf.glibc.unwrap().to_string(), "2.34");
    assert_eq!(elf.size, file.len() as u64);
    elf.runs_here().unwrap();
}

#[test]
fn patch_level_of_the_c_library_is_told_where_there_is_one() {
    let file = Sample { versions: &["GLIBC_2.2.5"], ..Sample::default() }.bytes();
    assert_eq!(read(&file).unwrap().glibc.unwrap().to_string(), "2.2.5");
    assert_eq!(read(&Sample { versions: &[], ..Sample::default() }.bytes()).unwrap().glibc, None);
}

#[test]
fn library_without_the_section_or_without_any_has_no_manifest() {
    assert_eq!(read(&Sample { manifest: None, ..Sample::default() }.bytes()).unwrap().manifest, None);
    assert_eq!(read(&spoilt(60, &[0, 0])).unwrap().manifest, None, "no section table");
    assert_eq!(read(&spoilt(62, &[0, 0])).unwrap().manifest, None, "no section names");
}

#[test]
fn library_of_another_machine_is_read_and_both_machines_are_named() {
    let foreign = if Machine::HERE == Machine(183) { 62 } else { 183 };
    let elf = read(&Sample { machine: foreign, ..Sample::default() }.bytes()).unwrap();
    assert!(elf.manifest.is_some());
    let told = elf.runs_here().unwrap_err().to_string();
    assert!(told.starts_with(&format!("built for {}, this machine is {}", Machine(foreign), Machine::HERE)), "{told}");
    assert_eq!(Machine(4711).to_string(), "machine 4711");
}

#[test]
fn other_files_are_named_for_what_they_are() {
    for text in [&b""[..], b"\x7f", b"/* GNU ld script */\nINPUT(libc.so.6)", &[0; 4096]] {
        assert!(refusal(text).starts_with("not an ELF file"), "{text:?}");
    }
    assert!(refusal(&spoilt(4, &[1])).starts_with("a 32-bit library"));
    assert!(refusal(&spoilt(5, &[2])).starts_with("built for a big-endian machine"));
    assert!(refusal(&spoilt(16, &[1, 0])).starts_with("an object file, not a shared library"));
    assert!(refusal(&spoilt(16, &[2, 0])).starts_with("a program, not a shared library"));
}

#[test]
fn library_is_refused_at_every_length_short_of_its_own() {
    let file = Sample::default().bytes();
    for length in 0..file.len() {
        let told = refusal(&file[..length]);
        assert!(
            told.starts_with("truncated: ") || length < 4 && told.starts_with("not an ELF file"),
            "{length}: {told}"
        );
    }
}

#[test]
fn segment_beyond_the_file_is_named_with_its_end_and_the_size() {
    let file = spoilt(SEGMENTS + 32, &100_000u64.to_le_bytes());
    assert_eq!(
        refusal(&file),
        format!("truncated: segment 0 ends at byte 100000 of {}; copy the file again", file.len())
    );
    assert!(refusal(&spoilt(SEGMENTS + 8, &u64::MAX.to_le_bytes())).starts_with("truncated: segment 0 ends at byte"));
}

#[test]
fn dynamic_section_that_is_not_mapped_is_refused() {
    assert!(refusal(&spoilt(SEGMENTS + 56, &[4])).contains("no dynamic section"));
    assert!(refusal(&spoilt(SEGMENTS + 56 + 8, &u64::MAX.to_le_bytes())).contains("outside of its segments"));
    assert!(refusal(&spoilt(SEGMENTS + 32, &(DYNAMIC as u64).to_le_bytes())).contains("outside of its segments"));
}

#[test]
fn tables_that_claim_too_much_are_refused_before_they_are_read() {
    assert_eq!(refusal(&spoilt(56, &[0xff, 0xff])), "malformed: it has 65535 segments, 128 are allowed");
    assert_eq!(refusal(&spoilt(60, &[0xff, 0xff])), "malformed: it has 65535 sections, 4096 are allowed");
    assert!(refusal(&spoilt(56, &[0, 0])).contains("no segments"));
    assert!(refusal(&spoilt(54, &[55, 0])).contains("56 bytes"));
    assert!(refusal(&spoilt(58, &[63, 0])).contains("64 bytes"));
    assert!(refusal(&spoilt(40, &u64::MAX.to_le_bytes())).starts_with("truncated: the section table"));
    assert!(refusal(&spoilt(62, &[9, 0])).contains("a section it does not have"));
}

#[test]
fn sections_that_lie_about_themselves_are_refused() {
    assert!(refusal(&spoilt_section(4, 24, &u64::MAX.to_le_bytes())).starts_with("truncated: the section .perfwatch"));
    assert!(refusal(&spoilt_section(4, 4, &[8, 0, 0, 0])).contains("no bytes in the file"));
    assert!(refusal(&spoilt_section(3, 0, &34u32.to_le_bytes())).contains("two sections .perfwatch"));
    assert_eq!(read(&spoilt_section(4, 0, &u32::MAX.to_le_bytes())).unwrap().manifest, None, "a name that is nowhere");
    let long = vec![b' '; usize::try_from(MANIFEST_BYTES_MAX).unwrap() + 1];
    let file = Sample { manifest: Some(&long), ..Sample::default() }.bytes();
    assert_eq!(refusal(&file), "the section .perfwatch has 1048577 bytes, 1048576 are allowed");
}

#[test]
fn version_tables_that_lead_astray_are_refused() {
    let file = Sample::default().bytes();
    let section = section_at(&file, 2);
    let table = usize::try_from(u64::from_le_bytes(file[section + 24..section + 32].try_into().unwrap())).unwrap();
    assert!(refusal(&spoilt(table + 12, &1u32.to_le_bytes())).starts_with("malformed: its version table leads"));
    assert!(refusal(&spoilt(table + 8, &u32::MAX.to_le_bytes())).contains("out of itself"));
    assert!(refusal(&spoilt(table + 16 + 8, &u32::MAX.to_le_bytes())).starts_with("truncated: the version names"));
    assert!(refusal(&spoilt(section + 40, &[99])).contains("version names are in a section it does not have"));
}

#[test]
fn version_table_that_leads_back_into_itself_ends() {
    let mut table = [0; 32];
    put(&mut table, 8, &16u32.to_le_bytes());
    put(&mut table, 12, &1u32.to_le_bytes());
    assert!(glibc::names(&table).is_err());
}

/// A file of any size of which only the first bytes and the last are kept, and that counts what is read of it.
struct Sparse {
    head: Vec<u8>,
    tail: Vec<u8>,
    size: u64,
    bytes_read: Cell<u64>,
}

impl ReadAt for Sparse {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes_read.set(self.bytes_read.get() + buffer.len() as u64);
        let tail_at = self.size - self.tail.len() as u64;
        if offset >= tail_at {
            self.tail.read_exact_at(buffer, offset - tail_at)
        } else {
            self.head.read_exact_at(buffer, offset)
        }
    }
}

#[test]
fn of_a_large_library_only_the_tables_are_read() {
    let size = 500 << 20;
    let (mut head, at) = {
        let file = Sample::default().bytes();
        let at = section_at(&file, 0);
        (file, at)
    };
    let tail = head.split_off(at);
    put(&mut head, 40, &(size - tail.len() as u64).to_le_bytes());
    let file = Sparse { head, tail, size, bytes_read: Cell::new(0) };
    let (elf, _) = Elf::read(&file, size).unwrap();
    assert!(elf.manifest.is_some());
    assert!(file.bytes_read.get() < 2048, "{} bytes", file.bytes_read.get());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1024)) {
        let _either = read(&bytes);
        let mut headed = Sample::default().bytes();
        headed.truncate(DYNAMIC);
        headed.extend(&bytes);
        let _either = read(&headed);
    }

    #[test]
    fn library_with_spoilt_bytes_is_read_or_refused(places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut file = Sample::default().bytes();
        for (place, byte) in places {
            let at = place.index(file.len());
            file[at] = byte;
        }
        if let Ok((_, manifest)) = Elf::read(&file[..], file.len() as u64) {
            prop_assert!(manifest.is_none_or(|manifest| manifest.len() <= file.len()));
        }
    }
}

/// A library from the machine's own compiler and linker; none where there is no compiler.
fn compiled(folder: &Path, source: &str) -> Option<Vec<u8>> {
    let (input, output) = (folder.join("plugin.c"), folder.join("plugin.so"));
    std::fs::write(&input, source).unwrap();
    match Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&output).arg(&input).status() {
        Ok(status) => assert!(status.success(), "cc failed"),
        Err(_absent) => {
            assert!(std::env::var_os("CI").is_none(), "cc is needed where every test has to run");
            println!("skipped: no cc here");
            return None;
        }
    }
    Some(std::fs::read(output).unwrap())
}

#[test]
fn library_of_the_system_compiler_is_read_and_refused_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let source = "#include <stdio.h>\n\
        __attribute__((used, section(\".perfwatch\"))) static const char manifest[9] = \"a manifes\";\n\
        void f(void) { puts(\"\"); }\n";
    let Some(file) = compiled(folder.path(), source) else { return };
    let elf = read(&file).unwrap();
    assert_eq!(elf.manifest, Some(Sha256::of_bytes(b"a manifes")));
    assert!(elf.glibc.is_some());
    elf.runs_here().unwrap();
    for length in 0..file.len() {
        assert!(read(&file[..length]).is_err(), "{length} of {} bytes", file.len());
    }
}
