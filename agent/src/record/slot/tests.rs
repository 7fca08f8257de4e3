//! With agents that really die: this very test program, which plays one when it is told to.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use proptest::prelude::*;

use super::super::Died;
use super::*;
use crate::plugin::open::Inode;

/// Which folder the agent that is played runs in, and how it ends.
const PLAYED: (&str, &str) = ("PERFWATCH_TEST_RUNTIME_DIR", "PERFWATCH_TEST_END");

fn identity(number: u64) -> Identity {
    Identity { inode: Inode { device: 1, number }, size: 2, modified: (3, 4) }
}

fn died(collector: &str, number: u64) -> Died {
    Died { collector: collector.into(), library: format!("/lib/{collector}.so").into(), identity: identity(number) }
}

fn name(slots: &Slots, who: u32, collector: &str, number: u64) {
    slots.name(who, collector, Path::new(&format!("/lib/{collector}.so")), identity(number)).unwrap();
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// Not a test by itself: the agent that the tests below start.
#[test]
fn agent_that_is_played() {
    let (Some(folder), Ok(end)) = (env::var_os(PLAYED.0), env::var(PLAYED.1)) else { return };
    let slots = Slots::open(Path::new(&folder)).unwrap();
    name(&slots, 0, "cpu", 10);
    name(&slots, 1, "ups", 11);
    let slot = slots.slot();
    slot.enter(0);
    slot.leave();
    slot.enter(1);
    match &*end {
        "abort" => process::abort(),
        "well" => {
            slots.end().unwrap();
            crate::stop::exit(0);
        }
        "between calls" => {
            slot.leave();
            process::abort();
        }
        "killed" => {
            println!("in a call");
            loop {
                thread::park();
            }
        }
        other => panic!("{other}"),
    }
}

fn play(folder: &Path, end: &str) -> Child {
    let test = format!("{}::agent_that_is_played", module_path!().split_once("::").unwrap().1);
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &test, "--nocapture"]).env(PLAYED.0, folder).env(PLAYED.1, end);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait_for_call(agent: &mut Child) {
    let said = BufReader::new(agent.stdout.as_mut().unwrap()).lines();
    assert!(said.map(Result::unwrap).any(|line| line.ends_with("in a call")), "it ended before");
}

#[test]
fn agent_that_was_killed_in_a_call_is_told_once_and_by_the_collector() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = play(folder.path(), "killed");
    wait_for_call(&mut agent);
    assert_eq!(Slots::dead(folder.path()).unwrap(), [], "it lives");
    assert_eq!(files(folder.path()), 1);
    agent.kill().unwrap();
    assert_eq!(agent.wait().unwrap().signal(), Some(9));
    assert_eq!(Slots::dead(folder.path()).unwrap(), [died("ups", 11)]);
    assert_eq!(Slots::dead(folder.path()).unwrap(), []);
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn agent_that_aborted_in_a_call_is_told_and_one_that_aborted_between_calls_is_not() {
    let folder = tempfile::tempdir().unwrap();
    for (end, expected) in [("abort", vec![died("ups", 11)]), ("between calls", vec![])] {
        assert_eq!(play(folder.path(), end).wait().unwrap().signal(), Some(6), "{end}");
        assert_eq!(files(folder.path()), 1, "{end}");
        assert_eq!(Slots::dead(folder.path()).unwrap(), expected, "{end}");
    }
}

#[test]
fn agent_that_ended_well_leaves_nothing_though_a_call_was_out() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(play(folder.path(), "well").wait().unwrap().code(), Some(0));
    assert_eq!(files(folder.path()), 0);
}

/// The file of a dead agent, with these bytes changed.
fn remains(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let slots = Slots::open(folder).unwrap();
    name(&slots, 1, "ups", 11);
    slots.slot().enter(1);
    let path = slots.0.as_ref().unwrap().path.clone();
    let mut bytes = fs::read(&path).unwrap();
    slots.end().unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn folder_is_made_for_this_user_alone_where_its_parent_is_there() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    let slots = Slots::open(&folder).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    let noted = slots.0.as_ref().unwrap();
    assert_eq!(noted.file.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(noted.path, folder.join(format!("calls-{}", process::id())));
    assert_eq!(Slots::open(&root.path().join("a/b")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Slots::dead(&root.path().join("a/b")).unwrap(), []);
}

#[test]
fn two_agents_of_one_process_have_a_file_each() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Slots::open(folder.path()).unwrap(), Slots::open(folder.path()).unwrap());
    assert_eq!(files(folder.path()), 2);
    one.end().unwrap();
    one.end().unwrap();
    assert_eq!(Slots::dead(folder.path()).unwrap(), []);
    assert_eq!(files(folder.path()), 1, "the other lives");
    two.end().unwrap();
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn everyone_in_a_call_is_told_once_and_by_the_last_name() {
    let folder = tempfile::tempdir().unwrap();
    let slots = Slots::open(folder.path()).unwrap();
    name(&slots, 5, "old", 1);
    name(&slots, 5, "five", 2);
    name(&slots, 6, "six", 3);
    name(&slots, 7, "seven", 4);
    let threads: Vec<_> = [6, 5, 5, 99, u32::MAX].map(|who| (slots.slot(), who)).into();
    threads.iter().for_each(|(slot, who)| slot.enter(*who));
    drop((threads, slots));
    assert_eq!(Slots::dead(folder.path()).unwrap(), [died("five", 2), died("six", 3)]);
}

#[test]
fn slot_is_given_back_unless_a_call_is_in_it_and_none_is_left_for_the_sixty_fifth() {
    let folder = tempfile::tempdir().unwrap();
    let slots = Slots::open(folder.path()).unwrap();
    let has = |slot: &Slot| slot.0.is_some();
    let mut threads: Vec<_> = (0..SLOTS).map(|_| slots.slot()).collect();
    assert!(threads.iter().all(has));
    let late = slots.slot();
    assert!(!has(&late));
    late.enter(1);
    late.leave();
    let (stuck, done) = (threads.pop().unwrap(), threads.pop().unwrap());
    stuck.enter(1);
    drop((stuck, done));
    let again = slots.slot();
    assert!(has(&again) && !has(&slots.slot()));
}

#[test]
fn slots_are_nowhere_without_a_word() {
    let slots = Slots::nowhere();
    slots.name(1, "ups", Path::new("/lib/ups.so"), identity(1)).unwrap();
    let slot = slots.slot();
    slot.enter(1);
    slot.leave();
    slots.end().unwrap();
}

#[test]
fn file_that_is_full_of_names_of_those_who_have_gone_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let slots = Slots::open(folder.path()).unwrap();
    name(&slots, 7, "stays", 0);
    let long = "x".repeat(FILE_BYTES_MAX as usize / 8);
    for number in 0..20 {
        slots.name(1, &format!("{long}{number}"), Path::new("/x.so"), identity(number)).unwrap();
    }
    name(&slots, 1, "last", 21);
    let threads = [7, 1].map(|who| (slots.slot(), who));
    threads.iter().for_each(|(slot, who)| slot.enter(*who));
    drop((threads, slots));
    assert_eq!(Slots::dead(folder.path()).unwrap(), [died("last", 21), died("stays", 0)]);
}

#[test]
fn names_beyond_the_size_of_a_file_are_an_error_and_harm_none_before() {
    let folder = tempfile::tempdir().unwrap();
    let slots = Slots::open(folder.path()).unwrap();
    name(&slots, 1, "ups", 11);
    let long = "x".repeat(FILE_BYTES_MAX as usize);
    let refused = slots.name(2, &long, Path::new("/x"), identity(1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    slots.slot().enter(1);
    drop(slots);
    assert_eq!(Slots::dead(folder.path()).unwrap(), [died("ups", 11)]);
}

#[test]
fn file_of_another_boot_goes_and_blames_nobody() {
    let folder = tempfile::tempdir().unwrap();
    remains(folder.path(), |_| {});
    assert_eq!(Slots::dead(folder.path()).unwrap(), [died("ups", 11)]);
    remains(folder.path(), |bytes| bytes[MAGIC.len()] ^= 1);
    assert_eq!(Slots::dead(folder.path()).unwrap(), []);
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn garbage_goes_and_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [&b""[..], b"x", MAGIC, &[0xff; 2 * PAGE], &[0; PAGE]] {
        fs::write(folder.path().join("calls-1"), bytes).unwrap();
        assert_eq!(Slots::dead(folder.path()).unwrap(), []);
        assert_eq!(files(folder.path()), 0);
    }
    remains(folder.path(), |bytes| bytes.truncate(PAGE - 1));
    remains(folder.path(), |bytes| bytes.truncate(PAGE + 10));
    assert_eq!(Slots::dead(folder.path()).unwrap(), []);
    remains(folder.path(), |bytes| bytes.extend_from_slice(b"{\"who\":1}\n\xff\n[[[["));
    assert_eq!(Slots::dead(folder.path()).unwrap(), [died("ups", 11)]);
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn what_is_no_file_of_an_agent_is_left_alone() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let at = |name: &str| folder.path().join(name);
    symlink(elsewhere.path(), at("calls-1")).unwrap();
    fs::create_dir(at("calls-2")).unwrap();
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, at("calls-3"), fifo, mode, 0).unwrap();
    fs::write(at("control.sock"), "").unwrap();
    assert_eq!(Slots::dead(folder.path()).unwrap(), []);
    assert_eq!(files(folder.path()), 4);
    assert!(elsewhere.path().exists());
}

#[test]
fn page_has_its_blocks_before_the_first_call() {
    let folder = tempfile::tempdir().unwrap();
    let slots = Slots::open(folder.path()).unwrap();
    let about = slots.0.as_ref().unwrap().file.metadata().unwrap();
    assert_eq!(about.len(), PAGE as u64);
    assert!(about.blocks() * 512 >= PAGE as u64);
}

#[test]
fn file_system_that_could_fail_a_store_is_refused_by_its_number() {
    let refused = reserve(&File::open("/proc/self/stat").unwrap()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().starts_with("file system 0x9fa0 is not one of tmpfs, "), "{refused}");
}

#[test]
fn folder_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let refused = Slots::open(&folder.path().join("file")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotADirectory);
}

proptest! {
    #[test]
    fn whatever_is_in_a_file_is_read_without_harm(
        header in any::<bool>(), page in prop::collection::vec(any::<u8>(), 0..PAGE), lines in ".{0,200}"
    ) {
        let boot = boot_id().unwrap();
        let mut bytes = if header { [MAGIC, &boot].concat() } else { Vec::new() };
        bytes.extend(page);
        bytes.resize(PAGE, 7);
        bytes.extend(lines.bytes());
        assert!(super::super::dead::read(&bytes, &boot).is_empty());
    }
}
