//! Capabilities, capabilities(7): none but the granted, in all five sets.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::Policy;

/// Drops them; the words of what is lacking.
pub(super) fn draw(policy: &Policy) -> rustix::io::Result<Option<String>> {
    if policy.without.capabilities {
        return Ok(Some("capabilities cannot be dropped here: a child has all that the agent has".to_owned()));
    }
    let granted = CapabilitySet::from_bits_retain(policy.capabilities);
    // The bounding set first: dropping from it needs CAP_SETPCAP.
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(one) {
            // The last that this kernel knows is behind us.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
            Ok(true) if !granted.contains(one) => match remove_capability_from_bounding_set(one) {
                // Without CAP_SETPCAP it stays, and gives nothing: under no_new_privs no program gets more than its parent has.
                Ok(()) | Err(Errno::PERM) => {}
                Err(errno) => return Err(errno),
            },
            Ok(_) => {}
        }
    }
    let CapabilitySets { effective, permitted, inheritable } = capabilities(None)?;
    let sets = CapabilitySets {
        effective: effective & granted,
        permitted: permitted & granted,
        inheritable: inheritable & granted,
    };
    // The ambient set follows by itself: the kernel keeps it within permitted and inheritable.
    set_capabilities(None, sets)?;
    Ok(None)
}

/// The bit of a capability's name as `reads` writes it: `sys_ptrace`.
pub(super) fn bit(name: &str) -> Option<u64> {
    CapabilitySet::from_name(&name.to_ascii_uppercase()).map(|one| one.bits())
}
