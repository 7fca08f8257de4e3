//! Frames of hand-made snapshots over the manifests of real plugins.

mod kit;

use std::path::Path;
use std::time::Duration;

use kit::V::{N, T};
use kit::{NOW, Row, Values, failed, section, section_with, snapshot};

use super::{Screen, Table};
use crate::snapshot::{Event, EventKind, Section, Snapshot, Status};

const CPU: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/cpu/plugin.toml"));
const MEMORY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/memory/plugin.toml"));
const NETWORK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/network/plugin.toml"));

fn cpu(place: usize) -> Section {
    let core = |usage: f64, user: f64, system: f64, idle: f64| {
        [
            ("usage_percent", N(usage)),
            ("user", N(user)),
            ("nice", N(0.0)),
            ("system", N(system)),
            ("idle", N(idle)),
            ("iowait", N(0.2)),
            ("irq", N(0.0)),
            ("softirq", N(0.1)),
            ("steal", N(0.0)),
            ("user_ticks", N(123_456.0)),
            ("temperature_celsius", N(61.0)),
        ]
    };
    let scalars: Values<'_> = &[
        ("usage_percent", N(12.2)),
        ("user", N(8.1)),
        ("nice", N(0.0)),
        ("system", N(3.9)),
        ("idle", N(87.6)),
        ("iowait", N(0.2)),
        ("irq", N(0.0)),
        ("softirq", N(0.2)),
        ("steal", N(0.0)),
        ("user_ticks", N(246_912.0)),
        ("count", N(2.0)),
        ("load_1m", N(0.52)),
        ("load_5m", N(1.374)),
        ("load_15m", N(12.05)),
        ("interrupts", N(9_876_543_210.0)),
        ("interrupts_per_sec", N(1234.5)),
        ("context_switches", N(1e12)),
        ("context_switches_per_sec", N(20_534.0)),
        ("processes_created_per_sec", N(0.2)),
    ];
    section(
        place,
        CPU,
        scalars,
        &[("per_core", &["0"], &core(11.0, 7.2, 3.8, 89.0)), ("per_core", &["1"], &core(100.0, 91.04, 8.96, 0.0))],
    )
}

fn memory(place: usize) -> Section {
    let scalars: Values<'_> = &[
        ("usage_percent", N(31.4)),
        ("total_bytes", N(8_323_596_288.0)),
        ("used_bytes", N(2_613_609_234.0)),
        ("available_bytes", N(5_709_987_054.0)),
        ("free_bytes", N(912_680_550.0)),
        ("cached_bytes", N(4.2e9)),
        ("buffers_bytes", N(1e8)),
        ("slab_bytes", N(3e8)),
        ("dirty_bytes", N(28_672.0)),
        ("swap_total_bytes", N(0.0)),
        ("hugepages_total", N(0.0)),
        ("pgpgin_per_sec", N(1234.0)),
        ("pgpgout_per_sec", N(0.0)),
        ("pgfault_per_sec", N(1_234_567.0)),
        ("pgmajfault_per_sec", N(0.001)),
    ];
    section(place, MEMORY, scalars, &[])
}

fn network(place: usize) -> Section {
    let traffic: Values<'_> = &[
        ("bytes_sent", N(123_456_789_012.0)),
        ("bytes_sent_per_sec", N(1_300_000.0)),
        ("bytes_recv_per_sec", N(3_400.0)),
        ("packets_sent_per_sec", N(1_201.0)),
        ("packets_recv_per_sec", N(98.2)),
        ("errors_in_per_sec", N(0.0)),
        ("errors_out_per_sec", N(0.0)),
        ("drops_in_per_sec", N(0.4)),
    ];
    let scalars: Values<'_> = &[
        ("connections.tcp.established", N(1012.0)),
        ("connections.tcp.syn_sent", N(0.0)),
        ("connections.tcp.time_wait", N(37.0)),
        ("connections.tcp.listen", N(9.0)),
        ("connections.udp.count", N(4.0)),
    ];
    let rows: &[Row<'_>] = &[
        ("interfaces", &["eth0"], traffic),
        ("interfaces", &["\x1b]0;owned\x07\x1b[2J\u{202e}x"], &[]),
        ("interfaces", &["日本語のとても長いインターフェースの名前である"], &[("bytes_recv_per_sec", N(12.0))]),
    ];
    section_with(place, NETWORK, scalars, rows, Some(("connections", "could not open a netlink socket\x1b[31m")))
}

fn everything() -> Snapshot {
    let disk = failed(1, "disk", Status::Timeout, "no answer for 1s");
    let sensors = failed(4, "sensors", Status::Unavailable, "no sensor here");
    let mut snapshot = snapshot(NOW, vec![cpu(0), disk, memory(2), network(3), sensors]);
    snapshot.events.push(Event { count: Some(3), ..Event::new(EventKind::Missed) });
    snapshot
}

fn frame_of(table: &mut Table, snapshot: &Snapshot, width: usize, height: Option<usize>) -> String {
    let mut out = Vec::new();
    table.take(snapshot, 0);
    table.draw(Screen { width, height }, &mut out);
    String::from_utf8(out).unwrap()
}

fn plain(snapshot: &Snapshot, width: usize, height: Option<usize>) -> String {
    frame_of(&mut Table::new(false, false), snapshot, width, height)
}

/// Compares with a file of `tests/golden`; PERFWATCH_BLESS=1 writes it, to be looked at.
fn golden(name: &str, is: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
    if std::env::var_os("PERFWATCH_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, is).unwrap();
    }
    let should = std::fs::read_to_string(&path).unwrap();
    assert!(is == should, "{} differs; it is now\n{is}", path.display());
}

#[test]
fn a_frame_at_80_columns_is_the_golden_one() {
    golden("table-80.txt", &plain(&everything(), 80, None));
}

#[test]
fn a_frame_at_200_columns_is_the_golden_one() {
    golden("table-200.txt", &plain(&everything(), 200, None));
}

#[test]
fn a_frame_on_a_screen_of_80_by_24_is_the_golden_one() {
    golden("table-80x24.txt", &plain(&everything(), 80, Some(24)));
}

#[test]
fn no_text_of_a_plugin_commands_the_terminal() {
    let shown = plain(&everything(), 200, None);
    assert!(shown.contains("]0;owned"));
    assert!(!shown.chars().any(|one| one != '\n' && (one.is_control() || one == '\u{202e}')));
}

#[test]
fn a_frame_fits_every_screen() {
    let (snapshot, mut table) = (everything(), Table::new(false, false));
    for (width, height) in (1..=210).flat_map(|width| [(width, None), (width, Some(1 + width % 60))]) {
        let shown = frame_of(&mut table, &snapshot, width, height);
        let lines: Vec<&str> = shown.trim_start_matches('\n').lines().collect();
        let widest = lines.iter().map(|line| super::line::width(line)).max().unwrap();
        assert!(widest <= width.max(20), "{widest} of {width}: {shown}");
        assert!(height.is_none_or(|height| lines.len() < height.max(4)), "{} of {height:?}: {shown}", lines.len());
    }
}

#[test]
fn counters_give_way_to_their_rates_and_what_is_not_in_the_json_is_not_shown() {
    let shown = plain(&everything(), 200, None);
    assert!(shown.contains("interrupts  1,235/s"), "{shown}");
    assert!(!shown.contains("_ticks") && !shown.contains("9.88G"), "{shown}");
}

const COUNTS: &str = r#"contract = "1.0"
[plugin]
name = "counts"
description = "a counter of its own, and two names that would be one without their units"
[metrics.snapshots]
type = "u64"
kind = "counter"
unit = "{snapshot}"
description = "a counter without a rate"
[metrics.busy_percent]
unit = "%"
description = "a share"
[metrics.busy_seconds]
unit = "s"
description = "a time"
[metrics.state]
kind = "state"
values = ["up", "down"]
description = "a word"
[metrics.model]
kind = "info"
description = "a text"
[metrics.made]
kind = "time"
description = "a moment"
[tables.processes]
key = ["pid", "name"]
description = "two keys"
[tables.processes.columns.running]
type = "bool"
description = "a flag"
[tables.processes.columns.never]
type = "u64"
unit = "By"
description = "what nothing here reports"
[tables.none]
key = "nobody"
description = "no row"
[tables.none.columns.x]
type = "u64"
unit = "1"
description = "a number"
"#;

#[test]
fn every_kind_of_metric_has_a_form() {
    let values: Values<'_> = &[
        ("snapshots", N(1_234_567.0)),
        ("busy_percent", N(0.01)),
        ("busy_seconds", N(90.0)),
        ("state", N(1.0)),
        ("model", T("one\nof two lines")),
        ("made", N(NOW.0 as f64)),
    ];
    let rows: &[Row<'_>] = &[
        ("processes", &["7", "init"], &[("running", N(1.0))]),
        ("processes", &["4242", "a rather long name of a process that is cut"], &[("running", N(0.0))]),
    ];
    let shown = plain(&snapshot(NOW, vec![section(0, COUNTS, values, rows)]), 80, None);
    let lines: Vec<&str> = shown.lines().skip(2).map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "  snapshots  1.23M   busy_percent  <0.1%   busy_seconds  1m 30s",
            "  state  down   model  one\u{fffd}of two lines   made  2026-11-24 03:30:05 UTC",
            "  pid   name                  running",
            "  4242  a rather l…at is cut  no",
            "  7     init                  yes",
            "  none: none",
        ]
    );
}

#[test]
fn collector_that_was_not_due_keeps_its_last_section_and_its_age_is_said() {
    let mut table = Table::new(false, false);
    frame_of(&mut table, &snapshot(NOW, vec![cpu(0), memory(1)]), 80, None);
    let later = frame_of(&mut table, &snapshot(NOW.plus(Duration::from_secs(55)), vec![memory(1)]), 80, None);
    assert!(later.contains("─ 55 s ago\n  usage"), "{later}");
    assert!(later.contains("load_15m"), "{later}");
}

#[test]
fn collector_that_fails_shows_why_and_nothing_of_before() {
    let mut table = Table::new(false, false);
    frame_of(&mut table, &snapshot(NOW, vec![cpu(0)]), 80, None);
    let pending = frame_of(&mut table, &snapshot(NOW, vec![failed(0, "cpu", Status::Pending, "")]), 80, None);
    assert!(pending.contains("cpu ── pending since 03:29:40 ──") && pending.contains("load_15m"), "{pending}");
    let gone = snapshot(NOW, vec![failed(0, "cpu", Status::Failed, "could not open /proc/stat")]);
    let gone = frame_of(&mut table, &gone, 80, None);
    let lines: Vec<&str> = gone.trim_start().lines().collect();
    assert_eq!(lines.len(), 2, "{gone}");
    assert!(lines[1].starts_with("cpu ── failed since 03:29:40: could not open /proc/stat ──"), "{gone}");
    let still = failed(0, "cpu", Status::Pending, "");
    assert!(!frame_of(&mut table, &snapshot(NOW, vec![still]), 80, None).contains("load_15m"));
}

#[test]
fn what_happened_is_told_for_a_minute() {
    let mut table = Table::new(false, false);
    let mut first = snapshot(NOW, Vec::new());
    let moved = Event { from: Some("agent".into()), to: Some("thread".into()), ..Event::new(EventKind::Moved) };
    first.events = vec![Event::new(EventKind::Start), Event { collector: Some("disk".into()), ..moved }];
    table.take(&first, 2);
    let mut out = Vec::new();
    table.draw(Screen { width: 120, height: None }, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("03:30:05 2 snapshots lost; disk moved agent → thread\n"), "{text}");
    let later = |table: &mut Table, seconds| {
        let later = snapshot(NOW.plus(Duration::from_secs(seconds)), Vec::new());
        frame_of(table, &later, 120, None).contains("lost")
    };
    assert!(later(&mut table, 59));
    assert!(!later(&mut table, 60));
}

#[test]
fn a_live_frame_is_drawn_over_the_one_before_and_ends_above_the_prompt() {
    let mut table = Table::new(false, true);
    let first = frame_of(&mut table, &everything(), 80, Some(24));
    assert!(first.starts_with(&("\n".repeat(24) + "\x1b[H\x1b[?7l")), "{first:?}");
    let next = frame_of(&mut table, &everything(), 80, Some(24));
    assert!(next.starts_with("\x1b[H\x1b[?7l") && next.ends_with("\r\n\x1b[J\x1b[?7h"), "{next:?}");
    assert!(next.matches('\n').count() <= 23);
    let mut lines = next.split("\r\n");
    let full = lines.clone().find(|line| line.starts_with("memory")).unwrap();
    assert!(!full.ends_with("\x1b[K"), "a full line would lose its last character: {full:?}");
    assert!(lines.any(|line| line.ends_with("\x1b[K")));
}

#[test]
fn colour_is_there_only_where_it_was_asked_for() {
    assert!(!plain(&everything(), 80, None).contains('\x1b'));
    let coloured = frame_of(&mut Table::new(true, false), &everything(), 80, None);
    assert!(coloured.contains("\x1b[1mdisk\x1b[0m"), "{coloured}");
    assert!(coloured.contains("\x1b[31mtimeout\x1b[0m"), "{coloured}");
}

#[test]
fn long_tables_are_cut_first_and_say_how_many_rows_there_are() {
    let keys: Vec<String> = (0..40).map(|core| core.to_string()).collect();
    let keys: Vec<[&str; 1]> = keys.iter().map(|key| [key.as_str()]).collect();
    let usage: Values<'_> = &[("usage_percent", N(1.0))];
    let rows: Vec<Row<'_>> = keys.iter().map(|key| ("per_core", key.as_slice(), usage)).collect();
    let shown = plain(&snapshot(NOW, vec![section(0, CPU, &[], &rows), memory(1)]), 80, Some(30));
    assert!(shown.contains("\n  … 28 more\nmemory"), "{shown}");
    assert!(shown.contains("pgmajfault"), "{shown}");
    assert_eq!(shown.lines().count(), 29, "{shown}");
}

#[test]
fn collector_that_has_left_is_not_shown_and_who_has_its_place_shows_nothing_of_it() {
    let mut table = Table::new(false, false);
    let of = |sections, roster: &[usize]| Snapshot { roster: roster.into(), ..snapshot(NOW, sections) };
    let text = frame_of(&mut table, &of(vec![cpu(0), memory(1)], &[1, 0]), 80, None);
    assert!(text.find("memory").unwrap() < text.find("cpu ─").unwrap(), "{text}");
    let text = frame_of(&mut table, &of(Vec::new(), &[1]), 80, None);
    assert!(text.contains("memory") && !text.contains("cpu ─"), "{text}");
    let comes = of(vec![failed(1, "other", Status::Pending, "")], &[1]);
    let text = frame_of(&mut table, &comes, 80, None);
    assert!(text.contains("other ── pending") && !text.contains("pgmajfault"), "{text}");
}
