//! A line for a terminal: pieces of text with a style, measured in columns.
//!
//! [`Line::put`] is the only way to the screen, and it replaces what could command a terminal or reorder what stands
//! there: a plugin's texts come from file names, kernels and devices, and an escape sequence in one of them could
//! retitle a window, answer for the keyboard or hide a row.
//!
//! The rule of widths is simple on purpose: East Asian wide characters and emoji take two columns, combining marks
//! none, all others one. Scripts that a terminal shapes are off by some columns, and a line is never longer for that
//! than the screen: drawn live, the frame turns the terminal's wrapping off while it is written.

use crate::harmless::is_harmful;

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Not at all.
    Plain,
    /// The name of a section.
    Bold,
    /// A heading within one.
    Heading,
    /// What a reader may pass over: nothing known, nothing happening.
    Quiet,
    /// Look here.
    Warning,
    /// Something is wrong.
    Failure,
}

impl Style {
    /// The parameters of its SGR sequence: of the 16 colours that every theme defines.
    const fn code(self) -> Option<&'static str> {
        match self {
            Style::Plain => None,
            Style::Bold => Some("1"),
            Style::Heading => Some("36"),
            Style::Quiet => Some("2"),
            Style::Warning => Some("33"),
            Style::Failure => Some("31"),
        }
    }
}

/// A line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    spans: Vec<(Style, String)>,
    width: usize,
}

impl Line {
    /// How many columns it takes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Appends a text, with everything in it made harmless.
    pub fn put(&mut self, style: Style, text: &str) {
        match self.spans.last_mut() {
            Some((last, _)) if *last == style => {}
            _ => self.spans.push((style, String::with_capacity(text.len()))),
        }
        let Some((_, span)) = self.spans.last_mut() else { return };
        for one in text.chars() {
            let (one, width) = harmless(one);
            span.push(one);
            self.width += width;
        }
    }

    /// Appends blanks up to a column.
    pub fn pad(&mut self, to: usize) {
        self.fill(Style::Plain, " ", to);
    }

    /// Appends a rule up to a column.
    pub fn rule(&mut self, to: usize) {
        self.fill(Style::Quiet, "─", to);
    }

    fn fill(&mut self, style: Style, with: &str, to: usize) {
        if to > self.width {
            self.put(style, &with.repeat(to - self.width));
        }
    }

    /// Writes it, cut to a width and without blanks at its end, and tells how many columns it took.
    pub fn write(&self, width: usize, colour: bool, out: &mut Vec<u8>) -> usize {
        let is_cut = self.width > width;
        let (room, mut taken) = (if is_cut { width.saturating_sub(1) } else { width }, 0);
        let ends = self.spans.iter().rposition(|(_, text)| !text.trim_end().is_empty()).map_or(0, |last| last + 1);
        for (nth, (style, text)) in self.spans[..ends].iter().enumerate() {
            let text = if nth + 1 == ends { text.trim_end() } else { text };
            let (fits, fits_width) = prefix(text, room - taken);
            match style.code().filter(|_| colour && !fits.trim_end().is_empty()) {
                Some(code) => {
                    for part in ["\x1b[", code, "m", fits, "\x1b[0m"] {
                        out.extend_from_slice(part.as_bytes());
                    }
                }
                None => out.extend_from_slice(fits.as_bytes()),
            }
            taken += fits_width;
            if fits.len() < text.len() {
                break;
            }
        }
        if is_cut && width > 0 {
            out.extend_from_slice("…".as_bytes());
            taken += 1;
        }
        taken
    }
}

/// How many columns a text takes, made harmless.
pub fn width(text: &str) -> usize {
    text.chars().map(|one| harmless(one).1).sum()
}

/// A text of so many columns at most, with a mark where it was cut.
pub fn cut(text: &str, at_most: usize) -> String {
    if width(text) <= at_most {
        return text.to_owned();
    }
    format!("{}…", prefix(text, at_most.saturating_sub(1)).0)
}

/// The same, cut in its middle: what tells one path from another is at its end.
pub fn cut_middle(text: &str, at_most: usize) -> String {
    if width(text) <= at_most {
        return text.to_owned();
    }
    let room = at_most.saturating_sub(1);
    let (head, head_width) = prefix(text, room.div_ceil(2));
    let mut tail = text.len();
    let mut left = room - head_width;
    for (place, one) in text.char_indices().rev() {
        let width = harmless(one).1;
        if width > left {
            break;
        }
        (tail, left) = (place, left - width);
    }
    format!("{head}…{}", &text[tail..])
}

/// As much of the text as fits, and what it takes.
fn prefix(text: &str, at_most: usize) -> (&str, usize) {
    let mut taken = 0;
    for (place, one) in text.char_indices() {
        let width = harmless(one).1;
        if taken + width > at_most {
            return (&text[..place], taken);
        }
        taken += width;
    }
    (text, taken)
}

/// A character as it is shown, and how many columns it takes.
fn harmless(one: char) -> (char, usize) {
    match one {
        ' '..='~' => (one, 1),
        _ if is_harmful(one) => ('\u{fffd}', 1),
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' => (one, 0),
        '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' => (one, 0),
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' => (one, 2),
        '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' => (one, 2),
        '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1f64f}' => (one, 2),
        '\u{1f680}'..='\u{1f6ff}' | '\u{1f900}'..='\u{1f9ff}' | '\u{20000}'..='\u{3fffd}' => (one, 2),
        _ => (one, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &Line, width: usize, colour: bool) -> String {
        let mut out = Vec::new();
        line.write(width, colour, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_commands_a_terminal_or_reorders_text_gets_through() {
        let mut line = Line::default();
        line.put(Style::Plain, "a\x1b[2Jb\x07\r\n\t\u{9b}1m\u{202e}c\u{7f}\u{200b}");
        let shown = written(&line, 80, false);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert_eq!(shown, "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}1m\u{fffd}c\u{fffd}\u{fffd}");
        assert_eq!(line.width(), width(&shown));
    }

    #[test]
    fn wide_characters_take_two_columns_and_are_not_cut_in_half() {
        assert_eq!((width("日本"), width("e\u{301}"), width("🙂")), (4, 1, 2));
        assert_eq!((cut("日本語", 4), cut_middle("日本語日本", 7)), ("日…".into(), "日…日本".into()));
        assert_eq!(cut_middle("/var/lib/overlay/9f3c", 11), "/var/…/9f3c");
        let mut line = Line::default();
        line.put(Style::Plain, "日本語");
        assert_eq!(written(&line, 4, false), "日…");
        assert_eq!(written(&line, 6, false), "日本語");
    }

    #[test]
    fn a_line_is_cut_to_the_width_and_styled_only_with_colour() {
        let mut line = Line::default();
        line.put(Style::Bold, "cpu");
        line.put(Style::Failure, " failed");
        assert_eq!(written(&line, 80, false), "cpu failed");
        assert_eq!(written(&line, 80, true), "\x1b[1mcpu\x1b[0m\x1b[31m failed\x1b[0m");
        assert_eq!(written(&line, 5, true), "\x1b[1mcpu\x1b[0m …");
        line.pad(40);
        assert_eq!(written(&line, 80, false), "cpu failed");
        assert_eq!(written(&line, 0, false), "");
    }
}
