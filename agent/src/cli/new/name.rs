//! Whether a plugin may be named so, and how else.
#![forbid(unsafe_code)]

use plugin_api::host_side::names::{self, MAX_NAME_BYTES};

/// Why a plugin may not have this name, with one that it may have.
pub(super) fn fault(name: &str) -> Option<String> {
    let why = match names::collector_name_fault(name) {
        // A collector may have a dash, a plugin may not.
        None if names::is_name(name) => return None,
        None => "is not a name",
        Some(why) => why,
    };
    let rule = format!("`{name}` {why}: {}", names::NAME);
    Some(match mended(name) {
        Some(mended) => format!("{rule}; `{mended}` would do"),
        None => rule,
    })
}

/// The nearest that is a name.
fn mended(name: &str) -> Option<String> {
    let words = name.split(|one: char| !one.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("_").to_ascii_lowercase();
    let mut mended = joined.trim_start_matches(|one: char| !one.is_ascii_lowercase()).to_owned();
    mended.truncate(MAX_NAME_BYTES);
    if names::collector_name_fault(&mended).is_some() {
        mended.push_str("_metrics");
    }
    names::is_name(&mended).then_some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_is_none_is_refused_with_one_that_is() {
        for (name, proposed) in [
            ("../x", "x"),
            ("a-b", "a_b"),
            ("CPU", "cpu"),
            ("7 of nine.so", "of_nine_so"),
            ("_", ""),
            ("größe", "gr_e"),
            ("日本", ""),
            ("", ""),
            ("agent", "agent_metrics"),
            ("Host", "host_metrics"),
            (&"x".repeat(100), &"x".repeat(64)),
            ("../../etc/passwd\u{1b}[2J", "etc_passwd_2j"),
        ] {
            let said = fault(name).unwrap();
            let told = said.rsplit_once("; `").map_or("", |(_, rest)| rest.strip_suffix("` would do").unwrap());
            assert_eq!(told, proposed, "{said}");
            assert!(proposed.is_empty() || fault(proposed).is_none());
        }
    }

    #[test]
    fn words_of_a_language_are_names_as_any_other() {
        assert!(["type", "self", "int", "test", "main", "x"].iter().all(|name| fault(name).is_none()));
    }
}
