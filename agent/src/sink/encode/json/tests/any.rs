//! Any snapshot, of a plugin of ours and of one that lies: what holds for all of them.

use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::Limits;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::snapshot::describe::json_schema;
use crate::snapshot::describe::tests::validate;
use crate::snapshot::read::AggregatedSnapshot;

fn any_text() -> impl Strategy<Value = String> {
    let odd =
        prop::sample::select(vec!['\0', '"', '\\', '\n', '\u{1f}', '\u{7f}', '\u{2028}', '\u{fffd}', '_', '/', 'a']);
    vec(prop_oneof![3 => odd, 1 => any::<char>()], 0..8).prop_map(String::from_iter)
}

/// A reading of [`MANIFEST`], as one knows it before it is written.
#[derive(Clone, Debug)]
struct Known {
    usage: Option<i32>,
    established: Option<u64>,
    signed: Option<i64>,
    by_age: Option<bool>,
    health: Option<u64>,
    boot: Option<u64>,
    model: Option<String>,
    mounts: Vec<(String, Option<u64>)>,
    tasks: Vec<(String, String, Option<i16>, Option<u64>)>,
}

fn any_known() -> impl Strategy<Value = Known> {
    let scalars = (option::of(any::<i32>()), option::of(any::<u64>()), option::of(any::<i64>()), any::<Option<bool>>());
    let words = (option::of(0u64..3), option::of(any::<u64>()), option::of(any_text()));
    let key = prop_oneof![any_text(), "[ab_]{0,2}"];
    let mounts = vec((key.clone(), any::<Option<u64>>()), 0..6);
    let tasks = vec((key.clone(), key, any::<Option<i16>>(), any::<Option<u64>>()), 0..6);
    (scalars, words, mounts, tasks).prop_map(
        |((usage, established, signed, by_age), (health, boot, model), mounts, tasks)| Known {
            usage,
            established,
            signed,
            by_age,
            health,
            boot,
            model,
            mounts,
            tasks,
        },
    )
}

/// A number of few enough digits to be read back exactly.
fn exact(value: impl Into<f64>) -> f64 {
    value.into() / 64.0
}

impl Known {
    fn draft(&self) -> Draft {
        let mut draft = draft()
            .set("usage", self.usage.map(exact))
            .set("tcp.established", self.established)
            .set("signed", self.signed)
            .set("tcp.by.age", self.by_age)
            .set("health", self.health)
            .set("boot", self.boot);
        if let Some(model) = &self.model {
            draft = draft.set_text("model", model);
        }
        // The rows of the two tables are mixed.
        for place in 0..self.mounts.len().max(self.tasks.len()) {
            if let Some((mount, total)) = self.mounts.get(place) {
                draft = draft.row("mounts", &[mount], &[("total", total.into_cell())]);
            }
            if let Some((pid, name, cpu, since)) = self.tasks.get(place) {
                let state = since.map(|since| since % 2);
                let cells =
                    [("cpu", cpu.map(exact).into_cell()), ("state", state.into_cell()), ("since", since.into_cell())];
                draft = draft.row("tasks", &[pid, name], &cells);
            }
        }
        draft
    }

    /// What is to be read back.
    fn data(&self) -> Data {
        let mend = |text: &str| text.replace('\0', "\u{fffd}");
        let key = |text: &str| if text.starts_with('_') { format!("_{}", mend(text)) } else { mend(text) };
        let time =
            |at: u64| humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + Duration::from_nanos(at)).to_string();
        let (mut mounts, mut tasks) = (Map::new(), Map::new());
        for (mount, total) in self.mounts.iter().filter(|(mount, _)| !mount.is_empty()) {
            mounts.insert(key(mount), json!({"device": null, "total": total, "sockets": null}));
        }
        for (pid, name, cpu, since) in self.tasks.iter().filter(|(pid, name, ..)| !pid.is_empty() && !name.is_empty()) {
            let of_pid = tasks.entry(key(pid)).or_insert_with(|| Map::new().into()).as_object_mut().unwrap();
            let state = since.map(|since| ["running", "asleep"][since as usize % 2]);
            of_pid.insert(key(name), json!({"cpu": cpu.map(exact), "state": state, "since": since.map(time)}));
        }
        json!({
            "usage": self.usage.map(exact),
            "tcp": {"established": self.established, "by": {"age": self.by_age}},
            "signed": self.signed,
            "health": self.health.map(|index| ["good", "so \"so\"", "bad"][index as usize]),
            "boot": self.boot.map(time),
            "model": self.model.as_deref().map(mend),
            "raw_per_sec": null,
            "mounts": mounts,
            "tasks": tasks,
            "peers": {},
        })
    }
}

/// A reading of [`MANIFEST`] that no plugin of ours writes.
fn any_hostile() -> impl Strategy<Value = Draft> {
    let tag = prop_oneof![4 => (0u32..6).prop_map(Tag), 1 => any::<u32>().prop_map(Tag)];
    let bits = prop_oneof![0u64..40, any::<u64>(), any::<f64>().prop_map(f64::to_bits)];
    let cell = (tag, prop_oneof![0u32..6, any::<u32>()], bits);
    let text_cell = (0u32..6, 0u64..40).prop_map(|(aux, bits)| Cell { tag: Tag::TEXT, aux, bits });
    let cell = prop_oneof![cell.prop_map(|(tag, aux, bits)| Cell { tag, aux, bits }), text_cell];
    let head = (0u32..4, 0u32..60).prop_map(|(table, first)| RowHead { table, first });
    let place = (0u32..40, 0u32..6).prop_map(|(offset, len)| plugin_api::abi::Text { offset, len });
    let note = (prop_oneof![Just(Note::PART), 0u32..60], place.clone(), place);
    let note = note.prop_map(|(row, subject, message)| Note { row, subject, message });
    let byte = prop_oneof![Just(b'_'), Just(b'a'), Just(0), Just(b'"'), any::<u8>()];
    (vec(cell, 0..60), vec(head, 0..20), vec(note, 0..8), vec(byte, 0..40), any::<bool>()).prop_map(
        |(cells, mut rows, notes, text, sorted)| {
            if sorted {
                rows.sort_by_key(|row| row.first);
            }
            Draft { schema: schema(MANIFEST), cells, rows, notes, text }
        },
    )
}

fn hostile_frame(draft: &Draft) -> Frame {
    let mut frame = Frame::new(Limits::default());
    let mut cells = draft.cells.clone();
    cells.resize(cells.len().max(draft.schema.shape.scalars.len()), Cell::NULL);
    frame.receive(&cells, &draft.rows, &draft.notes, &draft.text);
    Check::default().pass(&mut frame, &draft.schema.shape);
    frame
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(known in any_known(), window in any::<Option<u32>>()) {
        let mut section = known.draft().section("mock", 0);
        section.window = window.map(|window| Duration::from_millis(window.into()));
        section.at = Some(Wall(1_795_491_005_000_112_000));
        let line = line(&snapshot(vec![section]), 0);
        let read: AggregatedSnapshot = serde_json::from_str(&line).unwrap();
        let back = &read.sections["mock"];
        prop_assert_eq!(&Data::from(back.metrics.clone()), &known.data());
        prop_assert_eq!(back.window_seconds, window.map(|window| f64::from(window) / 1000.0));
        prop_assert_eq!(back.timestamp, Some(Wall(1_795_491_005_000_112_000)));
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), strict(&line));
    }

    #[test]
    fn what_is_written_is_as_it_is_described(
        known in any_known(), less in any::<bool>(), status in prop::sample::select(Status::ALL.to_vec()), errors in vec(any_text(), 2),
    ) {
        let mut draft = known.draft().row("mounts", &["/"], &[]).row_failed(&errors[0]).part_failed("fan", &errors[1]);
        if less {
            draft.schema = without_sockets();
        }
        let schema = Arc::clone(&draft.schema);
        let mut section = draft.section("mock", 0);
        (section.status, section.at) = (status, Some(Wall(1)));
        let described = json_schema([("mock", &*schema)]);
        let valid = validate(&strict(&line(&snapshot(vec![section]), 1)), &described);
        prop_assert!(valid.is_ok(), "{}", valid.unwrap_err());
    }

    #[test]
    fn every_snapshot_is_valid_jsonb(
        hostile in vec(any_hostile(), 1..3), texts in vec(any_text(), 5), numbers in vec(any::<u64>(), 4), partial in any::<bool>(),
    ) {
        let sections = hostile.iter().enumerate().map(|(place, draft)| {
            let mut section = draft.section(&format!("mock-{place}"), place);
            section.frame = hostile_frame(draft);
            section.status = if partial { Status::Partial } else { Status::Ok };
            (section.at, section.since) = (Some(Wall(numbers[0])), Some(Wall(numbers[1])));
            (section.took, section.window) = (Some(Duration::from_nanos(numbers[2])), Some(Duration::from_nanos(numbers[3])));
            section.error.clone_from(&texts[0]);
            section
        });
        let mut snapshot = snapshot(sections.collect());
        snapshot.timestamp = Wall(numbers[2]);
        let labels = vec![("env".to_owned(), texts[1].clone())];
        snapshot.identity = Arc::new(Identity { host: Some(texts[2].clone()), run: texts[3].clone(), labels });
        snapshot.events.push(Event { cause: Some(texts[4].clone()), ..Event::new(EventKind::Start) });
        let line = line(&snapshot, numbers[0] % 2);
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert_eq!(strict::value(&line).err(), None, "{}", line);
        prop_assert!(serde_json::from_str::<AggregatedSnapshot>(&line).is_ok());
    }
}
