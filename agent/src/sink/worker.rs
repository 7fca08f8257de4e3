//! The thread of one sink: takes from its queue, hands to the sink, counts and says what was lost. What the sink writes to can
//! be replaced under it: the queue stays, so that no snapshot is lost over that.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::queue::{Next, Queue};
use super::{Sink, SinkError};

/// A sink at work.
#[derive(Debug)]
pub struct Worker {
    /// The configured name.
    pub name: Arc<str>,
    /// What kind it is, in the word of the configuration.
    pub kind: &'static str,
    /// What it takes from.
    pub queue: Arc<Queue>,
    ended: Receiver<()>,
}

/// What a worker does when nobody reads its sink any more.
pub type OnClosed = Box<dyn FnOnce() + Send>;

/// Opens a sink, in the thread that will write to it.
pub type Opener = Box<dyn FnOnce() -> Result<Box<dyn Sink>, Box<dyn Error + Send + Sync>> + Send>;

/// That a worker is to let go of what it writes to, and to wait for what comes instead: both may be of one file, which has one writer.
pub struct Replacement {
    /// What it wrote to, where nothing else comes.
    back: Opener,
    let_go: SyncSender<()>,
    next: Receiver<(Arc<str>, Box<dyn Sink>)>,
}

/// A worker that waits for what it is to write to; its queue takes in what comes meanwhile. Dropped, it goes on with what it wrote to
/// before.
pub struct Held(SyncSender<(Arc<str>, Box<dyn Sink>)>);

impl Held {
    /// It goes on with this, under this name.
    pub fn go_on(self, name: Arc<str>, sink: Box<dyn Sink>) {
        // One that has ended meanwhile writes nothing more in any case.
        let _ = self.0.try_send((name, sink));
    }
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replacement")
    }
}

impl Worker {
    /// Starts the thread of a sink.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(name: Arc<str>, kind: &'static str, sink: Box<dyn Sink>, on_closed: OnClosed) -> io::Result<Worker> {
        let queue = Arc::new(Queue::default());
        let (end, ended) = sync_channel(1);
        let (mine, called) = (Arc::clone(&queue), Arc::clone(&name));
        // Names of threads are cut at 15 bytes by the kernel.
        thread::Builder::new()
            .name(format!("sink {name}"))
            .spawn(move || work(&called, &mine, sink, on_closed, &end))?;
        Ok(Worker { name, kind, queue, ended })
    }

    /// Waits until the worker has written what its queue held and ended, `patience` at most; false where it has not.
    pub fn wait(&self, patience: Duration) -> bool {
        self.ended.recv_timeout(patience).is_ok()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }
}

/// Has the worker of this queue finish what it writes to and wait for something else. `back` opens again what it wrote to.
///
/// # Errors
/// It has ended, or is busy with a write that takes longer than `patience`: then nothing has changed.
pub fn hold(queue: &Queue, back: Opener, patience: Duration) -> Result<Held, String> {
    let ((let_go, has_let_go), (give, next)) = (sync_channel(1), sync_channel(1));
    queue.replace(Replacement { back, let_go, next });
    match has_let_go.recv_timeout(patience) {
        Ok(()) => Ok(Held(give)),
        Err(RecvTimeoutError::Timeout) if queue.take_back() => {
            Err(format!("it has been busy with a write for {patience:.0?}, and was left as it is"))
        }
        // It is at it: a file that takes long to be finished is given as long again.
        Err(RecvTimeoutError::Timeout) => match has_let_go.recv_timeout(patience) {
            Ok(()) => Ok(Held(give)),
            Err(_) => Err(format!("finishing what it wrote to has taken longer than {:.0?}", 2 * patience)),
        },
        Err(RecvTimeoutError::Disconnected) => Err("it has ended".into()),
    }
}

/// In the place of a sink that could not be opened again: each snapshot is lost and counted, and says why.
struct Lost(String);

impl Sink for Lost {
    fn accept(&mut self, _: &crate::snapshot::Snapshot, _: u64) -> Result<(), SinkError> {
        Err(SinkError::Failed(io::Error::other(self.0.clone())))
    }
}

impl Replacement {
    fn carry_out(self, name: &mut Arc<str>, sink: &mut Box<dyn Sink>) {
        sink.finish();
        // What it holds, a lock, must be free for the one that follows.
        *sink = Box::new(Lost("it is being replaced".into()));
        // Nobody may be waiting any more: then nothing comes.
        let _ = self.let_go.try_send(());
        match self.next.recv() {
            Ok((called, next)) => (*name, *sink) = (called, next),
            Err(_) => {
                *sink = (self.back)().unwrap_or_else(|cause| {
                    let why = crate::assemble::chain(&*cause);
                    tracing::error!(sink = &**name, "could not open it again as it was: {why}");
                    Box::new(Lost(why))
                });
            }
        }
    }
}

fn work(name: &Arc<str>, queue: &Queue, mut sink: Box<dyn Sink>, on_closed: OnClosed, end: &SyncSender<()>) {
    let (mut name, mut failing) = (Arc::clone(name), false);
    loop {
        match queue.next() {
            Next::Snapshot(snapshot, gap) => match sink.accept(&snapshot, gap) {
                Ok(()) => {
                    queue.wrote();
                    if std::mem::take(&mut failing) {
                        tracing::info!(sink = &*name, lost = queue.standing().lost, "writes again");
                    }
                }
                Err(SinkError::Closed) => {
                    queue.abandon();
                    on_closed();
                    break;
                }
                Err(SinkError::Failed(cause)) => {
                    queue.lost(gap, cause.to_string());
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(
                            sink = &*name,
                            "could not write a snapshot: {cause}; it is lost, and so are those that follow until this is said to be over"
                        );
                    }
                }
            },
            Next::Reopen => sink.reopen(),
            Next::Replace(replacement) => replacement.carry_out(&mut name, &mut sink),
            Next::Closed => break,
        }
    }
    sink.finish();
    // Nobody may be waiting any more.
    let _ = end.try_send(());
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::snapshot::{Identity, Snapshot, Wall};

    /// Writes sequence numbers under its own name.
    struct Names(&'static str, Arc<Mutex<Vec<(&'static str, u64)>>>);

    impl Sink for Names {
        fn accept(&mut self, snapshot: &Snapshot, _: u64) -> Result<(), SinkError> {
            self.1.lock().unwrap().push((self.0, snapshot.sequence));
            Ok(())
        }
    }

    fn snapshot(sequence: u64) -> Arc<Snapshot> {
        let identity = Arc::new(Identity { host: None, run: String::new(), labels: Vec::new() });
        Arc::new(Snapshot {
            timestamp: Wall(0),
            sequence,
            identity,
            sections: Vec::new(),
            roster: Arc::default(),
            events: Vec::new(),
        })
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn replaced_sink_loses_nothing_and_one_for_which_nothing_comes_goes_on_as_it_was() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let named = |name| {
            let written = Arc::clone(&written);
            Box::new(move || Ok(Box::new(Names(name, written)) as Box<dyn Sink>)) as Opener
        };
        let sink = named("a")().unwrap();
        let worker = Worker::start("s".into(), "file", sink, Box::new(|| ())).unwrap();
        worker.queue.push(snapshot(0));
        let held = hold(&worker.queue, named("a"), PATIENCE).unwrap();
        // What comes meanwhile waits, and is the new one's.
        worker.queue.push(snapshot(1));
        held.go_on("t".into(), named("b")().unwrap());
        while worker.queue.standing().written < 2 {
            thread::yield_now();
        }
        drop(hold(&worker.queue, named("b again"), PATIENCE).unwrap());
        worker.queue.push(snapshot(2));
        worker.queue.close();
        assert!(worker.wait(PATIENCE));
        let written = written.lock().unwrap();
        assert_eq!(written.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), [0, 1, 2]);
        let by: Vec<_> = written.iter().map(|(by, _)| *by).collect();
        assert_eq!((&by[1..], worker.queue.standing().lost), (&["b", "b again"][..], 0));
    }

    #[test]
    fn sink_that_is_busy_is_left_as_it_is() {
        let queue = Queue::default();
        let never = Box::new(|| Err("it was opened".into()));
        let busy = hold(&queue, never, Duration::from_millis(1)).map(drop).unwrap_err();
        assert!(busy.contains("busy"), "{busy}");
        queue.close();
        assert!(matches!(queue.next(), crate::sink::queue::Next::Closed));
    }
}
