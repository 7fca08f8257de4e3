//! Text that came from elsewhere, made fit for a terminal. Names of files, variables and plugins are whatever somebody chose:
//! an escape sequence in one could retitle a window, answer for the keyboard or hide a line of the log.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::Path;

/// Whether a character commands a terminal, or reorders or hides text: controls of both sets, line separators, marks of
/// direction, what has no width, tags.
#[must_use]
pub fn is_harmful(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(one, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with what is harmful written as `\u001b`, which a string of JSON and of TOML reads back. Lines and tabs stay.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    // Tags take two such escapes in JSON and another one in TOML, and do nothing but hide.
    let escaped = |one: char| is_harmful(one) && one.len_utf16() == 1 && one != '\n' && one != '\t';
    if !text.contains(escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for one in text.chars() {
        if escaped(one) { escape(one, &mut out) } else { out.push(one) }
    }
    Cow::Owned(out)
}

/// A path on one line, whatever its name.
#[must_use]
pub fn path(path: &Path) -> impl fmt::Display + '_ {
    let shown = path.to_string_lossy();
    match shown.contains(['\n', '\t']) {
        false => shown,
        true => Cow::Owned(shown.replace('\n', "\\u000a").replace('\t', "\\u0009")),
    }
}

/// A path as a shell takes it for one word: whoever named it may not have meant well.
#[must_use]
pub fn word(path: &Path) -> String {
    let shown = self::path(path).to_string();
    let is_plain = |one: char| one.is_alphanumeric() || "/._-+@:,%=".contains(one);
    if shown.chars().all(is_plain) { shown } else { format!("'{}'", shown.replace('\'', "'\\''")) }
}

fn escape(one: char, out: &mut String) {
    write!(out, "\\u{:04x}", u32::from(one)).expect("a string takes all that is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_escaped_as_json_and_toml_do() {
        let hostile = "a\u{1b}[31m\r\u{9b}1m\u{202e}b\n\tc";
        let shown = text(hostile);
        assert_eq!(shown, "a\\u001b[31m\\u000d\\u009b1m\\u202eb\n\tc");
        assert_eq!(
            serde_json::from_str::<String>(&format!("\"{}\"", shown.replace("\n\t", ""))).unwrap(),
            hostile.replace("\n\t", "")
        );
    }

    #[test]
    fn text_without_harm_is_not_copied() {
        assert!(matches!(text("größer: 日本 🙂\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn path_stays_on_its_line() {
        assert_eq!(path(Path::new("/a\nERROR b.so")).to_string(), "/a\\u000aERROR b.so");
    }
}
