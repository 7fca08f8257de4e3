//! The filter of system calls, seccomp(2): a list of what is refused with which errno, and the programs that the kernel runs for it.
//!
//! A list of refusals, not of permissions: a plugin may use any library, and a call that a new glibc makes must not kill it. What a list of
//! refusals would miss is closed at its ends: calls that are newer than this file are `ENOSYS`, and those of another architecture
//! (i386, x32) end the process.
//!
//! Network is `EACCES`, writing `EROFS`, the rest `EPERM`. One program an errno, since a program of `seccompiler` has one answer; the kernel
//! keeps a map of calls that are allowed whatever their arguments (`read`, `pread64`, `getdents64`), for which none of them runs.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::{EACCES, ENOSYS, EPERM, EROFS, c_long};
use rustix::process::Pid;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, apply_filter_all_threads, sock_filter,
};

use super::calls::{LEGACY, LISTENING, OTHERS, UNSEEN, WRITING};
use super::{Policy, SandboxError};

/// One comparison of an argument's lower half. All that are compared here are ints, or flags in the lower half of a long.
type Condition = (u8, SeccompCmpOp, u64);

/// What is refused: a call, where one of these groups of conditions holds; without a group, always.
type Refusals = Vec<(c_long, Vec<Vec<Condition>>)>;

/// The newest call of this list: mseal, Linux 6.10. Later ones (setxattrat, file_setattr …) are not there for a plugin.
const NEWEST: u32 = 462;

/// Where the calls of x32 begin, on the architecture number of x86_64.
const X32: u32 = 0x4000_0000;

const INET: [i32; 2] = [libc::AF_INET, libc::AF_INET6];

/// The refusals of the sandbox, by errno, for the process `own` whose parent is the agent.
fn drawn(policy: &Policy, own: Pid, agent: Pid) -> Vec<(i32, Refusals)> {
    let own = pid(own);
    let mut others = always(OTHERS).chain(always(LEGACY.others)).collect::<Refusals>();
    others.extend(processes(policy));
    others.extend(if policy.runs_programs() { signals_of_a_family(own, pid(agent)) } else { signals_of_one(own) });
    others.extend(delays(own));
    others.extend(capable(policy));
    let mut writing = always(WRITING).chain(always(LEGACY.writing)).collect::<Refusals>();
    writing.extend(opening(policy));
    vec![
        (EACCES, always(LISTENING).chain(network(policy)).collect()),
        (EROFS, writing),
        (EPERM, others),
        (ENOSYS, always(UNSEEN).collect()),
    ]
}

/// The refusals that are added when the library is loaded: no new executable memory.
fn narrowed() -> Vec<(i32, Refusals)> {
    let executable = || vec![vec![bits(2, libc::PROT_EXEC)]];
    let calls = [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect];
    vec![(EPERM, calls.into_iter().map(|call| (call, executable())).collect())]
}

fn network(policy: &Policy) -> Refusals {
    let inet = !policy.ports.is_empty() || policy.has_capability("net_raw");
    let mut families = Vec::new();
    families.extend(inet.then_some(INET).into_iter().flatten());
    families.extend((!policy.sockets.is_empty()).then_some(libc::AF_UNIX));
    families.extend((!policy.netlink.is_empty()).then_some(libc::AF_NETLINK));
    if families.is_empty() {
        return always(&[libc::SYS_socket, libc::SYS_bind]).collect();
    }
    let mut groups = vec![families.iter().map(|family| ne(0, *family)).collect::<Vec<_>>()];
    for family in INET.into_iter().filter(|_| !policy.has_capability("net_raw")) {
        // Streams and datagrams, and of those TCP and UDP: Landlock's rules on ports do not know SCTP or MPTCP.
        let kind = SeccompCmpOp::MaskedEq(0xf);
        let other = [libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP, SOCK_PACKET];
        groups.extend(other.map(|other| vec![eq(0, family), (1, kind.clone(), word(other))]));
        groups.push(vec![eq(0, family), ne(2, 0), ne(2, libc::IPPROTO_TCP), ne(2, libc::IPPROTO_UDP)]);
    }
    let netlink = policy.netlink.iter().map(|protocol| (2, SeccompCmpOp::Ne, u64::from(*protocol)));
    groups.push([eq(0, libc::AF_NETLINK)].into_iter().chain(netlink).collect());
    let mut refusals = vec![(libc::SYS_socket, groups)];
    // A netlink socket may be bound to get its address. A filter cannot tell of which family a socket is; of the others
    // Landlock refuses TCP and paths.
    if policy.netlink.is_empty() {
        refusals.push((libc::SYS_bind, Vec::new()));
    }
    refusals
}

/// Where devices or programs are granted, Landlock alone says what may be written.
fn opening(policy: &Policy) -> Refusals {
    if policy.writes() {
        return Vec::new();
    }
    // Write-only is the first bit and read-write the second; both together ask for both rights.
    let flags = [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC];
    let at = |argument: u8| flags.map(|flag| vec![bits(argument, flag)]).to_vec();
    #[allow(unused_mut, reason = "there are more on x86_64")]
    let mut refusals = vec![(libc::SYS_openat, at(2))];
    #[cfg(target_arch = "x86_64")]
    refusals.extend([(libc::SYS_open, at(1)), (libc::SYS_creat, Vec::new())]);
    refusals
}

/// Processes and programs. Threads are free: `clone` with `CLONE_THREAD`.
fn processes(policy: &Policy) -> Refusals {
    let clone = |groups| (libc::SYS_clone, groups);
    if policy.runs_programs() {
        // Not with rights over a namespace of their own, nor as children of the agent.
        return vec![clone(vec![vec![bits(0, libc::CLONE_NEWUSER)], vec![bits(0, libc::CLONE_PARENT)]])];
    }
    let no_thread = (0, SeccompCmpOp::MaskedEq(word(libc::CLONE_THREAD)), 0);
    let mut refusals = vec![clone(vec![vec![no_thread]])];
    refusals.extend(always(&[libc::SYS_execve, libc::SYS_execveat, libc::SYS_pidfd_open]));
    #[cfg(target_arch = "x86_64")]
    refusals.extend(always(&[libc::SYS_fork, libc::SYS_vfork]));
    refusals
}

const SIGNALS: [c_long; 5] =
    [libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo];

/// To itself alone: `raise` and `abort` are signals of the process to itself.
fn signals_of_one(own: i32) -> Refusals {
    SIGNALS.map(|call| (call, vec![vec![ne(0, own)]])).to_vec()
}

/// With programs of its own, whose numbers nobody knows yet: never to the agent, to init, or to everybody. On Linux 6.12 and later
/// Landlock lets none out of the sandbox.
fn signals_of_a_family(own: i32, agent: i32) -> Refusals {
    let foreign_group = vec![(0, SeccompCmpOp::Ge, word(i32::MIN)), ne(0, -own)];
    let mut refusals = SIGNALS.map(|call| (call, vec![vec![eq(0, agent)], vec![eq(0, 1)]])).to_vec();
    if let Some((_kill, groups)) = refusals.first_mut() {
        groups.push(foreign_group);
    }
    refusals
}

/// What would slow or stop another process of the same user: priorities, affinities and limits of others, signals by way of a
/// descriptor's owner, leases on files that others open, input to the terminal.
fn delays(own: i32) -> Refusals {
    let of_others = || vec![vec![ne(0, 0), ne(0, own)]];
    let set = [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ];
    let mut refusals: Refusals = set.into_iter().map(|call| (call, of_others())).collect();
    // PRIO_PROCESS is 0 and IOPRIO_WHO_PROCESS 1: any other word means a group or a user.
    refusals.push((libc::SYS_setpriority, vec![vec![ne(0, 0)], vec![ne(1, 0), ne(1, own)]]));
    refusals.push((libc::SYS_ioprio_set, vec![vec![ne(0, 1)], vec![ne(1, 0), ne(1, own)]]));
    let commands = [libc::F_SETOWN, F_SETOWN_EX, F_SETSIG, libc::F_SETLEASE];
    refusals.push((libc::SYS_fcntl, commands.map(|command| vec![eq(1, command)]).to_vec()));
    let requests = [TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP];
    refusals.push((libc::SYS_ioctl, requests.map(|request| vec![eq(1, request)]).to_vec()));
    // The death of the agent has to end the child. Of personalities one makes readable memory executable, behind the narrower filter.
    refusals.push((libc::SYS_prctl, vec![vec![eq(0, libc::PR_SET_PDEATHSIG)]]));
    refusals.push((libc::SYS_personality, vec![vec![ne(0, 0), ne(0, -1)]]));
    refusals
}

// asm-generic/fcntl.h, asm-generic/ioctls.h, linux/sockios.h: not in libc for all of ours.
const SOCK_PACKET: i32 = 10; // deprecated in libc, refused here
const F_SETOWN_EX: i32 = 15;
const F_SETSIG: i32 = 10;
const TIOCSTI: i32 = 0x5412;
const TIOCLINUX: i32 = 0x541c;
const FIOSETOWN: i32 = 0x8901;
const SIOCSPGRP: i32 = 0x8902;

/// What a capability opens.
fn capable(policy: &Policy) -> Refusals {
    let pairs = [("bpf", libc::SYS_bpf), ("perfmon", libc::SYS_perf_event_open), ("syslog", libc::SYS_syslog)];
    pairs.into_iter().filter(|(name, _)| !policy.has_capability(name)).map(|(_, call)| (call, Vec::new())).collect()
}

fn always(calls: &[c_long]) -> impl Iterator<Item = (c_long, Vec<Vec<Condition>>)> + '_ {
    calls.iter().map(|call| (*call, Vec::new()))
}

fn eq(argument: u8, value: i32) -> Condition {
    (argument, SeccompCmpOp::Eq, word(value))
}

fn ne(argument: u8, value: i32) -> Condition {
    (argument, SeccompCmpOp::Ne, word(value))
}

fn bits(argument: u8, mask: i32) -> Condition {
    (argument, SeccompCmpOp::MaskedEq(word(mask)), word(mask))
}

/// The 32 bits of an int, as the kernel has them in the lower half of an argument.
fn word(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

fn pid(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

/// The programs for these refusals; none where the architecture has no filter here.
fn programs(lists: Vec<(i32, Refusals)>) -> Result<Vec<BpfProgram>, BackendError> {
    let Ok(arch) = TargetArch::try_from(ARCH) else { return Ok(Vec::new()) };
    let mut programs = Vec::with_capacity(lists.len());
    for (errno, refusals) in lists {
        let mut rules = BTreeMap::new();
        for (call, groups) in refusals {
            let groups = groups.into_iter().map(rule).collect::<Result<Vec<_>, _>>()?;
            rules.insert(call, groups);
        }
        let refuse = SeccompAction::Errno(errno.unsigned_abs());
        programs.push(SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?);
    }
    Ok(programs)
}

fn rule(conditions: Vec<Condition>) -> Result<SeccompRule, BackendError> {
    let condition =
        |(argument, operator, value)| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
    SeccompRule::new(conditions.into_iter().map(condition).collect::<Result<_, _>>()?)
}

/// Calls of x32 end the process, calls that are newer than this file do not exist. (Those of i386 end it in each of the other programs.)
fn ends() -> BpfProgram {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, linux/filter.h
    const JUMP_FROM: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let step = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    vec![
        step(LOAD, 0, 0), // the call's number
        step(JUMP_FROM, 1, X32),
        step(RETURN, 0, libc::SECCOMP_RET_KILL_PROCESS),
        step(JUMP_FROM, 1, NEWEST + 1),
        step(RETURN, 0, SeccompAction::Errno(ENOSYS.unsigned_abs()).into()),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// Installs the filter of the sandbox on this thread; the words of what is lacking.
pub(super) fn draw(policy: &Policy, own: Pid, agent: Pid) -> Result<Option<String>, SandboxError> {
    let mut programs = programs(drawn(policy, own, agent)).map_err(SandboxError::Compile)?;
    if programs.is_empty() {
        return Ok(Some(lack()));
    }
    programs.push(ends());
    for program in &programs {
        if !installed(apply_filter(program))? {
            return Ok(Some(lack()));
        }
    }
    Ok(None)
}

/// Forbids new executable memory on all threads: constructors of the library may have started some. What the kernel lacks was told when
/// the wider filter was drawn.
pub(super) fn narrow() -> Result<(), SandboxError> {
    let programs = programs(narrowed()).map_err(SandboxError::Compile)?;
    programs.iter().try_for_each(|program| installed(apply_filter_all_threads(program)).map(drop))
}

/// Whether the kernel has filters at all: one that was built without says so with these two.
fn installed(outcome: seccompiler::Result<()>) -> Result<bool, SandboxError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(seccompiler::Error::Seccomp(cause)) if matches!(cause.raw_os_error(), Some(ENOSYS | libc::EINVAL)) => {
            Ok(false)
        }
        Err(cause) => Err(SandboxError::Install(cause)),
    }
}

/// What is missing without it.
pub(super) fn lack() -> String {
    "filters of system calls are missing (CONFIG_SECCOMP_FILTER, on x86_64 and aarch64): network, programs, processes \
     and signals are not refused"
        .to_owned()
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
