//! What the library does while it is loaded: the name of the thread that loads it says so, which in a child is the
//! collector's own.

use std::ffi::{c_int, c_void};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;

extern "C" fn on_load() {
    let name = fs::read_to_string("/proc/thread-self/comm").unwrap_or_default();
    match name.trim() {
        "load_hang" => super::hang(),
        "load_segv" => super::segv(),
        "load_overflow" => drop(super::overflow(0)),
        "load_exit_0" => std::process::exit(0),
        "load_exit_3" => std::process::exit(3),
        "load_panic" => panic!("lost my head while I was loaded"),
        "load_filter" => have_a_filter(),
        "load_thread" => drop(std::thread::spawn(|| super::hang())),
        _ => {}
    }
}

static FILTERED: AtomicBool = AtomicBool::new(false);

/// Has a thread draw a filter of system calls, so that nobody can draw another one for it. A thread of the system's, as one of
/// Rust's waits for the loader's lock.
fn have_a_filter() {
    let mut thread = 0;
    // SAFETY: no attributes, no argument, and a function that never comes back.
    unsafe { pthread_create(&mut thread, std::ptr::null(), filter, std::ptr::null_mut()) };
    while !FILTERED.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

extern "C" fn filter(_: *mut c_void) -> *mut c_void {
    /// linux/filter.h.
    #[repr(C)]
    struct Program {
        length: u16,
        steps: *const [u8; 8],
    }
    // BPF_RET | BPF_K of SECCOMP_RET_ALLOW.
    let step = [6, 0, 0, 0, 0, 0, 0xff, 0x7f];
    let program = Program { length: 1, steps: &step };
    // SAFETY: PR_SET_SECCOMP with SECCOMP_MODE_FILTER reads the program, which lives until it is back.
    unsafe { prctl(22, 2usize, &raw const program, 0usize, 0usize) };
    FILTERED.store(true, Ordering::Relaxed);
    loop {
        // SAFETY: it takes nothing.
        unsafe { pause() };
    }
}

unsafe extern "C" {
    fn pthread_create(
        thread: &mut usize,
        attributes: *const c_void,
        start: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn pause() -> c_int;
}
