//! A text that every line repeats. As a block of a fixed size it is copied by a few instructions; of a length that nobody knows before, by a
//! call of memcpy(3), and these calls were a sixth of what a line cost.

/// Room for the keys of nearly every metric, with the comma, quotes and colon around them; a text is then 32 bytes.
pub const BLOCK: usize = 30;

/// A text, and how it is copied.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// So many bytes of a block, with zeros behind them.
    Short([u8; BLOCK], u8),
    /// A longer one.
    Long(String),
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        let mut block = [0; BLOCK];
        match block.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Text::Short(block, text.len() as u8)
            }
            None => Text::Long(text),
        }
    }
}
