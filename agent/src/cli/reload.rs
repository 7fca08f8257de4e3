//! `perfwatch reload`: the running agent reads its configuration and its plugins anew. Waits until it has.

use super::{Invocation, ask};
use crate::control::wire::Request;

/// The exit code is that of the agent, as if it started: 78 where it refuses the configuration, 69 a required plugin.
pub(super) fn reload(invocation: &Invocation) -> u8 {
    ask::told(invocation, &Request::Reload)
}
