//! What a plugin asks for, in words: what it reaches and who has to grant it, where it runs and why, what a reading may cost.

use plugin_api::host_side::fault::{Origin, Sources};
use plugin_api::host_side::manifest::{Allowance, Manifest, Read, ReadKind, ungranted};
use plugin_api::host_side::options::{OptionValue, check};
use plugin_api::host_side::tree::Table;

use crate::config::layers::read_secret;
use crate::config::plan::{Isolation, may_exec};

/// Where it runs where nobody says anything, and why.
pub(super) fn runs(manifest: &Manifest, bundled: bool) -> &'static str {
    match (Isolation::of(manifest, bundled), may_exec(manifest)) {
        (Isolation::None, _) => "in the agent: it comes with it",
        (_, true) => "in a child process: it asks to start programs",
        (_, false) => "in a child process: it does not come with the agent",
    }
}

/// What one reading may cost.
pub(super) fn budget(manifest: &Manifest) -> String {
    let words = Allowance::of(manifest.plugin.budget).words();
    let words = words.map(|(word, value)| format!("{word} {}", value.toml().trim_matches('"')));
    words.join(", ")
}

/// Each entry of `reads`, and who grants it.
pub(super) fn reads(manifest: &Manifest, bundled: bool) -> Vec<String> {
    let reads = &manifest.plugin.reads;
    let texts: Vec<String> = reads.iter().map(Read::to_string).collect();
    let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let row = |(read, text): (&Read, &String)| format!("{text:width$}  {}", granted(read, bundled));
    reads.iter().zip(&texts).map(row).collect()
}

fn granted(read: &Read, bundled: bool) -> String {
    let what = match read.kind {
        ReadKind::Path if bundled => "files, granted as it comes with the agent",
        ReadKind::Path => "files, granted to every plugin",
        ReadKind::Unix => "a socket",
        ReadKind::Tcp => "a TCP port",
        ReadKind::Device => "a device",
        ReadKind::Netlink => "a netlink family",
        ReadKind::Exec => "a program that it starts",
        ReadKind::Capability => "a capability",
    };
    let options: Vec<_> = read.options().map(|name| format!("`{name}`")).collect();
    match read.kind {
        ReadKind::Path => what.to_owned(),
        _ if bundled => format!("{what}, granted as it comes with the agent"),
        _ if options.is_empty() => format!("{what}, for you to grant"),
        _ => format!("{what}, granted where you write the option {}", options.join(" and ")),
    }
}

/// The line of a collector's table that grants what it asks for by its default options and does not get by itself.
pub(super) fn grant(manifest: &Manifest, bundled: bool) -> Option<String> {
    // What has to be given has no default, and is the operator's own word once it is.
    let mut not_given = Vec::new();
    let (nothing, mut sources) = (Table::default(), Sources::default());
    let options = check(&manifest.options, &nothing, Origin::default(), &read_secret, &mut sources, &mut not_given);
    line(&ungranted(&manifest.plugin.reads, &options, &[], bundled))
}

fn line(reads: &[Read]) -> Option<String> {
    let list = OptionValue::List(reads.iter().map(|read| OptionValue::Text(read.to_string())).collect());
    (!reads.is_empty()).then(|| format!("grant = {}", list.toml()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(rest: &str) -> Manifest {
        let text = format!(
            "contract = \"1.0\"\n[plugin]\nname = \"ups\"\ndescription = \"a UPS\"\n{rest}\n\
             [options.port]\ntype = \"integer\"\ndefault = 3493\ndescription = \"of upsd\"\n\
             [options.url]\ntype = \"string\"\nrequired = true\ndescription = \"of the web page\"\n\
             [metrics.a]\nunit = \"1\"\ndescription = \"a\"\n"
        );
        Manifest::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    const READS: &str =
        "reads = [\"/proc/stat\", \"tcp:${options.port}\", \"tcp:${options.url}\", \"netlink:route\", \"cap:bpf\"]";

    #[test]
    fn each_entry_says_who_grants_it() {
        let told = [
            "/proc/stat           files, granted to every plugin",
            "tcp:${options.port}  a TCP port, granted where you write the option `port`",
            "tcp:${options.url}   a TCP port, granted where you write the option `url`",
            "netlink:route        a netlink family, for you to grant",
            "cap:bpf              a capability, for you to grant",
        ];
        assert_eq!(reads(&manifest(READS), false), told);
        let bundled = reads(&manifest(READS), true);
        assert_eq!(bundled.len(), 5);
        assert!(bundled.iter().all(|line| line.ends_with(", granted as it comes with the agent")), "{bundled:?}");
    }

    #[test]
    fn line_to_paste_grants_what_is_not_granted_by_itself() {
        let expected = "grant = [\"tcp:3493\", \"netlink:route\", \"cap:bpf\"]";
        assert_eq!(grant(&manifest(READS), false).as_deref(), Some(expected));
        assert_eq!(grant(&manifest(READS), true), None);
        assert_eq!(grant(&manifest("reads = [\"/proc\"]"), false), None);
    }

    #[test]
    fn place_is_told_with_its_reason() {
        assert_eq!(runs(&manifest(READS), true), "in the agent: it comes with it");
        assert_eq!(runs(&manifest(READS), false), "in a child process: it does not come with the agent");
        for bundled in [true, false] {
            let starts = manifest("reads = [\"exec:/bin/x\"]");
            assert_eq!(runs(&starts, bundled), "in a child process: it asks to start programs");
        }
    }

    #[test]
    fn budget_is_that_of_the_plugin_and_the_defaults_for_the_rest() {
        let told = "cpu 1ms, memory 64MiB, descriptors 64, rows 7, cells 100000, text 1MiB";
        assert_eq!(budget(&manifest("budget = { cpu = \"1ms\", rows = 7 }")), told);
    }
}
