//! What a child may do, as plain data: the rules of who is granted what, and nothing that touches the system.
//!
//! What comes with the agent gets all that it asks for. Of others, paths to read are granted; sockets, ports, devices, netlink, programs
//! and capabilities only by the operator: by `grant`, or by an option that the operator wrote and the entry names
//! (`tcp:${options.address}`). A default is the author's word and grants nothing. What `grant` says holds whether or not the author asked
//! for it.

use std::path::{Path, PathBuf};

use plugin_api::host_side::manifest::{NETLINK, Read, ReadKind, ungranted};
use plugin_api::host_side::options::Settings;
use serde::{Deserialize, Serialize};

use super::needs::{NEEDS, PROGRAM_NEEDS, SYS_ENTRANCES};
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
            refused: ungranted(terms.reads, terms.options, terms.grants, terms.bundled),
        };
        let asked = terms.reads.iter().flat_map(|read| read.with(terms.options));
        let is_free = |read: &Read| !policy.refused.contains(read) && !terms.grants.contains(read);
        let free: Vec<Read> = asked.filter(is_free).collect();
        terms.grants.iter().chain(&free).for_each(|read| policy.grant(read));
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

    /// Adds it. The grammar of `reads` and `grant` leaves nothing that means nothing.
    fn grant(&mut self, read: &Read) {
        let target = read.target.as_str();
        match read.kind {
            ReadKind::Path => self.grant_path(target),
            ReadKind::Unix => self.sockets.push(target.strip_prefix("unix://").unwrap_or(target).into()),
            ReadKind::Device => self.devices.push(target.into()),
            ReadKind::Exec => self.programs.push(target.into()),
            ReadKind::Tcp => self.ports.extend(target.parse::<u16>()),
            ReadKind::Netlink => {
                let family = NETLINK.iter().find(|(name, _)| *name == target);
                self.netlink.extend(family.map(|(_, protocol)| u32::from(*protocol)));
            }
            ReadKind::Capability => self.capabilities |= rights::bit(target).unwrap_or(0),
        }
    }

    /// Under the host's root; where that is foreign also as it is written, since an option may name a file of the agent's own system.
    fn grant_path(&mut self, target: &str) {
        match target.strip_prefix('/') {
            Some(relative) => {
                self.paths.push(self.host_root.join(relative));
                if self.foreign() {
                    self.paths.push(PathBuf::from(target));
                }
            }
            // Only an option's value can be relative; it is read from the folder that the agent and its children are in.
            None => self.paths.extend(std::path::absolute(target)),
        }
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
        let of_programs = PROGRAM_NEEDS.iter().filter(|_| self.runs_programs());
        NEEDS.iter().chain(of_programs).map(Path::new).chain(granted.map(PathBuf::as_path))
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

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
