//! The thread of one sink: takes from its queue, hands to the sink, counts and says what was lost.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::queue::{Next, Queue};
use super::{Sink, SinkError};

/// A sink at work.
#[derive(Debug)]
pub struct Worker {
    /// The configured name.
    pub name: Arc<str>,
    /// What it takes from.
    pub queue: Arc<Queue>,
    ended: Receiver<()>,
}

/// What a worker does when nobody reads its sink any more.
pub type OnClosed = Box<dyn FnOnce() + Send>;

impl Worker {
    /// Starts the thread of a sink.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(name: Arc<str>, sink: Box<dyn Sink>, on_closed: OnClosed) -> io::Result<Worker> {
        let queue = Arc::new(Queue::default());
        let (end, ended) = sync_channel(1);
        let (mine, called) = (Arc::clone(&queue), Arc::clone(&name));
        // Names of threads are cut at 15 bytes by the kernel.
        thread::Builder::new()
            .name(format!("sink {name}"))
            .spawn(move || work(&called, &mine, sink, on_closed, &end))?;
        Ok(Worker { name, queue, ended })
    }

    /// Waits until the worker has written what its queue held and ended, `patience` at most; false where it has not.
    pub fn wait(&self, patience: Duration) -> bool {
        self.ended.recv_timeout(patience).is_ok()
    }
}

fn work(name: &str, queue: &Queue, mut sink: Box<dyn Sink>, on_closed: OnClosed, end: &SyncSender<()>) {
    let mut failing = false;
    loop {
        match queue.next() {
            Next::Snapshot(snapshot, gap) => match sink.accept(&snapshot, gap) {
                Ok(()) => {
                    queue.wrote();
                    if std::mem::take(&mut failing) {
                        tracing::info!(sink = name, lost = queue.standing().lost, "writes again");
                    }
                }
                Err(SinkError::Closed) => {
                    queue.abandon();
                    on_closed();
                    break;
                }
                Err(SinkError::Failed(cause)) => {
                    queue.lost(gap);
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(
                            sink = name,
                            "could not write a snapshot: {cause}; it is lost, and so are those that follow until this is said to be over"
                        );
                    }
                }
            },
            Next::Reopen => sink.reopen(),
            Next::Closed => break,
        }
    }
    sink.finish();
    // Nobody may be waiting any more.
    let _ = end.try_send(());
}
