//! The agent's log, on standard error: text for people, or JSON.
//!
//! Lines are written by a thread of their own behind a bounded queue: whoever logs, the collection thread above all,
//! never waits for a pipe that nobody drains. What finds no room is counted, and said when there is room again.
#![forbid(unsafe_code)]

mod event;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use plugin_api::Level;
use tracing::level_filters::LevelFilter;

use self::event::{Events, Threshold};
use crate::harmless;
use crate::snapshot::aggregate::brief;

/// Lines that wait to be written: a start with a thousand faulty plugins fits. They are counted, and the queue has no bound of its own: it
/// would set aside the room for all of them.
const LINES_MAX: usize = 1024;
/// How long the end of the process waits for the last lines.
const FLUSH: Duration = Duration::from_millis(200);

/// A line that a plugin wrote.
pub fn of_collector(name: &str, level: Level, text: &str) {
    let text = brief(text);
    match level {
        Level::Error => tracing::error!(collector = name, "{text}"),
        Level::Warn => tracing::warn!(collector = name, "{text}"),
        Level::Info => tracing::info!(collector = name, "{text}"),
        _ => tracing::debug!(collector = name, "{text}"),
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

enum Message {
    Line(Vec<u8>),
    /// Everything before this has been written.
    Flush(SyncSender<()>),
}

/// The log, at work until the end of the process.
#[derive(Clone)]
pub struct Log {
    lines: Lines,
    threshold: Threshold,
}

/// Where lines wait to be written.
#[derive(Clone)]
pub struct Lines {
    queue: Sender<Message>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    lost: AtomicU64,
}

/// Starts the log of this process. A second start changes nothing.
///
/// # Errors
/// No thread is to be had.
pub fn start(level: LevelFilter, format: Format) -> io::Result<Log> {
    let (queue, waiting) = channel();
    let lines = Lines { queue, counts: Arc::default() };
    let counts = Arc::clone(&lines.counts);
    thread::Builder::new().name("log".into()).spawn(move || write(&waiting, &counts, format, &mut io::stderr()))?;
    let threshold = Threshold::new(level);
    let events = Events { format, lines: lines.clone(), threshold: threshold.clone() };
    // Only where a log was started before, by a program that embeds the agent.
    let _ = tracing::subscriber::set_global_default(events);
    Ok(Log { lines, threshold })
}

impl Log {
    /// What is logged from now on. What is turned off costs one atomic load where it would be said, as before.
    pub fn set_level(&self, level: LevelFilter) {
        self.threshold.set(level);
    }

    /// Waits until what was logged is written, a moment at most.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        // The thread that writes lives as long as the process.
        let _ = self.lines.queue.send(Message::Flush(done));
        // Nobody drains standard error: the lines are lost, and the end is not delayed for them.
        let _ = written.recv_timeout(FLUSH);
    }
}

fn write(lines: &Receiver<Message>, counts: &Counts, format: Format, output: &mut dyn Write) {
    for message in lines {
        // Where standard error cannot be written, there is nobody to tell.
        let _ = match message {
            Message::Line(line) => {
                counts.waiting.fetch_sub(1, Ordering::Relaxed);
                output.write_all(harmless::text(&String::from_utf8_lossy(&line)).as_bytes())
            }
            Message::Flush(done) => {
                let _ = done.try_send(());
                Ok(())
            }
        };
        let lost = counts.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let said = format!("{lost} lines of the log found no room and were lost");
            let _ = match format {
                Format::Text => writeln!(output, "{said}"),
                Format::Json => writeln!(output, "{{\"level\":\"WARN\",\"message\":\"{said}\"}}"),
            };
        }
    }
}

impl Lines {
    fn say(&self, line: Vec<u8>) {
        let Counts { waiting, lost } = &*self.counts;
        if waiting.fetch_add(1, Ordering::Relaxed) >= LINES_MAX {
            waiting.fetch_sub(1, Ordering::Relaxed);
            lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Nobody writes any more where the process ends.
        let _ = self.queue.send(Message::Line(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logger_never_waits_for_whoever_reads_the_log() {
        let (queue, unread) = channel();
        let lines = Lines { queue, counts: Arc::default() };
        for _ in 0..LINES_MAX + 3 {
            lines.say(b"line\n".to_vec());
        }
        assert_eq!(lines.counts.lost.load(Ordering::Relaxed), 3);
        drop(lines);
        assert_eq!(unread.iter().count(), LINES_MAX);
    }

    #[test]
    fn lines_of_a_full_queue_are_written_before_the_end() {
        let (queue, waiting) = channel();
        let log = Log { lines: Lines { queue, counts: Arc::default() }, threshold: Threshold::new(LevelFilter::INFO) };
        for _ in 0..LINES_MAX + 3 {
            log.lines.say(b"{}\n".to_vec());
        }
        let counts = Arc::clone(&log.lines.counts);
        let written = thread::spawn(move || {
            let mut written = Vec::new();
            write(&waiting, &counts, Format::Json, &mut written);
            String::from_utf8(written).unwrap()
        });
        log.flush();
        drop(log);
        let written = written.join().unwrap();
        let values: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(values.len(), LINES_MAX + 1);
        assert_eq!(values[1]["message"], "3 lines of the log found no room and were lost");
    }

    /// The one test of this program that starts a log: there is one for all of a process.
    #[test]
    fn level_that_is_set_holds_at_once_and_what_it_turns_off_is_not_asked_about() {
        let log = start(LevelFilter::WARN, Format::Text).unwrap();
        assert_eq!(LevelFilter::current(), LevelFilter::WARN);
        for level in [LevelFilter::DEBUG, LevelFilter::ERROR, LevelFilter::TRACE] {
            log.set_level(level);
            // What every place in the code that logs compares itself with, before all else.
            assert_eq!(LevelFilter::current(), level);
            // One place in the code that was reached at other levels before.
            let said = [tracing::enabled!(tracing::Level::WARN), tracing::enabled!(tracing::Level::DEBUG)];
            assert_eq!(said, [level >= LevelFilter::WARN, level >= LevelFilter::DEBUG]);
        }
        log.set_level(LevelFilter::ERROR);
    }
}
