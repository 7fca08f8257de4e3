//! What everything is to cost, in `baseline.toml` beside this file, and how it is held against what it costs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::desk::workspace;
use crate::valgrind::Counted;

/// By how many percent a count may be above the baseline: noise is below a tenth of one, and a change that pays for something is renewed.
pub const TOLERATED: u64 = 5;
/// What makes a baseline.
const RENEW: &str = "cargo bench -p perfwatch --bench counts -- --renew";

/// Counts, and by what they were made.
#[derive(Debug, Deserialize, Serialize)]
pub struct Baseline {
    made_by: BTreeMap<String, String>,
    instructions: BTreeMap<String, u64>,
    #[serde(skip)]
    values: BTreeMap<String, u64>,
}

impl Baseline {
    /// Of what was counted here.
    pub fn here(Counted { instructions, values }: Counted) -> Baseline {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let made_by = [
            ("rustc", first_line(&rustc, &["--version"])),
            ("libc", first_line("getconf", &["GNU_LIBC_VERSION"])),
            ("valgrind", first_line("valgrind", &["--version"])),
            ("arch", std::env::consts::ARCH.into()),
        ];
        Baseline { made_by: made_by.map(|(name, value)| (name.into(), value)).into(), instructions, values }
    }

    /// The one that is kept.
    pub fn read() -> Baseline {
        toml::from_str(&fs::read_to_string(path()).unwrap()).unwrap()
    }

    /// Keeps it.
    pub fn write(&self) {
        let mut text =
            format!("# Instructions of one round: written by `{RENEW}`, read by the same without `-- --renew`.\n");
        let (made_by, instructions) = (&self.made_by, &self.instructions);
        text.push_str("[made_by]\n");
        made_by.iter().for_each(|(name, value)| text.push_str(&format!("{name} = {value:?}\n")));
        text.push_str("\n[instructions]\n");
        instructions.iter().for_each(|(name, count)| text.push_str(&format!("{name:?} = {count}\n")));
        fs::write(path(), text).unwrap();
        println!("{} is written", path().display());
    }

    /// Prints each count beside the kept one, and tells whether none is too far above it.
    pub fn holds_against(&self, kept: &Baseline) -> bool {
        let mut dearer = Vec::new();
        println!("{:<28} {:>10} {:>10} {:>8}", "instructions", "now", "baseline", "");
        for (name, now) in &self.instructions {
            let Some(before) = kept.instructions.get(name) else {
                println!("{name:<28} {now:>10} {:>10}", "none");
                dearer.push(name);
                continue;
            };
            println!("{name:<28} {now:>10} {before:>10} {:>+7.2}%", (*now as f64 / *before as f64 - 1.0) * 100.0);
            if now * 100 > before * (100 + TOLERATED) {
                dearer.push(name);
            }
        }
        for (host, values) in &self.values {
            let both = self.instructions[&format!("assemble.{host}")] + self.instructions[&format!("encode.{host}")];
            println!("{host}: {values} values, {} instructions a value from readings to JSON", both / values);
        }
        let gone: Vec<_> = kept.instructions.keys().filter(|name| !self.instructions.contains_key(*name)).collect();
        if dearer.is_empty() && gone.is_empty() {
            return true;
        }
        if !dearer.is_empty() {
            println!("over the baseline by more than {TOLERATED} %, or not in it: {dearer:?}");
        }
        if !gone.is_empty() {
            println!("in the baseline and not counted any more: {gone:?}");
        }
        if self.made_by != kept.made_by {
            println!(
                "not held against it: the baseline was made by {:?}, and here are {:?}",
                kept.made_by, self.made_by
            );
            return true;
        }
        println!("if it is worth that, renew the baseline with the change: {RENEW}");
        false
    }
}

fn path() -> PathBuf {
    workspace().join("agent/benches/counts/baseline.toml")
}

fn first_line(program: &str, words: &[&str]) -> String {
    let said = Command::new(program).args(words).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().into()
}
