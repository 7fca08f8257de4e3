//! The numbers of a JSON text, each under the names that lead to it.
//!
//! `{"queue":{"depth":3,"full":false},"disks":[{"used":7}]}` has `queue.depth` 3, `queue.full` 0 and `disks.0.used` 7. A text and a null
//! are no numbers and are passed over. Serde bounds how deep it goes, at 128.
//!
//! They are handed over as they are read: a tree of the text first would be many times its size, and 10 KB more of code. So of a name that
//! comes twice each number is, and its reader has the last say.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The name of a number that stands alone.
const ALONE: &str = "value";

/// Hands over each number and bool of the text, in its order; none of what is no JSON, which is why it is read twice.
///
/// # Errors
/// It is no JSON, or more than one.
pub fn numbers(text: &[u8], mut take: impl FnMut(&str, f64)) -> Result<(), serde_json::Error> {
    read(text, &mut |_, _| ())?;
    read(text, &mut take)
}

/// As from a stream, as the contract reads the options: what is linked twice is larger.
fn read(text: &[u8], take: &mut dyn FnMut(&str, f64)) -> Result<(), serde_json::Error> {
    let mut text = serde_json::Deserializer::from_reader(text);
    Walk { name: &mut String::new(), take }.deserialize(&mut text)?;
    text.end()
}

/// A value that comes next, and the names that lead to it.
struct Walk<'a> {
    name: &'a mut String,
    take: &'a mut dyn FnMut(&str, f64),
}

impl Walk<'_> {
    fn put<E>(self, number: f64) -> Result<(), E> {
        (self.take)(if self.name.is_empty() { ALONE } else { self.name }, number);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        text.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<(), E> {
        self.put(f64::from(u8::from(is)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.put(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.put(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.put(number)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let whole = self.name.len();
        for at in 0_u32.. {
            append(self.name, &at.to_string());
            let entry = entries.next_element_seed(Walk { name: self.name, take: self.take })?;
            self.name.truncate(whole);
            if entry.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let whole = self.name.len();
        while let Some(key) = entries.next_key::<String>()? {
            append(self.name, &key);
            entries.next_value_seed(Walk { name: self.name, take: self.take })?;
            self.name.truncate(whole);
        }
        Ok(())
    }
}

fn append(name: &mut String, key: &str) {
    if !name.is_empty() {
        name.push('.');
    }
    name.push_str(key);
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
        let expected: Vec<_> =
            names.map(str::to_owned).into_iter().zip([3.0, 0.0, 7.0, 1.0, 1.5, u64::MAX as f64]).collect();
        assert_eq!(found(text), expected);
    }

    #[test]
    fn number_alone_is_a_value() {
        assert_eq!(found("42"), [("value".to_owned(), 42.0)]);
        assert_eq!(found("\"x\""), []);
    }

    #[test]
    fn text_counts_whole_or_not_at_all() {
        for wrong in ["[1,2,x]", "[1,2", "[1,2] 3", "[1,1e999]", "[1,\"\\x\"]"] {
            assert!(numbers(wrong.as_bytes(), |name, _| panic!("{name} of {wrong}")).is_err());
        }
        assert!(numbers(b"[1,\"\xff\"]", |name, _| panic!("{name}")).is_err());
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
