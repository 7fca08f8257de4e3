//! What is read and what is written.

use super::*;

#[test]
fn what_is_granted_is_read_and_the_rest_is_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("granted")).unwrap();
    fs::write(folder.path().join("granted/file"), "yes").unwrap();
    fs::write(folder.path().join("other"), "no").unwrap();
    alone("files::what_is_granted_is_read_and_the_rest_is_not", folder.path().to_str().unwrap(), |folder| {
        let granted = format!("{folder}/granted");
        draw(&[read(ReadKind::Path, &granted), read(ReadKind::Path, "/does/not/exist")]);
        assert_eq!(fs::read_to_string(format!("{granted}/file")).unwrap(), "yes");
        assert_eq!(fs::read_dir(&granted).unwrap().count(), 1);
        assert_eq!(errno(fs::read(format!("{folder}/other"))), EACCES);
        assert_eq!(errno(fs::read_dir(folder)), EACCES);
        assert_eq!(errno(fs::read_dir("/etc")), EACCES);
        assert_eq!(errno(fs::read_dir("/sys/class")), EACCES, "nothing of /sys is asked for");
        assert_eq!(errno(thread::spawn(|| fs::read_dir("/etc")).join().unwrap()), EACCES);
    });
}

#[test]
fn what_every_program_needs_works() {
    alone("files::what_every_program_needs_works", "", |_| {
        draw(&[]);
        assert!(!fs::read("/proc/self/status").unwrap().is_empty());
        assert!(!fs::read("/etc/passwd").unwrap().is_empty());
        assert!(fs::read("/sys/devices/system/cpu/online").is_ok());
        assert!(thread::available_parallelism().is_ok());
        assert_eq!(thread::spawn(|| vec![1u8; 1 << 20].len()).join().unwrap(), 1 << 20);
        assert!(std::panic::catch_unwind(|| panic!("as plugins do")).unwrap_err().is::<&str>());
    });
}

#[test]
fn rules_outlive_the_caches_of_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("status"), "charging").unwrap();
    let name = "files::rules_outlive_the_caches_of_the_kernel";
    alone(name, folder.path().join("status").to_str().unwrap(), |status| {
        // A thread from before the sandbox is drawn keeps its rights, and drops the caches for the others.
        let (ask, asked) = mpsc::channel::<()>();
        let (answer, answered) = mpsc::channel();
        thread::spawn(move || {
            while asked.recv().is_ok() {
                answer.send(fs::write("/proc/sys/vm/drop_caches", "3").is_ok()).unwrap();
            }
        });
        draw(&[
            read(ReadKind::Path, "/proc/stat"),
            read(ReadKind::Path, "/sys/class/net"),
            read(ReadKind::Path, status),
        ]);
        let paths =
            ["/proc/stat", "/proc/self/net/dev", "/sys/class/net/lo/mtu", "/sys/devices/system/cpu/online", status];
        for _ in 0..3 {
            for path in paths {
                assert!(!fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}")).is_empty());
            }
            ask.send(()).unwrap();
            if !answered.recv().unwrap() {
                return skip("the right to drop the kernel's caches");
            }
        }
    });
}

#[test]
fn nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    alone("files::nothing_is_written", folder.path().to_str().unwrap(), |folder| {
        let file = format!("{folder}/file");
        let new = format!("{folder}/new");
        let open = File::open(&file).unwrap();
        draw(&[read(ReadKind::Path, folder)]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        assert_eq!(errno(OpenOptions::new().append(true).open(&file)), EROFS);
        assert_eq!(errno(File::create(&new)), EROFS);
        assert_eq!(errno(OpenOptions::new().write(true).open("/dev/null")), EROFS);
        assert_eq!(errno(fs::remove_file(&file)), EROFS);
        assert_eq!(errno(fs::rename(&file, &new)), EROFS);
        assert_eq!(errno(fs::hard_link(&file, &new)), EROFS);
        assert_eq!(errno(symlink(&file, &new)), EROFS);
        assert_eq!(errno(fs::create_dir(&new)), EROFS);
        assert_eq!(errno(fs::set_permissions(&file, PermissionsExt::from_mode(0o777))), EROFS);
        assert_eq!(errno(std::os::unix::fs::chown(&file, Some(1), None)), EROFS);
        assert_eq!(errno(open.set_len(0)), EROFS);
        assert_eq!(errno(open.set_modified(std::time::UNIX_EPOCH)), EROFS);
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    });
}

#[test]
fn granted_device_is_written_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    alone("files::granted_device_is_written_and_nothing_else", folder.path().to_str().unwrap(), |folder| {
        draw(&[read(ReadKind::Device, "/dev/full"), read(ReadKind::Path, folder)]);
        assert!(OpenOptions::new().read(true).write(true).open("/dev/full").is_ok());
        assert_eq!(errno(OpenOptions::new().write(true).open("/dev/zero")), EACCES);
        assert_eq!(errno(OpenOptions::new().write(true).open(format!("{folder}/file"))), EACCES);
        assert_eq!(errno(File::create(format!("{folder}/new"))), EACCES);
        assert_eq!(errno(OpenOptions::new().write(true).open("/proc/self/comm")), EACCES);
    });
}

#[test]
fn library_is_read_through_its_descriptor_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("library"), "code").unwrap();
    let name = "files::library_is_read_through_its_descriptor_wherever_it_lies";
    alone(name, folder.path().join("library").to_str().unwrap(), |path| {
        let library = File::open(path).unwrap();
        policy(&[]).draw(Some(library.as_fd())).unwrap();
        let again = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&library)));
        assert_eq!(fs::read_to_string(again).unwrap(), "code");
    });
}

#[test]
fn library_in_memory_needs_no_rule() {
    alone("files::library_in_memory_needs_no_rule", "", |_| {
        let memory = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        policy(&[]).draw(Some(memory.as_fd())).unwrap();
        assert!(File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memory))).is_ok());
    });
}
