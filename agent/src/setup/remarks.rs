//! What is to be said of a configuration and its plugins that keeps nothing from running.
#![forbid(unsafe_code)]

use tracing::Level;

use super::{From, Setup};
use crate::assemble;
use crate::config::layers::Environment;
use crate::config::{Config, LeftOut, Refused};
use crate::harmless;
use crate::plugin::astray::astray;

impl Setup {
    /// What an operator wants to be told of the configuration and the plugins, and how much it matters.
    pub fn remarks(&self) -> Vec<(Level, String)> {
        let mut remarks = Vec::new();
        if let Some(stand_in) = self.config.stands_in() {
            remarks.push((Level::ERROR, stand_in.refused.to_string()));
            remarks.push((Level::ERROR, stand_in.told()));
        }
        remarks.extend(self.faulty("is left out").into_iter().map(|told| (Level::ERROR, told)));
        for fault in &self.found.faults {
            remarks.push((Level::ERROR, assemble::chain(fault)));
        }
        for doubt in &self.found.doubts {
            remarks.push((Level::WARN, doubt.to_string()));
        }
        for (collector, why) in self.plan.failed() {
            remarks.push((Level::ERROR, format!("collector {}: {why}", collector.name)));
        }
        for shadowed in &self.found.shadowed {
            let (path, by) = (harmless::path(&shadowed.path), harmless::path(&shadowed.by));
            remarks
                .push((Level::INFO, format!("{path} is not used: {by} is a plugin of the same name and comes first")));
        }
        if let From::File(path) = &self.from {
            let drop_ins = Config::drop_in_folder(path.as_deref(), &Environment::of_process());
            let astray = astray(&drop_ins, &self.plan.agent.plugin_dirs);
            remarks.extend(astray.into_iter().map(|told| (Level::WARN, told)));
        }
        remarks.extend(self.plan.notes.iter().map(|note| (Level::INFO, note.clone())));
        remarks
    }

    /// Puts the remarks into the log.
    pub fn log_remarks(&self) {
        self.remarks().iter().for_each(|(level, remark)| log_remark(*level, remark));
    }

    /// The files of `conf.d` that are at fault, what becomes of each, and why.
    pub(crate) fn faulty(&self, becomes: &str) -> Vec<String> {
        let told = |left_out: &LeftOut| {
            let refused = Refused { faults: left_out.faults.clone(), sources: self.config.sources().clone() };
            format!("{} {becomes}:\n{refused}", left_out.path)
        };
        self.config.left_out().iter().map(told).collect()
    }
}

/// Puts a remark into the log.
pub(crate) fn log_remark(level: Level, remark: &str) {
    match level {
        Level::ERROR => tracing::error!("{remark}"),
        Level::WARN => tracing::warn!("{remark}"),
        _ => tracing::info!("{remark}"),
    }
}
