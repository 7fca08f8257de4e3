//! Libraries that do what no process should, in the agent and in children, beside five good collectors that miss no tick.

mod agent;
mod auto;
pub mod beside;
mod budgets;
mod child;
mod lies;
