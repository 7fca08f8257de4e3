//! What of the files put aside is deleted and what is compressed: a pure function of the folder.
//!
//! Everything is decided from what lies there, nothing is remembered: so a start after a kill, an hourly look and a
//! rotation are one thing, and a file that an operator removed or unpacked by hand disturbs nothing.

use super::name::Stamp;
use super::settings::Keep;

/// A file put aside, as found in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Which.
    pub(super) stamp: Stamp,
    /// Whether it is compressed.
    pub(super) packed: bool,
    /// Bytes in it.
    pub(super) size: u64,
}

/// The live file, as far as the others depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveShare {
    /// The second of its first snapshot, where there is one.
    pub(super) first: Option<u64>,
    /// The bytes it has or may come to have before it is put aside.
    pub(super) bytes: u64,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To delete, by stamp and whether compressed.
    pub(super) delete: Vec<(Stamp, bool)>,
    /// To compress.
    pub(super) compress: Vec<Stamp>,
}

/// Plans for the files `held`, at second `now`.
///
/// - The oldest go first, whole files, until every limit is kept.
/// - A file ends where the next begins: it is too old when that is `keep.age` ago, so nothing younger goes by age.
/// - Where one lies there plain and compressed, a kill came before the plain one was removed: the compressed one was
///   complete when it got its name, and the plain one goes.
/// - With `compress`, every plain file but the newest is compressed: a shipper that follows it has one rotation's time
///   to finish.
pub(super) fn plan(mut held: Vec<Held>, keep: &Keep, compress: bool, live: LiveShare, now: u64) -> Plan {
    held.sort_unstable_by_key(|file| (file.stamp, !file.packed));
    let mut plan = Plan::default();
    held.dedup_by(|plain, packed| {
        let twice = plain.stamp == packed.stamp;
        if twice {
            plan.delete.push((plain.stamp, plain.packed));
        }
        twice
    });

    let ends = held.iter().skip(1).map(|next| next.stamp.second).chain([live.first.unwrap_or(now)]);
    let age = keep.age.0.as_secs();
    let too_old = |end: u64| age != 0 && end.saturating_add(age) <= now;
    let old = held.iter().zip(ends).take_while(|(_, end)| too_old(*end)).count();

    let surplus =
        if keep.files == 0 { 0 } else { held.len().saturating_sub(keep.files.try_into().unwrap_or(usize::MAX)) };

    let mut bytes = live.bytes.saturating_add(held.iter().map(|file| file.size).sum());
    let heavy = held
        .iter()
        .take_while(|file| {
            let over = keep.total.0 != 0 && bytes > keep.total.0;
            bytes -= file.size;
            over
        })
        .count();

    let kept = held.split_off(old.max(surplus).max(heavy));
    plan.delete.extend(held.iter().map(|file| (file.stamp, file.packed)));
    if compress && let Some((_newest, older)) = kept.split_last() {
        plan.compress.extend(older.iter().filter(|file| !file.packed).map(|file| file.stamp));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::options::{Duration, Size};
    use proptest::prelude::*;

    const UNLIMITED: Keep = Keep { files: 0, age: Duration(std::time::Duration::ZERO), total: Size(0) };

    fn stamp(second: u64) -> Stamp {
        Stamp { second, turn: 0 }
    }

    fn plain(second: u64) -> Held {
        Held { stamp: stamp(second), packed: false, size: 100 }
    }

    fn packed(second: u64) -> Held {
        Held { packed: true, size: 10, ..plain(second) }
    }

    fn live(first: u64) -> LiveShare {
        LiveShare { first: Some(first), bytes: 100 }
    }

    fn deleted(held: &[Held], keep: Keep, now: u64) -> Vec<u64> {
        plan(held.to_vec(), &keep, false, live(40), now).delete.into_iter().map(|(stamp, _)| stamp.second).collect()
    }

    #[test]
    fn without_limits_nothing_is_deleted() {
        assert_eq!(deleted(&[plain(10), packed(20)], UNLIMITED, u64::MAX), [0u64; 0]);
    }

    #[test]
    fn of_too_many_files_the_oldest_go() {
        let held = [plain(30), packed(10), plain(20)];
        assert_eq!(deleted(&held, Keep { files: 2, ..UNLIMITED }, 99), [10]);
        assert_eq!(deleted(&held, Keep { files: 3, ..UNLIMITED }, 99), [0u64; 0]);
        assert_eq!(deleted(&held, Keep { files: u64::MAX, ..UNLIMITED }, 99), [0u64; 0]);
    }

    #[test]
    fn a_file_is_too_old_when_the_next_begins_too_long_ago() {
        let keep = Keep { age: Duration(std::time::Duration::from_secs(100)), ..UNLIMITED };
        let held = [plain(10), plain(20), plain(30)];
        assert_eq!(deleted(&held, keep, 119), [0u64; 0]);
        assert_eq!(deleted(&held, keep, 120), [10]);
        assert_eq!(deleted(&held, keep, 130), [10, 20]);
        assert_eq!(deleted(&held, keep, 140), [10, 20, 30], "the live file begins at 40");
    }

    #[test]
    fn the_newest_file_is_not_too_old_before_the_live_one_has_begun() {
        let keep = Keep { age: Duration(std::time::Duration::from_secs(1)), ..UNLIMITED };
        let empty = LiveShare { first: None, bytes: 0 };
        assert_eq!(plan(vec![plain(10), plain(20)], &keep, false, empty, 900).delete, [(stamp(10), false)]);
    }

    #[test]
    fn the_total_counts_the_live_file_at_its_largest() {
        let held = [plain(10), plain(20), plain(30)];
        assert_eq!(deleted(&held, Keep { total: Size(400), ..UNLIMITED }, 99), [0u64; 0]);
        assert_eq!(deleted(&held, Keep { total: Size(399), ..UNLIMITED }, 99), [10]);
        assert_eq!(deleted(&held, Keep { total: Size(200), ..UNLIMITED }, 99), [10, 20]);
    }

    #[test]
    fn a_file_is_compressed_one_rotation_late() {
        let of = |held: &[Held]| plan(held.to_vec(), &UNLIMITED, true, live(40), 99).compress;
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[plain(10)]), []);
        assert_eq!(of(&[plain(20), plain(10)]), [stamp(10)]);
        assert_eq!(of(&[packed(5), plain(10), packed(15), plain(20), plain(30)]), [stamp(10), stamp(20)]);
    }

    #[test]
    fn what_is_deleted_is_not_compressed_first() {
        let plan = plan(vec![plain(10), plain(20), plain(30)], &Keep { files: 2, ..UNLIMITED }, true, live(40), 99);
        assert_eq!(plan, Plan { delete: vec![(stamp(10), false)], compress: vec![stamp(20)] });
    }

    #[test]
    fn of_a_file_both_plain_and_compressed_the_plain_one_goes() {
        let plan = plan(vec![plain(10), packed(10), plain(20)], &UNLIMITED, true, live(40), 99);
        assert_eq!(plan, Plan { delete: vec![(stamp(10), false)], compress: vec![] });
    }

    fn any_held() -> impl Strategy<Value = Vec<Held>> {
        let held = (0..30u64, 0..3u32, any::<bool>(), 0..1000u64).prop_map(|(second, turn, packed, size)| Held {
            stamp: Stamp { second, turn },
            packed,
            size,
        });
        prop::collection::vec(held, 0..12).prop_map(|mut held| {
            held.sort_by_key(|file| (file.stamp, file.packed));
            held.dedup_by_key(|file| (file.stamp, file.packed));
            held
        })
    }

    proptest! {
        #[test]
        fn after_it_every_limit_is_kept_and_a_second_look_finds_nothing(
            held in any_held(), files in 0..6u64, age in 0..40u64, total in 0..4000u64, bytes in 0..500u64, now in 30..80u64,
        ) {
            let keep = Keep { files, age: Duration(std::time::Duration::from_secs(age)), total: Size(total) };
            let live = LiveShare { first: Some(30), bytes };
            let first = plan(held.clone(), &keep, false, live, now);
            let left: Vec<_> = held.into_iter().filter(|file| !first.delete.contains(&(file.stamp, file.packed))).collect();
            prop_assert!(files == 0 || left.len() as u64 <= files);
            prop_assert!(total == 0 || left.is_empty() || bytes + left.iter().map(|file| file.size).sum::<u64>() <= total);
            prop_assert!(age == 0 || left.get(1).is_none_or(|second| second.stamp.second + age > now));
            let oldest_left = left.iter().map(|file| file.stamp).min();
            for (stamp, packed) in &first.delete {
                prop_assert!(oldest_left.is_none_or(|oldest| *stamp < oldest || !packed), "a newer file went before an older");
            }
            prop_assert_eq!(plan(left, &keep, false, live, now), Plan::default());
        }
    }
}
