//! The whole sink on real files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use plugin_api::options::{Duration as Nanoseconds, Size};
use tempfile::TempDir;

use super::name::Naming;
use super::*;

mod full;

const DAY: u64 = 86_400;
/// 2026-11-23T00:00:00Z.
const MONDAY: u64 = 1_795_392_000;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

/// A snapshot of `second`, 100 bytes long.
fn line(second: u64) -> Vec<u8> {
    let mut line = format!("{{\"timestamp\":\"{}\",\"pad\":\"", humantime::format_rfc3339_seconds(at(second)));
    while line.len() < 97 {
        line.push('x');
    }
    line.push_str("\"}\n");
    line.into_bytes()
}

fn settings(folder: &Path) -> FileSettings {
    let mut settings = FileSettings::new(folder.join("s.jsonl"));
    settings.min_free = Size(0);
    settings
}

fn put(output: &mut FileOutput, seconds: impl IntoIterator<Item = u64>) {
    for second in seconds {
        output.write(&line(second), at(second)).unwrap();
    }
}

fn settled(output: &FileOutput) {
    assert!(output.tidy.wait(Duration::from_secs(60)), "the keeper of the folder is not done");
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// The seconds of the snapshots in a file, plain or compressed. Every line must be whole.
fn seconds(path: PathBuf) -> Vec<u64> {
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    } else {
        File::open(path).unwrap().read_to_string(&mut text).unwrap();
    }
    assert!(text.is_empty() || text.ends_with('\n'));
    let time = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        humantime::parse_rfc3339(value["timestamp"].as_str().unwrap()).unwrap()
    };
    text.lines().map(|line| name::second(time(line))).collect()
}

fn unmount(path: &Path) {
    assert!(Command::new("umount").arg("-l").arg(path).status().unwrap().success());
}

#[test]
fn snapshots_are_appended_to_exactly_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    fs::write(&path, line(MONDAY)).unwrap();
    let mut output = FileOutput::open(settings(folder.path())).unwrap();
    put(&mut output, [MONDAY + 1]);
    assert_eq!(seconds(path.clone()), [MONDAY, MONDAY + 1], "it is there as soon as it is written");
    put(&mut output, [MONDAY + 2]);
    output.close().unwrap();
    assert_eq!(seconds(path), [MONDAY, MONDAY + 1, MONDAY + 2]);
    assert_eq!(names(folder.path()), ["s.jsonl"]);
}

#[test]
fn by_size_the_file_is_put_aside_before_it_would_grow_past_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut output = FileOutput::open(FileSettings {
        rotate: Rotate { size: Size(250), ..Rotate::default() },
        ..settings(folder.path())
    })
    .unwrap();
    put(&mut output, MONDAY..MONDAY + 5);
    assert_eq!(names(folder.path()), ["s.2026-11-23T00-00-00Z.jsonl", "s.2026-11-23T00-00-02Z.jsonl", "s.jsonl"]);
    assert_eq!(seconds(folder.path().join("s.2026-11-23T00-00-02Z.jsonl")), [MONDAY + 2, MONDAY + 3]);
    assert_eq!(seconds(folder.path().join("s.jsonl")), [MONDAY + 4]);
}

#[test]
fn by_time_a_file_holds_one_day_of_utc_over_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let daily = FileSettings {
        rotate: Rotate { every: Nanoseconds(Duration::from_secs(DAY)), size: Size(0) },
        ..settings(folder.path())
    };
    let mut output = FileOutput::open(daily.clone()).unwrap();
    put(&mut output, [MONDAY + 3600, MONDAY + DAY - 1]);
    output.close().unwrap();
    let mut output = FileOutput::open(daily).unwrap();
    put(&mut output, [MONDAY + DAY, MONDAY + DAY + 1]);
    assert_eq!(names(folder.path()), ["s.2026-11-23T01-00-00Z.jsonl", "s.jsonl"]);
    assert_eq!(seconds(folder.path().join("s.jsonl")), [MONDAY + DAY, MONDAY + DAY + 1]);
}

#[test]
fn files_of_one_second_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut output = FileOutput::open(FileSettings {
        rotate: Rotate { size: Size(1), ..Rotate::default() },
        ..settings(folder.path())
    })
    .unwrap();
    put(&mut output, [MONDAY, MONDAY, MONDAY]);
    assert_eq!(names(folder.path()), ["s.2026-11-23T00-00-00Z.jsonl", "s.2026-11-23T00-00-00Z_001.jsonl", "s.jsonl"]);
}

#[test]
fn a_file_is_compressed_one_rotation_late_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let small = FileSettings {
        rotate: Rotate { size: Size(100), ..Rotate::default() },
        compress: Compress::Gzip,
        ..settings(folder.path())
    };
    let mut output = FileOutput::open(small).unwrap();
    for second in MONDAY..MONDAY + 4 {
        put(&mut output, [second]);
        settled(&output);
    }
    assert_eq!(
        names(folder.path()),
        [
            "s.2026-11-23T00-00-00Z.jsonl.gz",
            "s.2026-11-23T00-00-01Z.jsonl.gz",
            "s.2026-11-23T00-00-02Z.jsonl",
            "s.jsonl"
        ]
    );
    let all: Vec<_> = names(folder.path()).into_iter().flat_map(|name| seconds(folder.path().join(name))).collect();
    assert_eq!(all, (MONDAY..MONDAY + 4).collect::<Vec<_>>());
}

#[test]
fn what_a_killed_compression_left_is_put_right_with_the_first_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    for second in MONDAY..MONDAY + 3 {
        let name = Naming::of("s.jsonl".as_ref()).aside(name::Stamp { second, turn: 0 }, false);
        fs::write(folder.path().join(name), line(second)).unwrap();
    }
    fs::write(folder.path().join(".s.2026-11-23T00-00-00Z.jsonl.gz.tmp"), "half").unwrap();
    let mut output = FileOutput::open(FileSettings { compress: Compress::Gzip, ..settings(folder.path()) }).unwrap();
    put(&mut output, [MONDAY + 3]);
    settled(&output);
    assert_eq!(
        names(folder.path()),
        [
            "s.2026-11-23T00-00-00Z.jsonl.gz",
            "s.2026-11-23T00-00-01Z.jsonl.gz",
            "s.2026-11-23T00-00-02Z.jsonl",
            "s.jsonl"
        ]
    );
}

#[test]
fn old_files_are_deleted_and_only_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let others = ["notes.txt", "s.2026-11-20T00-00-00Z.jsonl.bak", "s.json", "t.2026-11-20T00-00-00Z.jsonl"];
    for other in others {
        fs::write(folder.path().join(other), "keep").unwrap();
    }
    fs::create_dir(folder.path().join("s.2026-11-20T00-00-00Z.jsonl")).unwrap();
    let mut output = FileOutput::open(FileSettings {
        rotate: Rotate { size: Size(100), ..Rotate::default() },
        keep: Keep { files: 2, ..Keep::default() },
        ..settings(folder.path())
    })
    .unwrap();
    put(&mut output, MONDAY..MONDAY + 6);
    settled(&output);
    let mut expected: Vec<OsString> = others.iter().map(OsString::from).collect();
    expected.extend(
        ["s.2026-11-20T00-00-00Z.jsonl", "s.2026-11-23T00-00-03Z.jsonl", "s.2026-11-23T00-00-04Z.jsonl", "s.jsonl"]
            .map(OsString::from),
    );
    expected.sort();
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn age_goes_on_without_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("s.2026-11-23T00-00-00Z.jsonl");
    fs::write(&old, line(MONDAY)).unwrap();
    let mut output = FileOutput::open(FileSettings {
        keep: Keep { age: Nanoseconds(Duration::from_secs(2 * DAY)), ..Keep::default() },
        ..settings(folder.path())
    })
    .unwrap();
    put(&mut output, [MONDAY + DAY]);
    settled(&output);
    assert!(old.exists());
    put(&mut output, [MONDAY + 3 * DAY]);
    settled(&output);
    assert!(!old.exists());
}

#[test]
fn a_torn_last_line_is_cut_off_before_the_next_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    fs::write(&path, [line(MONDAY), line(MONDAY + 1)[..40].to_vec()].concat()).unwrap();
    let mut output = FileOutput::open(settings(folder.path())).unwrap();
    put(&mut output, [MONDAY + 2]);
    assert_eq!(seconds(path), [MONDAY, MONDAY + 2]);
}

#[test]
fn what_it_creates_has_the_mode_and_the_group_and_what_was_there_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let group = fs::metadata(folder.path()).unwrap().gid().to_string();
    let own = FileSettings { mode: 0o666, group: Some(group), ..settings(folder.path()) };
    drop(FileOutput::open(own.clone()).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o666, "whatever the umask");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    drop(FileOutput::open(own).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_second_sink_on_one_path_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let small = FileSettings { rotate: Rotate { size: Size(100), ..Rotate::default() }, ..settings(folder.path()) };
    let mut output = FileOutput::open(small.clone()).unwrap();
    let error = FileOutput::open(small.clone()).unwrap_err().to_string();
    let file = folder.path().canonicalize().unwrap().join("s.jsonl");
    assert!(error.starts_with(&format!("{} is being written by another ", file.display())), "{error}");
    put(&mut output, [MONDAY, MONDAY + 1]);
    FileOutput::open(small.clone()).expect_err("the file begun by a rotation is locked as well");
    // As a child between its fork and its exec holds it.
    let _inherited = output.live.as_ref().unwrap().file.try_clone().unwrap();
    output.close().unwrap();
    FileOutput::open(small).unwrap();
}

#[test]
fn a_file_moved_by_logrotate_is_begun_anew_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut output = FileOutput::open(settings(folder.path())).unwrap();
    put(&mut output, [MONDAY]);
    output.reopen();
    put(&mut output, [MONDAY + 1]);
    fs::rename(folder.path().join("s.jsonl"), folder.path().join("s.jsonl.1")).unwrap();
    put(&mut output, [MONDAY + 2]);
    output.reopen();
    put(&mut output, [MONDAY + 3]);
    assert_eq!(seconds(folder.path().join("s.jsonl.1")), [MONDAY, MONDAY + 1, MONDAY + 2]);
    assert_eq!(seconds(folder.path().join("s.jsonl")), [MONDAY + 3]);
}

#[test]
fn a_link_set_anew_is_followed_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let (link, one, two) = (folder.path().join("s.jsonl"), folder.path().join("one"), folder.path().join("two"));
    File::create(&one).unwrap();
    File::create(&two).unwrap();
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let mut output = FileOutput::open(settings(folder.path())).unwrap();
    put(&mut output, [MONDAY]);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&two, &link).unwrap();
    output.reopen();
    put(&mut output, [MONDAY + 1]);
    assert_eq!((seconds(one), seconds(two)), (vec![MONDAY], vec![MONDAY + 1]));
}

#[test]
fn a_file_moved_or_deleted_is_noticed_without_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let mut output = FileOutput::open(settings(folder.path())).unwrap();
    let round = u64::from(LOOK_WRITES);
    put(&mut output, MONDAY..MONDAY + round);
    fs::rename(&path, folder.path().join("moved")).unwrap();
    put(&mut output, MONDAY + round..MONDAY + 2 * round);
    assert_eq!(seconds(path.clone()), (MONDAY + round..MONDAY + 2 * round).collect::<Vec<_>>());
    fs::remove_file(&path).unwrap();
    put(&mut output, [MONDAY + 2 * round]);
    assert_eq!(seconds(path), [MONDAY + 2 * round]);
}

#[test]
fn a_file_truncated_by_another_is_a_new_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let mut output = FileOutput::open(FileSettings {
        rotate: Rotate { size: Size(3000), ..Rotate::default() },
        ..settings(folder.path())
    })
    .unwrap();
    put(&mut output, MONDAY..MONDAY + 20);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    put(&mut output, MONDAY + 20..MONDAY + 51);
    assert_eq!(names(folder.path()), ["s.2026-11-23T00-00-20Z.jsonl", "s.jsonl"]);
}

#[test]
fn a_device_is_written_to_and_never_rotated() {
    let null = FileSettings { rotate: Rotate { size: Size(1), ..Rotate::default() }, ..FileSettings::new("/dev/null") };
    let (mut one, mut two) = (FileOutput::open(null.clone()).unwrap(), FileOutput::open(null).unwrap());
    put(&mut one, [MONDAY, MONDAY + 1]);
    put(&mut two, [MONDAY, MONDAY + 1]);
    one.reopen();
    put(&mut one, [MONDAY + 2]);
    one.close().unwrap();
}

#[test]
fn a_pipe_is_written_to_while_something_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut output = FileOutput::open(settings(folder.path())).unwrap();
    assert_eq!(output.trouble(), Some(Cause::Unread));
    assert_eq!(output.write(&line(MONDAY), at(MONDAY)), Err(Cause::Unread));
    let nonblocking = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::RDONLY;
    let mut reader = File::from(rustix::fs::open(&path, nonblocking, rustix::fs::Mode::empty()).unwrap());
    put(&mut output, [MONDAY + 1]);
    let mut read = [0; 200];
    assert_eq!(reader.read(&mut read).unwrap(), 100);
    assert_eq!(read[..100], line(MONDAY + 1));
    drop(reader);
    assert_eq!(output.write(&line(MONDAY + 2), at(MONDAY + 2)), Err(Cause::Unread));
}

#[test]
fn what_cannot_be_written_to_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let fault = |path: PathBuf| FileOutput::open(FileSettings::new(path)).unwrap_err().to_string();
    assert!(fault(folder.path().into()).ends_with("is a folder: add the name of a file"));
    let socket = folder.path().join("socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(fault(socket).ends_with("is a socket: give the path of a file or of a pipe"));
    let fstab = folder.path().join("fstab");
    fs::write(&fstab, "proc /proc proc\n/dev/sda /").unwrap();
    assert!(fault(fstab.clone()).ends_with("move it away, or choose another path"));
    assert_eq!(fs::read(&fstab).unwrap(), b"proc /proc proc\n/dev/sda /");
    assert!(fault(fstab.join("s.jsonl")).starts_with("could not "));
}

#[test]
fn a_file_that_cannot_be_had_as_asked_is_not_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let error = FileOutput::open(FileSettings { min_free: Size(u64::MAX), ..settings(folder.path()) }).unwrap_err();
    assert!(error.to_string().contains("lower it (0 turns it off)"), "{error}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_file_that_cannot_be_put_aside_grows_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    fs::write(&path, "").unwrap();
    // As a container with a single file mounted into it: rename gives EBUSY.
    if !Command::new("mount").arg("--bind").args([&path, &path]).output().is_ok_and(|mount| mount.status.success()) {
        println!("skipped: this process may not mount a file");
        return;
    }
    let mut output = FileOutput::open(FileSettings {
        rotate: Rotate { size: Size(100), ..Rotate::default() },
        ..settings(folder.path())
    })
    .unwrap();
    put(&mut output, MONDAY..MONDAY + 40);
    assert_eq!(seconds(path.clone()), (MONDAY..MONDAY + 40).collect::<Vec<_>>());
    drop(output);
    unmount(&path);
}
