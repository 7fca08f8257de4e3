//! The scalars of a section: `name value unit` cells in as many columns as the width allows, read downwards like a
//! list. Names with dots stand under what they have in common, and texts apart from numbers, which would stand far
//! apart in a column with a long text.

use super::held::Held;
use super::line::{Line, Style, width};
use super::value::{Shown, Width, is_text, labels, worth_showing};
use crate::snapshot::Section;

/// Before everything in a section.
const INDENT: usize = 2;
/// Between two columns.
const GAP: usize = 3;
/// Between a name and its value.
const TO_VALUE: usize = 2;

struct Item<'a> {
    label: &'a str,
    shown: Shown,
    width: Width,
}

/// Items that stand together.
struct Group<'a> {
    /// What their names have in common, without the last dot; empty for names without dots.
    prefix: &'a str,
    is_text: bool,
    items: Vec<Item<'a>>,
}

/// The lines of a section's scalars.
pub fn lines(section: &Section, screen: usize, held: &mut Held) -> Vec<Line> {
    let metrics = &section.schema.manifest.metrics;
    let places = worth_showing(metrics, &section.schema.metrics);
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (&place, label) in places.iter().zip(labels(metrics, &places)) {
        let (metric, cell) = (&metrics[place], section.frame.cells()[place]);
        let (prefix, label) = label.rsplit_once('.').unwrap_or(("", label));
        let shown = Shown::of(metric, cell, &section.frame, (screen / 2).max(8));
        let width = held.widest((section.place, None, place), shown.width());
        let is_text = is_text(metric);
        let item = Item { label, shown, width };
        match groups.iter_mut().find(|group| group.prefix == prefix && group.is_text == is_text) {
            Some(group) => group.items.push(item),
            None => groups.push(Group { prefix, is_text, items: vec![item] }),
        }
    }
    // Prefixes stand to the left of their items, under each other, where that leaves enough room.
    let lead = groups.iter().map(|group| width(group.prefix)).max().unwrap_or(0);
    let lead = if lead > 0 && lead <= screen / 4 { lead + TO_VALUE } else { 0 };
    let mut lines = Vec::new();
    for group in &groups {
        let mut from = INDENT;
        let mut first = indented(INDENT);
        if !group.prefix.is_empty() {
            first.put(Style::Heading, group.prefix);
            from += if lead == 0 { INDENT } else { lead };
            if lead == 0 {
                lines.push(std::mem::replace(&mut first, indented(from)));
            }
        }
        flow(&group.items, first, from, screen, &mut lines);
    }
    lines
}

fn indented(by: usize) -> Line {
    let mut line = Line::default();
    line.pad(by);
    line
}

/// Items in columns from a place on, as few lines as there can be; the first has been begun.
fn flow(items: &[Item<'_>], first: Line, from: usize, screen: usize, lines: &mut Vec<Line>) {
    let (mut height, mut columns) = (1, columns(items, 1));
    while height < items.len() && from + total(&columns) > screen {
        height += 1;
        columns = self::columns(items, height);
    }
    let begun = std::iter::once(first).chain(std::iter::repeat_with(|| indented(from)));
    for (row, mut line) in begun.take(height).enumerate() {
        let mut at = from;
        for (nth, (label, value)) in columns.iter().enumerate() {
            let Some(item) = items.get(nth * height + row) else { break };
            line.pad(at);
            line.put(Style::Plain, item.label);
            line.pad(at + label + TO_VALUE);
            put(&mut line, &item.shown, *value);
            at += label + TO_VALUE + value.total() + GAP;
        }
        lines.push(line);
    }
}

/// The widths of label and value in each column of so many lines.
fn columns(items: &[Item<'_>], height: usize) -> Vec<(usize, Width)> {
    let widest = |column: &[Item<'_>]| {
        let label = column.iter().map(|item| width(item.label)).max().unwrap_or(0);
        (label, column.iter().map(|item| item.width).fold(Width::default(), Width::max))
    };
    items.chunks(height).map(widest).collect()
}

fn total(columns: &[(usize, Width)]) -> usize {
    let widths: usize = columns.iter().map(|(label, value)| label + TO_VALUE + value.total()).sum();
    widths + GAP * columns.len().saturating_sub(1)
}

/// Puts a value into so much room: numbers end where the units begin, texts begin at the left.
pub fn put(line: &mut Line, shown: &Shown, room: Width) {
    let (from, needs) = (line.width(), shown.width());
    if !shown.is_text {
        line.pad(from + room.text.saturating_sub(needs.text));
    }
    line.put(shown.style, &shown.text);
    line.put(shown.style, &shown.unit);
    line.pad(from + room.total());
}
