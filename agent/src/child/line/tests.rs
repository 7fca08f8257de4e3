use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use plugin_api::Cell;

use super::*;

const LIMITS: Limits = Limits { rows: 2, cells: 200_000, text: 16, notes: 2 };

/// A line, the other end of its socket, and a frame.
struct Two {
    line: Line,
    child: UnixStream,
    frame: Frame,
}

impl Two {
    fn new() -> Two {
        let (socket, child) = UnixStream::pair().unwrap();
        Two { line: Line::new(socket.into(), LIMITS), child, frame: Frame::new(LIMITS) }
    }

    fn ask(&mut self) -> io::Result<()> {
        self.line.ask(Duration::from_secs(1))
    }

    fn hear(&mut self) -> Heard {
        self.line.hear(&mut self.frame)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.child.write_all(bytes).unwrap();
    }

    fn heard(&mut self, bytes: &[u8]) -> Heard {
        self.send(bytes);
        self.hear()
    }
}

fn answer(number: u64, cells: usize) -> Vec<u8> {
    let mut frame = Frame::new(LIMITS);
    frame.receive(&vec![Cell::NULL; cells], &[], &[], b"");
    let mut out = Vec::new();
    wire::reading_into(&mut out, number, &Taken::default(), &frame);
    out
}

fn log_line(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::line_into(&mut out, Level::Info, text);
    out
}

fn garbage(garbage: Garbage) -> Heard {
    Heard::Garbage(garbage.to_string())
}

const READING: Heard = Heard::Reading(Taken {
    at: crate::snapshot::Wall(0),
    at_mono: crate::snapshot::Mono(0),
    took: Duration::ZERO,
    cpu: Duration::ZERO,
    memory: 0,
    programs: Duration::ZERO,
    made: false,
});

#[test]
fn request_is_sent_with_its_number_and_the_answer_is_heard() {
    let mut two = Two::new();
    for number in 1..4 {
        two.ask().unwrap();
        assert_eq!(two.hear(), Heard::Nothing);
        let mut request = [0; 24];
        two.child.read_exact(&mut request).unwrap();
        assert_eq!(wire::request_from(request), Ok(Request { number, time_left: Duration::from_secs(1) }));
        assert_eq!(two.heard(&answer(number, number as usize)), READING);
        assert_eq!(two.frame.cells().len(), number as usize);
        assert_eq!(two.hear(), Heard::Nothing);
    }
}

#[test]
fn second_request_waits_for_the_answer_to_the_first() {
    let mut two = Two::new();
    two.ask().unwrap();
    assert!(two.line.asked);
    two.ask().unwrap_err();
    assert_eq!(two.heard(&answer(1, 0)), READING);
    two.ask().unwrap();
}

#[test]
fn answer_in_pieces_is_nothing_until_it_is_whole() {
    let mut two = Two::new();
    two.ask().unwrap();
    let bytes = answer(1, 3);
    for piece in [&bytes[..3], &bytes[3..50], &bytes[50..bytes.len() - 1]] {
        assert_eq!(two.heard(piece), Heard::Nothing);
    }
    assert_eq!(two.heard(&bytes[bytes.len() - 1..]), READING);
}

#[test]
fn what_comes_together_is_told_one_by_one_in_its_order() {
    let mut two = Two::new();
    two.ask().unwrap();
    let all = [log_line("one"), log_line("two"), answer(1, 0), log_line("three")].concat();
    assert_eq!(two.heard(&all), Heard::Said(Level::Info, "one".into()));
    assert_eq!(two.hear(), Heard::Said(Level::Info, "two".into()));
    assert_eq!(two.hear(), READING);
    assert_eq!(two.hear(), Heard::Said(Level::Info, "three".into()));
    assert_eq!(two.hear(), Heard::Nothing);
}

#[test]
fn answer_that_was_not_asked_for_or_is_another_is_garbage() {
    assert_eq!(Two::new().heard(&answer(0, 0)), garbage(Garbage::Unasked));
    let mut two = Two::new();
    two.ask().unwrap();
    assert_eq!(two.heard(&answer(2, 0)), garbage(Garbage::Number { asked: 1, answered: 2 }));
    let mut two = Two::new();
    two.ask().unwrap();
    assert_eq!(two.heard(&[answer(1, 0), answer(1, 0)].concat()), READING);
    assert_eq!(two.hear(), garbage(Garbage::Unasked));
}

#[test]
fn trickle_is_garbage() {
    let mut two = Two::new();
    two.ask().unwrap();
    for byte in &answer(1, 3)[..READS_SPARE] {
        assert_eq!(two.heard(&[*byte]), Heard::Nothing);
    }
    assert_eq!(two.heard(&[0]), garbage(Garbage::Trickle));
}

#[test]
fn flood_of_log_lines_is_garbage_and_a_few_an_answer_are_not() {
    let mut two = Two::new();
    for number in 1..3 {
        two.ask().unwrap();
        for _ in 0..=LINES_MAX {
            assert_eq!(two.heard(&log_line("x")), Heard::Said(Level::Info, "x".into()));
        }
        assert_eq!(two.heard(&answer(number, 0)), READING);
    }
    for _ in 0..=LINES_MAX {
        two.heard(&log_line("x"));
    }
    assert_eq!(two.heard(&log_line("x")), garbage(Garbage::Lines));
}

#[test]
fn length_alone_costs_no_memory() {
    let mut two = Two::new();
    two.ask().unwrap();
    let long = answer(1, 200_000);
    assert_eq!(two.heard(&long[..100]), Heard::Nothing);
    assert_eq!(two.line.buffer.len(), BUFFER_BYTES);
    assert_eq!(two.heard(&long[100..10_000]), Heard::Nothing);
    assert_eq!(two.line.buffer.len(), 4 * BUFFER_BYTES);
}

#[test]
fn buffer_of_an_outsized_answer_is_given_back_and_that_of_a_usual_one_is_kept() {
    let mut two = Two::new();
    let mut number = 0;
    let mut take = |cells| {
        number += 1;
        two.ask().unwrap();
        let (bytes, mut child) = (answer(number, cells), two.child.try_clone().unwrap());
        let writer = std::thread::spawn(move || child.write_all(&bytes).unwrap());
        while let heard = two.hear()
            && heard != READING
        {
            assert_eq!(heard, Heard::Nothing);
            std::thread::yield_now();
        }
        writer.join().unwrap();
        (two.line.buffer.len(), two.line.buffer.capacity())
    };
    let usual = take(1_000);
    assert!(usual.0 > 16_000, "{usual:?}");
    assert_eq!(take(900), usual);
    let outsized = take(200_000);
    assert!(outsized.0 > 3_200_000, "{outsized:?}");
    let after = take(1_000);
    assert!(after.0 < 20_000 && after.1 < 20_000, "{after:?}");
}

#[test]
fn end_of_the_child_is_heard_after_what_it_said() {
    let mut two = Two::new();
    two.ask().unwrap();
    two.send(&log_line("last words"));
    two.send(&answer(1, 3)[..20]);
    let Two { mut line, child, mut frame } = two;
    drop(child);
    assert_eq!(line.hear(&mut frame), Heard::Said(Level::Info, "last words".into()));
    assert_eq!(line.hear(&mut frame), Heard::Gone);
    assert_eq!(line.hear(&mut frame), Heard::Gone);
}

#[test]
fn request_to_a_child_that_has_ended_is_an_error_and_no_signal() {
    let Two { mut line, child, mut frame } = Two::new();
    drop(child);
    assert_eq!(line.ask(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(line.hear(&mut frame), Heard::Gone);
}

#[test]
fn child_that_ends_without_reading_its_request_is_gone() {
    let mut two = Two::new();
    two.ask().unwrap();
    let Two { mut line, child, mut frame } = two;
    // With the request unread in it, the socket is reset.
    drop(child);
    assert_eq!(line.hear(&mut frame), Heard::Gone);
}

#[test]
fn child_that_never_reads_costs_an_error_and_no_waiting() {
    let mut two = Two::new();
    for number in 1.. {
        if let Err(cause) = two.ask() {
            return assert_eq!(cause.kind(), io::ErrorKind::WouldBlock);
        }
        assert_eq!(two.heard(&answer(number, 0)), READING);
    }
}

#[test]
fn after_garbage_nothing_more_is_heard() {
    let mut two = Two::new();
    assert_eq!(two.heard(&[0xff; 8]), garbage(Garbage::Kind(u32::MAX)));
    assert_eq!(two.heard(&log_line("x")), Heard::Gone);
}
