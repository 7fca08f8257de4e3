use super::*;
use proptest::prelude::*;

fn all(text: &str) -> Vec<Sample<'_>> {
    samples(text.as_bytes()).collect::<Result<_, _>>().unwrap()
}

fn fault(text: impl AsRef<[u8]>) -> String {
    samples(text.as_ref()).find_map(Result::err).expect("a fault").to_string()
}

#[test]
fn a_text_of_every_kind_of_line_is_read_in_its_order() {
    let text = "# HELP up Is it up?\n# TYPE up gauge\n\n  up 1\r\n# a comment\n#TYPE served_total COUNTER\nserved_total{code=\"200\"}7 1395066363000\n\
                served_total { code = \"404\" , } 1e3\n\tother\t-Inf\n# EOF\n";
    let found: Vec<_> = all(text)
        .into_iter()
        .map(|sample| (sample.name, sample.labels.into_owned(), sample.value, sample.kind, sample.timestamp))
        .collect();
    assert_eq!(
        found,
        [
            ("up", "{}".into(), 1.0, Kind::Gauge, None),
            ("served_total", "{code=\"200\"}".into(), 7.0, Kind::Counter, Some(1_395_066_363_000)),
            ("served_total", "{code=\"404\"}".into(), 1000.0, Kind::Counter, None),
            ("other", "{}".into(), f64::NEG_INFINITY, Kind::Untyped, None),
        ]
    );
}

#[test]
fn the_parts_of_a_metric_are_of_its_kind() {
    let text = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_other 1\nh_created 1\n# TYPE s summary\ns{quantile=\"0.5\"} 1\n\
                s_sum 1\ns_count 1\ns_bucket 1\n# TYPE c counter\nc_total 1\nc_created 1\n# TYPE g gaugehistogram\ng_bucket 1\ng_gsum 1\n# TYPE b info\nb_info 1\n\
                # TYPE u unknown\nu 1\nfree_total 1\n";
    let of = |kind: Kind| {
        all(text).iter().filter(|sample| sample.kind == kind).map(|sample| sample.name).collect::<Vec<_>>()
    };
    assert_eq!(of(Kind::Counter), ["h_bucket", "h_sum", "h_count", "s_sum", "s_count", "c_total"]);
    assert_eq!(of(Kind::Gauge), ["h_created", "s", "c_created", "g_bucket", "g_gsum", "b_info"]);
    assert_eq!(of(Kind::Untyped), ["h_other", "s_bucket", "u", "free_total"]);
}

#[test]
fn labels_that_mean_the_same_are_the_same_text() {
    let first = "a{b=\"1\",c=\"\\\\ \\\" \\n ü,}\"} 1\n";
    let canonical = &all(first)[0].labels;
    assert!(matches!(canonical, Cow::Borrowed(_)), "what stands there as it should is borrowed");
    for same in [
        "a{c=\"\\\\ \\\" \\n ü,}\",b=\"1\"} 1\n",
        "a{b=\"1\",c=\"\\\\ \\\" \\n ü,}\",} 1\n",
        "a{ b = \"1\" ,\tc=\"\\\\ \\\" \\n ü,}\"} 1\n",
        "a{b=\"1\",d=\"\",c=\"\\\\ \\\" \\n ü,}\"} 1\n",
    ] {
        assert_eq!(&all(same)[0].labels, canonical, "{same}");
    }
    for none in ["a 1\n", "a{} 1\n", "a{ } 1\n", "a{b=\"\"} 1\n"] {
        assert_eq!(all(none)[0].labels, "{}", "{none}");
    }
}

#[test]
fn an_exemplar_is_passed_over() {
    for text in ["a 1 # {id=\"x\"} 0.5 1.2\n", "a{b=\"1\"} 1 7 # {id=\"x\"} 0.5\n", "a 1 #\n"] {
        assert_eq!(all(text)[0].value, 1.0);
    }
}

#[test]
fn a_fault_says_which_line_and_what_is_wrong() {
    for (text, told) in [
        ("a 1\nb 12", "line 2: expected a line that has an end, found \"b 12\""),
        ("a", "line 1: expected a line that has an end, found \"a\""),
        ("a\n", "line 1: expected a number, found the end of the line"),
        ("a 1,5\n", "line 1: expected a number, found \"1,5\""),
        ("a 1e999\n", "line 1: expected a number, found \"1e999\""),
        ("a 0x1p2\n", "line 1: expected a number, found \"0x1p2\""),
        ("a 1 12.5\n", "line 1: expected a time in whole milliseconds, found \"12.5\""),
        ("a 1 12 x\n", "line 1: expected the end of the line, found \"x\""),
        ("a-b 1\n", "line 1: expected a blank after the name, found \"-b\""),
        ("1a 1\n", "line 1: expected the name of a metric, found \"1a\""),
        ("{\"a.b\"} 1\n", "line 1: expected the name of a metric, found \"{\"a.b\"}\""),
        ("a{b:c=\"1\"} 1\n", "line 1: expected a `=`, found \":c=\"1\"}\""),
        ("a{b=1} 1\n", "line 1: expected a value in quotes, found \"1}\""),
        ("a{b=\n", "line 1: expected a value in quotes, found the end of the line"),
        ("a{b=\"1\n", "line 1: expected a quote that ends a value, found the end of the line"),
        ("a{b=\"\\t\"} 1\n", "line 1: expected one of `\\\\`, `\\\"` and `\\n`, found \"\\\\t\""),
        ("a{b=\"1\"c=\"2\"} 1\n", "line 1: expected a `,` or a `}`, found \"c=\"2\"}\""),
        ("a{,} 1\n", "line 1: expected the name of a label, found \",}\""),
        ("a{b=\"1\",b=\"2\"} 1\n", "line 1: expected each label once, found \"b\""),
        ("# TYPE a ratio\n", "line 1: expected a type, such as counter or gauge, found \"ratio\""),
        ("# TYPE a\n", "line 1: expected a type, such as counter or gauge, found the end of the line"),
        ("# TYPE\n", "line 1: expected the name of a metric, found the end of the line"),
        ("# TYPE a gauge x\n", "line 1: expected the end of the line, found \"x\""),
        ("a 1\n# TYPE a gauge\n", "line 2: expected one type of a name, before its samples, found \"a\""),
        ("# TYPE a gauge\n# TYPE a counter\n", "line 2: expected one type of a name, before its samples, found \"a\""),
    ] {
        let escaped = told
            .replace("{\"a.b\"}", "{\\\"a.b\\\"}")
            .replace(":c=\"1\"}", ":c=\\\"1\\\"}")
            .replace("c=\"2\"}", "c=\\\"2\\\"}");
        assert_eq!(fault(text), escaped, "{text:?}");
    }
    assert!(fault(b"a{b=\"\xff\"} 1\n").starts_with("line 1: expected a value in UTF-8"));
    assert_eq!(samples(b"a x\nb 1\n").count(), 1, "nothing comes behind a fault");
}

#[test]
fn what_one_sample_may_have_is_bounded() {
    let labels = |count: usize| (0..count).map(|at| format!("l{at}=\"\",")).collect::<String>();
    assert_eq!(all(&format!("a{{{}}} 1\n", labels(LABELS_MAX))).len(), 1);
    assert!(fault(format!("a{{{}}} 1\n", labels(LABELS_MAX + 1))).starts_with("line 1: expected at most 64 labels"));
    let long = |len: usize| format!("a{{b=\"{}\"}} 1\n", "x".repeat(len - "a{b=\"\"} 1".len()));
    assert_eq!(all(&long(LINE_MAX)).len(), 1);
    assert!(fault(long(LINE_MAX + 1)).starts_with("line 1: expected a sample of at most 16 KiB"));
    assert_eq!(all(&format!("# HELP a {}\na 1\n", "x".repeat(LINE_MAX))).len(), 1, "a comment is not kept");
}

#[test]
fn a_counter_of_any_size_grows_by_what_its_sample_does() {
    let millionths = |value: f64| {
        Sample { name: "a", labels: "{}".into(), value, kind: Kind::Counter, timestamp: None }.millionths()
    };
    assert_eq!(millionths(0.1), Some(100_000));
    assert_eq!(millionths(1e15), Some((10u128.pow(21) % (1 << 64)) as u64));
    assert_eq!(millionths(1e15 + 1000.0).unwrap().wrapping_sub(millionths(1e15).unwrap()), 1_000_000_000);
    for none in [f64::NAN, f64::INFINITY, -1.0] {
        assert_eq!(millionths(none), None);
    }
    assert!(millionths(f64::MAX).is_some());
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,9}",
        labels in proptest::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,4}", "([^\"\\\\\n]|\\\\[\"n\\\\]){1,9}", 0..5),
        value: f64,
        timestamp: Option<i64>,
    ) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let sorted = format!("{{{}}}", labels.join(","));
        let reversed = format!("{{ {} }}", labels.iter().rev().cloned().collect::<Vec<_>>().join(" ,\t"));
        let timestamp_text = timestamp.map_or(String::new(), |timestamp| timestamp.to_string());
        for written in [&sorted, &reversed] {
            let text = format!("{name}{written} {value:e} {timestamp_text}\n");
            let found = all(&text);
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!((found[0].name, &*found[0].labels, found[0].timestamp), (&*name, &*sorted, timestamp));
            prop_assert!(found[0].value == value || found[0].value.is_nan() && value.is_nan());
        }
    }

    #[test]
    fn any_bytes_are_samples_or_a_fault(text in "([a{}=\",\\\\ \t\n#1.]|# TYPE |a_sum|ü){0,60}", raw: Vec<u8>) {
        for text in [text.as_bytes(), &raw] {
            let lines = text.split(|byte| *byte == b'\n').count();
            let found: Vec<_> = samples(text).collect();
            prop_assert!(found.len() <= lines);
            prop_assert!(found.iter().rev().skip(1).all(Result::is_ok), "it ends at the first fault");
        }
    }
}
