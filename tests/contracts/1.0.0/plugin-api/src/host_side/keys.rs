//! Reads a table whose keys are known beforehand, and tells every fault of it.
#![forbid(unsafe_code)]

use super::fault::{Fault, Origin};
use super::tree::{Data, Entry, Table, Value};

/// A table that is read, and what it is called in messages.
pub(super) struct Keys<'a> {
    table: &'a Table,
    /// Where what is missing is told: the table's key.
    at: Origin,
    owner: String,
}

impl<'a> Keys<'a> {
    /// Takes a table; keys that are not among `known` are faults, or with `lenient` passed over.
    pub(super) fn new(
        table: &'a Table,
        at: Origin,
        owner: impl Into<String>,
        known: &[&str],
        lenient: bool,
        faults: &mut Vec<Fault>,
    ) -> Keys<'a> {
        let owner = owner.into();
        for entry in table.entries.iter().filter(|entry| !lenient && !known.contains(&entry.key.as_str())) {
            let message = format!("unknown key `{}` in {owner}", entry.key);
            faults.push(Fault::new(entry.key_origin, message).among(&entry.key, known.iter().copied()));
        }
        Keys { table, at, owner }
    }

    /// Where the table is told of.
    pub(super) fn at(&self) -> Origin {
        self.at
    }

    /// Tells that a key which must be there is not.
    pub(super) fn missing(&self, key: &str, faults: &mut Vec<Fault>) {
        faults.push(Fault::new(self.at, format!("{} has no `{key}`", self.owner)));
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.table.entry(key)
    }

    pub(super) fn text(&self, key: &str, faults: &mut Vec<Fault>) -> Option<(&'a str, Origin)> {
        self.typed(key, "a string", faults, |data| match data {
            Data::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A string that must be there and not be empty; the empty one is given back where it is not.
    pub(super) fn needed_text(&self, key: &str, faults: &mut Vec<Fault>) -> (&'a str, Origin) {
        let found = self.text(key, faults);
        match found {
            Some((text, origin)) if text.trim().is_empty() => {
                faults.push(Fault::new(origin, format!("`{key}` of {} is empty", self.owner)));
            }
            None if self.entry(key).is_none() => self.missing(key, faults),
            _ => {}
        }
        found.unwrap_or(("", self.at))
    }

    pub(super) fn flag(&self, key: &str, faults: &mut Vec<Fault>) -> Option<(bool, Origin)> {
        self.typed(key, "true or false", faults, |data| match data {
            Data::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// An integer within these bounds.
    pub(super) fn integer(&self, key: &str, from: i64, to: i64, faults: &mut Vec<Fault>) -> Option<(i64, Origin)> {
        self.typed(key, &format!("an integer from {from} to {to}"), faults, |data| match data {
            Data::Integer(number) if (from..=to).contains(number) => Some(*number),
            _ => None,
        })
    }

    pub(super) fn number(&self, key: &str, faults: &mut Vec<Fault>) -> Option<(f64, Origin)> {
        self.typed(key, "a finite number", faults, |data| match data {
            Data::Float(number) if number.is_finite() => Some(*number),
            Data::Integer(number) => Some(*number as f64),
            _ => None,
        })
    }

    /// One string or a list of them.
    pub(super) fn texts(&self, key: &str, faults: &mut Vec<Fault>) -> Vec<(&'a str, Origin)> {
        match self.table.value(key) {
            Some(Value { data: Data::Array(_), .. }) => self.list(key, faults),
            Some(_) => self.text(key, faults).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// A list of strings.
    pub(super) fn list(&self, key: &str, faults: &mut Vec<Fault>) -> Vec<(&'a str, Origin)> {
        let values = self.typed(key, "a list of strings", faults, |data| match data {
            Data::Array(values) => Some(values),
            _ => None,
        });
        let mut texts = Vec::new();
        for value in values.map_or(&[][..], |(values, _)| values) {
            match &value.data {
                Data::String(text) => texts.push((text.as_str(), value.origin)),
                other => faults.push(self.wrong(key, other, value.origin, "a list of strings")),
            }
        }
        texts
    }

    /// The entries of a table of tables, such as `[metrics.NAME]`.
    pub(super) fn tables(&self, key: &str, faults: &mut Vec<Fault>) -> Vec<(&'a Entry, &'a Table)> {
        let outer = self.table_of(key, faults);
        let mut tables = Vec::new();
        for entry in outer.map_or(&[][..], |table| &table.entries) {
            match &entry.value.data {
                Data::Table(table) => tables.push((entry, table)),
                other => faults.push(
                    Fault::new(entry.value.origin, format!("`{key}.{}` is {}", entry.key, other.kind()))
                        .allowed(format!("a table, [{key}.{}]", entry.key)),
                ),
            }
        }
        tables
    }

    pub(super) fn table_of(&self, key: &str, faults: &mut Vec<Fault>) -> Option<&'a Table> {
        let found = self.typed(key, "a table", faults, |data| match data {
            Data::Table(table) => Some(table),
            _ => None,
        });
        found.map(|(table, _)| table)
    }

    fn typed<T>(
        &self,
        key: &str,
        allowed: &str,
        faults: &mut Vec<Fault>,
        take: impl FnOnce(&'a Data) -> Option<T>,
    ) -> Option<(T, Origin)> {
        let value = self.table.value(key)?;
        let taken = take(&value.data);
        if taken.is_none() {
            faults.push(self.wrong(key, &value.data, value.origin, allowed));
        }
        taken.map(|taken| (taken, value.origin))
    }

    fn wrong(&self, key: &str, data: &Data, origin: Origin, allowed: &str) -> Fault {
        let what = match data {
            Data::Integer(_) if allowed.contains("integer") => "out of range",
            other => other.kind(),
        };
        Fault::new(origin, format!("`{key}` of {} is {what}", self.owner)).allowed(allowed)
    }
}
