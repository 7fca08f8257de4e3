//! A file by what is in it: the same wherever it lies, another one as soon as a bit of it is.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

/// What is read at a time: as much as stays in the first caches.
const PIECE: usize = 64 << 10;

/// The SHA-256 of a file or a part of one. As text it is 64 hexadecimal digits, as sha256sum(1) has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Of the first `bytes` of the file behind this descriptor, wherever it stands.
    ///
    /// # Errors
    /// It cannot be read, or has fewer.
    pub fn of(file: &File, bytes: u64) -> io::Result<Sha256> {
        let (mut digest, mut piece, mut at) = (sha2::Sha256::new(), vec![0; PIECE], 0);
        while at < bytes {
            let wanted = usize::try_from(bytes - at).map_or(PIECE, |left| left.min(PIECE));
            file.read_exact_at(&mut piece[..wanted], at)?;
            digest.update(&piece[..wanted]);
            at += wanted as u64;
        }
        Ok(Sha256(digest.finalize().into()))
    }

    /// Of these bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// Its first 12 digits: enough to tell two builds apart, and short enough to be read.
    #[must_use]
    pub fn short(&self) -> String {
        self.0[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; 32]> for Sha256 {
    fn from(bytes: [u8; 32]) -> Sha256 {
        Sha256(bytes)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Sha256, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| de::Error::custom("a SHA-256 has 64 hexadecimal digits"))
    }
}

fn parse(text: &str) -> Option<Sha256> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| digit.try_into().ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() == 64 { bytes.try_into().ok().map(Sha256) } else { None }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn digest_is_that_of_sha256sum_over_more_than_one_piece() {
        // printf abc | sha256sum; head -c 1000000 /dev/zero | tr '\0' a | sha256sum: the examples of FIPS 180-2.
        let told = |bytes: &[u8]| Sha256::of(&file(bytes), bytes.len() as u64).unwrap().to_string();
        assert_eq!(told(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let million = vec![b'a'; 1_000_000];
        assert_eq!(told(&million), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }

    #[test]
    fn file_that_shrank_has_none() {
        assert_eq!(Sha256::of(&file(b"ab"), 3).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn text_is_read_back_and_nothing_else_is_one() {
        let one = Sha256::from(std::array::from_fn(|at| at as u8 * 7));
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Sha256>(&text).unwrap(), one);
        for other in [String::new(), "0".repeat(63), "0".repeat(65), "g".repeat(64), "é".repeat(32), "0".repeat(66)] {
            assert!(serde_json::from_value::<Sha256>(other.clone().into()).is_err(), "{other}");
        }
    }
}
