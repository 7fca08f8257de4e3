//! Counts the allocations of a process from below: preloaded, it stands in front of the C library's allocator, so that it sees the
//! agent's, every plugin's and the C library's own, of all threads.
//!
//!     PERFWATCH_ALLOC_COUNT=/tmp/count LD_PRELOAD=liballoc_count.so perfwatch run
//!
//! The file that `PERFWATCH_ALLOC_COUNT` names becomes four 64-bit words in the machine's byte order, mapped and so readable at any
//! moment: allocations, bytes asked for, and of the latest one its size and its thread. It is made when the process starts; allocations
//! before that count for nothing. Children that inherit the environment count into the same file.
//!
//! It passes on to `__libc_malloc` and its like, which glibc exports for this, and not to what dlsym(RTLD_NEXT) finds: dlsym
//! itself allocates, and the first allocation of a process would have to be served from a buffer of ours.
#![allow(clippy::missing_safety_doc)]

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

const WORDS: usize = 4;
const EINVAL: c_int = 22;
const ENOMEM: c_int = 12;

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(old: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int;
    fn ftruncate(file: c_int, size: c_long) -> c_int;
    fn mmap(at: *mut c_void, size: usize, access: c_int, flags: c_int, file: c_int, offset: c_long) -> *mut c_void;
    fn close(file: c_int) -> c_int;
    fn gettid() -> c_int;
}

/// The mapped words; null until the process has started.
static COUNTS: AtomicPtr<[AtomicU64; WORDS]> = AtomicPtr::new(null_mut());

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    const NAME: &CStr = c"PERFWATCH_ALLOC_COUNT";
    const READ_WRITE_CREATE_CLOEXEC: c_int = 0o2 | 0o100 | 0o2_000_000;
    const PROT_READ_WRITE: c_int = 1 | 2;
    const MAP_SHARED: c_int = 1;
    let bytes = size_of::<[AtomicU64; WORDS]>();
    // SAFETY: the strings end with a zero byte, `getenv` is called before any thread could change the environment, and the pointer that
    // mmap gives is to `bytes` bytes, page-aligned, and stays mapped until the process ends.
    unsafe {
        let path = getenv(NAME.as_ptr());
        if path.is_null() {
            return;
        }
        let file = open(path, READ_WRITE_CREATE_CLOEXEC, 0o600);
        if file < 0 || ftruncate(file, bytes as c_long) != 0 {
            return;
        }
        let mapped = mmap(null_mut(), bytes, PROT_READ_WRITE, MAP_SHARED, file, 0);
        close(file);
        if mapped as isize != -1 {
            COUNTS.store(mapped.cast(), Ordering::Release);
        }
    }
}

fn count(size: usize) {
    let counts = COUNTS.load(Ordering::Acquire);
    if counts.is_null() {
        return;
    }
    // SAFETY: it was stored by `start`, which maps this many words for good; all access to them is atomic.
    let [allocations, bytes, last_size, last_thread] = unsafe { &*counts };
    allocations.fetch_add(1, Ordering::Relaxed);
    bytes.fetch_add(size as u64, Ordering::Relaxed);
    last_size.store(size as u64, Ordering::Relaxed);
    // SAFETY: it has no preconditions.
    last_thread.store(unsafe { gettid() } as u64, Ordering::Relaxed);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count(size);
    // SAFETY: the caller's call, passed on as it came; so in all that follow.
    unsafe { __libc_malloc(size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(number: usize, size: usize) -> *mut c_void {
    count(number.saturating_mul(size));
    // SAFETY: as above.
    unsafe { __libc_calloc(number, size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
    count(size);
    // SAFETY: as above.
    unsafe { __libc_realloc(old, size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    count(size);
    // SAFETY: as above.
    unsafe { __libc_memalign(alignment, size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    count(size);
    // SAFETY: as above.
    unsafe { __libc_memalign(alignment, size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(made: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*mut c_void>()) {
        return EINVAL;
    }
    count(size);
    // SAFETY: `made` is the caller's place for the pointer, as posix_memalign(3) demands.
    unsafe {
        let memory = __libc_memalign(alignment, size);
        if memory.is_null() {
            return ENOMEM;
        }
        *made = memory;
    }
    0
}
