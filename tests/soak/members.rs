//! The collectors that misbehave, and their scripts.
//!
//! A script ends in a panic: the next reading is of a new instance, which reads the script anew. It is overwritten in the meantime, in
//! place, since a sandbox knows a file and not its name.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::chance::Chance;

/// Readings of a script: 40 s.
const READINGS: u64 = 400;
/// Good readings at the beginning of a script, so that those who die by it die fewer than twenty times a minute.
const GOOD_BEFORE: u64 = 45;
/// All scripts are of one length, so that one is never half there.
const BYTES: usize = 64 << 10;

/// A collector that misbehaves.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) isolation: &'static str,
    /// How many of 1000 readings are bad ones.
    per_mille: u64,
    bad: &'static [Bad],
    good_before: u64,
    /// More of its table.
    more: &'static str,
}

enum Bad {
    /// As it stands.
    As(&'static str),
    /// A sleep of so many milliseconds, from and to.
    Sleep(u64, u64),
    /// A counter that is anywhere.
    Backwards,
}

use Bad::{As, Backwards, Sleep};

const FAILURES: &[Bad] =
    &[As("error=\"no luck\""), As("panic=\"lost my head\""), As("unavailable=\"gone\""), As("denied=\"not for you\"")];
const FLOODS: &[Bad] =
    &[As("flood=20000"), As("flood=3000"), As("value=1 flood_text=2000000"), As("flood_text=1000000 flood=500")];
const CRASHES: &[Bad] = &[As("exit=3"), As("exit=0"), As("abort=now")];
const HANGS: &[Bad] = &[As("hang=forever"), Sleep(200, 3000)];
const ALL: &[Bad] = &[
    As("error=\"no luck\""),
    As("panic=\"lost my head\""),
    As("unavailable=\"gone\""),
    As("flood=20000"),
    As("value=2 flood_text=2000000"),
    As("exit=3"),
    As("abort=now"),
    As("hang=forever"),
    As("allocate=100000 value=3"),
    As("print=\"not for the data\" value=4"),
    As("part.a=\"no answer\" rows.b!=\"no answer\" value=5"),
    Sleep(1, 300),
    Backwards,
];

const fn member(
    name: &'static str,
    isolation: &'static str,
    per_mille: u64,
    bad: &'static [Bad],
    more: &'static str,
) -> Member {
    // Readings a second apart are four seconds apart after four; and who never answers, or is doomed, begins at once.
    let good_before = match (more.is_empty(), per_mille >= 500) {
        (_, true) => 0,
        (false, _) => 4,
        (true, _) => GOOD_BEFORE,
    };
    Member { name, isolation, per_mille, bad, good_before, more }
}

/// All of them. Deaths stay below the twenty a minute that end a collector, but for those of `doomed`.
pub(crate) static MEMBERS: [Member; 17] = [
    member("hanging", "process", 10, HANGS, ""),
    member("crashing", "process", 15, CRASHES, ""),
    // Killed after three timeouts, long before its next tick.
    member("seldom", "process", 150, &[Sleep(50, 900), As("hang=forever")], "interval = \"1s\"\ntimeout = \"100ms\"\n"),
    member("flooding", "process", 30, FLOODS, ""),
    member("failing", "process", 200, FAILURES, ""),
    member("mixed", "process", 20, ALL, ""),
    // Dies of others' hands only.
    member("innocent", "process", 0, &[], ""),
    member("lying", "process", 300, &[Backwards, As("part.a=\"no answer\" rows.b!=\"no answer\"")], ""),
    // Never answers.
    member("hopeless", "process", 1000, CRASHES, ""),
    // Answers, and dies too often.
    member("doomed", "process", 500, CRASHES, ""),
    member("agent_slow", "none", 50, &[Sleep(1, 30), Sleep(1, 30), Sleep(100, 2000)], ""),
    member("agent_failing", "none", 100, FAILURES, ""),
    member("agent_flooding", "none", 10, FLOODS, ""),
    // Once, and for ever.
    member("agent_hanging", "none", 5, &[As("hang=forever")], ""),
    member("auto_good", "auto", 0, &[], ""),
    member("auto_hanging", "auto", 10, HANGS, ""),
    member("auto_failing", "auto", 20, FAILURES, ""),
];

impl Member {
    pub(crate) fn config(&self) -> String {
        let Member { name, isolation, more, .. } = self;
        format!(
            "[collectors.{name}]\nplugin = \"mock\"\nisolation = \"{isolation}\"\noptions = {{ script = \"{name}\" }}\n{more}"
        )
    }

    /// Whether its script changes as time goes by.
    pub(crate) fn changes(&self) -> bool {
        self.per_mille > 0
    }

    /// A script of it.
    pub(crate) fn script(&self, chance: &mut Chance) -> String {
        let mut script = String::with_capacity(BYTES);
        for count in 0..READINGS {
            // Writing to a string does not fail.
            let _ = if count >= self.good_before && chance.below(1000) < self.per_mille {
                match chance.of(self.bad) {
                    As(words) => writeln!(script, "{words}"),
                    Sleep(from, to) => writeln!(script, "sleep={}ms value=1", from + chance.below(to - from)),
                    Backwards => {
                        let count = chance.below(u64::MAX);
                        writeln!(script, "count={count} rows.a.count={count} level=-{}", count / 4)
                    }
                }
            } else {
                writeln!(script, "value=1.5 count={count} rows.a.count={count} text=\"so far so good\"")
            };
        }
        if self.changes() {
            script.push_str("panic=\"the end of the script\"\n");
        }
        script.push('#');
        while script.len() < BYTES {
            script.push(' ');
        }
        script
    }
}

/// Puts a script into the place of another.
pub(crate) fn overwrite(path: &Path, script: &str) {
    let file = OpenOptions::new().write(true).open(path).expect("the script is there");
    file.write_all_at(script.as_bytes(), 0).expect("as many bytes as it had");
}
