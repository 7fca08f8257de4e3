//! What a frame of one plugin must look like: the manifest, reduced to what the check asks.
#![forbid(unsafe_code)]

use super::manifest::{Kind, Manifest, Metric, Source, ValueType};

/// What a cell may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the agent derives it.
    Nothing,
    /// An unsigned integer.
    U64,
    /// A signed integer.
    I64,
    /// A finite number.
    F64,
    /// True or false.
    Bool,
    /// Text.
    Text,
    /// An index below this.
    State(u32),
}

/// What the rows of a table must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// How many keys a row has.
    pub keys: usize,
    /// Its columns, derived ones included.
    pub columns: Vec<Expect>,
    /// How many rows it may have.
    pub max_rows: u32,
}

/// What a frame must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its scalars, derived ones included.
    pub scalars: Vec<Expect>,
    /// Its tables.
    pub tables: Vec<TableShape>,
}

impl Shape {
    /// The shape that a manifest declares.
    pub fn of(manifest: &Manifest) -> Shape {
        Shape {
            scalars: manifest.metrics.iter().map(expect).collect(),
            tables: manifest
                .tables
                .iter()
                .map(|table| TableShape {
                    keys: table.keys.len(),
                    columns: table.columns.iter().map(expect).collect(),
                    max_rows: table.max_rows,
                })
                .collect(),
        }
    }
}

fn expect(metric: &Metric) -> Expect {
    if let Source::Derived(_) = metric.source {
        return Expect::Nothing;
    }
    match (&metric.kind, metric.value) {
        (Kind::State, _) => Expect::State(metric.values.len() as u32),
        (_, ValueType::U64) => Expect::U64,
        (_, ValueType::I64) => Expect::I64,
        (_, ValueType::F64) => Expect::F64,
        (_, ValueType::Bool) => Expect::Bool,
        (_, ValueType::Text) => Expect::Text,
    }
}
