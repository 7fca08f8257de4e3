//! What the agent derives: the operands of `derive`, resolved to the places of their counters.

use std::collections::{BTreeMap, BTreeSet};

use super::super::fault::{Fault, Origin};
use super::super::keys::Keys;
use super::super::tree;
use super::metrics::{Draft, Place};
use super::{Derivation, Kind, Metric, Reader, Source, ValueType};

/// The most counters in one `of` or `over`. The kernel has ten columns of CPU time, and their sum is the longest we know.
pub const MAX_OPERANDS: usize = 64;

/// The operands of a derivation, by name.
pub(super) struct Operands<'a> {
    pub(super) of: Vec<(&'a str, Origin)>,
    pub(super) over: Option<Vec<(&'a str, Origin)>>,
    pub(super) scale: f64,
}

impl Reader {
    pub(super) fn derive<'a>(&mut self, keys: &Keys<'a>, table: &tree::Table, metric: &Metric) -> Option<Operands<'a>> {
        let inner = keys.table_of("derive", &mut self.faults)?;
        let at = table.entry("derive").map_or(Origin::default(), |entry| entry.key_origin);
        if metric.kind != Kind::Gauge || metric.value != ValueType::F64 {
            self.faults.push(Fault::new(at, format!("`{}` is derived and so a gauge of type f64", metric.name)));
        }
        let owner = format!("`derive` of `{}`", metric.name);
        let inner = self.keys(inner, at, &owner, &["of", "over", "scale"]);
        let operands = |key, reader: &mut Reader| {
            let names = inner.list(key, &mut reader.faults);
            let list = inner.entry(key).filter(|entry| matches!(entry.value.data, tree::Data::Array(_)));
            if let Some(entry) = list.filter(|_| !(1..=MAX_OPERANDS).contains(&names.len())) {
                let message = format!("`{key}` of {owner} names {} counters", names.len());
                reader.faults.push(Fault::new(entry.value.origin, message).allowed(format!("1 to {MAX_OPERANDS}")));
            }
            names
        };
        if inner.entry("of").is_none() {
            inner.missing("of", &mut self.faults);
        }
        let of = operands("of", self);
        let over = inner.entry("over").map(|_| operands("over", self));
        let scale = match inner.number("scale", &mut self.faults) {
            Some((scale, origin)) if scale <= 0.0 => {
                self.faults.push(Fault::new(origin, format!("`scale` of {owner} is not above 0")));
                1.0
            }
            found => found.map_or(1.0, |(scale, _)| scale),
        };
        Some(Operands { of, over, scale })
    }

    /// A name comes once, and none lies below another: `a.b` makes `a` an object of the JSON.
    pub(super) fn twice_or_nested(&mut self, drafts: &[Draft<'_>], place: Place<'_>) {
        let mut seen = BTreeSet::new();
        for draft in drafts {
            if !seen.insert(draft.metric.name.as_str()) {
                let message = format!("{} `{}` comes twice", place.noun(), draft.metric.name);
                self.faults.push(Fault::new(draft.at, message));
            }
        }
        for draft in drafts {
            let name = draft.metric.name.as_str();
            let outer = name.match_indices('.').map(|(dot, _)| &name[..dot]).find(|outer| seen.contains(outer));
            if let Some(outer) = outer {
                let message = format!("metric `{name}` lies below metric `{outer}`, which is a value");
                self.faults.push(Fault::new(draft.at, message));
            }
        }
    }

    /// The entries with their operands as indices.
    pub(super) fn resolved(&mut self, drafts: &[Draft<'_>], place: Place<'_>) -> Vec<Metric> {
        let places = drafts.iter().enumerate().map(|(at, draft)| (draft.metric.name.as_str(), at)).collect();
        let mut metrics = Vec::new();
        for draft in drafts {
            let mut metric = draft.metric.clone();
            if let Some(operands) = &draft.derive {
                let mut indices = |names: &[_]| self.indices(drafts, &places, &metric.name, names, place);
                let (of, over) = (indices(&operands.of), operands.over.as_deref().map(&mut indices));
                metric.source = Source::Derived(Derivation { of, over, scale: operands.scale });
            }
            metrics.push(metric);
        }
        metrics
    }

    fn indices(
        &mut self,
        drafts: &[Draft<'_>],
        places: &BTreeMap<&str, usize>,
        owner: &str,
        names: &[(&str, Origin)],
        place: Place<'_>,
    ) -> Vec<usize> {
        let counter = |draft: &Draft<'_>| draft.derive.is_none() && draft.metric.kind.is_counter();
        let mut found = Vec::new();
        for (name, origin) in names.iter().take(MAX_OPERANDS) {
            match places.get(name).copied() {
                Some(at) if !counter(&drafts[at]) => {
                    let message = format!("`{owner}` is derived from `{name}`, which is no reported counter");
                    self.faults.push(Fault::new(*origin, message));
                }
                Some(at) if found.contains(&at) => {
                    self.faults.push(Fault::new(*origin, format!("`{owner}` is derived from `{name}` twice")));
                }
                Some(at) => found.push(at),
                None => {
                    let beside = match place {
                        Place::Scalars => "a counter of this manifest's metrics".to_owned(),
                        Place::Columns(table) => format!("a counter column of table `{table}`"),
                    };
                    let known = drafts.iter().filter(|draft| counter(draft)).map(|draft| draft.metric.name.as_str());
                    let message = format!("`{owner}` is derived from `{name}`, which is not {beside}");
                    self.faults.push(Fault::new(*origin, message).among(name, known));
                }
            }
        }
        found
    }
}
