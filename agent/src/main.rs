//! PerfWatch, a host metrics agent.
fn main() {}
