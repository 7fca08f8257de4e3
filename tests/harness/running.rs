//! A program that was started, and what it says.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::{DEADLINE, jsonb};

/// Between two looks at something that cannot be waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// It is killed when this value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    /// What it runs in, kept for as long.
    folder: Option<Arc<TempDir>>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// The lines of its standard output that were not read before, each with its line feed.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Finished {
    /// Its exit code.
    ///
    /// # Panics
    /// A signal ended it: no test wants that.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by signal {:?}: {self}", self.status.signal()))
    }
}

/// For the message of an assertion.
impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr)
    }
}

impl Running {
    /// Starts it, its output caught.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(command: Command) -> Running {
        let (mut running, stdout, sender) = Running::spawn(command);
        running.readers.push(thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                // The test may have seen enough, and a line that is not UTF-8 ends the output like the end itself.
                let Ok(()) = line.map_err(drop).and_then(|line| sender.send(line).map_err(drop)) else { break };
            }
        }));
        running
    }

    /// Starts it with an output that nobody reads but whoever called this.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start_unread(command: Command) -> (Running, ChildStdout) {
        let (running, stdout, _) = Running::spawn(command);
        (running, stdout)
    }

    fn spawn(mut command: Command) -> (Running, ChildStdout, Sender<String>) {
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        let (stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        let errors = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&errors);
        let err = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut bytes) {
                to.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        (Running { child, lines, errors, readers: vec![err], folder: None }, stdout, sender)
    }

    /// Keeps the folder that it runs in.
    pub(crate) fn inside(mut self, folder: &Arc<TempDir>) -> Running {
        self.folder = Some(Arc::clone(folder));
        self
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error so far.
    ///
    /// # Panics
    /// Never: no reader panics.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.errors.lock().expect("no reader panics").clone()
    }

    /// The next line of standard output.
    ///
    /// # Panics
    /// None comes.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line for {DEADLINE:?}; it said:\n{}", self.stderr()),
            Err(RecvTimeoutError::Disconnected) => panic!("it ended; it said:\n{}", self.stderr()),
        }
    }

    /// The next line as a snapshot.
    ///
    /// # Panics
    /// None comes, or it is none.
    pub fn snapshot(&mut self) -> Value {
        let line = self.line();
        jsonb::snapshot(&line).unwrap_or_else(|told| panic!("{told}: {line}"))
    }

    /// The first snapshot of which this holds.
    ///
    /// # Panics
    /// None comes.
    pub fn snapshot_where(&mut self, mut holds: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let snapshot = self.snapshot();
            if holds(&snapshot) {
                return snapshot;
            }
            assert!(Instant::now() < end, "no such snapshot for {DEADLINE:?}; the last was {snapshot}");
        }
    }

    /// Waits until standard error has this text.
    ///
    /// # Panics
    /// It never has.
    pub fn wait_for_stderr(&self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.stderr().contains(text) {
            assert!(Instant::now() < end, "it never said {text:?}, but:\n{}", self.stderr());
            thread::sleep(PAUSE);
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It has ended and was waited for.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process has a number");
        rustix::process::kill_process(pid, signal).expect("it is our child, and not yet waited for");
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// It does not.
    #[must_use]
    pub fn wait(mut self) -> Finished {
        let end = Instant::now() + DEADLINE;
        let status = loop {
            match self.child.try_wait().expect("it is our child") {
                Some(status) => break status,
                None => assert!(Instant::now() < end, "it did not end; it said:\n{}", self.stderr()),
            }
            thread::sleep(PAUSE);
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panics");
        }
        let stdout = self.lines.try_iter().fold(String::new(), |text, line| text + &line + "\n");
        Finished { status, stdout, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Either may fail where it has ended already, which is what is wanted.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
