//! Parts of one program, told apart without symbols, requests to valgrind or a process each.
//!
//! callgrind writes down what it has counted so far, and begins at 0, whenever a function of a given name is entered
//! (`--dump-before`). [`MARK`] is one of the C library that nobody here has a reason to call: a part lies between two calls of it. What
//! the parts are is printed in their order; the second of the dumps is the first part, the fourth the second part, and so on.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

/// What callgrind waits for: [`std::os::unix::process::parent_id`] calls it.
pub const MARK: &str = "getppid";

/// Rounds until every buffer has its size.
const WARM_UP: usize = 10;
/// Rounds that are counted.
pub const COUNTED: usize = 25;
/// Rounds at most that are not: those of the warm-up, and those in which another thread ran.
const ROUNDS_MORE: usize = 500;
/// Rounds that are timed.
const TIMED: usize = 5000;

/// Measures the parts that it is given.
#[derive(Default)]
pub struct Meter {
    /// How many nanoseconds a look at the clock takes; none where instructions are counted.
    look: Option<u64>,
    is_warm: bool,
    parts: Vec<String>,
    times: BTreeMap<String, Vec<u64>>,
    values: BTreeMap<String, usize>,
}

impl Meter {
    /// One whose parts are counted from outside.
    pub fn marks() -> Meter {
        Meter::default()
    }

    /// One that takes the time.
    pub fn clock() -> Meter {
        Meter { look: Some(a_look_at_the_clock()), ..Meter::default() }
    }

    /// Goes through the rounds of a case; in the first ones nothing is measured. Nor does a round count in which another thread ran:
    /// `disk` has one ask a file system that took 5 ms to answer, as any does on a machine that is busy enough, and goes back to
    /// asking by itself when it is quick again.
    pub fn rounds(&mut self, mut round: impl FnMut(&mut Meter, u64)) {
        let mut left = if self.look.is_some() { TIMED } else { COUNTED };
        for number in 0..left + ROUNDS_MORE {
            self.is_warm = number >= WARM_UP;
            let (others, known) = (if self.look.is_some() { 0 } else { switches_of_others() }, self.parts.len());
            round(self, number as u64);
            if self.is_warm && (self.look.is_some() || switches_of_others() == others) {
                left -= 1;
            } else {
                self.parts[known..].iter_mut().for_each(|part| part.clear());
            }
            if left == 0 {
                return;
            }
        }
        panic!(
            "{:?}: in {ROUNDS_MORE} rounds more than {COUNTED} another thread ran: the machine is too busy",
            self.parts.last()
        );
    }

    /// Does a part of a round. What it has of several parts of one name is added up.
    pub fn part<T>(&mut self, name: &str, work: impl FnOnce() -> T) -> T {
        if !self.is_warm {
            return work();
        }
        if let Some(look) = self.look {
            let before = Instant::now();
            let done = work();
            let took = before.elapsed().as_nanos() as u64;
            self.times.entry(name.into()).or_default().push(took.saturating_sub(look));
            return done;
        }
        mark();
        let done = work();
        mark();
        self.parts.push(name.into());
        done
    }

    /// Says how many values the snapshots of a host have.
    pub fn has_values(&mut self, host: &str, values: usize) {
        self.values.insert(host.into(), values);
    }

    /// Prints the parts in their order, and what else is known of them, for [`crate::valgrind`].
    pub fn tell_order(&self) {
        for part in &self.parts {
            println!("part {part}");
        }
        for (host, values) in &self.values {
            println!("values {host} {values}");
        }
    }

    /// Prints nanoseconds.
    pub fn tell_times(&self) {
        let nanoseconds = |name: &str| of_a_round(&self.times[name], TIMED);
        for name in self.times.keys() {
            println!("{name}: {} ns", nanoseconds(name));
        }
        for (host, values) in &self.values {
            let both = nanoseconds(&format!("assemble.{host}")) + nanoseconds(&format!("encode.{host}"));
            println!("{host}: {values} values, {:.1} ns a value from readings to JSON", both as f64 / *values as f64);
        }
    }
}

/// How often the other threads of this program have begun or ceased to wait.
fn switches_of_others() -> u64 {
    let of = |task: fs::DirEntry| {
        // It may have ended meanwhile.
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        counts.map(|(_, count)| count.trim().parse::<u64>().unwrap_or(0)).sum::<u64>()
    };
    let is_other = |task: &fs::DirEntry| task.file_name() != *std::process::id().to_string();
    fs::read_dir("/proc/self/task").unwrap().flatten().filter(is_other).map(of).sum()
}

/// The median of so many rounds, each of as many parts.
pub fn of_a_round(parts: &[u64], rounds: usize) -> u64 {
    let mut rounds: Vec<u64> = parts.chunks(parts.len() / rounds).map(|round| round.iter().sum()).collect();
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

/// The least of some means, so that whatever else goes on makes no part look quicker.
fn a_look_at_the_clock() -> u64 {
    const LOOKS: u64 = 10_000;
    let mean = |_| {
        let before = Instant::now();
        for _ in 0..LOOKS {
            std::hint::black_box(Instant::now());
        }
        before.elapsed().as_nanos() as u64 / LOOKS
    };
    (0..20).map(mean).min().unwrap()
}

#[inline(never)]
fn mark() {
    std::hint::black_box(std::os::unix::process::parent_id());
}
