//! A table of a section: the keys first, then a column a metric, headings over them.
//!
//! Where the width does not hold all columns under headings of one line, headings are folded at an underscore; where
//! that is not enough either, the rest follows as a second block under the same keys. Nothing that was measured is
//! hidden because a terminal is narrow: only its height cuts, and says so.

use plugin_api::abi::RowHead;
use plugin_api::host_side::manifest::Source;

use super::held::Held;
use super::line::{Line, Style, width};
use super::scalars::put;
use super::value::{Shown, Width, is_text, labels, worth_showing};
use crate::snapshot::Section;

/// Before everything in a section.
const INDENT: usize = 2;
/// Between two columns.
const GAP: usize = 2;
/// Behind the headings where there are more.
const MARK: &str = " …";
/// Keys have places of their own among the widths that are held.
const KEY: usize = 1 << 16;

/// Some columns of a table.
#[derive(Debug, Default)]
pub struct Block {
    /// The headings.
    pub head: Vec<Line>,
    /// The rows.
    pub rows: Vec<Line>,
}

/// A table.
#[derive(Debug)]
pub struct Grid {
    /// Its blocks, of the same rows.
    pub blocks: Vec<Block>,
    /// How many rows there are, whether or not they have been drawn.
    pub total: usize,
}

impl Grid {
    /// Leaves out all blocks but the first.
    pub fn narrow(&mut self) {
        if self.blocks.len() > 1 {
            self.blocks.truncate(1);
            let heading = self.blocks.last_mut().and_then(|block| block.head.last_mut());
            heading.into_iter().for_each(|line| line.put(Style::Quiet, MARK));
        }
    }
}

struct Column<'a> {
    heading: &'a str,
    is_text: bool,
    values: Vec<Shown>,
    width: Width,
}

impl Column<'_> {
    fn width(&self, folded: bool) -> usize {
        let (upper, lower) = if folded { fold(self.heading) } else { ("", self.heading) };
        self.width.total().max(width(upper)).max(width(lower))
    }
}

/// A heading in two lines, as narrow as there can be; the upper is empty where it has no underscore.
fn fold(heading: &str) -> (&str, &str) {
    let breaks = heading.match_indices('_').map(|(place, _)| (&heading[..place], &heading[place + 1..]));
    breaks.min_by_key(|(upper, lower)| width(upper).max(width(lower))).unwrap_or(("", heading))
}

/// The table of this place in the manifest; no more than so many rows of it are drawn.
pub fn grid(section: &Section, place: usize, screen: usize, rows_max: usize, held: &mut Held) -> Grid {
    let (table, exists) = (&section.schema.manifest.tables[place], &section.schema.tables[place]);
    let all = section.frame.rows_of(place);
    let rows = &all[..all.len().min(rows_max)];
    if rows.is_empty() {
        let mut line = Line::default();
        line.pad(INDENT);
        line.put(Style::Quiet, &format!("{}: none", table.name));
        return Grid { blocks: vec![Block { head: vec![line], rows: Vec::new() }], total: all.len() };
    }
    let (keys, cells) = (table.keys.len(), section.frame.cells());
    // One key has a third of the screen at most, two have half of it: the rest is for what was measured.
    let key_max = (screen / (2 + keys)).max(4);
    let text_max = (screen / 4).max(8);
    let mut column = |place_held: usize, heading, is_text, values: Vec<Shown>| {
        let needs = values.iter().map(Shown::width).fold(Width::default(), Width::max);
        let width = held.widest((section.place, Some(place), place_held), needs);
        Column { heading, is_text, values, width }
    };
    let mut columns = Vec::new();
    for (nth, key) in table.keys.iter().enumerate() {
        let key_of = |row| Shown::key(section.frame.text_of(section.frame.keys(row, keys)[nth]), key_max);
        columns.push(column(KEY + nth, key, true, rows.iter().map(|&row| key_of(row)).collect()));
    }
    let places = worth_showing(&table.columns, &exists.columns);
    for (&at, label) in places.iter().zip(labels(&table.columns, &places)) {
        let metric = &table.columns[at];
        let of = |row: &RowHead| cells[row.first as usize + keys + at];
        // What nothing here reports, as a frequency in a virtual machine. What is derived comes with the next reading.
        let is_reported = matches!(metric.source, Source::Reported);
        if is_reported && all.iter().all(|row| of(row).is_null()) {
            continue;
        }
        let values = rows.iter().map(|row| Shown::of(metric, of(row), &section.frame, text_max)).collect();
        columns.push(column(at, label, is_text(metric), values));
    }
    Grid { blocks: blocks(&columns, keys, screen, rows.len()), total: all.len() }
}

fn blocks(columns: &[Column<'_>], keys: usize, screen: usize, rows: usize) -> Vec<Block> {
    let room = |columns: &[Column<'_>], folded| {
        columns.iter().fold(INDENT, |sum, column| sum + column.width(folded) + GAP).saturating_sub(GAP)
    };
    let folded = room(columns, false) > screen;
    let screen = if room(columns, folded) > screen { screen - width(MARK) } else { screen };
    let (keys, mut rest) = columns.split_at(keys);
    let mut blocks = Vec::new();
    loop {
        let (mut taken, mut at) = (0, room(keys, folded));
        while taken < rest.len() && (taken == 0 || at + GAP + rest[taken].width(folded) <= screen) {
            at += GAP + rest[taken].width(folded);
            taken += 1;
        }
        let (these, others) = rest.split_at(taken);
        let columns: Vec<&Column<'_>> = keys.iter().chain(these).collect();
        blocks.push(block(&columns, folded, rows));
        rest = others;
        if rest.is_empty() {
            return blocks;
        }
    }
}

fn block(columns: &[&Column<'_>], folded: bool, rows: usize) -> Block {
    let mut block = Block::default();
    if folded && columns.iter().any(|column| !fold(column.heading).0.is_empty()) {
        block
            .head
            .push(line(columns, folded, |column, line, width| title(column, line, width, fold(column.heading).0)));
        block
            .head
            .push(line(columns, folded, |column, line, width| title(column, line, width, fold(column.heading).1)));
    } else {
        block.head.push(line(columns, folded, |column, line, width| title(column, line, width, column.heading)));
    }
    for row in 0..rows {
        block.rows.push(line(columns, folded, |column, line, width| {
            if !column.is_text {
                line.pad(line.width() + width - column.width.total());
            }
            put(line, &column.values[row], column.width);
        }));
    }
    block
}

fn title(column: &Column<'_>, line: &mut Line, room: usize, text: &str) {
    if !column.is_text {
        line.pad(line.width() + room - width(text));
    }
    line.put(Style::Heading, text);
}

fn line(columns: &[&Column<'_>], folded: bool, put: impl Fn(&Column<'_>, &mut Line, usize)) -> Line {
    let (mut line, mut at) = (Line::default(), INDENT);
    for column in columns {
        line.pad(at);
        let width = column.width(folded);
        put(column, &mut line, width);
        at += width + GAP;
    }
    line
}
