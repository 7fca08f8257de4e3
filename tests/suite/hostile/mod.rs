//! Libraries that do what no process should, in the agent and in children, beside five good collectors that miss no tick.

mod beside;
mod child;
