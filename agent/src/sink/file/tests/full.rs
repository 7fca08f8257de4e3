//! A disk that is full, or nearly: on one of its own.

use super::*;

/// A tmpfs of 1 MiB and 64 inodes; none, said, where this process may not mount one.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount() -> Option<Tmpfs> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,nr_inodes=64", "tmpfs"])
            .arg(folder.path())
            .output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            Some(Tmpfs(folder))
        } else {
            println!("skipped: this process may not mount a tmpfs");
            None
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        unmount(self.0.path());
    }
}

#[test]
fn on_a_full_device_snapshots_are_lost_and_counted() {
    let mut output = FileOutput::open(FileSettings::new("/dev/full")).unwrap();
    for second in 0..3 {
        assert_eq!(output.write(&line(MONDAY + second), at(MONDAY + second)), Err(Cause::Full));
    }
    assert_eq!(output.trouble(), Some(Cause::Full));
}

#[test]
fn a_full_disk_is_survived_and_every_line_is_whole() {
    let Some(disk) = Tmpfs::mount() else { return };
    let folder = disk.0.path();
    let mut output = FileOutput::open(settings(folder)).unwrap();
    fs::write(folder.join("ballast"), vec![1; 900 << 10]).unwrap();
    let written = |output: &mut FileOutput, range: std::ops::Range<u64>| -> Vec<u64> {
        range.filter(|second| output.write(&line(*second), at(*second)).is_ok()).collect()
    };
    let mut kept = written(&mut output, MONDAY..MONDAY + 3000);
    assert_eq!(output.trouble(), Some(Cause::Full));
    assert!(kept.len() > 500);
    assert_eq!(seconds(folder.join("s.jsonl")), kept);
    fs::remove_file(folder.join("ballast")).unwrap();
    kept.extend(written(&mut output, MONDAY + 3000..MONDAY + 3010));
    assert_eq!((output.trouble(), kept.last()), (None, Some(&(MONDAY + 3009))));
    assert_eq!(seconds(folder.join("s.jsonl")), kept);
}

#[test]
fn a_full_disk_at_the_start_passes_too() {
    let Some(disk) = Tmpfs::mount() else { return };
    let folder = disk.0.path();
    let mut inodes = 0;
    while File::create(folder.join(format!("inode{inodes}"))).is_ok() {
        inodes += 1;
    }
    let mut output = FileOutput::open(settings(folder)).unwrap();
    assert_eq!(output.write(&line(MONDAY), at(MONDAY)), Err(Cause::Full));
    fs::remove_file(folder.join("inode0")).unwrap();
    put(&mut output, [MONDAY + 1]);
    assert_eq!(output.trouble(), None);
}

#[test]
fn below_the_floor_nothing_is_written_until_there_is_an_eighth_more() {
    let Some(disk) = Tmpfs::mount() else { return };
    let folder = disk.0.path();
    let mut output = FileOutput::open(FileSettings { min_free: Size(256 << 10), ..settings(folder) }).unwrap();
    put(&mut output, [MONDAY]);
    let leave = |free: usize| fs::write(folder.join("ballast"), vec![1; (1 << 20) - (free << 10) - 4096]).unwrap();
    leave(250);
    let lost = (1..=20).filter(|second| output.write(&line(MONDAY + second), at(MONDAY + second)).is_err()).count();
    assert_eq!((lost, output.trouble()), (5, Some(Cause::Floor)), "noticed at the second look");
    leave(280);
    assert_eq!(output.write(&line(MONDAY + 21), at(MONDAY + 21)), Err(Cause::Floor));
    leave(290);
    put(&mut output, [MONDAY + 22]);
    assert_eq!(output.trouble(), None);
}

#[test]
fn what_is_too_old_makes_room_on_a_full_disk() {
    let Some(disk) = Tmpfs::mount() else { return };
    let folder = disk.0.path();
    let old = folder.join("s.2026-11-23T00-00-00Z.jsonl");
    fs::write(&old, "{}\n".repeat(100_000)).unwrap();
    let mut output = FileOutput::open(FileSettings {
        keep: Keep { age: Nanoseconds(Duration::from_secs(1800)), ..Keep::default() },
        ..settings(folder)
    })
    .unwrap();
    put(&mut output, [MONDAY + 900]);
    settled(&output);
    let ballast = File::create(folder.join("ballast")).unwrap();
    while (&ballast).write(&[1; 4096]).is_ok() {}
    let full = (MONDAY + 1000..).find(|second| output.write(&line(*second), at(*second)).is_err()).unwrap();
    assert!(old.exists() && full < MONDAY + 1100);
    // Less than an hour after the last pass, which only the trouble brings forward.
    // The pass runs beside this write, and may have made room for it already.
    let beside = output.write(&line(MONDAY + 2700), at(MONDAY + 2700));
    assert!(matches!(beside, Ok(()) | Err(Cause::Full)), "{beside:?}");
    settled(&output);
    assert!(!old.exists());
    put(&mut output, [MONDAY + 2701]);
}
