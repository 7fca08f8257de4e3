//! What stays in memory when there is no more use for it: what starting and reloading leave behind. [E madvise, the allocator's settings]
//!
//! Starting reads configuration and manifests, checks layouts and parses a command line: megabytes of code that run once, and heap that is
//! free again but torn. All of it stays resident until somebody lets go of it.
//!
//! Promises: nothing is lost. Of files only those parts are let go of that are mapped without a right to write and that the loader did not
//! relocate; the kernel brings back from its cache what is touched again. The price is some dozens of faults of 1 to 5 µs in the next ticks,
//! once a start or a reload. Refuses to do this in a program that embeds the agent, whose memory is its own.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{ptr, thread};

use libc::{Elf64_Phdr, PF_W, PT_DYNAMIC, PT_LOAD, dl_phdr_info};

/// Blocks of this size are mapped each for itself and go back when they are freed. It is glibc's own beginning; said, it stays, where glibc
/// would raise it to the largest block that was freed, and keep such blocks between small ones.
const MAPPED_BYTES: c_int = 128 << 10;

/// Entries of a dynamic section (elf(5)): its end, and the two ways to say that text is relocated, which is then in no file.
const DT_NULL: u64 = 0;
const DT_TEXTREL: u64 = 22;
const DT_FLAGS: u64 = 30;
const DF_TEXTREL: u64 = 4;

/// This process is the agent's own, or a child's.
static OURS: AtomicBool = AtomicBool::new(false);

/// This process is nobody else's.
pub fn own() {
    OURS.store(true, Ordering::Relaxed);
}

/// The same, and how it allocates, where it is the agent itself: before its first thread. A child allocates as its plugin may need it.
pub fn begin() {
    own();
    // SAFETY: mallopt(3) takes the allocator's own lock and has no other requirement. What it does not take, it leaves as it was.
    unsafe {
        // One arena: each thread has one otherwise, with torn pages of its own, and a steady tick asks none of them for anything.
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    }
}

/// Does this on a thread of its own, which takes with it what it needed of a stack and of the allocator's small blocks: 150 KiB for a start.
/// Where no thread is to be had, does it here.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let (mut work, mut done) = (Some(work), None);
    let begun = thread::scope(|scope| {
        let thread = thread::Builder::new().name("start".into());
        thread.spawn_scoped(scope, || done = work.take().map(|work| work())).map(thread::ScopedJoinHandle::join)
    });
    if let Ok(Err(panicked)) = begun {
        resume_unwind(panicked);
    }
    done.or_else(|| work.map(|work| work())).expect("either the thread has done it, or there was none")
}

/// Lets go of what has no use any more: heap that is free, and code and constants, of which comes back what is used.
pub fn let_go() {
    if !OURS.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: malloc_trim(3) takes the allocator's own locks and has no other requirement. dl_iterate_phdr(3) keeps its list as it is while it
    // calls `object`, which waits for nobody; no constructor runs under the lock that it holds.
    unsafe {
        libc::malloc_trim(0);
        libc::dl_iterate_phdr(Some(object), ptr::null_mut());
    }
}

/// Lets go of the read-only parts of a program or library.
unsafe extern "C" fn object(info: *mut dl_phdr_info, _size: usize, _data: *mut c_void) -> c_int {
    // SAFETY: the loader's own description of an object that is mapped, for the time of the call.
    let info = unsafe { &*info };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the loader gives the headers with their number, and they stay as long as the object.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let at = |header: &Elf64_Phdr| info.dlpi_addr + header.p_vaddr;
    let dynamic = headers.iter().find(|header| header.p_type == PT_DYNAMIC);
    // SAFETY: a mapped object's dynamic section, which DT_NULL ends.
    if dynamic.is_some_and(|header| unsafe { is_relocated(at(header) as *const [u64; 2]) }) {
        return 0;
    }
    let page = rustix::param::page_size() as u64;
    for header in headers.iter().filter(|header| header.p_type == PT_LOAD && header.p_flags & PF_W == 0) {
        let begin = at(header) / page * page;
        let bytes = (at(header) + header.p_memsz).next_multiple_of(page) - begin;
        // SAFETY: a part of the object that the loader mapped from its file, that nobody may write to and that is not relocated: each of
        // its pages holds what the file holds, before and after. Where the kernel refuses (the vDSO is of no file), nothing has changed.
        unsafe { libc::madvise(begin as *mut c_void, bytes as usize, libc::MADV_DONTNEED) };
    }
    0
}

/// Whether text or constants of an object are relocated.
///
/// # Safety
/// A dynamic section, which is mapped and ends.
unsafe fn is_relocated(mut entry: *const [u64; 2]) -> bool {
    loop {
        // SAFETY: not past the end, by the caller's word.
        let [tag, value] = unsafe { entry.read_unaligned() };
        match tag {
            DT_NULL => return false,
            DT_TEXTREL => return true,
            DT_FLAGS if value & DF_TEXTREL != 0 => return true,
            // SAFETY: there is one more, as this was not the end.
            _ => entry = unsafe { entry.add(1) },
        }
    }
}
