//! The mounts that are shown: kept up to date with the kernel's list, with what is known of each.
//!
//! The kernel tells by `poll` that its list has changed, for 0.3 µs; reading it costs 30 µs and more. So the list is
//! read when it changed only, and what is known of a mount that is still there is kept.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugin_api::pattern::Patterns;
use plugin_api::{Error, Host, ProcFile, Space};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::mountinfo::{self, Mount};

/// How often to ask a file system that may have to ask others: a dead server should not be asked more often.
const SLOW_PACE: Duration = Duration::from_secs(30);

/// File systems that answer from counters which the kernel holds in memory (`ext4_statfs` and its like): no disk, no
/// server and no daemon is waited for. vfat and exfat count their table the first time, which a worker waits for. Not
/// so zfs and udf, which may read, and all that ask others.
const FROM_MEMORY: [&[u8]; 16] = [
    b"bcachefs",
    b"btrfs",
    b"devtmpfs",
    b"erofs",
    b"exfat",
    b"ext2",
    b"ext3",
    b"ext4",
    b"f2fs",
    b"iso9660",
    b"ramfs",
    b"rootfs",
    b"squashfs",
    b"tmpfs",
    b"vfat",
    b"xfs",
];

/// It answers as the file system below it does, which may be any; a path leads through it as through memory.
const OVERLAY: &[u8] = b"overlay";

/// On a block device, and yet somebody else may have to answer: other nodes of a cluster, a daemon.
const ASKS_OTHERS: [&[u8]; 3] = [b"fuseblk", b"gfs2", b"ocfs2"];

/// A mount that is shown.
#[derive(Debug)]
pub(crate) struct Shown {
    id: u64,
    pub(crate) path: Arc<Path>,
    pub(crate) device: String,
    pub(crate) fstype: String,
    /// It, and each mount that its path leads through, answers from memory.
    pub(crate) near: bool,
    /// How often it is asked; zero is at every reading.
    pub(crate) pace: Duration,
    /// It is near and has answered quickly.
    pub(crate) trusted: bool,
    /// The question that it has not answered yet.
    pub(crate) question: Option<u64>,
    pub(crate) answer: Option<Answer>,
}

/// What a mount said of its space.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) at: Instant,
    pub(crate) space: Result<Space, Error>,
    /// It came since the last reading.
    pub(crate) is_new: bool,
}

pub(crate) struct Mounts {
    host: Host,
    path: PathBuf,
    file: Option<ProcFile>,
    wanted: Patterns,
    fstypes: Option<Patterns>,
    pub(crate) shown: Vec<Shown>,
}

impl Mounts {
    pub(crate) fn new(wanted: &[String], fstypes: Option<&[String]>, host: &Host) -> Mounts {
        // Under another root it is that host's first process that sees its mounts.
        let path = host.proc_path(if host.is_foreign() { "1/mountinfo" } else { "self/mountinfo" });
        Mounts {
            host: host.clone(),
            path,
            file: None,
            wanted: Patterns::new(wanted),
            fstypes: fstypes.map(Patterns::new),
            shown: Vec::new(),
        }
    }

    /// Reads the kernel's list if it has changed.
    pub(crate) fn refresh(&mut self) -> Result<(), Error> {
        let (file, is_first) = match &mut self.file {
            Some(file) => (file, false),
            none => (none.insert(ProcFile::open(&*self.path)?), true),
        };
        if !is_first && !has_changed(file) {
            return Ok(());
        }
        let (mut mounts, mut wrong) = (Vec::new(), None);
        for mount in mountinfo::mounts(file.read()?) {
            match mount {
                Ok(mount) => mounts.push(mount),
                Err(unexpected) => wrong = wrong.or(Some(unexpected)),
            }
        }
        let path = file.path().to_path_buf();
        self.take(mounts);
        wrong.map_or(Ok(()), |wrong| Err(wrong.of(path)))
    }

    fn take(&mut self, mounts: Vec<Mount>) {
        // The list of types is read here as well: mounting is what loads a file system's module.
        let on_block_devices = self.host.proc("filesystems").and_then(|mut file| {
            let types = mountinfo::on_block_devices(file.read()?);
            Ok(types)
        });
        let on_block_device = |mount: &Mount| match &on_block_devices {
            Ok(types) => types.contains(&mount.fstype),
            Err(_) => mount.source.starts_with(b"/dev/"), // the next best thing, where that file may not be read
        };
        let by_id: HashMap<u64, &Mount> = mounts.iter().map(|mount| (mount.id, mount)).collect();
        let mut known: HashMap<u64, Shown> = self.shown.drain(..).map(|shown| (shown.id, shown)).collect();
        let mut seen = HashSet::new();
        // From behind: of two mounts at one place the later is what a path leads to.
        for mount in mounts.iter().rev() {
            // A mount whose mount point was removed cannot be reached by a path.
            if mount.point.ends_with(b"//deleted") || !seen.insert(&mount.point) || !self.wanted.matches(&mount.point) {
                continue;
            }
            let by_type = match &self.fstypes {
                Some(wanted) => wanted.matches(&mount.fstype),
                None => on_block_device(mount),
            };
            if !by_type && !self.wanted.names(&mount.point) {
                continue;
            }
            let same = known.remove(&mount.id).filter(|known| known.path.as_os_str().as_encoded_bytes() == mount.point);
            let near = leads_through_memory(mount, &by_id);
            let asks_others = ASKS_OTHERS.contains(&&*mount.fstype);
            let is_local = mount.fstype == OVERLAY || FROM_MEMORY.contains(&&*mount.fstype);
            let often = !asks_others && (is_local || on_block_device(mount));
            self.shown.push(Shown {
                near,
                trusted: near && same.as_ref().is_some_and(|same| same.trusted),
                pace: if often { Duration::ZERO } else { SLOW_PACE },
                device: device(mount, &self.host),
                fstype: String::from_utf8_lossy(&mount.fstype).into(),
                ..same.unwrap_or_else(|| Shown::new(mount.id, Path::new(OsStr::from_bytes(&mount.point)).into()))
            });
        }
        self.shown.reverse();
    }
}

impl Shown {
    pub(crate) fn new(id: u64, path: Arc<Path>) -> Shown {
        Shown {
            id,
            path,
            device: String::new(),
            fstype: String::new(),
            near: false,
            pace: Duration::ZERO,
            trusted: false,
            question: None,
            answer: None,
        }
    }
}

/// Whether this mount and all that its path leads through answer from memory. The path itself asks nobody: the names
/// from the root to a mount point are held in memory for as long as something is mounted there.
fn leads_through_memory(mount: &Mount, by_id: &HashMap<u64, &Mount>) -> bool {
    let way = std::iter::successors(Some(mount), |mount| {
        by_id.get(&mount.parent).copied().filter(|parent| parent.id != mount.id)
    });
    // No way is longer than the list, unless its file is garbage that leads in a circle.
    let is_near = |on: &Mount| FROM_MEMORY.contains(&&*on.fstype) || (on.fstype == OVERLAY && on.id != mount.id);
    way.take(by_id.len()).all(is_near)
}

/// What is mounted. The kernel's `/dev/root` is no device that anybody knows: sysfs has the name.
fn device(mount: &Mount, host: &Host) -> String {
    let source = String::from_utf8_lossy(&mount.source);
    if source != "/dev/root" {
        return source.into();
    }
    let uevent = host.sys_path(format!("dev/block/{}/uevent", String::from_utf8_lossy(&mount.device)));
    let name = ProcFile::open(uevent).ok().and_then(|mut file| {
        let mut lines = file.read().ok()?.split(|byte| *byte == b'\n');
        let name = lines.find_map(|line| line.strip_prefix(b"DEVNAME="))?;
        Some(format!("/dev/{}", String::from_utf8_lossy(name)))
    });
    name.unwrap_or_else(|| source.into())
}

/// Whether something was mounted or unmounted since the last time. The kernel's own file says so by `PRI`; a captured
/// one, a plain file, says that it could be written, which means that it tells nothing and is read every time.
fn has_changed(file: &ProcFile) -> bool {
    let mut watched = [PollFd::new(file, PollFlags::PRI | PollFlags::OUT)];
    match poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(_) => !watched[0].revents().is_empty(),
        Err(_) => true, // interrupted: reading once too often is no harm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(list: &str, id: u64) -> bool {
        let mounts: Vec<Mount> =
            mountinfo::mounts(list.as_bytes()).map(|mount| mount.expect("every line makes sense")).collect();
        let by_id: HashMap<u64, &Mount> = mounts.iter().map(|mount| (mount.id, mount)).collect();
        leads_through_memory(by_id[&id], &by_id)
    }

    #[test]
    fn a_mount_is_near_where_its_whole_way_answers_from_memory() {
        let list = "22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:30 / /tmp rw - tmpfs tmpfs rw
24 23 8:2 / /tmp/x rw - xfs /dev/sda2 rw
30 22 0:50 / /mnt/nfs rw - nfs4 server:/ rw
31 30 8:3 / /mnt/nfs/usb rw - ext4 /dev/sdb1 rw
32 22 0:60 / /pool rw - zfs tank rw
33 22 0:61 / /merged rw - overlay overlay rw
34 33 8:4 / /merged/etc/hosts rw - ext4 /dev/sda1 rw
";
        assert!(is_near(list, 22) && is_near(list, 24));
        assert!(!is_near(list, 30) && !is_near(list, 32), "it may have to ask others itself");
        assert!(!is_near(list, 31), "its path leads through a server");
        assert!(!is_near(list, 33), "what is below it may be anything");
        assert!(is_near(list, 34), "a container's mounts lie on an overlay");
    }

    #[test]
    fn a_way_that_leads_in_a_circle_has_an_end() {
        let list = "22 23 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 8:2 / /a rw - ext4 /dev/sda2 rw\n24 24 8:3 / /b rw - ext4 /dev/sda3 rw\n";
        for id in [22, 23, 24] {
            is_near(list, id);
        }
    }

    #[test]
    fn a_plain_file_is_read_each_time_and_the_kernels_list_when_it_changed() {
        let captured = tempfile::NamedTempFile::new().expect("a temporary file");
        assert!(has_changed(&ProcFile::open(captured.path()).expect("it is there")));
        let mut kernels = ProcFile::open("/proc/self/mountinfo").expect("every Linux has it");
        kernels.read().expect("and it can be read");
        has_changed(&kernels);
        assert!((0..1000).any(|_| !has_changed(&kernels)), "mounts do not change all the time");
    }
}
