//! One value on its way from a plugin to the agent: 16 bytes, the same in memory and on a wire.
//!
//! Frozen for 1.x: tags are a newtype over an integer, since an exhaustive enum could neither grow nor be trusted.
#![forbid(unsafe_code)]

use abi_stable::StableAbi;

/// What the bits of a [`Cell`] are.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Tag(pub u32);

impl Tag {
    /// No value: unknown, not reported. Null in JSON.
    pub const NULL: Tag = Tag(0);
    /// An unsigned integer.
    pub const U64: Tag = Tag(1);
    /// A signed integer, two's complement.
    pub const I64: Tag = Tag(2);
    /// An IEEE 754 double.
    pub const F64: Tag = Tag(3);
    /// 0 or 1.
    pub const BOOL: Tag = Tag(4);
    /// Text in the frame's arena: `bits` is the offset of its first byte, `aux` its length in bytes.
    pub const TEXT: Tag = Tag(5);
}

/// A tagged 64-bit value.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Cell {
    /// What `bits` is.
    pub tag: Tag,
    /// The length of a text; 0 otherwise.
    pub aux: u32,
    /// The value.
    pub bits: u64,
}

impl Cell {
    /// No value.
    pub const NULL: Cell = Cell { tag: Tag::NULL, aux: 0, bits: 0 };

    /// A text of `len` bytes at `offset` of the frame's arena.
    pub const fn text(offset: u32, len: u32) -> Cell {
        Cell { tag: Tag::TEXT, aux: len, bits: offset as u64 }
    }

    /// The value as an unsigned integer, where it is one.
    pub const fn as_u64(self) -> Option<u64> {
        if self.tag.0 == Tag::U64.0 { Some(self.bits) } else { None }
    }

    /// True where there is no value.
    pub const fn is_null(self) -> bool {
        self.tag.0 == Tag::NULL.0
    }
}

impl Default for Cell {
    fn default() -> Cell {
        Cell::NULL
    }
}

/// A value that fits a cell: integers, floats and `bool`. `None` is null: unknown, which is not 0. Text is set by
/// [`Recorder::set_text`](crate::Recorder::set_text).
pub trait IntoCell {
    /// The value as a cell.
    fn into_cell(self) -> Cell;
}

macro_rules! into_cell {
    ($($type:ty => $tag:ident, $value:ident $bits:expr;)*) => {$(
        impl IntoCell for $type {
            fn into_cell(self) -> Cell {
                let $value = self;
                Cell { tag: Tag::$tag, aux: 0, bits: $bits }
            }
        }
    )*};
}

into_cell! {
    u64 => U64, value value;
    u32 => U64, value u64::from(value);
    u16 => U64, value u64::from(value);
    u8 => U64, value u64::from(value);
    usize => U64, value value as u64;
    i64 => I64, value value as u64;
    i32 => I64, value i64::from(value) as u64;
    f64 => F64, value value.to_bits();
    f32 => F64, value f64::from(value).to_bits();
    bool => BOOL, value u64::from(value);
}

impl<T: IntoCell> IntoCell for Option<T> {
    fn into_cell(self) -> Cell {
        self.map_or(Cell::NULL, T::into_cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_sixteen_bytes_without_padding() {
        assert_eq!((size_of::<Cell>(), align_of::<Cell>()), (16, 8));
    }

    #[test]
    fn a_missing_value_is_null_and_never_zero() {
        assert!(None::<u64>.into_cell().is_null());
        assert_eq!(Some(0u64).into_cell(), Cell { tag: Tag::U64, aux: 0, bits: 0 });
    }

    #[test]
    fn negative_integers_keep_their_sign() {
        assert_eq!((-5i32).into_cell().bits as i64, -5);
    }
}
