//! Readings for tests: written cell by cell as a plugin would, honest or not, and checked.

use std::sync::Arc;

use plugin_api::abi::{Note, RowHead, Text};
use plugin_api::host_side::check::Check;
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::manifest::{Manifest, Metric};
use plugin_api::{Cell, IntoCell};

use super::{Schema, Section};

/// A reading being written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it means.
    pub schema: Arc<Schema>,
    /// The scalars, then those of the rows.
    pub cells: Vec<Cell>,
    /// Its rows.
    pub rows: Vec<RowHead>,
    /// What failed.
    pub notes: Vec<Note>,
    /// Its texts.
    pub text: Vec<u8>,
}

/// The schema of a manifest without its first three lines, with every option on.
pub fn schema(rest: &str) -> Arc<Schema> {
    let text = format!("contract = \"1.0\"\n[plugin]\nname = \"mock\"\ndescription = \"d\"\n{rest}");
    let manifest = Manifest::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    Arc::new(Schema::new(Arc::new(manifest), |_| true))
}

fn place(metrics: &[Metric], name: &str) -> usize {
    metrics.iter().position(|metric| metric.name == name).unwrap_or_else(|| panic!("{name} is not declared"))
}

impl Draft {
    /// A reading in which nothing is known.
    pub fn new(schema: &Arc<Schema>) -> Draft {
        let cells = vec![Cell::NULL; schema.manifest.metrics.len()];
        Draft { schema: Arc::clone(schema), cells, rows: Vec::new(), notes: Vec::new(), text: Vec::new() }
    }

    /// Sets a scalar.
    pub fn set(mut self, metric: &str, value: impl IntoCell) -> Draft {
        let place = place(&self.schema.manifest.metrics, metric);
        self.cells[place] = value.into_cell();
        self
    }

    /// Sets a scalar that is text.
    pub fn set_text(mut self, metric: &str, text: &str) -> Draft {
        let place = place(&self.schema.manifest.metrics, metric);
        self.cells[place] = self.text_cell(text.as_bytes());
        self
    }

    /// Appends a row.
    pub fn row(mut self, table: &str, keys: &[&str], columns: &[(&str, Cell)]) -> Draft {
        let number = self.schema.manifest.tables.iter().position(|declared| declared.name == table);
        let number = number.unwrap_or_else(|| panic!("table {table} is not declared"));
        self.rows.push(RowHead { table: number as u32, first: self.cells.len() as u32 });
        for key in keys {
            let key = self.text_cell(key.as_bytes());
            self.cells.push(key);
        }
        let first = self.cells.len();
        let schema = Arc::clone(&self.schema);
        let declared = &schema.manifest.tables[number].columns;
        self.cells.resize(first + declared.len(), Cell::NULL);
        for (column, cell) in columns {
            self.cells[first + place(declared, column)] = *cell;
        }
        self
    }

    /// Says that the last row failed.
    pub fn row_failed(mut self, message: &str) -> Draft {
        let (row, message) = (self.rows.last().expect("a row").first, self.text_place(message.as_bytes()));
        self.notes.push(Note { row, subject: Text::default(), message });
        self
    }

    /// Says that a part failed.
    pub fn part_failed(mut self, part: &str, message: &str) -> Draft {
        let (subject, message) = (self.text_place(part.as_bytes()), self.text_place(message.as_bytes()));
        self.notes.push(Note { row: Note::PART, subject, message });
        self
    }

    fn text_place(&mut self, text: &[u8]) -> Text {
        self.text.extend_from_slice(text);
        Text { offset: (self.text.len() - text.len()) as u32, len: text.len() as u32 }
    }

    /// A cell of a text.
    pub fn text_cell(&mut self, text: &[u8]) -> Cell {
        let place = self.text_place(text);
        Cell::text(place.offset, place.len)
    }

    /// The frame, after the check.
    pub fn frame(&self) -> Frame {
        let mut frame = Frame::new(Limits::default());
        frame.begin(self.schema.shape.scalars.len());
        frame.receive(&self.cells, &self.rows, &self.notes, &self.text);
        Check::default().pass(&mut frame, &self.schema.shape);
        frame
    }

    /// A section of it.
    pub fn section(&self, name: &str, place: usize) -> Section {
        let mut section = Section::new(name.into(), place, Arc::clone(&self.schema), Limits::default());
        section.frame = self.frame();
        section
    }
}
