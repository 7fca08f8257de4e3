//! What a collector's cells mean: its manifest, and what its options leave of it.

use std::sync::Arc;

use plugin_api::host_side::manifest::{Budget, Condition, Contract, Manifest, Metric, PluginInfo, Table};
use plugin_api::host_side::shape::Shape;

use super::derive::Plan;

/// The schema of one collector. Made once; every section of the collector shares it.
#[derive(Debug)]
pub struct Schema {
    /// What the plugin declares.
    pub manifest: Arc<Manifest>,
    /// What its frames must look like.
    pub shape: Shape,
    /// Whether the metric of this place exists, by its `when`.
    pub metrics: Vec<bool>,
    /// The tables.
    pub tables: Vec<TableSchema>,
    /// What is derived among the metrics.
    pub derived: Plan,
}

/// What the options leave of a table.
#[derive(Debug)]
pub struct TableSchema {
    /// Whether it exists, by its `when`.
    pub exists: bool,
    /// Whether the column of this place exists.
    pub columns: Vec<bool>,
    /// What is derived in each row.
    pub derived: Plan,
}

impl Schema {
    /// The schema of a collector, whose bool options are what `is_on` says.
    pub fn new(manifest: Arc<Manifest>, is_on: impl Fn(&str) -> bool) -> Schema {
        let holds = |when: &[Condition]| when.iter().all(|condition| is_on(&condition.option) == condition.is);
        let exist = |metrics: &[Metric]| metrics.iter().map(|metric| holds(&metric.when)).collect::<Vec<_>>();
        let metrics = exist(&manifest.metrics);
        let tables = manifest
            .tables
            .iter()
            .map(|table: &Table| TableSchema {
                exists: holds(&table.when),
                columns: exist(&table.columns),
                derived: Plan::of(&table.columns),
            })
            .collect();
        Schema { shape: Shape::of(&manifest), metrics, tables, derived: Plan::of(&manifest.metrics), manifest }
    }

    /// Whether anything is derived.
    pub fn derives(&self) -> bool {
        !self.derived.is_empty() || self.tables.iter().any(|table| !table.derived.is_empty())
    }

    /// Of a collector whose plugin could not be had: it has no metrics.
    pub fn of_nothing() -> Schema {
        let plugin = PluginInfo {
            name: String::new(),
            description: String::new(),
            version: None,
            licence: None,
            interval: None,
            timeout: None,
            budget: Budget::default(),
            reads: Vec::new(),
        };
        let (options, metrics, tables) = (Vec::new(), Vec::new(), Vec::new());
        Schema::new(Arc::new(Manifest { contract: Contract::OURS, plugin, options, metrics, tables }), |_| false)
    }
}
