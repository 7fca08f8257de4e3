//! `reads`: what a plugin wants to reach, so that it can be granted or refused before it runs.

use std::fmt;

use super::super::fault::{Fault, Origin};
use super::super::keys::Keys;
use super::super::options::{OptionType, OptionValue, Scalar, Settings};
use super::Reader;

/// The most entries of `reads`.
pub const MAX_READS: usize = 256;

/// One thing that a plugin reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What it is.
    pub kind: ReadKind,
    /// Where it is, without the kind's prefix; may hold `${options.NAME}`.
    pub target: String,
}

/// What a plugin reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadKind {
    /// `/path`: a file or folder under the host's roots.
    Path,
    /// `unix:/path`: a socket.
    Unix,
    /// `tcp:PORT`: a TCP port.
    Tcp,
    /// `device:/dev/…`: a device.
    Device,
    /// `netlink:FAMILY`: a netlink family, such as `sock_diag`.
    Netlink,
    /// `exec:/path`: a program that it runs.
    Exec,
    /// `cap:NAME`: a capability, such as `cap:perfmon`.
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
    /// The targets with these options: none where an option has no value, one for each entry where it is a list.
    #[must_use]
    pub fn targets(&self, options: &Settings) -> Vec<String> {
        let Some((before, rest)) = self.target.split_once(OPENS) else { return vec![self.target.clone()] };
        let Some((name, after)) = rest.split_once('}') else { return Vec::new() };
        let texts: Vec<String> = match options.value(name) {
            Some(OptionValue::List(values)) => values.iter().filter_map(plain).collect(),
            Some(value) => plain(value).into_iter().collect(),
            None => Vec::new(),
        };
        let rest = Read { kind: self.kind, target: after.to_owned() }.targets(options);
        let joined = |text: &String| rest.iter().map(|rest| format!("{before}{text}{rest}")).collect::<Vec<_>>();
        texts.iter().flat_map(joined).collect()
    }
}

fn plain(value: &OptionValue) -> Option<String> {
    match value {
        OptionValue::Text(text) => Some(text.clone()),
        OptionValue::Integer(number) => Some(number.to_string()),
        _ => None,
    }
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
        let (kind, target) = if text.starts_with('/') || text.starts_with(OPENS) {
            (ReadKind::Path, text)
        } else {
            let (prefix, target) = text.split_once(':').unwrap_or((text, ""));
            let Some((_, kind)) = PREFIXES.iter().find(|(known, _)| *known == prefix) else {
                let known: Vec<&str> = ["/path"].into_iter().chain(PREFIXES.iter().map(|(known, _)| *known)).collect();
                self.unknown_word(origin, "word of reads", prefix, &known);
                return None;
            };
            (*kind, target)
        };
        let held = self.placeholders(target, origin)?;
        let path = target.starts_with('/') || target.starts_with(OPENS);
        let straight = !target.split('/').any(|part| part == "..") && !target.contains('\0');
        let word =
            |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
        let (fine, allowed) = match kind {
            ReadKind::Path => (path && straight, "an absolute path without .."),
            ReadKind::Unix => (path && straight, "unix:/path"),
            ReadKind::Exec => (path && straight, "exec:/path"),
            ReadKind::Device => {
                (straight && (target.starts_with("/dev/") || target.starts_with(OPENS)), "device:/dev/…")
            }
            ReadKind::Tcp => (held || target.parse::<u16>().is_ok_and(|port| port != 0), "tcp:PORT, from 1 to 65535"),
            ReadKind::Netlink => (word(target.as_bytes()), "netlink:FAMILY, such as netlink:sock_diag"),
            ReadKind::Capability => (word(target.as_bytes()), "cap:NAME, such as cap:perfmon"),
        };
        if !fine {
            self.faults.push(Fault::new(origin, format!("`{text}` cannot be read")).allowed(allowed));
        }
        fine.then(|| Read { kind, target: target.to_owned() })
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
