//! A child and all that it starts: killed as one, and waited for so that nothing of it is left. [E kill, wait, cgroup]
//!
//! All of it is in the child's process group, which nobody can leave inside the sandbox. A child that may start programs
//! has two things more: a [`Cgroup`] where one is to be had, which holds where the sandbox has no filter, too; and a
//! [guard](super::guard), since the signal at the death of the agent reaches the child alone.
//! Promises: the status that is told is the child's own; after [`Family::end`] there is no process, no zombie and no
//! control group. The group's number is nobody else's for as long as the child is not waited for, so nobody else is hit.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::sync::Once;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group};

use super::cgroup::Cgroup;
use super::guard;

/// A child and what it has started.
#[derive(Debug)]
pub struct Family {
    child: Child,
    pidfd: OwnedFd,
    guard: Option<Child>,
    cgroup: Option<Cgroup>,
}

impl Family {
    /// Of a child that leads its process group and has not been waited for.
    ///
    /// # Errors
    /// Descriptors have run out; the child is gone then.
    pub(super) fn of(mut child: Child) -> io::Result<Family> {
        match pidfd(&child) {
            Ok(pidfd) => Ok(Family { child, pidfd, guard: None, cgroup: None }),
            Err(cause) => {
                child.kill()?;
                child.wait()?;
                Err(cause)
            }
        }
    }

    /// Makes ready for a child that may start programs, which it must not have done yet.
    ///
    /// # Errors
    /// No guard is to be had. Without a control group it goes on.
    pub(super) fn may_grow(&mut self, collector: &str, memory: u64) -> io::Result<()> {
        // Of this child alone: one that is looked at beside another of the same collector must not take that with it when it ends.
        self.cgroup = cgroup(&format!("{collector}-{}", self.id()), memory, self.id());
        self.guard = Some(guard::start(collector, self.id(), self.cgroup.as_ref())?);
        Ok(())
    }

    /// The child's process number, and its group's.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills all of it. Its death is for [`AsFd`] to tell: readable when the child has ended.
    pub fn kill(&self) {
        self.cgroup.iter().for_each(Cgroup::kill);
        // Nobody may be left, which is as well.
        if let Some(group) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Kills what is left of it, and waits for that. Tells how the child ended: as it did itself, where it had already.
    ///
    /// # Errors
    /// Somebody else has waited for it.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        let status = self.child.wait();
        if let Some(mut guard) = self.guard.take() {
            // It is in the group and dead already; by itself, where it could not be put there.
            guard.kill()?;
            guard.wait()?;
        }
        self.cgroup = None;
        status
    }
}

impl AsFd for Family {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn pidfd(process: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// The control group with this child in it, where there are any.
fn cgroup(name: &str, memory: u64, child: u32) -> Option<Cgroup> {
    static SAID: Once = Once::new();
    let made = Cgroup::make(name, memory).and_then(|group| group.add(child).map(|()| group));
    if let Err(cause) = &made {
        SAID.call_once(|| tracing::debug!(%cause, "children that start programs are in no control group"));
    }
    made.ok()
}
