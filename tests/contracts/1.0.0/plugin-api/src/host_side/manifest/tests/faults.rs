//! Each fault of a manifest, as the author sees it.

use super::super::super::fault::{Sources, render_all};
use super::{Manifest, NETWORK};

/// The first lines of all faults.
fn faults(text: &str) -> Vec<String> {
    let faults = Manifest::parse(text).expect_err("the manifest has a fault");
    let sources = Sources::of("plugin.toml", text);
    let mut faults: Vec<_> = faults.iter().collect();
    faults.sort_by_key(|fault| fault.origin);
    faults.iter().map(|fault| fault.render(&sources).lines().next().unwrap().to_owned()).collect()
}

const HEAD: &str = "contract = \"1.0\"\n[plugin]\nname = \"x\"\ndescription = \"an x\"\n";

/// Faults of a manifest whose fifth line is the first of this. A good metric stands at the end.
fn of(rest: &str) -> Vec<String> {
    faults(&format!("{HEAD}{rest}\n[metrics.good]\nkind = \"counter\"\nunit = \"1\"\ndescription = \"good\"\n"))
}

/// Checks that there is one fault, and that it is this.
#[track_caller]
fn one(rest: &str, expected: &str) {
    assert_eq!(of(rest), [format!("plugin.toml:{expected}")], "of:\n{rest}");
}

fn metric(keys: &str) -> String {
    format!("[metrics.a]\ndescription = \"a\"\n{keys}")
}

fn option(keys: &str) -> String {
    format!("[options.o]\ndescription = \"o\"\n{keys}")
}

#[test]
fn contract_is_judged_first() {
    for (first, expected) in [
        ("", "1:1: the first line does not say the contract"),
        ("[plugin]", "1:1: the first line does not say the contract"),
        ("# a comment\ncontract = \"1.0\"", "1:1: the first line does not say the contract"),
        ("contract = 1.0", "1:1: the first line does not say the contract"),
        ("contract = \"1\"", "1:13: `1` is no contract"),
        ("contract = \"01.0\"", "1:13: `01.0` is no contract"),
        ("contract = \"+1.0\"", "1:13: `+1.0` is no contract"),
        ("contract = \"2.0\"", "1:13: needs contract 2.0, and this agent speaks 1.0"),
        ("contract = \"0.9\"", "1:13: needs contract 0.9, and this agent speaks 1.0"),
    ] {
        let told = faults(&format!("{first}\n= nonsense"));
        assert_eq!(told, [format!("plugin.toml:{expected}")]);
    }
}

#[test]
fn newer_contract_is_needed_for_a_word_that_is_not_known() {
    let newer = |old: &str, new: &str| {
        faults(&NETWORK.replace("contract = \"1.0\"", "contract = \"1.2\"").replacen(old, new, 1))
    };
    let needs = ": needs contract 1.2, and this agent speaks 1.0";
    assert_eq!(
        newer("\"u64\"", "\"u128\""),
        [format!("plugin.toml:25:8: unknown type of metric `connections.tcp.established`, `u128`{needs}")]
    );
    assert_eq!(
        newer("\"counter\"", "\"histogram\"")[0],
        format!("plugin.toml:37:8: unknown kind of metric `retransmits`, `histogram`{needs}")
    );
    assert_eq!(newer("netlink:", "bpf:"), [format!("plugin.toml:12:41: unknown word of reads `bpf`{needs}")]);
    assert_eq!(
        newer("\"collector\"", "\"filter\""),
        [format!("plugin.toml:8:8: unknown kind of plugin `filter`{needs}")]
    );
    assert_eq!(
        newer("netlink:sock_diag", "netlink:new"),
        [format!("plugin.toml:12:41: unknown netlink family `new`{needs}")]
    );
    assert_eq!(
        newer("\"[string]\"", "\"regex\"")[0],
        format!("plugin.toml:15:8: unknown type `regex` of option `interfaces`{needs}")
    );
}

#[test]
fn every_fault_is_told_at_once_with_what_is_allowed_and_was_meant() {
    let text = format!(
        "{HEAD}licens = \"MIT\"\n[metrics.used]\ntype = \"u46\"\nunit = \"By\"\ndescription = \"used\"\nkind = \"conter\"\n"
    );
    let faults = Manifest::parse(&text).unwrap_err();
    let expected = "\
plugin.toml:5:1: unknown key `licens` in [plugin]
  5 | licens = \"MIT\"
    | ^^^^^^
    | allowed: name, description, version, licence, kind, interval, timeout, budget, reads
    | did you mean `licence`?
plugin.toml:7:8: unknown type of metric `used`, `u46`
  7 | type = \"u46\"
    |        ^^^^^
    | allowed: f64, u64, i64, bool, text
    | did you mean `u64`?
plugin.toml:10:8: unknown kind of metric `used`, `conter`
  10 | kind = \"conter\"
     |        ^^^^^^^^
     | allowed: gauge, counter, state, info, time
     | did you mean `counter`?
";
    assert_eq!(render_all(&faults, &Sources::of("plugin.toml", &text)), expected);
}

#[test]
fn syntax_faults_come_alone() {
    let told = of("licens = 1\ninterval = \ninterval = 2");
    let expected =
        ["plugin.toml:6:12: string values must be quoted, expected literal string", "plugin.toml:7:1: duplicate key"];
    assert_eq!(told, expected);
}

#[test]
fn faults_of_the_plugin_table() {
    assert_eq!(
        faults("contract = \"1.0\"\n[metrics.a]\nunit = \"1\"\ndescription = \"a\"")[0],
        "plugin.toml:1:1: the manifest has no `[plugin]`"
    );
    assert_eq!(faults("contract = \"1.0\"\nplugin = 1")[0], "plugin.toml:2:10: `plugin` of the manifest is an integer");
    let named = |name: &str| faults(&NETWORK.replacen("\"network\"", &format!("\"{name}\""), 1));
    assert_eq!(named("agent"), ["plugin.toml:4:8: `agent` is the name of the agent's own collector"]);
    assert_eq!(named("host"), ["plugin.toml:4:8: `host` is a key of the snapshot itself"]);
    assert_eq!(named("_net"), ["plugin.toml:4:8: `_net` is not a name"]);
    assert_eq!(named("a-b"), ["plugin.toml:4:8: `a-b` is not a name"]);
    assert_eq!(named(""), ["plugin.toml:4:8: `name` of [plugin] is empty"]);
    assert_eq!(faults(&NETWORK.replacen("name = \"network\"\n", "", 1)), ["plugin.toml:3:2: [plugin] has no `name`"]);
    one("kind = \"sink\"", "5:8: kind `sink` is reserved and not built yet");
    one("kind = \"filter\"", "5:8: unknown kind of plugin `filter`");
    one("interval = \"5\"", "5:12: `5` is no interval");
    one("interval = \"9ms\"", "5:12: `9ms` is no interval");
    one("timeout = \"0s\"", "5:11: `0s` is no timeout");
    one("budget = \"50ms\"", "5:10: `budget` is a string");
    one("budget = { cpu = \"2d\" }", "5:18: `budget.cpu` is above its greatest value");
    one("budget = { cpu = 50 }", "5:18: `budget.cpu` is an integer");
    one("budget = { memory = \"1KiB\" }", "5:21: `budget.memory` is below its least value");
    one("budget = { descriptors = 15 }", "5:26: `budget.descriptors` is below its least value");
    one("budget = { rows = 1000001 }", "5:19: `budget.rows` is above its greatest value");
    one("budget = { cells = 0 }", "5:20: `budget.cells` is below its least value");
    one("budget = { text = \"1GiB\" }", "5:19: `budget.text` is above its greatest value");
    one("budget = { cpus = \"1ms\" }", "5:12: unknown key `budget.cpus`");
    one("version = 1", "5:11: `version` of [plugin] is an integer");
}

#[test]
fn faults_of_reads() {
    one("reads = \"/proc\"", "5:9: `reads` of [plugin] is a string");
    one("reads = [1]", "5:10: `reads` of [plugin] is an integer");
    one("reads = [\"http://x\"]", "5:10: unknown word of reads `http`");
    one("reads = [\"proc/stat\"]", "5:10: unknown word of reads `proc/stat`");
    one("reads = [\"/proc/../etc\"]", "5:10: `/proc/../etc` cannot be read");
    one("reads = [\"unix:x\"]", "5:10: `unix:x` cannot be read");
    one("reads = [\"exec:x\"]", "5:10: `exec:x` cannot be read");
    one("reads = [\"device:/etc\"]", "5:10: `device:/etc` cannot be read");
    one("reads = [\"tcp:0\"]", "5:10: `tcp:0` cannot be read");
    one("reads = [\"tcp:03\"]", "5:10: `tcp:03` cannot be read");
    one("reads = [\"netlink:\"]", "5:10: unknown netlink family ``");
    one("reads = [\"netlink:inet\"]", "5:10: unknown netlink family `inet`");
    one("reads = [\"cap:CAP_BPF\"]", "5:10: unknown capability `CAP_BPF`");
    one("reads = [\"/a${b}\"]", "5:10: `/a${b}` holds a placeholder that names no option");
    one("reads = [\"${options.b}\"]", "5:10: `${options.b}` names no option `b`");
    one(
        &format!("reads = [\"${{options.o}}\"]\n{}", option("type = \"bool\"\ndefault = true")),
        "5:10: `${options.o}` names option `o`, which is no path, string, integer or enum",
    );
}

#[test]
fn faults_of_an_option() {
    one("[options.\"O\"]\ntype = \"bool\"\noptional = true\ndescription = \"o\"", "5:10: `O` is no name of an option");
    one(&option("optional = true"), "5:10: option `o` has no `type`");
    one(&option("type = \"int\"\noptional = true"), "7:8: unknown type `int` of option `o`");
    one(&option("type = \"[int]\"\noptional = true"), "7:8: unknown type `[int]` of option `o`");
    one(&option("type = \"bool\""), "5:10: option `o` does not say what holds where it is not given");
    one(&option("type = \"bool\"\nrequired = false"), "5:10: option `o` does not say what holds where it is not given");
    one(
        &option("type = \"bool\"\ndefault = true\nrequired = true"),
        "8:1: option `o` says more than once what holds where it is not given",
    );
    one(&option("type = \"bool\"\noptional = true\nhelp = \"x\""), "9:1: unknown key `help` in option `o`");
    one("[options.o]\ntype = \"bool\"\noptional = true", "5:10: option `o` has no `description`");
    one(&option("type = \"bool\"\noptional = true\nmin = 1"), "9:1: `min` does not go with type `bool`");
    one(&option("type = \"integer\"\noptional = true\nmin = \"1\""), "9:7: `o` is a string");
    one(
        &option("type = \"integer\"\noptional = true\nmin = 2\nmax = 1"),
        "5:10: `min` of option `o` is above its `max`",
    );
    one(&option("type = \"integer\"\ndefault = 3\nmax = 2"), "8:11: `o` is above its greatest value");
    one(&option("type = \"duration\"\ndefault = \"3\""), "8:11: `3` is no duration, in `o`");
    one(&option("type = \"size\"\ndefault = \"3K\""), "8:11: `3K` is no size, in `o`");
    one(&option("type = \"bool\"\noptional = true\nwords = [\"x\"]"), "9:1: `words` does not go with type `bool`");
    one(&option("type = \"size\"\noptional = true\nwords = []"), "9:9: `words` has no words");
    one(
        &option("type = \"size\"\noptional = true\nwords = [\"a\", \"a\"]"),
        "9:15: `a` in `words` is empty or comes twice",
    );
    one(&option("type = \"enum\"\noptional = true"), "5:10: option `o` has no `values`");
    one(
        &option("type = \"string\"\noptional = true\nvalues = [\"x\"]"),
        "9:1: `values` does not go with type `string`",
    );
    one(
        &option("type = \"enum\"\nvalues = [\"gzip\", \"none\"]\ndefault = \"gzp\""),
        "9:11: `gzp` is none of the words of `o`",
    );
    one(&option("type = \"secret\"\ndefault = \"x\""), "8:1: secret `o` has a default");
    one(&option("type = \"[string]\"\ndefault = [\"a\", 1]"), "8:17: `o` is an integer");
    one(&option("type = \"{string}\"\ndefault = { a = 1 }"), "8:17: `a` in `o` is an integer");
    one(&option("type = \"float\"\ndefault = nan"), "8:11: `o` is a float");
    one("options.o = 1", "5:1: unknown key `options` in [plugin]");
    let bool = |name: &str| format!("[options.{name}]\ntype = \"bool\"\noptional = true\ndescription = \"o\"\n");
    one(&format!("{}{}", bool("a"), bool("\"a.b\"")), "9:10: option `a.b` collides with option `a`");
    let secret = "[options.o]\ntype = \"secret\"\noptional = true\ndescription = \"o\"\n";
    one(&format!("{secret}{}", bool("o_file")), "9:10: option `o_file` collides with the file of the secret `o`");
}

#[test]
fn faults_of_a_metric() {
    one("[metrics]\nx = 1", "6:5: `metrics.x` is an integer");
    one(&metric("type = \"u64\""), "5:10: metric `a` has no `unit`");
    one(&metric("unit = \"\""), "7:8: `unit` of metric `a` is empty");
    one(&metric("unit = \"a b\""), "7:8: `a b` is no unit of metric `a`");
    one("[metrics.a]\nunit = \"1\"", "5:10: metric `a` has no `description`");
    one(&metric("unit = \"1\"\ndescripton = \"x\""), "8:1: unknown key `descripton` in metric `a`");
    one("[metrics.\"a..b\"]\nunit = \"1\"\ndescription = \"a\"", "5:10: `a..b` is no name of a metric");
    one("[metrics.A]\nunit = \"1\"\ndescription = \"a\"", "5:10: `A` is no name of a metric");
    one(
        &format!("[metrics.{}]\nunit = \"1\"\ndescription = \"a\"", "a".repeat(65)),
        &format!("5:10: `{}` is no name of a metric", "a".repeat(65)),
    );
    one(&metric("type = \"bool\"\nunit = \"1\""), "8:1: `unit` is for numbers only");
    one(&metric("kind = \"state\"\nvalues = [\"x\"]\nunit = \"1\""), "9:1: `unit` is for numbers only");
    one(
        &metric("kind = \"counter\"\nunit = \"1\"\ntype = \"f64\""),
        "9:8: type `f64` does not go with the kind of metric `a`",
    );
    one(&metric("kind = \"info\"\ntype = \"u64\""), "8:8: type `u64` does not go with the kind of metric `a`");
    one(&metric("kind = \"counter\"\nunit = \"1\"\nwidth = 48"), "9:9: unknown width of metric `a`");
    one(&metric("kind = \"counter\"\nunit = \"1\"\nwidth = 16"), "9:9: `width` of metric `a` is out of range");
    one(&metric("unit = \"1\"\nwidth = 32"), "8:1: `width` is for counters only");
    one(&metric("unit = \"1\"\nmay_decrease = true"), "8:1: `may_decrease` is for counters only");
    one(&metric("unit = \"1\"\nrate = \"b\""), "8:1: `rate` is for counters only");
    one(&metric("unit = \"1\"\nvalues = [\"x\"]"), "8:1: `values` is for states only");
    one(&metric("kind = \"state\""), "5:10: metric `a` has no `values`");
    one(&metric("kind = \"state\"\nvalues = []"), "8:10: a state has 0 words");
    one(&metric("kind = \"state\"\nvalues = [\"x\", \"x\"]"), "8:16: `x` is no word of a state or comes twice");
    one(&metric("unit = \"1\"\njson = 1"), "8:8: `json` of metric `a` is an integer");
    one(&metric("type = \"text\"\nlabel = true"), "8:9: only a text column can be a label");
    one(&metric("kind = \"counter\"\nunit = \"1\"\nrate = \"B\""), "9:8: `B` is no name of a rate");
    one(&metric("kind = \"counter\"\nunit = \"1\"\nrate = \"good\""), "10:10: metric `good` comes twice");
    one(
        &metric("kind = \"counter\"\nunit = \"1\"\nrate = \"good.x\""),
        "9:8: metric `good.x` lies below metric `good`, which is a value",
    );
    one(
        &format!("{}\n[metrics.\"a.b\"]\nunit = \"1\"\ndescription = \"b\"", metric("unit = \"1\"")),
        "8:10: metric `a.b` lies below metric `a`, which is a value",
    );
}

#[test]
fn faults_of_when() {
    one(&metric("unit = \"1\"\nwhen = \"x\""), "8:8: `when` names no option `x`");
    one(&metric("unit = \"1\"\nwhen = 1"), "8:8: `when` of metric `a` is an integer");
    let when = format!("{}\n", metric("unit = \"1\"\nwhen = [\"!o\"]"));
    one(
        &format!("{when}{}", option("type = \"string\"\ndefault = \"\"")),
        "8:9: `when` names option `o`, which is no bool",
    );
    one(
        &format!("{when}{}", option("type = \"bool\"\noptional = true")),
        "8:9: `when` names option `o`, which may have no value",
    );
}

#[test]
fn faults_of_a_derivation() {
    let derive = |keys: &str| metric(&format!("unit = \"1\"\nderive = {keys}"));
    one(&derive("1"), "8:10: `derive` of metric `a` is an integer");
    one(&derive("{ scale = 1 }"), "8:1: `derive` of `a` has no `of`");
    one(&derive("{ of = \"good\" }"), "8:17: `of` of `derive` of `a` is a string");
    let many = format!("{{ of = [{}] }}", "\"good\", ".repeat(65));
    assert!(of(&derive(&many)).contains(&"plugin.toml:8:17: `of` of `derive` of `a` names 65 counters".to_owned()));
    one(&derive("{ of = [] }"), "8:17: `of` of `derive` of `a` names 0 counters");
    one(&derive("{ of = [\"good\"], over = [] }"), "8:34: `over` of `derive` of `a` names 0 counters");
    one(&derive("{ of = [\"good\"], scale = 0 }"), "8:35: `scale` of `derive` of `a` is not above 0");
    one(&derive("{ of = [\"good\"], scale = -1 }"), "8:35: `scale` of `derive` of `a` is not above 0");
    one(&derive("{ of = [\"good\"], scale = inf }"), "8:35: `scale` of `derive` of `a` is a float");
    one(&derive("{ of = [\"good\"], by = 1 }"), "8:27: unknown key `by` in `derive` of `a`");
    one(
        &derive("{ of = [\"god\"] }"),
        "8:18: `a` is derived from `god`, which is not a counter of this manifest's metrics",
    );
    one(&derive("{ of = [\"good\", \"good\"] }"), "8:26: `a` is derived from `good` twice");
    one(&derive("{ of = [\"a\"] }"), "8:18: `a` is derived from `a`, which is no reported counter");
    one(
        &format!("{}\ntype = \"u64\"", derive("{ of = [\"good\"] }")),
        "8:1: `a` is derived and so a gauge of type f64",
    );
    let table = "[tables.t]\nkey = \"k\"\ndescription = \"t\"\n[tables.t.columns.c]\nunit = \"1\"\ndescription = \"c\"\nderive = { of = [\"good\"] }";
    one(table, "11:18: `c` is derived from `good`, which is not a counter column of table `t`");
}

#[test]
fn faults_of_a_table() {
    let column = "[tables.t.columns.c]\nunit = \"1\"\ndescription = \"c\"\n";
    let table = |keys: &str| format!("[tables.t]\ndescription = \"t\"\n{keys}\n{column}");
    one(&table(""), "5:9: table `t` has no `key`");
    one(&table("key = []"), "7:7: table `t` has 0 keys");
    one(&table("key = \"K\""), "7:7: `K` is no name of a key");
    one(&table("key = \"c\""), "7:7: key `c` of table `t` is a column too");
    one(&table("key = [\"k\", \"k\"]"), "7:13: key `k` of table `t` comes twice");
    one(&table("key = \"k\"\nmax_rows = 0"), "8:12: `max_rows` of table `t` is out of range");
    one(&table("key = \"k\"\nrows = 1"), "8:1: unknown key `rows` in table `t`");
    one(&table("key = \"k\"\nwhen = \"x\""), "8:8: `when` names no option `x`");
    one("[tables.t]\nkey = \"k\"\ndescription = \"t\"", "5:9: table `t` has no columns");
    one(
        &table("key = \"k\"").replace("tables.t]", "tables.T]").replace("tables.t.", "tables.T."),
        "5:9: `T` is no name of a table",
    );
    one(&table("key = \"k\"").replace("columns.c", "columns.\"c.d\""), "8:19: `c.d` is no name of a column");
    one(
        &table("key = \"k\"").replace("tables.t", "tables.good"),
        "5:9: table `good` and metric `good` are at one place of the JSON",
    );
    one("[tables.t]\nkey = \"k\"\ncolumns = 1\ndescription = \"t\"", "7:11: `columns` of table `t` is an integer");
}

#[test]
fn scalar_below_the_name_of_a_table_is_a_fault() {
    let text = NETWORK.replace("connections.udp.count", "interfaces.count");
    assert_eq!(
        faults(&text),
        ["plugin.toml:53:9: table `interfaces` and metric `interfaces.count` are at one place of the JSON"]
    );
}

#[test]
fn manifest_has_something_to_collect_and_a_bound() {
    assert_eq!(faults(HEAD), ["plugin.toml:1:1: the manifest has no metrics and no tables"]);
    let long = format!("{HEAD}# {}", "x".repeat(super::super::MAX_MANIFEST_BYTES));
    assert!(faults(&long)[0].contains("bytes, more than 1048576"));
    let many: String = (0..=super::super::MAX_TABLES)
        .map(|at| format!("[tables.t{at}]\nkey = \"k\"\ndescription = \"t\"\n[tables.t{at}.columns.c]\nunit = \"1\"\ndescription = \"c\"\n"))
        .collect();
    assert!(of(&many)[0].ends_with("more than 64 tables"));
}
