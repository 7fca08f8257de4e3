//! PerfWatch, a host metrics agent. See `perfwatch --help`.
#![deny(unsafe_code)]

use perfwatch::{cli, stop};

fn main() {
    let code = cli::main();
    // Not `std::process::exit`: it would run destructors of libraries beside threads that may be stuck in them.
    stop::exit(code);
}
