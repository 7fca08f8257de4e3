//! What `[agent]` says as far as it can be read, of a config that may be refused: where the copy of a good one lies, where the
//! running agent is asked.
#![forbid(unsafe_code)]

use std::path::Path;

use plugin_api::host_side::fault::Sources;
use plugin_api::host_side::options::check;
use plugin_api::host_side::tree::Table;

use super::agent::{self, AgentSettings};
use super::layers::{self, Environment};
use super::merge::merge;

/// Reads every layer at `explicit`, or where they are by default, drop-ins at fault too. What is wrong is told nobody; a value at
/// fault is its default.
#[must_use]
pub fn read(explicit: Option<&Path>, environment: &Environment) -> AgentSettings {
    let (mut sources, mut merged) = (Sources::default(), Table::default());
    for layer in layers::read(explicit, &|_| None, environment, &mut sources) {
        merge(&mut merged, layer.table);
    }
    let (given, at) = super::agent_table(&merged);
    let settings = check(&agent::declared(), given, at, &layers::read_secret, &mut sources, &mut Vec::new());
    AgentSettings::new(&settings, environment)
}
