//! Who is being called, noted where it survives this process. [E mmap] [U]
//!
//! Each agent has one file in the runtime folder, locked as long as it lives. Its first page is mapped, and holds a word for each
//! thread that calls collectors: a call costs two stores and no system call, since it is on the path of a tick. After the page
//! come lines that say who is who, written once a collector.
//!
//! Promises: whatever is wrong with the folder (missing, full, on a file system that could fail a store later) costs the notes
//! and nothing else, see [`Slots::nowhere`]. What [`Slots::open`] gave cannot fault for want of space: the page is reserved first.
//!
//! Relies on the files being the agent's own (0600): who shortens one takes the page from under the agent.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use serde::{Deserialize, Serialize};

use super::Identity;

/// Calls that can be noted at once. The agent calls from one thread, and from one more for each call that hangs or is slow, of which
/// it bears eight.
pub const SLOTS: usize = 64;

/// How a file of this kind is called, before the process id.
pub(super) const PREFIX: &str = "calls-";
/// What it begins with. What follows is the boot, so that a power cut is not taken for a crash.
pub(super) const MAGIC: &[u8] = b"perfwatch calls 1\n";
/// Where the slots begin; the header has 54 bytes.
pub(super) const SLOTS_AT: usize = 64;
/// What is mapped. The names follow.
pub(super) const PAGE: usize = 4096;
/// Most bytes of one file: a name takes some 200, so that 10,000 collectors have room. Past a thousand reloads of twenty it is written anew.
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;

/// Agents of one process id, in one folder: several in a process that embeds them, or in containers that share the folder.
const SAME_ID_MAX: u32 = 16;
const WORDS: usize = PAGE / size_of::<AtomicU32>();

const _: () =
    assert!(SLOTS_AT.is_multiple_of(size_of::<AtomicU32>()) && SLOTS_AT + SLOTS * size_of::<AtomicU32>() <= PAGE);
const _: () = assert!(SLOTS <= u64::BITS as usize, "a bit each says which are taken");

/// One line after the page: a collector, and the library that is called for it.
#[derive(Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) who: u32,
    pub(super) collector: String,
    /// As text, which a path may not be: it is for people.
    pub(super) library: String,
    pub(super) identity: Identity,
}

/// The slots of one agent. Cloning it gives another handle to the same.
#[derive(Clone, Debug)]
pub struct Slots(Option<Arc<Noted>>);

/// Where one thread notes whom it calls. It is given back when it is dropped, unless a call is in it.
#[derive(Debug)]
pub struct Slot(Option<(Arc<Noted>, usize)>);

#[derive(Debug)]
struct Noted {
    page: Page,
    file: File,
    path: PathBuf,
    /// A bit for each slot that a thread has.
    taken: AtomicU64,
    /// Who is who, and where the next name goes.
    names: Mutex<Names>,
}

#[derive(Debug)]
struct Names {
    /// The last line of each.
    lines: BTreeMap<u32, Vec<u8>>,
    end: u64,
}

impl Slots {
    /// Makes the file of this agent in `runtime_dir`, and the folder (0700) where its parent is there. The dead are to be asked
    /// first ([`Slots::dead`]).
    ///
    /// # Errors
    /// The folder cannot be had or is full, or lies on a file system where a store into a mapped file may fail or hang.
    pub fn open(runtime_dir: &Path) -> io::Result<Slots> {
        match DirBuilder::new().mode(0o700).create(runtime_dir) {
            Err(cause) if cause.kind() != ErrorKind::AlreadyExists => return Err(cause),
            Ok(()) | Err(_) => {}
        }
        let (file, path) = create(runtime_dir)?;
        match reserve(&file).and_then(|()| Page::map(&file)) {
            Ok(page) => Ok(Slots(Some(Arc::new(Noted {
                page,
                file,
                path,
                taken: AtomicU64::new(0),
                names: Mutex::new(Names { lines: BTreeMap::new(), end: PAGE as u64 }),
            })))),
            Err(cause) => {
                // A file that stays behind is unlocked with this process, and swept at the next start.
                let _ = fs::remove_file(&path);
                Err(cause)
            }
        }
    }

    /// Slots that note nothing.
    #[must_use]
    pub fn nowhere() -> Slots {
        Slots(None)
    }

    /// Says who `who` is, before it is called. Said again, the last holds.
    ///
    /// # Errors
    /// The file system is full, or the file is as long as it may be: a death in its calls will not be told.
    pub fn name(&self, who: u32, collector: &str, library: &Path, identity: Identity) -> io::Result<()> {
        let Some(noted) = &self.0 else { return Ok(()) };
        let library = library.to_string_lossy().into_owned();
        let mut line = serde_json::to_vec(&Name { who, collector: collector.to_owned(), library, identity })?;
        line.push(b'\n');
        let mut names = noted.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.lines.get(&who) == Some(&line) {
            return Ok(());
        }
        let next = names.end + line.len() as u64;
        if next > FILE_BYTES_MAX {
            // After thousands of reloads: without the names of those who have gone.
            let lines = names.lines.iter().filter(|(other, _)| **other != who).flat_map(|(_, line)| line);
            let lines: Vec<u8> = lines.chain(&line).copied().collect();
            if PAGE as u64 + lines.len() as u64 > FILE_BYTES_MAX {
                return Err(ErrorKind::FileTooLarge.into());
            }
            noted.file.set_len(PAGE as u64)?;
            noted.file.write_all_at(&lines, PAGE as u64)?;
            names.end = PAGE as u64 + lines.len() as u64;
        } else {
            noted.file.write_all_at(&line, names.end)?;
            names.end = next;
        }
        names.lines.insert(who, line);
        Ok(())
    }

    /// A slot for the thread that asks; one that notes nothing where all are taken.
    #[must_use]
    pub fn slot(&self) -> Slot {
        let Some(noted) = &self.0 else { return Slot(None) };
        let free = |taken: u64| (taken.trailing_ones() < SLOTS as u32).then(|| taken | (taken + 1));
        match noted.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, free) {
            Ok(before) => Slot(Some((Arc::clone(noted), before.trailing_ones() as usize))),
            Err(_full) => Slot(None),
        }
    }

    /// A clean end: takes the file away, so that whoever is still in a call is not said to have killed the agent.
    ///
    /// # Errors
    /// Those of unlink(2), but for a file that is gone already.
    pub fn end(&self) -> io::Result<()> {
        let Some(noted) = &self.0 else { return Ok(()) };
        match fs::remove_file(&noted.path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => Err(cause),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Slot {
    /// A call of `who` begins. The greatest number is nobody's.
    #[inline]
    pub fn enter(&self, who: u32) {
        self.note(who.wrapping_add(1));
        // The kernel keeps what was stored before a fault; this keeps the compiler from storing it later than that.
        compiler_fence(Ordering::SeqCst);
    }

    /// The call is over.
    #[inline]
    pub fn leave(&self) {
        compiler_fence(Ordering::SeqCst);
        self.note(0);
    }

    #[inline]
    fn note(&self, word: u32) {
        if let Some((noted, slot)) = &self.0 {
            noted.page.slot(*slot).store(word, Ordering::Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some((noted, slot)) = &self.0
            && noted.page.slot(*slot).load(Ordering::Relaxed) == 0
        {
            noted.taken.fetch_and(!(1 << slot), Ordering::AcqRel);
        }
    }
}

/// A new file with the lock on it. Between the two another agent that starts may have taken it for one of the dead and swept it.
fn create(folder: &Path) -> io::Result<(File, PathBuf)> {
    let id = process::id();
    for same in 0..SAME_ID_MAX {
        let name = if same == 0 { format!("{PREFIX}{id}") } else { format!("{PREFIX}{id}-{same}") };
        let path = folder.join(name);
        // `create_new` follows no link.
        let file = match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => continue,
            Err(cause) => return Err(cause),
        };
        match file.try_lock() {
            Ok(()) if file.metadata()?.nlink() > 0 => return Ok((file, path)),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(cause)) => {
                // As above: swept at the next start.
                let _ = fs::remove_file(&path);
                return Err(cause);
            }
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, format!("{SAME_ID_MAX} files {PREFIX}{id} are there")))
}

/// Gives the page its blocks and its header.
fn reserve(file: &File) -> io::Result<()> {
    // Where blocks are copied on write or lie behind a network, a store after the page was written back needs space, or an
    // answer, that may not come: SIGBUS, or a tick that hangs. Those named here write in place.
    const IN_PLACE: [(u32, &str); 5] = [
        (0x0102_1994, "tmpfs"),
        (0x8584_58f6, "ramfs"),
        (0xef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x794c_7630, "overlay"),
    ];
    // Magic numbers have 32 bits, whatever type statfs(2) has here.
    let here = rustix::fs::fstatfs(file)?.f_type as u32;
    if IN_PLACE.iter().all(|(magic, _)| *magic != here) {
        let names = IN_PLACE.map(|(_, name)| name).join(", ");
        let why = format!("file system {here:#x} is not one of {names}: set agent.runtime_dir to a folder in memory");
        return Err(io::Error::new(ErrorKind::Unsupported, why));
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, PAGE as u64) {
        Ok(()) => {}
        // Blocks of zeros are blocks.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.write_all_at(&[0; PAGE], 0)?,
        Err(errno) => return Err(errno.into()),
    }
    file.write_all_at(&[MAGIC, boot_id()?.as_slice()].concat(), 0)
}

/// Which boot this is (random(4)): 36 characters.
pub(super) fn boot_id() -> io::Result<Vec<u8>> {
    let mut id = fs::read("/proc/sys/kernel/random/boot_id")?;
    id.truncate(SLOTS_AT - MAGIC.len());
    id.truncate(id.trim_ascii_end().len());
    Ok(id)
}

/// The first page of a file, in memory.
#[derive(Debug)]
struct Page(NonNull<[AtomicU32; WORDS]>);

// SAFETY: the page is mapped until the value is dropped, on whatever thread, and is reached as atomics alone.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// The file has to have the page already.
    fn map(file: &File) -> io::Result<Page> {
        // `POPULATE`, so that the first call does not pay for the fault.
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: the kernel chooses the address, so that nothing of this process is mapped over; what is there is reached
        // through `Page` alone, which unmaps it once.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), PAGE, access, flags, file, 0) }?;
        NonNull::new(start.cast()).map(Page).ok_or_else(|| ErrorKind::OutOfMemory.into())
    }

    fn slot(&self, slot: usize) -> &AtomicU32 {
        // SAFETY: `map` made it of a mapping of PAGE bytes, readable and writable, aligned to a page, which is there until the drop of
        // `self`; the file has as many bytes, and nobody shortens it. Any bits are an `AtomicU32`, and every access is one.
        let words = unsafe { self.0.as_ref() };
        &words[SLOTS_AT / size_of::<AtomicU32>() + slot]
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping of `map`, of PAGE bytes; no reference into it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), PAGE) };
        debug_assert_eq!(unmapped, Ok(()), "it was mapped as it is unmapped");
    }
}

#[cfg(test)]
mod tests;
