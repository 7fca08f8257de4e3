//! Cases of a collector that reads one number.

use super::*;
use crate::options::NoOptions;
use crate::{Error, Host, ProcFile, Recorder, ScalarId, Schema, scan};

const MANIFEST: &str = r#"contract = "1.0"
[plugin]
name = "lines"
description = "counts"
reads = ["/proc/lines"]
[metrics."lines.count"]
type = "u64"
kind = "counter"
unit = "1"
rate = "lines.per_sec"
description = "lines"
"#;

/// The number that a file holds.
struct Lines {
    file: ProcFile,
    count: ScalarId,
}

impl Collector for Lines {
    type Options = NoOptions;

    fn new(_: NoOptions, host: &Host, schema: &mut Schema) -> Result<Self, Error> {
        Ok(Lines { file: host.proc("lines")?, count: schema.scalar("lines.count")? })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let number = scan::u64(self.file.read()?.trim_ascii());
        out.set(self.count, number.ok_or_else(|| scan::Unexpected::missing("a number").of(self.file.path()))?);
        Ok(())
    }
}

fn outcome(files: &[(&str, &str)]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let manifest = Arc::new(Manifest::parse(MANIFEST).unwrap());
    run(Module::linked::<Lines>(), &manifest, folder.path()).map_err(|why| why.split_once(": ").unwrap().1.into())
}

const FIRST: [(&str, &str); 2] =
    [("0/proc/lines", "10"), ("0/expected.json", r#"{"_status":"ok","lines":{"count":10,"per_sec":null}}"#)];

#[test]
fn a_held_descriptor_sees_the_next_step_and_growth_is_over_its_seconds() {
    let second = [
        ("1/proc/lines", "30"),
        ("1/seconds", "4"),
        ("1/expected.json", r#"{"_status":"ok","lines":{"count":30,"per_sec":5}}"#),
    ];
    assert_eq!(outcome(&[&FIRST[..], &second].concat()), Ok(()));
}

#[test]
fn growth_spans_a_reading_that_failed() {
    let rest = [
        ("1/proc/lines", "x"),
        ("1/expected.err", "could not parse /proc/lines: expected a number, found the end of the file\n"),
        ("2/proc/lines", "20"),
        ("2/expected.json", r#"{"_status":"ok","lines":{"count":20,"per_sec":5.0}}"#),
    ];
    assert_eq!(outcome(&[&FIRST[..], &rest].concat()), Ok(()));
}

#[test]
fn what_differs_is_told_by_its_place() {
    let expected = r#"{"_status":"ok","lines":{"count":11,"total":1}}"#;
    let told = outcome(&[FIRST[0], ("0/expected.json", expected)]).unwrap_err();
    let lines = [
        "step 0: /lines/count: expected 11, found 10",
        "    /lines/total: expected 1, found nothing",
        "    /lines/per_sec: expected nothing, found null",
    ];
    assert_eq!(told, lines.join("\n"));
}

#[test]
fn a_step_that_expects_nothing_is_no_test() {
    assert!(outcome(&[FIRST[0]]).unwrap_err().contains("needs expected.json or expected.err"));
    assert!(outcome(&[FIRST[0], FIRST[1], ("0/expected.err", "")]).unwrap_err().contains("not both"));
}

#[test]
fn a_collector_that_cannot_be_made_is_an_expected_error() {
    let error = "could not open /proc/lines: No such file or directory (os error 2)\n";
    assert_eq!(outcome(&[("0/proc/other", ""), ("0/expected.err", error)]), Ok(()));
    assert!(outcome(&[("0/proc/other", ""), FIRST[1]]).unwrap_err().contains("found the error"));
}

#[test]
fn a_file_that_is_gone_is_removed_and_a_wrong_name_told() {
    let gone = [("1/gone", "/proc/lines\n"), ("1/expected.json", FIRST[1].1)];
    let told = outcome(&[&FIRST[..], &gone].concat()).unwrap_err();
    assert_eq!(told, "step 1: /lines/per_sec: expected null, found 0.0", "the descriptor still has it");
    let wrong = outcome(&[&FIRST[..], &[("1/gone", "/proc/lanes\n")]].concat()).unwrap_err();
    assert!(wrong.contains("proc/lanes"), "{wrong}");
}

#[test]
fn options_are_checked_against_the_manifest() {
    let told = outcome(&[FIRST[0], FIRST[1], ("options.toml", "lines = 1\n")]).unwrap_err();
    assert!(told.contains("lines"), "{told}");
}

#[test]
fn a_captured_host_lies_under_the_first_step() {
    let captured = [("host", "hosts/vm\n"), ("hosts/vm/proc/lines", "10"), FIRST[1]];
    assert_eq!(outcome(&captured), Ok(()));
    assert_eq!(
        outcome(&[("hosts/vm/proc/lines", "7"), captured[0], FIRST[0], FIRST[1]]),
        Ok(()),
        "a step lies over it"
    );
    assert!(outcome(&[("host", "hosts/none"), FIRST[1]]).unwrap_err().contains("hosts/none"));
}
