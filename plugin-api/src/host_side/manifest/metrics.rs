//! `[metrics.NAME]` and `[tables.T.columns.NAME]`, which are one grammar.

use super::super::fault::{Fault, Origin};
use super::super::keys::Keys;
use super::super::names;
use super::super::tree;
use super::derive::Operands;
use super::{Kind, Metric, Reader, Source, ValueType, Width};

/// The most scalars of a plugin or columns of a table, rates included: a frame has a cell for each.
pub const MAX_METRICS: usize = 4096;

/// The most words of a state.
const MAX_VALUES: usize = 256;

/// The most bytes of a unit.
const MAX_UNIT_BYTES: usize = 64;

pub(super) const KEYS: [&str; 12] = [
    "description",
    "type",
    "kind",
    "unit",
    "derive",
    "rate",
    "may_decrease",
    "width",
    "when",
    "json",
    "label",
    "values",
];

pub(super) const TYPES: [(&str, ValueType); 5] = [
    ("f64", ValueType::F64),
    ("u64", ValueType::U64),
    ("i64", ValueType::I64),
    ("bool", ValueType::Bool),
    ("text", ValueType::Text),
];

pub(super) const KINDS: [&str; 5] = ["gauge", "counter", "state", "info", "time"];

/// Whether scalars or columns are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    Scalars,
    /// Of this table.
    Columns(&'a str),
}

impl Place<'_> {
    fn owner(self, name: &str) -> String {
        match self {
            Place::Scalars => format!("metric `{name}`"),
            Place::Columns(table) => format!("column `{table}.{name}`"),
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Place::Scalars => "metric",
            Place::Columns(_) => "column",
        }
    }
}

/// An entry before its operands are resolved.
pub(super) struct Draft<'a> {
    pub(super) metric: Metric,
    /// Its name.
    pub(super) at: Origin,
    pub(super) derive: Option<Operands<'a>>,
}

impl Reader {
    pub(super) fn scalars(&mut self, root: &Keys<'_>) -> Vec<Metric> {
        self.entries(root, "metrics", Place::Scalars)
    }

    /// The entries below a key, each `rate` right after its counter, and all operands resolved.
    pub(super) fn entries(&mut self, outer: &Keys<'_>, key: &str, place: Place<'_>) -> Vec<Metric> {
        let mut drafts: Vec<Draft<'_>> = Vec::new();
        for (entry, table) in outer.tables(key, &mut self.faults) {
            if drafts.len() >= MAX_METRICS {
                self.faults.push(Fault::new(entry.key_origin, format!("more than {MAX_METRICS} of `{key}`")));
                break;
            }
            self.entry(entry, table, place, &mut drafts);
        }
        self.twice_or_nested(&drafts, place);
        let mut metrics = self.resolved(&drafts, place);
        // They stay for the life of the agent, where half of a vector that has grown may be room.
        metrics.shrink_to_fit();
        metrics
    }

    fn entry<'a>(
        &mut self,
        entry: &'a tree::Entry,
        table: &'a tree::Table,
        place: Place<'_>,
        drafts: &mut Vec<Draft<'a>>,
    ) {
        let (name, at) = (entry.key.as_str(), entry.key_origin);
        let (fine, allowed) = match place {
            Place::Scalars => (names::is_dotted_name(name), names::DOTTED_NAME),
            Place::Columns(_) => (names::is_name(name), names::NAME),
        };
        if !fine {
            self.faults.push(Fault::new(at, format!("`{name}` is no name of a {}", place.noun())).allowed(allowed));
        }
        let keys = self.keys(table, at, &place.owner(name), &KEYS);
        let description = keys.needed_text("description", &mut self.faults).0.to_owned();
        let kind = self.kind(&keys, place.owner(name));
        let value = self.value_type(&keys, kind, place.owner(name));
        let metric = Metric {
            name: name.to_owned(),
            description,
            unit: self.unit(&keys, kind, value, place.owner(name)),
            value,
            kind,
            source: Source::Reported,
            when: self.conditions(&keys),
            json: keys.flag("json", &mut self.faults).is_none_or(|(json, _)| json),
            label: self.label(&keys, value, place),
            values: self.values(&keys, kind),
        };
        let derive = self.derive(&keys, table, &metric);
        let rate = self.rate(&keys, name, &metric, place);
        drafts.push(Draft { metric, at, derive });
        drafts.extend(rate);
    }

    fn kind(&mut self, keys: &Keys<'_>, owner: String) -> Kind {
        let kind = match keys.text("kind", &mut self.faults) {
            None | Some(("gauge", _)) => Kind::Gauge,
            Some(("counter", _)) => {
                let width = match keys.integer("width", 32, 64, &mut self.faults) {
                    Some((32, _)) => Width::W32,
                    None | Some((64, _)) => Width::W64,
                    Some((_, origin)) => {
                        self.faults.push(Fault::new(origin, format!("unknown width of {owner}")).allowed("32, 64"));
                        Width::W64
                    }
                };
                let may_decrease = keys.flag("may_decrease", &mut self.faults).is_some_and(|(flag, _)| flag);
                return Kind::Counter { width, may_decrease };
            }
            Some(("state", _)) => Kind::State,
            Some(("info", _)) => Kind::Info,
            Some(("time", _)) => Kind::Time,
            Some((word, origin)) => {
                self.unknown_word(origin, &format!("kind of {owner},"), word, &KINDS);
                Kind::Gauge
            }
        };
        for key in ["width", "may_decrease"] {
            self.misplaced(keys, key, "counters");
        }
        kind
    }

    /// A kind other than gauge says the type, which may be repeated.
    fn value_type(&mut self, keys: &Keys<'_>, kind: Kind, owner: String) -> ValueType {
        let implied = match kind {
            Kind::Gauge => None,
            Kind::Counter { .. } | Kind::State | Kind::Time => Some(ValueType::U64),
            Kind::Info => Some(ValueType::Text),
        };
        let Some((word, origin)) = keys.text("type", &mut self.faults) else {
            return implied.unwrap_or(ValueType::F64);
        };
        let Some((_, value)) = TYPES.iter().find(|(known, _)| *known == word) else {
            self.unknown_word(origin, &format!("type of {owner},"), word, &TYPES.map(|(known, _)| known));
            return implied.unwrap_or(ValueType::F64);
        };
        match implied {
            Some(implied) if implied != *value => {
                let needed = TYPES.iter().find(|(_, value)| *value == implied).map_or("", |(word, _)| word);
                let message = format!("type `{word}` does not go with the kind of {owner}");
                self.faults.push(Fault::new(origin, message).allowed(format!("{needed}, which may be left out")));
                implied
            }
            _ => *value,
        }
    }

    fn unit(&mut self, keys: &Keys<'_>, kind: Kind, value: ValueType, owner: String) -> Option<String> {
        let number = matches!(value, ValueType::U64 | ValueType::I64 | ValueType::F64);
        if !number || matches!(kind, Kind::State | Kind::Time) {
            self.misplaced(keys, "unit", "numbers");
            return None;
        }
        let (unit, origin) = keys.needed_text("unit", &mut self.faults);
        let plain = unit.bytes().all(|byte| byte.is_ascii_graphic()) && unit.len() <= MAX_UNIT_BYTES;
        if !plain {
            let allowed =
                format!("a unit of UCUM, such as By, s, %, {{packet}}, or 1 for none, at most {MAX_UNIT_BYTES} bytes");
            self.faults.push(Fault::new(origin, format!("`{unit}` is no unit of {owner}")).allowed(allowed));
        }
        Some(unit.to_owned())
    }

    fn label(&mut self, keys: &Keys<'_>, value: ValueType, place: Place<'_>) -> bool {
        let Some((label, origin)) = keys.flag("label", &mut self.faults) else { return false };
        if label && (place == Place::Scalars || value != ValueType::Text) {
            self.faults.push(Fault::new(origin, "only a text column can be a label"));
        }
        label
    }

    fn values(&mut self, keys: &Keys<'_>, kind: Kind) -> Vec<String> {
        if kind != Kind::State {
            self.misplaced(keys, "values", "states");
            return Vec::new();
        }
        let Some(entry) = keys.entry("values") else {
            keys.missing("values", &mut self.faults);
            return Vec::new();
        };
        let mut values: Vec<String> = Vec::new();
        for (word, origin) in keys.list("values", &mut self.faults) {
            let plain = !word.is_empty() && word.len() <= names::MAX_NAME_BYTES && !word.chars().any(char::is_control);
            if !plain || values.iter().any(|value| value == word) {
                self.faults.push(Fault::new(origin, format!("`{word}` is no word of a state or comes twice")));
            }
            values.push(word.to_owned());
        }
        if values.is_empty() || values.len() > MAX_VALUES {
            let fault = Fault::new(entry.value.origin, format!("a state has {} words", values.len()));
            self.faults.push(fault.allowed(format!("1 to {MAX_VALUES}")));
        }
        values
    }

    /// The entry that `rate` declares beside its counter.
    fn rate<'a>(&mut self, keys: &Keys<'a>, of: &'a str, counter: &Metric, place: Place<'_>) -> Option<Draft<'a>> {
        if !counter.kind.is_counter() {
            self.misplaced(keys, "rate", "counters");
            return None;
        }
        let (name, at) = keys.text("rate", &mut self.faults)?;
        let fine = match place {
            Place::Scalars => names::is_dotted_name(name),
            Place::Columns(_) => names::is_name(name),
        };
        if !fine {
            self.faults.push(Fault::new(at, format!("`{name}` is no name of a rate")).allowed(names::DOTTED_NAME));
        }
        Some(Draft {
            metric: Metric {
                name: name.to_owned(),
                description: format!("{}, per second", counter.description),
                unit: counter.unit.as_ref().map(|unit| format!("{unit}/s")),
                value: ValueType::F64,
                kind: Kind::Gauge,
                source: Source::Reported,
                when: counter.when.clone(),
                json: true,
                label: false,
                values: Vec::new(),
            },
            at,
            derive: Some(Operands { of: vec![(of, at)], over: None, scale: 1.0 }),
        })
    }

    /// A key that does not go with the kind or type.
    fn misplaced(&mut self, keys: &Keys<'_>, key: &str, of: &str) {
        if let Some(entry) = keys.entry(key) {
            self.faults.push(Fault::new(entry.key_origin, format!("`{key}` is for {of} only")));
        }
    }
}
