//! What the sandbox keeps from it, path by path, and what it reaches without having said so.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use plugin_api::host_side::manifest::{Read, ReadKind};

use super::desk::Desk;
use super::readings::Taken;
use super::report::{Check, Finding};
use super::trace::{Call, What};
use crate::child::Policy;

/// What libraries of every program open by themselves: how many CPUs there are, how memory is given.
const OF_THE_RUNTIME: [&str; 5] = [
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/possible",
    "/sys/fs/cgroup",
    "/proc/sys/vm/overcommit_memory",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Both.
#[must_use]
pub fn checks(desk: &Desk, taken: &Taken) -> Vec<Check> {
    match (&taken.agent_calls.calls, &taken.child_calls.calls) {
        (Ok(agent), Ok(child)) => {
            let whole = taken.child.logged.iter().find(|(_, line)| line.starts_with("the sandbox is not whole"));
            vec![refused(&desk.policy(), agent, child, whole.map(|(_, line)| line.as_str())), reads(desk, child)]
        }
        (Err(why), _) | (_, Err(why)) => vec![Check::skipped("sandbox", why), Check::skipped("reads", why)],
    }
}

/// What was refused there and not here; `lacking` is what the child said of a sandbox that is less than it should be.
fn refused(policy: &Policy, agent: &[Call], child: &[Call], lacking: Option<&str>) -> Check {
    let refusals: BTreeSet<(What, &str, i32)> = child
        .iter()
        .filter(|call| matches!(call.errno, libc::EACCES | libc::EPERM | libc::EROFS))
        .map(|call| (call.what, call.target.as_str(), call.errno))
        .collect();
    let mut findings = Vec::new();
    if let Some(lacking) = lacking {
        findings.push(Finding::remark(lacking, "test it once more under a newer kernel: there it is refused more"));
    }
    for (what, target, errno) in refusals {
        let outside: Vec<i32> =
            agent.iter().filter(|call| call.what == what && call.target == target).map(|call| call.errno).collect();
        // The machine refuses it, whoever asks.
        if outside.contains(&errno) {
            continue;
        }
        let cause = std::io::Error::from_raw_os_error(errno);
        let did = match what {
            What::Open => "could not open",
            What::Look => "could not look at",
            What::Run => "could not run",
            What::Connect => "could not connect to",
            What::Socket => "could not make a socket for",
        };
        let told = format!("{did} {target}: {cause}");
        let change = match what {
            What::Connect | What::Socket => line(&lines(what, target, agent)),
            _ => policy.explain(&told).unwrap_or_else(|| "no grant opens it: `isolation = \"none\"` would".into()),
        };
        findings.push(match outside.contains(&0) {
            true => Finding::failure(format!("{told}; without the sandbox it can"), change),
            false => Finding::remark(told, change),
        });
    }
    Check::new(
        "sandbox",
        format!("{} paths and addresses asked for, with all of `reads` granted", distinct(child)),
        findings,
    )
}

/// What of `reads` allows a refused address. A socket is refused before anybody has said where it leads: the unhindered run has.
fn lines(what: What, target: &str, agent: &[Call]) -> Vec<String> {
    let connected = agent.iter().filter(|call| call.what == What::Connect).map(|call| call.target.clone());
    let alike: BTreeSet<String> = connected.filter(|led| led.split(':').next() == Some(target)).collect();
    match (what, target) {
        (What::Socket, "unix" | "tcp") if !alike.is_empty() => alike.into_iter().collect(),
        (What::Socket, "unix") => vec!["unix:/path".into()],
        (What::Socket, "tcp") => vec!["tcp:PORT".into()],
        _ => vec![target.to_owned()],
    }
}

fn line(reads: &[String]) -> String {
    let list = reads.iter().map(|read| format!("\"{read}\"")).collect::<Vec<_>>().join(", ");
    format!("`reads = [{list}]` in its plugin.toml asks for it, and an operator grants it")
}

fn distinct(calls: &[Call]) -> usize {
    calls.iter().map(|call| (call.what, &call.target)).collect::<BTreeSet<_>>().len()
}

/// What it opens in `/proc` and `/sys`, which are granted as a whole, and does not name.
fn reads(desk: &Desk, child: &[Call]) -> Check {
    let declared: Vec<Read> = desk.manifest.plugin.reads.iter().flat_map(|read| read.with(&desk.settings)).collect();
    let root = desk.root.to_string_lossy();
    let opened = child.iter().filter(|call| call.what == What::Open && call.errno == 0);
    let opened: BTreeSet<String> = opened.filter_map(|call| on_host(&call.target, &root)).map(str::to_owned).collect();
    let undeclared: BTreeSet<String> = kernel_files(&opened)
        .iter()
        .map(|path| entry(path))
        .filter(|path| {
            let read = Read { kind: ReadKind::Path, target: path.clone() };
            !declared.iter().any(|declared| declared.covers(&read))
        })
        .collect();
    let mut findings = Vec::new();
    if !undeclared.is_empty() {
        let list = undeclared.iter().map(|path| format!("\"{path}\"")).collect::<Vec<_>>().join(", ");
        let what = format!("it opens what its `reads` does not name: {list}");
        findings.push(Finding::remark(
            what,
            format!("add to `reads` in its plugin.toml: {list}, so that an operator knows"),
        ));
    }
    Check::new("reads", format!("what it opens against its {} entries", declared.len()), findings)
}

/// Of these, the files of the kernel that no library opens by itself.
#[must_use]
pub fn kernel_files(paths: &BTreeSet<String>) -> BTreeSet<String> {
    let kernel = paths.iter().filter(|path| path.starts_with("/proc/") || path.starts_with("/sys/"));
    kernel.filter(|path| !is_own(path) && !OF_THE_RUNTIME.iter().any(|of| path.starts_with(of))).cloned().collect()
}

/// A path as `reads` writes it.
fn on_host<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    match root {
        "/" => Some(path),
        root => path.strip_prefix(root),
    }
}

/// Of the reading process itself, by which libraries look at themselves.
fn is_own(path: &str) -> bool {
    path.starts_with("/proc/self") || path.starts_with("/proc/thread-self")
}

/// Of processes by their number, all of `/proc` is named.
fn entry(path: &str) -> String {
    let number = path.strip_prefix("/proc/").and_then(|rest| rest.split('/').next());
    let is_process = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    if is_process { "/proc".into() } else { path.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(what: What, target: &str, errno: i32) -> Call {
        Call { what, target: target.into(), errno }
    }

    #[test]
    fn socket_that_was_refused_is_asked_for_by_where_it_leads_without_a_sandbox() {
        let agent =
            [call(What::Socket, "tcp", 0), call(What::Connect, "tcp:3493", 0), call(What::Connect, "unix:/run/x", 0)];
        assert_eq!(lines(What::Socket, "tcp", &agent), ["tcp:3493"]);
        assert_eq!(lines(What::Socket, "unix", &agent), ["unix:/run/x"]);
        assert_eq!(lines(What::Socket, "tcp", &[]), ["tcp:PORT"]);
        assert_eq!(lines(What::Socket, "netlink:route", &agent), ["netlink:route"]);
    }

    #[test]
    fn processes_by_their_number_are_all_of_proc() {
        assert_eq!([entry("/proc/17/stat"), entry("/proc/stat")], ["/proc", "/proc/stat"]);
        assert_eq!(on_host("/tmp/x/proc/stat", "/tmp/x"), Some("/proc/stat"));
    }
}
