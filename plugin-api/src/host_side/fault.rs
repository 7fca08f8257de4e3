//! One fault type for every TOML text we read: manifests and configs alike.
//!
//! Promises that a fault can be jumped to by an editor (`FILE:LINE:COLUMN: message`), shows the line itself, what is
//! allowed there and what was probably meant, and that the text of a secret is never shown. Refuses to stop at the first
//! one: whoever checks collects them all.

use std::fmt::Write as _;

/// The most characters of a line that are shown: enough for any line a person wrote.
const MAX_SHOWN_CHARS: usize = 160;

/// The most faults that are shown of one set. Past it, what is wrong is the file and not a line of it.
pub const MAX_SHOWN_FAULTS: usize = 100;

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
        let known: Vec<&str> = known.into_iter().collect();
        let meant = closest(word, &known).map(str::to_owned);
        let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Fault { meant, allowed: Some(allowed), ..self }
    }

    /// The fault as lines of text, the last without a newline.
    #[must_use]
    pub fn render(&self, sources: &Sources) -> String {
        let mut text = format!("{}: {}", sources.place(self.origin), self.message);
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
            push(&mut text, format_args!("\n{margin} | allowed: {allowed}"));
        }
        if let Some(meant) = &self.meant {
            push(&mut text, format_args!("\n{margin} | did you mean `{meant}`?"));
        }
        text
    }
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

/// The texts that origins point into, and which parts of them are secrets.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    list: Vec<Source>,
    secrets: Vec<Origin>,
}

#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: String,
    numbered: bool,
}

struct Line {
    number: usize,
    numbered: bool,
    text: String,
    /// Characters before the mark, and marked ones; absent where the mark lies past what is shown.
    marked: Option<(usize, usize)>,
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
        self.push(Source { name: name.into(), text: text.into(), numbered: true })
    }

    /// Adds a value of the environment, which has no lines, and gives its number.
    pub fn add_variable(&mut self, name: &str, value: impl Into<String>) -> usize {
        self.push(Source { name: format!("${name}"), text: value.into(), numbered: false })
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

    fn line(&self, origin: Origin) -> Option<Line> {
        let source = self.list.get(origin.source).filter(|source| !source.text.is_empty())?;
        let (number, start) = line_of(&source.text, origin.start);
        let line = source.text[start..].split('\n').next().unwrap_or_default();
        let mut text = String::new();
        let (mut before, mut marked) = (0, 0);
        for (at, character) in line.char_indices().map(|(at, character)| (start + at, character)) {
            let inside = |hidden: &&Origin| hidden.source == origin.source && (hidden.start..hidden.end).contains(&at);
            let shown = match self.secrets.iter().find(inside) {
                Some(hidden) if hidden.start == at || at == start => "***".chars().collect(),
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

/// The number of the line that holds this byte, and where the line starts.
fn line_of(text: &str, byte: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, start)
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
