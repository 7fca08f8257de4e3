use super::super::{Agent, Budget, Reload};
use super::*;
use crate::snapshot::Wall;

const SECOND: u64 = 1_000_000_000;
/// 2026-11-24 17:30:05 UTC.
const NOW: u64 = 1_795_541_405 * SECOND;

fn ago(seconds: u64) -> Moment {
    Moment(Wall(NOW - seconds * SECOND))
}

fn collector(name: &str, placement: &str) -> Collector {
    Collector {
        name: name.into(),
        plugin: name.into(),
        version: Some("0.1.0".into()),
        library: Some(format!("/usr/lib/perfwatch/plugins/libperfwatch_{name}.so")),
        status: Some("ok".into()),
        placement: placement.into(),
        isolation: "none".into(),
        interval_seconds: 5.0,
        timeout_seconds: 1.0,
        last_seconds: Some(61e-6),
        mean_seconds: Some(58.4e-6),
        next_due: Some(Moment(Wall(NOW + 5 * SECOND))),
        calls: 54_843,
        budget: Budget { cpu_seconds: 0.01, memory_bytes: 64 << 20, descriptors: 64 },
        ..Collector::default()
    }
}

fn sink(name: &str, kind: &str) -> Sink {
    Sink { name: name.into(), kind: kind.into(), depth: 0, capacity: 128, written: 54_843, lost: 0, error: None }
}

fn well() -> Status {
    Status {
        agent: Agent {
            version: "0.1.0".into(),
            pid: 4242,
            run: "5f0c".into(),
            host: Some("web-1".into()),
            at: ago(0),
            started: ago(274_216),
            uptime_seconds: 274_216.0,
            config: Some("/etc/perfwatch/perfwatch.toml".into()),
            watch: "all".into(),
            trust: "strict".into(),
            log_level: "info".into(),
            tick: Some(ago(3)),
            late_seconds: 120e-6,
            snapshots: 54_843,
            ..Agent::default()
        },
        reload: None,
        collectors: ["cpu", "memory", "network"].map(|name| collector(name, "agent")).into(),
        sinks: vec![sink("archive", "file")],
    }
}

/// As bad as it gets.
fn bad() -> Status {
    let mut status = well();
    status.agent.drop_ins = vec!["/etc/perfwatch/conf.d/ups.toml".into(), "/etc/perfwatch/conf.d/gpu.toml".into()];
    status.agent.trust = "relaxed".into();
    status.agent.locked = true;
    status.agent.last_good = Some("/var/lib/perfwatch/good.toml".into());
    status.reload =
        Some(Reload { at: ago(7500), applied: false, text: "perfwatch.toml:3:1: unknown key\n  intervall\n".into() });
    let ups = Collector {
        status: Some("backoff".into()),
        since: Some(ago(303)),
        error: Some(
            "could not connect to upsd at 127.0.0.1:3493:\nConnection refused (os error 111), and this goes on and on"
                .into(),
        ),
        failures: 61,
        timeouts: 3,
        restarts: 2,
        memory_bytes: Some(700 << 10),
        next_due: Some(Moment(Wall(NOW + 45 * SECOND))),
        ..collector("ups", "child")
    };
    let gpu = Collector {
        status: Some("quarantined".into()),
        since: Some(ago(93_600)),
        error: Some("its child died 20 times within a minute".into()),
        quarantined: true,
        last_seconds: None,
        mean_seconds: None,
        next_due: None,
        interval_seconds: 0.25,
        calls: 0,
        restarts: 21,
        over_budget: 1,
        ..collector("a-collector-with-a-name-of-some-length", "child")
    };
    let disk = Collector {
        status: Some("partial".into()),
        missed: 4,
        skipped: 1,
        refused: 7,
        rows_lost: 9,
        ..collector("disk", "thread")
    };
    status.collectors.extend([ups, gpu, disk]);
    status.sinks.push(Sink {
        depth: 17,
        lost: 1234,
        error: Some("could not write: No space left on device (os error 28)".into()),
        ..sink("full", "file")
    });
    status
}

fn drawn(status: &Status, columns: usize) -> String {
    String::from_utf8(draw(status, Some(columns), false)).unwrap()
}

const WELL: &str = "\
perfwatch 0.1.0 on web-1, pid 4242: 3 collectors, none at fault
since 2026-11-21 13:19:49 UTC (3d 04h): 54,843 snapshots, last 3.0 s ago, 120 µs late, none missed
/etc/perfwatch/perfwatch.toml; watches all; trust strict

COLLECTOR  STATUS  WHERE  EVERY     LAST     MEAN   CALLS
cpu        ok      agent     5s  61.0 µs  58.4 µs  54,843
memory     ok      agent     5s  61.0 µs  58.4 µs  54,843
network    ok      agent     5s  61.0 µs  58.4 µs  54,843

SINK     TYPE  QUEUE  WRITTEN  LOST
archive  file  0/128   54,843     0
";

const BAD: &str = "\
perfwatch 0.1.0 on web-1, pid 4242: sink full does not write; 2 of 6 collectors at fault: ups backo…
since 2026-11-21 13:19:49 UTC (3d 04h): 54,843 snapshots, last 3.0 s ago, 120 µs late, 5 missed
/etc/perfwatch/perfwatch.toml and 2 of conf.d; watches all; trust relaxed, plugins locked
the configuration was refused at the start: it runs from the last good one, /var/lib/perfwatch/good…
last reload 2h 05m ago refused: perfwatch.toml:3:1: unknown key; intervall

COLLECTOR                 STATUS       WHERE   EVERY     LAST     MEAN   CALLS  FAILED   MEMORY
cpu                       ok           agent      5s  61.0 µs  58.4 µs  54,843       0        –
memory                    ok           agent      5s  61.0 µs  58.4 µs  54,843       0        –
network                   ok           agent      5s  61.0 µs  58.4 µs  54,843       0        –
ups                       backoff      child      5s  61.0 µs  58.4 µs  54,843      61  700 KiB
    for 5m 03s, asked again in 45 s: could not connect to upsd at 127.0.0.1:3493: Connection refuse…
    3 timed out, 2 restarts
a-collector-…some-length  quarantined  child   250ms        –        –       0       0        –
    for 1d 02h: its child died 20 times within a minute
    21 restarts, 1 over the budget
disk                      partial      thread     5s  61.0 µs  58.4 µs  54,843       0        –
    4 missed, 1 without a turn, 7 values refused, 9 rows lost

SINK     TYPE   QUEUE  WRITTEN   LOST
archive  file   0/128   54,843      0
full     file  17/128   54,843  1,234
    could not write: No space left on device (os error 28)
";

#[test]
fn agent_that_is_well_shows_little() {
    assert_eq!(drawn(&well(), 100), WELL);
}

#[test]
fn what_is_bad_is_named_in_the_first_line_and_told_below_its_row() {
    assert_eq!(drawn(&bad(), 100), BAD);
}

#[test]
fn counts_that_fit_are_columns_and_no_error_is_cut_where_there_is_no_edge() {
    let text = String::from_utf8(draw(&bad(), None, false)).unwrap();
    for heading in ["FAILED", "TIMEOUTS", "MISSED", "SKIPPED", "RESTARTS", "OVER", "REFUSED", "ROWS-LOST", "MEMORY"] {
        assert!(text.contains(heading), "{heading} in:\n{text}");
    }
    // Nobody has one.
    assert!(!text.contains("DROPPED"), "{text}");
    assert!(text.contains("Connection refused (os error 111), and this goes on and on\n"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_screen() {
    for columns in [20, 40, 80, 100, 200] {
        let text = drawn(&bad(), columns);
        assert!(text.lines().all(|line| width(line) <= columns), "{columns}:\n{text}");
    }
}

#[test]
fn colour_is_where_something_is_bad_and_nowhere_else() {
    assert_eq!(draw(&well(), Some(100), true), WELL.as_bytes());
    let text = String::from_utf8(draw(&bad(), None, true)).unwrap();
    let coloured: Vec<_> = text.split("\x1b[").skip(1).step_by(2).map(|piece| piece.split_once('m').unwrap()).collect();
    let expected = [
        ("31", "sink full does not write"),
        ("31", "2 of 6 collectors at fault"),
        ("33", "relaxed"),
        ("31", "the configuration was refused at the start"),
        ("31", "refused: "),
        ("31", "backoff"),
        ("31", "quarantined"),
        ("33", "partial"),
        ("31", "1,234"),
    ];
    assert_eq!(coloured, expected);
}

#[test]
fn nothing_that_an_agent_says_commands_the_terminal() {
    let hostile = "\x1b]0;owned\x07\x1b[2J\r\u{9b}5m\u{202e}";
    let mut status = bad();
    for one in &mut status.collectors {
        for text in [&mut one.name, &mut one.placement] {
            text.push_str(hostile);
        }
        for text in [&mut one.error, &mut one.status] {
            *text = Some(hostile.into());
        }
    }
    for one in &mut status.sinks {
        for text in [&mut one.name, &mut one.kind] {
            text.push_str(hostile);
        }
        one.error = Some(hostile.into());
    }
    let agent = &mut status.agent;
    for text in [&mut agent.version, &mut agent.watch, &mut agent.trust] {
        text.push_str(hostile);
    }
    for text in [&mut agent.host, &mut agent.config, &mut agent.last_good] {
        *text = Some(hostile.into());
    }
    status.reload = Some(Reload { text: hostile.into(), ..Reload::default() });
    let text = String::from_utf8(draw(&status, None, false)).unwrap();
    assert!(!text.chars().any(|one| one != '\n' && crate::harmless::is_harmful(one)), "{text:?}");
}

#[test]
fn agent_that_has_just_started_has_nothing_to_say_yet() {
    let mut status = well();
    status.agent.tick = None;
    status.collectors.truncate(1);
    let one = &mut status.collectors[0];
    (one.status, one.last_seconds, one.mean_seconds) = (None, None, None);
    let text = drawn(&status, 100);
    assert!(
        text.contains("54,843 snapshots, none missed\n") && text.contains("\ncpu        –       agent     5s"),
        "{text}"
    );
    let nothing = drawn(&Status::default(), 100);
    assert!(nothing.contains(": 0 collectors, none at fault\n"), "{nothing}");
}

#[test]
fn interval_is_said_as_it_is_written() {
    assert_eq!([5.0, 0.01, 90.0, 0.25].map(every), ["5s", "10ms", "1m 30s", "250ms"]);
    // What a stranger may answer.
    assert_eq!([-1.0, f64::NAN, f64::INFINITY].map(every), ["0s", "0s", "0s"]);
}
