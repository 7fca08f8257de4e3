//! `reads`: what a plugin wants to reach, so that it can be granted or refused before it runs.
//!
//! The operator's `grant` is in the same vocabulary. What comes with the agent gets what it asks. Of others, paths to read are
//! granted; the rest is where the operator names it, in `grant` or as the value of an option.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::fault::{Fault, Origin};
use super::super::keys::Keys;
use super::super::options::{OptionType, OptionValue, Scalar, Settings};
use super::Reader;
use super::kernel::{CAPABILITIES, NETLINK};

/// The most entries of `reads`.
pub const MAX_READS: usize = 256;

/// One thing that a plugin reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// What it is.
    pub kind: ReadKind,
    /// Where it is, without the kind's prefix; in a manifest it may hold `${options.NAME}`.
    pub target: String,
}

/// What a plugin reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadKind {
    /// `/path`: a file or folder under the host's roots.
    Path,
    /// `unix:/path`: a socket.
    Unix,
    /// `tcp:PORT`: a TCP port that it connects to.
    Tcp,
    /// `device:/dev/…`: a device.
    Device,
    /// `netlink:FAMILY`: one of [`NETLINK`], such as `sock_diag`.
    Netlink,
    /// `exec:/path`: a program that it runs.
    Exec,
    /// `cap:NAME`: one of [`CAPABILITIES`], such as `cap:perfmon`.
    Capability,
}

pub(super) const PREFIXES: [(&str, ReadKind); 6] = [
    ("unix", ReadKind::Unix),
    ("tcp", ReadKind::Tcp),
    ("device", ReadKind::Device),
    ("netlink", ReadKind::Netlink),
    ("exec", ReadKind::Exec),
    ("cap", ReadKind::Capability),
];

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PREFIXES.iter().find(|(_, kind)| *kind == self.kind) {
            Some((prefix, _)) => write!(f, "{prefix}:{}", self.target),
            None => f.write_str(&self.target),
        }
    }
}

const OPENS: &str = "${options.";

impl Read {
    /// Reads one entry of the operator's `grant`, outside of a manifest, where no options are at hand to be filled in.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed; its origin is the caller's to set.
    pub fn parse(text: &str) -> Result<Read, Fault> {
        if text.contains("${") {
            let message = format!("`{text}` holds a placeholder, which stands in manifests only");
            return Err(Fault::new(Origin::default(), message));
        }
        let (kind, target) = split(text)
            .and_then(|(kind, target)| form(kind, target, false).map(|()| (kind, target)))
            .map_err(|wrong| wrong.fault(text, "grant", "granted"))?;
        Ok(Read { kind, target: target.to_owned() })
    }

    /// The targets with these options: none where an option has no value, one for each entry where it is a list. Those of a TCP
    /// port are the port alone. A path may be relative where an option gives it. What an option makes of a target that cannot
    /// be one, such as a port of 0, is left out.
    #[must_use]
    pub fn targets(&self, options: &Settings) -> Vec<String> {
        if !self.target.contains(OPENS) {
            return vec![self.target.clone()];
        }
        let texts = filled(&self.target, options).into_iter();
        let texts = texts.filter_map(|text| if self.kind == ReadKind::Tcp { port(&text) } else { Some(text) });
        let fine = |text: &String| match self.kind {
            ReadKind::Path | ReadKind::Unix | ReadKind::Exec => !text.is_empty() && !text.contains('\0'),
            kind => form(kind, text, false).is_ok(),
        };
        texts.filter(fine).collect()
    }

    /// The entries that this one of a manifest is with these options.
    #[must_use]
    pub fn with(&self, options: &Settings) -> Vec<Read> {
        self.targets(options).into_iter().map(|target| Read { kind: self.kind, target }).collect()
    }

    /// The options whose values it takes in.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.target.split(OPENS).skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
    }

    /// Whether whoever is granted this may reach the other: the same, or what lies below it.
    #[must_use]
    pub fn covers(&self, other: &Read) -> bool {
        let below = || match other.target.strip_prefix(self.target.trim_end_matches('/')) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        self.kind == other.kind && (self.target == other.target || self.target.starts_with('/') && below())
    }
}

/// What of `reads` is left for the operator to grant: nothing of what comes with the agent, and of others what is no path to read,
/// is not built from options that were written in a config, and stands in no `grant`. Options are filled in.
#[must_use]
pub fn ungranted(reads: &[Read], options: &Settings, grants: &[Read], bundled: bool) -> Vec<Read> {
    if bundled {
        return Vec::new();
    }
    let written = |name: &str| options.list.iter().any(|setting| setting.name == name && setting.origin.is_some());
    let named = |read: &Read| read.options().next().is_some() && read.options().all(written);
    let by_option: Vec<Read> = reads.iter().filter(|read| named(read)).flat_map(|read| read.with(options)).collect();
    let mut left: Vec<Read> = Vec::new();
    for read in reads.iter().filter(|read| read.kind != ReadKind::Path).flat_map(|read| read.with(options)) {
        if !left.contains(&read) && !grants.iter().chain(&by_option).any(|grant| grant.covers(&read)) {
            left.push(read);
        }
    }
    left
}

/// The target with each placeholder replaced.
fn filled(target: &str, options: &Settings) -> Vec<String> {
    let Some((before, rest)) = target.split_once(OPENS) else { return vec![target.to_owned()] };
    let Some((name, after)) = rest.split_once('}') else { return Vec::new() };
    let texts: Vec<String> = match options.value(name) {
        Some(OptionValue::List(values)) => values.iter().filter_map(plain).collect(),
        Some(value) => plain(value).into_iter().collect(),
        None => Vec::new(),
    };
    let rest = filled(after, options);
    let joined = |text: &String| rest.iter().map(|rest| format!("{before}{text}{rest}")).collect::<Vec<_>>();
    texts.iter().flat_map(joined).collect()
}

fn plain(value: &OptionValue) -> Option<String> {
    match value {
        OptionValue::Text(text) => Some(text.clone()),
        OptionValue::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The port that an address means: `3493`, `ups.example:3493`, `[::1]:3493`, or a URL, whose scheme may say it.
fn port(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://").map_or((None, address), |(scheme, rest)| (Some(scheme), rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let last = authority.rsplit([':', '@']).next().unwrap_or(authority);
    let host = authority.strip_suffix(last).and_then(|host| host.strip_suffix(':'));
    // Without brackets the last part of an IPv6 address is no port.
    let host_ends =
        host.map_or(scheme.is_none(), |host| !host.contains(':') || host.contains('@') || host.ends_with(']'));
    match scheme {
        _ if host_ends && last.parse::<u16>().is_ok() => Some(last.to_owned()),
        Some("http") => Some("80".to_owned()),
        Some("https") => Some("443".to_owned()),
        _ => None,
    }
}

/// Why a text is no entry.
enum Wrong<'a> {
    /// A word is in no vocabulary, of which `what` is the name but for that of the list itself; a later contract may have it.
    Word { what: Option<&'static str>, word: &'a str, known: Vec<&'static str> },
    /// It has not the form of its kind.
    Form(&'static str),
}

impl Wrong<'_> {
    /// `of` is the list that it stands in, and `done` what that is for; the origin is the caller's to set.
    fn fault(self, text: &str, of: &str, done: &str) -> Fault {
        let origin = Origin::default();
        match self {
            Wrong::Word { what, word, known } => {
                Fault::new(origin, format!("unknown {} `{word}`", what.unwrap_or(&format!("word of {of}"))))
                    .among(word, known)
            }
            Wrong::Form(allowed) => Fault::new(origin, format!("`{text}` cannot be {done}")).allowed(allowed),
        }
    }
}

/// The kind of an entry, and its target.
fn split(text: &str) -> Result<(ReadKind, &str), Wrong<'_>> {
    if text.starts_with('/') || text.starts_with(OPENS) {
        return Ok((ReadKind::Path, text));
    }
    let (prefix, target) = text.split_once(':').unwrap_or((text, ""));
    match PREFIXES.iter().find(|(known, _)| *known == prefix) {
        Some((_, kind)) => Ok((*kind, target)),
        None => {
            let known = ["/path"].into_iter().chain(PREFIXES.iter().map(|(known, _)| *known)).collect();
            Err(Wrong::Word { what: None, word: prefix, known })
        }
    }
}

/// Whether the target is of its kind's form; `held` is whether it holds placeholders.
fn form(kind: ReadKind, target: &str, held: bool) -> Result<(), Wrong<'_>> {
    let straight = !target.split('/').any(|part| part == "..") && !target.contains('\0');
    let path = straight && (target.starts_with('/') || target.starts_with(OPENS));
    let word = |what, known: Vec<&'static str>| match known.contains(&target) {
        true => Ok(()),
        false => Err(Wrong::Word { what: Some(what), word: target, known }),
    };
    // In the one way of writing it, as grants are compared as texts.
    let plain_port = |port: u16| port != 0 && port.to_string() == target;
    let (fine, allowed) = match kind {
        ReadKind::Path => (path, "an absolute path without .."),
        ReadKind::Unix => (path, "unix:/path"),
        ReadKind::Exec => (path, "exec:/path"),
        ReadKind::Device => (straight && (target.starts_with("/dev/") || target.starts_with(OPENS)), "device:/dev/…"),
        ReadKind::Tcp => (held || target.parse::<u16>().is_ok_and(plain_port), "tcp:PORT, from 1 to 65535"),
        ReadKind::Netlink => return word("netlink family", NETLINK.iter().map(|(name, _)| *name).collect()),
        ReadKind::Capability => return word("capability", CAPABILITIES.to_vec()),
    };
    if fine { Ok(()) } else { Err(Wrong::Form(allowed)) }
}

impl Reader {
    pub(super) fn reads(&mut self, keys: &Keys<'_>) -> Vec<Read> {
        let mut reads: Vec<Read> = Vec::new();
        for (text, origin) in keys.list("reads", &mut self.faults) {
            if reads.len() == MAX_READS {
                self.faults.push(Fault::new(origin, format!("more than {MAX_READS} entries in `reads`")));
                break;
            }
            reads.extend(self.read(text, origin));
        }
        reads
    }

    fn read(&mut self, text: &str, origin: Origin) -> Option<Read> {
        let judged = split(text).and_then(|(kind, target)| {
            let held = self.placeholders(target, origin);
            // A faulty placeholder was told.
            held.map_or(Ok(None), |held| form(kind, target, held).map(|()| Some((kind, target))))
        });
        match judged {
            Ok(read) => read.map(|(kind, target)| Read { kind, target: target.to_owned() }),
            Err(Wrong::Word { what, word, known }) => {
                self.unknown_word(origin, what.unwrap_or("word of reads"), word, &known);
                None
            }
            Err(wrong) => {
                self.faults.push(Fault { origin, ..wrong.fault(text, "reads", "read") });
                None
            }
        }
    }

    /// Whether the target holds placeholders; `None` where one of them is at fault.
    fn placeholders(&mut self, target: &str, origin: Origin) -> Option<bool> {
        let (mut rest, mut held) = (target, false);
        while let Some(at) = rest.find("${") {
            held = true;
            let inside = rest[at..].strip_prefix(OPENS).and_then(|inside| inside.split_once('}'));
            let Some((name, after)) = inside else {
                let fault = Fault::new(origin, format!("`{target}` holds a placeholder that names no option"));
                self.faults.push(fault.allowed("${options.NAME}"));
                return None;
            };
            let Some(option) = self.options.iter().find(|option| option.name == name) else {
                let fault = Fault::new(origin, format!("`{target}` names no option `{name}`"));
                self.faults.push(fault.among(name, self.options.iter().map(|option| option.name.as_str())));
                return None;
            };
            let scalar = match option.option_type {
                OptionType::One(scalar) | OptionType::List(scalar) => Some(scalar),
                OptionType::Map => None,
            };
            if !matches!(scalar, Some(Scalar::String | Scalar::Path | Scalar::Integer | Scalar::Enum)) {
                let message = format!("`{target}` names option `{name}`, which is no path, string, integer or enum");
                self.faults.push(Fault::new(origin, message));
                return None;
            }
            rest = after;
        }
        Some(held)
    }
}
