//! What the service manager is told: ready, reloading, well, ending. [E socket of `$NOTIFY_SOCKET`]
//!
//! The protocol of sd_notify(3), a datagram of `KEY=VALUE` lines, by hand: it is ten lines, where libsystemd would be a library
//! more in an agent that loads strangers' libraries.
//!
//! Promises to wait for nobody: a manager that does not read must not stop the agent that it watches. What it has to know in
//! the end (ready, reloading, ending) and found no room goes with the next message; a lost status or sign of life is just lost.
//! Refuses to fail: whom nobody hears goes on, and says so once in the debug log.
//! Not used: `EXTEND_TIMEOUT_USEC`, as the start and the end have bounds of their own far below those of the unit.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use crate::harmless::is_harmful;
use crate::schedule::clock;

/// What fits a line of `systemctl status` on a wide terminal. The manager takes 4 KiB in a message.
const STATUS_CHARS_MAX: usize = 240;

/// The service manager that started this process and wants to hear of it.
pub struct Notify {
    socket: UnixDatagram,
    /// Found anew for each message: a manager that was restarted has another socket behind the same name.
    to: SocketAddr,
    /// What found no room and has to be known.
    owed: Mutex<Option<String>>,
    unheard: Once,
}

impl Notify {
    /// The manager of this process; absent where there is none, or its address is not to be understood.
    #[must_use]
    pub fn from_env() -> Option<Notify> {
        let address = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty())?;
        Notify::to(&address)
            .inspect_err(|cause| {
                tracing::debug!(%cause, "NOTIFY_SOCKET cannot be used: nobody is told how the agent does");
            })
            .ok()
    }

    /// The manager at this address: a path, or an abstract name behind `@`.
    ///
    /// # Errors
    /// It is neither, or no socket is to be had.
    pub fn to(address: &OsStr) -> io::Result<Notify> {
        let to = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notify { socket, to, owed: Mutex::default(), unheard: Once::new() })
    }

    /// The agent runs: after its start, and after each [`Notify::reloading`], whether the config was taken or refused.
    pub fn ready(&self) {
        self.owe("READY=1".into());
    }

    /// The config is read anew. The manager takes the moment as the proof that this answers its own wish.
    pub fn reloading(&self) {
        self.owe(format!("RELOADING=1\nMONOTONIC_USEC={}", clock::mono().0 / 1000));
    }

    /// The agent ends.
    pub fn stopping(&self) {
        self.owe("STOPPING=1".into());
    }

    /// How the agent does, for people: one line, cut where it is long.
    pub fn status(&self, text: &str) {
        self.say(&format!("STATUS={}", on_a_line(text)));
    }

    /// The agent is well; due once in every [`watchdog_period`], best twice.
    pub fn watchdog(&self) {
        self.say("WATCHDOG=1");
    }

    fn owe(&self, state: String) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        // The last one alone: whoever missed that a reload began need not hear of it when it is over.
        *owed = (self.send(&state) == Sent::NoRoom).then_some(state);
    }

    fn say(&self, message: &str) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = match &*owed {
            Some(state) => self.send(&format!("{state}\n{message}")),
            None => self.send(message),
        };
        if sent == Sent::Heard {
            *owed = None;
        }
    }

    fn send(&self, message: &str) -> Sent {
        let Err(cause) = self.socket.send_to_addr(message.as_bytes(), &self.to) else { return Sent::Heard };
        self.unheard.call_once(|| tracing::debug!(%cause, "could not tell the service manager how the agent does"));
        if cause.kind() == io::ErrorKind::WouldBlock { Sent::NoRoom } else { Sent::Nobody }
    }
}

#[derive(PartialEq)]
enum Sent {
    Heard,
    NoRoom,
    Nobody,
}

/// Within which time the manager wants each sign of life; absent where it wants none of this process.
#[must_use]
pub fn watchdog_period() -> Option<Duration> {
    let variable = |name| env::var(name).ok();
    period(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref(), std::process::id())
}

fn period(usec: Option<&str>, of: Option<&str>, own: u32) -> Option<Duration> {
    // Meant for whoever started this process, which passed its environment on.
    if of.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    usec?.parse().ok().filter(|usec| *usec > 0).map(Duration::from_micros)
}

/// A line's end would be the end of the status and the beginning of a key.
fn on_a_line(text: &str) -> String {
    text.chars().take(STATUS_CHARS_MAX).map(|one| if is_harmful(one) { ' ' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Manager {
        socket: UnixDatagram,
        _folder: tempfile::TempDir,
        notify: Notify,
    }

    impl Manager {
        fn new() -> Manager {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            Manager { socket, notify: Notify::to(path.as_os_str()).unwrap(), _folder: folder }
        }

        /// What it has been told, a text a message.
        fn told(&self) -> Vec<String> {
            let next = || {
                let mut bytes = vec![0; 8192];
                let length = self.socket.recv(&mut bytes).ok()?;
                bytes.truncate(length);
                String::from_utf8(bytes).ok()
            };
            std::iter::from_fn(next).collect()
        }

        /// Leaves no room for another message.
        fn fill(&self) {
            while self.notify.send("X=1") == Sent::Heard {}
        }
    }

    #[test]
    fn each_state_is_a_message_of_its_own() {
        let manager = Manager::new();
        manager.notify.ready();
        manager.notify.status("4 collectors");
        manager.notify.watchdog();
        manager.notify.stopping();
        assert_eq!(manager.told(), ["READY=1", "STATUS=4 collectors", "WATCHDOG=1", "STOPPING=1"]);
    }

    #[test]
    fn reload_carries_the_moment_of_its_beginning_in_microseconds() {
        let manager = Manager::new();
        let before = clock::mono().0 / 1000;
        manager.notify.reloading();
        let told = manager.told().remove(0);
        let moment: u64 = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=clock::mono().0 / 1000).contains(&moment), "{told}");
    }

    #[test]
    fn abstract_name_is_an_address_and_other_words_are_not() {
        let name = format!("perfwatch-notify-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notify::to(OsStr::new(&format!("@{name}"))).unwrap().ready();
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
        assert!(Notify::to(OsStr::new("vsock:2:1")).is_err() && Notify::to(OsStr::new("run/notify")).is_err());
        assert!(Notify::to(OsStr::new(&format!("/{}", "x".repeat(200)))).is_err());
    }

    #[test]
    fn status_is_one_line_and_has_a_bound() {
        let manager = Manager::new();
        manager.notify.status("ups failed:\nREADY=1\u{1b}[2J");
        assert_eq!(manager.told(), ["STATUS=ups failed: READY=1 [2J"]);
        manager.notify.status(&"ü".repeat(5000));
        assert_eq!(manager.told()[0].chars().count(), "STATUS=".len() + STATUS_CHARS_MAX);
    }

    #[test]
    fn manager_that_does_not_read_is_not_waited_for_and_hears_the_last_state_when_it_does() {
        let manager = Manager::new();
        manager.fill();
        manager.notify.reloading();
        manager.notify.ready();
        manager.notify.status("lost");
        assert!(manager.told().iter().all(|message| message == "X=1"));
        manager.notify.watchdog();
        manager.notify.watchdog();
        assert_eq!(manager.told(), ["READY=1\nWATCHDOG=1", "WATCHDOG=1"]);
    }

    #[test]
    fn state_that_was_overtaken_is_not_told_after_the_one_that_did() {
        let manager = Manager::new();
        manager.fill();
        manager.notify.reloading();
        manager.told();
        manager.notify.ready();
        assert_eq!(manager.told(), ["READY=1"]);
    }

    #[test]
    fn manager_that_has_gone_is_no_failure() {
        let Manager { socket, _folder: folder, notify } = Manager::new();
        drop((socket, folder));
        notify.ready();
        notify.watchdog();
    }

    #[test]
    fn sign_of_life_is_wanted_by_whoever_asks_this_process_for_it() {
        assert_eq!(period(Some("30000000"), None, 7), Some(Duration::from_secs(30)));
        assert_eq!(period(Some("30000000"), Some("7"), 7), Some(Duration::from_secs(30)));
        assert_eq!(period(Some("30000000"), Some("8"), 7), None);
        assert_eq!(period(Some("30000000"), Some("x"), 7), None);
        assert_eq!(period(Some("0"), None, 7), None);
        assert_eq!(period(Some("never"), None, 7), None);
        assert_eq!(period(None, Some("7"), 7), None);
    }
}
