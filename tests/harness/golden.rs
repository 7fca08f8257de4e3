//! What was once read by a person and found right, in `tests/golden`.
//!
//! With `UPDATE_GOLDEN=1` what came out is written there instead; read the difference before you keep it.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::root;

/// Holds a text to the file of this name.
///
/// # Panics
/// It differs.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let path = root().join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a new folder");
        fs::write(&path, text).expect("a new file");
        return;
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display()));
    if expected == text {
        return;
    }
    let differs = expected.lines().zip(text.lines()).position(|(one, other)| one != other);
    let line = differs.unwrap_or_else(|| expected.lines().count().min(text.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("its end").to_owned();
    panic!(
        "{}:{}: not as it was; UPDATE_GOLDEN=1 takes it\n  was {}\n  is  {}\nwhole:\n{text}",
        path.display(),
        line + 1,
        at(&expected),
        at(text)
    );
}

/// A value in lines that a difference of two versions can be read from: an object of single values deep inside, a row of a table
/// for one, stands in one line.
#[must_use]
pub fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text + "\n"
}

fn write(value: &Value, depth: usize, text: &mut String) {
    let flat = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_));
    match value {
        Value::Object(map) if !(map.is_empty() || depth > 2 && map.values().all(flat)) => {
            for (place, (key, value)) in map.iter().enumerate() {
                text.push_str(if place == 0 { "{\n" } else { ",\n" });
                // Writing to a string does not fail.
                let _ = write!(text, "{:1$}{2}: ", "", 2 * (depth + 1), Value::from(key.as_str()));
                self::write(value, depth + 1, text);
            }
            let _ = write!(text, "\n{:1$}}}", "", 2 * depth);
        }
        value => {
            let _ = write!(text, "{value}");
        }
    }
}
