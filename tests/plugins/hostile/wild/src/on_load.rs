//! What the library does while it is loaded: the name of the thread that loads it says so, which in a child is the
//! collector's own.

use std::fs;

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
        "load_thread" => drop(std::thread::spawn(|| super::hang())),
        _ => {}
    }
}
