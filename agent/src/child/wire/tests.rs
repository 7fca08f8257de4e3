use std::path::Path;

use plugin_api::host_side::options::Settings;

use super::super::Policy;
use super::super::sandbox::{Terms, Without};
use super::set_up::{MAGIC, SET_UP, VERSION};
use super::*;

const LIMITS: Limits = Limits { rows: 2, cells: 8, text: 16, notes: 2 };

fn taken() -> Taken {
    let [took, cpu, programs] = [3, 4, 6].map(Duration::from_nanos);
    Taken { at: Wall(1), at_mono: Mono(2), took, cpu, memory: 5, programs, made: true }
}

fn filled() -> Frame {
    let mut frame = Frame::new(LIMITS);
    let cells = [Cell { tag: Tag::I64, aux: 7, bits: -1i64 as u64 }, Cell::text(1, 4), Cell::NULL];
    let (subject, message) = (Text { offset: 1, len: 2 }, Text { offset: 3, len: 4 });
    let rows = [RowHead { table: 9, first: 1 }];
    let notes = [Note { row: Note::PART, subject, message }];
    frame.refill(cells.into_iter(), rows.into_iter(), notes.into_iter(), b"0123456789", Text { offset: 5, len: 6 });
    (frame.outcome, frame.lost_rows, frame.lost_texts) = (ErrorKind::DENIED, 10, 11);
    frame
}

fn policy() -> Policy {
    Policy::new(&Terms {
        collector: "ups",
        reads: &[],
        options: &Settings::default(),
        grants: &[],
        bundled: false,
        host_root: Path::new("/"),
        memory: 64 << 20,
        descriptors: 64,
        required: false,
        without: Without::default(),
    })
}

/// A reading as the answer to request 42.
fn sent() -> Vec<u8> {
    let mut out = b"what was there".to_vec();
    reading_into(&mut out, 42, &taken(), &filled());
    out
}

fn heard(bytes: &[u8]) -> Result<(usize, Message<'_>), Garbage> {
    hear(bytes, Some(42), &LIMITS, &mut Frame::new(LIMITS))
}

/// What is wrong with a reading of which four bytes are these instead.
fn spoiled(at: usize, with: u32) -> Garbage {
    let mut bytes = sent();
    bytes[at..at + 4].copy_from_slice(&with.to_le_bytes());
    heard(&bytes).unwrap_err()
}

#[test]
fn reading_arrives_as_it_was_sent() {
    let (bytes, mut frame) = (sent(), Frame::new(LIMITS));
    let heard = hear(&bytes, Some(42), &LIMITS, &mut frame);
    assert_eq!(heard, Ok((bytes.len(), Message::Reading(taken()))));
    let from = filled();
    assert_eq!((frame.cells(), frame.rows(), frame.notes()), (from.cells(), from.rows(), from.notes()));
    assert_eq!((frame.arena(), frame.message_place()), (from.arena(), from.message_place()));
    assert_eq!((frame.outcome, frame.lost_rows, frame.lost_texts), (ErrorKind::DENIED, 10, 11));
}

#[test]
fn log_line_arrives_cut_to_what_a_log_takes() {
    let mut bytes = Vec::new();
    for (level, text) in [(Level::Error, "one"), (Level::Warn, ""), (Level::Info, "\u{e4}"), (Level::Debug, "four")] {
        line_into(&mut bytes, level, text);
        assert_eq!(heard(&bytes), Ok((bytes.len(), Message::Line(level, text))));
    }
    line_into(&mut bytes, Level::Info, &format!("x{}", "\u{e4}".repeat(LINE_BYTES_MAX)));
    let Ok((_, Message::Line(_, text))) = heard(&bytes) else { panic!("no line") };
    assert_eq!(text.len(), LINE_BYTES_MAX - 1);
}

#[test]
fn cut_message_is_unfinished_and_says_how_long_it_is() {
    let bytes = sent();
    for len in 0..bytes.len() {
        let all = if len < HEAD_BYTES { HEAD_BYTES } else { bytes.len() };
        assert_eq!(heard(&bytes[..len]), Ok((0, Message::Unfinished(all))), "{len}");
    }
}

#[test]
fn what_follows_a_message_is_left() {
    let mut bytes = sent();
    let len = bytes.len();
    bytes.extend([0xff; 99]);
    assert_eq!(heard(&bytes), Ok((len, Message::Reading(taken()))));
}

#[test]
fn what_no_child_sends_is_garbage_with_a_name() {
    assert_eq!(spoiled(4, 1), Garbage::Kind(SET_UP));
    assert_eq!(spoiled(4, 99), Garbage::Kind(99));
    let most = longest(&LIMITS);
    assert_eq!(spoiled(0, most as u32 - 3), Garbage::TooLong { bytes: most + 1, most });
    assert_eq!(spoiled(0, u32::MAX), Garbage::TooLong { bytes: (1 << 32) + 3, most });
    assert_eq!(spoiled(0, 3), Garbage::TooShort(7));
    assert_eq!(spoiled(0, 4), Garbage::TooShort(0));
    assert_eq!(spoiled(0, 99), Garbage::TooShort(95));
    assert_eq!(spoiled(8, 41), Garbage::Number { asked: 42, answered: 41 });
    assert_eq!(spoiled(12, 1), Garbage::Number { asked: 42, answered: (1 << 32) + 42 });
    assert_eq!(spoiled(64, 2), Garbage::Flag(2));
    for (at, most, what) in [(88, 8, "cells"), (92, 2, "rows"), (96, 2, "notes"), (100, 16, "bytes of text")] {
        for count in [most + 1, u32::MAX] {
            assert_eq!(spoiled(at, count), Garbage::Count(what, count));
        }
        let Garbage::Length { parts, bytes } = spoiled(at, 0) else { panic!("{what}") };
        assert_ne!(parts, bytes as u64);
    }
}

#[test]
fn answer_that_nobody_asked_for_is_garbage() {
    assert_eq!(hear(&sent(), None, &LIMITS, &mut Frame::new(LIMITS)), Err(Garbage::Unasked));
}

#[test]
fn log_line_that_is_none_is_garbage_with_a_name() {
    let mut line = Vec::new();
    line_into(&mut line, Level::Info, "text");
    let spoiled = |at: usize, with: &[u8]| {
        let mut bytes = line.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        heard(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(spoiled(12, b"\xff"), Garbage::NoText);
    assert_eq!(spoiled(8, &[4]), Garbage::Flag(4));
    assert_eq!(spoiled(0, &[7]), Garbage::TooShort(3));
    let most = HEAD_BYTES + 4 + LINE_BYTES_MAX;
    assert_eq!(spoiled(0, &(most as u32 - 3).to_le_bytes()), Garbage::TooLong { bytes: most + 1, most });
}

#[test]
fn request_and_set_up_arrive_as_they_were_sent() {
    let request = Request { number: 7, time_left: Duration::from_millis(8) };
    assert_eq!(request_from(super::request(request)), Ok(request));
    let set_up = SetUp {
        task: Task::Serve,
        name: "ups".into(),
        options: "{}".into(),
        host_root: "/host".into(),
        limits: [1, 2, 3, 4],
        policy: Some(policy()),
        log_level: "INFO".into(),
        agent: 5,
    };
    let bytes = super::set_up(&set_up).unwrap();
    let (head, body) = bytes.split_first_chunk().unwrap();
    assert_eq!(set_up_head(*head), Ok(body.len()));
    assert_eq!(set_up_from(body), Ok(set_up));
}

#[test]
fn set_up_of_another_build_is_refused() {
    let body = [&MAGIC[..], &VERSION.to_le_bytes(), &3u32.to_le_bytes(), b"9.9", b"{}"].concat();
    assert!(set_up_from(&body).unwrap_err().starts_with("the agent is 9.9 with protocol 1"));
    for (len, _) in body.iter().enumerate() {
        set_up_from(&body[..len]).unwrap_err();
    }
}

#[test]
fn times_outside_of_the_call_are_brought_into_it() {
    let (asked, now) = ((Wall(100), Mono(10)), (Wall(200), Mono(110)));
    let honest = Taken { at: Wall(120), at_mono: Mono(30), took: Duration::from_nanos(40), ..taken() };
    assert_eq!(honest.within(asked, now), honest);
    let early = Taken { at: Wall(0), at_mono: Mono(0), took: Duration::MAX, ..taken() }.within(asked, now);
    assert_eq!((early.at, early.at_mono, early.took), (Wall(100), Mono(10), Duration::from_nanos(100)));
    let late = Taken { at: Wall(u64::MAX), at_mono: Mono(u64::MAX), took: Duration::MAX, ..taken() }.within(asked, now);
    assert_eq!((late.at, late.at_mono, late.took), (Wall(200), Mono(110), Duration::ZERO));
}

mod random {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Bytes with an honest head, so that they get far.
        #[test]
        fn any_bytes_at_all_are_a_message_or_garbage(
            kind in 2u32..6, spoil in vec((0usize..200, any::<u8>()), 0..6), body in vec(any::<u8>(), 0..200)
        ) {
            let mut bytes = if kind == 5 { sent() } else {
                let head = [(body.len() as u32 + 4).to_le_bytes(), kind.to_le_bytes()].concat();
                [head, body].concat()
            };
            for (at, byte) in spoil {
                if let Some(place) = bytes.get_mut(at) { *place = byte }
            }
            let mut frame = Frame::new(LIMITS);
            if let Ok((len, message)) = hear(&bytes, Some(42), &LIMITS, &mut frame) {
                prop_assert!(len <= bytes.len());
                prop_assert!(!matches!(message, Message::Unfinished(all) if all > longest(&LIMITS)));
            }
            prop_assert!(frame.cells().len() <= 8 && frame.rows().len() <= 2);
            prop_assert!(frame.notes().len() <= 2 && frame.arena().len() <= 16);
        }
    }
}
