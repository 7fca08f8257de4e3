//! What one collector shows: a heading with how it stands, then what it measured.

use plugin_api::abi::Note;

use super::held::Held;
use super::line::{Line, Style, width};
use super::rows::{self, Grid};
use super::scalars;
use super::unit;
use super::value::moment;
use crate::snapshot::{Section, Status, Wall};

/// How many failed parts a heading tells of; the rest is counted.
const NOTES_TOLD: usize = 4;

/// A section, drawn.
#[derive(Debug)]
pub struct Drawn {
    /// The section's name.
    pub name: String,
    /// The heading and the scalars.
    pub lines: Vec<Line>,
    /// The tables.
    pub grids: Vec<Grid>,
}

/// Draws a collector of which `told` is the last section and `reading` the last one with metrics that still counts.
pub fn draw(
    told: &Section,
    reading: Option<&Section>,
    now: Wall,
    screen: usize,
    rows_max: usize,
    held: &mut Held,
) -> Drawn {
    let mut drawn =
        Drawn { name: told.name.to_string(), lines: vec![heading(told, reading, now, screen)], grids: Vec::new() };
    let Some(reading) = reading else { return drawn };
    drawn.lines.extend(scalars::lines(reading, screen, held));
    for (place, table) in reading.schema.tables.iter().enumerate() {
        if table.exists {
            drawn.grids.push(rows::grid(reading, place, screen, rows_max, held));
        }
    }
    drawn
}

/// The name; how it stands, where that is not well; how old the reading is, where it is not of this tick.
fn heading(told: &Section, reading: Option<&Section>, now: Wall, screen: usize) -> Line {
    let mut line = Line::default();
    line.put(Style::Bold, &told.name);
    line.put(Style::Plain, " ");
    if told.status != Status::Ok {
        line.put(Style::Quiet, "── ");
        line.put(style(told.status), told.status.word());
        if let Some(since) = told.since {
            line.put(Style::Plain, &format!(" since {}", clock(since)));
        }
        for (nth, text) in causes(told).iter().enumerate() {
            line.put(Style::Plain, if nth == 0 { ": " } else { "; " });
            line.put(Style::Plain, text);
        }
        line.put(Style::Plain, " ");
    }
    let age = reading.and_then(|reading| reading.at).map_or(0, |at| now.since(at).as_secs_f64().round() as u64);
    let age = match age {
        0 => String::new(),
        1..60 => format!(" {age} s ago"),
        _ => format!(" {} ago", unit::said("s", age as f64)),
    };
    line.rule(screen.saturating_sub(width(&age)));
    line.put(Style::Quiet, &age);
    line
}

fn style(status: Status) -> Style {
    match status {
        Status::Ok => Style::Plain,
        Status::Unavailable => Style::Quiet,
        Status::Partial | Status::Pending | Status::Skipped => Style::Warning,
        Status::Failed | Status::Timeout | Status::Backoff | Status::Quarantined => Style::Failure,
    }
}

/// What went wrong: in all, then by part and row.
fn causes(section: &Section) -> Vec<String> {
    let mut causes = Vec::new();
    if !section.error.is_empty() {
        causes.push(section.error.clone());
    }
    if section.status.has_metrics() {
        let notes = section.frame.notes();
        causes.extend(notes.iter().take(NOTES_TOLD).map(|note| cause(section, note)));
        if notes.len() > NOTES_TOLD {
            causes.push(format!("… {} more", notes.len() - NOTES_TOLD));
        }
    }
    causes
}

fn cause(section: &Section, note: &Note) -> String {
    let (frame, tables) = (&section.frame, &section.schema.manifest.tables);
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let row = frame.rows().iter().find(|row| note.row != Note::PART && row.first == note.row);
    let subject = match row {
        Some(row) => {
            let keys: Vec<String> = frame.key_texts(*row, tables[row.table as usize].keys.len()).map(text).collect();
            keys.join("/")
        }
        None => text(frame.text_at(note.subject)),
    };
    format!("{subject}: {}", text(frame.text_at(note.message)))
}

/// The time of day.
pub fn clock(at: Wall) -> String {
    let text = moment(at.0);
    text.get(11..19).unwrap_or_default().to_owned()
}
