//! The names of a file sink's files: pure, both ways.
//!
//! The live file is `snapshots.jsonl`. One put aside carries the UTC second of its first snapshot,
//! `snapshots.2026-11-23T00-00-00Z.jsonl` (no colons: they upset Windows shares, `scp` and `tar`), with `.gz` behind it
//! once it is compressed. A second file of the same second is `…Z_001…`: `_` sorts behind `.`, so names sort by time
//! in a plain listing. A file being compressed is hidden, `.snapshots.2026-11-23T00-00-00Z.jsonl.gz.tmp`, so that a
//! shipper's `snapshots.*` passes it over.
//!
//! What this file reads as a name of ours may be deleted. It is therefore exact: a name is ours only where writing
//! what was read gives the same bytes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 9999-12-31T23:59:59Z, the last second with four digits of year.
const LAST_SECOND: u64 = 253_402_300_799;
/// Bytes of `2026-11-23T00-00-00Z`.
const TIME_LEN: usize = 20;

/// Digits of a turn that are read: a million files of one second are not ours.
const TURN_DIGITS: usize = 6;

/// What distinguishes one file put aside from another, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    /// Seconds since the Unix epoch of its first snapshot.
    pub(super) second: u64,
    /// 0, or how many files of that second came before it.
    pub(super) turn: u32,
}

impl Stamp {
    /// The stamp of a file whose first snapshot is of `first`, behind all `taken` ones of the same second. Behind all
    /// rather than in the first gap: retention deletes the oldest, and a gap filled again would put the order on its
    /// head.
    pub(super) fn next(first: SystemTime, taken: impl IntoIterator<Item = Stamp>) -> Stamp {
        let second = second(first);
        let turn = taken.into_iter().filter(|stamp| stamp.second == second).map(|stamp| stamp.turn + 1).max();
        Stamp { second, turn: turn.unwrap_or(0) }
    }
}

/// Seconds since the Unix epoch, held within what a name can say (a machine without a clock starts in 1970).
pub(super) fn second(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LAST_SECOND)
}

/// What a name in the folder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file put aside.
    Aside {
        /// Which.
        stamp: Stamp,
        /// Whether it is compressed.
        packed: bool,
    },
    /// A compression that was not finished.
    Unfinished,
}

/// How one sink names its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    stem: Vec<u8>,
    /// With its dot, or empty.
    extension: Vec<u8>,
}

impl Naming {
    /// For the live file named `live`.
    pub(super) fn of(live: &OsStr) -> Naming {
        let live = live.as_bytes();
        let dot = live.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0).unwrap_or(live.len());
        Naming { stem: live[..dot].to_vec(), extension: live[dot..].to_vec() }
    }

    /// The name of a file put aside.
    pub(super) fn aside(&self, stamp: Stamp, packed: bool) -> OsString {
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(stamp.second.min(LAST_SECOND)));
        let mut name = self.stem.clone();
        name.push(b'.');
        name.extend(time.to_string().bytes().map(|byte| if byte == b':' { b'-' } else { byte }));
        if stamp.turn > 0 {
            name.extend(format!("_{:03}", stamp.turn).bytes());
        }
        name.extend(&self.extension);
        if packed {
            name.extend(b".gz");
        }
        OsString::from_vec(name)
    }

    /// The name under which a file put aside is compressed.
    pub(super) fn unfinished(&self, stamp: Stamp) -> OsString {
        let mut name = OsString::from(".");
        name.push(self.aside(stamp, true));
        name.push(".tmp");
        name
    }

    /// What `name` says, if this sink gave it.
    pub(super) fn read(&self, name: &OsStr) -> Option<Found> {
        let inner = name.as_bytes().strip_prefix(b".").and_then(|rest| rest.strip_suffix(b".tmp"));
        if let Some(inner) = inner
            && self.read_aside(inner).is_some_and(|(_, packed)| packed)
        {
            return Some(Found::Unfinished);
        }
        self.read_aside(name.as_bytes()).map(|(stamp, packed)| Found::Aside { stamp, packed })
    }

    fn read_aside(&self, name: &[u8]) -> Option<(Stamp, bool)> {
        let rest = name.strip_prefix(self.stem.as_slice())?.strip_prefix(b".")?;
        let (time, rest) = rest.split_at_checked(TIME_LEN)?;
        let mut time: [u8; TIME_LEN] = time.try_into().ok()?;
        (time[13], time[16]) = (b':', b':');
        let time = humantime::parse_rfc3339(std::str::from_utf8(&time).ok()?).ok()?;
        let (turn, rest) = match rest.strip_prefix(b"_") {
            Some(rest) => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count().min(TURN_DIGITS);
                (std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?, &rest[digits..])
            }
            None => (0, rest),
        };
        let (stamp, packed) = (Stamp { second: second(time), turn }, rest.len() > self.extension.len());
        (self.aside(stamp, packed).as_bytes() == name).then_some((stamp, packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-23T00:00:00Z.
    const NOVEMBER: u64 = 1_795_392_000;

    fn naming(live: &str) -> Naming {
        Naming::of(OsStr::new(live))
    }

    fn read(live: &str, name: &str) -> Option<Found> {
        naming(live).read(OsStr::new(name))
    }

    #[test]
    fn a_name_carries_the_second_of_the_first_snapshot() {
        let stamp = Stamp { second: NOVEMBER, turn: 0 };
        assert_eq!(naming("snapshots.jsonl").aside(stamp, false), "snapshots.2026-11-23T00-00-00Z.jsonl");
        assert_eq!(naming("snapshots.jsonl").aside(stamp, true), "snapshots.2026-11-23T00-00-00Z.jsonl.gz");
        assert_eq!(naming("snapshots").aside(stamp, true), "snapshots.2026-11-23T00-00-00Z.gz");
        assert_eq!(naming("a.b.jsonl").aside(stamp, false), "a.b.2026-11-23T00-00-00Z.jsonl");
        assert_eq!(naming(".jsonl").aside(stamp, false), ".jsonl.2026-11-23T00-00-00Z");
        let second = Stamp { second: NOVEMBER, turn: 1 };
        assert_eq!(naming("s.jsonl").aside(second, false), "s.2026-11-23T00-00-00Z_001.jsonl");
        assert_eq!(naming("s.jsonl").unfinished(second), ".s.2026-11-23T00-00-00Z_001.jsonl.gz.tmp");
    }

    #[test]
    fn names_sort_as_the_files_were_put_aside() {
        let naming = naming("s.jsonl");
        let names = [(NOVEMBER, 0), (NOVEMBER, 1), (NOVEMBER, 2), (NOVEMBER, 10), (NOVEMBER + 1, 0)]
            .map(|(second, turn)| naming.aside(Stamp { second, turn }, false));
        assert!(names.is_sorted());
    }

    #[test]
    fn a_name_that_this_sink_did_not_give_is_not_its_own() {
        assert!(read("s.jsonl", "s.2026-11-23T00-00-00Z.jsonl").is_some());
        for other in [
            "s.jsonl",
            "s.2026-11-23T00:00:00Z.jsonl",
            "s.2026-11-23T00-00-00Z.jsonl.bak",
            "s.2026-11-23T00-00-00Z.jsonl.gz.gz",
            "s.2026-11-23T00-00-00Z.json",
            "s.2026-11-23T00-00-00Z",
            "s.2026-02-30T00-00-00Z.jsonl",
            "s.2026-11-23T00-00-60Z.jsonl",
            "s.2026-11-23T00-00-00Z_000.jsonl",
            "s.2026-11-23T00-00-00Z_1.jsonl",
            "s.2026-11-23T00-00-00Z_.jsonl",
            "s.2026-11-23T00-00-00Z_4294967295.jsonl",
            "s.2026-11-23.jsonl",
            "s.1.jsonl",
            "t.2026-11-23T00-00-00Z.jsonl",
            "xs.2026-11-23T00-00-00Z.jsonl",
            ".s.2026-11-23T00-00-00Z.jsonl.tmp",
            ".s.2026-11-23T00-00-00Z.jsonl.gz",
            "s.2026-11-23T00-00-00Z.jsonl.gz.tmp",
        ] {
            assert_eq!(read("s.jsonl", other), None, "{other}");
        }
        assert_eq!(read("s.jsonl", ".s.2026-11-23T00-00-00Z.jsonl.gz.tmp"), Some(Found::Unfinished));
    }

    #[test]
    fn two_sinks_of_one_folder_do_not_read_each_others_names() {
        let name = "snapshots.2026-11-23T00-00-00Z.jsonl";
        assert!(read("snapshots.jsonl", name).is_some());
        assert_eq!(read("snapshots", name), None);
        assert_eq!(read("snapshots.json", name), None);
        assert_eq!(read("snap.jsonl", name), None);
    }

    #[test]
    fn a_second_file_of_one_second_goes_behind_all_others_of_it() {
        let first = UNIX_EPOCH + Duration::from_millis(NOVEMBER * 1000 + 900);
        let stamp = |second, turn| Stamp { second, turn };
        assert_eq!(Stamp::next(first, []), stamp(NOVEMBER, 0));
        assert_eq!(Stamp::next(first, [stamp(NOVEMBER + 1, 5)]), stamp(NOVEMBER, 0));
        assert_eq!(Stamp::next(first, [stamp(NOVEMBER, 0)]), stamp(NOVEMBER, 1));
        assert_eq!(Stamp::next(first, [stamp(NOVEMBER, 4), stamp(NOVEMBER, 2)]), stamp(NOVEMBER, 5));
    }

    #[test]
    fn a_time_that_no_name_can_say_is_held_within() {
        assert_eq!(second(UNIX_EPOCH - Duration::from_secs(9)), 0);
        assert_eq!(second(UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 9)), LAST_SECOND);
    }

    proptest! {
        #[test]
        fn every_name_given_is_read_back(
            second in 0..=LAST_SECOND, turn in 0..2000u32, packed: bool, live in "[a-z.]{1,9}",
        ) {
            let (naming, stamp) = (naming(&live), Stamp { second, turn });
            prop_assert_eq!(naming.read(&naming.aside(stamp, packed)), Some(Found::Aside { stamp, packed }));
            prop_assert_eq!(naming.read(&naming.unfinished(stamp)), Some(Found::Unfinished));
            prop_assert_eq!(naming.read(OsStr::new(&live)), None);
        }

        #[test]
        fn no_name_makes_it_panic(name in prop::collection::vec(any::<u8>(), 0..60)) {
            let name = [b"s.".as_slice(), &name].concat();
            naming("s.jsonl").read(OsStr::from_bytes(&name));
        }
    }
}
