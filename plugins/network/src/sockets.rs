//! How many sockets are in which state, by the cheapest way this host allows.
//!
//! On the agent's own network namespace the kernel is asked: one dump over netlink of what is neither established nor in
//! TIME_WAIT, and those two from sums that the kernel keeps anyway. Where netlink is refused, and on a host that is
//! read through a mounted root (netlink would answer for the agent's namespace, not for that host's), net/tcp and
//! net/tcp6 are counted line by line. Both ways give the same numbers, but that the parts of the first are read a
//! moment apart; a difference that would fall below zero is 0.
//!
//! UDP is the kernel's count of bound sockets of both families, which is what net/udp and net/udp6 list.

use std::io;

use plugin_api::{Error, Host, Level, ProcFile, Recorder, ScalarId, Schema};

use crate::diag::{Diag, is_refusal};
use crate::message::Counted;
use crate::socket_files::{curr_estab, sockstat, tcp};
use crate::states::{State, Tally};
use crate::still::Still;

/// The sources and the handles of `connections.*`.
pub(crate) struct Sockets {
    host: Host,
    source: Source,
    sockstat: ProcFile,
    /// None on a kernel without IPv6.
    sockstat6: Option<ProcFile>,
    /// In the order of [`State::ALL`].
    states: [ScalarId; 11],
    udp: ScalarId,
}

enum Source {
    Kernel { diag: Diag, snmp: ProcFile, still: Still },
    Files { tcp: ProcFile, tcp6: Option<ProcFile> },
}

impl Sockets {
    /// Opens the sums, and the lists where netlink would answer for another namespace.
    pub(crate) fn new(host: &Host, schema: &mut Schema) -> Result<Sockets, Error> {
        let udp = schema.scalar("connections.udp.count")?;
        let mut states = [udp; 11];
        for (id, (_, word)) in states.iter_mut().zip(State::ALL) {
            *id = schema.scalar(&format!("connections.tcp.{word}"))?;
        }
        let source = if host.is_foreign() {
            files(host)?
        } else {
            Source::Kernel { diag: Diag::new(), snmp: host.net("snmp")?.in_one_read(), still: Still::default() }
        };
        Ok(Sockets {
            host: host.clone(),
            source,
            sockstat: host.net("sockstat")?.in_one_read(),
            sockstat6: if_there(host.net("sockstat6"))?.map(ProcFile::in_one_read),
            states,
            udp,
        })
    }

    /// Counts. A part that fails leaves its own numbers unknown and says so.
    pub(crate) fn collect(&mut self, out: &mut Recorder) {
        if let Err(error) = self.try_collect(out) {
            out.part_failed("connections", &error);
        }
    }

    fn try_collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let sums = self.sockstat.read()?;
        let tw = sockstat(sums, b"TCP:", b"tw");
        let udp4 = sockstat(sums, b"UDP:", b"inuse");
        let mut still = match &mut self.source {
            Source::Kernel { still, .. } => Some(still),
            Source::Files { .. } => None,
        };
        if let Some(still) = &mut still {
            still.begin();
            still.take(sums, b"TCP:");
        }
        let udp6 = match &mut self.sockstat6 {
            Some(file) => {
                let sums6 = file.read()?;
                if let Some(still) = still {
                    still.take(sums6, b"TCP6:");
                }
                sockstat(sums6, b"UDP6:", b"inuse")
            }
            None => Some(0),
        };
        out.set(self.udp, udp4.zip(udp6).map(|(udp4, udp6)| udp4 + udp6));

        let counts = match &mut self.source {
            Source::Kernel { diag, snmp, still } => {
                let segments = snmp.read()?;
                still.take(segments, b"Tcp:");
                let curr_estab = curr_estab(segments);
                match still.holds() {
                    Some(counted) => of_kernel(counted, curr_estab, tw),
                    None => match diag.dump(out.deadline()) {
                        Ok(counted) => of_kernel(still.keep(counted), curr_estab, tw),
                        Err(cause) if is_refusal(&cause) => {
                            self.turn_to_files(&cause)?;
                            return self.try_collect(out);
                        }
                        Err(cause) => {
                            still.forget();
                            return Err(Error::failed("could not ask the kernel for its sockets").because(cause));
                        }
                    },
                }
            }
            Source::Files { tcp, tcp6 } => of_files(tcp, tcp6.as_mut())?,
        };
        for (id, count) in self.states.iter().zip(counts) {
            out.set(*id, count);
        }
        Ok(())
    }

    /// For good: what refused once (a sandbox, a kernel without the module) refuses again, and asking costs each time.
    fn turn_to_files(&mut self, cause: &io::Error) -> Result<(), Error> {
        self.host.log(
            Level::Info,
            &format!("sockets are counted from net/tcp and net/tcp6, which takes longer: netlink is refused: {cause}"),
        );
        self.source = files(&self.host)?;
        Ok(())
    }
}

fn files(host: &Host) -> Result<Source, Error> {
    Ok(Source::Files { tcp: host.net("tcp")?, tcp6: if_there(host.net("tcp6"))? })
}

/// A count for each of [`State::ALL`], `None` where it is not known.
type Counts = [Option<u64>; 11];

/// From a dump of what is neither established nor in TIME_WAIT, `CurrEstab` of net/snmp and `tw` of net/sockstat.
fn of_kernel(dumped: &Counted, curr_estab: Option<u64>, tw: Option<u64>) -> Counts {
    State::ALL.map(|(state, _)| match state {
        // It counts CLOSE_WAIT too.
        State::Established => curr_estab.map(|both| both.saturating_sub(dumped.tally.of(State::CloseWait))),
        // It counts the remains of connections that are still in FIN_WAIT2, too.
        State::TimeWait => tw.map(|both| both.saturating_sub(dumped.fin_wait2_remains)),
        _ => Some(dumped.tally.of(state)),
    })
}

/// From net/tcp and, where there is one, net/tcp6.
fn of_files(tcp4: &mut ProcFile, tcp6: Option<&mut ProcFile>) -> Result<Counts, Error> {
    let mut tally = Tally::default();
    tcp(tcp4.read()?, &mut tally).map_err(|cause| cause.of("/proc/net/tcp"))?;
    if let Some(file) = tcp6 {
        tcp(file.read()?, &mut tally).map_err(|cause| cause.of("/proc/net/tcp6"))?;
    }
    Ok(State::ALL.map(|(state, _)| Some(tally.of(state))))
}

/// A file that this kernel may not have.
fn if_there(file: Result<ProcFile, Error>) -> Result<Option<ProcFile>, Error> {
    use std::error::Error as _;
    match file {
        Ok(file) => Ok(Some(file)),
        Err(error) => match error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) {
            Some(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn established_is_without_close_wait_and_time_wait_without_the_remains_of_fin_wait2() {
        let mut dumped = Counted { fin_wait2_remains: 2, ..Counted::default() };
        for state in [State::CloseWait, State::CloseWait, State::CloseWait, State::FinWait2, State::FinWait2] {
            dumped.tally.add(state as u8);
        }
        let count = |counts: Counts, wanted| counts[State::ALL.iter().position(|(state, _)| *state == wanted).unwrap()];
        let counts = of_kernel(&dumped, Some(10), Some(7));
        assert_eq!(count(counts, State::Established), Some(7));
        assert_eq!(count(counts, State::TimeWait), Some(5));
        assert_eq!(count(counts, State::CloseWait), Some(3));
        assert_eq!(count(counts, State::FinWait2), Some(2));

        let moments_apart = of_kernel(&dumped, Some(1), Some(0));
        assert_eq!(
            (count(moments_apart, State::Established), count(moments_apart, State::TimeWait)),
            (Some(0), Some(0))
        );
        let unknown = of_kernel(&dumped, None, None);
        assert_eq!((count(unknown, State::Established), count(unknown, State::TimeWait)), (None, None));
    }

    #[test]
    fn only_a_file_that_is_not_there_may_be_missing() {
        let there = tempfile::NamedTempFile::new().unwrap();
        assert!(if_there(ProcFile::open(there.path())).unwrap().is_some());
        assert!(if_there(ProcFile::open("/nonexistent/tcp6")).unwrap().is_none());
        assert!(if_there(ProcFile::open(there.path().join("tcp6"))).is_err());
    }
}
