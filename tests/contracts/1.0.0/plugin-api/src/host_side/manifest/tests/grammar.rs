//! `grammar.md` is what authors read: it has the keys and words that the parser takes, all of them and no others.

use std::collections::BTreeSet;

use super::super::super::options::{DECLARATION_KEYS, type_words};
use super::super::{Budget, Manifest, metrics, plugin, reads, tables};

const GRAMMAR: &str = include_str!("../grammar.md");

/// What stands under a heading, up to the next one.
fn section(heading: &str) -> &'static str {
    let (_, rest) = GRAMMAR.split_once(&format!("## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    rest.split("\n## ").next().unwrap()
}

/// The first words of what is between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).map(|code| code.trim_matches('"').split([' ', ':']).next().unwrap())
}

#[test]
fn each_table_of_the_grammar_has_the_keys_that_the_parser_takes() {
    let headings = [
        ("`[plugin]`", &plugin::KEYS[..]),
        ("`[options.NAME]`", &DECLARATION_KEYS),
        ("`[metrics.NAME]`, and `[tables.NAME.columns.NAME]`", &metrics::KEYS),
        ("`[tables.NAME]`", &tables::KEYS),
    ];
    for (heading, keys) in headings {
        let rows = section(heading).lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
        let told: BTreeSet<&str> = rows.flat_map(quoted).collect();
        assert_eq!(told, keys.iter().copied().collect(), "{heading}");
    }
}

#[test]
fn every_word_of_a_closed_vocabulary_is_in_the_grammar() {
    let vocabularies: [(&str, Vec<&str>); 4] = [
        ("`[plugin]`", reads::PREFIXES.iter().map(|(prefix, _)| *prefix).collect()),
        ("`[options.NAME]`", type_words().collect()),
        ("`[metrics.NAME]`, and `[tables.NAME.columns.NAME]`", metrics::TYPES.iter().map(|(word, _)| *word).collect()),
        ("`[metrics.NAME]`, and `[tables.NAME.columns.NAME]`", metrics::KINDS.to_vec()),
    ];
    for (heading, words) in vocabularies {
        let told: BTreeSet<&str> = quoted(section(heading)).collect();
        let missing: Vec<_> = words.into_iter().filter(|word| !told.contains(word)).collect();
        assert!(missing.is_empty(), "{heading} lacks {missing:?}");
    }
}

#[test]
fn words_of_a_budget_are_in_the_grammar_with_their_defaults() {
    for spec in Budget::declared() {
        let (_, word) = spec.name.split_once('.').unwrap();
        let (_, default) = spec.description.rsplit_once(", else ").unwrap();
        let number = default.bytes().all(|byte| byte.is_ascii_digit());
        let default = if number { default.to_owned() } else { format!("{default:?}") };
        assert!(GRAMMAR.contains(&format!(" {word} = {default}")), "{word} = {default} is not told");
    }
}

#[test]
fn manifest_at_the_head_of_the_crate_has_no_fault() {
    let head = include_str!("../../../lib.rs");
    let (_, rest) = head.split_once("//! ```toml\n").unwrap();
    let block: Vec<_> = rest.split("//! ```").next().unwrap().lines().map(|line| line[3..].trim_start()).collect();
    assert_eq!(Manifest::parse(&block.join("\n")).unwrap().plugin.name, "uptime");
}
