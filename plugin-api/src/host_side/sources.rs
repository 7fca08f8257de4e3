//! The texts that faults point into, and how a line of them is shown.
//!
//! Promises that the text of a secret is never shown: what was checked as one is hidden by its place, and before anything is
//! checked, in a fault of syntax, what stands behind a key that sounds like one.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::ops::Range;

/// The most characters of a line that are shown: enough for any line a person wrote.
const MAX_SHOWN_CHARS: usize = 160;

/// What the name of a key holds whose value is probably a secret.
const SECRETIVE: [&str; 6] = ["token", "secret", "passw", "passphrase", "credential", "_key"];

/// Where a key or value was written: a source of a [`Sources`] and a byte range in its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The source's number, as [`Sources::add`] gave it.
    pub source: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// The texts that origins point into, and which parts of them are secrets.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    list: Vec<Source>,
    secrets: Vec<Origin>,
}

#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: Cow<'static, str>,
    numbered: bool,
}

/// A line as it is shown.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) numbered: bool,
    pub(super) text: String,
    /// Characters before the mark, and marked ones; absent where the mark lies past what is shown.
    pub(super) marked: Option<(usize, usize)>,
}

impl Sources {
    /// The one source of a text read alone, such as a manifest; its number is 0.
    pub fn of(name: impl Into<String>, text: impl Into<String>) -> Sources {
        let mut sources = Sources::default();
        sources.add(name, text);
        sources
    }

    /// Adds a file and gives its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        self.push(Source { name: name.into(), text: Cow::Owned(text.into()), numbered: true })
    }

    /// Adds a text of the program's own, which is not copied, and gives its number.
    pub fn add_own(&mut self, name: impl Into<String>, text: &'static str) -> usize {
        self.push(Source { name: name.into(), text: Cow::Borrowed(text), numbered: true })
    }

    /// Adds a value of the environment, which has no lines, and gives its number.
    pub fn add_variable(&mut self, name: &str, value: impl Into<String>) -> usize {
        self.push(Source { name: format!("${name}"), text: Cow::Owned(value.into()), numbered: false })
    }

    fn push(&mut self, source: Source) -> usize {
        self.list.push(source);
        self.list.len() - 1
    }

    /// How many there are: the number of the next.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// From now on what lies there is shown as `***`.
    pub fn hide(&mut self, origin: Origin) {
        self.secrets.push(origin);
    }

    /// The name of the source: a path, or `$VARIABLE`.
    #[must_use]
    pub fn name(&self, source: usize) -> &str {
        self.list.get(source).map_or("unknown source", |source| source.name.as_str())
    }

    /// The text of the source.
    #[must_use]
    pub fn text(&self, source: usize) -> &str {
        self.list.get(source).map_or("", |source| &*source.text)
    }

    /// Takes over the sources of another, whose numbers are then greater by what this gives.
    pub fn append(&mut self, other: Sources) -> usize {
        let by = self.list.len();
        self.list.extend(other.list);
        self.secrets.extend(other.secrets.into_iter().map(|at| Origin { source: at.source + by, ..at }));
        by
    }

    /// `FILE:LINE:COLUMN`, both from 1 and the column in characters; only the name where the text is empty or has no lines.
    #[must_use]
    pub fn place(&self, origin: Origin) -> String {
        match self.list.get(origin.source) {
            Some(source) if source.numbered && !source.text.is_empty() => {
                let (number, start) = line_of(&source.text, origin.start);
                let column = source.text.get(start..origin.start).map_or(0, |before| before.chars().count()) + 1;
                format!("{}:{number}:{column}", source.name)
            }
            _ => self.name(origin.source).to_owned(),
        }
    }

    pub(super) fn line(&self, origin: Origin) -> Option<Line> {
        let source = self.list.get(origin.source).filter(|source| !source.text.is_empty())?;
        let (number, start) = line_of(&source.text, origin.start);
        let line = source.text[start..].split('\n').next().unwrap_or_default();
        let mut text = String::new();
        let (mut before, mut marked) = (0, 0);
        let likely = if source.numbered { probable_secrets(line) } else { Vec::new() };
        let likely = likely.iter().map(|range| (start + range.start, start + range.end));
        let hidden: Vec<(usize, usize)> = self
            .secrets
            .iter()
            .filter(|secret| secret.source == origin.source)
            .map(|secret| (secret.start, secret.end))
            .chain(likely)
            .collect();
        for (at, character) in line.char_indices().map(|(at, character)| (start + at, character)) {
            let inside = hidden.iter().filter(|(start, end)| (*start..*end).contains(&at));
            // Of those that overlap, the first one stands for all.
            let shown = match inside.map(|(start, _)| *start).min() {
                Some(first) if first == at || at == start => "***".chars().collect(),
                Some(_) => Vec::new(),
                None if character.is_control() => vec![' '],
                None => vec![character],
            };
            if at < origin.start {
                before += shown.len();
            } else if at < origin.end {
                marked += shown.len();
            }
            text.extend(shown);
        }
        let marked = (before <= MAX_SHOWN_CHARS).then(|| (before, marked.clamp(1, MAX_SHOWN_CHARS + 1 - before)));
        if let Some((cut, _)) = text.char_indices().nth(MAX_SHOWN_CHARS) {
            text.truncate(cut);
            text.push('…');
        }
        Some(Line { number, numbered: source.numbered, text: text.trim_end().to_owned(), marked })
    }
}

/// Where the values stand in a line whose keys sound like secrets, up to the end of a string or of what may be one.
fn probable_secrets(line: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (at, _) in line.match_indices('=') {
        if ranges.last().is_some_and(|last| last.contains(&at)) {
            continue;
        }
        let key = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let key = key.rsplit(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap_or(key);
        let key = key.to_lowercase();
        if key.ends_with("_file") || !SECRETIVE.iter().any(|word| key.contains(word)) {
            continue;
        }
        let value = line[at + 1..].trim_start();
        let start = line.len() - value.len();
        let ends = match value.chars().next() {
            _ if value.starts_with("\"\"\"") || value.starts_with("\'\'\'") => None,
            Some(quote @ ('"' | '\'')) => end_of_string(value, quote),
            Some('[' | '{') => None,
            _ => value.find([',', '}']),
        };
        ranges.push(start..ends.map_or(line.len(), |end| start + end));
    }
    ranges
}

/// One past the quote that ends a string of one line.
fn end_of_string(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let ends = |(_, character): &(usize, char)| {
        let ends = *character == quote && !escaped;
        escaped = quote == '"' && *character == '\\' && !escaped;
        ends
    };
    value.char_indices().skip(1).find(ends).map(|(at, _)| at + 1)
}

/// The number of the line that holds this byte, and where the line starts.
fn line_of(text: &str, byte: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, start)
}

#[cfg(test)]
mod tests {
    use super::super::fault::Fault;
    use super::*;

    fn at(start: usize, end: usize) -> Origin {
        Origin { source: 0, start, end }
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let sources = Sources::of("a.toml", "ü = 1");
        assert_eq!(sources.place(at(3, 4)), "a.toml:1:3");
    }

    #[test]
    fn secret_is_not_shown_even_in_the_fault_of_a_neighbour() {
        let text = "o = { token = \"hunter2\", x = 1 }";
        let mut sources = Sources::of("a.toml", text);
        sources.hide(at(14, 23));
        let shown = Fault::new(at(25, 26), "unknown key `x`").render(&sources);
        assert_eq!(shown, "a.toml:1:26: unknown key `x`\n  1 | o = { token = ***, x = 1 }\n    |                    ^");
        assert!(!Fault::new(at(14, 23), "bad").render(&sources).contains("hunter2"));
    }

    #[test]
    fn what_sounds_like_a_secret_is_not_shown_before_anything_is_checked() {
        let shown = |text: &str| Fault::new(at(0, 1), "bad").render(&Sources::of("a.toml", text));
        for text in [
            "token = \"hunter2",
            "x = { api_key = 'hunter2', y = 1 }",
            "auth.\"password\" = hunter2",
            "PASSWORD = [\"hunter2\", \"hunter2\"]",
            "token = \"\\\"hunter2\", y = ",
            "token = \"\"\"hunter2\"\"\"",
        ] {
            let shown = shown(text);
            assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        }
        assert!(shown("x = { api_key = 'hunter2', y = 1 }").contains("api_key = ***, y = 1 }"));
        assert!(shown("token_file = \"/run/x\"").contains("/run/x"));
        assert!(shown("interval = \"tokens\"").contains("tokens"));
    }
}
