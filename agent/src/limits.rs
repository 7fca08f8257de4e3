//! How many descriptors the agent may have open: as many as the system lets it, up to a bound. The one file that raises a limit.
//!
//! The usual limit is 1024, which is there for programs that call select(2); here nothing does. A held file a core, a sealed copy a
//! library and a line to each child are more than that on a machine with a thousand of any of them: the first collector would
//! take all, and every other fail. The limit of the operator is the hard one, and stands.
#![forbid(unsafe_code)]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Twenty times what 1000 libraries or 1000 cores take (2 and 1 each); what leaks is still stopped before it is the whole system's.
const DESCRIPTORS_MAX: u64 = 65_536;

/// Raises the limit on open descriptors as far as it may be. The log may not be there yet.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let most = maximum.map_or(DESCRIPTORS_MAX, |hard| hard.min(DESCRIPTORS_MAX));
    if current.is_some_and(|soft| soft < most) {
        // Up to the hard limit everybody may. In a sandbox that forbids even that, what is there has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum });
    }
}
