//! What a child asks the kernel for by path or address, and what came of it. [E ptrace, wait]
//!
//! Landlock refuses in silence, and the errno that a plugin gets is often all that anybody hears: so the child is traced from before its
//! first own step, with all that it starts. A notification of seccomp would be asked before the call and never learn how it ended.
//!
//! Promises: the thread here is the child's only tracer, sees nobody else's children (`__WNOTHREAD`), and leaves the child itself to be
//! waited for by whoever started it. Once the child is dead it ends; were it to end first, the child would die (`PTRACE_O_EXITKILL`). What is
//! kept is bounded. Registers are never looked at: `PTRACE_GET_SYSCALL_INFO`, Linux 5.3, is the same on every architecture.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use libc::{c_int, c_long, c_uint, pid_t, ptrace_syscall_info, siginfo_t};
use plugin_api::host_side::manifest::NETLINK;

/// A reading that opens every process of a machine twice has a few thousand.
const CALLS_MAX: usize = 20_000;
/// The longest path that the kernel takes.
const PATH_BYTES: usize = 4096;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// To open a file or a folder.
    Open,
    /// To look at one without opening it: stat, access, readlink.
    Look,
    /// To run a program.
    Run,
    /// To connect; the target is as `reads` has it: `unix:/path`, `tcp:PORT`.
    Connect,
    /// To make a socket; the target is as `reads` has it, as far as that is known by then: `netlink:route`, `unix`, `tcp`.
    Socket,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was asked for.
    pub what: What,
    /// Of what: an absolute path, but for sockets.
    pub target: String,
    /// 0 where it was given.
    pub errno: i32,
}

/// A child that is traced.
#[derive(Debug)]
pub struct Trace {
    thread: JoinHandle<Vec<Call>>,
}

impl Trace {
    /// Begins to trace a child of this process that waits for its set-up.
    ///
    /// # Errors
    /// It is not allowed here: a filter around this process, or the kernel's `yama` (`ptrace_scope` 3).
    pub fn begin(child: u32) -> io::Result<Trace> {
        let child = pid_t::try_from(child).map_err(io::Error::other)?;
        let (begun, has_begun) = mpsc::sync_channel(1);
        let trace = move || {
            let seized = seize(child);
            let is_traced = seized.is_ok();
            // Whoever asked waits for it.
            let _ = begun.send(seized);
            if is_traced { follow(child) } else { Vec::new() }
        };
        let thread = thread::Builder::new().name("trace".into()).spawn(trace)?;
        has_begun.recv().map_err(io::Error::other)??;
        Ok(Trace { thread })
    }

    /// What it has asked for. The child has ended, or was killed, and was not waited for.
    #[must_use]
    pub fn end(self) -> Vec<Call> {
        // The hook has told of a panic, and what was not seen is not told.
        self.thread.join().unwrap_or_default()
    }
}

fn seize(child: pid_t) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_EXITKILL;
    ptrace(libc::PTRACE_SEIZE, child, 0, options as usize)?;
    ptrace(libc::PTRACE_INTERRUPT, child, 0, 0)?;
    Ok(())
}

/// Requests that neither read nor write this process's memory.
fn ptrace(request: c_uint, thread: pid_t, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: the requests that are given here take `address` and `data` for numbers, and touch no memory of this process.
    match unsafe { libc::ptrace(request, thread, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// What a thread that has stopped at a call asks for, or got.
fn info(thread: pid_t) -> Option<ptrace_syscall_info> {
    let mut info = MaybeUninit::<ptrace_syscall_info>::zeroed();
    let size = size_of::<ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes to `info`, which lives for the call and has so many.
    let written = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, info.as_mut_ptr()) };
    // SAFETY: it is plain numbers, for which zeros are values, too.
    (written > 0).then(|| unsafe { info.assume_init() })
}

/// The next stop or end of a thread that is traced: who, whether it has ended, and what its status says. It stays to be waited for.
fn next() -> Option<(pid_t, bool, c_int)> {
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT | libc::__WALL | libc::__WNOTHREAD;
    loop {
        let mut info = MaybeUninit::<siginfo_t>::zeroed();
        // SAFETY: `info` is a live buffer of the type that the call fills.
        let waited = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) };
        if waited == 0 {
            // SAFETY: zeros are a value of it, and the call has filled in what goes with a child.
            let (info, thread, status) = unsafe {
                let info = info.assume_init();
                (info, info.si_pid(), info.si_status())
            };
            let has_ended = matches!(info.si_code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED);
            return Some((thread, has_ended, status));
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// Takes what [`next`] has told.
fn take(thread: pid_t) {
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD;
    let mut info = MaybeUninit::<siginfo_t>::zeroed();
    // SAFETY: as above. What goes wrong shows at the next turn, which finds nothing or the same again.
    unsafe { libc::waitid(libc::P_PID, thread.unsigned_abs(), info.as_mut_ptr(), flags) };
}

/// Lets it run from call to call, until the child itself has ended.
fn follow(child: pid_t) -> Vec<Call> {
    let (mut calls, mut entered) = (Vec::new(), HashMap::new());
    while let Some((thread, has_ended, status)) = next() {
        if has_ended && thread == child {
            break;
        }
        take(thread);
        if has_ended {
            entered.remove(&thread);
            continue;
        }
        let (event, signal) = (status >> 8, status & 0xff);
        let at_a_call = event == 0 && signal == libc::SIGTRAP | 0x80;
        if at_a_call && let Some(info) = info(thread) {
            called(thread, &info, &mut entered, &mut calls);
        }
        let deliver = if event == 0 && !at_a_call { signal } else { 0 };
        // It may have been killed meanwhile, which is told next.
        let _ = ptrace(libc::PTRACE_SYSCALL, thread, 0, deliver as usize);
    }
    calls
}

type Entered = HashMap<pid_t, (What, String)>;

fn called(thread: pid_t, info: &ptrace_syscall_info, entered: &mut Entered, calls: &mut Vec<Call>) {
    match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: `op` says which of the union it is, and all of it is numbers.
            let entry = unsafe { info.u.entry };
            match asked(thread, entry.nr as c_long, entry.args) {
                Some(asked) => entered.insert(thread, asked),
                None => entered.remove(&thread),
            };
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => {
            // SAFETY: the same.
            let exit = unsafe { info.u.exit };
            if let Some((what, target)) = entered.remove(&thread).filter(|_| calls.len() < CALLS_MAX) {
                let errno = if exit.is_error != 0 { -exit.sval as i32 } else { 0 };
                calls.push(Call { what, target, errno });
            }
        }
        _ => {}
    }
}

fn asked(thread: pid_t, number: c_long, arguments: [u64; 6]) -> Option<(What, String)> {
    let [first, second, third, ..] = arguments;
    #[cfg(target_arch = "x86_64")]
    match number {
        libc::SYS_open => return Some((What::Open, path(thread, libc::AT_FDCWD, first)?)),
        libc::SYS_stat | libc::SYS_lstat | libc::SYS_access | libc::SYS_readlink => {
            return Some((What::Look, path(thread, libc::AT_FDCWD, first)?));
        }
        _ => {}
    }
    match number {
        libc::SYS_openat | libc::SYS_openat2 => Some((What::Open, path(thread, first as c_int, second)?)),
        libc::SYS_newfstatat | libc::SYS_statx | libc::SYS_faccessat | libc::SYS_faccessat2 | libc::SYS_readlinkat => {
            Some((What::Look, path(thread, first as c_int, second)?))
        }
        libc::SYS_statfs => Some((What::Look, path(thread, libc::AT_FDCWD, first)?)),
        libc::SYS_execve => Some((What::Run, path(thread, libc::AT_FDCWD, first)?)),
        libc::SYS_execveat => Some((What::Run, path(thread, first as c_int, second)?)),
        libc::SYS_connect => Some((What::Connect, address(&bytes(thread, second, third as usize))?)),
        libc::SYS_socket => Some((What::Socket, socket(first as c_int, third as u16))),
        _ => None,
    }
}

/// A path of the thread's memory, absolute.
fn path(thread: pid_t, folder: c_int, place: u64) -> Option<String> {
    let bytes = bytes(thread, place, PATH_BYTES);
    let text = bytes.split(|&byte| byte == 0).next().filter(|text| !text.is_empty())?;
    let text = String::from_utf8_lossy(text);
    if text.starts_with('/') {
        return Some(straight(Path::new(&*text)));
    }
    let folder = match folder {
        libc::AT_FDCWD => format!("/proc/{thread}/cwd"),
        folder => format!("/proc/{thread}/fd/{folder}"),
    };
    Some(straight(&fs::read_link(folder).ok()?.join(&*text)))
}

/// Without `.`, `..` and what is twice; links are not followed.
fn straight(path: &Path) -> String {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::Normal(part) => out.push(part),
            _ => {}
        }
    }
    out.to_string_lossy().into_owned()
}

fn bytes(thread: pid_t, place: u64, at_most: usize) -> Vec<u8> {
    let mut bytes = vec![0; at_most.min(PATH_BYTES)];
    let read = File::open(format!("/proc/{thread}/mem")).and_then(|memory| memory.read_at(&mut bytes, place));
    bytes.truncate(read.unwrap_or(0));
    bytes
}

/// What an address of connect(2) is in `reads`.
fn address(bytes: &[u8]) -> Option<String> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    match c_int::from(u16::from_ne_bytes(*family)) {
        libc::AF_UNIX => {
            let path = rest.split(|&byte| byte == 0).next().filter(|path| !path.is_empty())?;
            Some(format!("unix:{}", String::from_utf8_lossy(path)))
        }
        libc::AF_INET | libc::AF_INET6 => {
            rest.first_chunk::<2>().map(|port| format!("tcp:{}", u16::from_be_bytes(*port)))
        }
        _ => None,
    }
}

fn socket(family: c_int, protocol: u16) -> String {
    match family {
        libc::AF_UNIX => "unix".into(),
        libc::AF_INET | libc::AF_INET6 => "tcp".into(),
        libc::AF_NETLINK => {
            let known = NETLINK.iter().find(|(_, number)| u32::from(*number) == u32::from(protocol));
            known.map_or_else(|| format!("netlink protocol {protocol}"), |(name, _)| format!("netlink:{name}"))
        }
        family => format!("a socket of family {family}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_as_reads_has_them() {
        let unix = [&1u16.to_ne_bytes()[..], b"/run/ups\0left over"].concat();
        let internet = [&2u16.to_ne_bytes()[..], &3493u16.to_be_bytes(), &[127, 0, 0, 1]].concat();
        assert_eq!(address(&unix).as_deref(), Some("unix:/run/ups"));
        assert_eq!(address(&internet).as_deref(), Some("tcp:3493"));
        assert_eq!([address(b""), address(b"\x01\x00"), address(b"\x01\x00\x00abstract")], [None, None, None]);
        assert_eq!(socket(libc::AF_NETLINK, 0), "netlink:route");
    }

    #[test]
    fn where_nothing_can_be_traced_it_is_said_at_once() {
        assert!(Trace::begin(std::process::id()).is_err(), "nobody traces itself");
    }

    #[test]
    fn paths_are_straight() {
        assert_eq!(straight(Path::new("/proc/./net//../stat")), "/proc/stat");
    }
}
