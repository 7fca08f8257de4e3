//! Landlock, landlock(7): which files are read, devices written, programs executed and TCP ports connected to; and no signals or
//! abstract sockets out of the sandbox. As much of it as the kernel has.

use std::os::fd::BorrowedFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::Policy;
use super::needs::{LOADERS, resolver_folder};
use super::programs::interpreters;

/// All that is known and was tried (what came after Linux 6.15 where the kernel has it): later rights would be forbidden unseen.
/// The tenth has rules on UDP, which a resolver needs: not before they can be tried.
const KNOWN: ABI = ABI::V9;

/// Where names are asked for over TCP when an answer is long.
const DNS: u16 = 53;

/// Draws the rules on the calling thread; `library` is read whatever its path. The words of what is lacking.
pub(super) fn draw(policy: &Policy, library: Option<BorrowedFd<'_>>) -> Result<Vec<String>, RulesetError> {
    let mut lacks = Vec::new();
    if policy.without.landlock {
        lacks.push(lack(policy));
        return Ok(lacks);
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(KNOWN))?.scope(Scope::from_all(KNOWN))?;
    if !policy.without.landlock_net {
        rules = rules.handle_access(AccessNet::from_all(KNOWN))?;
    }
    let mut rules = rules
        .create()?
        .add_rules(beneath(policy.readable(), read))?
        .add_rules(beneath(resolver_folder().as_deref(), read))?
        .add_rules(beneath(paths(&policy.devices), read | AccessFs::WriteFile | AccessFs::IoctlDev))?
        .add_rules(beneath(paths(&policy.sockets), AccessFs::ResolveUnix))?;
    if policy.runs_programs() {
        let interpreters: Vec<_> = policy.programs.iter().flat_map(|program| interpreters(program)).collect();
        rules = rules
            .add_rules(beneath(paths(&policy.programs), read | AccessFs::Execute))?
            .add_rules(beneath(paths(&interpreters), AccessFs::ReadFile | AccessFs::Execute))?
            .add_rules(beneath(LOADERS.iter().map(Path::new), AccessFs::ReadFile | AccessFs::Execute))?
            .add_rules(beneath([Path::new("/dev/null")], AccessFs::ReadFile | AccessFs::WriteFile))?;
    }
    if !policy.ports.is_empty() && !policy.without.landlock_net {
        let ports = policy.ports.iter().chain([&DNS]);
        rules = rules.add_rules(ports.map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp))))?;
    }
    if let Some(library) = library {
        // A copy in memory lies in no file system, so that there can be no rule and needs none: that is the error here. Any other shows
        // when the library is loaded, with its reason.
        let _none_for_memory = (&mut rules).add_rule(PathBeneath::new(library, AccessFs::ReadFile));
    }
    let net = match rules.restrict_self()?.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi >= ABI::V4 && !policy.without.landlock_net,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => {
            lacks.push(lack(policy));
            return Ok(lacks);
        }
    };
    if !net && !policy.ports.is_empty() {
        let ports =
            "Landlock has no rules on TCP ports here (Linux 6.7 has): the granted ones are all of them".to_owned();
        lacks.push(ports);
    }
    Ok(lacks)
}

/// What is missing without it, with these grants.
fn lack(policy: &Policy) -> String {
    let mut text =
        "Landlock is missing (Linux 5.13 has it, and `lsm=` may leave it out): all files may be read".to_owned();
    if policy.writes() {
        text.push_str(", and written, as a device or a program is granted");
    }
    if !policy.ports.is_empty() {
        text.push_str(", and the granted TCP ports are all of them");
    }
    text
}

type PathRule = Result<PathBeneath<landlock::PathFd>, RulesetError>;

/// One rule a path; a path that does not exist is passed over, and of the rights those that a file can have where it is one.
fn beneath<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    access: impl Into<BitFlags<AccessFs>>,
) -> impl Iterator<Item = PathRule> {
    path_beneath_rules(paths, access)
}

fn paths(paths: &[std::path::PathBuf]) -> impl Iterator<Item = &Path> {
    paths.iter().map(std::path::PathBuf::as_path)
}
