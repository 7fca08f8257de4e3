//! What the kernel runs for a program, and where a name leads: what a grant of a script has to mean. [E reads the first line of files]
//!
//! A script is run by what its first line names (`#!`, execve(2)), and `env` there runs what its argument names. Whoever grants the script
//! grants those: without them it is no program. What else a script starts is for the operator to name, by its file or its folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the kernel reads of a first line (`BINPRM_BUF_SIZE`).
const LINE_MAX: usize = 256;
/// How many interpreters of interpreters the kernel goes through.
const DEPTH_MAX: usize = 4;

/// The interpreters that are run for a program, in their order; none where it is no script.
pub(super) fn interpreters(program: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for _ in 0..DEPTH_MAX {
        let Some(line) = first_line(found.last().map_or(program, PathBuf::as_path)) else { break };
        let Some((interpreter, of_env)) = named(&line) else { break };
        found.push(interpreter);
        found.extend(of_env.and_then(|name| which(&name)));
    }
    found
}

/// The program of this name, where a shell would find it.
pub(super) fn which(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_program(path))
}

/// Whether it is a file that may be executed.
pub(super) fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// None of what cannot be read: the error is for whoever runs it.
fn first_line(program: &Path) -> Option<Vec<u8>> {
    let mut begin = Vec::new();
    // A pipe would wait for who writes to it.
    let file = File::open(program).ok().filter(|_| is_program(program))?;
    file.take(LINE_MAX as u64).read_to_end(&mut begin).ok()?;
    let line = begin.split(|byte| *byte == b'\n').next()?;
    Some(line.to_owned())
}

/// The interpreter of a first line, and the name that it gives to `env`.
fn named(line: &[u8]) -> Option<(PathBuf, Option<String>)> {
    let mut words = line.strip_prefix(b"#!")?.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let interpreter = PathBuf::from(OsStr::from_bytes(words.next()?));
    let is_env = interpreter.file_name().is_some_and(|name| name == "env");
    // Its own options and assignments stand before the name: `env -S LANG=C python3 -u`.
    let is_name = |word: &&[u8]| !word.starts_with(b"-") && !word.contains(&b'=');
    let name = words.find(is_name).filter(|_| is_env).map(|name| String::from_utf8_lossy(name).into_owned());
    Some((interpreter, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_names_an_interpreter_and_env_another() {
        let named = |line: &str| named(line.as_bytes()).map(|(path, name)| (path.to_str().unwrap().to_owned(), name));
        assert_eq!(named("#!/bin/sh"), Some(("/bin/sh".into(), None)));
        assert_eq!(named("#! /bin/sh -eu\r"), Some(("/bin/sh".into(), None)));
        assert_eq!(named("#!/usr/bin/env python3"), Some(("/usr/bin/env".into(), Some("python3".into()))));
        assert_eq!(named("#!/usr/bin/env -S A=b perl -w"), Some(("/usr/bin/env".into(), Some("perl".into()))));
        assert_eq!(named("\u{7f}ELF"), None);
        assert_eq!(named("#!"), None);
    }

    #[test]
    fn interpreters_of_a_script_are_followed_to_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, line: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!{line}\nexit\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let inner = script("inner", "/usr/bin/env sh");
        let outer = script("outer", inner.to_str().unwrap());
        assert_eq!(interpreters(&outer), [inner, "/usr/bin/env".into(), which("sh").unwrap()]);
        let circle = folder.path().join("circle");
        script("circle", circle.to_str().unwrap());
        assert_eq!(interpreters(&circle).len(), DEPTH_MAX);
        assert!(interpreters(Path::new("/bin/sh")).is_empty());
        assert!(interpreters(folder.path()).is_empty());
    }
}
