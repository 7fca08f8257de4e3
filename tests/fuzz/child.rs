//! Both ends of a child's socket: what the agent hears of it, in pieces of any size, and what the child is told.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use perfwatch::child::line::{Heard, LINES_MAX, Line};
use perfwatch::child::wire::{self, HEAD_BYTES, Message, Request, SET_UP_BYTES_MAX, SetUp, Taken, Task};
use perfwatch::child::{Policy, sandbox};
use perfwatch::snapshot::{Mono, Wall};
use plugin_api::Level;
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::options::Settings;

use crate::bytes::Bytes;
use crate::frame::{self, Way};

/// Small, so that an input reaches them.
const LIMITS: Limits = Limits { rows: 16, cells: 256, text: 512, notes: 4 };
/// A socket holds what one piece has, so that nothing here waits.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// Readings and lines as a child sends them, each after a byte that says in what pieces.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let reading = |choice: usize, number: u64, input: &[u8]| {
        let schema = frame::schema(choice);
        let mut frame = Frame::new(LIMITS.holding(schema.shape.scalars.len()));
        frame::drafted(&mut Bytes(input), &schema.shape, &mut frame);
        let mut out = Vec::new();
        let taken =
            Taken { at: Wall(1), at_mono: Mono(1), took: Duration::from_millis(1), made: true, ..Taken::default() };
        wire::reading_into(&mut out, number, &taken, &frame);
        out
    };
    let line = |level, text: &str| {
        let mut out = Vec::new();
        wire::line_into(&mut out, level, text);
        out
    };
    let noise: Vec<u8> = (0..400u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut seeds = Vec::new();
    for choice in 0..12 {
        let sent =
            [line(Level::Info, "begun"), reading(choice, 1, &noise), reading(choice, 2, &noise[choice..])].concat();
        for pieces in [0, 1, 77] {
            seeds.push([&[choice as u8, pieces], &sent[..]].concat());
        }
    }
    seeds.push([&[0, 0], &line(Level::Warn, "again").repeat(LINES_MAX as usize + 2)[..]].concat());
    seeds
}

/// What a child sends.
pub(crate) fn heard(input: &[u8]) {
    let mut bytes = Bytes(input);
    let schema = frame::schema(bytes.below(256));
    let limits = LIMITS.holding(schema.shape.scalars.len());
    let piece = match bytes.u8() {
        0 => PIECE_BYTES_MAX,
        size => usize::from(size),
    };
    decoded(bytes.0, limits);

    let (agent, mut child) = UnixStream::pair().expect("a socket pair");
    let mut line = Line::new(agent.into(), limits);
    let mut frame = Frame::new(limits);
    let mut way = Way::new(schema);
    let (mut lines, mut readings, mut ended) = (0, 0, false);
    while !ended {
        if !line.is_asked() {
            line.ask(Duration::from_secs(1)).expect("the child has not ended");
            readings += 1;
            lines = 0;
        }
        let sent = bytes.piece(piece);
        if sent.is_empty() {
            child.shutdown(std::net::Shutdown::Write).expect("it is open");
        } else {
            child.write_all(sent).expect("the agent's end is open");
        }
        loop {
            match line.hear(&mut frame) {
                Heard::Nothing => {
                    assert!(!sent.is_empty(), "after the end there is nothing to wait for");
                    break;
                }
                Heard::Said(_, text) => {
                    lines += 1;
                    assert!(lines <= LINES_MAX + 1 && text.len() <= wire::LINE_BYTES_MAX);
                }
                Heard::Reading(taken) => {
                    assert!(!line.is_asked(), "answered");
                    within(taken);
                    // The frame is the line's to fill again.
                    let mut taken_over = std::mem::replace(&mut frame, Frame::new(limits));
                    sent_again(&mut taken_over, limits);
                    way.pass(taken_over);
                    break;
                }
                Heard::Gone | Heard::Garbage(_) => {
                    ended = true;
                    assert_eq!(line.hear(&mut frame), Heard::Gone, "it has ended once and for all");
                    break;
                }
            }
        }
    }
    assert!(readings <= 2 + input.len(), "{readings} readings of {} bytes", input.len());
}

/// The same message without a socket: as long as it says, and in bounds.
fn decoded(bytes: &[u8], limits: Limits) {
    let mut frame = Frame::new(limits);
    match wire::hear(bytes, Some(1), &limits, &mut frame) {
        Ok((len, Message::Unfinished(all))) => {
            assert!(len == 0 && all > bytes.len().min(HEAD_BYTES - 1) && all <= wire::longest(&limits))
        }
        Ok((len, _)) => assert!((HEAD_BYTES..=bytes.len()).contains(&len)),
        Err(garbage) => assert!(garbage.to_string().len() < 256),
    }
    assert!(frame.cells().len() <= limits.cells as usize && frame.rows().len() <= limits.rows as usize);
    assert!(frame.notes().len() <= limits.notes as usize && frame.arena().len() <= limits.text as usize);
}

/// Its times are within the call, whatever it says.
fn within(taken: Taken) {
    let (asked, now) = ((Wall(100), Mono(10)), (Wall(200), Mono(110)));
    let taken = taken.within(asked, now);
    assert!((asked.0..=now.0).contains(&taken.at) && (asked.1..=now.1).contains(&taken.at_mono));
    assert!(taken.at_mono.plus(taken.took) <= now.1);
}

/// What was heard and is sent again is heard as it was.
fn sent_again(frame: &mut Frame, limits: Limits) {
    let (mut out, mut again) = (Vec::new(), Frame::new(limits));
    wire::reading_into(&mut out, 7, &Taken::default(), frame);
    let heard = wire::hear(&out, Some(7), &limits, &mut again);
    assert_eq!(heard, Ok((out.len(), Message::Reading(Taken::default()))));
    assert_eq!((frame.cells(), frame.rows(), frame.notes()), (again.cells(), again.rows(), again.notes()));
    assert_eq!(
        (frame.arena(), frame.message_place(), frame.outcome),
        (again.arena(), again.message_place(), again.outcome)
    );
}

pub(crate) fn told_seeds() -> Vec<Vec<u8>> {
    let policy = Policy::new(&sandbox::Terms {
        collector: "ups",
        reads: &[],
        options: &Settings::default(),
        grants: &[],
        bundled: false,
        host_root: "/".as_ref(),
        memory: 64 << 20,
        descriptors: 64,
        required: false,
        without: sandbox::Without::default(),
    });
    let set_up = SetUp {
        task: Task::Serve,
        name: "ups".into(),
        options: "{}".into(),
        host_root: "/".into(),
        limits: [1, 2, 3, 4],
        policy: Some(policy),
        log_level: "INFO".into(),
        agent: 1,
    };
    let request = wire::request(Request { number: 1, time_left: Duration::from_secs(1) });
    vec![wire::set_up(&set_up).expect("a short one"), request.to_vec()]
}

/// What a child is told: the set-up, and requests.
pub(crate) fn told(input: &[u8]) {
    if let Some(request) = input.first_chunk() {
        match wire::request_from(*request) {
            Ok(asked) => assert_eq!(&wire::request(asked), request),
            Err(told) => assert!(told.len() < 256),
        }
    }
    let Some((head, body)) = input.split_first_chunk() else { return };
    match wire::set_up_head(*head) {
        // What is set aside for what follows is bounded by this.
        Ok(len) => assert!(len < SET_UP_BYTES_MAX),
        Err(told) => assert!(told.len() < 256),
    }
    if let Ok(set_up) = wire::set_up_from(body) {
        match wire::set_up(&set_up) {
            Ok(again) => assert_eq!(wire::set_up_from(&again[HEAD_BYTES..]), Ok(set_up)),
            Err(_too_long) => assert!(body.len() > SET_UP_BYTES_MAX / 8),
        }
    }
}
