//! A child's life: it loads its one library inside the sandbox, answers requests, and ends with its socket.
//!
//! Promises: nothing of the agent's reaches the plugin, and every way in which this can fail ends the process or is the
//! answer to a request. What keeps it from making the collector is such an answer, in words, so that the collector's
//! section says it; a process that died of it would only be started again. The one exception is a sandbox that could not
//! be narrowed, as code of the library has run by then.
#![forbid(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plugin_api::host_side::door::{Failure, Instance, Module};
use plugin_api::host_side::frame::{Frame, Limits};
use plugin_api::host_side::manifest::Manifest;
use plugin_api::host_side::roots::{HostHandle, Roots};
use plugin_api::host_side::testcase;
use plugin_api::{ErrorKind, Level};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use super::line::LINES_MAX;
use super::stat::Stat;
use super::wire::{self, HEAD_BYTES, SetUp, Taken, Task};
use super::{Policy, descriptors};
use crate::assemble::chain;
use crate::plugin::elf::Elf;
use crate::plugin::{library, open};
use crate::resident;
use crate::snapshot::{Mono, Wall};

/// The exit codes of sysexits.h, for who looks at why a child has ended.
pub(super) mod code {
    pub(in crate::child) const OK: u8 = 0;
    /// A trial is passed: not 0, with which a library may end the process that loads it.
    pub(in crate::child) const PASSED: u8 = 42;
    pub(in crate::child) const USAGE: u8 = 64;
    pub(in crate::child) const SOFTWARE: u8 = 70;
}

/// Answers after which it is let go of what only the start has used: the first makes the collector, from the second on all is as it stays.
const LET_GO_AFTER: u32 = 2;

/// Lives, and gives the exit code.
pub(super) fn live() -> u8 {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(code)) => code,
        Ok(Err(why)) => {
            // Where standard error cannot be written, the exit code is all there is to tell.
            let _ = writeln!(io::stderr(), "perfwatch: a child process could not begin: {why}");
            code::USAGE
        }
        // The hook has said it.
        Err(_) => code::SOFTWARE,
    }
}

fn run() -> Result<u8, String> {
    resident::own();
    let (socket, library) = descriptors::take().map_err(|cause| cause.to_string())?;
    // Before the agent's number is looked at, so that it cannot die unseen in between.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| errno.to_string())?;
    let socket = Arc::new(UnixStream::from(socket));
    let set_up = set_up(&socket)?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_pid());
    if parent != i32::try_from(set_up.agent).ok() {
        return Ok(code::OK);
    }
    let name = CString::new(set_up.name.as_str()).map_err(|cause| cause.to_string())?;
    rustix::thread::set_name(&name).map_err(|errno| errno.to_string())?;
    let voice = Arc::new(Voice::new(Arc::clone(&socket), &set_up.log_level)?);
    let stat = Stat::open();
    let collector = match Collector::load(&set_up, library, &voice) {
        Ok(collector) => Ok(collector),
        Err(Fault::Told(why)) => Err(why),
        Err(Fault::Fatal(why)) => return Err(why),
    };
    if set_up.task == Task::Load {
        return collector.map(|_| code::PASSED).inspect_err(|why| voice.say(Level::Error, why));
    }
    serve(&socket, &voice, &stat, collector, &set_up).map(|()| code::OK)
}

fn set_up(mut socket: &UnixStream) -> Result<SetUp, String> {
    let mut head = [0; HEAD_BYTES];
    let by_hand = |cause| format!("no agent has started this: {cause}");
    socket.read_exact(&mut head).map_err(by_hand)?;
    let mut body = vec![0; wire::set_up_head(head)?];
    socket.read_exact(&mut body).map_err(by_hand)?;
    wire::set_up_from(&body)
}

fn serve(
    mut socket: &UnixStream,
    voice: &Voice,
    stat: &Stat,
    mut collector: Result<Collector, String>,
    set_up: &SetUp,
) -> Result<(), String> {
    let mut frame = Frame::new(limits(set_up));
    let (mut spent, mut answers) = (Duration::ZERO, 0u32);
    // Looked at between an answer and the next request, when nobody waits.
    let mut seen = stat.read();
    let mut told = Duration::ZERO;
    let mut request = wire::request(wire::Request { number: 0, time_left: Duration::ZERO });
    loop {
        match socket.read_exact(&mut request) {
            Ok(()) => {}
            // The agent has let go of it, or ended.
            Err(_) => return Ok(()),
        }
        let asked = wire::request_from(request)?;
        let (at, at_mono) = (Wall(now(ClockId::Realtime)), Mono(now(ClockId::Monotonic)));
        let made = match &mut collector {
            Ok(collector) => match &set_up.task {
                Task::Testcase(case) => collector.pass(&mut frame, case),
                _ => collector.read(&mut frame, asked.time_left),
            },
            Err(why) => {
                frame.fail(ErrorKind::FAILED, why);
                false
            }
        };
        let took = Mono(now(ClockId::Monotonic)).since(at_mono);
        set_up.policy.iter().for_each(|policy| explain(&mut frame, policy));
        let before = std::mem::replace(&mut spent, Duration::from_nanos(now(ClockId::ProcessCPUTime)));
        let cpu = spent.saturating_sub(before);
        let programs = seen.programs.saturating_sub(std::mem::replace(&mut told, seen.programs));
        let taken = Taken { at, at_mono, took, cpu, memory: seen.resident, programs, made };
        if voice.answer(asked.number, &taken, &frame).is_err() {
            return Ok(());
        }
        answers = answers.saturating_add(1);
        if answers == LET_GO_AFTER {
            resident::let_go();
            // It is not what the next reading costs.
            spent = Duration::from_nanos(now(ClockId::ProcessCPUTime));
        }
        seen = stat.read();
    }
}

fn limits(set_up: &SetUp) -> Limits {
    let [rows, cells, text, notes] = set_up.limits;
    Limits { rows, cells, text, notes }
}

/// Adds what would end a refusal to an error that is one.
fn explain(frame: &mut Frame, policy: &Policy) {
    if matches!(frame.outcome, ErrorKind::NONE | ErrorKind::UNAVAILABLE) {
        return;
    }
    let message = String::from_utf8_lossy(frame.message()).into_owned();
    // The kind may say what the words do not.
    let kind = if frame.outcome == ErrorKind::DENIED { ": denied" } else { "" };
    if let Some(more) = policy.explain(&format!("{message}{kind}")) {
        frame.fail(frame.outcome, &format!("{message}; {more}"));
    }
}

fn now(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What keeps a child from having a collector.
enum Fault {
    /// It is the answer to each request.
    Told(String),
    /// Nothing of the library may go on.
    Fatal(String),
}

impl From<String> for Fault {
    fn from(why: String) -> Fault {
        Fault::Told(why)
    }
}

/// The plugin, loaded, and its collector while there is one.
struct Collector {
    module: Module,
    manifest: Arc<Manifest>,
    host: HostHandle,
    options: String,
    scalars: usize,
    instance: Option<Instance>,
}

impl Collector {
    fn load(set_up: &SetUp, library: OwnedFd, voice: &Arc<Voice>) -> Result<Collector, Fault> {
        let library = File::from(library);
        let size = library.metadata().map_err(|cause| Fault::Told(cause.to_string()))?.len();
        let (_, text) = Elf::read(&library, size).map_err(|cause| chain(&cause))?;
        let text = text.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        // The agent has read the very same bytes.
        let manifest =
            text.and_then(|text| Manifest::parse(text).ok()).ok_or("its manifest cannot be read".to_owned())?;
        let manifest = Arc::new(manifest);
        // A captured host says so in a file, which the sandbox may well hide.
        let roots = Arc::new(Roots::at(&set_up.host_root)?);
        let path = open::self_path(library.as_fd());
        let draw = |policy: &Policy| policy.draw(Some(library.as_fd())).map_err(|cause| chain(&cause));
        let lacking = set_up.policy.as_ref().map_or_else(|| Ok(Vec::new()), draw)?;
        // Open for good, as in the agent: the dynamic loader knows libraries by this name.
        let _kept: i32 = library.into_raw_fd();
        if !lacking.is_empty() {
            voice.say(Level::Warn, &format!("the sandbox is not whole, this kernel lacks: {}", lacking.join("; ")));
        }
        let module = load(&path);
        // Whatever came of it: its constructors have run, and may have started threads, which have the wider filter.
        let narrowed = set_up.policy.as_ref().map_or(Ok(()), Policy::narrow);
        narrowed.map_err(|cause| Fault::Fatal(chain(&cause)))?;
        let module = module?;
        let scalars = manifest.metrics.len();
        let speaker = Arc::clone(voice);
        let log = Arc::new(move |level, text: &str| speaker.say(level, text));
        let host = HostHandle::new(roots, Arc::clone(&manifest), log);
        Ok(Collector { module, manifest, host, options: set_up.options.clone(), scalars, instance: None })
    }

    /// Runs a testcase; the frame is good, or says what differs.
    fn pass(&self, frame: &mut Frame, case: &Path) -> bool {
        frame.begin(self.scalars);
        if let Err(why) = testcase::run(self.module, &self.manifest, case) {
            frame.fail(ErrorKind::FAILED, &why);
        }
        true
    }

    /// Takes a reading into the frame, and tells whether it is the first of a new instance.
    fn read(&mut self, frame: &mut Frame, time_left: Duration) -> bool {
        let made = self.instance.is_none();
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => match self.module.create(&self.options, self.host.clone()) {
                Ok(instance) => instance,
                Err(Failure { kind, message }) => {
                    // No reading is good without a collector.
                    let kind = if kind == ErrorKind::NONE { ErrorKind::FAILED } else { kind };
                    frame.fail(kind, &message);
                    return false;
                }
            },
        };
        instance.collect_unchecked(frame, self.scalars, time_left);
        // What panicked is not called again: the next request makes a new one.
        if frame.outcome != ErrorKind::PANICKED {
            self.instance = Some(instance);
        }
        made
    }
}

fn load(path: &Path) -> Result<Module, String> {
    library::load(path).map_err(|cause| chain(&cause))
}

/// The child's end of the socket as far as it speaks, from any thread of the plugin.
struct Voice {
    level: Level,
    speaking: Mutex<Speaking>,
}

struct Speaking {
    socket: Arc<UnixStream>,
    out: Vec<u8>,
    /// Since the last answer.
    lines: u32,
    untold: u64,
}

impl Voice {
    fn new(socket: Arc<UnixStream>, level: &str) -> Result<Voice, String> {
        let level = match level.parse().map_err(|_| format!("no log has the level {level}"))? {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        };
        Ok(Voice { level, speaking: Mutex::new(Speaking { socket, out: Vec::new(), lines: 0, untold: 0 }) })
    }

    /// Sends a log line, or counts it.
    fn say(&self, level: Level, text: &str) {
        if level as u32 > self.level as u32 {
            return;
        }
        let mut speaking = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
        if speaking.lines == LINES_MAX {
            speaking.untold += 1;
            return;
        }
        speaking.lines += 1;
        // The agent has gone: the next request tells.
        let _ = speaking.line(level, text);
    }

    fn answer(&self, number: u64, taken: &Taken, frame: &Frame) -> io::Result<()> {
        let mut speaking = self.speaking.lock().unwrap_or_else(PoisonError::into_inner);
        if speaking.untold > 0 {
            let text = format!("{} more log lines at one reading are not told", speaking.untold);
            speaking.line(Level::Warn, &text)?;
        }
        (speaking.lines, speaking.untold) = (0, 0);
        let speaking = &mut *speaking;
        wire::reading_into(&mut speaking.out, number, taken, frame);
        (&*speaking.socket).write_all(&speaking.out)
    }
}

impl Speaking {
    fn line(&mut self, level: Level, text: &str) -> io::Result<()> {
        wire::line_into(&mut self.out, level, text);
        (&*self.socket).write_all(&self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Heard, Line};
    use super::*;

    /// A voice, and what the agent hears of it.
    fn voice(level: &str) -> (Voice, Line) {
        let (agent, child) = UnixStream::pair().unwrap();
        (Voice::new(Arc::new(child), level).unwrap(), Line::new(agent.into(), Limits::default()))
    }

    fn said(line: &mut Line) -> Vec<(Level, String)> {
        let mut frame = Frame::new(Limits::default());
        let mut said = Vec::new();
        loop {
            match line.hear(&mut frame) {
                Heard::Said(level, text) => said.push((level, text)),
                Heard::Nothing | Heard::Reading(_) => return said,
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(voice: &Voice, number: u64) {
        voice.answer(number, &Taken::default(), &Frame::new(Limits::default())).unwrap();
    }

    #[test]
    fn log_lines_of_the_wanted_levels_come_in_their_order() {
        let (voice, mut line) = voice("WARN");
        for level in [Level::Error, Level::Info, Level::Debug, Level::Warn] {
            voice.say(level, &format!("{level:?}"));
        }
        assert_eq!(said(&mut line), [(Level::Error, "Error".into()), (Level::Warn, "Warn".into())]);
    }

    #[test]
    fn flood_of_log_lines_is_cut_counted_and_within_what_the_agent_takes() {
        let (voice, mut line) = voice("TRACE");
        for number in 1..3 {
            line.ask(Duration::ZERO).unwrap();
            for _ in 0..100 {
                voice.say(Level::Debug, "again");
            }
            answer(&voice, number);
            let said = said(&mut line);
            assert_eq!(said.len(), LINES_MAX as usize + 1);
            assert_eq!(said.last().unwrap().1, "68 more log lines at one reading are not told");
        }
        line.ask(Duration::ZERO).unwrap();
        answer(&voice, 3);
        assert_eq!(said(&mut line), []);
    }
}
