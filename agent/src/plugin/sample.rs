//! Libraries for the tests of this room, put together by hand: every byte's place is known, so that a test can spoil just one field.

/// What a made library says.
pub(crate) struct Sample<'a> {
    pub(crate) machine: u16,
    pub(crate) manifest: Option<&'a [u8]>,
    pub(crate) versions: &'a [&'a str],
}

impl Default for Sample<'_> {
    fn default() -> Self {
        Sample {
            machine: super::elf::Machine::HERE.0,
            manifest: Some(b"contract = \"1.0\"\n"),
            versions: &["GLIBC_2.17"],
        }
    }
}

/// Places in a made library: the first of the two segments, the dynamic section, and everything else after it.
pub(super) const SEGMENTS: usize = 64;
pub(super) const DYNAMIC: usize = SEGMENTS + 2 * 56;
const DATA: usize = DYNAMIC + 16;

impl Sample<'_> {
    /// The bytes of the file. Sections: none, names, versions, version names, and the manifest where there is one.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0; DATA];
        let names = b"\0.shstrtab\0.gnu.version_r\0.dynstr\0.perfwatch\0";
        let mut sections = vec![[0; 64]];
        sections.push(section(append(&mut file, names), 1, 3, 0));
        let (versions, version_names) = self.versions();
        sections.push(section(append(&mut file, &versions), 11, 0x6fff_fffe, 3));
        sections.push(section(append(&mut file, &version_names), 26, 3, 0));
        if let Some(manifest) = self.manifest {
            sections.push(section(append(&mut file, manifest), 34, 1, 0));
        }
        let loaded = file.len() as u64;
        file[SEGMENTS..SEGMENTS + 56].copy_from_slice(&segment(1, 0, loaded));
        file[SEGMENTS + 56..DYNAMIC].copy_from_slice(&segment(2, DYNAMIC as u64, 16));
        let table = file.len() as u64;
        let count = u16::try_from(sections.len()).unwrap();
        file.extend(sections.into_iter().flatten());
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        put(&mut file, 16, &3u16.to_le_bytes());
        put(&mut file, 18, &self.machine.to_le_bytes());
        put(&mut file, 32, &(SEGMENTS as u64).to_le_bytes());
        put(&mut file, 40, &table.to_le_bytes());
        for (at, value) in [(54, 56), (56, 2), (58, 64), (60, count), (62, 1)] {
            put(&mut file, at, &value.to_le_bytes());
        }
        file
    }

    /// One needed library with all versions, and the table of their names.
    fn versions(&self) -> (Vec<u8>, Vec<u8>) {
        let count = self.versions.len();
        let (mut table, mut names) = (Vec::new(), vec![0]);
        table.extend([1, 0, u8::try_from(count).unwrap(), 0, 0, 0, 0, 0]);
        table.extend(if count == 0 { 0u32 } else { 16 }.to_le_bytes());
        table.extend(0u32.to_le_bytes());
        for (index, version) in self.versions.iter().enumerate() {
            table.extend([0; 8]);
            table.extend(u32::try_from(names.len()).unwrap().to_le_bytes());
            table.extend(if index + 1 == count { 0u32 } else { 16 }.to_le_bytes());
            names.extend(version.bytes().chain([0]));
        }
        (table, names)
    }
}

/// A small manifest.
pub(crate) fn manifest(name: &str) -> String {
    let metric = "[metrics.value]\nunit = \"1\"\ndescription = \"a number\"\n";
    format!("contract = \"1.0\"\n[plugin]\nname = \"{name}\"\ndescription = \"a plugin\"\n{metric}")
}

/// Overwrites a field.
pub(super) fn put(file: &mut [u8], at: usize, value: &[u8]) {
    file[at..at + value.len()].copy_from_slice(value);
}

/// Where section `index` is described.
pub(super) fn section_at(file: &[u8], index: usize) -> usize {
    usize::try_from(u64::from_le_bytes(file[40..48].try_into().unwrap())).unwrap() + index * 64
}

fn append(file: &mut Vec<u8>, bytes: &[u8]) -> (u64, u64) {
    let at = file.len() as u64;
    file.extend(bytes);
    (at, bytes.len() as u64)
}

fn segment(kind: u32, offset: u64, bytes: u64) -> [u8; 56] {
    let mut entry = [0; 56];
    put(&mut entry, 0, &kind.to_le_bytes());
    put(&mut entry, 8, &offset.to_le_bytes());
    put(&mut entry, 32, &bytes.to_le_bytes());
    entry
}

fn section((offset, bytes): (u64, u64), name: u32, kind: u32, link: u32) -> [u8; 64] {
    let mut entry = [0; 64];
    put(&mut entry, 0, &name.to_le_bytes());
    put(&mut entry, 4, &kind.to_le_bytes());
    put(&mut entry, 24, &offset.to_le_bytes());
    put(&mut entry, 32, &bytes.to_le_bytes());
    put(&mut entry, 40, &link.to_le_bytes());
    entry
}
