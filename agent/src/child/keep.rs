//! The keeper: the one thread that starts children, buries them and starts them again.
//!
//! It lives as long as the agent, since the kernel ends a child with the thread that started it. It sleeps until a
//! child dies or prints, an order comes or a restart is due: a steady tick does not wake it. The collection thread talks to
//! children itself and leaves all that takes time to this one.
//! Promises: a dead child is noticed at once and started again; first without a wait, then after 0.5, 1, 2 and at most
//! 4 s, until it answers well again; after 20 deaths in a minute it is left alone. With a child dies what it started.
//! Of a ward that was dismissed nobody hears any more, and nothing is kept once its child is buried.

mod news;
mod orders;
mod ward;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

pub use self::news::{Life, News};
use self::orders::Order;
pub use self::orders::Orders;
pub(super) use self::ward::words;
use self::ward::{Alive, Kept, State, TIMEOUTS_MAX, Watched, is_of_a_kill};
pub use self::ward::{Starter, Ward};
use super::{Born, Line, spawn};
use crate::schedule::clock;
use crate::schedule::far::{Answers, lock};
use crate::snapshot::Mono;

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
        let orders = Orders::new()?;
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
        // With such an order its line was closed, of which a child ends by itself: that is no death of its own, and may be seen first.
        let (ends, others): (Vec<_>, Vec<_>) = orders.into_iter().partition(Order::ends_a_life);
        for order in ends {
            self.carry_out(order);
        }
        for index in dead {
            self.bury(index);
        }
        // Behind the burials, which know the wards by their index.
        self.wards.retain(|kept| !kept.dismissed || matches!(kept.state, State::Alive(_)));
        // What is ordered behind the end is not begun any more.
        let goes_on = others.into_iter().all(|order| self.carry_out(order));
        if goes_on {
            self.look_at_the_time();
        }
        goes_on
    }

    /// False at the end.
    fn carry_out(&mut self, order: Order) -> bool {
        match order {
            Order::Take(ward) => self.wards.push(Kept::new(*ward)),
            Order::Dismiss(tenant) => self.with(tenant, |keeping, index| {
                keeping.leave(index);
                keeping.wards[index].dismissed = true;
            }),
            Order::Leave(tenant) => self.with(tenant, Keeping::leave),
            Order::Kill { tenant, life, why } => self.with(tenant, |keeping, index| keeping.kill(index, life, why)),
            Order::Begin(tenant) => self.with(tenant, |keeping, index| match &mut keeping.wards[index].state {
                State::Absent => keeping.begin(index),
                State::Alive(alive) => alive.comes_back = alive.left,
                State::Waits(_) => {}
            }),
            Order::Watch { tenant, life, timeout, line } => {
                self.with(tenant, |keeping, index| keeping.watch(index, life, timeout, line));
            }
            Order::Do(act) => {
                // On a thread that nobody waits for: a disk that hangs must keep no child from being buried.
                if let Err(cause) = thread::Builder::new().name("record".into()).spawn(act) {
                    tracing::warn!(%cause, "could not start a thread to take down where a collector runs");
                }
            }
            Order::Close => {
                self.close();
                return false;
            }
        }
        true
    }

    fn with(&mut self, tenant: u64, act: impl FnOnce(&mut Keeping, usize)) {
        if let Some(index) = self.wards.iter().position(|kept| kept.ward.tenant == tenant && !kept.dismissed) {
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
        let (place, tenant) = (kept.ward.place, kept.ward.tenant);
        let theirs = Arc::clone(&life);
        let (killed, watched, left, comes_back) = (None, None, false, false);
        kept.state = State::Alive(Box::new(Alive { family, printed, life: theirs, killed, watched, left, comes_back }));
        self.answers.tell(News::Up { place, tenant, line, life });
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

    fn watch(&mut self, index: usize, life: u64, timeout: Duration, line: Option<OwnedFd>) {
        let kept = &mut self.wards[index];
        if let State::Alive(alive) = &mut kept.state
            && alive.life.number == life
        {
            let asked = alive.life.asked.load(Ordering::Acquire);
            let until = Mono(asked).plus(timeout.saturating_mul(TIMEOUTS_MAX));
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
        let (place, tenant) = (kept.ward.place, kept.ward.tenant);
        self.answers.tell(News::Down { place, tenant, cause, again, deaths: 1 });
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

#[cfg(test)]
mod tests {
    use plugin_api::host_side::frame::Limits;

    use super::*;
    use crate::schedule::far::Arrivals;

    /// One of which no child can be started, which is told.
    fn ward(tenant: u64) -> Ward {
        Ward { place: 0, tenant, starter: Box::new(|| Err("a test".into())), limits: Limits::default(), memory: 0 }
    }

    #[test]
    fn who_comes_and_goes_in_one_breath_has_no_child_and_leaves_the_place_to_who_comes_after() {
        let (orders, answers) = (Orders::new().unwrap(), Arc::new(Answers::new().unwrap()));
        let (theirs, told) = (orders.clone(), Arc::clone(&answers));
        let mut keeping = Keeping { orders: theirs, answers: told, wards: Vec::new(), lives: 0 };
        for tenant in 1..=3 {
            orders.take(ward(tenant));
            orders.begin(tenant);
            if tenant != 2 {
                orders.dismiss(tenant);
            }
        }
        assert!(keeping.round());
        assert_eq!(keeping.wards.iter().map(|kept| kept.ward.tenant).collect::<Vec<_>>(), [2]);
        let mut arrivals = Arrivals::default();
        answers.collect(Duration::ZERO, &mut arrivals);
        assert_eq!(arrivals.news.iter().map(News::of).collect::<Vec<_>>(), [(0, 2)]);
    }
}
