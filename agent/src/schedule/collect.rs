//! The life of the collection thread: sleep, call the near, gather the far, emit. The one file that starts threads for
//! collectors.

use std::io;
use std::sync::Arc;
use std::thread;

use super::far::{self, Answers};
use super::seat::Seat;
use super::tick::Schedule;
use crate::record::Slots;

/// What the collection thread, its standby and the threads that were set aside share.
pub struct Shared {
    seat: Seat,
    answers: Arc<Answers>,
    slots: Slots,
}

/// The collection, running.
pub struct Collection {
    shared: Arc<Shared>,
    ended: std::sync::mpsc::Receiver<()>,
}

impl Collection {
    /// Starts the collection thread and its standby.
    ///
    /// # Errors
    /// No thread or no timer is to be had.
    pub fn start(schedule: Schedule, answers: Arc<Answers>, slots: Slots) -> io::Result<Collection> {
        let shared = Arc::new(Shared { seat: Seat::new()?, answers, slots });
        let (end, ended) = std::sync::mpsc::sync_channel(1);
        standby(&shared, end.clone())?;
        let mine = Arc::clone(&shared);
        thread::Builder::new().name("collect".into()).spawn(move || {
            let mut schedule = Box::new(schedule);
            schedule.start();
            drive(&mine, schedule, end);
        })?;
        Ok(Collection { shared, ended })
    }

    /// Waits until the collection has ended, `patience` at most, and tells whether it has.
    pub fn wait(&self, patience: std::time::Duration) -> bool {
        self.ended.recv_timeout(patience).is_ok()
    }

    /// The tick that is going on is not to wait for answers any more.
    pub fn hurry(&self) {
        self.shared.answers.hurry();
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        self.shared.seat.close();
    }
}

type End = std::sync::mpsc::SyncSender<()>;

/// The collection thread, from wherever the schedule stands.
fn drive(shared: &Arc<Shared>, mut schedule: Box<Schedule>, end: End) {
    let slot = shared.slots.slot();
    let mut told = false;
    loop {
        // After a hang the standby has become this thread; and where no thread was to be had, there may be one by now.
        if shared.seat.is_unattended() {
            match standby(shared, end.clone()) {
                Ok(()) => told = false,
                Err(_) if told => {}
                Err(cause) => {
                    told = true;
                    tracing::error!(%cause, "could not start a standby thread: a call that hangs stops the collection until there is one");
                }
            }
        }
        while let Some(call) = schedule.next_call() {
            let cut_off = schedule.cut_off();
            let number = shared.seat.put_down(schedule, cut_off);
            let returned = call.run(&slot);
            match shared.seat.pick_up(number) {
                Some(back) => schedule = back,
                // The standby is the collection thread now, and this one is the collector's own.
                None => return far::serve(returned, &shared.answers, &slot),
            }
            schedule.came_back(returned);
        }
        shared.seat.disarm();
        schedule.gather();
        if schedule.has_more() {
            continue;
        }
        schedule.finish();
        if !schedule.sleep() {
            break;
        }
    }
    // The sinks' queues close with the schedule; a destructor of a plugin that hangs keeps this thread, and is not waited for.
    schedule.close();
    // Nobody may be waiting any more.
    let _ = end.try_send(());
    drop(schedule);
}

fn standby(shared: &Arc<Shared>, end: End) -> io::Result<()> {
    let theirs = Arc::clone(shared);
    thread::Builder::new().name("standby".into()).spawn(move || {
        let Some(mut schedule) = theirs.seat.take_over() else { return };
        if let Err(cause) = rustix::thread::set_name(c"collect") {
            tracing::debug!(%cause, "could not name the collection thread");
        }
        schedule.taken_over();
        drive(&theirs, schedule, end);
    })?;
    shared.seat.attend();
    Ok(())
}
