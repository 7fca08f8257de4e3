//! Kernel files that are missing, empty, cut, garbage or full of huge numbers; and counters that fall.
//!
//! For each file and damage one child: made on the damaged file, read again when it is whole, and once more when it is damaged in place, as
//! a descriptor that is held sees it.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::host::Tree;
use super::readings::Taken;
use super::rehearsal::{End, Ran};
use super::report::{Check, Finding};
use super::seen::{Place, Seen, Value};

/// All damages together take no longer. A plugin of ten files is through in half of it.
const WITHIN: Duration = Duration::from_millis(1500);
/// Of garbage, at least.
const GARBAGE_BYTES: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Damage {
    Missing,
    Empty,
    Cut,
    Garbage,
    Huge,
}

impl Damage {
    const ALL: [Damage; 5] = [Damage::Missing, Damage::Empty, Damage::Cut, Damage::Garbage, Damage::Huge];

    fn check(self) -> &'static str {
        match self {
            Damage::Missing => "files_missing",
            Damage::Empty => "files_empty",
            Damage::Cut => "files_cut",
            Damage::Garbage => "files_garbage",
            Damage::Huge => "files_huge",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Damage::Missing => "is missing",
            Damage::Empty => "is empty",
            Damage::Cut => "is cut short",
            Damage::Garbage => "is garbage",
            Damage::Huge => "has 2^64 - 1 for each number",
        }
    }

    /// What is left of it.
    fn of(self, content: &[u8]) -> Option<Vec<u8>> {
        match self {
            Damage::Missing => None,
            Damage::Empty => Some(Vec::new()),
            Damage::Cut => Some(cut(content).to_vec()),
            Damage::Garbage => Some(garbage(content.len().max(GARBAGE_BYTES))),
            Damage::Huge => Some(numbers(content, |_| u64::MAX.to_string())),
        }
    }

    /// Whether what it would have said of the file cannot be known any more.
    fn is_total(self) -> bool {
        matches!(self, Damage::Missing | Damage::Empty | Damage::Garbage)
    }
}

/// All that is to be seen on a copy of its files.
#[must_use]
pub fn checks(desk: &Desk, taken: &Taken) -> Vec<Check> {
    let names = ["other_root"].into_iter().chain(Damage::ALL.map(Damage::check)).chain(["counters_fall"]);
    let skipped = |why: &str| names.clone().map(|name| Check::skipped(name, why)).collect();
    let tree = match Tree::of(desk, taken.agent_calls.calls.as_deref().ok()) {
        Ok(tree) => tree,
        Err(why) => return skipped(&why),
    };
    let whole = desk.run(tree.start(desk), 2);
    let mut checks = vec![other_root(desk, &tree, &whole)];
    let kinds = tree.kinds();
    if kinds.is_empty() || whole.end != End::Answered || whole.error().is_some() {
        let why = "there is no kernel file that it reads under another root";
        checks.extend(names.skip(1).map(|name| Check::skipped(name, why)));
        return checks;
    }
    let base = Base::of(&whole);
    let begun = Instant::now();
    let mut findings = Damage::ALL.map(|_| Vec::new());
    let (mut tried, mut hung) = (0, BTreeSet::new());
    for path in &kinds {
        if begun.elapsed() > WITHIN {
            break;
        }
        tried += 1;
        for (at, damage) in Damage::ALL.into_iter().enumerate().filter(|(at, _)| !hung.contains(at)).collect::<Vec<_>>()
        {
            let ran = damaged(desk, &tree, path, damage);
            if matches!(ran.end, End::Hung(_)) {
                hung.insert(at);
            }
            findings[at].extend(judge(&tree, path, damage, &ran, &base));
        }
    }
    let of = match tried {
        tried if tried == kinds.len() => format!("{tried} files"),
        tried => format!("{tried} of {} files, as the time was over", kinds.len()),
    };
    for (damage, findings) in Damage::ALL.into_iter().zip(findings) {
        checks.push(Check::new(damage.check(), format!("{of}, each of which {}", damage.word()), findings));
    }
    checks.push(falls(desk, &tree, &base));
    checks
}

/// What it says when all is there, as far as it says the same twice.
struct Base {
    seen: Seen,
    steady: BTreeSet<Place>,
}

impl Base {
    fn of(whole: &Ran) -> Base {
        let seen = whole.seen.first().cloned().unwrap_or_default();
        let again = whole.seen.get(1).cloned().unwrap_or_default();
        let steady = seen.values.iter().filter(|(place, value)| again.values.get(*place) == Some(*value));
        Base { steady: steady.map(|(place, _)| place.clone()).collect(), seen }
    }
}

/// Whether it reads the host where that is, which a container mounts elsewhere.
fn other_root(desk: &Desk, tree: &Tree, whole: &Ran) -> Check {
    let mut findings = Vec::new();
    let change = "open files below host.proc(), host.sys() and host.root(): a container mounts the host elsewhere";
    if let Some(fault) = whole.fault() {
        findings.push(Finding::failure(format!("on a copy of the files that it reads: {fault}"), change));
    } else if let Some((_, error)) = whole.error() {
        // It says so, and nobody is told what is not true.
        let error = tree.words(error);
        findings.push(Finding::remark(format!("on a copy of the files that it reads: {error}"), change));
    }
    let traced = desk.run_traced(tree.start(desk), 1);
    let astray = super::sandbox::kernel_files(&tree.astray(&traced));
    if !astray.is_empty() {
        let list = astray.into_iter().collect::<Vec<_>>().join(", ");
        findings.push(Finding::remark(
            format!("it opens files of this machine although its host is elsewhere: {list}"),
            change,
        ));
    }
    Check::new("other_root", "its files below another root, as a container mounts a host", findings)
}

/// Made on the damaged file; then it is whole, then damaged again.
fn damaged(desk: &Desk, tree: &Tree, path: &Path, damage: Damage) -> Ran {
    let content = tree.content(path);
    let left = damage.of(content);
    let mut before = |number: usize| tree.put(path, if number == 1 { Some(content) } else { left.as_deref() });
    let ran = desk.run_with(tree.start(desk), 3, &mut before);
    match tree.put(path, Some(content)) {
        Ok(()) => ran,
        Err(why) => Ran::not_tried(why),
    }
}

fn judge(tree: &Tree, path: &Path, damage: Damage, ran: &Ran, base: &Base) -> Vec<Finding> {
    let file = format!("/{} {}", path.display(), damage.word());
    let mut findings = Vec::new();
    if let Some(fault) = ran.fault() {
        findings.push(Finding::failure(format!("{file}: {fault}"), "return an Error that names the file, and go on"));
        return findings;
    }
    if let Some(panic) = ran.panic() {
        let change = "believe no file: use plugin_api::scan, checked arithmetic, and `get` instead of an index";
        findings.push(Finding::failure(format!("{file}: it panics: {}", tree.words(panic)), change));
        return findings;
    }
    if let Some(seen) = ran.seen.iter().find(|seen| seen.refused.0 > base.seen.refused.0) {
        let what = format!("{file}: {} is set to what its declaration does not allow", seen.refused.1);
        findings.push(Finding::failure(what, "set nothing where nothing is known: null is what that is for"));
    }
    for seen in ran.seen.iter().step_by(2).filter(|_| damage.is_total()) {
        if let Some(nonsense) = nonsense(damage, seen, base) {
            let change = "leave it null, or tell what failed by part_failed, or return an Error";
            findings.push(Finding::failure(format!("{file}: {nonsense}, and it says nothing of it"), change));
            break;
        }
    }
    if let Some((_, error)) = ran.seen.get(1).and_then(|seen| seen.error.as_ref()) {
        let what = format!("{file}, then whole again: it still fails: {}", tree.words(error));
        findings.push(Finding::remark(what, "open the file anew after an error: files and devices come back"));
    }
    findings
}

/// A value that cannot come from anywhere: another than with the file, and not a word that something is wrong.
fn nonsense(damage: Damage, seen: &Seen, base: &Base) -> Option<String> {
    if !seen.is_whole() || base.seen.values.keys().any(|place| !seen.values.contains_key(place)) {
        return None;
    }
    let changed =
        base.steady.iter().filter_map(|place| Some((place, seen.values.get(place)?, base.seen.values.get(place)?)));
    // A text of the file is whatever is in the file.
    let mut changed = changed.filter(|(_, now, _)| damage != Damage::Garbage || !matches!(now, Value::Text(_)));
    let (place, now, before) = changed.find(|(_, now, before)| now != before)?;
    Some(format!("{place} is {now}, where it was {before}"))
}

/// Each number of each file is half of what it was, and then as before: whoever counts sees a counter fall.
fn falls(desk: &Desk, tree: &Tree, base: &Base) -> Check {
    let half = |content: &[u8]| numbers(content, |number| (number / 2).to_string());
    let mut before = |number: usize| match number {
        1 => tree.put_all(half),
        _ => tree.put_all(<[u8]>::to_vec),
    };
    let ran = desk.run_with(tree.start(desk), 3, &mut before);
    let mut findings = Vec::new();
    let change = "a counter that fell has begun anew: take the difference by checked_sub, and null where there is none; or report the counter, and have the agent derive the rate";
    if let Some(fault) = ran.fault().or(ran.panic().map(|panic| format!("it panics: {}", tree.words(panic)))) {
        findings.push(Finding::failure(format!("when counters fall: {fault}"), change));
    }
    for (place, value) in ran.seen.iter().skip(1).flat_map(|seen| &seen.values) {
        let was_fine = base.seen.values.get(place).is_none_or(|before| !is_below_zero(before));
        if was_fine && is_below_zero(value) {
            findings.push(Finding::failure(format!("when counters fall, {place} is {value}"), change));
        }
    }
    Check::new("counters_fall", "all numbers halved between two readings, and back", findings)
}

/// Negative, or what is negative in a number without a sign.
fn is_below_zero(value: &Value) -> bool {
    match value {
        Value::Number(number) => *number < 0.0,
        Value::Count(count) => *count > u64::MAX / 2,
        _ => false,
    }
}

/// The lines of its first half; of a single line, half of it.
fn cut(content: &[u8]) -> &[u8] {
    let half = &content[..content.len() / 2];
    half.iter().rposition(|&byte| byte == b'\n').map_or(half, |end| &content[..=end])
}

/// Bytes without sense, and without a digit that could make some: the same each time.
fn garbage(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).map(|byte| if byte.is_ascii_digit() { b' ' } else { byte }).collect()
}

/// With each number that stands by itself made another.
fn numbers(content: &[u8], change: impl Fn(u64) -> String) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    for word in content.split_inclusive(|byte| byte.is_ascii_whitespace()) {
        let end = word.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |at| at + 1);
        let number = std::str::from_utf8(&word[..end]).ok().and_then(|word| word.parse::<u64>().ok());
        match number {
            Some(number) => out.extend(change(number).bytes()),
            None => out.extend(&word[..end]),
        }
        out.extend(&word[end..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_stand_by_themselves_are_changed_and_names_are_not() {
        let half = |text: &str| String::from_utf8(numbers(text.as_bytes(), |number| (number / 2).to_string())).unwrap();
        assert_eq!(half("cpu0 10 20\n\neth0: 7 x\n"), "cpu0 5 10\n\neth0: 3 x\n");
        assert_eq!([half(""), half("8"), half("\n")], ["", "4", "\n"]);
    }

    #[test]
    fn files_are_cut_at_the_end_of_a_line_where_there_are_lines() {
        assert_eq!([cut(b"one\ntwo\nthree\n"), cut(b"abcd"), cut(b"")], [&b"one\n"[..], b"ab", b""]);
        assert!(garbage(1000).iter().all(|byte| !byte.is_ascii_digit()));
    }

    #[test]
    fn what_is_silent_and_another_value_is_nonsense() {
        let place = |metric: &str| Place { metric: metric.into(), row: String::new() };
        let seen = |values: &[(&str, u64)]| Seen {
            values: values.iter().map(|(metric, value)| (place(metric), Value::Count(*value))).collect(),
            ..Seen::default()
        };
        let base = Base { seen: seen(&[("a", 1), ("b", 2)]), steady: [place("a")].into() };
        let judge = |seen: &Seen| nonsense(Damage::Missing, seen, &base);
        assert_eq!(judge(&seen(&[("a", 0), ("b", 2)])).as_deref(), Some("a is 0, where it was 1"));
        assert_eq!(judge(&seen(&[("a", 1), ("b", 7)])), None, "b moves by itself");
        assert_eq!(judge(&seen(&[("a", 0)])), None, "b is null, which says it");
        let told = Seen { notes: vec!["a: gone".into()], ..seen(&[("a", 0), ("b", 2)]) };
        assert_eq!(judge(&told), None);
    }
}
