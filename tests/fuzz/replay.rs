//! Every target with all of its corpus, and with as many mutations as fit a test: see README.md for how to run longer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fuzz::mutate::{Random, mutated};
use fuzz::{TARGETS, Target};

/// Says how many mutations of each target are tried instead of what the tests below say.
const CASES: &str = "PERFWATCH_FUZZ_CASES";
/// Says where they begin: another number, other mutations.
const SEED: &str = "PERFWATCH_FUZZ_SEED";
/// Names a folder: what each target begins with is written there, and nothing is tried. For engines of other kinds.
const SEEDS: &str = "PERFWATCH_FUZZ_SEEDS";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn replay(name: &str, cases: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let inputs = target.inputs();
    assert!(!inputs.is_empty(), "{name} has no input to begin with");
    if let Some(folder) = std::env::var_os(SEEDS) {
        let folder = Path::new(&folder).join(name);
        fs::create_dir_all(&folder).expect("a folder for the seeds");
        return inputs.iter().enumerate().for_each(|(place, input)| {
            fs::write(folder.join(place.to_string()), input).expect("a seed can be written")
        });
    }
    inputs.iter().for_each(|input| run(target, input));
    let mut random = Random::new(number(SEED).unwrap_or(20_261_124));
    for _ in 0..number(CASES).unwrap_or(cases) {
        run(target, &mutated(&mut random, &inputs, target.words));
    }
}

/// What fails is kept, so that it can go to the corpus.
fn run(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failed-{}", target.name));
        fs::write(&path, input).expect("what fails can be kept");
        panic!("{} fails, see above; its input is in {}", target.name, path.display());
    }
}

// All of them together: 7 s of processor time in a debug build.

#[test]
fn any_bytes_are_a_library_or_say_why_not() {
    replay("library", 6_000);
}

#[test]
fn any_text_is_a_manifest_that_holds_or_a_list_of_faults() {
    replay("manifest", 800);
}

#[test]
fn any_bytes_of_a_child_are_heard_or_end_it() {
    replay("heard", 4_000);
}

#[test]
fn any_bytes_at_a_child_are_its_set_up_or_a_sentence() {
    replay("told", 6_000);
}

#[test]
fn any_frame_leaves_the_check_as_plain_data_that_jsonb_takes() {
    replay("frame", 1_500);
}

#[test]
fn any_text_is_a_config_or_a_list_of_faults() {
    replay("config", 500);
}

#[test]
fn any_kernel_file_is_read_or_said_to_be_none() {
    replay("kernel", 6_000);
}

#[test]
fn any_text_is_samples_that_are_read_again_or_a_fault() {
    replay("prometheus", 4_000);
}

#[test]
fn any_record_of_an_earlier_run_is_read_or_passed_over() {
    replay("record", 1_500);
}

#[test]
fn any_json_is_a_snapshot_or_is_refused() {
    replay("snapshot", 3_000);
}
