//! /proc/PID/mountinfo and /proc/filesystems, proc(5): what is mounted where, and which types are on block devices.
//!
//! Pure. Read when something was mounted or unmounted only, so what it finds is owned.

use plugin_api::scan::{self, Line, Unexpected};

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its number, and that of the mount in which its mount point lies.
    pub(crate) id: u64,
    pub(crate) parent: u64,
    /// `major:minor` of its block device, or of what stands for one.
    pub(crate) device: Vec<u8>,
    pub(crate) point: Vec<u8>,
    pub(crate) fstype: Vec<u8>,
    pub(crate) source: Vec<u8>,
}

/// The mounts in the order of the file: of two at one place the later hides the earlier.
pub(crate) fn mounts(file: &[u8]) -> impl Iterator<Item = Result<Mount, Unexpected>> {
    scan::lines(file).map(|line| mount(&line))
}

fn mount(line: &Line<'_>) -> Result<Mount, Unexpected> {
    // One blank between two fields, always: a source may be empty.
    let mut fields = line.text.split(|byte| *byte == b' ');
    let missing = |what| line.expected(what, None);
    let number = |field: Option<&[u8]>| field.and_then(scan::u64).ok_or_else(|| line.expected("a number", field));
    let id = number(fields.next())?;
    let parent = number(fields.next())?;
    let device = fields.next().ok_or_else(|| missing("a device number"))?;
    let point = fields.nth(1).ok_or_else(|| missing("a mount point"))?;
    // Its options, then none or more of what it is shared with, up to a dash.
    fields.by_ref().find(|field| *field == b"-").ok_or_else(|| missing("a dash"))?;
    let fstype = fields.next().filter(|fstype| !fstype.is_empty()).ok_or_else(|| missing("a type of file system"))?;
    let source = fields.next().unwrap_or_default();
    let (point, fstype, source) = (plain(point), plain(fstype), plain(source));
    Ok(Mount { id, parent, device: device.into(), point, fstype, source })
}

/// The kernel writes a blank, a tab, a line's end and a backslash in a name as `\` and three octal digits.
fn plain(mut field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    while let Some((first, rest)) = field.split_first() {
        let (byte, rest) = match field {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), rest)
            }
            _ => (*first, rest),
        };
        plain.push(byte);
        field = rest;
    }
    plain
}

/// The types that a file system on a block device can have here, as psutil counts them: all that are not `nodev`, and
/// zfs, which manages its devices itself.
pub(crate) fn on_block_devices(filesystems: &[u8]) -> Vec<Vec<u8>> {
    let of = |line: Line<'_>| {
        let mut fields = line.fields();
        match (fields.next()?, fields.next()) {
            (b"nodev", Some(b"zfs")) => Some(b"zfs".to_vec()),
            (fstype, None) => Some(fstype.into()),
            _ => None,
        }
    };
    scan::lines(filesystems).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(line: &str) -> Result<Mount, Unexpected> {
        mounts(line.as_bytes()).next().expect("a line")
    }

    #[test]
    fn every_field_is_taken_from_its_place() {
        let mount = one("36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue\n");
        let expected = Mount {
            id: 36,
            parent: 35,
            device: b"98:0".into(),
            point: b"/mnt2".into(),
            fstype: b"ext3".into(),
            source: b"/dev/root".into(),
        };
        assert_eq!(mount, Ok(expected));
    }

    #[test]
    fn any_number_of_optional_fields_may_stand_before_the_dash() {
        let mount = one("1 0 8:1 / / rw shared:1 master:2 propagate_from:2 - xfs /dev/sda1 rw").expect("a mount");
        assert_eq!((&*mount.fstype, &*mount.source), (&b"xfs"[..], &b"/dev/sda1"[..]));
    }

    #[test]
    fn escaped_bytes_of_names_are_themselves_again() {
        let mount = one(r"1 0 8:1 / /mnt/a\040b\011c\134d\777 rw - fuse.x \043host:/x\134040 rw").expect("a mount");
        assert_eq!(mount.point, b"/mnt/a b\tc\\d\\777");
        assert_eq!(mount.source, b"#host:/x\\040");
    }

    #[test]
    fn an_empty_source_does_not_shift_what_follows() {
        let mount = one("1 0 0:5 / /x rw - tmpfs  rw,size=4k").expect("a mount");
        assert_eq!(mount.source, b"");
    }

    #[test]
    fn a_line_that_is_cut_says_where() {
        for (line, expected) in [
            ("x 0 8:1 / / rw - xfs a rw", "line 1: expected a number, found \"x\""),
            ("1 0", "line 1: expected a device number, found the end of the line"),
            ("1 0 8:1 /", "line 1: expected a mount point, found the end of the line"),
            ("1 0 8:1 / / rw shared:1", "line 1: expected a dash, found the end of the line"),
            ("1 0 8:1 / / rw -", "line 1: expected a type of file system, found the end of the line"),
        ] {
            assert_eq!(one(line).expect_err("cut").to_string(), expected);
        }
    }

    #[test]
    fn block_devices_carry_what_is_not_nodev_and_zfs() {
        let file = b"nodev\tsysfs\nnodev\ttmpfs\n\text4\n\tfuseblk\nnodev\tzfs\nnodev\tfuse\n";
        assert_eq!(on_block_devices(file), [&b"ext4"[..], b"fuseblk", b"zfs"]);
    }

    proptest! {
        #[test]
        fn names_with_any_bytes_come_back(name in proptest::collection::vec(1u8..=255, 1..40)) {
            let escaped: Vec<u8> = name.iter().flat_map(|byte| match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                byte => vec![*byte],
            }).collect();
            let line = [b"1 0 8:1 / ", &*escaped, b" rw - xfs /dev/sda1 rw\n"].concat();
            prop_assert_eq!(mounts(&line).next().expect("a line").expect("a mount").point, name);
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(mounts(&bytes).count() <= bytes.len());
            prop_assert!(on_block_devices(&bytes).len() <= bytes.len());
        }
    }
}
