//! One target under libFuzzer: `FUZZ_TARGET` says which.
#![no_main]

use std::sync::LazyLock;

use fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let found = TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("FUZZ_TARGET is `{name}`, and the targets are {}", names.join(", ")))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.run)(input));
