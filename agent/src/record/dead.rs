//! Reads what agents that are gone left in the runtime folder. [E readdir, read, unlink]
//!
//! Promises: a file whose lock is held is a living agent's and is left alone; every other one of ours goes, whatever is in it. What is in
//! it is taken for what anyone could have written: it is bounded, and what cannot be read is passed over.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::Identity;
use super::slot::{FILE_BYTES_MAX, MAGIC, Name, PAGE, PREFIX, SLOTS, SLOTS_AT, Slots, boot_id};
use crate::harmless;

/// Most files looked at in one start; what is left over waits for the next.
const FILES_MAX: usize = 256;

/// A collector in whose call an agent died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Died {
    /// Its name.
    pub collector: String,
    /// Where its library lay, as text: to be shown. What it was is in `identity`.
    pub library: PathBuf,
    /// The file that was loaded: a [`Known`](crate::plugin::known::Known) with the same one is that library.
    pub identity: Identity,
}

impl Slots {
    /// Who was in a call when an agent died, of all that died in this boot and have a file in `runtime_dir`. Takes the files away, so
    /// that the answer comes once. A file that cannot be read is logged.
    ///
    /// # Errors
    /// The folder cannot be read. One that is not there has no dead.
    pub fn dead(runtime_dir: &Path) -> io::Result<Vec<Died>> {
        let entries = match fs::read_dir(runtime_dir) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let boot = boot_id()?;
        let (mut died, mut files) = (Vec::new(), 0);
        for entry in entries {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                continue;
            }
            files += 1;
            if files > FILES_MAX {
                break;
            }
            match bury(&entry.path()) {
                Ok(bytes) => died.extend(bytes.iter().flat_map(|bytes| read(bytes, &boot))),
                Err(cause) => tracing::warn!(%cause, "could not read {}", harmless::path(&entry.path())),
            }
        }
        Ok(died)
    }
}

/// What is in the file of a dead agent, which is deleted.
fn bury(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // Another agent that starts was quicker; or a link, which no agent makes.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let about = file.metadata()?;
    // Another user's agents are for that user.
    if !about.is_file() || about.uid() != rustix::process::geteuid().as_raw() {
        return Ok(None);
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(cause)) => return Err(cause),
    }
    // Who has the lock may delete it: without a name it was deleted before we had it, and the name may be a living agent's by now.
    if file.metadata()?.nlink() == 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let whole = (&file).take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    fs::remove_file(path)?;
    whole.map(|_| Some(bytes))
}

/// Who stands in the slots of such a file, each once.
pub(super) fn read(bytes: &[u8], boot: &[u8]) -> Vec<Died> {
    let of_this_boot = bytes.strip_prefix(MAGIC).is_some_and(|rest| rest.starts_with(boot));
    let Some((page, lines)) = bytes.split_at_checked(PAGE).filter(|_| of_this_boot) else { return Vec::new() };
    let (slots, _) = page[SLOTS_AT..].as_chunks::<4>();
    let mut called: Vec<_> =
        slots[..SLOTS].iter().filter_map(|word| u32::from_ne_bytes(*word).checked_sub(1)).collect();
    called.sort_unstable();
    called.dedup();
    if called.is_empty() {
        return Vec::new();
    }
    let names = lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Name>(line).ok());
    let names: HashMap<u32, Name> = names.map(|name| (name.who, name)).collect();
    let known = called.iter().filter_map(|who| names.get(who));
    let died = |name: &Name| Died {
        collector: name.collector.clone(),
        library: PathBuf::from(&name.library),
        identity: name.identity,
    };
    known.map(died).collect()
}
