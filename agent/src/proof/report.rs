//! What was examined and what came of it, as text for a person or as one JSON document for a program. Pure.
//!
//! The names of checks and the keys of the JSON are stable: something is added, nothing renamed.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// Findings of one check that are told: an author mends the first, and runs it again.
pub const FINDINGS_MAX: usize = 8;
/// Bytes of one text; a plugin's own words may be any number.
const TEXT_BYTES: usize = 600;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It could not be tried, and why is in `seen`.
    Skipped,
    /// All is as it should be.
    Passed,
    /// It can be used; there is something to know or to better.
    Remark,
    /// It has to be changed.
    Failed,
}

impl Verdict {
    /// As it is printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Skipped => "skipped",
            Verdict::Passed => "passed",
            Verdict::Remark => "remark",
            Verdict::Failed => "failed",
        }
    }
}

/// One thing that was found, and what to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    #[serde(skip)]
    verdict: Verdict,
    /// What was found.
    pub what: String,
    /// What ends it.
    pub change: String,
}

impl Finding {
    /// It has to be changed.
    #[must_use]
    pub fn failure(what: impl Into<String>, change: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Failed, what: brief(what.into()), change: brief(change.into()) }
    }

    /// It is to be known.
    #[must_use]
    pub fn remark(what: impl Into<String>, change: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Remark, ..Finding::failure(what, change) }
    }
}

/// One thing that was examined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen, in a line; of what was skipped, why.
    pub seen: String,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Check {
    /// As bad as the worst of what was found.
    #[must_use]
    pub fn new(name: &'static str, seen: impl Into<String>, mut findings: Vec<Finding>) -> Check {
        let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Passed);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        let more = findings.len().saturating_sub(FINDINGS_MAX);
        findings.truncate(FINDINGS_MAX);
        if more > 0 {
            findings.push(Finding::remark(format!("{more} more of the kind"), "mend these first"));
        }
        Check { name, verdict, seen: brief(seen.into()), findings }
    }

    /// It could not be tried.
    #[must_use]
    pub fn skipped(name: &'static str, why: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Skipped, seen: brief(why.into()), findings: Vec::new() }
    }
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The plugin's name.
    pub plugin: String,
    /// The library.
    pub file: String,
    /// Its contract.
    pub contract: String,
    /// With which options, and where they are from.
    pub options: String,
    /// What was examined, in this order.
    pub checks: Vec<Check>,
    /// How long all of it took.
    pub seconds: f64,
}

impl Report {
    /// The worst of it; what was skipped makes nothing worse.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Passed).max(Verdict::Passed)
    }

    /// Whether it could be loaded at all.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.checks.first().is_some_and(|check| check.verdict != Verdict::Failed)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// For a person: a line a check, what was found below it, and a line for all.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} (contract {}), {}\n{}\n\n", self.plugin, self.contract, self.file, self.options);
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let indent = " ".repeat(width + 11);
        for check in &self.checks {
            line(
                &mut text,
                format_args!("{:<8} {:width$}  {}", check.verdict.word(), check.name, one_line(&check.seen)),
            );
            for finding in &check.findings {
                line(&mut text, format_args!("{indent}{}", below(&finding.what, &indent)));
                line(&mut text, format_args!("{indent}  -> {}", below(&finding.change, &indent)));
            }
        }
        let counts = [Verdict::Passed, Verdict::Failed, Verdict::Remark, Verdict::Skipped];
        let counts = counts.map(|verdict| match (self.count(verdict), verdict) {
            (0, Verdict::Remark) => "no remark".into(),
            (1, Verdict::Remark) => "1 with a remark".into(),
            (count, Verdict::Remark) => format!("{count} with remarks"),
            (count, verdict) => format!("{count} {}", verdict.word()),
        });
        let seconds = self.seconds;
        line(&mut text, format_args!("\n{}: {} in {seconds:.1} s", self.conclusion(), counts.join(", ")));
        text
    }

    fn conclusion(&self) -> &'static str {
        match self.verdict() {
            Verdict::Failed => "to be mended",
            Verdict::Remark => "good, with remarks",
            _ => "good",
        }
    }

    /// For a program: one document.
    #[must_use]
    pub fn json(&self) -> String {
        let mut document = serde_json::to_value(self).unwrap_or_default();
        let counts = [Verdict::Passed, Verdict::Failed, Verdict::Remark, Verdict::Skipped];
        document["verdict"] = if self.verdict() == Verdict::Failed { "failed" } else { "passed" }.into();
        document["counts"] = counts
            .iter()
            .map(|verdict| (verdict.word().to_owned(), self.count(*verdict).into()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        format!("{document:#}\n")
    }
}

/// A time that a person can compare: `1.2 ms`.
#[must_use]
pub fn short(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.0} us"),
        ..1e6 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

fn brief(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push_str(" ...");
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn below(text: &str, indent: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{indent}"))
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(words);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(checks: Vec<Check>) -> Report {
        Report {
            plugin: "ups".into(),
            file: "./libperfwatch_ups.so".into(),
            contract: "1.0".into(),
            options: "its defaults".into(),
            checks,
            seconds: 1.25,
        }
    }

    fn mixed() -> Report {
        report(vec![
            Check::new("loads", "in 3 ms", Vec::new()),
            Check::new("output", "2 lines", vec![Finding::failure("it prints: \"a\"", "use host.log")]),
            Check::new("reads", "one more", vec![Finding::remark("opens /proc/stat", "reads = [\"/proc/stat\"]")]),
            Check::skipped("testcases", "there is no\nfolder"),
        ])
    }

    #[test]
    fn text_has_a_line_for_each_check_and_what_to_change_below_it() {
        let expected = "\
ups (contract 1.0), ./libperfwatch_ups.so
its defaults

passed   loads      in 3 ms
failed   output     2 lines
                    it prints: \"a\"
                      -> use host.log
remark   reads      one more
                    opens /proc/stat
                      -> reads = [\"/proc/stat\"]
skipped  testcases  there is no folder

to be mended: 1 passed, 1 failed, 1 with a remark, 1 skipped in 1.2 s
";
        assert_eq!(mixed().text(), expected);
    }

    #[test]
    fn json_is_one_document_with_names_that_stay() {
        let document: serde_json::Value = serde_json::from_str(&mixed().json()).unwrap();
        let expected = serde_json::json!({
            "plugin": "ups", "file": "./libperfwatch_ups.so", "contract": "1.0", "options": "its defaults",
            "verdict": "failed", "seconds": 1.25,
            "counts": { "passed": 1, "failed": 1, "remark": 1, "skipped": 1 },
            "checks": [
                { "name": "loads", "verdict": "passed", "seen": "in 3 ms", "findings": [] },
                { "name": "output", "verdict": "failed", "seen": "2 lines",
                  "findings": [{ "what": "it prints: \"a\"", "change": "use host.log" }] },
                { "name": "reads", "verdict": "remark", "seen": "one more",
                  "findings": [{ "what": "opens /proc/stat", "change": "reads = [\"/proc/stat\"]" }] },
                { "name": "testcases", "verdict": "skipped", "seen": "there is no\nfolder", "findings": [] },
            ],
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn remark_and_what_was_skipped_do_not_fail_a_plugin() {
        let remark = Check::new("reads", "", vec![Finding::remark("a", "b")]);
        assert_eq!(report(vec![Check::skipped("x", "why")]).verdict(), Verdict::Passed);
        assert_eq!(report(vec![remark, Check::skipped("x", "why")]).verdict(), Verdict::Remark);
        assert_eq!(mixed().verdict(), Verdict::Failed);
    }

    #[test]
    fn failure_is_told_before_remarks_and_a_flood_of_either_is_cut() {
        let mut findings: Vec<_> = (0..20).map(|number| Finding::remark(number.to_string(), "")).collect();
        findings.push(Finding::failure("worst", ""));
        let check = Check::new("reads", "x".repeat(5000), findings);
        assert_eq!((check.verdict, check.findings.len()), (Verdict::Failed, FINDINGS_MAX + 1));
        assert_eq!((&*check.findings[0].what, &*check.findings[FINDINGS_MAX].what), ("worst", "13 more of the kind"));
        assert!(check.seen.len() < TEXT_BYTES + 10);
    }
}
