//! One fault type for every TOML text we read: manifests and configs alike.
//!
//! Promises that a fault can be jumped to by an editor (`FILE:LINE:COLUMN: message`), shows the line itself, what is
//! allowed there and what was probably meant. Refuses to stop at the first fault: whoever checks collects them all.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Write as _;

pub use super::sources::{Origin, Sources};

/// The most words among which the nearest is looked for: a hostile manifest may have thousands of faults among thousands of
/// words.
const MAX_KNOWN: usize = 256;

/// The most words that are listed as allowed: what fits some lines.
const MAX_LISTED: usize = 32;

/// The most faults that are shown of one set. Past it, what is wrong is the file and not a line of it.
pub const MAX_SHOWN_FAULTS: usize = 100;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is marked.
    pub origin: Origin,
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// What is allowed there.
    pub allowed: Option<String>,
    /// What was probably meant.
    pub meant: Option<String>,
}

impl Fault {
    /// A fault with nothing but a message.
    pub fn new(origin: Origin, message: impl Into<String>) -> Fault {
        Fault { origin, message: message.into(), allowed: None, meant: None }
    }

    /// Says what is allowed.
    #[must_use]
    pub fn allowed(self, allowed: impl Into<String>) -> Fault {
        Fault { allowed: Some(allowed.into()), ..self }
    }

    /// Says which of the known words was probably meant, where one is near, and which there are.
    #[must_use]
    pub fn among<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Fault {
        let known: Vec<&str> = known.into_iter().take(MAX_KNOWN).collect();
        let meant = closest(word, &known).map(str::to_owned);
        let mut allowed = known[..known.len().min(MAX_LISTED)].join(", ");
        if known.len() > MAX_LISTED {
            allowed.push_str(", …");
        } else if known.is_empty() {
            allowed.push_str("nothing, as none is declared");
        }
        Fault { meant, allowed: Some(allowed), ..self }
    }

    /// The fault as lines of text, the last without a newline.
    #[must_use]
    pub fn render(&self, sources: &Sources) -> String {
        let mut text = on_its_line(&format!("{}: {}", sources.place(self.origin), self.message)).into_owned();
        let mut margin = String::from("  ");
        if let Some(shown) = sources.line(self.origin) {
            let number = if shown.numbered { shown.number.to_string() } else { String::new() };
            margin = format!("  {:1$}", "", number.len());
            push(&mut text, format_args!("\n  {number} | {}", shown.text));
            if let Some((before, marked)) = shown.marked {
                push(&mut text, format_args!("\n{margin} | {:before$}{}", "", "^".repeat(marked)));
            }
        }
        if let Some(allowed) = &self.allowed {
            push(&mut text, format_args!("\n{margin} | allowed: {}", on_its_line(allowed)));
        }
        if let Some(meant) = &self.meant {
            push(&mut text, format_args!("\n{margin} | did you mean `{}`?", on_its_line(meant)));
        }
        text
    }
}

/// Words of a file and names of variables are quoted in faults, and anything can be in them: a line's end would forge another fault.
fn on_its_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = |one: char| if one.is_control() { format!("\\u{:04x}", u32::from(one)) } else { one.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes all that is written to it");
}

/// All faults, in the order of their places, each followed by a newline; past [`MAX_SHOWN_FAULTS`] only their number.
#[must_use]
pub fn render_all(faults: &[Fault], sources: &Sources) -> String {
    let mut ordered: Vec<&Fault> = faults.iter().collect();
    ordered.sort_by_key(|fault| fault.origin);
    let mut text = String::new();
    for fault in ordered.iter().take(MAX_SHOWN_FAULTS) {
        text.push_str(&fault.render(sources));
        text.push('\n');
    }
    if let Some(more) = faults.len().checked_sub(MAX_SHOWN_FAULTS).filter(|more| *more > 0) {
        push(&mut text, format_args!("and {more} more\n"));
    }
    text
}

/// The nearest of the known words, if it is near: one slip in three letters.
#[must_use]
pub fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let bound = (word.chars().count() / 3).max(1);
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(word, known), *known));
    near.filter(|(distance, _)| *distance <= bound).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: usize, end: usize) -> Origin {
        Origin { source: 0, start, end }
    }

    #[test]
    fn fault_shows_place_line_mark_what_is_allowed_and_what_was_meant() {
        let sources = Sources::of("a.toml", "[agent]\n  intervall = \"5s\"\n");
        let fault = Fault::new(at(10, 19), "unknown key `intervall`").among("intervall", ["collect", "interval"]);
        let expected = "\
a.toml:2:3: unknown key `intervall`
  2 |   intervall = \"5s\"
    |   ^^^^^^^^^
    | allowed: collect, interval
    | did you mean `interval`?";
        assert_eq!(fault.render(&sources), expected);
    }

    #[test]
    fn quoted_line_end_does_not_make_another_fault() {
        let sources = Sources::of("a.toml", "a = \"x\\ny\"\n");
        let shown = Fault::new(at(4, 10), "no word `x\ny`").among("x\ny", ["x\nz"]).render(&sources);
        assert_eq!(shown.lines().count(), 5, "{shown}");
        assert!(shown.starts_with("a.toml:1:5: no word `x\\u000ay`\n"), "{shown}");
    }

    #[test]
    fn list_of_what_is_allowed_has_a_bound() {
        let known: Vec<String> = (0..5000).map(|at| format!("word{at}")).collect();
        let fault = Fault::new(at(0, 1), "bad").among("word1", known.iter().map(String::as_str));
        assert_eq!(fault.allowed.unwrap().split(", ").count(), MAX_LISTED + 1);
    }

    #[test]
    fn variable_has_no_line_number_and_an_empty_file_no_line() {
        let mut sources = Sources::of("gone.toml", "");
        let variable = sources.add_variable("PERFWATCH__AGENT__INTERVAL", "5x");
        assert_eq!(Fault::new(at(0, 0), "could not read").render(&sources), "gone.toml: could not read");
        let origin = Origin { source: variable, start: 0, end: 2 };
        let shown = Fault::new(origin, "not a duration").render(&sources);
        assert_eq!(shown, "$PERFWATCH__AGENT__INTERVAL: not a duration\n   | 5x\n   | ^^");
    }

    #[test]
    fn faults_are_told_in_the_order_of_their_places_and_bounded() {
        let sources = Sources::of("a.toml", "a\nb\n");
        let mut faults = vec![Fault::new(at(2, 3), "second"), Fault::new(at(0, 1), "first")];
        let text = render_all(&faults, &sources);
        assert!(text.find("first").unwrap() < text.find("second").unwrap(), "{text}");
        faults.resize(MAX_SHOWN_FAULTS + 7, faults[0].clone());
        assert!(render_all(&faults, &sources).ends_with("and 7 more\n"));
    }

    #[test]
    fn long_line_is_cut_and_a_mark_past_the_cut_left_out() {
        let sources = Sources::of("a.toml", "x".repeat(1000));
        let shown = Fault::new(at(900, 901), "bad").render(&sources);
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(shown.chars().count() < 200, "{shown}");
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(closest("intervl", &["timeout", "interval"]), Some("interval"));
        assert_eq!(closest("colour", &["timeout", "interval"]), None);
    }
}
