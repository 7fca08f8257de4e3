//! Types of option values, for an author's `Options` struct.
//!
//! Options cross the boundary as one JSON text, already checked and with defaults filled in, so that the struct needs no
//! defaults and no validation of its own. Its fields have names:
//!
//! | in `plugin.toml` | in the struct |
//! |---|---|
//! | `string`, `secret`, `path` | `String`, or `PathBuf` for a path |
//! | `integer`, `float`, `bool` | `i64` or narrower, `f64`, `bool` |
//! | `duration`, `size` | [`Duration`], [`Size`] |
//! | `enum` | an enum of unit variants with `#[serde(rename_all = "snake_case")]`, or `String` |
//! | `"[T]"`, `"{string}"` | `Vec<T>`, `BTreeMap<String, String>` |
//! | a name with dots, `"rotate.size"` | a struct within the struct |
//! | with `optional = true` | `Option<T>` |
//! | with `words`, and a word was given | the word as a string: an untagged enum of both |
//!
//! ```
//! use plugin_api::options::Duration;
//!
//! #[derive(serde::Deserialize)]
//! struct Options {
//!     interfaces: Vec<String>, // type = "[string]"
//!     pause: Duration,         // type = "duration", default = "1500ms"
//!     limit: Option<i64>,      // type = "integer", optional = true
//! }
//!
//! let options: Options = serde_json::from_str(r#"{"interfaces":["eth0"],"pause":1500000000}"#).unwrap();
//! assert_eq!(options.pause.0, std::time::Duration::from_millis(1500));
//! assert_eq!((options.interfaces.len(), options.limit), (1, None));
//! ```
#![forbid(unsafe_code)]

use serde::Deserialize;

/// A plugin without options.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct NoOptions {}

/// A length of time, from an integer of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "u64")]
pub struct Duration(pub std::time::Duration);

impl From<u64> for Duration {
    fn from(nanoseconds: u64) -> Duration {
        Duration(std::time::Duration::from_nanos(nanoseconds))
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);
