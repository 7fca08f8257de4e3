//! The end of the live file at a start: whole lines, or made so.
//!
//! A `write` that a kill or a power loss cut short leaves at most one torn line at the end, and a power loss may leave
//! NUL bytes where the length of a file reached the disk before its content. Both are cut off, so that the next line
//! begins on a line of its own. A last line that lacks only its newline is a whole snapshot (a JSON object cut anywhere
//! else does not parse) and gets it. Damage further up is left alone: readers meet one bad line, and rewriting history
//! is not this sink's business.
//!
//! Refused: a file that does not begin as a snapshot does. A path mistyped as that of another's file, JSON or not, must
//! not cost it its last line.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::time::SystemTime;

/// Read at first: longer than nearly every line.
const FIRST_LOOK: usize = 64 << 10;
/// The longest last line looked for. Tables are bounded at 10,000 rows and a snapshot of some such is a few MiB; a file
/// without a newline in this many bytes is not ours.
const LONGEST_LINE: usize = 64 << 20;
/// The envelope's `timestamp` stands within this many bytes of a line's start.
const ENVELOPE: usize = 4 << 10;

/// What every snapshot's line begins with.
const BEGIN: &[u8] = b"{\"timestamp\"";

/// What was found, and by now is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repaired {
    /// It ends in a whole line.
    Sound,
    /// So many bytes of a torn line were cut off.
    Cut(u64),
    /// The last line got its newline.
    Completed,
    /// It holds something else, and was not touched.
    Foreign,
}

/// Makes `file`, of `len` bytes and open for reading and appending, end in a whole line.
pub(super) fn repair(file: &File, len: u64) -> io::Result<Repaired> {
    if len == 0 {
        return Ok(Repaired::Sound);
    }
    let mut tail = Vec::new();
    let mut look = FIRST_LOOK;
    loop {
        let start = len.saturating_sub(look as u64);
        tail.resize((len - start) as usize, 0);
        file.read_exact_at(&mut tail, start)?;
        match judge(&tail, start == 0) {
            Some(End::Unterminated) if begins_as_ours(file)? => {
                (&*file).write_all(b"\n")?;
                return Ok(Repaired::Completed);
            }
            Some(End::Sound(end)) if end == tail.len() && begins_as_ours(file)? => return Ok(Repaired::Sound),
            // Nothing but NUL from the first byte on: a new file whose only content never reached the disk.
            Some(End::Sound(end)) if begins_as_ours(file)? || (end == 0 && tail.iter().all(|byte| *byte == 0)) => {
                file.set_len(start + end as u64)?;
                return Ok(Repaired::Cut((tail.len() - end) as u64));
            }
            Some(_) => return Ok(Repaired::Foreign),
            None if look >= LONGEST_LINE => return Ok(Repaired::Foreign),
            None => look *= 4,
        }
    }
}

/// Whether it begins as a snapshot, or as much of one as there is.
fn begins_as_ours(file: &File) -> io::Result<bool> {
    let mut head = [0; BEGIN.len()];
    let read = file.read_at(&mut head, 0)?;
    // What a power loss took of a single torn line is NUL.
    let end = head[..read].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Ok(end > 0 && BEGIN.starts_with(&head[..end]))
}

/// How the end of a file is.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The last line is a snapshot without its newline.
    Unterminated,
    /// Whole lines reach to this byte.
    Sound(usize),
}

/// Judges the end of a file by its last bytes, which are all of it if `whole`. None: not enough of them.
fn judge(tail: &[u8], whole: bool) -> Option<End> {
    let line_before = |end: usize| match tail[..end].iter().rposition(|byte| *byte == b'\n') {
        Some(newline) => Some(newline + 1),
        None => whole.then_some(0),
    };
    let mut end = line_before(tail.len())?;
    if tail[end..].starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(&tail[end..]).is_ok() {
        return Some(End::Unterminated);
    }
    while end > 0 {
        let start = line_before(end - 1)?;
        if !tail[start..end].contains(&0) {
            break;
        }
        end = start;
    }
    (end > 0 || whole).then_some(End::Sound(end))
}

/// The time of the first snapshot in `file`, where its first line tells it.
pub(super) fn first_snapshot(file: &File) -> io::Result<Option<SystemTime>> {
    let mut head = [0; ENVELOPE];
    let read = file.read_at(&mut head, 0)?;
    Ok(timestamp(&head[..read]))
}

/// The value of the first key `timestamp` in what a line begins with. A section's own is `_timestamp` and comes later.
fn timestamp(head: &[u8]) -> Option<SystemTime> {
    const KEY: &[u8] = b"\"timestamp\":";
    let line = head.split(|byte| *byte == b'\n').next()?;
    let at = line.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let text = line[at..].trim_ascii_start().strip_prefix(b"\"")?;
    let text = text.split(|byte| *byte == b'"').next()?;
    humantime::parse_rfc3339(std::str::from_utf8(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn repaired(content: &[u8]) -> (Repaired, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        fs::write(&path, content).unwrap();
        let file = File::options().read(true).append(true).open(&path).unwrap();
        let done = repair(&file, content.len() as u64).unwrap();
        (done, fs::read(&path).unwrap())
    }

    #[test]
    fn whatever_length_a_file_is_cut_to_whole_lines_remain() {
        let whole = b"{\"timestamp\":1}\n{\"a\":{\"b\":[2]}}\n{\"c\":\"\\n}{\"}\n";
        for cut in 0..=whole.len() {
            let (done, left) = repaired(&whole[..cut]);
            let ends: Vec<_> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
            let expected = match ends.iter().find(|end| **end == cut + 1) {
                Some(end) => (Repaired::Completed, *end),
                None => {
                    let end = ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
                    (if end == cut { Repaired::Sound } else { Repaired::Cut((cut - end) as u64) }, end)
                }
            };
            assert_eq!((done, left.as_slice()), (expected.0, &whole[..expected.1]), "cut to {cut} bytes");
        }
    }

    #[test]
    fn nul_bytes_of_a_power_loss_are_cut_off() {
        let with = |end: &[u8]| [b"{\"timestamp\":1}\n", end].concat();
        let cut = |end: &[u8]| (Repaired::Cut(end.len() as u64), with(b""));
        for end in [b"\0\0\0".as_slice(), b"{\"a\0\0\0", b"\0\0\":1}\n{\0}\n"] {
            assert_eq!(repaired(&with(end)), cut(end));
        }
        assert_eq!(repaired(b"{\"time\0\0\0\0\0\0\0\0\0"), (Repaired::Cut(15), vec![]));
        assert_eq!(repaired(&[0; 70_000]), (Repaired::Cut(70_000), vec![]));
    }

    #[test]
    fn a_line_longer_than_the_first_look_is_found_whole() {
        let long = [b"{\"a\":\"", "x".repeat(300_000).as_bytes(), b"\"}"].concat();
        let two = [b"{\"timestamp\":1}\n", long.as_slice(), b"\n"].concat();
        assert_eq!(repaired(&two), (Repaired::Sound, two.clone()));
        assert_eq!(repaired(&two[..two.len() - 1]), (Repaired::Completed, two.clone()));
        assert_eq!(repaired(&two[..two.len() - 2]), (Repaired::Cut(long.len() as u64 - 1), two[..16].to_vec()));
    }

    #[test]
    fn a_file_that_is_not_ours_is_not_touched() {
        let others: [&[u8]; 8] = [
            b"root:x:0:0\nlast line",
            b"root:x:0:0\n",
            b"{\n  \"name\": \"package\"\n}",
            b"{\"name\":1}\n{\"na",
            b"\0\0elf",
            b"\x7fELF\0\0",
            b"[1]",
            b" ",
        ];
        for other in others {
            assert_eq!(repaired(other), (Repaired::Foreign, other.to_vec()));
        }
    }

    #[test]
    fn the_first_snapshots_time_is_read_from_its_line() {
        let time =
            |text: &str| timestamp(text.as_bytes()).map(|time| humantime::format_rfc3339_millis(time).to_string());
        assert_eq!(
            time("{\"timestamp\":\"2026-11-24T03:30:05.250Z\",\"host\":\"a\"}\n").as_deref(),
            Some("2026-11-24T03:30:05.250Z")
        );
        assert_eq!(time("{\"timestamp\": \"2026-11-24T03:30:05Z\"").as_deref(), Some("2026-11-24T03:30:05.000Z"));
        for none in
            ["", "{", "{\"timestamp\":", "{\"timestamp\":\"soon\"}", "{}\n{\"timestamp\":\"2026-11-24T03:30:05Z\"}"]
        {
            assert_eq!(time(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_end_makes_it_panic_and_what_is_sound_ends_in_a_newline(
            tail in prop::collection::vec(prop::sample::select(b"{}\n\0a".as_slice()), 0..40), whole: bool,
        ) {
            if let Some(End::Sound(end)) = judge(&tail, whole) {
                prop_assert!(end == 0 || tail[end - 1] == b'\n');
                prop_assert!(!tail[..end].ends_with(b"\0\n"));
            }
        }
    }
}
