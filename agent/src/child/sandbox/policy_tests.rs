use plugin_api::host_side::fault::Origin;
use plugin_api::host_side::options::{OptionValue, Setting};

use super::*;

fn read(kind: ReadKind, target: &str) -> Read {
    Read { kind, target: target.to_owned() }
}

fn option(name: &str, value: OptionValue, written: bool) -> Setting {
    Setting { name: name.to_owned(), value, origin: written.then(Origin::default), secret: false }
}

fn policy(reads: &[Read], grants: &[Read], options: &[Setting], bundled: bool, root: &str) -> Policy {
    Policy::new(&Terms {
        collector: "x",
        reads,
        options: &Settings { list: options.to_vec() },
        grants,
        bundled,
        host_root: Path::new(root),
        memory: 1,
        descriptors: 2,
        required: false,
        without: Without::default(),
    })
}

fn everything() -> Vec<Read> {
    vec![
        read(ReadKind::Path, "/var/lib/ups"),
        read(ReadKind::Unix, "/run/ups.sock"),
        read(ReadKind::Tcp, "3493"),
        read(ReadKind::Device, "/dev/ups"),
        read(ReadKind::Netlink, "sock_diag"),
        read(ReadKind::Exec, "/usr/bin/ups"),
        read(ReadKind::Capability, "sys_rawio"),
    ]
}

fn holds_everything(policy: &Policy) -> bool {
    policy.sockets == [Path::new("/run/ups.sock")]
        && policy.ports == [3493]
        && policy.devices == [Path::new("/dev/ups")]
        && policy.netlink == [4]
        && policy.programs == [Path::new("/usr/bin/ups")]
        && policy.has_capability("sys_rawio")
}

#[test]
fn every_family_of_the_vocabulary_can_be_granted() {
    for (family, protocol) in NETLINK {
        let policy = policy(&[], &[read(ReadKind::Netlink, family)], &[], false, "/");
        assert_eq!(policy.netlink, [u32::from(protocol)], "{family}");
    }
}

#[test]
fn what_comes_with_the_agent_gets_what_it_asks() {
    let policy = policy(&everything(), &[], &[], true, "/");
    assert!(holds_everything(&policy), "{policy:?}");
    assert_eq!(policy.refused(), &[]);
}

#[test]
fn of_others_paths_are_granted_and_the_rest_is_refused() {
    let policy = policy(&everything(), &[], &[], false, "/");
    assert_eq!(policy.paths, [Path::new("/var/lib/ups")]);
    assert_eq!(policy.refused(), &everything()[1..]);
    assert_eq!((policy.ports.len(), policy.capabilities, policy.programs.len()), (0, 0, 0));
}

#[test]
fn operator_grants_what_the_author_asked_for() {
    let policy = policy(&everything(), &everything()[1..], &[], false, "/");
    assert!(holds_everything(&policy), "{policy:?}");
    assert_eq!(policy.refused(), &[]);
}

#[test]
fn operator_grants_what_the_author_did_not_ask_for() {
    assert!(holds_everything(&policy(&[], &everything(), &[], false, "/")));
}

#[test]
fn folder_that_is_granted_has_its_files_in_it() {
    let reads = [read(ReadKind::Exec, "/opt/ups/bin/query"), read(ReadKind::Exec, "/opt/upsilon")];
    let policy = policy(&reads, &[read(ReadKind::Exec, "/opt/ups")], &[], false, "/");
    assert_eq!(policy.refused(), &reads[1..]);
}

#[test]
fn address_that_the_operator_wrote_is_granted_and_a_default_is_not() {
    let reads = [read(ReadKind::Tcp, "${options.address}"), read(ReadKind::Unix, "${options.socket}")];
    let address = OptionValue::List(vec![OptionValue::Text("ups@host:3493".to_owned()), OptionValue::Integer(80)]);
    let options = [option("address", address, true), option("socket", OptionValue::Text("/run/x".to_owned()), false)];
    let policy = policy(&reads, &[], &options, false, "/");
    assert_eq!(policy.ports, [3493, 80]);
    assert_eq!(policy.refused(), &[read(ReadKind::Unix, "/run/x")]);
}

#[test]
fn port_that_the_operator_wrote_as_an_option_is_granted_wherever_it_is_asked_for() {
    let reads = [read(ReadKind::Tcp, "${options.port}"), read(ReadKind::Tcp, "3493")];
    let policy = policy(&reads, &[], &[option("port", OptionValue::Integer(3493), true)], false, "/");
    assert!(policy.ports.contains(&3493) && policy.refused().is_empty(), "{policy:?}");
}

#[test]
fn entry_is_granted_by_options_only_where_all_of_them_were_written() {
    let reads = [read(ReadKind::Device, "/dev/${options.kind}${options.number}")];
    let options =
        [option("kind", OptionValue::Text("ups".to_owned()), false), option("number", OptionValue::Integer(1), true)];
    assert_eq!(policy(&reads, &[], &options, false, "/").refused(), &[read(ReadKind::Device, "/dev/ups1")]);
}

#[test]
fn sys_is_entered_where_something_of_it_is_asked_for() {
    let asked = policy(&[read(ReadKind::Path, "/sys/class/net")], &[], &[], false, "/");
    assert!(asked.readable().any(|path| path == Path::new("/sys/devices")));
    let not = policy(&[read(ReadKind::Path, "/system")], &[], &[], false, "/");
    assert!(!not.readable().any(|path| path == Path::new("/sys/devices")));
}

#[test]
fn paths_lie_under_the_hosts_root_with_its_proc_and_sys_whole() {
    let policy = policy(&[read(ReadKind::Path, "/proc/stat")], &[], &[], false, "/host");
    for path in ["/host/proc/stat", "/host/proc", "/host/sys"] {
        assert!(policy.paths.iter().any(|granted| granted == Path::new(path)), "{path}");
    }
}

#[test]
fn policy_crosses_as_json() {
    let policy = policy(&everything(), &everything()[2..4], &[], false, "/host");
    let text = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
}
