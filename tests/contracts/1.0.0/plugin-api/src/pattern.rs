//! Shell patterns with `!`, for options that name devices, mounts, interfaces: `["*", "!loop*"]`.
//!
//! The rule: in order, the last pattern that matches decides; a list of `!` alone starts from everything; an empty
//! list names nothing. Compiled once, matched without allocation, in time bounded by pattern length × name length.
//!
//! `*` is any run of bytes, a `/` or a leading dot included (a mount is named by its whole path); `?` one byte;
//! `[a-z]`, `[!a-z]` one byte of a set, in which a `]` that comes first and a `-` that comes first or last stand for
//! themselves; `\` takes away the next byte's meaning. A `[` that nothing closes is a plain byte: there is no pattern
//! that does not compile, as in a shell.
//!
//! ```
//! use plugin_api::pattern::Patterns;
//!
//! let devices = Patterns::new(&["*", "!loop*"]);
//! assert!(devices.matches(b"sda") && !devices.matches(b"loop0"));
//! ```
#![forbid(unsafe_code)]

/// A list of patterns.
#[derive(Clone, Debug)]
pub struct Patterns {
    /// What holds before the first pattern.
    start: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    takes: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Byte(u8),
    One,
    Any,
    Set { not: bool, ranges: Vec<(u8, u8)> },
}

impl Patterns {
    /// Compiles a list.
    pub fn new(patterns: &[impl AsRef<str>]) -> Patterns {
        let rules: Vec<Rule> = patterns
            .iter()
            .map(|pattern| match pattern.as_ref().strip_prefix('!') {
                Some(pattern) => Rule { takes: false, steps: compile(pattern.as_bytes()) },
                None => Rule { takes: true, steps: compile(pattern.as_ref().as_bytes()) },
            })
            .collect();
        Patterns { start: !rules.is_empty() && rules.iter().all(|rule| !rule.takes), rules }
    }

    /// Whether the list names `name`.
    pub fn matches(&self, name: &[u8]) -> bool {
        let last = self.rules.iter().rev().find(|rule| fits(&rule.steps, name));
        last.map_or(self.start, |rule| rule.takes)
    }

    /// Whether the pattern that decides on `name` is `name` itself, without wildcards: somebody asks for just this one.
    pub fn names(&self, name: &[u8]) -> bool {
        let last = self.rules.iter().rev().find(|rule| fits(&rule.steps, name));
        last.is_some_and(|rule| rule.takes && rule.steps.iter().all(|step| matches!(step, Step::Byte(_))))
    }
}

fn compile(mut pattern: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some((first, rest)) = pattern.split_first() {
        pattern = rest;
        steps.push(match first {
            b'*' => Step::Any,
            b'?' => Step::One,
            b'\\' => match rest.split_first() {
                Some((byte, rest)) => {
                    pattern = rest;
                    Step::Byte(*byte)
                }
                None => Step::Byte(b'\\'),
            },
            b'[' => match set(rest) {
                Some((step, rest)) => {
                    pattern = rest;
                    step
                }
                None => Step::Byte(b'['),
            },
            byte => Step::Byte(*byte),
        });
    }
    steps.dedup_by(|next, step| *next == Step::Any && *step == Step::Any);
    steps
}

/// The set that follows a `[`, and what follows it; none where it is not closed.
fn set(pattern: &[u8]) -> Option<(Step, &[u8])> {
    let (not, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [b']', rest @ ..] if !ranges.is_empty() => return Some((Step::Set { not, ranges }, rest)),
            [low, b'-', high, rest @ ..] if *high != b']' => {
                ranges.push((*low, *high));
                rest
            }
            [byte, rest @ ..] => {
                ranges.push((*byte, *byte));
                rest
            }
            [] => return None,
        };
    }
}

/// Only the last `*` needs to be gone back to: what an earlier one would take, the last can take as well.
fn fits(steps: &[Step], name: &[u8]) -> bool {
    let (mut step, mut at) = (0, 0);
    let mut back = None;
    while at < name.len() {
        match steps.get(step) {
            Some(Step::Any) => {
                back = Some((step + 1, at));
                step += 1;
            }
            Some(one) if one.takes(name[at]) => (step, at) = (step + 1, at + 1),
            _ => match &mut back {
                Some((after, from)) => {
                    *from += 1;
                    (step, at) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    steps[step..].iter().all(|step| *step == Step::Any)
}

impl Step {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Step::Byte(own) => *own == byte,
            Step::One => true,
            Step::Any => false,
            Step::Set { not, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *not,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(pattern: &str, name: &str) -> bool {
        Patterns::new(&[pattern]).matches(name.as_bytes())
    }

    #[test]
    fn the_last_that_matches_decides() {
        let patterns = Patterns::new(&["*", "!veth*", "veth0"]);
        assert!(patterns.matches(b"eth0"));
        assert!(!patterns.matches(b"veth1"));
        assert!(patterns.matches(b"veth0"));
        assert!(!Patterns::new(&["eth0", "!*"]).matches(b"eth0"));
    }

    #[test]
    fn a_list_of_exceptions_alone_starts_from_everything() {
        let patterns = Patterns::new(&["!lo", "!veth*"]);
        assert!(patterns.matches(b"eth0"));
        assert!(!patterns.matches(b"lo"));
    }

    #[test]
    fn an_empty_list_names_nothing() {
        let none: [&str; 0] = [];
        assert!(!Patterns::new(&none).matches(b"eth0"));
    }

    #[test]
    fn what_is_named_without_wildcards_is_told_from_what_merely_fits() {
        let patterns = Patterns::new(&["*", "/mnt/nfs", "/srv/[a]", "/opt", "!/opt"]);
        assert!(patterns.names(b"/mnt/nfs"));
        assert!(!patterns.names(b"/home"), "a wildcard took it");
        assert!(!patterns.names(b"/srv/a"), "a set is a wildcard");
        assert!(!patterns.names(b"/opt"), "taken away again");
        assert!(!Patterns::new(&["/mnt/nfs", "*"]).names(b"/mnt/nfs"), "the last that matches decides");
    }

    #[test]
    fn a_name_is_matched_whole() {
        assert!(one("sda", "sda"));
        assert!(!one("sda", "sda1"));
        assert!(!one("sda", "xsda"));
        assert!(!one("", "a"));
        assert!(one("", ""));
    }

    #[test]
    fn stars_take_any_run_and_slashes_with_it() {
        assert!(one("/mnt/*", "/mnt/a/b"));
        assert!(one("*", ""));
        assert!(one("a*b*c", "a--b--b-c"));
        assert!(!one("a*b*c", "a--b--b-"));
        assert!(one("**a", "za"));
    }

    #[test]
    fn a_question_mark_is_one_byte() {
        assert!(one("sd?", "sda"));
        assert!(!one("sd?", "sd"));
        assert!(!one("sd?", "sda1"));
    }

    #[test]
    fn sets_have_ranges_and_negation() {
        assert!(one("sd[a-c]", "sdb"));
        assert!(!one("sd[a-c]", "sdd"));
        assert!(one("sd[!a-c]", "sdd"));
        assert!(!one("sd[^a-c]", "sda"));
        assert!(one("x[]a]", "x]"));
        assert!(one("x[a-]", "x-"));
        assert!(one("x[!]]", "xa"));
        assert!(!one("x[!]]", "x]"));
    }

    #[test]
    fn an_open_bracket_that_nothing_closes_is_itself() {
        assert!(one("a[b", "a[b"));
        assert!(one("a[]", "a[]"));
    }

    #[test]
    fn a_backslash_takes_away_a_meaning() {
        assert!(one(r"a\*", "a*"));
        assert!(!one(r"a\*", "ab"));
        assert!(one(r"a\", r"a\"));
        assert!(one(r"\!a", "!a"));
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        assert!(!one(&"*a".repeat(50), &"a".repeat(49)));
        assert!(!one(&format!("{}b", "*a".repeat(200)), &"a".repeat(4000)));
    }

    /// The rule, spelt out without its shortcut.
    fn oracle(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skip| oracle(rest, &name[skip..])),
            Some((b'?', rest)) => !name.is_empty() && oracle(rest, &name[1..]),
            Some((byte, rest)) => name.first() == Some(byte) && oracle(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn stars_and_question_marks_mean_what_the_rule_says(pattern in "[ab*?]{0,7}", name in "[ab]{0,8}") {
            prop_assert_eq!(one(&pattern, &name), oracle(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn any_pattern_compiles(pattern in ".{0,20}", name in proptest::collection::vec(any::<u8>(), 0..20)) {
            let patterns = Patterns::new(&[pattern.as_str()]);
            let _ = patterns.matches(&name);
        }
    }
}
