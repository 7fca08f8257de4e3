//! Lies are harmless: whatever a frame holds, in the agent's memory or on the wire from a child, the snapshot is JSON
//! whose values can be true.

use serde_json::{Value, json};

use super::beside::Scene;

#[test]
fn lies_cost_what_they_are_about_in_the_agent_and_in_a_child() {
    let cell = ["tag", "bool", "nan", "text_outside", "row_outside", "row_of_no_table", "note_outside"];
    let reason = ["message_outside", "outcome"];
    let mut scene = Scene::new(500);
    let all = || {
        ["none", "process"]
            .into_iter()
            .flat_map(move |place| cell.into_iter().chain(reason).chain(["text_not_utf8"]).map(move |lie| (place, lie)))
    };
    for (place, lie) in all() {
        let name = format!("{lie}_{place}");
        scene.table(&name, "lies", &format!("lie = \"{lie}\""), &format!("\nisolation = \"{place}\""));
    }
    let mut beside = scene.start();
    for (place, lie) in all() {
        let name = &*format!("{lie}_{place}");
        if reason.contains(&lie) {
            beside.section(name, "failed", "did not say why");
            continue;
        }
        let section = beside.section(name, "ok", "");
        assert_eq!(section["honest"], 7, "{name}");
        if lie == "text_not_utf8" {
            assert_eq!(section["text"], "\u{fffd}\u{fffd}\u{fffd}", "{name}");
        } else {
            assert_eq!(
                (&section["value"], &section["text"], &section["rows"]),
                (&Value::Null, &Value::Null, &json!({})),
                "{name}"
            );
        }
    }
    beside.end();
}

#[test]
fn names_numbers_and_counters_that_cannot_be_make_a_snapshot_that_can() {
    let words = ["twice", "names", "backwards", "infinite"];
    let all =
        || ["none", "process"].into_iter().flat_map(move |place| words.into_iter().map(move |word| (place, word)));
    let mut scene = Scene::new(500);
    for (place, word) in all() {
        scene.wild(&format!("{word}_{place}"), word, &format!("\nisolation = \"{place}\""));
    }
    let mut beside = scene.start();
    beside.until("some readings of all", |told| {
        all().all(|(place, word)| {
            told.iter().filter(|snapshot| snapshot[format!("{word}_{place}")].get("count").is_some()).count() >= 6
        })
    });
    for snapshot in &beside.told {
        for (place, word) in all() {
            let section = &snapshot[format!("{word}_{place}")];
            if section.get("count").is_none() {
                continue;
            }
            match word {
                // The last counts.
                "twice" => assert_eq!(section["thin"], json!({ "eth0": { "value": 2 } }), "{place}"),
                "names" => {
                    let rows = section["thin"].as_object().unwrap();
                    // The empty one is none.
                    assert_eq!(rows.len(), 9, "{place}: {:?}", rows.keys());
                    assert!(rows.values().all(|row| row["value"] == 1), "{place}");
                    for name in ["\"", "\\", "\"}],\"", "a\nb\r\tc", "__status", "$1"] {
                        assert!(rows.contains_key(name), "{place}: {name:?} of {:?}", rows.keys());
                    }
                }
                "backwards" => assert!(section["count_per_sec"].is_null(), "{place}: {section}"),
                _ => assert!(
                    section["value"].is_null() || section["value"].as_f64().unwrap().is_finite(),
                    "{place}: {section}"
                ),
            }
        }
    }
    beside.end();
}
