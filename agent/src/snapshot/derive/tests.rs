use std::sync::{Arc, LazyLock};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::snapshot::draft::{Draft, schema};

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    schema(
        r#"
[metrics.wide]
kind = "counter"
unit = "By"
rate = "wide_per_sec"
description = "d"
[metrics.narrow]
kind = "counter"
width = 32
unit = "1"
rate = "narrow_per_sec"
description = "d"
[metrics.user]
kind = "counter"
unit = "ns"
description = "d"
[metrics.idle]
kind = "counter"
may_decrease = true
unit = "ns"
description = "d"
[metrics.guest]
kind = "counter"
unit = "ns"
description = "d"
[metrics.busy_percent]
unit = "%"
derive = { of = ["user", "guest"], over = ["user", "guest", "idle"], scale = 100 }
description = "d"
[metrics.idle_percent]
unit = "%"
derive = { of = ["idle"], over = ["user", "guest", "idle"], scale = 100 }
description = "d"
[metrics.level]
kind = "counter"
width = 32
may_decrease = true
unit = "1"
rate = "level_per_sec"
description = "d"
[metrics.huge]
unit = "1"
derive = { of = ["wide"], scale = 1e308 }
description = "d"
[tables.disks]
key = "disk"
description = "d"
[tables.disks.columns.reads]
kind = "counter"
unit = "1"
rate = "reads_per_sec"
description = "d"
[tables.disks.columns.time]
kind = "counter"
unit = "ms"
description = "d"
[tables.disks.columns.latency]
unit = "ms"
derive = { of = ["time"], over = ["reads"] }
description = "d"
[tables.disks.columns.writes]
kind = "counter"
unit = "1"
description = "d"
[tables.disks.columns.write_latency]
unit = "ms"
derive = { of = ["time"], over = ["writes"] }
description = "d"
[tables.tasks]
key = ["pid", "name"]
description = "d"
[tables.tasks.columns.runs]
kind = "counter"
unit = "1"
rate = "runs_per_sec"
description = "d"
"#,
    )
});

fn draft() -> Draft {
    Draft::new(&SCHEMA)
}

/// What became of `now`, `seconds` after `base`.
fn derived(base: &Draft, now: &Draft, seconds: f64) -> Frame {
    let mut frame = now.frame();
    derive(&SCHEMA, &mut frame, Some(&base.frame()), seconds, &mut Memory::default());
    frame
}

fn number(cell: Cell) -> Option<f64> {
    (!cell.is_null()).then(|| {
        assert_eq!(cell.tag, plugin_api::Tag::F64);
        f64::from_bits(cell.bits)
    })
}

fn scalar(frame: &Frame, name: &str) -> Option<f64> {
    number(frame.cells()[SCHEMA.manifest.metrics.iter().position(|metric| metric.name == name).unwrap()])
}

/// The derived column `name` by the keys of its rows, in their order.
fn column(frame: &Frame, table: usize, name: &str) -> Vec<(String, Option<f64>)> {
    let declared = &SCHEMA.manifest.tables[table];
    let (place, keys) = (declared.columns.iter().position(|column| column.name == name).unwrap(), declared.keys.len());
    let row = |row: &RowHead| {
        let key = frame.key_texts(*row, keys).map(String::from_utf8_lossy).collect::<Vec<_>>().join("/");
        (key, number(frame.cells()[row.first as usize + keys + place]))
    };
    frame.rows_of(table).iter().map(row).collect()
}

/// The rate of one counter that went from one value to another in a second.
fn rate(counter: &str, from: impl IntoCell, to: impl IntoCell) -> Option<f64> {
    let frame = derived(&draft().set(counter, from), &draft().set(counter, to), 1.0);
    scalar(&frame, &format!("{counter}_per_sec"))
}

#[test]
fn rate_is_growth_over_the_seconds_between_the_reads() {
    let frame = derived(&draft().set("wide", 1_000u64), &draft().set("wide", 1_500u64), 2.5);
    assert_eq!(scalar(&frame, "wide_per_sec"), Some(200.0));
    assert_eq!(rate("wide", 7u64, 7u64), Some(0.0));
}

#[test]
fn nothing_is_derived_at_first_nor_in_no_time() {
    let mut frame = draft().set("wide", 5u64).row("disks", &["sda"], &[("reads", 5u64.into_cell())]).frame();
    derive(&SCHEMA, &mut frame, None, 0.0, &mut Memory::default());
    assert_eq!((scalar(&frame, "wide_per_sec"), scalar(&frame, "busy_percent")), (None, None));
    assert_eq!(column(&frame, 0, "reads_per_sec"), [("sda".into(), None)]);
    let frame = derived(&draft().set("wide", 1u64), &draft().set("wide", 9u64), 0.0);
    assert_eq!(scalar(&frame, "wide_per_sec"), None);
}

#[test]
fn derived_cell_of_the_reading_before_is_written_over() {
    let mut frame = draft().frame();
    for metric in ["wide_per_sec", "busy_percent"] {
        let place = SCHEMA.manifest.metrics.iter().position(|declared| declared.name == metric).unwrap();
        frame.cells_mut()[place] = 7.0.into_cell();
    }
    derive(&SCHEMA, &mut frame, None, 0.0, &mut Memory::default());
    assert!(frame.cells().iter().all(|cell| cell.is_null()));
}

#[test]
fn counter_that_fell_was_reset_and_its_rate_is_null() {
    assert_eq!(rate("wide", 5u64, 4u64), None);
    assert_eq!(rate("wide", u64::MAX, 0u64), None);
    assert_eq!(rate("narrow", 5u64, 4u64), None);
}

#[test]
fn counter_that_may_decrease_grew_by_nothing() {
    let base = draft().set("user", 100u64).set("idle", 900u64);
    let frame = derived(&base, &draft().set("user", 150u64).set("idle", 899u64), 1.0);
    assert_eq!((scalar(&frame, "busy_percent"), scalar(&frame, "idle_percent")), (Some(100.0), Some(0.0)));
}

#[test]
fn counter_of_32_bits_wraps_from_its_upper_half_into_its_lower() {
    const HALF: u64 = 1 << 31;
    const WHOLE: u64 = 1 << 32;
    assert_eq!(rate("narrow", WHOLE - 1, 0u64), Some(1.0));
    assert_eq!(rate("narrow", WHOLE - 100, 50u64), Some(150.0));
    assert_eq!(rate("narrow", HALF, 0u64), None, "2^31 past: more than a wrap explains");
    assert_eq!(rate("narrow", HALF + 1, 0u64), Some((HALF - 1) as f64));
    assert_eq!(rate("narrow", HALF - 1, 0u64), None, "from the lower half it was reset");
    assert_eq!(rate("narrow", WHOLE - 1, HALF - 2), Some((HALF - 1) as f64));
    assert_eq!(rate("narrow", WHOLE - 1, HALF - 1), None);
    assert_eq!(rate("narrow", WHOLE + 5, 3u64), None, "it never had 32 bits");
    assert_eq!(rate("wide", WHOLE - 1, 0u64), None, "and one of 64 does not wrap");
}

#[test]
fn counter_of_32_bits_that_may_decrease_does_not_wrap() {
    assert_eq!(rate("level", u64::from(u32::MAX), 0u64), Some(0.0));
    assert_eq!(rate("level", 3u64, 5u64), Some(2.0));
}

#[test]
fn what_is_past_every_number_is_null() {
    let huge = |grown: u64| scalar(&derived(&draft().set("wide", 0u64), &draft().set("wide", grown), 1.0), "huge");
    assert_eq!([huge(0), huge(1), huge(2)], [Some(0.0), Some(1e308), None]);
}

#[test]
fn each_quotient_is_by_what_its_own_metric_declares() {
    let row = |time: u64, reads: u64, writes: u64| {
        let cells = [("time", time.into_cell()), ("reads", reads.into_cell()), ("writes", writes.into_cell())];
        draft().row("disks", &["sda"], &cells)
    };
    let frame = derived(&row(0, 0, 0), &row(60, 10, 3), 1.0);
    let of = |name: &str| column(&frame, 0, name)[0].1;
    assert_eq!((of("latency"), of("write_latency"), of("reads_per_sec")), (Some(6.0), Some(20.0), Some(10.0)));
}

#[test]
fn operand_that_is_in_neither_reading_is_left_out() {
    let base = draft().set("user", 100u64).set("idle", 0u64);
    let frame = derived(&base, &draft().set("user", 125u64).set("idle", 75u64), 1.0);
    assert_eq!(scalar(&frame, "busy_percent"), Some(25.0));
}

#[test]
fn operand_that_is_in_one_reading_only_makes_it_null() {
    let (two, three) = (draft().set("user", 1u64).set("idle", 1u64), draft().set("user", 2u64).set("idle", 2u64));
    let guest = three.clone().set("guest", 1u64);
    assert_eq!(scalar(&derived(&two, &guest, 1.0), "busy_percent"), None);
    assert_eq!(scalar(&derived(&guest, &three, 1.0), "busy_percent"), None);
    assert_eq!(scalar(&derived(&two, &guest, 1.0), "idle_percent"), None, "also where it is only divided by");
}

#[test]
fn nothing_is_derived_from_nothing() {
    let frame = derived(&draft(), &draft(), 1.0);
    assert!(frame.cells().iter().all(|cell| cell.is_null()));
    // None of `of` is known, and what it is divided by has grown.
    let frame = derived(&draft().set("idle", 1u64), &draft().set("idle", 5u64), 1.0);
    assert_eq!((scalar(&frame, "busy_percent"), scalar(&frame, "idle_percent")), (None, Some(100.0)));
}

#[test]
fn what_did_not_grow_is_not_divided_by() {
    let still = [("reads", 10u64.into_cell()), ("time", 50u64.into_cell())];
    let longer = [("reads", 10u64.into_cell()), ("time", 70u64.into_cell())];
    let frame = derived(&draft().row("disks", &["sda"], &still), &draft().row("disks", &["sda"], &longer), 1.0);
    assert_eq!(column(&frame, 0, "latency"), [("sda".into(), None)]);
}

#[test]
fn quotient_is_rounded_to_what_means_something() {
    let frame = derived(&draft().set("wide", 0u64), &draft().set("wide", 10u64), 3.0);
    assert_eq!(scalar(&frame, "wide_per_sec"), Some(3.3333));
    let frame = derived(&draft().set("wide", 0u64), &draft().set("wide", 1u64), 3.0);
    assert_eq!(scalar(&frame, "wide_per_sec"), Some(0.333_333_33));
    assert_eq!(rate("wide", 0u64, u64::MAX), Some(u64::MAX as f64), "and a large one stands");
}

fn disks(rows: &[(&str, u64, u64)]) -> Draft {
    rows.iter().fold(draft(), |draft, (disk, reads, time)| {
        draft.row("disks", &[disk], &[("reads", reads.into_cell()), ("time", time.into_cell())])
    })
}

#[test]
fn rows_grow_against_those_of_the_same_key_whatever_their_order() {
    let base = disks(&[("sda", 10, 100), ("sdb", 20, 200), ("sdc", 30, 300)]);
    let now = disks(&[("sdc", 33, 330), ("sda", 11, 130), ("sdb", 22, 220)]);
    let frame = derived(&base, &now, 1.0);
    let by = |a, b, c| [("sdc".to_owned(), Some(c)), ("sda".to_owned(), Some(a)), ("sdb".to_owned(), Some(b))];
    assert_eq!(column(&frame, 0, "reads_per_sec"), by(1.0, 2.0, 3.0));
    assert_eq!(column(&frame, 0, "latency"), by(30.0, 10.0, 10.0));
}

#[test]
fn row_that_came_is_null_and_one_that_went_is_forgotten() {
    let first = disks(&[("sda", 10, 0), ("sdb", 20, 0), ("sdc", 30, 0)]);
    let second = disks(&[("sda", 11, 0), ("sdx", 5, 0), ("sdc", 33, 0)]);
    let wanted = [("sda".to_owned(), Some(1.0)), ("sdx".to_owned(), None), ("sdc".to_owned(), Some(3.0))];
    assert_eq!(column(&derived(&first, &second, 1.0), 0, "reads_per_sec"), wanted);
    let third = disks(&[("sdb", 90, 0)]);
    assert_eq!(column(&derived(&second, &third, 1.0), 0, "reads_per_sec"), [("sdb".to_owned(), None)]);
}

#[test]
fn row_of_several_keys_is_found_by_all_of_them() {
    let task = |draft: Draft, keys: &[&str], runs: u64| draft.row("tasks", keys, &[("runs", runs.into_cell())]);
    let base = task(task(draft(), &["7", "init"], 10), &["7", "bash"], 100);
    let now = task(task(draft(), &["7", "init"], 11), &["9", "bash"], 101);
    let wanted = [("7/init".to_owned(), Some(1.0)), ("9/bash".to_owned(), None)];
    assert_eq!(column(&derived(&base, &now, 1.0), 1, "runs_per_sec"), wanted);
}

#[test]
fn index_is_of_the_table_at_hand() {
    // The tables have a key in common, and the index of the first is still in memory.
    let base = disks(&[("a", 1, 0), ("b", 2, 0)]).row("tasks", &["b", "b"], &[("runs", 7u64.into_cell())]);
    let now = disks(&[("b", 4, 0), ("a", 2, 0)]).row("tasks", &["b", "b"], &[("runs", 9u64.into_cell())]);
    let frame = derived(&base, &now, 1.0);
    assert_eq!(column(&frame, 0, "reads_per_sec"), [("b".to_owned(), Some(2.0)), ("a".to_owned(), Some(1.0))]);
    assert_eq!(column(&frame, 1, "runs_per_sec"), [("b/b".to_owned(), Some(2.0))]);
}

fn any_counter() -> impl Strategy<Value = Option<u64>> {
    let edges = vec![0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, u64::MAX];
    prop_oneof![2 => any::<u64>().prop_map(Some), 2 => (0u64..1000).prop_map(Some), 2 => select(edges).prop_map(Some), 1 => Just(None)]
}

fn any_scalars() -> impl Strategy<Value = Vec<Option<u64>>> {
    vec(any_counter(), 5)
}

fn any_disks() -> impl Strategy<Value = Vec<(String, Option<u64>, Option<u64>)>> {
    btree_map("[a-f]", (any_counter(), any_counter()), 0..6)
        .prop_map(|rows| rows.into_iter().map(|(disk, (reads, time))| (disk, reads, time)).collect())
}

type Disks = [(String, Option<u64>, Option<u64>)];

fn reading(scalars: &[Option<u64>], disks: &Disks) -> Draft {
    let scalars = ["wide", "narrow", "user", "idle", "guest"].into_iter().zip(scalars);
    let draft = scalars.fold(draft(), |draft, (name, value)| draft.set(name, *value));
    disks.iter().fold(draft, |draft, (disk, reads, time)| {
        draft.row("disks", &[disk], &[("reads", reads.into_cell()), ("time", time.into_cell())])
    })
}

proptest! {
    #[test]
    fn what_is_derived_is_never_negative_and_always_finite(
        base in any_scalars(), now in any_scalars(), disks in any_disks(), later in any_disks(),
        seconds in prop_oneof![Just(0.0), 1e-9..1e9],
    ) {
        let frame = derived(&reading(&base, &disks), &reading(&now, &later), seconds);
        let scalars = ["wide_per_sec", "narrow_per_sec", "busy_percent", "idle_percent"];
        let columns = ["reads_per_sec", "latency"].into_iter().flat_map(|name| column(&frame, 0, name));
        let values = scalars.iter().map(|name| scalar(&frame, name)).chain(columns.map(|(_, value)| value));
        for value in values.flatten() {
            prop_assert!(value >= 0.0 && value.is_finite(), "{value}");
        }
        let shares = [scalar(&frame, "busy_percent"), scalar(&frame, "idle_percent")];
        if let [Some(busy), Some(idle)] = shares {
            prop_assert!((busy + idle - 100.0).abs() < 1e-3, "{busy} and {idle}");
        }
    }

    #[test]
    fn order_of_rows_does_not_matter(
        base in any_disks(), now in any_disks(), shuffled in any_disks().prop_shuffle(), seed in any::<prop::sample::Index>(),
    ) {
        let mut turned = now.clone();
        turned.rotate_left(if now.is_empty() { 0 } else { seed.index(now.len()) });
        turned.reverse();
        for base in [&base, &shuffled] {
            let straight = derived(&reading(&[], base), &reading(&[], &now), 1.0);
            let other = derived(&reading(&[], base), &reading(&[], &turned), 1.0);
            for name in ["reads_per_sec", "latency"] {
                let (mut straight, mut other) = (column(&straight, 0, name), column(&other, 0, name));
                straight.sort_by(|a, b| a.0.cmp(&b.0));
                other.sort_by(|a, b| a.0.cmp(&b.0));
                prop_assert_eq!(straight, other);
            }
        }
    }
}
