//! The keys of a collector's section, rendered once: what a line repeats at every tick is a copy of bytes.
//!
//! A section is a list of steps; each writes a piece of text and then what it names. Metric names with dots nest, so
//! the text between two values may close objects and open others.

use std::collections::BTreeMap;

use plugin_api::host_side::manifest::{Kind, Metric, ValueType};

use super::text::Text;
use crate::snapshot::Schema;

/// How a cell is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// By its tag.
    Plain,
    /// The word of this index.
    Words(Box<[String]>),
    /// RFC 3339, from nanoseconds since the epoch.
    Time,
}

/// What comes after a piece of text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The scalar of this place.
    Scalar(usize, Form),
    /// The rows of this table.
    Table(usize),
}

/// A step of a section.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Written first: commas, keys, braces.
    pub text: Text,
    /// Then this.
    pub value: Value,
}

/// A column of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The key, with what comes before it.
    pub text: Text,
    /// The place of the column.
    pub place: usize,
    /// How it is written.
    pub form: Form,
}

/// How the rows of a table are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// How many keys nest.
    pub keys: usize,
    /// The columns that are there.
    pub columns: Vec<Column>,
}

/// How the metrics of a section are written, each step with a comma before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// Closes what the steps have opened.
    pub end: String,
    /// By table.
    pub rows: Vec<Rows>,
}

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

    fn steps(self, text: &mut String, steps: &mut Vec<Step>, mut first: bool) {
        let mut children = self.children;
        for name in self.order {
            let Some(child) = children.remove(&name) else { continue };
            if !std::mem::replace(&mut first, false) {
                text.push(',');
            }
            text.push_str(&format!("\"{name}\":"));
            match child.value {
                Some(value) => steps.push(Step { text: std::mem::take(text).into(), value }),
                None => {
                    text.push('{');
                    child.steps(text, steps, true);
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
        let mut root = Node::default();
        for (place, metric) in manifest.metrics.iter().enumerate() {
            if schema.metrics[place] && metric.json {
                root.put(&metric.name, Value::Scalar(place, form(metric)));
            }
        }
        let mut rows = Vec::new();
        for (place, table) in manifest.tables.iter().enumerate() {
            let exist = &schema.tables[place];
            if exist.exists {
                root.put(&table.name, Value::Table(place));
            }
            let written =
                table.columns.iter().enumerate().filter(|(place, column)| exist.columns[*place] && column.json);
            let columns = written
                .enumerate()
                .map(|(nth, (place, column))| Column {
                    text: format!("{}\"{}\":", if nth == 0 { "" } else { "," }, column.name).into(),
                    place,
                    form: form(column),
                })
                .collect();
            rows.push(Rows { keys: table.keys.len(), columns });
        }
        let (mut end, mut steps) = (String::new(), Vec::new());
        root.steps(&mut end, &mut steps, false);
        Plan { steps, end, rows }
    }
}

fn form(metric: &Metric) -> Form {
    match (&metric.kind, metric.value) {
        (Kind::State, _) => Form::Words(metric.values.clone().into()),
        (Kind::Time, ValueType::U64) => Form::Time,
        _ => Form::Plain,
    }
}
