//! What changes while the agent runs, by `perfwatch reload` and by SIGHUP: what is to change does, and nothing else is touched.

mod changes;
mod hangs;
mod refusals;
mod released;
mod scene;
mod sinks;
mod storms;
mod swaps;
mod thousand;
mod variant;
