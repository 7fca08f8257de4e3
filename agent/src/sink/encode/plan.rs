//! The keys of a collector's section, rendered once: what a line repeats at every tick is a copy of bytes.
//!
//! A section is a list of steps; each writes a piece of text and then what it names. Metric names with dots nest, so
//! the text between two values may close objects and open others.

use std::collections::BTreeMap;

use plugin_api::host_side::manifest::{Kind, Metric, ValueType};

use crate::snapshot::Schema;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// By its tag.
    Plain,
    /// The word of this index among the values of the metric.
    Word,
    /// RFC 3339, from nanoseconds since the epoch.
    Time,
    /// The rows of a table.
    Rows,
}

impl Form {
    fn of(metric: &Metric) -> Form {
        match (&metric.kind, metric.value) {
            (Kind::State, _) => Form::Word,
            (Kind::Time, ValueType::U64) => Form::Time,
            _ => Form::Plain,
        }
    }
}

/// Where a piece of text lies in that of the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Piece {
    from: u32,
    /// How long it is.
    pub bytes: u16,
}

/// A value, and how much text comes before it: commas, keys, braces.
#[derive(Debug, PartialEq)]
pub struct Step {
    /// The place of the metric, or of the table.
    pub place: u32,
    bytes: u16,
    /// How it is written.
    pub form: Form,
}

/// The steps of a section or of a row. The text of each lies behind that of the one before.
#[derive(Debug, Default, PartialEq)]
pub struct Steps {
    from: u32,
    list: Vec<Step>,
}

impl Steps {
    /// Each, with the text before its value.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (Piece, &Step)> {
        let mut from = self.from;
        self.list.iter().map(move |step| {
            let piece = Piece { from, bytes: step.bytes };
            from += u32::from(step.bytes);
            (piece, step)
        })
    }
}

/// How a section is written. All of its text lies together, and what points into it is small: a tick that comes once a second finds nothing
/// of it in the nearest cache.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// With a block of zeros behind it.
    text: Vec<u8>,
    /// A comma, the key of the section, and its object up to the status.
    pub head: Piece,
    /// The metrics and the tables, each with a comma before it.
    pub steps: Steps,
    /// Closes what these have opened.
    pub end: Piece,
    /// By table.
    pub rows: Vec<Rows>,
}

/// How the rows of a table are written.
#[derive(Debug, PartialEq)]
pub struct Rows {
    /// How many keys nest.
    pub keys: usize,
    /// The columns.
    pub columns: Steps,
}

/// How many bytes are copied at once: the key of nearly every metric, with the comma, quotes and colon around it.
pub const BLOCK: usize = 32;

/// How the object of a section begins.
const STATUS: &str = "{\"_status\":\"";

/// A name's place among the objects: nested as the dots say, in the order of first appearance.
#[derive(Default)]
struct Node {
    order: Vec<String>,
    children: BTreeMap<String, Node>,
    value: Option<(usize, Form)>,
}

impl Node {
    fn put(&mut self, name: &str, value: (usize, Form)) {
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
                Some((place, form)) => {
                    let bytes = plan.keep(&std::mem::take(text)).bytes;
                    plan.steps.list.push(Step { place: place as u32, bytes, form });
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
    /// The plan of the sections of this name.
    pub fn of(name: &str, schema: &Schema) -> Plan {
        let manifest = &schema.manifest;
        let (mut plan, mut root) = (Plan::default(), Node::default());
        plan.head = plan.keep(&format!(",{}:{STATUS}", serde_json::Value::from(name)));
        for (place, metric) in manifest.metrics.iter().enumerate() {
            if schema.metrics[place] && metric.json {
                root.put(&metric.name, (place, Form::of(metric)));
            }
        }
        for (place, table) in manifest.tables.iter().enumerate() {
            let exist = &schema.tables[place];
            if exist.exists {
                root.put(&table.name, (place, Form::Rows));
            }
            let mut columns = Steps { from: plan.text.len() as u32, list: Vec::new() };
            for (place, column) in table.columns.iter().enumerate() {
                if exist.columns[place] && column.json {
                    let comma = if columns.list.is_empty() { "" } else { "," };
                    let bytes = plan.keep(&format!("{comma}\"{}\":", column.name)).bytes;
                    columns.list.push(Step { place: place as u32, bytes, form: Form::of(column) });
                }
            }
            plan.rows.push(Rows { keys: table.keys.len(), columns });
        }
        let mut end = String::new();
        plan.steps.from = plan.text.len() as u32;
        root.steps(&mut end, &mut plan, false);
        plan.end = plan.keep(&end);
        plan.text.extend([0; BLOCK]);
        plan
    }

    fn keep(&mut self, text: &str) -> Piece {
        // Every name has 64 bytes at most: so many dots are as many objects to open, and those before it as many to close.
        let bytes = u16::try_from(text.len()).expect("keys and braces before a value are a few hundred bytes");
        let piece = Piece { from: self.text.len() as u32, bytes };
        self.text.extend_from_slice(text.as_bytes());
        piece
    }

    /// A piece, and what happens to lie behind it; none of a piece that is longer than a block.
    #[inline]
    pub fn block(&self, piece: Piece) -> Option<&[u8; BLOCK]> {
        let fits = piece.bytes as usize <= BLOCK;
        self.text.get(piece.from as usize..).and_then(|text| text.first_chunk()).filter(|_| fits)
    }

    /// How much of its head is the comma and the key.
    pub fn key(&self) -> usize {
        self.head.bytes as usize - STATUS.len()
    }

    /// A piece.
    pub fn bytes(&self, piece: Piece) -> &[u8] {
        &self.text[piece.from as usize..][..piece.bytes as usize]
    }
}
