//! A text that every line repeats. As a block of a fixed size it is copied by a few instructions; of a length that nobody knows before, by a
//! call of memcpy(3), and these calls were a sixth of what a line cost.

/// Room for the keys of nearly every metric, with the comma, quotes and colon around them.
const BLOCK: usize = 32;

/// A text, and how it is copied.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// Up to a block, with zeros behind it.
    Short([u8; BLOCK], usize),
    /// A longer one.
    Long(String),
}

impl Text {
    /// Appends it.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>) {
        match self {
            Text::Short(block, bytes) => {
                let end = out.len() + bytes;
                out.extend_from_slice(block);
                out.truncate(end);
            }
            Text::Long(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        let mut block = [0; BLOCK];
        match block.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Text::Short(block, text.len())
            }
            None => Text::Long(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_appended_whole_and_nothing_else() {
        for length in 0..=2 * BLOCK {
            let (mut line, text) = (b"before".to_vec(), "x".repeat(length));
            Text::from(text.clone()).append(&mut line);
            line.extend_from_slice(b"after");
            assert_eq!(line, format!("before{text}after").into_bytes());
        }
    }
}
