//! The keys of a collector's section, rendered once: what a line repeats at every tick is a copy of bytes.
//!
//! A section is a list of steps; each writes a piece of text and then what it names. Metric names with dots nest, so
//! the text between two values may close objects and open others.

use std::collections::BTreeMap;

use plugin_api::host_side::manifest::{Kind, Metric, ValueType};

use crate::snapshot::Schema;

/// How a cell is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// By its tag.
    Plain,
    /// The word of this index in this list of the plan's.
    Words(u32),
    /// RFC 3339, from nanoseconds since the epoch.
    Time,
}

/// What comes after a piece of text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// The scalar of this place.
    Scalar(u32, Form),
    /// The rows of this table.
    Table(u32),
}

/// Where a piece of text lies in that of the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Piece {
    from: u32,
    /// How long it is.
    pub bytes: u32,
}

/// A step of a section.
#[derive(Debug, PartialEq)]
pub struct Step {
    /// Written first: commas, keys, braces.
    pub text: Piece,
    /// Then this.
    pub value: Value,
}

/// A column of a row.
#[derive(Debug, PartialEq)]
pub struct Column {
    /// The key, with what comes before it.
    pub text: Piece,
    /// The place of the column.
    pub place: u32,
    /// How it is written.
    pub form: Form,
}

/// How the rows of a table are written.
#[derive(Debug, PartialEq)]
pub struct Rows {
    /// How many keys nest.
    pub keys: usize,
    /// The columns that are there.
    pub columns: Vec<Column>,
}

/// How the metrics of a section are written, each step with a comma before it. All of its text lies together, and what points into it is small: a
/// tick that comes once a second finds nothing of it in the nearest cache.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// With a block of zeros behind it.
    text: Vec<u8>,
    /// Lists of words.
    pub words: Vec<Vec<String>>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Closes what the steps have opened.
    pub end: Piece,
    /// By table.
    pub rows: Vec<Rows>,
}

/// How many bytes are copied at once: the key of nearly every metric, with the comma, quotes and colon around it.
pub const BLOCK: usize = 32;

/// A name's place among the objects: nested as the dots say, in the order of first appearance.
#[derive(Default)]
struct Node {
    order: Vec<String>,
    children: BTreeMap<String, Node>,
    value: Option<Value>,
}

impl Node {
    fn put(&mut self, name: &str, value: Value) {
        let mut node = self;
        for part in name.split('.') {
            if !node.children.contains_key(part) {
                node.order.push(part.to_owned());
            }
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.value = Some(value);
    }

    fn steps(self, text: &mut String, plan: &mut Plan, mut first: bool) {
        let mut children = self.children;
        for name in self.order {
            let Some(child) = children.remove(&name) else { continue };
            if !std::mem::replace(&mut first, false) {
                text.push(',');
            }
            text.push_str(&format!("\"{name}\":"));
            match child.value {
                Some(value) => {
                    let text = plan.keep(&std::mem::take(text));
                    plan.steps.push(Step { text, value });
                }
                None => {
                    text.push('{');
                    child.steps(text, plan, true);
                    text.push('}');
                }
            }
        }
    }
}

impl Plan {
    /// The plan of a schema.
    pub fn of(schema: &Schema) -> Plan {
        let manifest = &schema.manifest;
        let (mut plan, mut root) = (Plan::default(), Node::default());
        for (place, metric) in manifest.metrics.iter().enumerate() {
            if schema.metrics[place] && metric.json {
                root.put(&metric.name, Value::Scalar(place as u32, plan.form(metric)));
            }
        }
        for (place, table) in manifest.tables.iter().enumerate() {
            let exist = &schema.tables[place];
            if exist.exists {
                root.put(&table.name, Value::Table(place as u32));
            }
            let mut columns = Vec::new();
            for (place, column) in table.columns.iter().enumerate() {
                if exist.columns[place] && column.json {
                    let comma = if columns.is_empty() { "" } else { "," };
                    let text = plan.keep(&format!("{comma}\"{}\":", column.name));
                    columns.push(Column { text, place: place as u32, form: plan.form(column) });
                }
            }
            plan.rows.push(Rows { keys: table.keys.len(), columns });
        }
        let mut end = String::new();
        root.steps(&mut end, &mut plan, false);
        plan.end = plan.keep(&end);
        plan.text.extend([0; BLOCK]);
        plan
    }

    fn keep(&mut self, text: &str) -> Piece {
        let piece = Piece { from: self.text.len() as u32, bytes: text.len() as u32 };
        self.text.extend_from_slice(text.as_bytes());
        piece
    }

    fn form(&mut self, metric: &Metric) -> Form {
        match (&metric.kind, metric.value) {
            (Kind::State, _) => {
                self.words.push(metric.values.clone());
                Form::Words(self.words.len() as u32 - 1)
            }
            (Kind::Time, ValueType::U64) => Form::Time,
            _ => Form::Plain,
        }
    }

    /// A piece, and what happens to lie behind it; none of a piece that is longer than a block.
    #[inline]
    pub fn block(&self, piece: Piece) -> Option<&[u8; BLOCK]> {
        let fits = piece.bytes as usize <= BLOCK;
        self.text.get(piece.from as usize..).and_then(|text| text.first_chunk()).filter(|_| fits)
    }

    /// A piece.
    pub fn bytes(&self, piece: Piece) -> &[u8] {
        &self.text[piece.from as usize..][..piece.bytes as usize]
    }
}
