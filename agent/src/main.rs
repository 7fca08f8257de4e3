//! PerfWatch, a host metrics agent. See `perfwatch --help`.
#![deny(unsafe_code)]

use perfwatch::{child, cli, resident, stop};

fn main() {
    // Before anything else: this process may be one of the agent's children, which lives in there.
    let code = child::enter().unwrap_or_else(|| {
        resident::begin();
        cli::main()
    });
    // Not `std::process::exit`: it would run destructors of libraries beside threads that may be stuck in them.
    stop::exit(code);
}
