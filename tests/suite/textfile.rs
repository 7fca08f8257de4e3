//! A folder of text files, read in the agent and in a child with its sandbox: what is wrong with a file is said of it, whoever reads.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use harness::{Site, jsonb};
use rustix::fs::{CWD, FileType, mknodat};
use serde_json::json;

#[test]
fn a_file_that_is_stale_or_none_is_named_and_the_others_are_read_wherever_the_collector_is() {
    let site = Site::new();
    site.bundled("textfile");
    let folder = site.path("texts");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("good.prom"), "# TYPE jobs_total counter\njobs_total{queue=\"mail\"} 2.5\nload 1\n").unwrap();
    fs::write(folder.join("old.prom"), "from_then 1\n").unwrap();
    let then = SystemTime::now() - Duration::from_secs(3 * 3600 + 60);
    File::options().write(true).open(folder.join("old.prom")).unwrap().set_modified(then).unwrap();
    mknodat(CWD, folder.join("pipe.prom"), FileType::Fifo, 0o600.into(), 0).unwrap();
    symlink("good.prom", folder.join("link.prom")).unwrap();
    let table = |name: &str, isolation: &str| {
        format!(
            "[collectors.{name}]\nplugin = \"textfile\"\nisolation = \"{isolation}\"\noptions = {{ folder = {folder:?} }}\n"
        )
    };
    site.config(&(table("inside", "none") + &table("apart", "process")));
    let finished = site.output(["once", "--format", "json"]);
    let [snapshot] = jsonb::snapshots(&finished.stdout).try_into().unwrap();
    for name in ["inside", "apart"] {
        let section = &snapshot[name];
        assert_eq!(section["_status"], "partial", "{finished}");
        let file = |file: &str| format!("{}/{file}", folder.display());
        assert_eq!(
            section["_errors"]["files"],
            json!({
                "old.prom": "it was last written 3 h ago, and `stale_after` is 60 min",
                "link.prom": file("link.prom is a link, which is not followed"),
                "pipe.prom": file("pipe.prom is no regular file"),
            })
        );
        assert_eq!(section["counters"], json!({"jobs_total": {"{queue=\"mail\"}": {"total": 2.5, "per_second": 0.0}}}));
        assert_eq!(section["gauges"], json!({"from_then": {"{}": {"value": 1.0}}, "load": {"{}": {"value": 1.0}}}));
        assert!(section["files"]["old.prom"]["age_minutes"].as_u64().is_some_and(|minutes| minutes >= 181));
    }
}
