//! Every type of option, given rightly and wrongly.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::super::fault::{Origin, Sources, render_all};
use super::super::tree;
use super::*;

const SPECS: &str = r#"
[options.name]
type = "string"
default = "x"
description = "a name"
[options.count]
type = "integer"
default = 3
min = 1
max = 9
description = "a count"
[options.share]
type = "float"
optional = true
min = 0
description = "a share"
[options.per_core]
type = "bool"
default = true
description = "each core"
[options.every]
type = "duration"
default = "1m30s"
min = "1s"
max = "1d"
words = ["host"]
description = "how often"
[options."rotate.size"]
type = "size"
default = "100MiB"
description = "size of a file"
[options."rotate.every"]
type = "duration"
optional = true
description = "age of a file"
[options.path]
type = "path"
optional = true
description = "a path"
[options."auth.token"]
type = "secret"
optional = true
description = "a token"
[options.compress]
type = "enum"
values = ["gzip", "none"]
default = "none"
description = "how to compress"
[options.mounts]
type = "[path]"
default = ["/", "/home"]
description = "mounts"
[options.delays]
type = "[duration]"
optional = true
max = "1m"
description = "delays"
[options.labels]
type = "{string}"
default = {}
description = "labels"
"#;

fn no_secrets(_: &Path) -> io::Result<String> {
    Err(io::ErrorKind::NotFound.into())
}

fn specs() -> Vec<OptionSpec> {
    declarations(SPECS).unwrap()
}

/// The settings and the told faults of a text.
fn checked(specs: &[OptionSpec], text: &str, read_secret: ReadSecret<'_>) -> (Settings, String) {
    let mut sources = Sources::of("a.toml", text);
    let (table, mut faults) = tree::parse(0, text);
    let settings = check(specs, &table, Origin::default(), read_secret, &mut sources, &mut faults);
    (settings, render_all(&faults, &sources))
}

fn good(text: &str) -> Settings {
    let (settings, told) = checked(&specs(), text, &no_secrets);
    assert_eq!(told, "");
    settings
}

/// The first lines of the faults.
fn told(text: &str) -> Vec<String> {
    let told = checked(&specs(), text, &no_secrets).1;
    told.lines().filter(|line| line.starts_with("a.toml")).map(str::to_owned).collect()
}

#[track_caller]
fn one(text: &str, expected: &str) {
    assert_eq!(told(text), [format!("a.toml:1:{expected}")], "of: {text}");
}

#[test]
fn defaults_are_filled_in_and_what_has_no_value_is_left_out() {
    let expected = json!({
        "name": "x", "count": 3, "per_core": true, "every": 90_000_000_000u64, "rotate": {"size": 104_857_600},
        "compress": "none", "mounts": ["/", "/home"], "labels": {},
    });
    assert_eq!(good("").json(), expected.to_string());
}

#[test]
fn every_type_is_taken_as_it_is_written() {
    let settings = good(
        "name = \"\"\ncount = 9\nshare = 1\nper_core = false\nevery = \"host\"\nrotate = { size = \"1KiB\", every = \"1d\" }\npath = \"/x\"\n\
         auth.token = \"t\"\ncompress = \"gzip\"\nmounts = []\ndelays = [\"1s\", \"2ms\"]\nlabels = { env = \"prod\" }\n",
    );
    let expected = json!({
        "name": "", "count": 9, "share": 1.0, "per_core": false, "every": "host",
        "rotate": {"size": 1024, "every": 86_400_000_000_000u64}, "path": "/x", "auth": {"token": "t"}, "compress": "gzip",
        "mounts": [], "delays": [1_000_000_000, 2_000_000], "labels": {"env": "prod"},
    });
    assert_eq!(settings.json(), expected.to_string());
}

#[test]
fn values_are_asked_for_by_their_type() {
    let settings = good("every = \"2s\"\nmounts = [\"/a\"]");
    assert_eq!(settings.duration("every"), Some(Duration::from_secs(2)));
    assert_eq!(settings.size("rotate.size"), Some(100 << 20));
    assert_eq!((settings.text("compress"), settings.integer("count")), (Some("none"), Some(3)));
    assert_eq!(settings.texts("mounts"), ["/a"]);
    assert!(settings.is_on("per_core") && !settings.is_on("name") && !settings.is_on("nothing"));
    assert_eq!(good("every = \"host\"").duration("every"), None);
}

#[test]
fn value_knows_where_it_was_written_and_a_default_that_it_was_not() {
    let settings = good("count = 4");
    let origin = |name: &str| settings.list.iter().find(|setting| setting.name == name).unwrap().origin;
    assert_eq!(origin("count"), Some(Origin { source: 0, start: 8, end: 9 }));
    assert_eq!(origin("name"), None);
}

#[test]
fn wrong_types_are_told() {
    one("name = 1", "8: `name` is an integer");
    one("count = 1.5", "9: `count` is a float");
    one("count = \"1\"", "9: `count` is a string");
    one("share = inf", "9: `share` is a float");
    one("per_core = 1", "12: `per_core` is an integer");
    one("every = 5", "9: `every` is an integer");
    one("every = \"5\"", "9: `5` is no duration, in `every`");
    one("every = \"hosts\"", "9: `hosts` is no duration, in `every`");
    one("rotate.size = \"5M\"", "15: `5M` is no size, in `rotate.size`");
    one("rotate = \"5MiB\"", "10: `rotate` is a string");
    one("path = \"\"", "8: `path` is no path");
    one("compress = \"gz\"", "12: `gz` is none of the words of `compress`");
    one("mounts = \"/\"", "10: `mounts` is a string");
    let both = ["a.toml:1:16: `mounts` is an integer", "a.toml:1:19: `mounts` is a bool"];
    assert_eq!(told("mounts = [\"/\", 1, true]"), both);
    one("labels = [\"a\"]", "10: `labels` is a list");
    one("labels.a = 1", "12: `a` in `labels` is an integer");
    one("per_core = 2026-01-01", "12: `per_core` is a date or time");
}

#[test]
fn ranges_hold_for_single_values_and_for_each_of_a_list() {
    one("count = 0", "9: `count` is below its least value");
    one("count = 10", "9: `count` is above its greatest value");
    one("share = -0.5", "9: `share` is below its least value");
    one("every = \"2d\"", "9: `every` is above its greatest value");
    one("delays = [\"1s\", \"2m\"]", "17: `delays` is above its greatest value");
}

#[test]
fn unknown_keys_are_told_with_the_nearest_at_their_level() {
    let text = "conut = 1\nrotate = { szie = \"1MiB\" }\n\"rotate.size\" = \"1MiB\"\n";
    let expected = "\
a.toml:1:1: unknown key `conut`
  1 | conut = 1
    | ^^^^^
    | allowed: name, count, share, per_core, every, rotate, path, auth, compress, mounts, delays, labels
    | did you mean `count`?
a.toml:2:12: unknown key `rotate.szie`
  2 | rotate = { szie = \"1MiB\" }
    |            ^^^^
    | allowed: size, every
    | did you mean `size`?
a.toml:3:1: unknown key `rotate.size`
  3 | \"rotate.size\" = \"1MiB\"
    | ^^^^^^^^^^^^^
    | allowed: name, count, share, per_core, every, rotate, path, auth, compress, mounts, delays, labels
";
    assert_eq!(checked(&specs(), text, &no_secrets).1, expected);
}

#[test]
fn what_is_allowed_says_range_and_words() {
    let told = checked(&specs(), "every = 5\ncount = 0\ncompress = \"gzpi\"", &no_secrets).1;
    assert!(
        told.contains("allowed: a duration such as \"500ms\", \"1m30s\" or \"1d\", from 1s to 1d, or \"host\""),
        "{told}"
    );
    assert!(told.contains("allowed: an integer, from 1 to 9"), "{told}");
    assert!(told.contains("allowed: \"gzip\", \"none\"\n    | did you mean `gzip`?"), "{told}");
}

#[test]
fn required_option_is_missed() {
    let specs = declarations("[options.url]\ntype = \"string\"\nrequired = true\ndescription = \"u\"").unwrap();
    let told = checked(&specs, "\n", &no_secrets).1;
    assert!(told.starts_with("a.toml:1:1: `url` is required\n"), "{told}");
    let told = checked(&specs, "url = 1", &no_secrets).1;
    assert!(told.contains("`url` is an integer") && !told.contains("required"), "{told}");
}

#[test]
fn secret_is_read_from_its_file_and_never_shown() {
    let read = |path: &Path| match path.to_str() {
        Some("/run/token") => Ok("hunter2".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let (settings, told) = checked(&specs(), "auth.token_file = \"/run/token\"", &read);
    assert_eq!((settings.text("auth.token"), told.as_str()), (Some("hunter2"), ""));
    assert!(settings.list.iter().any(|setting| setting.secret));
    let told = |text| checked(&specs(), text, &read).1;
    let lost = told("auth.token_file = \"/lost\"");
    assert!(lost.starts_with("a.toml:1:19: could not read the secret of `auth.token` from /lost: "), "{lost}");
    let both = told("auth = { token = \"hunter2\", token_file = \"/run/token\" }");
    assert!(both.contains("both `auth.token` and `auth.token_file` are given") && !both.contains("hunter2"), "{both}");
    let typo = told("auth = { token = \"hunter2\", tokn = 1 }");
    assert!(
        typo.contains("did you mean `token`?") && typo.contains("token = ***") && !typo.contains("hunter2"),
        "{typo}"
    );
}

#[test]
fn schema_says_types_bounds_defaults_and_nesting() {
    let schema = schema(&specs());
    let property = |pointer: &str| schema.pointer(&format!("/properties/{pointer}")).cloned().unwrap();
    assert_eq!(
        property("count"),
        json!({"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "a count"})
    );
    assert_eq!(property("every/anyOf/1"), json!({"enum": ["host"]}));
    assert_eq!(property("every/default"), json!("1m30s"));
    assert_eq!(property("every/description"), json!("how often; at least \"1s\"; at most \"1d\""));
    assert_eq!(property("rotate/properties/size/default"), json!("100MiB"));
    assert_eq!(property("rotate/additionalProperties"), json!(false));
    assert_eq!(property("auth/properties/token_file/type"), json!("string"));
    assert_eq!(property("mounts/items"), json!({"type": "string", "minLength": 1}));
    assert_eq!(property("labels/additionalProperties"), json!({"type": "string"}));
    assert_eq!(schema.get("required"), None);
    let needed = declarations("[options.\"a.b\"]\ntype = \"string\"\nrequired = true\ndescription = \"u\"").unwrap();
    assert_eq!(super::schema(&needed)["required"], json!(["a"]));
}

#[test]
fn value_is_written_as_toml_that_says_the_same() {
    let text = good("labels = { \"a b\" = \"c\\\"d\" }\nname = \"\\u007f\"")
        .list
        .iter()
        .fold(String::new(), |text, setting| format!("{text}{} = {}\n", setting.name, setting.value.toml()));
    assert_eq!(good(&text).json(), good("labels = { \"a b\" = \"c\\\"d\" }\nname = \"\\u007f\"").json());
}

#[test]
fn what_crosses_is_what_an_author_decodes() {
    #[derive(serde::Deserialize)]
    struct Rotate {
        size: crate::options::Size,
        every: Option<crate::options::Duration>,
    }
    #[derive(serde::Deserialize)]
    struct Options {
        rotate: Rotate,
        delays: Vec<crate::options::Duration>,
        labels: std::collections::BTreeMap<String, String>,
        share: Option<f64>,
    }
    let settings = good("delays = [\"1s\", \"2ms\"]\nrotate.size = \"1KiB\"\nlabels.a = \"b\"");
    let options: Options = serde_json::from_str(&settings.json()).unwrap();
    assert_eq!((options.rotate.size.0, options.rotate.every, options.share), (1024, None, None));
    assert_eq!(options.delays.iter().map(|delay| delay.0).sum::<Duration>(), Duration::from_millis(1002));
    assert_eq!(options.labels["a"], "b");
}
