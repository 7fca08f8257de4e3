//! The table of a terminal, for a person who watches a host.
//!
//! Draws any plugin from its manifest alone. Keeps the last section of each collector, since not all are due at every
//! tick, and says how old it is. One that is pending or skipped keeps what it had; one that failed shows why, and
//! nothing of what no longer holds. A person reads a frame a second: it may allocate.
//!
//! Live, a frame is drawn over the one before with the cursor at home, and the last line ends in a newline: however the
//! process ends, the prompt comes below the frame. No alternate screen and no hidden cursor, which a killed process
//! would leave behind. The terminal is one of UTF-8.

mod height;
mod held;
pub(crate) mod line;
mod rows;
mod scalars;
mod section;
#[cfg(test)]
mod tests;
pub(crate) mod unit;
pub(crate) mod value;

use std::sync::Arc;
use std::time::Duration;

use held::Held;
use line::{Line, Style};

use crate::snapshot::{Event, EventKind, Section, Snapshot, Status, Wall};

/// How long the header tells of what happened: long enough for eyes that were elsewhere.
const TOLD_FOR: Duration = Duration::from_secs(60);
/// Narrower and lower than this it is drawn as if it were this large, and the terminal cuts it.
const SCREEN_LEAST: (usize, usize) = (20, 4);

/// How large a frame may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// In columns.
    pub width: usize,
    /// In lines; none where it scrolls.
    pub height: Option<usize>,
}

/// Draws snapshots for a person.
#[derive(Debug)]
pub struct Table {
    colour: bool,
    live: bool,
    /// By the place of the collector.
    collectors: Vec<Option<Kept>>,
    /// The places of all who are there, in their order.
    roster: Arc<[usize]>,
    header: Option<Header>,
    happened: Option<(Wall, String)>,
    held: Held,
    drawn: bool,
}

/// What is kept of a collector.
#[derive(Debug)]
struct Kept {
    /// Its last section.
    told: Arc<Section>,
    /// The last one with metrics, while they count.
    reading: Option<Arc<Section>>,
}

/// What is kept of the last snapshot.
#[derive(Debug)]
struct Header {
    at: Wall,
    who: String,
    sequence: u64,
}

impl Table {
    /// A table, in colour or not; drawn in place where it is live, else one below the other.
    pub fn new(colour: bool, live: bool) -> Table {
        Table {
            colour,
            live,
            collectors: Vec::new(),
            roster: Arc::default(),
            header: None,
            happened: None,
            held: Held::default(),
            drawn: false,
        }
    }

    /// Whether it is drawn in place, on a screen of some height.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Takes a snapshot in without drawing it. `gap` were lost before it.
    pub fn take(&mut self, snapshot: &Snapshot, gap: u64) {
        let mut who = snapshot.identity.host.clone().unwrap_or_else(|| "perfwatch".to_owned());
        for (name, value) in &snapshot.identity.labels {
            who.push_str(&format!(" {name}={value}"));
        }
        self.header = Some(Header { at: snapshot.timestamp, who, sequence: snapshot.sequence });
        let lost = (gap > 0).then(|| plural(gap, "snapshot", "lost"));
        // That the agent started is no news to who has just started it.
        let is_news =
            |event: &&Event| event.kind != EventKind::Start || event.cause.is_some() || event.collector.is_some();
        let events = snapshot.events.iter().filter(is_news);
        let told: Vec<String> = lost.into_iter().chain(events.map(tell)).collect();
        if !told.is_empty() {
            self.happened = Some((snapshot.timestamp, told.join("; ")));
        }
        if !Arc::ptr_eq(&self.roster, &snapshot.roster) {
            self.roster = Arc::clone(&snapshot.roster);
            for (place, slot) in self.collectors.iter_mut().enumerate() {
                // Who has left is not shown any more.
                slot.take_if(|_| !self.roster.contains(&place));
            }
        }
        for section in &snapshot.sections {
            if self.collectors.len() <= section.place {
                self.collectors.resize_with(section.place + 1, || None);
            }
            let slot = &mut self.collectors[section.place];
            let before = slot.take().filter(|kept| kept.told.name == section.name && is_open(section.status));
            let before = before.and_then(|kept| kept.reading);
            let reading = if section.status.has_metrics() { Some(Arc::clone(section)) } else { before };
            *slot = Some(Kept { told: Arc::clone(section), reading });
        }
    }

    /// Appends a drawing of all that has been taken in.
    pub fn draw(&mut self, screen: Screen, out: &mut Vec<u8>) {
        let (width, height) =
            (screen.width.max(SCREEN_LEAST.0), screen.height.map(|height| height.max(SCREEN_LEAST.1)));
        self.held.begin(width);
        let Some(header) = &self.header else { return };
        let mut lines = vec![self.header_line(header, width)];
        // What is not on the screen need not be drawn.
        let rows_max = height.unwrap_or(usize::MAX);
        let (at, held) = (header.at, &mut self.held);
        let collectors = &self.collectors;
        let sections = self
            .roster
            .iter()
            .filter_map(|&place| collectors.get(place)?.as_ref())
            .map(|kept| section::draw(&kept.told, kept.reading.as_deref(), at, width, rows_max, held));
        let sections = sections.collect();
        // One line is the header's, and one is below the last newline.
        lines.extend(height::fit(sections, height.map(|height| height - 2)));
        self.frame(&lines, width, height, out);
    }

    fn header_line(&self, header: &Header, screen: usize) -> Line {
        let mut line = Line::default();
        line.put(Style::Bold, &header.who);
        line.put(Style::Plain, &format!("  {}  #{}", value::moment(header.at.0), header.sequence));
        if let Some((at, what)) = &self.happened
            && header.at.since(*at) < TOLD_FOR
        {
            let what = format!("{} {what}", section::clock(*at));
            let room = screen.saturating_sub(line.width() + 2);
            let what = line::cut(&what, room);
            line.pad(screen.saturating_sub(line::width(&what)));
            line.put(Style::Warning, &what);
        }
        line
    }

    fn frame(&mut self, lines: &[Line], width: usize, height: Option<usize>, out: &mut Vec<u8>) {
        if !self.live {
            // Apart from the one before.
            if std::mem::replace(&mut self.drawn, true) {
                out.push(b'\n');
            }
            for line in lines {
                line.write(width, self.colour, out);
                out.push(b'\n');
            }
            return;
        }
        if !std::mem::replace(&mut self.drawn, true) {
            // What stands on the screen moves up, where a person finds it again.
            out.extend(std::iter::repeat_n(b'\n', height.unwrap_or(1)));
        }
        // Home, and no wrapping while the frame is written: where a width was misjudged, a line is cut and not two.
        out.extend_from_slice(b"\x1b[H\x1b[?7l");
        for line in lines {
            // A full line has nothing to clear, and some terminals would clear its last character.
            if line.write(width, self.colour, out) < width {
                out.extend_from_slice(b"\x1b[K");
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\x1b[J\x1b[?7h");
    }
}

/// Whether a section of this status leaves open how the collector is: what was read before still counts.
const fn is_open(status: Status) -> bool {
    matches!(status, Status::Pending | Status::Skipped)
}

/// An event in words.
fn tell(event: &Event) -> String {
    if let (EventKind::Missed, Some(count), None) = (event.kind, event.count, &event.collector) {
        return format!("missed {count} {}", if count == 1 { "tick" } else { "ticks" });
    }
    let mut text = String::new();
    if let Some(collector) = &event.collector {
        text.push_str(&format!("{collector} "));
    }
    text.push_str(event.kind.word());
    if let Some(count) = event.count {
        text.push_str(&format!(" {count}×"));
    }
    match (&event.from, &event.to) {
        (None, None) => {}
        (from, to) => {
            let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "–".to_owned());
            text.push_str(&format!(" {} → {}", word(from), word(to)));
        }
    }
    if let Some(cause) = &event.cause {
        text.push_str(&format!(": {cause}"));
    }
    text
}

fn plural(count: u64, noun: &str, what: &str) -> String {
    format!("{count} {noun}{} {what}", if count == 1 { "" } else { "s" })
}
