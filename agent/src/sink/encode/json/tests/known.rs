//! What an encoder remembers from one line to the next is that of the snapshot at hand.

use super::*;

#[test]
fn keys_are_those_of_the_schema_at_hand() {
    let (mut json, name) = (Json::default(), Arc::<str>::from("mock"));
    let mut keys = |schema: &Arc<Schema>| {
        let mut section = Draft::new(schema).section("mock", 3);
        // One collector keeps its name.
        section.name = Arc::clone(&name);
        serde_json::from_slice::<Map<String, Data>>(json.section(&section)).unwrap().contains_key("peers")
    };
    let (all, less) = (schema(MANIFEST), without_sockets());
    assert_eq!([keys(&all), keys(&all), keys(&less), keys(&all)], [true, true, false, true]);
}

#[test]
fn host_labels_and_names_are_those_at_hand() {
    let (mut json, all) = (Json::default(), schema(MANIFEST));
    let mut told = |host: &str, name: &str| {
        let mut snapshot = snapshot(vec![Draft::new(&all).section(name, 0)]);
        snapshot.identity = Arc::new(Identity {
            host: Some(host.into()),
            run: "5f0c".into(),
            labels: vec![("of".into(), host.into())],
        });
        let line = strict(std::str::from_utf8(json.line(&snapshot, 0)).unwrap());
        assert_eq!((&line["host"], &line["labels"]["of"]), (&json!(host), &json!(host)));
        assert!(line[name].is_object(), "{line}");
        line.as_object().unwrap().len()
    };
    assert_eq!([told("a", "mock"), told("a", "mock"), told("b", "mock"), told("b", "other")], [6; 4]);
}

#[test]
fn steady_snapshot_is_written_into_the_memory_of_the_one_before() {
    let snapshot = snapshot(vec![draft().row("mounts", &["/"], &[]).section("mock", 0)]);
    let mut json = Json::default();
    let line = json.line(&snapshot, 0);
    let (first, place) = (line.to_vec(), line.as_ptr());
    let line = json.line(&snapshot, 0);
    assert_eq!((line.as_ptr(), line), (place, &first[..]));
}
