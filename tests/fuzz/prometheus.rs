//! The text format of Prometheus: what is taken of a text is written again and means the same.

use std::fs;

use plugin_api::prometheus::{Sample, samples};

use crate::{files, root};

pub(crate) const WORDS: &[&str] = &[
    "# TYPE ",
    "# HELP ",
    "# EOF\n",
    " counter\n",
    " gauge\n",
    " histogram\n",
    " summary\n",
    "_total",
    "_bucket{le=\"+Inf\"} ",
    "_sum ",
    "_count ",
    "a ",
    "{",
    "}",
    "=\"",
    "\",",
    "\\\\",
    "\\\"",
    "\\n",
    " 1395066363000\n",
    " # {a=\"b\"} 1\n",
    " NaN\n",
    "+Inf",
    "1e308",
    "-0",
    "\n",
    "\t",
    "\r\n",
    "ü",
];

/// The texts of the test cases, and one that has all there is.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let texts = files(&root().join("plugins"), &|path| path.extension().is_some_and(|extension| extension == "prom"));
    let all = "# HELP a_total What?\n# TYPE a_total counter\na_total{c=\"1\",b=\"\\\\ \\\" \\n\"} 1.5 1395066363000\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3 # {id=\"x\"} 1\n\
               h_sum 1e-3\nh_count 3\n# TYPE s summary\ns{quantile=\"0.5\",} NaN\ns_created 1\n\n# UNIT s seconds\nfree{} -Inf\n# EOF\n";
    texts.iter().map(|path| fs::read(path).expect("a text")).chain([all.into()]).collect()
}

pub(crate) fn run(text: &[u8]) {
    let lines = text.split(|byte| *byte == b'\n').count();
    let mut found: Vec<_> = samples(text).collect();
    assert!(found.len() <= lines);
    if found.last().is_some_and(Result::is_err)
        && let Some(Err(fault)) = found.pop()
    {
        assert!(fault.to_string().len() < 512, "a fault is a line of a log");
    }
    for sample in found {
        let sample = sample.expect("it ends after the first fault");
        let Sample { name, labels, value, timestamp, .. } = &sample;
        assert!(!name.is_empty() && labels.starts_with('{') && labels.ends_with('}') && !labels.contains('\n'));
        assert!(labels.len() <= text.len() + 2);
        assert!(sample.millionths().is_some() == (value.is_finite() && *value >= 0.0));
        let time = timestamp.map_or(String::new(), |time| time.to_string());
        let written = format!("{name}{labels} {value:e} {time}\n");
        let again: Vec<_> = samples(written.as_bytes()).collect();
        let [Ok(again)] = &again[..] else { panic!("{written:?} is {again:?}") };
        assert_eq!((again.name, &again.labels, again.timestamp), (*name, labels, *timestamp));
        assert!(again.value.total_cmp(value).is_eq() || value.is_nan());
    }
}
