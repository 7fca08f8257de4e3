//! `[tables.NAME]`: rows under keys.

use std::collections::BTreeSet;

use super::super::fault::Fault;
use super::super::keys::Keys;
use super::super::names;
use super::super::tree;
use super::metrics::Place;
use super::{Metric, Reader, Table};

/// The most tables of a plugin.
pub const MAX_TABLES: usize = 64;

/// The most keys of a table: deeper nesting nobody reads.
pub const MAX_KEYS: usize = 8;

/// The rows of a reading where a table does not say.
pub const DEFAULT_MAX_ROWS: u32 = 10_000;

/// The most rows of a reading that a table may ask for.
pub const MAX_ROWS: u32 = 1_000_000;

pub(super) const KEYS: [&str; 5] = ["description", "key", "max_rows", "when", "columns"];

impl Reader {
    pub(super) fn tables(&mut self, root: &Keys<'_>, metrics: &[Metric]) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        for (entry, table) in root.tables("tables", &mut self.faults) {
            if tables.len() == MAX_TABLES {
                self.faults.push(Fault::new(entry.key_origin, format!("more than {MAX_TABLES} tables")));
                break;
            }
            let first = |metric: &&Metric| metric.name.split('.').next() == Some(entry.key.as_str());
            if let Some(metric) = metrics.iter().find(first) {
                let message =
                    format!("table `{}` and metric `{}` are at one place of the JSON", entry.key, metric.name);
                self.faults.push(Fault::new(entry.key_origin, message));
            }
            tables.push(self.table(entry, table));
        }
        tables
    }

    fn table(&mut self, entry: &tree::Entry, table: &tree::Table) -> Table {
        let (name, at) = (entry.key.as_str(), entry.key_origin);
        if !names::is_name(name) {
            self.faults.push(Fault::new(at, format!("`{name}` is no name of a table")).allowed(names::NAME));
        }
        let keys = self.keys(table, at, &format!("table `{name}`"), &KEYS);
        let description = keys.needed_text("description", &mut self.faults).0.to_owned();
        let columns = self.entries(&keys, "columns", Place::Columns(name));
        let row_keys = self.row_keys(&keys, name, &columns);
        let max_rows = keys.integer("max_rows", 1, i64::from(MAX_ROWS), &mut self.faults);
        let max_rows = max_rows.and_then(|(rows, _)| u32::try_from(rows).ok()).unwrap_or(DEFAULT_MAX_ROWS);
        if columns.is_empty()
            && keys.entry("columns").is_none_or(|entry| matches!(entry.value.data, tree::Data::Table(_)))
        {
            self.faults.push(Fault::new(at, format!("table `{name}` has no columns")));
        }
        Table { name: name.to_owned(), description, keys: row_keys, max_rows, when: self.conditions(&keys), columns }
    }

    fn row_keys(&mut self, keys: &Keys<'_>, table: &str, columns: &[Metric]) -> Vec<String> {
        let Some(entry) = keys.entry("key") else {
            keys.missing("key", &mut self.faults);
            return Vec::new();
        };
        let columns: BTreeSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let mut row_keys: Vec<String> = Vec::new();
        for (name, origin) in keys.texts("key", &mut self.faults) {
            if !names::is_name(name) {
                self.faults.push(Fault::new(origin, format!("`{name}` is no name of a key")).allowed(names::NAME));
            }
            if columns.contains(name) {
                let message = format!("key `{name}` of table `{table}` is a column too");
                self.faults.push(Fault::new(origin, message));
            }
            if row_keys.iter().any(|key| key == name) {
                self.faults.push(Fault::new(origin, format!("key `{name}` of table `{table}` comes twice")));
            }
            row_keys.push(name.to_owned());
        }
        let empty_list = row_keys.is_empty() && matches!(entry.value.data, tree::Data::Array(_));
        if empty_list || row_keys.len() > MAX_KEYS {
            let fault = Fault::new(entry.value.origin, format!("table `{table}` has {} keys", row_keys.len()));
            self.faults.push(fault.allowed(format!("1 to {MAX_KEYS}")));
        }
        row_keys
    }
}
