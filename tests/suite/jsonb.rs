//! What the agent prints is valid JSONB, whatever a plugin says. The check stands in the harness: every line of every test passes it.

use harness::{Site, jsonb};

const LINE: &str = concat!(
    r#"{"timestamp":"2026-11-24T03:30:05.000Z","host":"a","run":"00112233445566778899aabbccddeeff","sequence":1,"labels":{},"#,
    r#""_events":[{"kind":"gap","count":1}],"m":{"_status":"ok","value":1.5,"rows":{"__x":{"a":null}}}}"#
);

#[track_caller]
fn refused(from: &str, to: &str, told: &str) {
    jsonb::snapshot(LINE).unwrap();
    assert!(LINE.contains(from));
    let error = jsonb::snapshot(&LINE.replace(from, to)).unwrap_err();
    assert!(error.contains(told), "{error}");
}

#[test]
fn check_refuses_what_a_column_would_lose_or_refuse() {
    refused(r#""value":1.5"#, r#""value":1.5,"value":1.5"#, "comes twice");
    refused(r#""a":null"#, r#""a":null,"a":1"#, "comes twice");
    refused("1.5", "1e999", "number out of range");
    refused("1.5", "NaN", "expected");
    refused("1.5", r#""\u0000""#, "U+0000");
    refused(r#""a":null"#, r#""\u0000a":null"#, "U+0000");
    refused("1.5", r#""\ud800""#, "hex escape");
    refused(r#""__x""#, r#""_x""#, "begins with one _");
    refused(r#""value""#, r#""_value""#, "is none of");
    refused(r#""ok""#, r#""failed""#, "and yet with");
    refused(r#""ok""#, r#""fine""#, "_status is");
    refused(r#""gap""#, r#""hole""#, "kind is");
    refused(r#""count""#, r#""number""#, "is none of");
    refused(r#""sequence":1"#, r#""sequence":-1"#, "sequence is");
    refused("03:30:05.000Z", "03:30:05Z", "timestamp is");
    refused("}}}}", "}}}}}", "trailing");
}

#[test]
fn every_snapshot_is_valid_jsonb_whatever_a_plugin_says() {
    let site = Site::new();
    site.plugin("mock");
    let odd = "value=NaN nested.value=inf level=-9223372036854775808 count=18446744073709551615 state=2 flag=true \
               text=\"tab\t quote\\ nul\0 bell\x07 \u{7f}\u{2028}\u{1f600}\" \
               rows._x.value=-inf rows.__x.value=-0.0 rows.eth0.100.value=1e308 rows.eth0.value=5e-324 \
               rows.twice.value=1 rows.other.value=2 rows.twice.value=3 rows.\0.value=4 rows..value=5 \
               rows.\u{fffd}.value=6 rows._status.value=7 part._x=\"no\0 luck\" part.rows=\"none\" rows.lost!=\"\0\"\n\
               error=\"\0 \\ \t no luck\"\n\
               part.=\"\" rows.!=\"\"\n";
    site.write("odd", odd);
    site.config(
        "[agent]\ninterval = \"50ms\"\ncollect = \"named\"\nlabels = { a = \"tab\\t\\u2028\" }\nhostname = \"\\u001b[0m\"\n\
         [collectors.odd]\nplugin = \"mock\"\nisolation = \"none\"\noptions = { script = \"odd\" }\n",
    );
    let mut agent = site.start(["run"]);
    let first = agent.snapshot();
    let odd = &first["odd"];
    assert_eq!(odd["_status"], "partial", "{odd}");
    assert!(odd["value"].is_null() && odd["nested"]["value"].is_null(), "{odd}");
    assert_eq!((odd["level"].as_i64(), odd["count"].as_u64()), (Some(i64::MIN), Some(u64::MAX)));
    assert_eq!(odd["text"], "tab\t quote\\ nul\u{fffd} bell\x07 \u{7f}\u{2028}\u{1f600}");
    let rows = &odd["rows"];
    assert_eq!(rows["twice"]["value"], 3.0, "the last row of a name is kept: {rows}");
    assert_eq!(rows["eth0.100"]["value"], 1e308);
    assert_eq!(rows["__status"]["value"], 7.0, "a key of the data begins with no single _: {rows}");
    assert!(rows["___x"].is_object() && rows["__x"]["value"].is_null(), "{rows}");
    assert!(rows.get("").is_none(), "{rows}");
    for _ in 0..5 {
        agent.snapshot();
    }
}
