//! What a plugin in a child prints: the agent's log, under its name.

use harness::Site;
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn what_a_child_prints_is_in_the_log_under_its_name() {
    let site = Site::new();
    site.plugin("mock");
    // More at a time than a pipe holds.
    let long = "x".repeat(200_000);
    site.write("mocked", format!("new print=\"made one\"\ncount=1 print={long}\npanic=ouch\n"));
    site.write("flood", format!("count=1{}\ncount=2\n", " print=flood".repeat(500)));
    site.config(
        "[agent]\ninterval = \"1s\"\nlog.format = \"json\"\n[collectors.mock]\noptions = { script = \"mocked\" }\n\
         [collectors.flood]\nplugin = \"mock\"\noptions = { script = \"flood\" }\n",
    );
    let mut agent = site.start(["run"]);
    let of = |snapshot: &Value, name: &str, value: &str| snapshot[name][value].clone();
    agent.snapshot_where(|snapshot| {
        of(snapshot, "mock", "_error") == "panicked: ouch" && of(snapshot, "flood", "count") == 2
    });
    agent.signal(Signal::TERM);
    let finished = agent.wait();
    let log: Vec<Value> = finished.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_it =
        |name| log.iter().filter(move |line| line["collector"] == name).filter_map(|line| line["message"].as_str());
    let mocked: Vec<_> = of_it("mock").collect();
    assert!(mocked.contains(&"made one") && mocked.contains(&"ouch"), "{mocked:?}");
    assert!(mocked.iter().any(|line| line.starts_with("thread ") && line.contains(" panicked at ")), "{mocked:?}");
    let lengths = mocked.iter().filter(|line| line.starts_with("xxx")).map(|line| line.len());
    assert_eq!(lengths.max(), Some(1024));
    let told = of_it("flood").filter(|line| *line == "flood").count();
    assert!((128..500).contains(&told), "{told}");
    assert!(of_it("flood").any(|line| line.ends_with(" more lines were printed and are not told")), "{finished}");
}
