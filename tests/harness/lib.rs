//! Runs the real agent with real libraries, each in a folder of its own.
//!
//! Promises: what a test starts ends with it, on success and on failure; nothing outside of the test's folder is written; every wait
//! has a deadline, and says what it waited for and what the agent said until then. No test measures time.

mod allocations;
mod built;
mod golden;
pub mod jsonb;
mod running;
mod site;
mod strict;

use std::time::Duration;

pub use allocations::Allocations;
pub use built::{Built, Paths, build, built, root};
pub use golden::{golden, pretty};
pub use running::{Finished, Running};
pub use site::Site;

/// How long anything is waited for. Ten times what the slowest step takes on a busy machine of two cores; only a failing test waits so long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Whether the test may pass without doing its work, for want of `what`. Where `CI` is set it may not: there every test has to run.
///
/// # Panics
/// In CI.
#[expect(clippy::print_stdout, reason = "a test's own output, which its runner catches")]
pub fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is needed where every test has to run");
    println!("skipped: needs {what}");
}
