//! JSON without what a JSONB column would lose or refuse. Read here by the tests of whole programs and by those of the encoder.
//!
//! Refused beside what is no JSON: a key that comes twice in an object (JSONB keeps the last and says nothing), and U+0000 in any text
//! (PostgreSQL refuses it).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A value from its text.
///
/// # Errors
/// What is wrong with it.
pub fn value(line: &str) -> Result<Value, String> {
    let nul = Cell::new(false);
    let mut read = serde_json::Deserializer::from_str(line);
    let value = Strict { nul: &nul }.deserialize(&mut read).and_then(|value| read.end().map(|()| value));
    match value {
        Ok(_) if nul.get() => Err("U+0000 in a text".into()),
        Ok(value) => Ok(value),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    nul: &'a Cell<bool>,
}

impl Strict<'_> {
    fn text(self, text: String) -> String {
        self.nul.set(self.nul.get() || text.contains('\0'));
        text
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(self.text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if map.insert(self.text(key.clone()), value).is_some() {
                return Err(A::Error::custom(format_args!("key {key:?} comes twice")));
            }
        }
        Ok(Value::Object(map))
    }
}
