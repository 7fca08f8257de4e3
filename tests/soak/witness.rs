//! A thread of the agent's priority that does nothing but wake up at every tick: what it misses, the machine took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::setpriority_process;

const TICK: Duration = Duration::from_millis(100);

pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What it saw.
#[derive(Default)]
pub(crate) struct Seen {
    ticks: u64,
    late: [u64; LATE.len()],
    most: Duration,
    /// When it was late by half a tick or more.
    when: Vec<(SystemTime, Duration)>,
}

/// Milliseconds of lateness that are counted.
const LATE: [u64; 4] = [10, 50, 90, 100];
/// So many of the worst are told one by one, beside what the agent missed.
const WHEN_MAX: usize = 100;

impl Witness {
    pub(crate) fn start(nice: i32) -> Witness {
        let stop = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            // Of this thread alone; without the right to it, the agent has none either, and that was said.
            let _ = setpriority_process(None, nice);
            let mut seen = Seen::default();
            while !end.load(Ordering::Relaxed) {
                let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
                let now = since(SystemTime::now());
                let past = Duration::from_nanos((now.as_nanos() % TICK.as_nanos()) as u64);
                let next = now + (TICK - past);
                std::thread::sleep(TICK - past);
                let late = since(SystemTime::now()).saturating_sub(next);
                seen.ticks += 1;
                seen.most = seen.most.max(late);
                if late >= TICK / 2 && seen.when.len() < WHEN_MAX {
                    seen.when.push((UNIX_EPOCH + next, late));
                }
                for (count, limit) in seen.late.iter_mut().zip(LATE) {
                    *count += u64::from(late >= Duration::from_millis(limit));
                }
            }
            seen
        });
        Witness { stop, thread }
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

impl Seen {
    pub(crate) fn print(&self) {
        for (tick, late) in &self.when {
            println!("{} late by {late:.1?}: the thread that only wakes up", humantime::format_rfc3339_millis(*tick));
        }
        let late: Vec<_> = LATE.iter().zip(self.late).map(|(limit, count)| format!("{count} by {limit} ms")).collect();
        println!(
            "a thread of the same priority that only wakes up: {} ticks, late {}, at most {:.1?}",
            self.ticks,
            late.join(", "),
            self.most
        );
    }
}
