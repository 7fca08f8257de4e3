//! Who answers at the socket: a line in, a line out, the end.
//!
//! Promises that a client costs itself and nobody else. One that says nothing, half a line, garbage or too much, that never
//! reads, goes early or comes a thousand times has one of [`CONNECTIONS`] places, for [`SEND_WITHIN`] and [`TAKE_WITHIN`] at
//! most, and gives it up to the next who comes: whoever asks what it has to ask is heard at once.
//!
//! `status` is answered in place. What takes longer has a thread of its own, one at a time, as two reloads at once would have
//! two ideas of what holds; [`ASKS`] wait for their turn, and nobody for longer than [`DONE_WITHIN`].

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client;
use super::socket::Listener;
use super::status::Status;
use super::wire::{REQUEST_BYTES, Reply, Request, Response};
use crate::cli::code;

/// Clients that are heard or answered at the same time: a person and some scripts are three.
pub const CONNECTIONS: usize = 8;
/// Asks that wait for what takes longer, the one that goes on among them. A place of those above is free meanwhile.
pub const ASKS: usize = 16;
/// How long a client may take to send its line: one that types it has a tool for that, which sends it whole.
pub const SEND_WITHIN: Duration = Duration::from_secs(2);
/// How long a client may take to read the answer.
pub const TAKE_WITHIN: Duration = Duration::from_secs(5);
/// How long an ask may take, its turn included: less than our own client waits for it, so that this is told and not a guess.
pub const DONE_WITHIN: Duration = client::DONE_WITHIN.saturating_sub(Duration::from_secs(5));
/// Before the next try where no connection can be accepted, as descriptors have run out.
const PAUSE: Duration = Duration::from_millis(200);

/// Who knows the answers. `status` is called on the thread of the server and may not wait for more than a lock; the others on
/// a thread of their own, one at a time.
pub trait Answering: Clone + Send + 'static {
    /// How the agent stands.
    fn status(&self) -> Status;
    /// Reads configuration and plugins anew.
    fn reload(&self) -> Reply;
    /// What that would change.
    fn diff(&self) -> Reply;
    /// Lets a plugin, or that of a collector, run in the agent again.
    fn release(&self, name: &str) -> Reply;
}

/// Answers whoever connects, for ever, on a runtime with I/O and time. Dropped, it hangs up on everybody; an ask that has a
/// thread is ended by that alone. Gives the reason where the socket cannot be listened at in this runtime.
pub async fn serve(listener: Listener, answering: impl Answering) -> io::Error {
    let Listener { incoming, claim: _claim } = listener;
    let incoming = match UnixListener::from_std(incoming) {
        Ok(incoming) => incoming,
        Err(cause) => return cause,
    };
    let desk = Desk { turn: Arc::new(Mutex::new(())), places: Arc::new(Semaphore::new(ASKS)) };
    let mut clients: VecDeque<Client> = VecDeque::new();
    let mut failing = false;
    loop {
        let stream = match incoming.accept().await {
            Ok((stream, _)) => stream,
            Err(cause) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!("could not accept a client of the control socket: {cause}; tries again");
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        failing = false;
        clients.retain(|client| !client.task.is_finished());
        if clients.iter().filter(|client| client.is_in_the_way()).count() >= CONNECTIONS
            && let Some(longest) = clients.iter().position(Client::is_in_the_way)
        {
            // Who asks at once is answered at once: this one does neither.
            clients.remove(longest);
        }
        let waits = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(talk(stream, answering.clone(), desk.clone(), Arc::clone(&waits)));
        clients.push_back(Client { task, waits });
        // A turn for those who are there, before one more could cost them their place.
        tokio::task::yield_now().await;
    }
}

/// A client that is connected. Dropped, it is hung up on.
struct Client {
    task: JoinHandle<()>,
    /// It has asked and waits for the agent, which is not its fault.
    waits: Arc<AtomicBool>,
}

impl Client {
    fn is_in_the_way(&self) -> bool {
        !self.waits.load(Ordering::Relaxed)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(mut stream: UnixStream, answering: impl Answering, desk: Desk, waits: Arc<AtomicBool>) {
    let response = match heard(&mut stream).await {
        Ok(None) => return,
        Ok(Some(Request::Status)) => Response::from(answering.status()),
        Ok(Some(request)) => {
            waits.store(true, Ordering::Relaxed);
            let reply = desk.done(answering, request).await;
            waits.store(false, Ordering::Relaxed);
            reply.into()
        }
        Err(refused) => refused.into(),
    };
    let line = response.line();
    let taken = timeout(TAKE_WITHIN, async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    });
    match taken.await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => tracing::debug!(%cause, "a client of the control socket did not take its answer"),
        Err(_) => tracing::debug!("a client of the control socket did not take its answer within {TAKE_WITHIN:?}"),
    }
}

/// What a client asks; none where it went without a word.
async fn heard(stream: &mut UnixStream) -> Result<Option<Request>, Reply> {
    // The mode of the file says the same, until somebody changes it.
    let peer = stream.peer_cred().map_err(|cause| Reply::refused(code::FAILED, format!("who asks? {cause}")))?;
    if !may_ask(peer.uid(), rustix::process::geteuid().as_raw()) {
        tracing::warn!(uid = peer.uid(), "a user who may not was at the control socket");
        let why = "not permitted: the agent is asked by its own user and root";
        return Err(Reply::refused(code::NOT_PERMITTED, why));
    }
    let line = match timeout(SEND_WITHIN, line(stream)).await {
        Ok(Ok(line)) => line,
        // It has gone.
        Ok(Err(_)) => return Ok(None),
        Err(_) => return Err(Reply::refused(code::FAILED, format!("no request within {SEND_WITHIN:?}"))),
    };
    match line {
        Line::Nothing => Ok(None),
        Line::TooLong => Err(Reply::refused(code::FAILED, format!("a request has {REQUEST_BYTES} bytes at most"))),
        Line::Whole(line) => Request::parse(&line).map(Some).map_err(|why| Reply::refused(code::FAILED, why)),
    }
}

/// Who may ask an agent that runs as `own`.
const fn may_ask(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

enum Line {
    Whole(Vec<u8>),
    /// It ended before it began.
    Nothing,
    TooLong,
}

async fn line(stream: &mut UnixStream) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut bytes = [0; 1024];
    loop {
        let read = stream.read(&mut bytes).await?;
        let end = bytes[..read].iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&bytes[..end.unwrap_or(read)]);
        if line.len() >= REQUEST_BYTES {
            return Ok(Line::TooLong);
        }
        match (end, read) {
            (Some(_), _) => return Ok(Line::Whole(line)),
            // `printf` sends no end of line.
            (None, 0) if line.is_empty() => return Ok(Line::Nothing),
            (None, 0) => return Ok(Line::Whole(line)),
            _ => {}
        }
    }
}

/// Where asks wait for their turn.
#[derive(Clone)]
struct Desk {
    turn: Arc<Mutex<()>>,
    places: Arc<Semaphore>,
}

impl Desk {
    async fn done(&self, answering: impl Answering, request: Request) -> Reply {
        let failed = |why: String| Reply::refused(code::FAILED, why);
        let Ok(_place) = self.places.try_acquire() else {
            return failed(format!("{ASKS} asks wait already: nothing was done for this one"));
        };
        let until = Instant::now() + DONE_WITHIN;
        let seconds = DONE_WITHIN.as_secs();
        let Ok(turn) = timeout_at(until, Arc::clone(&self.turn).lock_owned()).await else {
            return failed(format!(
                "what was asked before has not ended for {seconds} s: nothing was done for this one"
            ));
        };
        let (tell, told) = oneshot::channel();
        let act = move || {
            // It is the thread's: it goes on after whoever asked has gone.
            let _turn = turn;
            let reply = match &request {
                Request::Reload => answering.reload(),
                Request::Diff => answering.diff(),
                Request::Release { name } => answering.release(name),
                Request::Status => Reply::refused(code::FAILED, "a status has no text"),
            };
            // Nobody may be waiting any more.
            let _ = tell.send(reply);
        };
        if let Err(cause) = thread::Builder::new().name("control".into()).spawn(act) {
            return failed(format!("could not start a thread for it: {cause}"));
        }
        match timeout_at(until, told).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => failed("the agent failed in the middle of it: see its log".into()),
            Err(_) => failed(format!("it has not ended within {seconds} s, and goes on: see the log of the agent")),
        }
    }
}

#[cfg(test)]
mod tests;
