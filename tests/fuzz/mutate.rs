//! Makes inputs from inputs, the same ones at every run.
//!
//! Blind: it does not know what an input reaches. That is `guided/`'s work, whose finds come into the corpus; this holds them still
//! with what lies around them.

/// Longest input that is made: long enough for each table of a library, short enough for thousands of them in a debug build.
pub const BYTES_MAX: usize = 8 << 10;

/// Numbers at which lengths and offsets go wrong.
const NUMBERS: [u64; 14] =
    [0, 1, 2, 7, 8, 63, 64, 255, 4096, 65_535, 1 << 31, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// Draws numbers: xorshift64*, which is enough for choosing and needs no dependency.
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }
}

/// One of the inputs with one to eight changes, the second input among them.
#[must_use]
pub fn mutated(random: &mut Random, inputs: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = pick(random, inputs);
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let len = random.below(16).min(input.len() - at);
        match random.below(9) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 => drop(input.drain(at..at + len)),
            3 => drop(input.splice(at..at, (0..=len).map(|_| random.next() as u8).collect::<Vec<_>>())),
            4 => {
                let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4)].min(input.len() - at);
                input[at..at + width].copy_from_slice(&number[..width]);
            }
            5 => drop(input.splice(at..at + len, NUMBERS[random.below(NUMBERS.len())].to_string().into_bytes())),
            6 if !words.is_empty() => drop(input.splice(at..at + len, words[random.below(words.len())].bytes())),
            // A piece of another one, or of itself.
            7 => {
                let other = pick(random, inputs);
                let from = random.below(other.len() + 1);
                let piece = other[from..].iter().take(random.below(256)).copied().collect::<Vec<_>>();
                input.splice(at..at + len, piece);
            }
            _ => input.truncate(at.max(input.len() / 2)),
        }
        input.truncate(BYTES_MAX);
    }
    input
}

fn pick(random: &mut Random, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = inputs.get(random.below(inputs.len())).cloned().unwrap_or_default();
    input.truncate(BYTES_MAX);
    input
}
