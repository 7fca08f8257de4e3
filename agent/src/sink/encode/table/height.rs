//! What goes on a screen that is not high enough: the rows of long tables, each with how many more there are; then the
//! columns that a narrow screen has put into blocks of their own; then what stands at the bottom, by name. What comes
//! first in the configuration is what its owner wants to see.

use std::collections::BTreeSet;

use super::line::{Line, Style};
use super::rows::Grid;
use super::section::Drawn;

/// Tables are not cut to fewer rows than these while there is something below them: the bottom is cut instead.
const ROWS_LEAST: usize = 3;

/// The lines of a frame of so many lines at most.
pub fn fit(mut sections: Vec<Drawn>, height: Option<usize>) -> Vec<Line> {
    let longest = sections.iter().flat_map(|section| &section.grids).map(|grid| grid.total).max().unwrap_or(0);
    let Some(height) = height else { return all(sections, longest).lines };
    if needs(&sections, ROWS_LEAST) > height {
        sections.iter_mut().flat_map(|section| &mut section.grids).for_each(Grid::narrow);
    }
    // The height grows with the rows a table, and it is one of a screen: a search by halves ends in a few steps.
    let (mut rows, mut more) = (ROWS_LEAST.min(longest), longest.min(height.max(ROWS_LEAST)));
    while rows < more {
        let middle = (rows + more).div_ceil(2);
        if needs(&sections, middle) <= height { rows = middle } else { more = middle - 1 }
    }
    let mut all = all(sections, rows);
    if all.lines.len() > height {
        all.cut(height.saturating_sub(1));
    }
    all.lines
}

/// How many lines it takes with so many rows a table.
fn needs(sections: &[Drawn], rows: usize) -> usize {
    let grids = sections.iter().flat_map(|section| &section.grids);
    let blocks =
        |grid: &Grid| grid.blocks.iter().map(|block| block.head.len() + block.rows.len().min(rows)).sum::<usize>();
    let of_grids: usize = grids.map(|grid| blocks(grid) + usize::from(grid.total > rows)).sum();
    of_grids + sections.iter().map(|section| section.lines.len()).sum::<usize>()
}

/// All lines, from top to bottom.
#[derive(Default)]
struct All {
    lines: Vec<Line>,
    /// The places of the headings of something.
    headings: BTreeSet<usize>,
    /// Where each section ends.
    ends: Vec<(usize, String)>,
}

impl All {
    /// Leaves so many lines and says what they were that went.
    fn cut(&mut self, mut leave: usize) {
        // Headings of nothing are no use.
        while leave > 0 && self.headings.contains(&(leave - 1)) {
            leave -= 1;
        }
        let left = self.lines.len() - leave;
        self.lines.truncate(leave);
        let names: Vec<&str> =
            self.ends.iter().filter(|(end, _)| *end > leave).map(|(_, name)| name.as_str()).collect();
        let mut line = Line::default();
        line.put(Style::Quiet, &format!("… {left} more lines: {}", names.join(", ")));
        self.lines.push(line);
    }
}

fn all(sections: Vec<Drawn>, rows: usize) -> All {
    let mut all = All::default();
    for section in sections {
        if section.lines.len() + section.grids.len() > 1 {
            all.headings.insert(all.lines.len());
        }
        all.lines.extend(section.lines);
        for grid in section.grids {
            for block in grid.blocks {
                if !block.rows.is_empty() {
                    all.headings.extend(all.lines.len()..all.lines.len() + block.head.len());
                }
                all.lines.extend(block.head);
                all.lines.extend(block.rows.into_iter().take(rows));
            }
            if grid.total > rows {
                let mut line = Line::default();
                line.put(Style::Quiet, &format!("  … {} more", grid.total - rows));
                all.lines.push(line);
            }
        }
        all.ends.push((all.lines.len(), section.name));
    }
    all
}
