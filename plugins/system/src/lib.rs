//! What machine this is, how long it has been up, and how much is on it.
//!
//! Built on sysinfo: once a minute its breadth matters and its cost does not. It reads this machine and no other, so
//! under a root of another host the whole collector is unavailable, rather than telling a container's story as the
//! host's. Two numbers sysinfo has no cheap answer for are read here: `sessions` and `processes`.
#![forbid(unsafe_code)]

mod processes;
mod sessions;

use std::path::PathBuf;

use plugin_api::options::NoOptions;
use plugin_api::{Collector, Error, Host, Recorder, ScalarId, Schema, perfwatch_plugin};
use sysinfo::{CpuRefreshKind, System as Machine};

const NANOSECONDS: u64 = 1_000_000_000;

struct System {
    machine: Machine,
    identity: Identity,
    proc: PathBuf,
    utmp: PathBuf,
    logind: PathBuf,
    ids: Ids,
}

/// What does not change while the kernel runs, or is not worth a read a minute: a distribution upgraded below a running
/// agent shows after its restart, which an upgrade does anyway.
struct Identity {
    os_name: Option<String>,
    os_version: Option<String>,
    kernel_version: Option<String>,
    architecture: String,
    cpu_brand: Option<String>,
}

struct Ids {
    os_name: ScalarId,
    os_version: ScalarId,
    kernel_version: ScalarId,
    architecture: ScalarId,
    cpu_brand: ScalarId,
    physical_cores: ScalarId,
    logical_cores: ScalarId,
    boot_time: ScalarId,
    uptime_seconds: ScalarId,
    users: ScalarId,
    processes: ScalarId,
}

impl Collector for System {
    type Options = NoOptions;

    fn new(_: NoOptions, host: &Host, schema: &mut Schema) -> Result<Self, Error> {
        if host.is_foreign() {
            return Err(Error::unavailable("sysinfo reads the machine it runs on, and host_root names another"));
        }
        let mut machine =
            Machine::new().map_err(|cause| Error::failed("could not set up sysinfo").because(cause.to_string()))?;
        machine.refresh_cpu_list(CpuRefreshKind::nothing());
        Ok(System {
            identity: Identity {
                os_name: known(Machine::name()),
                os_version: known(Machine::os_version()),
                kernel_version: known(Machine::kernel_version()),
                architecture: Machine::cpu_arch(),
                cpu_brand: machine.cpus().first().map(|cpu| cpu.brand().to_owned()).filter(|brand| !brand.is_empty()),
            },
            machine,
            proc: host.proc_path(""),
            utmp: host.root_path("run/utmp"),
            logind: host.root_path("run/systemd/sessions"),
            ids: Ids {
                os_name: schema.scalar("os_name")?,
                os_version: schema.scalar("os_version")?,
                kernel_version: schema.scalar("kernel_version")?,
                architecture: schema.scalar("architecture")?,
                cpu_brand: schema.scalar("cpu_brand")?,
                physical_cores: schema.scalar("physical_cores")?,
                logical_cores: schema.scalar("logical_cores")?,
                boot_time: schema.scalar("boot_time")?,
                uptime_seconds: schema.scalar("uptime_seconds")?,
                users: schema.scalar("users")?,
                processes: schema.scalar("processes")?,
            },
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let texts = [
            (self.ids.os_name, self.identity.os_name.as_deref()),
            (self.ids.os_version, self.identity.os_version.as_deref()),
            (self.ids.kernel_version, self.identity.kernel_version.as_deref()),
            (self.ids.architecture, Some(self.identity.architecture.as_str())),
            (self.ids.cpu_brand, self.identity.cpu_brand.as_deref()),
        ];
        for (id, text) in texts {
            if let Some(text) = text {
                out.set_text(id, text);
            }
        }

        // A new list each time, not a refresh: sysinfo's refresh keeps the processors it first saw, and they come and go.
        self.machine.refresh_cpu_list(CpuRefreshKind::nothing());
        out.set(self.ids.logical_cores, counted(self.machine.cpus().len()));
        out.set(self.ids.physical_cores, known(Machine::physical_core_count()).and_then(counted));
        out.set(self.ids.boot_time, known(Machine::boot_time()).and_then(|seconds| seconds.checked_mul(NANOSECONDS)));
        out.set(self.ids.uptime_seconds, known(Machine::uptime()));

        match processes::count(&self.proc) {
            Ok(count) => out.set(self.ids.processes, count),
            Err(cause) => out.part_failed("processes", &Error::failed("could not list processes").because(cause)),
        }
        match sessions::count(&self.utmp, &self.logind) {
            Ok(count) => out.set(self.ids.users, count),
            Err(cause) => out.part_failed("users", &Error::failed("could not count login sessions").because(cause)),
        }
        Ok(())
    }
}

/// sysinfo tells in an error what this host does not say: null here, and no fault.
fn known<T>(answer: Result<T, sysinfo::Error>) -> Option<T> {
    answer.ok()
}

/// No host has no processor: 0 is sysinfo's word for "could not read".
fn counted(count: usize) -> Option<u64> {
    (count > 0).then_some(count as u64)
}

perfwatch_plugin!(System);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use plugin_api::host_side::door::{Failure, Instance};
    use plugin_api::host_side::frame::{Frame, Limits};
    use plugin_api::host_side::manifest::Manifest;
    use plugin_api::host_side::roots::{HostHandle, Roots};
    use plugin_api::host_side::shape::Shape;
    use plugin_api::{Cell, ErrorKind};

    use super::*;

    fn manifest() -> Manifest {
        Manifest::parse(include_str!("../plugin.toml")).expect("the manifest is one")
    }

    fn made(root: &Path) -> Result<Instance, Failure> {
        let host = HostHandle::new(Arc::new(Roots::new(root)), Arc::new(manifest()), Arc::new(|_, _| ()));
        Instance::linked(host, |host, schema| System::new(NoOptions {}, host, schema))
    }

    fn cell(frame: &Frame, name: &str) -> Cell {
        frame.cells()[manifest().metrics.iter().position(|metric| metric.name == name).expect("declared")]
    }

    fn proc(name: &str) -> String {
        fs::read_to_string(Path::new("/proc").join(name)).unwrap()
    }

    fn uptime() -> u64 {
        proc("uptime").split('.').next().unwrap().parse().unwrap()
    }

    #[test]
    fn each_number_is_what_the_kernel_says_by_another_way() {
        let mut system = made(Path::new("/")).unwrap();
        let mut frame = Frame::new(Limits::default());
        let before = uptime();
        system.collect(&mut frame, &Shape::of(&manifest()), Duration::from_secs(60));
        let after = uptime();
        assert_eq!((frame.outcome, frame.refused, frame.notes().len()), (ErrorKind::NONE, 0, 0));

        let number = |name| cell(&frame, name).as_u64().unwrap_or_else(|| panic!("{name} is unknown"));
        assert!((before..=after).contains(&number("uptime_seconds")));
        let stat = proc("stat");
        let processors = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
        assert_eq!(number("logical_cores"), processors as u64);
        assert!((1..=processors as u64).contains(&number("physical_cores")));
        let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime ")).unwrap().parse().unwrap();
        // The clock may be set in between; it is not set by an hour.
        assert!(number("boot_time").abs_diff(boot * NANOSECONDS) < 3600 * NANOSECONDS);
        // This process is one, and no host has as many as the kernel has numbers for.
        if Path::new("/proc/1").exists() {
            assert!((1..1 << 22).contains(&number("processes")));
        }

        let text = |name| String::from_utf8(frame.text_of(cell(&frame, name)).to_vec()).unwrap();
        assert_eq!(text("kernel_version"), proc("sys/kernel/osrelease").trim());
        assert_eq!(text("architecture"), std::env::consts::ARCH);
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("NAME=")).map(|name| name.trim_matches('"'));
        assert_eq!(text("os_name"), name.unwrap_or_default());
    }

    #[test]
    fn every_test_case_gives_what_it_expects() {
        plugin_api::host_side::testcase::run_all::<System>(include_str!("../plugin.toml"), "testcases");
    }

    #[test]
    fn under_the_root_of_another_host_it_is_unavailable_and_not_the_containers() {
        let root = tempfile::tempdir().unwrap();
        let failure = made(root.path()).map(|_| ()).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::UNAVAILABLE);
    }
}
