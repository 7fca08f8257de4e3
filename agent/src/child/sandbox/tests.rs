//! The drawn sandbox, each time in a process of its own: it binds for good.
//!
//! A test runs the test executable once more, for itself alone, with [`INSIDE`] in the environment.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use plugin_api::host_side::manifest::{Read, ReadKind};
use plugin_api::host_side::options::Settings;
use rustix::io::Errno;

use super::{Policy, SandboxError, Terms, Without};

const INSIDE: &str = "PERFWATCH_TEST_INSIDE";

/// Runs `body` in a process of its own; it gets what the parent prepared, as text. `name` is the test's.
fn alone(name: &str, prepared: &str, body: impl FnOnce(&str)) {
    if let Some(prepared) = std::env::var_os(INSIDE) {
        return body(prepared.to_str().unwrap());
    }
    let output = again(name, prepared);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn again(name: &str, prepared: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("child::sandbox::tests::{name}"), "--nocapture"]).env(INSIDE, prepared);
    command.output().unwrap()
}

fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn read(kind: ReadKind, target: &str) -> Read {
    Read { kind, target: target.to_owned() }
}

fn policy(reads: &[Read]) -> Policy {
    policy_without(reads, Without::default())
}

fn policy_without(reads: &[Read], without: Without) -> Policy {
    Policy::new(&Terms { bundled: true, reads, without, ..terms(&Settings::default()) })
}

fn terms(options: &Settings) -> Terms<'_> {
    Terms {
        collector: "ups",
        reads: &[],
        options,
        grants: &[],
        bundled: false,
        host_root: Path::new("/"),
        memory: 64 << 20,
        descriptors: 64,
        required: false,
        without: Without::default(),
    }
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

const EACCES: Option<i32> = Some(libc::EACCES);
const EPERM: Option<i32> = Some(libc::EPERM);
const EROFS: Option<i32> = Some(libc::EROFS);

#[test]
fn what_is_granted_is_read_and_the_rest_is_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("granted")).unwrap();
    fs::write(folder.path().join("granted/file"), "yes").unwrap();
    fs::write(folder.path().join("other"), "no").unwrap();
    alone("what_is_granted_is_read_and_the_rest_is_not", folder.path().to_str().unwrap(), |folder| {
        let granted = format!("{folder}/granted");
        assert_eq!(policy(&[read(ReadKind::Path, &granted)]).draw(None).unwrap(), Vec::<String>::new());
        assert_eq!(fs::read_to_string(format!("{granted}/file")).unwrap(), "yes");
        assert_eq!(fs::read_dir(&granted).unwrap().count(), 1);
        assert_eq!(errno(fs::read(format!("{folder}/other"))), EACCES);
        assert_eq!(errno(fs::read_dir(folder)), EACCES);
        assert_eq!(errno(fs::read("/etc/shadow")), EACCES);
        assert_eq!(errno(fs::read_dir("/sys/class")), EACCES, "nothing of /sys is asked for");
        assert!(!fs::read("/proc/self/status").unwrap().is_empty());
        assert!(!fs::read("/etc/passwd").unwrap().is_empty());
        assert!(std::thread::available_parallelism().is_ok());
        assert_eq!(std::thread::spawn(|| errno(fs::read("/etc/shadow"))).join().unwrap(), EACCES);
    });
}
