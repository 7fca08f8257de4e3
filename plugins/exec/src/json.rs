//! The numbers of a JSON text, each under the names that lead to it.
//!
//! `{"queue":{"depth":3,"full":false},"disks":[{"used":7}]}` has `queue.depth` 3, `queue.full` 0 and `disks.0.used` 7. A text and a null
//! are no numbers and are passed over. Serde bounds how deep it goes, at 128.

use serde_json::Value;

/// The name of a number that stands alone.
const ALONE: &str = "value";

/// Hands over each number and bool of the text, in its order.
///
/// # Errors
/// It is no JSON, or more than one.
pub fn numbers(text: &[u8], mut take: impl FnMut(&str, f64)) -> Result<(), serde_json::Error> {
    let value: Value = serde_json::from_slice(text)?;
    walk(&mut String::new(), &value, &mut take);
    Ok(())
}

fn walk(name: &mut String, value: &Value, take: &mut impl FnMut(&str, f64)) {
    let number = match value {
        Value::Object(entries) => return entries.iter().for_each(|(key, value)| below(name, key, value, take)),
        Value::Array(entries) => {
            return entries.iter().enumerate().for_each(|(at, value)| below(name, &at.to_string(), value, take));
        }
        Value::Bool(is) => Some(f64::from(u8::from(*is))),
        Value::Number(number) => number.as_f64(),
        Value::String(_) | Value::Null => None,
    };
    if let Some(number) = number {
        take(if name.is_empty() { ALONE } else { name }, number);
    }
}

fn below(name: &mut String, key: &str, value: &Value, take: &mut impl FnMut(&str, f64)) {
    let whole = name.len();
    if whole > 0 {
        name.push('.');
    }
    name.push_str(key);
    walk(name, value, take);
    name.truncate(whole);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<(String, f64)> {
        let mut found = Vec::new();
        numbers(text.as_bytes(), |name, number| found.push((name.to_owned(), number))).unwrap();
        found
    }

    #[test]
    fn numbers_and_bools_have_the_names_that_lead_to_them() {
        let text = r#"{"queue":{"depth":3,"full":false},"disks":[{"used":7},true,[1.5]],"name":"a","none":null,"big":18446744073709551615}"#;
        let names = ["queue.depth", "queue.full", "disks.0.used", "disks.1", "disks.2.0", "big"];
        let mut expected: Vec<_> =
            names.map(str::to_owned).into_iter().zip([3.0, 0.0, 7.0, 1.0, 1.5, u64::MAX as f64]).collect();
        let mut found = found(text);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, expected);
    }

    #[test]
    fn number_alone_is_a_value() {
        assert_eq!(found("42"), [("value".to_owned(), 42.0)]);
        assert_eq!(found("\"x\""), []);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let wrong = |text: &str| numbers(text.as_bytes(), |_, _| ()).unwrap_err().to_string();
        assert_eq!(wrong("{\"a\":1,\n\"b\":x}"), "expected value at line 2 column 5");
        assert_eq!(wrong("{\"a\":1}\n{\"a\":2}\n"), "trailing characters at line 2 column 1");
        assert!(wrong(&"[".repeat(200)).contains("recursion limit"));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(text in "[\\[\\]{}:,\"a1. \n]{0,40}", raw: Vec<u8>) {
            for text in [text.as_bytes(), &raw] {
                let mut sum = 0.0;
                let _ = numbers(text, |_, number| sum += number); // either answer will do: what matters is that one comes
            }
        }
    }
}
