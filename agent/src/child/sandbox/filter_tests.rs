//! The programs, run as the kernel would: nothing here makes a system call.

use std::path::Path;

use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS};
use plugin_api::host_side::manifest::{Read, ReadKind};
use plugin_api::host_side::options::Settings;

use super::super::{Terms, Without};
use super::*;

const ARCH_HERE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
const ARCH_I386: u32 = 0x4000_0003;
const OWN: i32 = 77;
const AGENT: i32 = 55;

fn run(program: &[sock_filter], arch: u32, call: u32, arguments: [u64; 6]) -> u32 {
    let (mut at, mut value) = (0, 0u32);
    loop {
        let step = &program[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { step.jt } else { step.jf });
        match step.code {
            0x20 => {
                value = match step.k {
                    0 => call,
                    4 => arch,
                    offset => {
                        let (argument, half) = ((offset - 16) / 8, (offset - 16) % 8);
                        (arguments[argument as usize] >> (half * 8)) as u32
                    }
                }
            }
            0x54 => value &= step.k,
            0x05 => at += step.k as usize,
            0x15 => jump(value == step.k),
            0x25 => jump(value > step.k),
            0x35 => jump(value >= step.k),
            0x06 => return step.k,
            code => panic!("{code:#x}"),
        }
    }
}

/// What the kernel does, in words: the strictest answer of all programs.
fn verdict_of(lists: Vec<(i32, Refusals)>, arch: u32, call: c_long, arguments: &[i64]) -> String {
    let mut all = [0; 6];
    for (slot, argument) in all.iter_mut().zip(arguments) {
        *slot = argument.cast_unsigned();
    }
    let call = u32::try_from(call).unwrap();
    let programs = programs(lists).unwrap().into_iter().chain([ends()]);
    let answers: Vec<u32> = programs.map(|program| run(&program, arch, call, all)).collect();
    if answers.contains(&SECCOMP_RET_KILL_PROCESS) {
        return "kill".to_owned();
    }
    let errno = answers.iter().find(|answer| **answer != SECCOMP_RET_ALLOW);
    errno.map_or("allow".to_owned(), |answer| {
        assert_eq!(answer & 0xffff_0000, SECCOMP_RET_ERRNO);
        std::io::Error::from_raw_os_error((answer & 0xffff) as i32).to_string()
    })
}

fn policy(grants: &[(ReadKind, &str)]) -> Policy {
    let grants: Vec<Read> =
        grants.iter().map(|(kind, target)| Read { kind: *kind, target: (*target).to_owned() }).collect();
    Policy::new(&Terms {
        collector: "x",
        reads: &[],
        options: &Settings::default(),
        grants: &grants,
        bundled: false,
        host_root: Path::new("/"),
        memory: 0,
        descriptors: 0,
        required: false,
        without: Without::default(),
    })
}

fn drawn_by(policy: &Policy) -> Vec<(i32, Refusals)> {
    drawn(policy, Pid::from_raw(OWN).unwrap(), Pid::from_raw(AGENT).unwrap())
}

fn verdict(grants: &[(ReadKind, &str)], call: c_long, arguments: &[i64]) -> String {
    verdict_of(drawn_by(&policy(grants)), ARCH_HERE, call, arguments)
}

fn answers(grants: &[(ReadKind, &str)], expected: &str, calls: &[(c_long, &[i64])]) {
    for (call, arguments) in calls {
        let verdict = verdict(grants, *call, arguments);
        assert!(verdict.starts_with(expected), "call {call} of {arguments:?}: {verdict}");
    }
}

const NETWORK: &str = "Permission denied";
const WRITE: &str = "Read-only file system";
const REST: &str = "Operation not permitted";
const ABSENT: &str = "Function not implemented";

const PROGRAM: (ReadKind, &str) = (ReadKind::Exec, "/usr/bin/ups");
const PORT: (ReadKind, &str) = (ReadKind::Tcp, "3493");

#[test]
fn no_call_stands_twice_in_a_list() {
    // The second would take the place of the first.
    for grants in [&[][..], &[PROGRAM], &[PORT, (ReadKind::Unix, "/x"), (ReadKind::Netlink, "route")]] {
        for (errno, refusals) in drawn_by(&policy(grants)) {
            let mut calls: Vec<c_long> = refusals.iter().map(|(call, _)| *call).collect();
            calls.sort_unstable();
            let all = calls.len();
            calls.dedup();
            assert_eq!(calls.len(), all, "of errno {errno}");
        }
    }
}

#[test]
fn what_a_collector_does_is_allowed() {
    answers(
        &[],
        "allow",
        &[
            (libc::SYS_read, &[3]),
            (libc::SYS_openat, &[-100, 0, i64::from(libc::O_RDONLY | libc::O_CLOEXEC | libc::O_DIRECTORY)]),
            (libc::SYS_clone, &[i64::from(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND)]),
            (libc::SYS_mmap, &[0, 4096, i64::from(libc::PROT_READ | libc::PROT_EXEC)]),
            (libc::SYS_tgkill, &[OWN.into(), 99, 6]),
            (libc::SYS_prctl, &[libc::PR_SET_NAME.into()]),
            (libc::SYS_prlimit64, &[0, 7]),
            (libc::SYS_fcntl, &[3, libc::F_SETFL.into()]),
            (libc::SYS_socketpair, &[libc::AF_UNIX.into()]),
            (libc::SYS_sched_setaffinity, &[0]),
        ],
    );
}

#[test]
fn other_architectures_end_the_process_and_newer_calls_do_not_exist() {
    let drawn = || drawn_by(&policy(&[]));
    assert_eq!(verdict_of(drawn(), ARCH_I386, 4, &[]), "kill");
    assert_eq!(verdict_of(drawn(), ARCH_HERE, c_long::from(X32 as i32) + libc::SYS_openat, &[]), "kill");
    assert_eq!(verdict(&[], c_long::from(NEWEST), &[]), "allow");
    answers(&[], ABSENT, &[(463, &[]), (9999, &[]), (libc::SYS_clone3, &[]), (libc::SYS_openat2, &[])]);
}

#[test]
fn everything_that_writes_is_refused() {
    let open = |flags: i32| verdict(&[], libc::SYS_openat, &[-100, 0, flags.into()]);
    for flags in [
        libc::O_WRONLY,
        libc::O_RDWR,
        libc::O_WRONLY | libc::O_RDWR,
        libc::O_CREAT,
        libc::O_TRUNC,
        libc::O_TMPFILE | libc::O_RDWR,
    ] {
        assert!(open(flags | libc::O_CLOEXEC).starts_with(WRITE), "{flags:#o}");
    }
    let calls: Vec<(c_long, &[i64])> = WRITING.iter().chain(LEGACY.writing).map(|call| (*call, &[][..])).collect();
    answers(&[], WRITE, &calls);
    #[cfg(target_arch = "x86_64")]
    answers(&[], WRITE, &[(libc::SYS_open, &[0, 1]), (libc::SYS_creat, &[])]);
}

#[test]
fn files_are_changed_by_nobody_and_devices_are_left_to_landlock() {
    let device = [(ReadKind::Device, "/dev/ups")];
    assert_eq!(verdict(&device, libc::SYS_openat, &[-100, 0, libc::O_RDWR.into()]), "allow");
    assert!(verdict(&device, libc::SYS_unlinkat, &[]).starts_with(WRITE));
    assert!(verdict(&[PROGRAM], libc::SYS_ftruncate, &[]).starts_with(WRITE));
}

#[test]
fn no_socket_without_a_grant() {
    for family in 0..46 {
        assert!(verdict(&[], libc::SYS_socket, &[family, 1, 0]).starts_with(NETWORK), "{family}");
    }
    answers(&[], NETWORK, &[(libc::SYS_bind, &[]), (libc::SYS_listen, &[]), (libc::SYS_accept4, &[])]);
}

#[test]
fn port_grants_tcp_and_the_udp_of_names_and_nothing_else() {
    let socket = |family: i32, kind: i32, protocol: i32| {
        verdict(&[PORT], libc::SYS_socket, &[family.into(), kind.into(), protocol.into()])
    };
    for family in INET {
        assert_eq!(socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0), "allow");
        assert_eq!(socket(family, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, libc::IPPROTO_UDP), "allow");
        for (kind, protocol) in [
            (libc::SOCK_RAW, libc::IPPROTO_TCP),
            (libc::SOCK_SEQPACKET, 0),
            (libc::SOCK_STREAM, libc::IPPROTO_SCTP),
            (libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
            (libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
        ] {
            assert!(socket(family, kind, protocol).starts_with(NETWORK), "{kind} {protocol}");
        }
    }
    assert!(socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).starts_with(NETWORK));
    assert!(socket(libc::AF_NETLINK, libc::SOCK_RAW, 0).starts_with(NETWORK));
    answers(&[PORT], NETWORK, &[(libc::SYS_bind, &[]), (libc::SYS_listen, &[])]);
}

#[test]
fn netlink_is_granted_by_protocol() {
    let grants = [(ReadKind::Netlink, "sock_diag"), (ReadKind::Netlink, "generic")];
    let netlink = i64::from(libc::AF_NETLINK);
    for protocol in 0..32 {
        let verdict = verdict(&grants, libc::SYS_socket, &[netlink, libc::SOCK_RAW.into(), protocol]);
        assert_eq!(verdict == "allow", [4, 16].contains(&protocol), "{protocol}");
    }
    answers(&grants, NETWORK, &[(libc::SYS_socket, &[libc::AF_INET.into(), 1, 0]), (libc::SYS_listen, &[])]);
    assert_eq!(verdict(&grants, libc::SYS_bind, &[]), "allow");
}

#[test]
fn no_process_and_no_program_without_a_grant() {
    answers(
        &[],
        REST,
        &[(libc::SYS_clone, &[0x11]), (libc::SYS_clone, &[i64::from(libc::CLONE_VM | libc::CLONE_VFORK)])],
    );
    answers(&[], REST, &[(libc::SYS_execve, &[]), (libc::SYS_execveat, &[])]);
    #[cfg(target_arch = "x86_64")]
    answers(&[], REST, &[(libc::SYS_fork, &[]), (libc::SYS_vfork, &[])]);
    answers(&[PROGRAM], "allow", &[(libc::SYS_clone, &[0x11]), (libc::SYS_execve, &[])]);
    for flag in [libc::CLONE_NEWUSER, libc::CLONE_PARENT] {
        answers(&[PROGRAM], REST, &[(libc::SYS_clone, &[flag.into()])]);
    }
}

#[test]
fn group_and_session_are_never_left() {
    answers(&[], REST, &[(libc::SYS_setsid, &[]), (libc::SYS_setpgid, &[])]);
    answers(&[PROGRAM], REST, &[(libc::SYS_setsid, &[]), (libc::SYS_setpgid, &[])]);
}

#[test]
fn signals_reach_nobody_else() {
    for call in SIGNALS {
        for target in [AGENT, 1, 0, -1, -OWN, OWN + 1] {
            assert!(verdict(&[], call, &[target.into(), 9]).starts_with(REST), "{call} to {target}");
        }
        assert_eq!(verdict(&[], call, &[OWN.into(), 6]), "allow");
        assert!(verdict(&[PROGRAM], call, &[AGENT.into(), 9]).starts_with(REST));
        assert_eq!(verdict(&[PROGRAM], call, &[i64::from(OWN) + 1, 9]), "allow");
    }
    answers(
        &[PROGRAM],
        REST,
        &[(libc::SYS_kill, &[-1]), (libc::SYS_kill, &[-i64::from(AGENT)]), (libc::SYS_kill, &[1])],
    );
    assert_eq!(verdict(&[PROGRAM], libc::SYS_kill, &[-i64::from(OWN), 9]), "allow");
    answers(&[PROGRAM], REST, &[(libc::SYS_pidfd_send_signal, &[])]);
}

#[test]
fn other_processes_and_the_system_are_out_of_reach() {
    let calls: Vec<(c_long, &[i64])> = OTHERS.iter().chain(LEGACY.others).map(|call| (*call, &[][..])).collect();
    answers(&[], REST, &calls);
    let agent = i64::from(AGENT);
    answers(
        &[],
        REST,
        &[
            (libc::SYS_prlimit64, &[agent]),
            (libc::SYS_sched_setaffinity, &[agent]),
            (libc::SYS_sched_setscheduler, &[agent]),
            (libc::SYS_setpriority, &[0, agent, 19]),
            (libc::SYS_setpriority, &[2, 0, 19]),
            (libc::SYS_ioprio_set, &[1, agent]),
            (libc::SYS_ioprio_set, &[3, 0]),
            (libc::SYS_fcntl, &[3, libc::F_SETOWN.into(), agent]),
            (libc::SYS_fcntl, &[3, libc::F_SETLEASE.into()]),
            (libc::SYS_ioctl, &[2, TIOCSTI.into()]),
            (libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG.into(), 0]),
            (libc::SYS_personality, &[0x040_0000]),
        ],
    );
}

#[test]
fn capability_opens_its_call() {
    for (name, call) in [("perfmon", libc::SYS_perf_event_open), ("bpf", libc::SYS_bpf), ("syslog", libc::SYS_syslog)] {
        assert!(verdict(&[], call, &[]).starts_with(REST), "{name}");
        assert_eq!(verdict(&[(ReadKind::Capability, name)], call, &[]), "allow");
    }
    let raw = [i64::from(libc::AF_INET), libc::SOCK_RAW.into(), libc::IPPROTO_ICMP.into()];
    assert_eq!(verdict(&[(ReadKind::Capability, "net_raw")], libc::SYS_socket, &raw), "allow");
}

#[test]
fn narrow_filter_refuses_new_executable_memory_alone() {
    let mapped = |call, protection: i32| verdict_of(narrowed(), ARCH_HERE, call, &[0, 4096, protection.into()]);
    for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        assert!(mapped(call, libc::PROT_READ | libc::PROT_EXEC).starts_with(REST));
        assert_eq!(mapped(call, libc::PROT_READ | libc::PROT_WRITE), "allow");
    }
}
