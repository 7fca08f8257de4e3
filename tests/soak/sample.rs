//! What the kernel says of the agent at one moment.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// One look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Since the start.
    pub(crate) at: Duration,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    pub(crate) rss_kib: u64,
    pub(crate) pss_kib: u64,
    pub(crate) private_dirty_kib: u64,
    /// Clock ticks of CPU time: of the agent itself, and of children that have died.
    pub(crate) cpu: u64,
    pub(crate) cpu_of_dead: u64,
    pub(crate) children: Vec<Child>,
    pub(crate) zombies: Vec<u32>,
}

/// A child of the agent that is alive.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// Clock ticks of CPU time.
    pub(crate) cpu: u64,
    pub(crate) private_kib: u64,
}

impl Sample {
    /// A look at a process; none where it has ended.
    pub(crate) fn take(pid: u32, at: Duration) -> Option<Sample> {
        let stat = Stat::of(pid)?;
        if stat.state == 'Z' {
            return None;
        }
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let mut sample = Sample {
            at,
            threads: stat.threads,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
            rss_kib: kib(&rollup, "Rss:"),
            pss_kib: kib(&rollup, "Pss:"),
            private_dirty_kib: kib(&rollup, "Private_Dirty:"),
            cpu: stat.cpu,
            cpu_of_dead: stat.cpu_of_dead,
            ..Sample::default()
        };
        for (pid, stat) in children(pid) {
            if stat.state == 'Z' {
                sample.zombies.push(pid);
                continue;
            }
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let private_kib = kib(&rollup, "Private_Dirty:") + kib(&rollup, "Private_Clean:");
            sample.children.push(Child { cpu: stat.cpu, private_kib });
        }
        Some(sample)
    }
}

/// The children of a process.
pub(crate) fn children(parent: u32) -> Vec<(u32, Stat)> {
    let all = processes().filter_map(|pid| Some((pid, Stat::of(pid)?)));
    all.filter(|(_, stat)| stat.parent == parent).collect()
}

/// How many processes run this program.
pub(crate) fn running(program: &Path) -> usize {
    let is_it = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
    processes().filter(is_it).count()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// What is of interest in /proc/PID/stat.
pub(crate) struct Stat {
    pub(crate) parent: u32,
    pub(crate) state: char,
    threads: u64,
    cpu: u64,
    cpu_of_dead: u64,
}

impl Stat {
    /// Of a process that is there.
    pub(crate) fn of(pid: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may have any letters; the first of these is field 3.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Stat {
            parent: number(4)?.try_into().ok()?,
            state: fields[0].chars().next()?,
            threads: number(20)?,
            cpu: number(14)? + number(15)?,
            cpu_of_dead: number(16)? + number(17)?,
        })
    }
}

fn kib(rollup: &str, key: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}
