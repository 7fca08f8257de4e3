//! Calls through the door: what a collector wrote arrives, and what it did wrong stays on its side.

use std::path::Path;

use super::*;
use crate::abi::{Note, RawCollector, RawCollector_TO, RowHead};
use crate::host_side::frame::Limits;
use crate::host_side::manifest::Manifest;
use crate::host_side::roots::Roots;
use crate::options::NoOptions;
use crate::{Cell, ColumnId, IntoCell, Recorder, ScalarId, TableId, Tag};

const MANIFEST: &str = r#"contract = "1.0"
[plugin]
name = "mock"
description = "does what a test says"
[metrics.count]
type = "u64"
unit = "1"
description = "a number"
[metrics.name]
type = "text"
description = "a text"
[tables.rows]
key = "row"
description = "rows"
[tables.rows.columns.value]
type = "u64"
unit = "1"
description = "a number"
"#;

#[derive(Clone, Copy)]
struct Ids {
    count: ScalarId,
    name: ScalarId,
    rows: TableId,
    value: ColumnId,
}

/// A collector that runs a closure.
struct Mock<F>(Ids, F);

impl<F: FnMut(Ids, &mut Recorder) -> Result<(), Error> + Send + 'static> Collector for Mock<F> {
    type Options = NoOptions;

    fn new(_: NoOptions, _: &Host, _: &mut Schema) -> Result<Self, Error> {
        Err(Error::failed("made by the tests"))
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        self.1(self.0, out)
    }
}

fn host() -> HostHandle {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    HostHandle::new(Arc::new(Roots::new(Path::new("/"))), Arc::new(manifest), Arc::new(|_, _| {}))
}

fn shape() -> Shape {
    Shape::of(&Manifest::parse(MANIFEST).unwrap())
}

fn mock(collect: impl FnMut(Ids, &mut Recorder) -> Result<(), Error> + Send + 'static) -> Instance {
    let made = Instance::linked(host(), |_, schema| {
        let (count, name) = (schema.scalar("count")?, schema.scalar("name")?);
        let mut table = schema.table("rows")?;
        let (rows, value) = (table.id(), table.column("value")?);
        Ok(Mock(Ids { count, name, rows, value }, collect))
    });
    made.unwrap_or_else(|failure| panic!("{failure:?}"))
}

fn read(instance: &mut Instance, frame: &mut Frame) {
    instance.collect(frame, &shape(), Duration::from_secs(1));
}

#[test]
fn what_a_collector_sets_is_in_the_frame() {
    let mut instance = mock(|ids, out| {
        out.set(ids.count, 7u64);
        out.set_text(ids.name, "seven");
        let mut row = out.row(ids.rows, "a");
        row.set(ids.value, 1u64);
        row.failed("half of it");
        out.row(ids.rows, "b");
        out.part_failed("fan", "stuck");
        Ok(())
    });
    let mut frame = Frame::new(Limits::default());
    read(&mut instance, &mut frame);
    assert_eq!((frame.outcome, frame.message()), (ErrorKind::NONE, &b""[..]));
    assert_eq!((frame.cells()[0].as_u64(), frame.text_of(frame.cells()[1])), (Some(7), &b"seven"[..]));
    let rows: Vec<_> = frame
        .rows_of(0)
        .iter()
        .map(|row| (frame.text_of(frame.keys(*row, 1)[0]), frame.cells()[row.first as usize + 1].as_u64()))
        .collect();
    assert_eq!(rows, [(&b"a"[..], Some(1)), (b"b", None)]);
    let notes: Vec<_> = frame.notes().iter().map(|note| (note.row, frame.text_at(note.message))).collect();
    assert_eq!(notes, [(frame.rows()[0].first, &b"half of it"[..]), (Note::PART, b"stuck")]);
}

#[test]
fn nothing_of_the_reading_before_is_left() {
    let mut first = true;
    let mut instance = mock(move |ids, out| {
        if std::mem::take(&mut first) {
            out.set(ids.count, 7u64);
            out.row(ids.rows, "a");
            out.part_failed("fan", "stuck");
            return Err(Error::failed("half way"));
        }
        Ok(())
    });
    let mut frame = Frame::new(Limits::default());
    read(&mut instance, &mut frame);
    assert_eq!((frame.outcome, frame.message()), (ErrorKind::FAILED, &b"half way"[..]));
    read(&mut instance, &mut frame);
    assert_eq!((frame.outcome, frame.message()), (ErrorKind::NONE, &b""[..]));
    assert_eq!((frame.cells(), frame.rows(), frame.notes()), (&[Cell::NULL; 2][..], &[][..], &[][..]));
}

#[test]
fn row_that_failed_keeps_what_is_known_of_it_and_one_that_is_new_stands() {
    let mut instance = mock(|ids, out| {
        out.row(ids.rows, "a").set(ids.value, 1u64);
        out.row(ids.rows, "b").set(ids.value, 2u64);
        out.row_failed(ids.rows, "a", "no answer");
        out.row_failed(ids.rows, "c", "no answer");
        Ok(())
    });
    let mut frame = Frame::new(Limits::default());
    read(&mut instance, &mut frame);
    let values: Vec<_> = frame.rows_of(0).iter().map(|row| frame.cells()[row.first as usize + 1].as_u64()).collect();
    assert_eq!(values, [Some(1), Some(2), None]);
    let noted: Vec<_> = frame.notes().iter().map(|note| note.row).collect();
    assert_eq!(noted, [frame.rows()[0].first, frame.rows()[2].first]);
}

/// A reading of 100 rows, 100 notes and some text, within these limits.
fn flood(limits: Limits) -> Frame {
    let mut instance = mock(|ids, out| {
        for number in 0..100u64 {
            out.row(ids.rows, &*format!("{number:02}")).set(ids.value, number);
        }
        out.set_text(ids.name, "twelve bytes");
        for number in 0..100u64 {
            out.part_failed(&format!("{number:02}"), "no");
        }
        Ok(())
    });
    let mut frame = Frame::new(limits);
    read(&mut instance, &mut frame);
    frame
}

#[test]
fn what_goes_beyond_the_limits_is_cut_and_counted() {
    let all = flood(Limits::default());
    assert_eq!((all.rows().len(), all.notes().len(), all.lost_rows, all.lost_texts), (100, 100, 0, 0));
    let rows = flood(Limits { rows: 10, ..Limits::default() });
    assert_eq!((rows.rows().len(), rows.lost_rows), (10, 90));
    let cells = flood(Limits { cells: 22, ..Limits::default() });
    assert_eq!((cells.rows().len(), cells.lost_rows), (10, 90));
    let notes = flood(Limits { notes: 10, ..Limits::default() });
    assert_eq!((notes.notes().len(), notes.lost_texts), (10, 90));
    let text = flood(Limits { text: 205, ..Limits::default() });
    assert_eq!((text.rows().len(), text.cells()[1], text.notes().len()), (100, Cell::NULL, 1));
    assert_eq!(text.lost_texts, 1 + 99);
    let nothing = flood(Limits { rows: 0, cells: 0, text: 0, notes: 0 });
    assert_eq!((nothing.cells(), nothing.lost_rows, nothing.lost_texts), (&[Cell::NULL; 2][..], 100, 101));
}

#[test]
fn memory_of_a_frame_is_kept_from_call_to_call() {
    let mut instance = mock(|ids, out| {
        for number in 0..1000u64 {
            out.row(ids.rows, &*number.to_string()).set(ids.value, number);
        }
        Ok(())
    });
    let mut frame = Frame::new(Limits::default());
    read(&mut instance, &mut frame);
    let places = |frame: &Frame| (frame.cells.memory.as_ptr(), frame.rows.memory.as_ptr(), frame.text.memory.as_ptr());
    let before = places(&frame);
    read(&mut instance, &mut frame);
    assert_eq!(places(&frame), before);
    assert_eq!(frame.rows().len(), 1000);
}

#[test]
fn panic_is_an_outcome_and_what_panicked_is_not_called_again() {
    let mut calls = 0;
    let mut instance = mock(move |ids, out| {
        calls += 1;
        out.set(ids.count, u64::from(calls == 1));
        panic!("call {calls}");
    });
    let mut frame = Frame::new(Limits::default());
    read(&mut instance, &mut frame);
    assert_eq!((frame.outcome, frame.message()), (ErrorKind::PANICKED, &b"panicked: call 1"[..]));
    read(&mut instance, &mut frame);
    assert_eq!((frame.outcome, frame.message()), (ErrorKind::PANICKED, &b"not called again after it panicked"[..]));
}

#[test]
fn error_crosses_with_its_kind_and_its_causes() {
    let mut instance = mock(|_, _| {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        Err(Error::unavailable("no sensor here").because(cause))
    });
    let mut frame = Frame::new(Limits::default());
    read(&mut instance, &mut frame);
    assert_eq!(frame.outcome, ErrorKind::UNAVAILABLE);
    assert_eq!(frame.message(), b"no sensor here: entity not found");
}

#[test]
fn what_panicked_gives_back_what_it_held() {
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    let mut instance = mock(move |_, _| panic!("with {} in its hands", Arc::strong_count(&holds)));
    read(&mut instance, &mut Frame::new(Limits::default()));
    drop(instance);
    assert_eq!(Arc::strong_count(&held), 1);
}

/// A cause whose own code is at fault.
#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

#[test]
fn error_whose_cause_panics_when_it_is_put_into_words_is_a_panic_behind_the_guard() {
    let mut instance = mock(|_, _| Err(Error::failed("could not read it").because(Unspeakable)));
    let mut frame = Frame::new(Limits::default());
    read(&mut instance, &mut frame);
    assert_eq!((frame.outcome, frame.message()), (ErrorKind::PANICKED, &b"panicked: no words"[..]));
}

#[test]
fn collector_is_told_how_long_it_has() {
    let (sender, left) = std::sync::mpsc::channel();
    let mut instance = mock(move |_, out| {
        sender.send(out.deadline().saturating_duration_since(std::time::Instant::now())).unwrap();
        Ok(())
    });
    instance.collect(&mut Frame::new(Limits::default()), &shape(), Duration::from_secs(3600));
    let left = left.recv().unwrap();
    assert!(left > Duration::from_secs(1800) && left <= Duration::from_secs(3600), "{left:?}");
}

struct Refuses;

#[derive(serde::Deserialize)]
struct HowTo {
    panic: bool,
}

impl Collector for Refuses {
    type Options = HowTo;

    fn new(options: HowTo, _: &Host, schema: &mut Schema) -> Result<Refuses, Error> {
        assert!(!options.panic, "as asked");
        schema.scalar("cuont").map(|_| Refuses)
    }

    fn collect(&mut self, _: &mut Recorder) -> Result<(), Error> {
        Ok(())
    }
}

fn refusal(options: &str) -> Failure {
    Module::linked::<Refuses>().create(options, host()).map(|_| ()).unwrap_err()
}

#[test]
fn collector_that_cannot_be_made_says_why() {
    let undeclared = refusal(r#"{"panic":false}"#);
    assert_eq!(undeclared.kind, ErrorKind::FAILED);
    assert_eq!(undeclared.message, "metric cuont is not declared in plugin.toml; did you mean count?");
    assert_eq!(
        refusal(r#"{"panic":true}"#),
        Failure { kind: ErrorKind::PANICKED, message: "panicked: as asked".into() }
    );
    assert!(refusal("{}").message.starts_with("could not read the options into the collector"));
}

/// Writes into its frame below the recorder.
struct Liar(fn(&mut RawFrame));

impl RawCollector for Liar {
    fn collect(&mut self, frame: &mut RawFrame) {
        self.0(frame);
    }
}

fn lie(how: fn(&mut RawFrame)) -> Frame {
    let object = RawCollector_TO::from_value(Liar(how), abi_stable::erased_types::TD_Opaque);
    let mut instance = Instance { object, check: Check::default() };
    let mut frame = Frame::new(Limits { rows: 8, cells: 8, text: 8, notes: 8 });
    read(&mut instance, &mut frame);
    frame
}

#[test]
fn length_that_is_a_lie_is_believed_as_far_as_the_memory_goes() {
    let frame = lie(|frame| {
        let all = [&mut frame.cells.len, &mut frame.rows.len, &mut frame.notes.len, &mut frame.text.len];
        all.into_iter().for_each(|len| *len = u32::MAX);
        (frame.outcome, frame.message) = (0, Text { offset: 0, len: u32::MAX });
    });
    assert!(frame.cells().len() <= 8 && frame.rows().is_empty() && frame.message().is_empty());
    assert_eq!(lie(|frame| frame.cells.len = 0).cells(), [Cell::NULL; 2]);
}

#[test]
fn plugin_that_does_not_touch_its_frame_has_failed() {
    assert_eq!(lie(|_| ()).outcome, ErrorKind::FAILED);
    assert_eq!(lie(|frame| frame.outcome = 4711).outcome, ErrorKind(4711));
}

#[test]
fn growth_of_a_buffer_that_is_none_or_beyond_the_limits_is_refused() {
    let frame = lie(|frame| {
        let mut first = std::ptr::null_mut();
        // SAFETY: the pair that the host gave for this call, and a live local.
        let mut grow = |which, at_least| unsafe { (frame.grow)(frame.memory, which, at_least, &mut first) };
        let granted = [grow(Which(9), 1), grow(Which::ROWS, 9), grow(Which::TEXT, u32::MAX), grow(Which::NOTES, 8)];
        // SAFETY: cell 0 is the first scalar, which the host made room for.
        unsafe { *frame.cells.first = u64::from(granted == [0, 0, 0, 8]).into_cell() };
        frame.outcome = 0;
    });
    assert_eq!((frame.cells()[0].tag, frame.cells()[0].bits), (Tag::U64, 1));
    assert_eq!(frame.rows(), &[] as &[RowHead]);
}
