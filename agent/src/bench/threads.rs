//! What the threads of this process have cost so far, and the machine beside them, as the kernel has counted it.
//!
//! Read between two cycles, by a thread that is not counted. A thread that sleeps has its CPU time to the nanosecond in `schedstat`.
//! What it waited for a processor stands behind that, and is not taken: Linux 6.18 was seen to count a second of sleep there. Parsing is pure.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::spread::Machine;

/// Threads of this command begin so: they are none of the agent's.
pub(super) const OURS: &str = "bench";

/// One thread, since it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Thread {
    pub(super) id: u32,
    /// Cut at 15 bytes by the kernel.
    pub(super) name: String,
    pub(super) counts: Counts,
}

/// What is counted of a thread, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) cpu: Duration,
    /// Context switches: it went to sleep.
    pub(super) slept: u64,
    /// Context switches: its processor was taken away.
    pub(super) pushed: u64,
    /// Page faults that needed no disk.
    pub(super) faults: u64,
}

impl Counts {
    pub(super) fn plus(self, other: Counts) -> Counts {
        Counts {
            cpu: self.cpu + other.cpu,
            slept: self.slept + other.slept,
            pushed: self.pushed + other.pushed,
            faults: self.faults + other.faults,
        }
    }

    fn since(self, before: Counts) -> Counts {
        Counts {
            cpu: self.cpu.saturating_sub(before.cpu),
            slept: self.slept.saturating_sub(before.slept),
            pushed: self.pushed.saturating_sub(before.pushed),
            faults: self.faults.saturating_sub(before.faults),
        }
    }
}

/// All threads of the agent in this process.
///
/// # Errors
/// `/proc/self/task` cannot be read.
pub(super) fn all() -> io::Result<Vec<Thread>> {
    let main = std::process::id();
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0);
        // One that has ended meanwhile costs nothing any more.
        if let Some(thread) = (id != main).then(|| thread(&path, id)).flatten() {
            threads.push(thread);
        }
    }
    threads.retain(|thread| !thread.name.starts_with(OURS));
    Ok(threads)
}

fn thread(folder: &Path, id: u32) -> Option<Thread> {
    // One that has ended meanwhile is none.
    let read = |name| fs::read_to_string(folder.join(name)).ok();
    let name = read("comm")?.trim_end().to_owned();
    Some(Thread { id, name, counts: counts(&read("schedstat")?, &read("status")?, &read("stat")?) })
}

/// By proc_pid_schedstat(5), proc_pid_status(5) and proc_pid_stat(5), of which the tenth field counts faults.
fn counts(schedstat: &str, status: &str, stat: &str) -> Counts {
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    let cpu = Duration::from_nanos(number(schedstat.split(' ').next()));
    let of = |key| number(status.lines().find_map(|line| line.strip_prefix(key)));
    let faults = number(stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(7)));
    let (slept, pushed) = (of("voluntary_ctxt_switches:"), of("nonvoluntary_ctxt_switches:"));
    Counts { cpu, slept, pushed, faults }
}

/// What the threads of which this holds have cost between two looks.
pub(super) fn between(before: &[Thread], now: &[Thread], of: impl Fn(&str) -> bool) -> Counts {
    let mine = now.iter().filter(|thread| of(&thread.name));
    let grown = mine.map(|thread| {
        let earlier = before.iter().find(|earlier| earlier.id == thread.id);
        thread.counts.since(earlier.map(|earlier| earlier.counts).unwrap_or_default())
    });
    grown.fold(Counts::default(), Counts::plus)
}

/// Times of all processors since the machine booted, in ticks of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Processors {
    count: usize,
    all: u64,
    idle: u64,
    stolen: u64,
}

impl Processors {
    /// None where the kernel does not tell.
    pub(super) fn now() -> Option<Processors> {
        Processors::of(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// By proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; what guests had is in user.
    fn of(stat: &str) -> Option<Processors> {
        let mut lines = stat.lines();
        let times = lines.next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let times: Vec<u64> = times.map(str::parse).collect::<Result<_, _>>().ok()?;
        let count = lines.take_while(|line| line.starts_with("cpu")).count();
        let (all, idle) = (times.iter().sum(), times.get(3)? + times.get(4)?);
        Some(Processors { count, all, idle, stolen: *times.get(7).unwrap_or(&0) })
    }

    /// What the machine did from then on, but for so much CPU time of ours.
    pub(super) fn since(self, before: Processors, passed: Duration, ours: Duration) -> Machine {
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        let stolen = self.stolen.saturating_sub(before.stolen) as f64 / all;
        let used = 1.0 - self.idle.saturating_sub(before.idle) as f64 / all - stolen;
        let time = passed.as_secs_f64() * self.count.max(1) as f64;
        let busy = (used - ours.as_secs_f64() / time.max(f64::MIN_POSITIVE)).max(0.0);
        // Where it is not to be had nothing is said of it.
        let load = fs::read_to_string("/proc/loadavg").ok();
        let load = load.and_then(|text| text.split(' ').next()?.parse().ok());
        Machine { processors: self.count, busy, stolen, load }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_is_counted_from_its_three_files() {
        let status = "Name:\tcollect\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        let counts = counts("5000 700 9\n", status, "7 (a) b) S 1 2 3 0 -1 64 90 0 0 0 1 1\n");
        let expected = Counts { cpu: Duration::from_nanos(5000), slept: 12, pushed: 3, faults: 90 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn growth_is_of_the_threads_that_are_meant_and_of_a_new_one_all() {
        let thread =
            |id, name: &str, faults| Thread { id, name: name.into(), counts: Counts { faults, ..Counts::default() } };
        let before = [thread(1, "collect", 10), thread(2, "sink bench", 5)];
        let now = [thread(1, "collect", 12), thread(2, "sink bench", 9), thread(3, "collect", 100)];
        assert_eq!(between(&before, &now, |name| name == "collect").faults, 102);
        assert_eq!(between(&before, &now, |_| true).faults, 106);
    }

    #[test]
    fn others_are_told_from_what_is_ours_and_from_what_was_stolen() {
        let of = |line: &str| Processors::of(&format!("{line}\ncpu0 1\ncpu1 1\nintr 5\n")).unwrap();
        let (before, now) = (of("cpu  0 0 0 0 0 0 0 0 0 0"), of("cpu  50 10 20 80 20 5 5 10 7 0"));
        let machine = now.since(before, Duration::from_secs(1), Duration::from_millis(200));
        // Of 200 ticks 10 were stolen and 100 idle; of the 90 left 20 were ours.
        assert_eq!((machine.processors, machine.stolen), (2, 0.05));
        assert!((machine.busy - 0.35).abs() < 1e-9, "{machine:?}");
        assert_eq!(Processors::of("something else\n"), None);
    }
}
