//! The keeper: the one thread that starts children, buries them and starts them again.
//!
//! It lives as long as the agent, since the kernel ends a child with the thread that started it. It sleeps until a
//! child dies or prints, an order comes or a restart is due: a steady tick does not wake it. The collection thread talks to
//! children itself and leaves all that takes time to this one.
//! Promises: a dead child is noticed at once and started again; first without a wait, then after 0.5, 1, 2 and at most
//! 4 s, until it answers well again; after 20 deaths in a minute it is left alone. With a child dies what it started.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use plugin_api::host_side::frame::Limits;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::Signal;
use rustix::time::Timespec;

use super::{Born, Family, Line, Printed, Start, spawn};
use crate::schedule::clock;
use crate::schedule::far::{Answers, lock};
use crate::snapshot::Mono;

/// The waits before a child is started again, by how often it died without a good answer in between.
const WAITS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// So many deaths in [`DEATHS_WITHIN`] are no accident. One that never answers does not come to it: its waits are too
/// long; one that answers and dies at every other call does.
const DEATHS_MAX: usize = 20;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);
/// A call that is out for so many timeouts has hung.
const TIMEOUTS_MAX: u32 = 3;
/// Orders that wait. There are a few a child and tick at most; past this the keeper hangs in a system call, and what is
/// lost is said by the next order of its kind.
const ORDERS_MAX: usize = 10_000;

/// What a child of a collector is started from: found out at its first start, in the keeper's thread.
pub type Starter = Box<dyn FnMut() -> Result<Start, String> + Send>;

/// A collector that has, or may come to have, a child.
pub struct Ward {
    /// Its place in the schedule.
    pub place: usize,
    /// How a child of it is started.
    pub starter: Starter,
    /// How long a call may take.
    pub timeout: Duration,
    /// What an answer may hold.
    pub limits: Limits,
    /// Its budget of memory, for the words of a death.
    pub memory: u64,
}

/// One life of a child: what the collection thread tells the keeper without waking it.
#[derive(Debug)]
pub struct Life {
    number: u64,
    /// When it was asked what it has not answered; 0 for nothing.
    asked: AtomicU64,
    /// It has answered well.
    answered: AtomicBool,
}

impl Life {
    /// A call goes out.
    pub fn asked(&self, at: Mono) {
        self.asked.store(at.0, Ordering::Release);
    }

    /// An answer is back, and it was a good one or not.
    pub fn answered(&self, well: bool) {
        self.asked.store(0, Ordering::Release);
        if well {
            self.answered.store(true, Ordering::Release);
        }
    }
}

/// What became of a child.
pub enum News {
    /// It is there and can be asked.
    Up {
        /// Whose.
        place: usize,
        /// What it is asked by.
        line: Line,
        /// This life of it.
        life: Arc<Life>,
    },
    /// It died, or could not be started.
    Down {
        /// Whose.
        place: usize,
        /// Why.
        cause: String,
        /// After what wait it is started again; none where it died too often.
        again: Option<Duration>,
        /// How many deaths this tells of: since nobody heard of the one before, they are told as one.
        deaths: u64,
    },
    /// It has shown itself, and its library is loaded into the agent.
    Settled {
        /// Whose.
        place: usize,
    },
}

impl News {
    /// Adds it to what was not heard yet. A child that dies every 4 s while a collector sleeps for a day must fill neither
    /// memory nor descriptors: a dead child's line goes, and deaths are counted together.
    pub fn add_to(mut self, unheard: &mut Vec<News>) {
        if let News::Down { place: dead, deaths, .. } = &mut self {
            unheard.retain(|news| match news {
                News::Up { place, .. } => place != dead,
                News::Down { place, deaths: before, .. } if place == dead => {
                    *deaths += before;
                    false
                }
                _ => true,
            });
        }
        unheard.push(self);
    }
}

enum Order {
    Begin(usize),
    Kill { place: usize, life: u64, why: String },
    Watch { place: usize, life: u64, line: Option<OwnedFd> },
    Leave(usize),
    Do(Box<dyn FnOnce() + Send>),
    Close,
}

/// How orders reach the keeper: cheap to clone, never waits.
#[derive(Clone)]
pub struct Orders {
    queue: Arc<Mutex<Vec<Order>>>,
    bell: Arc<OwnedFd>,
}

impl Orders {
    fn give(&self, order: Order) {
        let mut queue = lock(&self.queue);
        if queue.len() < ORDERS_MAX {
            queue.push(order);
        }
        drop(queue);
        // It fails only where it has rung 2^64 times and nobody came.
        let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
    }

    /// The collector at this place is to have a child from now on.
    pub fn begin(&self, place: usize) {
        self.give(Order::Begin(place));
    }

    /// This life is to end; `why` is what its death is told by.
    pub fn kill(&self, place: usize, life: &Life, why: String) {
        self.give(Order::Kill { place, life: life.number, why });
    }

    /// A call is out past its timeout: the keeper ends it after [`TIMEOUTS_MAX`] of them, unless there is something on the
    /// line by then, which the collection thread may be the last to see.
    pub fn watch(&self, place: usize, life: &Life, line: Option<OwnedFd>) {
        self.give(Order::Watch { place, life: life.number, line });
    }

    /// The collector needs no child any more.
    pub fn leave(&self, place: usize) {
        self.give(Order::Leave(place));
    }

    /// The end has come: a child whose line closes from now on is not started again.
    pub fn close(&self) {
        self.give(Order::Close);
    }

    /// Something that may take time, and that nobody waits for: a record to be written.
    pub fn have_done(&self, act: impl FnOnce() + Send + 'static) {
        self.give(Order::Do(Box::new(act)));
    }
}

#[cfg(test)]
impl Orders {
    /// Orders that nobody carries out.
    pub(crate) fn unheard() -> Orders {
        Orders { queue: Arc::default(), bell: Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap()) }
    }

    /// What was ordered since this was asked last, in words. What is to be done is done.
    pub(crate) fn given(&self) -> Vec<String> {
        let orders = std::mem::take(&mut *lock(&self.queue));
        let words = orders.into_iter().map(|order| match order {
            Order::Begin(place) => format!("begin {place}"),
            Order::Kill { place, life, why } => format!("kill {place}, life {life}: {why}"),
            Order::Watch { place, life, .. } => format!("watch {place}, life {life}"),
            Order::Leave(place) => format!("leave {place}"),
            Order::Do(act) => {
                act();
                "do".into()
            }
            Order::Close => "close".into(),
        });
        words.collect()
    }
}

#[cfg(test)]
impl Life {
    /// The life of this number.
    pub(crate) fn of(number: u64) -> Life {
        Life { number, asked: AtomicU64::new(0), answered: AtomicBool::new(false) }
    }
}

/// The keeper, at work.
pub struct Keeper {
    orders: Orders,
    ended: mpsc::Receiver<()>,
}

impl Keeper {
    /// Starts it. What becomes of the children is told to `answers`.
    ///
    /// # Errors
    /// No thread or no descriptor is to be had.
    pub fn start(wards: Vec<Ward>, answers: Arc<Answers>) -> io::Result<Keeper> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let orders = Orders { queue: Arc::default(), bell };
        let (end, ended) = mpsc::sync_channel(1);
        let theirs = orders.clone();
        let wards = wards.into_iter().map(Kept::new).collect();
        thread::Builder::new().name("keeper".into()).spawn(move || {
            let mut keeping = Keeping { orders: theirs, answers, wards, lives: 0 };
            while keeping.round() {}
            // Nobody may be waiting any more.
            let _ = end.try_send(());
        })?;
        Ok(Keeper { orders, ended })
    }

    /// What it takes orders by.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Ends all children, and waits for that, `patience` at most. Tells whether they have ended.
    pub fn stop(&self, patience: Duration) -> bool {
        self.orders.give(Order::Close);
        self.ended.recv_timeout(patience).is_ok()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders.give(Order::Close);
    }
}

/// A ward, and how it stands.
struct Kept {
    ward: Ward,
    start: Option<Start>,
    state: State,
    /// How often it died since it last answered well.
    failures: usize,
    deaths: VecDeque<Mono>,
}

enum State {
    /// Without a child, which is as it should be.
    Absent,
    Alive(Box<Alive>),
    /// To be started again then.
    Waits(Mono),
}

struct Alive {
    family: Family,
    printed: Printed,
    life: Arc<Life>,
    /// Why it was killed.
    killed: Option<String>,
    /// It is to be killed then, if this call is still out.
    watched: Option<Watched>,
    /// Nobody is to be told of its end.
    left: bool,
    /// It was left, and the next one is wanted before this one is buried.
    comes_back: bool,
}

struct Watched {
    until: Mono,
    asked: u64,
    line: Option<OwnedFd>,
}

impl Watched {
    /// Whether there is something on the line.
    fn has_spoken(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let said = self.line.as_ref().map(|line| poll(&mut [PollFd::new(line, PollFlags::IN)], Some(&now)));
        said.is_some_and(|said| said.is_ok_and(|count| count > 0))
    }
}

impl Kept {
    fn new(ward: Ward) -> Kept {
        Kept { ward, start: None, state: State::Absent, failures: 0, deaths: VecDeque::new() }
    }

    /// When something is to be done about it.
    fn moment(&self, now: Mono) -> Option<Mono> {
        match &self.state {
            State::Waits(at) => Some(*at),
            State::Alive(alive) => {
                let watched = alive.watched.as_ref().map(|watched| watched.until);
                watched.into_iter().chain(alive.printed.rests(now)).min()
            }
            State::Absent => None,
        }
    }

    /// Counts a death and tells after what wait it comes back.
    fn died(&mut self, answered: bool, now: Mono) -> Option<Duration> {
        self.failures = if answered { 0 } else { self.failures };
        let wait = WAITS[self.failures.min(WAITS.len() - 1)];
        self.failures += 1;
        self.deaths.push_back(now);
        while self.deaths.front().is_some_and(|&death| now.since(death) > DEATHS_WITHIN) {
            self.deaths.pop_front();
        }
        (self.deaths.len() < DEATHS_MAX).then_some(wait)
    }
}

struct Keeping {
    orders: Orders,
    answers: Arc<Answers>,
    wards: Vec<Kept>,
    lives: u64,
}

impl Keeping {
    /// Waits for something to do and does it; false at the end.
    fn round(&mut self) -> bool {
        let dead = self.wait();
        let orders = std::mem::take(&mut *lock(&self.orders.queue));
        // With the order its line was closed, of which a child ends by itself: that is no death of its own, and may be seen first.
        let mut others = Vec::new();
        for order in orders {
            match order {
                Order::Leave(place) => self.with(place, Keeping::leave),
                Order::Kill { place, life, why } => self.with(place, |keeping, index| keeping.kill(index, life, why)),
                other => others.push(other),
            }
        }
        for index in dead {
            self.bury(index);
        }
        for order in others {
            match order {
                Order::Begin(place) => self.with(place, |keeping, index| match &mut keeping.wards[index].state {
                    State::Absent => keeping.begin(index),
                    State::Alive(alive) => alive.comes_back = alive.left,
                    State::Waits(_) => {}
                }),
                Order::Watch { place, life, line } => {
                    self.with(place, |keeping, index| keeping.watch(index, life, line));
                }
                Order::Leave(_) | Order::Kill { .. } => {}
                Order::Do(act) => act(),
                Order::Close => {
                    self.close();
                    return false;
                }
            }
        }
        self.look_at_the_time();
        true
    }

    fn with(&mut self, place: usize, act: impl FnOnce(&mut Keeping, usize)) {
        if let Some(index) = self.wards.iter().position(|kept| kept.ward.place == place) {
            act(self, index);
        }
    }

    /// Sleeps until a child has died or printed something, an order has come or a moment is there. Tells whose children have
    /// died, and logs what was printed.
    fn wait(&mut self) -> Vec<usize> {
        let now = clock::mono();
        let moment = self.wards.iter().filter_map(|kept| kept.moment(now)).min();
        let patience = moment.map(|moment| moment.since(now));
        let patience =
            patience.map(|left| Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() });
        let mut watched = vec![PollFd::new(&*self.orders.bell, PollFlags::IN)];
        let mut indices = Vec::new();
        for (index, kept) in self.wards.iter().enumerate() {
            if let State::Alive(alive) = &kept.state {
                watched.push(PollFd::new(&alive.family, PollFlags::IN));
                indices.push((index, true));
                if let Some(pipe) = alive.printed.listens(now) {
                    watched.push(PollFd::from_borrowed_fd(pipe, PollFlags::IN));
                    indices.push((index, false));
                }
            }
        }
        if poll(&mut watched, patience.as_ref()).is_err() {
            return Vec::new();
        }
        if !watched[0].revents().is_empty() {
            // Nobody else reads it, so it has rung.
            let _ = rustix::io::read(&*self.orders.bell, &mut [0u8; 8]);
        }
        let ready = watched[1..].iter().zip(indices).filter(|(watched, _)| !watched.revents().is_empty());
        let (dead, printed): (Vec<_>, Vec<_>) = ready.map(|(_, of)| of).partition(|(_, is_death)| *is_death);
        for (index, _) in printed {
            if let State::Alive(alive) = &mut self.wards[index].state {
                alive.printed.log(clock::mono());
            }
        }
        dead.into_iter().map(|(index, _)| index).collect()
    }

    fn look_at_the_time(&mut self) {
        let now = clock::mono();
        for index in 0..self.wards.len() {
            let kept = &mut self.wards[index];
            match &mut kept.state {
                State::Waits(at) if *at <= now => self.begin(index),
                State::Alive(alive) => {
                    let asked = alive.life.asked.load(Ordering::Acquire);
                    let over = |watched: &mut Watched| watched.until <= now || watched.asked != asked;
                    let Some(watched) = alive.watched.take_if(over) else { continue };
                    if watched.asked == asked && !watched.has_spoken() {
                        let (life, for_how_long) = (alive.life.number, now.since(Mono(asked)));
                        self.kill(index, life, format!("killed, as it did not answer for {for_how_long:.1?}"));
                    }
                }
                _ => {}
            }
        }
    }

    fn begin(&mut self, index: usize) {
        match self.try_to_begin(index) {
            Ok(()) => {}
            Err(cause) => self.down(index, false, format!("could not start a child: {cause}")),
        }
    }

    fn try_to_begin(&mut self, index: usize) -> Result<(), String> {
        let kept = &mut self.wards[index];
        let start = match &mut kept.start {
            Some(start) => start,
            none => none.insert((kept.ward.starter)()?),
        };
        let Born { family, socket, printed } = spawn(start).map_err(|cause| cause.to_string())?;
        self.lives += 1;
        let life = Arc::new(Life { number: self.lives, asked: AtomicU64::new(0), answered: AtomicBool::new(false) });
        let line = Line::new(socket, kept.ward.limits);
        let place = kept.ward.place;
        let theirs = Arc::clone(&life);
        let (killed, watched, left, comes_back) = (None, None, false, false);
        kept.state = State::Alive(Box::new(Alive { family, printed, life: theirs, killed, watched, left, comes_back }));
        self.answers.tell(News::Up { place, line, life });
        Ok(())
    }

    fn kill(&mut self, index: usize, life: u64, why: String) {
        if let State::Alive(alive) = &mut self.wards[index].state
            && alive.life.number == life
        {
            alive.killed.get_or_insert(why);
            alive.family.kill();
        }
    }

    fn watch(&mut self, index: usize, life: u64, line: Option<OwnedFd>) {
        let kept = &mut self.wards[index];
        if let State::Alive(alive) = &mut kept.state
            && alive.life.number == life
        {
            let asked = alive.life.asked.load(Ordering::Acquire);
            let until = Mono(asked).plus(kept.ward.timeout.saturating_mul(TIMEOUTS_MAX));
            alive.watched = (asked != 0).then_some(Watched { until, asked, line });
        }
    }

    fn leave(&mut self, index: usize) {
        match &mut self.wards[index].state {
            State::Alive(alive) => {
                (alive.left, alive.comes_back) = (true, false);
                alive.family.kill();
            }
            state => *state = State::Absent,
        }
    }

    /// Takes in that a child is dead: what it started dies with it, and it is no zombie.
    fn bury(&mut self, index: usize) {
        let kept = &mut self.wards[index];
        let State::Alive(mut alive) = std::mem::replace(&mut kept.state, State::Absent) else { return };
        let status = alive.family.end();
        alive.printed.log_last(clock::mono());
        if alive.left {
            if alive.comes_back {
                self.begin(index);
            }
            return;
        }
        let cause = match (status, alive.killed) {
            // The kill may have come when it was dead of something else.
            (Ok(status), Some(why)) if is_of_a_kill(status) => why,
            (Ok(status), _) => words(status, kept.ward.memory),
            (Err(cause), _) => format!("the child is lost: {cause}"),
        };
        self.down(index, alive.life.answered.load(Ordering::Acquire), cause);
    }

    fn down(&mut self, index: usize, answered: bool, cause: String) {
        let now = clock::mono();
        let kept = &mut self.wards[index];
        let again = kept.died(answered, now);
        kept.state = again.map_or(State::Absent, |wait| State::Waits(now.plus(wait)));
        self.answers.tell(News::Down { place: kept.ward.place, cause, again, deaths: 1 });
    }

    /// Ends all. A child that does not even die of SIGKILL, since the kernel does not let go of it, is left to the system.
    fn close(&mut self) {
        for kept in &mut self.wards {
            if let State::Alive(alive) = &kept.state {
                alive.family.kill();
            }
        }
        for kept in &mut self.wards {
            if let State::Alive(alive) = &mut kept.state {
                // Whoever waits for the end of the keeper has a patience of its own.
                let _ = alive.family.end();
                alive.printed.log_last(clock::mono());
            }
        }
    }
}

/// A child that is killed ends of that, or by itself as its line is closed too.
fn is_of_a_kill(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.success() || status.signal() == Some(Signal::KILL.as_raw())
}

fn words(status: std::process::ExitStatus, memory: u64) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    let memory = memory >> 20;
    match status.signal() {
        Some(signal) if signal == Signal::ABORT.as_raw() => {
            format!(
                "the child died: {status}; a program aborts, too, when it gets no memory: budget.memory is {memory} MiB"
            )
        }
        _ => format!("the child died: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let ward = Ward {
            place: 0,
            starter: Box::new(|| Err("a test".into())),
            timeout: Duration::from_secs(1),
            limits: Limits::default(),
            memory: 0,
        };
        Kept::new(ward)
    }

    fn at(milliseconds: u64) -> Mono {
        Mono(milliseconds * 1_000_000)
    }

    #[test]
    fn deaths_that_nobody_heard_of_are_told_as_one() {
        let mut unheard = Vec::new();
        let down = |place, cause: &str| News::Down { place, cause: cause.into(), again: None, deaths: 1 };
        let (socket, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let life = Life { number: 1, asked: AtomicU64::new(0), answered: AtomicBool::new(false) };
        down(0, "first").add_to(&mut unheard);
        down(1, "another").add_to(&mut unheard);
        News::Up { place: 0, line: Line::new(socket.into(), Limits::default()), life: Arc::new(life) }
            .add_to(&mut unheard);
        down(0, "second").add_to(&mut unheard);
        let told = unheard.iter().map(|news| match news {
            News::Down { place, cause, deaths, .. } => (*place, &**cause, *deaths),
            _ => panic!("it is dead"),
        });
        assert_eq!(told.collect::<Vec<_>>(), [(1, "another", 1), (0, "second", 2)]);
    }

    #[test]
    fn child_that_dies_is_back_at_once_and_then_after_waits_that_double_up_to_four_seconds() {
        let mut kept = kept();
        let waits: Vec<_> = (0..7).map(|death| kept.died(false, at(death * 10_000)).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 500, 1000, 2000, 4000, 4000, 4000]);
    }

    #[test]
    fn child_whose_late_answer_nobody_has_heard_yet_has_not_hung() {
        let (line, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let watched = Watched { until: at(0), asked: 1, line: Some(line.into()) };
        assert!(!watched.has_spoken());
        std::io::Write::write_all(&mut &theirs, b"x").unwrap();
        assert!(watched.has_spoken());
        assert!(!Watched { until: at(0), asked: 1, line: None }.has_spoken());
    }

    #[test]
    fn child_that_died_of_something_else_before_it_was_killed_is_not_told_as_killed() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |status| is_of_a_kill(std::process::ExitStatus::from_raw(status));
        // As wait(2) has them: exit codes 0 and 3, SIGKILL, SIGSEGV.
        assert_eq!([0, 3 << 8, 9, 11].map(ended), [true, false, true, false]);
    }

    #[test]
    fn good_answer_ends_the_waits() {
        let mut kept = kept();
        (0..3).for_each(|death| assert!(kept.died(false, at(death)).is_some()));
        assert_eq!(kept.died(true, at(4)), Some(Duration::ZERO));
    }

    #[test]
    fn twenty_deaths_within_a_minute_are_the_last() {
        let mut kept = kept();
        let deaths: Vec<_> = (0..20).map(|death| kept.died(true, at(death * 3_000)).is_some()).collect();
        assert_eq!(deaths.iter().position(|again| !again), Some(19));
        let mut kept = self::kept();
        assert!((0..100).all(|death| kept.died(true, at(death * 3_200)).is_some()));
    }
}
