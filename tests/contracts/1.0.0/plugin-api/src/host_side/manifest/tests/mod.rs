//! Every word of the grammar, and every fault with its line.

mod faults;
mod grammar;

use std::time::Duration;

use proptest::prelude::*;

use super::super::options::{OptionType, OptionValue, Scalar};
use super::*;

pub(super) const NETWORK: &str = include_str!("network.toml");

fn manifest(text: &str) -> Manifest {
    Manifest::parse(text).unwrap_or_else(|faults| {
        panic!("{}", crate::host_side::fault::render_all(&faults, &crate::host_side::fault::Sources::of("x", text)))
    })
}

/// A manifest with this after its `[plugin]`.
fn with(rest: &str) -> Manifest {
    manifest(&format!("contract = \"1.0\"\n[plugin]\nname = \"x\"\ndescription = \"an x\"\n{rest}"))
}

#[test]
fn plugin_says_who_it_is_and_how_it_likes_to_run() {
    let plugin = manifest(NETWORK).plugin;
    assert_eq!(plugin.name, "network");
    assert_eq!(plugin.description, "traffic of each network interface, and the states of sockets");
    assert_eq!((plugin.version.as_deref(), plugin.licence.as_deref()), (Some("0.1.0"), Some("MIT OR Apache-2.0")));
    assert_eq!(plugin.interval, Some(Duration::from_secs(5)));
    assert_eq!(plugin.timeout, Some(Duration::from_millis(500)));
    let budget = Budget {
        cpu: Some(Duration::from_micros(250)),
        memory: Some(8 << 20),
        descriptors: Some(32),
        rows: Some(4096),
        cells: Some(40_000),
        text: Some(256 << 10),
    };
    assert_eq!(plugin.budget, budget);
    assert_eq!(plugin.reads[2], Read { kind: ReadKind::Netlink, target: "sock_diag".into() });
}

#[test]
fn entries_keep_their_order_and_each_rate_follows_its_counter() {
    let manifest = manifest(NETWORK);
    let names: Vec<&str> = manifest.metrics.iter().map(|metric| metric.name.as_str()).collect();
    let expected = [
        "connections.tcp.established",
        "connections.udp.count",
        "retransmits",
        "segments_sent",
        "segments_sent_per_sec",
        "retransmit_percent",
    ];
    assert_eq!(names, expected);
    let table = &manifest.tables[0];
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let expected = [
        "bytes_recv",
        "bytes_recv_per_sec",
        "state",
        "driver",
        "up_since",
        "carrier",
        "bytes_sent",
        "bytes_sent_per_sec",
    ];
    assert_eq!(columns, expected);
    assert_eq!((table.keys.as_slice(), table.max_rows), (&["interface".to_owned()][..], 4096));
}

#[test]
fn rate_has_the_unit_text_and_condition_of_its_counter() {
    let columns = &manifest(NETWORK).tables[0].columns;
    let rate = &columns[7];
    assert_eq!(rate.source, Source::Derived(Derivation { of: vec![6], over: None, scale: 1.0 }));
    assert_eq!((rate.unit.as_deref(), rate.description.as_str()), (Some("By/s"), "bytes sent, per second"));
    assert_eq!((rate.value, rate.kind, rate.json), (ValueType::F64, Kind::Gauge, true));
    let on = |is| Condition { option: "connections".into(), is };
    assert_eq!(rate.when, [on(true), on(false)]);
}

#[test]
fn derivation_is_resolved_to_the_places_of_its_counters() {
    let metrics = manifest(NETWORK).metrics;
    let expected = Derivation { of: vec![2], over: Some(vec![3]), scale: 100.0 };
    assert_eq!(metrics[5].source, Source::Derived(expected));
    assert!(!metrics[2].json && metrics[5].json);
}

#[test]
fn every_kind_and_type_is_read_and_a_kind_implies_its_type() {
    let columns = &manifest(NETWORK).tables[0].columns;
    let column = |at: usize| (columns[at].value, columns[at].kind, columns[at].unit.as_deref());
    let counter = |width, may_decrease| Kind::Counter { width, may_decrease };
    assert_eq!(column(0), (ValueType::U64, counter(Width::W64, false), Some("By")));
    assert_eq!(column(2), (ValueType::U64, Kind::State, None));
    assert_eq!(column(3), (ValueType::Text, Kind::Info, None));
    assert_eq!(column(4), (ValueType::U64, Kind::Time, None));
    assert_eq!(column(5), (ValueType::Bool, Kind::Gauge, None));
    assert_eq!(column(6), (ValueType::U64, counter(Width::W32, true), Some("By")));
    assert_eq!(columns[2].values, ["down", "up", "unknown"]);
    assert!(columns[3].label && !columns[2].label);
    let more = with(
        "[metrics.a]\nunit = \"1\"\ndescription = \"a\"\n[metrics.b]\ntype = \"i64\"\nkind = \"gauge\"\nunit = \"Cel\"\ndescription = \"b\"\n\
         [metrics.c]\ntype = \"text\"\ndescription = \"c\"\n[metrics.d]\ntype = \"f64\"\nunit = \"s\"\ndescription = \"d\"\n",
    );
    let types: Vec<ValueType> = more.metrics.iter().map(|metric| metric.value).collect();
    assert_eq!(types, [ValueType::F64, ValueType::I64, ValueType::Text, ValueType::F64]);
}

#[test]
fn table_may_have_keys_that_nest_and_has_a_bound_of_its_own_accord() {
    let table = &with(
        "[tables.processes]\nkey = [\"pid\", \"name\"]\ndescription = \"processes\"\n\
         [tables.processes.columns.rss]\ntype = \"u64\"\nunit = \"By\"\ndescription = \"resident memory\"\n",
    )
    .tables[0];
    assert_eq!(table.keys, ["pid", "name"]);
    assert_eq!(table.max_rows, DEFAULT_MAX_ROWS);
}

#[test]
fn every_word_of_reads_is_known_and_options_are_filled_in() {
    let manifest = with(
        "reads = [\"/proc/stat\", \"${options.path}/log\", \"unix:/run/x.sock\", \"tcp:3493\", \"tcp:${options.port}\", \
         \"device:/dev/kvm\", \"netlink:sock_diag\", \"exec:/usr/bin/x\", \"cap:perfmon\"]\n\
         [options.path]\ntype = \"[path]\"\ndefault = [\"/a\", \"/b\"]\ndescription = \"paths\"\n\
         [options.port]\ntype = \"integer\"\noptional = true\ndescription = \"port\"\n\
         [metrics.a]\nunit = \"1\"\ndescription = \"a\"\n",
    );
    let kinds: Vec<ReadKind> = manifest.plugin.reads.iter().map(|read| read.kind).collect();
    use ReadKind::*;
    assert_eq!(kinds, [Path, Path, Unix, Tcp, Tcp, Device, Netlink, Exec, Capability]);
    let mut settings = Settings::default();
    let path = OptionValue::List(vec![OptionValue::Text("/a".into()), OptionValue::Text("/b".into())]);
    let setting = crate::host_side::options::Setting { name: "path".into(), value: path, origin: None, secret: false };
    settings.list.push(setting);
    assert_eq!(manifest.plugin.reads[1].targets(&settings), ["/a/log", "/b/log"]);
    assert_eq!(manifest.plugin.reads[4].targets(&settings), Vec::<String>::new());
    assert_eq!(manifest.plugin.reads[3].targets(&settings), ["3493"]);
}

/// Options with these values; those of `defaults` were not written in any config.
fn settings(written: &[(&str, &str)], defaults: &[(&str, &str)]) -> Settings {
    let setting = |(name, text): &(&str, &str), origin| {
        let value = OptionValue::Text((*text).into());
        crate::host_side::options::Setting { name: (*name).into(), value, origin, secret: false }
    };
    let written = written.iter().map(|pair| setting(pair, Some(Origin::default())));
    Settings { list: written.chain(defaults.iter().map(|pair| setting(pair, None))).collect() }
}

#[test]
fn option_gives_a_port_as_a_number_an_address_or_a_url_and_what_it_spoils_is_left_out() {
    let of = |target: &str, value: &str| {
        let read = Read { kind: ReadKind::Tcp, target: target.into() };
        read.targets(&settings(&[("o", value)], &[])).join(" ")
    };
    for (value, port) in [
        ("3493", "3493"),
        ("ups.example:3493", "3493"),
        ("10.0.0.1:1", "1"),
        ("[::1]:3493", "3493"),
        ("http://x/status:1", "80"),
        ("https://user:1@x?a=:2", "443"),
        ("http://user:1@x:8080/", "8080"),
        ("http://[::1]:8080", "8080"),
        ("http://[::1]", "80"),
        ("mqtt://x:1883", "1883"),
        ("mqtt://x", ""),
        ("::1", ""),
        ("x", ""),
        ("x:0", ""),
        ("x:65536", ""),
        ("", ""),
    ] {
        assert_eq!(of("${options.o}", value), port, "of {value}");
    }
    assert_eq!(of("localhost:${options.o}", "7"), "7");
    let path = Read { kind: ReadKind::Path, target: "${options.o}/x".into() };
    assert_eq!(path.targets(&settings(&[("o", "/a")], &[])), ["/a/x"]);
    assert_eq!(path.targets(&settings(&[("o", "a")], &[])), ["a/x"]);
    let device = Read { kind: ReadKind::Device, target: "${options.o}".into() };
    assert_eq!(device.targets(&settings(&[("o", "/dev/kvm")], &[])), ["/dev/kvm"]);
    assert_eq!(device.targets(&settings(&[("o", "/dev/../etc")], &[])), Vec::<String>::new());
    assert_eq!(path.with(&settings(&[("o", "/a")], &[])), [Read { kind: ReadKind::Path, target: "/a/x".into() }]);
    assert_eq!(path.options().collect::<Vec<_>>(), ["o"]);
}

#[test]
fn entry_outside_of_a_manifest_is_read_alike_and_holds_no_placeholder() {
    for text in ["/proc/stat", "unix:/run/x", "tcp:3493", "device:/dev/kvm", "netlink:route", "exec:/bin/x", "cap:bpf"]
    {
        assert_eq!(Read::parse(text).map(|read| read.to_string()), Ok(text.to_owned()));
    }
    let told = |text: &str| {
        let fault = Read::parse(text).unwrap_err();
        (fault.message, fault.allowed.unwrap_or_default(), fault.meant.unwrap_or_default())
    };
    let words = "/path, unix, tcp, device, netlink, exec, cap";
    assert_eq!(told("tpc:1"), ("unknown word of grant `tpc`".into(), words.into(), "tcp".into()));
    assert_eq!(told("proc/stat").0, "unknown word of grant `proc/stat`");
    assert_eq!(
        told("tcp:03"),
        ("`tcp:03` cannot be granted".into(), "tcp:PORT, from 1 to 65535".into(), String::new())
    );
    assert_eq!(told("/a${options.b}").0, "`/a${options.b}` holds a placeholder, which stands in manifests only");
    assert_eq!(told("cap:perfom").2, "perfmon");
    assert_eq!(told("netlink:inet_diag").0, "unknown netlink family `inet_diag`");
}

#[test]
fn grant_covers_itself_and_what_lies_below() {
    let covers = |one: &str, other: &str| Read::parse(one).unwrap().covers(&Read::parse(other).unwrap());
    assert!(covers("tcp:1", "tcp:1") && covers("/a", "/a/b") && covers("/", "/a") && covers("/a/", "/a"));
    assert!(covers("device:/dev/dri", "device:/dev/dri/card0"));
    assert!(!covers("tcp:1", "tcp:10") && !covers("/a", "/ab") && !covers("/a/b", "/a"));
    assert!(!covers("/dev/kvm", "device:/dev/kvm") && !covers("unix:/a", "exec:/a"));
}

#[test]
fn operator_is_asked_for_what_is_no_path_and_named_nowhere_unless_it_comes_with_the_agent() {
    let reads =
        ["/proc", "netlink:route", "exec:/bin/x", "device:/dev/dri/card0"].map(|text| Read::parse(text).unwrap());
    let port = Read { kind: ReadKind::Tcp, target: "${options.port}".into() };
    let reads: Vec<Read> = reads.into_iter().chain([port.clone(), port]).collect();
    let asked = |options: &Settings, grants: &[&str], bundled| {
        let grants: Vec<Read> = grants.iter().map(|text| Read::parse(text).unwrap()).collect();
        ungranted(&reads, options, &grants, bundled).iter().map(Read::to_string).collect::<Vec<_>>()
    };
    let by_default = settings(&[], &[("port", "3493")]);
    let all = ["netlink:route", "exec:/bin/x", "device:/dev/dri/card0", "tcp:3493"];
    assert_eq!(asked(&by_default, &[], false), all);
    assert_eq!(asked(&by_default, &[], true), Vec::<String>::new());
    assert_eq!(asked(&by_default, &["device:/dev/dri", "exec:/bin/x", "tcp:1"], false), ["netlink:route", "tcp:3493"]);
    assert_eq!(asked(&settings(&[("port", "3493")], &[]), &[], false), all[..3], "the operator wrote the port");
    assert_eq!(asked(&Settings::default(), &[], false), all[..3], "there is no port");
}

#[test]
fn kernel_names_stand_at_their_numbers() {
    assert_eq!(CAPABILITIES.iter().position(|name| *name == "perfmon"), Some(38));
    assert_eq!(CAPABILITIES.iter().position(|name| *name == "checkpoint_restore"), Some(40));
    assert_eq!(CAPABILITIES.iter().position(|name| *name == "net_admin"), Some(12));
    let family = |name| NETLINK.iter().find(|(known, _)| *known == name).unwrap().1;
    assert_eq!((family("sock_diag"), family("generic"), family("smc")), (4, 16, 22));
}

#[test]
fn budget_says_what_it_says_and_the_other_the_rest() {
    let one =
        with("budget = { cpu = \"1ms\", rows = 7 }\n[metrics.a]\nunit = \"1\"\ndescription = \"a\"\n").plugin.budget;
    assert_eq!(one, Budget { cpu: Some(Duration::from_millis(1)), rows: Some(7), ..Budget::default() });
    let other = Budget { rows: Some(8), cells: Some(9), ..Budget::default() };
    assert_eq!(one.or(other), Budget { cells: Some(9), ..one });
    assert_eq!(with("[metrics.a]\nunit = \"1\"\ndescription = \"a\"\n").plugin.budget, Budget::default());
}

#[test]
fn condition_holds_by_the_value_of_its_option() {
    let mut settings = Settings::default();
    let on = Condition { option: "x".into(), is: true };
    let off = Condition { option: "x".into(), is: false };
    assert!(!on.holds(&settings) && off.holds(&settings));
    let value = OptionValue::Bool(true);
    settings.list.push(crate::host_side::options::Setting { name: "x".into(), value, origin: None, secret: false });
    assert!(on.holds(&settings) && !off.holds(&settings));
}

#[test]
fn options_are_read_as_declared() {
    let manifest = manifest(NETWORK);
    assert_eq!(manifest.options[0].option_type, OptionType::List(Scalar::String));
    assert_eq!(manifest.options[1].presence, Presence::Default(OptionValue::Bool(true)));
    assert!(!manifest.needs_options());
    let needy = with(
        "[options.url]\ntype = \"string\"\nrequired = true\ndescription = \"u\"\n[metrics.a]\nunit = \"1\"\ndescription = \"a\"\n",
    );
    assert!(needy.needs_options());
}

#[test]
fn newer_minor_contract_may_have_keys_that_are_not_known() {
    let text = NETWORK
        .replace("contract = \"1.0\"", "contract = \"1.2\" # later")
        .replace("kind = \"collector\"", "kind = \"collector\"\nhomepage = \"x\"")
        .replace("rows = 4096,", "rows = 4096, threads = 1,")
        .replace("[metrics.retransmits]", "[metrics.retransmits]\nprometheus = \"x_total\"")
        .replace("default = true", "default = true\nadvanced = true")
        + "\n[exports]\na = 1\n";
    let newer = manifest(&text);
    assert_eq!(newer.contract, Contract { major: 1, minor: 2 });
    assert_eq!((newer.metrics, newer.plugin), (manifest(NETWORK).metrics, manifest(NETWORK).plugin));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for text in [text, String::from_utf8_lossy(&bytes).into_owned()] {
            for text in [format!("contract = \"1.0\"\n{text}"), text] {
                if let Err(faults) = Manifest::parse(&text) {
                    let sources = crate::host_side::fault::Sources::of("x", text);
                    prop_assert!(!crate::host_side::fault::render_all(&faults, &sources).is_empty());
                }
            }
        }
    }

    #[test]
    fn no_spoilt_manifest_makes_the_parser_panic(cut in 0..NETWORK.len(), length in 0..60usize, put in "[a-z0-9\\[\\]{}=\".,\n ]{0,12}") {
        let end = (cut + length).min(NETWORK.len());
        if NETWORK.is_char_boundary(cut) && NETWORK.is_char_boundary(end) {
            let text = format!("{}{put}{}", &NETWORK[..cut], &NETWORK[end..]);
            if let Err(faults) = Manifest::parse(&text) {
                prop_assert!(!faults.is_empty());
            }
        }
    }
}
