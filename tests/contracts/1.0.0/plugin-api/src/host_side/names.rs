//! What names may be, in one place for plugins, metrics and collectors.
#![forbid(unsafe_code)]

/// The most bytes of a name. It is a JSON key in every line written.
pub const MAX_NAME_BYTES: usize = 64;

/// The collector that is the agent itself.
pub const AGENT: &str = "agent";

/// The keys of a snapshot beside its sections: no collector may be named so.
pub const ENVELOPE: [&str; 5] = ["timestamp", "host", "run", "sequence", "labels"];

/// What [`is_name`] admits, for messages.
pub const NAME: &str = "a to z, then a to z, 0 to 9 and _, at most 64 bytes";

/// What [`is_dotted_name`] admits, for messages.
pub const DOTTED_NAME: &str =
    "names of a to z, 0 to 9 and _ that begin with a letter, with dots between, at most 64 bytes";

/// What [`collector_name_fault`] admits, for messages.
pub const COLLECTOR_NAME: &str = "a to z, then a to z, 0 to 9, _ and -, at most 64 bytes";

/// Whether this is a name: `[a-z][a-z0-9_]*`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    is_made_of(text, b"_")
}

/// Whether these are names with dots between.
#[must_use]
pub fn is_dotted_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && text.split('.').all(is_name)
}

/// Whether this is a name that may have `-` too, as sections and sinks are named.
#[must_use]
pub fn is_dashed_name(text: &str) -> bool {
    is_made_of(text, b"_-")
}

/// Why a collector may not have this name; collectors may have `-` too.
#[must_use]
pub fn collector_name_fault(name: &str) -> Option<&'static str> {
    if name == AGENT {
        Some("is the name of the agent's own collector")
    } else if ENVELOPE.contains(&name) {
        Some("is a key of the snapshot itself")
    } else if !is_dashed_name(name) {
        Some("is not a name")
    } else {
        None
    }
}

fn is_made_of(text: &str, more: &[u8]) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.contains(&byte);
    first && text.len() <= MAX_NAME_BYTES && text.bytes().all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_begin_with_a_letter_and_have_64_bytes() {
        assert!(is_name("bytes_recv") && is_name("a0") && is_name(&"a".repeat(64)));
        assert!(
            ["", "A", "0a", "_a", "a-b", "a.b", "ä"].iter().all(|name| !is_name(name)) && !is_name(&"a".repeat(65))
        );
        assert!(is_dotted_name("connections.tcp") && is_dotted_name("a"));
        assert!(["a..b", ".a", "a.", "a.0", ""].iter().all(|name| !is_dotted_name(name)));
    }

    #[test]
    fn collector_may_have_a_dash_but_no_key_of_the_snapshot() {
        assert_eq!(collector_name_fault("uplink-2"), None);
        assert!(
            ["agent", "host", "labels", "run", "sequence", "timestamp", "_x", "A", ""]
                .iter()
                .all(|name| collector_name_fault(name).is_some())
        );
    }
}
