//! What a child may do, as plain data: the rules of who is granted what, and nothing that touches the system.
//!
//! What comes with the agent gets all that it asks for. Of others, paths to read are granted; sockets, ports, devices, netlink, programs
//! and capabilities only by the operator: by `grant`, or by an option that the operator wrote and the entry names
//! (`tcp:${options.address}`). A default is the author's word and grants nothing. What `grant` says holds whether or not the author asked
//! for it.

use std::path::{Path, PathBuf};

use plugin_api::host_side::manifest::{NETLINK, Read, ReadKind};
use plugin_api::host_side::options::Settings;
use serde::{Deserialize, Serialize};

use super::needs::{NEEDS, SYS_ENTRANCES};
use super::{Without, rights};

/// What a policy is made of.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The collector's name: its table is where an operator grants.
    pub collector: &'a str,
    /// The manifest's `reads`.
    pub reads: &'a [Read],
    /// The collector's options.
    pub options: &'a Settings,
    /// The operator's `grant`.
    pub grants: &'a [Read],
    /// Whether the plugin comes with the agent.
    pub bundled: bool,
    /// Where the host's files are: `/`, or a mounted or captured root.
    pub host_root: &'a Path,
    /// The budget of memory, in bytes.
    pub memory: u64,
    /// The budget of descriptors.
    pub descriptors: u32,
    /// Whether the kernel has to have all of it: `agent.sandbox = "require"`.
    pub required: bool,
    /// What the kernel is said to lack.
    pub without: Without,
}

/// All that a child needs to draw its sandbox, and the agent to explain it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Policy {
    pub(super) collector: String,
    pub(super) host_root: PathBuf,
    /// Read, with what lies beneath; beside what every program needs.
    pub(super) paths: Vec<PathBuf>,
    pub(super) devices: Vec<PathBuf>,
    pub(super) programs: Vec<PathBuf>,
    pub(super) sockets: Vec<PathBuf>,
    pub(super) ports: Vec<u16>,
    /// Protocol numbers of `AF_NETLINK`.
    pub(super) netlink: Vec<u32>,
    /// Bits, as in capabilities(7).
    pub(super) capabilities: u64,
    pub(super) memory: u64,
    pub(super) descriptors: u32,
    pub(super) required: bool,
    pub(super) without: Without,
    pub(super) refused: Vec<Read>,
}

impl Policy {
    /// The policy under these terms. Pure.
    #[must_use]
    pub fn new(terms: &Terms<'_>) -> Policy {
        let mut policy = Policy {
            collector: terms.collector.to_owned(),
            host_root: terms.host_root.to_owned(),
            paths: Vec::new(),
            devices: Vec::new(),
            programs: Vec::new(),
            sockets: Vec::new(),
            ports: Vec::new(),
            netlink: Vec::new(),
            capabilities: 0,
            memory: terms.memory,
            descriptors: terms.descriptors,
            required: terms.required,
            without: terms.without,
            refused: Vec::new(),
        };
        for read in terms.grants.iter().flat_map(|read| resolved(read, terms.options)) {
            policy.grant(&read);
        }
        for declared in terms.reads {
            let free = terms.bundled || declared.kind == ReadKind::Path || by_operator(declared, terms.options);
            for read in resolved(declared, terms.options) {
                let granted = if free { policy.grant(&read) } else { policy.grants(&read) };
                if !granted && !policy.refused.contains(&read) {
                    policy.refused.push(read);
                }
            }
        }
        policy.add_roots();
        policy
    }

    /// What the manifest asks for and nobody granted, with the options in it.
    #[must_use]
    pub fn refused(&self) -> &[Read] {
        &self.refused
    }

    /// Whether a program is granted, so that the child may start processes.
    #[must_use]
    pub fn runs_programs(&self) -> bool {
        !self.programs.is_empty()
    }

    /// The budget of memory, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Adds it; false where it means nothing: a port that is no number, a netlink family or capability that does not exist.
    fn grant(&mut self, read: &Read) -> bool {
        let target = read.target.as_str();
        match read.kind {
            ReadKind::Path => self.grant_path(target),
            ReadKind::Unix => absolute(&mut self.sockets, target.strip_prefix("unix://").unwrap_or(target)),
            ReadKind::Device => absolute(&mut self.devices, target),
            ReadKind::Exec => absolute(&mut self.programs, target),
            ReadKind::Tcp => port(target).is_some_and(|port| {
                self.ports.push(port);
                true
            }),
            ReadKind::Netlink => netlink(target).is_some_and(|protocol| {
                self.netlink.push(protocol);
                true
            }),
            ReadKind::Capability => rights::bit(target).is_some_and(|bit| {
                self.capabilities |= bit;
                true
            }),
        }
    }

    /// Whether what is granted so far has it in it.
    fn grants(&self, read: &Read) -> bool {
        let target = read.target.as_str();
        let beneath = |paths: &[PathBuf]| paths.iter().any(|path| Path::new(target).starts_with(path));
        match read.kind {
            ReadKind::Path => beneath(&self.paths),
            ReadKind::Unix => beneath(&self.sockets),
            ReadKind::Device => beneath(&self.devices),
            ReadKind::Exec => beneath(&self.programs),
            ReadKind::Tcp => port(target).is_some_and(|port| self.ports.contains(&port)),
            ReadKind::Netlink => netlink(target).is_some_and(|protocol| self.netlink.contains(&protocol)),
            ReadKind::Capability => rights::bit(target).is_some_and(|bit| self.capabilities & bit != 0),
        }
    }

    /// Under the host's root; where that is foreign also as it is written, since an option may name a file of the agent's own system.
    fn grant_path(&mut self, target: &str) -> bool {
        let Some(relative) = target.strip_prefix('/') else {
            // Only an option's value can be relative; it is read from the folder that the agent and its children are in.
            return std::path::absolute(target).map(|path| self.paths.push(path)).is_ok();
        };
        self.paths.push(self.host_root.join(relative));
        if self.foreign() {
            self.paths.push(PathBuf::from(target));
        }
        true
    }

    /// Adds what cannot be granted in parts: the foreign root's `proc` and `sys`, and the entrances of `/sys`.
    fn add_roots(&mut self) {
        if self.foreign() {
            self.paths.extend([self.host_root.join("proc"), self.host_root.join("sys")]);
        }
        if self.paths.iter().any(|path| path.starts_with("/sys")) {
            self.paths.extend(SYS_ENTRANCES.map(PathBuf::from));
        }
    }

    fn foreign(&self) -> bool {
        self.host_root != Path::new("/")
    }

    /// All that is read: the granted, and what every program needs.
    pub(super) fn readable(&self) -> impl Iterator<Item = &Path> {
        let granted = self.paths.iter().chain(&self.devices).chain(&self.programs);
        NEEDS.iter().map(Path::new).chain(granted.map(PathBuf::as_path))
    }

    /// Whether opening for writing, within what Landlock grants, is part of what was granted: devices are written, and whoever starts a
    /// program opens `/dev/null` for it.
    pub(super) fn writes(&self) -> bool {
        !self.devices.is_empty() || !self.programs.is_empty()
    }

    pub(super) fn has_capability(&self, name: &str) -> bool {
        rights::bit(name).is_some_and(|bit| self.capabilities & bit != 0)
    }
}

/// The entry with the options' values in it, one for each value of a list.
fn resolved(read: &Read, options: &Settings) -> Vec<Read> {
    read.targets(options).into_iter().map(|target| Read { kind: read.kind, target }).collect()
}

/// Whether it names options, and each has a value that was written and not declared.
fn by_operator(read: &Read, options: &Settings) -> bool {
    let mut names = read.target.split("${options.").skip(1).filter_map(|rest| rest.split_once('}')).peekable();
    let written = |name: &str| options.list.iter().any(|setting| setting.name == name && setting.origin.is_some());
    names.peek().is_some() && names.all(|(name, _)| written(name))
}

fn absolute(paths: &mut Vec<PathBuf>, target: &str) -> bool {
    if target.starts_with('/') {
        paths.push(PathBuf::from(target));
    }
    target.starts_with('/')
}

/// `3493`, or the end of an address: `ups@host:3493`, `[::1]:3493`, `http://host:8080/status`.
fn port(target: &str) -> Option<u16> {
    let address = target.split_once("://").map_or(target, |(_scheme, rest)| rest);
    let address = address.split_once('/').map_or(address, |(before, _path)| before);
    let number = address.rsplit_once(':').map_or(address, |(_host, number)| number);
    number.parse().ok().filter(|port| *port != 0)
}

fn netlink(family: &str) -> Option<u32> {
    NETLINK.iter().find(|(name, _)| *name == family).map(|(_, protocol)| u32::from(*protocol))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
