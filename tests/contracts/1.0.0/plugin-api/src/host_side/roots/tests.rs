use super::*;
use crate::Host;
use crate::host_side::door::Instance;
use crate::options::NoOptions;
use crate::{Collector, Error, Recorder, Schema};

const MANIFEST: &str = r#"contract = "1.0"
[plugin]
name = "mock"
description = "is asked for names"
[metrics.count]
type = "u64"
kind = "counter"
unit = "1"
rate = "count_per_sec"
description = "a number"
[tables.processes]
key = ["pid", "name"]
description = "processes"
[tables.processes.columns.threads]
type = "u64"
unit = "1"
description = "a number"
[tables.processes.columns.age]
unit = "s"
description = "a number"
"#;

fn handle(roots: Roots) -> HostHandle {
    HostHandle::new(Arc::new(roots), Arc::new(Manifest::parse(MANIFEST).unwrap()), Arc::new(|_, _| {}))
}

fn resolved(what: Resolve, table: u32, name: &str) -> Result<u64, String> {
    resolve(&Manifest::parse(MANIFEST).unwrap(), what, table, name)
}

fn root(handle: &HostHandle, which: Root) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(handle.root(which).as_slice()))
}

#[test]
fn roots_of_this_machine_are_where_they_always_are() {
    let host = handle(Roots::new(Path::new("/")));
    let roots = [Root::HOST, Root::PROC, Root::SYS, Root::NET].map(|which| root(&host, which));
    assert_eq!(roots, ["/", "/proc", "/sys", "/proc/net"].map(Path::new));
    assert_eq!((host.number(Number::IS_FOREIGN), host.number(Number(77))), (0, 0));
    assert!(host.number(Number::PAGE_SIZE).is_power_of_two() && host.number(Number::CLOCK_TICKS) > 0);
}

#[test]
fn network_files_of_a_foreign_host_are_those_of_its_first_process() {
    let host = handle(Roots::new(Path::new("/host")));
    let roots = [Root::HOST, Root::PROC, Root::SYS, Root::NET].map(|which| root(&host, which));
    assert_eq!(roots, ["/host", "/host/proc", "/host/sys", "/host/proc/1/net"].map(Path::new));
    assert_eq!(host.number(Number::IS_FOREIGN), 1);
}

#[test]
fn names_are_places_and_a_table_says_its_keys_and_columns() {
    assert_eq!(resolved(Resolve::SCALAR, 0, "count"), Ok(0));
    assert_eq!(resolved(Resolve::TABLE, 0, "processes"), Ok(2 << 32 | 2 << 48));
    assert_eq!(resolved(Resolve::COLUMN, 0, "age"), Ok(1));
}

#[test]
fn name_that_is_not_declared_is_an_error_that_tells_the_nearest() {
    let wrong = |what, table, name| resolved(what, table, name).unwrap_err();
    assert_eq!(wrong(Resolve::SCALAR, 0, "cuont"), "metric cuont is not declared in plugin.toml; did you mean count?");
    assert_eq!(wrong(Resolve::SCALAR, 0, "temperature"), "metric temperature is not declared in plugin.toml");
    assert_eq!(
        wrong(Resolve::TABLE, 0, "proceses"),
        "table proceses is not declared in plugin.toml; did you mean processes?"
    );
    assert_eq!(
        wrong(Resolve::COLUMN, 0, "agee"),
        "column processes.agee is not declared in plugin.toml; did you mean age?"
    );
    assert_eq!(wrong(Resolve::COLUMN, 5, "age"), "there is no table 5");
    assert!(wrong(Resolve(9), 0, "count").starts_with("cannot resolve count: "));
}

#[test]
fn what_the_agent_derives_cannot_be_set() {
    let wrong = resolved(Resolve::SCALAR, 0, "count_per_sec").unwrap_err();
    assert_eq!(
        wrong,
        "metric count_per_sec is derived by the agent and cannot be set: set the counters that it is derived from"
    );
}

/// Asks its host for the space of `/`, from another thread, as a collector may.
struct Space;

impl Collector for Space {
    type Options = NoOptions;

    fn new(_: NoOptions, host: &Host, _: &mut Schema) -> Result<Space, Error> {
        let host = host.clone();
        std::thread::spawn(move || host.statvfs("/")).join().expect("it does not panic").map(|_| Space)
    }

    fn collect(&mut self, _: &mut Recorder) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn handle_of_the_host_works_from_any_thread() {
    let made =
        Instance::linked(handle(Roots::new(Path::new("/"))), |host, schema| Space::new(NoOptions {}, host, schema));
    assert!(made.is_ok());
}

#[test]
fn space_of_this_machine_is_what_the_file_system_says() {
    let space = Roots::new(Path::new("/")).statvfs(Path::new("/")).unwrap();
    assert!(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
    assert!(space.available_bytes <= space.free_bytes);
    let missing = Roots::new(Path::new("/")).statvfs(Path::new("/nowhere/at/all"));
    assert_eq!(missing, Err(rustix::io::Errno::NOENT.raw_os_error()));
}

#[test]
fn mount_of_a_foreign_host_is_asked_for_below_its_root() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let roots = Roots::new(folder.path());
    assert!(roots.statvfs(Path::new("/data")).is_ok() && roots.statvfs(Path::new("/")).is_ok());
    assert!(roots.statvfs(Path::new("/etc")).is_err(), "this machine's /etc is not the host's");
}

fn captured(text: &str) -> Result<Roots, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("statvfs.toml"), text).unwrap();
    Roots::captured(folder.path()).map_err(|why| why.rsplit(": ").next().unwrap_or_default().to_owned())
}

#[test]
fn captured_host_answers_from_its_file_and_from_nothing_else() {
    let roots = captured("['/']\ntotal_bytes = 100\nfree_bytes = 40\navailable_bytes = 30\ninodes_total = 9\ninodes_free = 5\n['/stale']\nerrno = 116\n").unwrap();
    let space = RawSpace { total_bytes: 100, free_bytes: 40, available_bytes: 30, inodes_total: 9, inodes_free: 5 };
    assert_eq!(roots.statvfs(Path::new("/")), Ok(space));
    assert_eq!(roots.statvfs(Path::new("/stale")), Err(116));
    assert_eq!(roots.statvfs(Path::new("/tmp")), Err(rustix::io::Errno::NOENT.raw_os_error()));
    assert!(captured("['/nfs']\nhangs = true\n").is_ok());
    let without = tempfile::tempdir().unwrap();
    assert!(Roots::captured(without.path()).unwrap().statvfs(Path::new("/")).is_err());
}

#[test]
fn captured_space_that_is_wrong_is_said() {
    let wrong = |text| captured(text).map(|_| ()).unwrap_err();
    assert_eq!(wrong("['/']\ntotal = 1\n"), "unknown key total");
    assert_eq!(wrong("['/']\ntotal_bytes = -1\n"), "total_bytes is not a number");
    assert_eq!(wrong("['/']\nerrno = 'x'\n"), "errno is not a number");
    assert!(captured("[").is_err());
}

#[test]
fn the_space_of_a_mount_below_a_foreign_root_is_that_of_the_joined_path() {
    let here = Roots::new(Path::new("/")).statvfs(Path::new("/proc")).unwrap();
    assert_eq!(Roots::new(Path::new("/proc/1/..")).statvfs(Path::new("/1")).unwrap(), here);
    let errno = |path: &str| Roots::new(Path::new("/proc")).statvfs(Path::new(path)).unwrap_err();
    assert_eq!(errno("/no_such_folder"), rustix::io::Errno::NOENT.raw_os_error());
    assert_eq!(errno(&"/x".repeat(PATH_MAX)), rustix::io::Errno::NAMETOOLONG.raw_os_error());
    assert_eq!(errno(&format!("/{}", "x".repeat(PATH_MAX - 7))), rustix::io::Errno::NAMETOOLONG.raw_os_error());
}

#[test]
fn folder_that_this_agent_does_not_know_is_none_of_those_it_knows() {
    assert_eq!(root(&handle(Roots::new(Path::new("/"))), Root(4)), Path::new(""));
}

#[test]
fn path_with_a_leading_slash_stays_below_the_root() {
    let object =
        crate::abi::RawHost_TO::from_value(handle(Roots::new(Path::new("/mnt"))), abi_stable::erased_types::TD_Opaque);
    let host = Host::new(Arc::new(object));
    assert_eq!(host.root_path("/etc/hostname"), Path::new("/mnt/etc/hostname"));
    assert_eq!(host.sys_path("class/net"), Path::new("/mnt/sys/class/net"));
}
