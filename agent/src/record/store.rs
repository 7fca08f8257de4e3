//! The record in the state folder, `placement.json`. [E read, write, rename, flock]
//!
//! Promises: the file is whole at any instant, since it is replaced by a rename; and of two agents that change it at once neither loses
//! what it has to say, since each reads it anew under a lock. What cannot be written holds in memory, and is written with the next change.
#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::placement::{Entries, Record};
use crate::harmless;

/// Most bytes that are read: more than twice what [`ENTRIES_MAX`](super::placement::ENTRIES_MAX) take.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Whoever holds the lock for longer has been stopped in the middle: the change then holds in this process alone.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(5);

const NAME: &str = "placement.json";

impl Record {
    /// Reads what is on record in the state folder: nothing, where there is no file yet. See [`Record::fault`] for a file
    /// that cannot be used.
    #[must_use]
    pub fn read(state_dir: &Path) -> Record {
        let path = state_dir.join(NAME);
        let (entries, fault) = match read(&path) {
            Ok(Ok(entries)) => (entries, None),
            Ok(Err(why)) => (Entries::default(), Some(format!("{} is not used: {why}", harmless::path(&path)))),
            Err(cause) if cause.kind() == ErrorKind::NotFound => (Entries::default(), None),
            Err(cause) => (Entries::default(), Some(format!("{} cannot be read: {cause}", harmless::path(&path)))),
        };
        Record { folder: state_dir.to_owned(), entries, fault, unsaved: false }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// Changes the record, here and in the file, whatever another agent has written meanwhile. May wait a second for it. The folder is
    /// made where it is missing, and a file that could not be used is kept beside as `placement.json.bad`.
    ///
    /// # Errors
    /// The file cannot be written: the change holds in this process, and a later one takes it along.
    pub fn change(&mut self, edit: impl FnOnce(&mut Record)) -> io::Result<()> {
        // Held until the end.
        let lock = lock(&self.folder).and_then(|lock| {
            let bad = self.refresh()?;
            Ok((lock, bad))
        });
        edit(self);
        let written = lock.and_then(|(_lock, bad)| self.write(bad));
        self.unsaved = written.is_err();
        if written.is_ok() {
            self.fault = None;
        }
        written
    }

    /// Takes over what is in the file, unless there is more here. Gives whether it cannot be used.
    fn refresh(&mut self) -> io::Result<bool> {
        let entries = match read(&self.path()) {
            Ok(Ok(entries)) => entries,
            Ok(Err(_unusable)) => return Ok(true),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Entries::default(),
            Err(cause) => return Err(cause),
        };
        if !self.unsaved {
            self.entries = entries;
        }
        Ok(false)
    }

    fn write(&self, keep_aside: bool) -> io::Result<()> {
        let (path, new) = (self.path(), self.folder.join("placement.json.new"));
        // Of an agent that was killed in the middle of this.
        match fs::remove_file(&new) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        give_to_owner_of(&self.folder, &file)?;
        file.write_all(&self.entries.text())?;
        // Else a power cut could leave the new name with nothing behind it.
        file.sync_data()?;
        if keep_aside {
            fs::rename(&path, self.folder.join("placement.json.bad"))?;
        }
        fs::rename(&new, &path)
    }
}

/// What the file says, or why it says nothing that can be used.
fn read(path: &Path) -> io::Result<Result<Entries, String>> {
    // Neither a link that somebody else may have made, nor a FIFO to wait for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Ok(Err(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(Entries::parse(&text))
}

fn lock(folder: &Path) -> io::Result<File> {
    // As readable as such folders are: sinks may keep files there that others ship. The record itself is 0600.
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let flags = OFlags::NOFOLLOW.bits();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags.cast_signed());
    let file = options.open(folder.join("placement.lock"))?;
    give_to_owner_of(folder, &file)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(ErrorKind::TimedOut, "another agent holds placement.lock"));
            }
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
    }
}

/// Root releases what the agent of a service has on record, which runs as a user of its own and has to read it again.
fn give_to_owner_of(folder: &Path, file: &File) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(folder)?;
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::UNIX_EPOCH;

    use super::super::{Blame, Sha256, What};
    use super::*;

    fn digest(number: u8) -> Sha256 {
        [number; 32].into()
    }

    fn blame(collector: &str) -> Blame {
        Blame { collector: collector.into(), plugin: "p".into(), when: UNIX_EPOCH, what: What::Hung }
    }

    fn blamed(record: &Record) -> Vec<String> {
        record.blames().map(|blame| blame.collector.clone()).collect()
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn change_is_read_back_from_a_private_file_in_a_folder_that_was_missing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/state");
        let mut record = Record::read(&folder);
        assert_eq!((record.fault(), blamed(&record)), (None, vec![]));
        record.change(|record| record.blame(digest(1), blame("ups"))).unwrap();
        let read = Record::read(&folder);
        assert_eq!((read.fault(), blamed(&read)), (None, vec!["ups".to_owned()]));
        assert_eq!(fs::metadata(read.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(files(&folder), ["placement.json", "placement.lock"]);
    }

    /// Seen by root alone; whoever else runs this sees that the owner stays.
    #[test]
    fn what_root_writes_belongs_to_whom_the_folder_belongs_to() {
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).unwrap();
        }
        let owner = |path: &Path| (fs::metadata(path).unwrap().uid(), fs::metadata(path).unwrap().gid());
        let mut record = Record::read(folder.path());
        for number in 1..3 {
            record.change(|record| record.blame(digest(number), blame("ups"))).unwrap();
            assert_eq!(owner(&record.path()), owner(folder.path()));
            assert_eq!(owner(&folder.path().join("placement.lock")), owner(folder.path()));
        }
    }

    #[test]
    fn two_agents_that_write_lose_nothing_of_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let writer = |first: u8| {
            let mut record = Record::read(folder.path());
            for number in first..first + 20 {
                record.change(|record| record.blame(digest(number), blame(&number.to_string()))).unwrap();
            }
        };
        thread::scope(|scope| [0, 100].map(|first| scope.spawn(move || writer(first))).map(|one| one.join().unwrap()));
        assert_eq!(blamed(&Record::read(folder.path())).len(), 40);
    }

    #[test]
    fn what_was_released_by_another_is_forgotten_with_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = Record::read(folder.path());
        agent.change(|record| record.blame(digest(1), blame("ups"))).unwrap();
        Record::read(folder.path()).change(|record| drop(record.release("ups"))).unwrap();
        agent.change(|record| record.blame(digest(2), blame("disk"))).unwrap();
        assert_eq!((blamed(&agent), blamed(&Record::read(folder.path()))), (vec!["disk".into()], vec!["disk".into()]));
        fs::remove_file(agent.path()).unwrap();
        agent.change(|record| record.trust(digest(3), digest(4))).unwrap();
        assert_eq!(blamed(&agent), Vec::<String>::new());
    }

    #[test]
    fn file_that_is_no_record_is_told_and_kept_beside_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let long = " ".repeat(FILE_BYTES_MAX as usize + 1);
        for (text, why) in [
            ("", "it is no record of placements: "),
            ("{\"version\":1}", "it is no record of placements: missing field `blamed`"),
            ("{\"version\":7,\"blamed\":{}}", "it has version 7, and this agent knows 1"),
            (&long, "it has more than 1048576 bytes"),
        ] {
            fs::write(&path, text).unwrap();
            let mut record = Record::read(folder.path());
            let told = record.fault().unwrap();
            assert!(told.starts_with(&format!("{} is not used: {why}", path.display())), "{told}");
            record.change(|record| record.blame(digest(1), blame("ups"))).unwrap();
            assert_eq!(record.fault(), None);
            assert_eq!(blamed(&Record::read(folder.path())), ["ups"]);
            assert_eq!(fs::read_to_string(folder.path().join("placement.json.bad")).unwrap(), text);
        }
    }

    #[test]
    fn change_that_cannot_be_written_holds_here_and_is_written_with_the_next() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("state");
        fs::write(&folder, "in the way").unwrap();
        let mut record = Record::read(&folder);
        record.change(|record| record.blame(digest(1), blame("ups"))).unwrap_err();
        assert_eq!(blamed(&record), ["ups"]);
        fs::remove_file(&folder).unwrap();
        record.change(|record| record.blame(digest(2), blame("disk"))).unwrap();
        assert_eq!(blamed(&Record::read(&folder)), ["ups", "disk"]);
    }

    #[test]
    fn agent_that_was_killed_while_it_wrote_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("placement.json.new"), "{").unwrap();
        fs::write(folder.path().join("placement.lock"), "").unwrap();
        Record::read(folder.path()).change(|record| record.blame(digest(1), blame("ups"))).unwrap();
        assert_eq!(blamed(&Record::read(folder.path())), ["ups"]);
        assert_eq!(files(folder.path()), ["placement.json", "placement.lock"]);
    }

    #[test]
    fn link_in_the_place_of_a_file_is_not_followed() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        for name in ["placement.lock", NAME] {
            symlink(elsewhere.path(), folder.path().join(name)).unwrap();
            let mut record = Record::read(folder.path());
            record.change(|record| record.blame(digest(1), blame("ups"))).unwrap_err();
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        assert_eq!(fs::read(elsewhere.path()).unwrap(), b"");
    }

    #[test]
    fn lock_that_is_never_given_back_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        let mut record = Record::read(folder.path());
        let refused = record.change(|record| record.blame(digest(1), blame("ups"))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TimedOut);
        assert_eq!(blamed(&record), ["ups"]);
        drop(held);
    }
}
