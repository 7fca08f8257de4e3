//! What every line of the agent has to be: a snapshot that a JSONB column takes as it is. Every test that reads a line reads it here.
//!
//! Refused beside what `strict.rs` refuses: what is no snapshot, and a key that begins with exactly one `_` and is not one of the agent's own.

use serde_json::Value;

use crate::strict;

const ENVELOPE: [&str; 5] = ["timestamp", "host", "run", "sequence", "labels"];
const STATUSES: [&str; 9] =
    ["ok", "partial", "unavailable", "failed", "pending", "timeout", "skipped", "backoff", "quarantined"];
const EVENTS: [&str; 10] =
    ["start", "missed", "clock", "suspend", "reload", "restart", "moved", "swapped", "quarantined", "gap"];
const OF_A_SECTION: [&str; 7] =
    ["_status", "_timestamp", "_duration_seconds", "_window_seconds", "_since", "_error", "_errors"];
const OF_AN_EVENT: [&str; 7] = ["kind", "collector", "sink", "from", "to", "count", "cause"];

/// A snapshot from its line.
///
/// # Errors
/// What is wrong with it.
pub fn snapshot(line: &str) -> Result<Value, String> {
    let value = strict::value(line)?;
    let envelope = value.as_object().ok_or("not an object")?;
    for (key, kind) in ENVELOPE.into_iter().zip([is_time, is_host, is_run, Value::is_u64, is_labels]) {
        let value = envelope.get(key).ok_or_else(|| format!("no {key}"))?;
        if !kind(value) {
            return Err(format!("{key} is {value}"));
        }
    }
    for (key, value) in envelope.iter().filter(|(key, _)| !ENVELOPE.contains(&key.as_str())) {
        if key == "_events" { events(value) } else { section(key, value) }.map_err(|told| format!("{key}: {told}"))?;
    }
    Ok(value)
}

/// Whole lines of snapshots.
///
/// # Panics
/// One is not.
#[must_use]
pub fn snapshots(text: &str) -> Vec<Value> {
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "the last line is torn: {}",
        text.lines().last().unwrap_or_default()
    );
    text.lines().map(|line| snapshot(line).unwrap_or_else(|told| panic!("{told}: {line}"))).collect()
}

fn is_time(value: &Value) -> bool {
    let form = |text: &str| text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    let text: Option<String> = value.as_str().map(form);
    matches!(text.as_deref(), Some("0000-00-00T00:00:00.000Z" | "0000-00-00T00:00:00.000000Z"))
}

fn is_host(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|host| !host.is_empty())
}

fn is_run(value: &Value) -> bool {
    value.as_str().is_some_and(|run| run.len() == 32 && run.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_labels(value: &Value) -> bool {
    value.as_object().is_some_and(|labels| labels.values().all(Value::is_string))
}

fn section(name: &str, value: &Value) -> Result<(), String> {
    if name.starts_with('_') {
        return Err("no collector has such a name".into());
    }
    let section = value.as_object().ok_or("a section is an object")?;
    let status = section.get("_status").and_then(Value::as_str).unwrap_or_default();
    if !STATUSES.contains(&status) {
        return Err(format!("_status is {status:?}"));
    }
    for (key, value) in section {
        let holds = match key.as_str() {
            "_status" => true,
            "_timestamp" | "_since" => is_time(value),
            "_duration_seconds" | "_window_seconds" => value.as_f64().is_some_and(|seconds| seconds >= 0.0),
            "_error" => value.is_string(),
            "_errors" => value.as_object().is_some_and(|errors| !errors.is_empty()),
            key if is_reserved(key) => return Err(format!("{key} is none of {OF_A_SECTION:?}")),
            _ if !matches!(status, "ok" | "partial") => return Err(format!("{status}, and yet with {key}")),
            _ => {
                keys(value)?;
                true
            }
        };
        if !holds {
            return Err(format!("{key} is {value}"));
        }
    }
    Ok(())
}

fn events(value: &Value) -> Result<(), String> {
    for event in value.as_array().ok_or("not a list")? {
        let event = event.as_object().ok_or("an event is an object")?;
        let kind = event.get("kind").and_then(Value::as_str).unwrap_or_default();
        if !EVENTS.contains(&kind) {
            return Err(format!("kind is {kind:?}"));
        }
        if let Some(key) = event.keys().find(|key| !OF_AN_EVENT.contains(&key.as_str())) {
            return Err(format!("{key} is none of {OF_AN_EVENT:?}"));
        }
    }
    Ok(())
}

/// Data has no key of one `_`.
fn keys(value: &Value) -> Result<(), String> {
    for (key, value) in value.as_object().into_iter().flatten() {
        if is_reserved(key) {
            return Err(format!("{key} begins with one _ and is data"));
        }
        keys(value)?;
    }
    Ok(())
}

fn is_reserved(key: &str) -> bool {
    key.starts_with('_') && !key.starts_with("__")
}
