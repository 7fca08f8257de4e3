use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as Stream;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Condvar, Mutex as Lock};
use std::time::Instant as Moment;

use super::*;
use crate::control::client::{Unanswered, ask};
use crate::control::status;

/// How long anything is waited for that is to come.
const DEADLINE: Duration = Duration::from_secs(60);

/// An agent that does nothing but count, and does it only while its gate is open.
#[derive(Default)]
struct Books {
    shut: Lock<bool>,
    opened: Condvar,
    begun: AtomicUsize,
    at_once: AtomicUsize,
    at_once_most: AtomicUsize,
    /// Bytes of an error in the status.
    long: usize,
}

#[derive(Clone)]
struct Fake(Arc<Books>);

impl Fake {
    fn act(&self, text: &str) -> Reply {
        let books = &self.0;
        books.at_once_most.fetch_max(books.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        books.begun.fetch_add(1, Ordering::SeqCst);
        let shut = books.shut.lock().unwrap();
        drop(books.opened.wait_while(shut, |shut| *shut).unwrap());
        books.at_once.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(text, "release the kraken", "an agent that panics");
        Reply::done(text)
    }
}

impl Answering for Fake {
    fn status(&self) -> Status {
        let error = Some("x".repeat(self.0.long));
        let agent = status::Agent { pid: std::process::id(), ..status::Agent::default() };
        let collectors = vec![status::Collector { error, ..status::Collector::default() }];
        Status { agent, collectors, ..Status::default() }
    }
    fn reload(&self) -> Reply {
        self.act("reloaded")
    }
    fn diff(&self) -> Reply {
        self.act("nothing")
    }
    fn release(&self, name: &str) -> Reply {
        self.act(&format!("release {name}"))
    }
}

/// A server on a thread of its own, as it runs beside an agent.
struct Served {
    path: PathBuf,
    books: Arc<Books>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Served {
    fn with(books: Books) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = Listener::bind(&path).unwrap();
        let (books, (end, ended)) = (Arc::new(books), oneshot::channel::<()>());
        let fake = Fake(Arc::clone(&books));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    cause = serve(listener, fake) => panic!("{cause}"),
                    _ = ended => {}
                }
            });
        };
        Served { path, books, end: Some(end), thread: Some(thread::spawn(serve)), _folder: folder }
    }

    fn new() -> Served {
        Served::with(Books::default())
    }

    fn connect(&self) -> Stream {
        let stream = Stream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// What is answered to these bytes, until it hangs up.
    fn says(&self, bytes: &[u8]) -> String {
        let (mut stream, mut answer) = (self.connect(), Vec::new());
        // It may have heard enough before the end.
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        // What it did not read resets the connection, after the answer.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    #[track_caller]
    fn is_well(&self) {
        let status = ask(&self.path, &Request::Status).unwrap().status.unwrap();
        assert_eq!(status.agent.pid, std::process::id());
    }

    fn shut(&self, shut: bool) {
        *self.books.shut.lock().unwrap() = shut;
        self.books.opened.notify_all();
    }

    fn end(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shut(false);
        self.end();
    }
}

#[track_caller]
fn wait_until(mut holds: impl FnMut() -> bool) {
    let end = Moment::now() + DEADLINE;
    while !holds() {
        assert!(Moment::now() < end, "it never came to that");
        thread::sleep(Duration::from_millis(2));
    }
}

/// How many of these connections the server has not hung up on.
fn open(streams: &[Stream]) -> usize {
    let is_open = |mut stream: &Stream| {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0; 1]), Err(cause) if cause.kind() == io::ErrorKind::WouldBlock)
    };
    streams.iter().filter(|stream| is_open(stream)).count()
}

/// A test has as many descriptors as it may have: a thousand clients are here, too.
fn many_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

#[test]
fn each_ask_is_answered_by_whoever_answers() {
    let served = Served::new();
    served.is_well();
    for (request, text) in [
        (Request::Reload, "reloaded"),
        (Request::Diff, "nothing"),
        (Request::Release { name: "ups".into() }, "release ups"),
    ] {
        assert_eq!(ask(&served.path, &request).unwrap(), Reply::done(text).into());
    }
}

#[test]
fn line_without_its_end_and_what_follows_a_line_are_no_fault() {
    let served = Served::new();
    assert_eq!(served.says(br#"{"ask":"diff"}"#), "{\"version\":1,\"code\":0,\"text\":\"nothing\"}\n");
    assert_eq!(
        served.says(b"{\"ask\":\"diff\"}\n{\"ask\":\"reload\"}\n"),
        "{\"version\":1,\"code\":0,\"text\":\"nothing\"}\n"
    );
    assert_eq!(served.books.begun.load(Ordering::SeqCst), 2);
}

#[test]
fn what_is_no_request_is_told_and_who_goes_early_is_not_missed() {
    let served = Served::new();
    let garbage: Vec<u8> = (0..=255).cycle().filter(|byte| *byte != b'\n').take(2000).collect();
    for (bytes, told) in [
        (&garbage[..], "that is no request"),
        (b"{\"ask\":\"sta", "that is no request"),
        (b"\n", "that is no request"),
        (b"{\"version\":7,\"ask\":\"status\"}\n", "speaks version 7"),
        (&[b' '; REQUEST_BYTES], "a request has 4096 bytes at most"),
        (&[b'['; 10 * REQUEST_BYTES], "a request has 4096 bytes at most"),
    ] {
        let answer = served.says(bytes);
        assert!(answer.contains(told) && answer.contains("\"code\":1"), "{answer}");
    }
    assert_eq!(served.says(b""), "");
    for bytes in [&b""[..], b"{\"ask\":", b"{\"ask\":\"status\"}\n", b"{\"ask\":\"reload\"}\n"] {
        let mut stream = served.connect();
        stream.write_all(bytes).unwrap();
    }
    served.is_well();
}

#[test]
fn who_says_nothing_is_told_and_hung_up_on() {
    let served = Served::new();
    let mut answer = String::new();
    served.connect().read_to_string(&mut answer).unwrap();
    assert!(answer.contains("no request within 2s"), "{answer}");
}

#[test]
fn thousand_silent_clients_keep_nobody_from_being_heard() {
    many_descriptors();
    let served = Served::new();
    let mut silent = Vec::new();
    for nth in 0..1000 {
        let mut stream = served.connect();
        // Half of them begin to speak.
        if nth % 2 == 0 {
            stream.write_all(b"{\"ask\":").unwrap();
        }
        silent.push(stream);
        if nth % 100 == 99 {
            served.is_well();
        }
    }
    served.is_well();
    let open = open(&silent);
    assert!(open < CONNECTIONS, "{open} of them have a place");
}

#[test]
fn thousand_clients_that_ask_at_once_are_answered_all() {
    let served = Served::new();
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| (0..20).for_each(|_| served.is_well()));
        }
    });
}

#[test]
fn clients_that_never_read_have_the_places_of_one_another_alone() {
    let served = Served::with(Books { long: 1 << 20, ..Books::default() });
    let mut deaf = Vec::new();
    for _ in 0..30 {
        let mut stream = served.connect();
        stream.write_all(b"{\"ask\":\"status\"}\n").unwrap();
        deaf.push(stream);
    }
    served.is_well();
    // Who was hung up on has a beginning of the answer, and then no more.
    let whole = |mut stream: Stream| {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).is_ok() && answer.ends_with(b"\n")
    };
    let whole = deaf.into_iter().filter_map(|stream| whole(stream).then_some(())).count();
    assert!(whole <= CONNECTIONS, "{whole} answers were kept for them");
}

#[test]
fn asks_wait_for_their_turn_and_lose_their_place_to_nobody() {
    many_descriptors();
    let served = Served::new();
    served.shut(true);
    let asked = |path: &Path| ask(path, &Request::Reload).unwrap();
    thread::scope(|scope| {
        let asks: Vec<_> = (0..ASKS).map(|_| scope.spawn(|| asked(&served.path))).collect();
        // One more than can wait comes back at once, as soon as the others have come.
        wait_until(|| served.books.begun.load(Ordering::SeqCst) == 1);
        let refused = std::cell::RefCell::new(Vec::new());
        let late: Vec<_> = (0..3).map(|_| scope.spawn(|| asked(&served.path))).collect();
        let silent: Vec<_> = (0..100).map(|_| served.connect()).collect();
        served.is_well();
        wait_until(|| late.iter().chain(&asks).filter(|ask| ask.is_finished()).count() == 3);
        drop(silent);
        assert_eq!(served.books.begun.load(Ordering::SeqCst), 1);
        served.shut(false);
        for ask in asks.into_iter().chain(late) {
            let response = ask.join().unwrap();
            if response.code != 0 {
                refused.borrow_mut().push(response.text);
            } else {
                assert_eq!(response.text, "reloaded");
            }
        }
        assert_eq!(refused.into_inner(), ["16 asks wait already: nothing was done for this one"; 3]);
    });
    assert_eq!(served.books.begun.load(Ordering::SeqCst), ASKS);
    assert_eq!(served.books.at_once_most.load(Ordering::SeqCst), 1);
}

#[test]
fn ask_that_panics_is_told_and_does_not_keep_the_next_from_its_turn() {
    let served = Served::new();
    let response = ask(&served.path, &Request::Release { name: "the kraken".into() }).unwrap();
    assert_eq!((response.code, &*response.text), (1, "the agent failed in the middle of it: see its log"));
    assert_eq!(ask(&served.path, &Request::Diff).unwrap().code, 0);
}

#[test]
fn end_hangs_up_on_everybody_and_takes_the_socket_away() {
    let mut served = Served::new();
    let mut silent = served.connect();
    served.is_well();
    served.end();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    assert!(!served.path.exists());
    let unanswered = ask(&served.path, &Request::Status).unwrap_err();
    assert!(matches!(unanswered, Unanswered::Nobody(..)), "{unanswered}");
}

#[test]
fn agent_that_lives_keeps_its_socket_and_is_told_by_its_pid() {
    let served = Served::new();
    let error = Listener::bind(&served.path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let told = format!("an agent with pid {} answers at", std::process::id());
    assert!(error.to_string().starts_with(&told), "{error}");
    served.is_well();
}

#[test]
fn own_user_and_root_may_ask_and_nobody_else() {
    assert!(may_ask(1000, 1000) && may_ask(0, 1000) && may_ask(0, 0));
    assert!(!may_ask(1001, 1000) && !may_ask(1000, 0) && !may_ask(65534, 0));
}
