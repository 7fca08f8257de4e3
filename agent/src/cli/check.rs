//! `perfwatch check`: the configuration and the plugins, without running plugin code.

use super::{Invocation, code, print};

pub(super) fn check(invocation: &Invocation) -> u8 {
    let setup = match invocation.setup() {
        Ok(setup) => setup,
        Err(code) => return code,
    };
    super::remark(&setup);
    // A file that a start would leave out is a fault to whoever asks.
    if !setup.config.left_out().is_empty() {
        return code::CONFIG;
    }
    if let Err(error) = setup.can_run() {
        return super::refuse(&error);
    }
    // A start goes on without them; whoever checks wants to know.
    if setup.plan.failed().next().is_some() || !setup.found.faults.is_empty() {
        return code::UNAVAILABLE;
    }
    let (collectors, sinks) = (setup.plan.collectors.len(), setup.plan.sinks.len());
    let s = |count| if count == 1 { "" } else { "s" };
    print(&format!("ok: {collectors} collector{}, {sinks} sink{}\n", s(collectors), s(sinks)))
}
