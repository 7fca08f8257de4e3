//! `budget`: what one reading may cost. The same six words in a manifest and in a collector's table, declared here once in the
//! option vocabulary, so that both have one check and one description.

use std::io;
use std::time::Duration;

use super::super::fault::Sources;
use super::super::frame::Limits;
use super::super::keys::Keys;
use super::super::options::{OptionSpec, OptionType, OptionValue, Presence, Scalar, Settings, check};
use super::super::tree::{Data, Table};
use super::{MAX_ROWS, Reader};

/// What a manifest or a collector's table says of the cost of one reading; what neither says is the agent's to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// CPU time.
    pub cpu: Option<Duration>,
    /// Bytes of memory, in a child process.
    pub memory: Option<u64>,
    /// Open descriptors, in a child process.
    pub descriptors: Option<u32>,
    /// Rows of all tables together.
    pub rows: Option<u32>,
    /// Cells, those of the scalars included.
    pub cells: Option<u32>,
    /// Bytes of text.
    pub text: Option<u32>,
}

/// Where nobody says anything: a hundred times what the four kernel collectors take together on a quiet host.
pub const DEFAULT_CPU: Duration = Duration::from_millis(50);
/// Where nobody says anything: a collector that keeps more than this is keeping history.
pub const DEFAULT_MEMORY: u64 = 64 << 20;
/// Where nobody says anything: a held file a core of a middling machine.
pub const DEFAULT_DESCRIPTORS: u32 = 64;

/// Below is less than a look at the clock; above is the longest interval.
const CPU: (Duration, Duration) = (Duration::from_micros(1), Duration::from_secs(86_400));
/// Below, little is left beside what a child needs for itself; above, it is a limit of nothing.
const MEMORY: (u64, u64) = (4 << 20, 1 << 40);
/// Below, the dynamic loader has none left beside those that the child itself holds; above, Linux sets no limit (`fs.nr_open`).
const DESCRIPTORS: (u32, u32) = (16, 1 << 20);
/// One table may have no more.
const ROWS: (u32, u32) = (1, MAX_ROWS);
/// 16 bytes each, in the agent and in the child: 160 MB.
const CELLS: (u32, u32) = (1, 10_000_000);
/// Places in it are numbers of 32 bits, and what is not UTF-8 may become four times as long when it is mended.
const TEXT: (u64, u64) = (1, 256 << 20);

/// What one reading may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// CPU time.
    pub cpu: Duration,
    /// Bytes of memory, in a child process.
    pub memory: u64,
    /// Open descriptors, in a child process.
    pub descriptors: u32,
    /// What it may hold.
    pub limits: Limits,
}

impl Allowance {
    /// What a budget says, and the defaults for the rest.
    #[must_use]
    pub fn of(budget: Budget) -> Allowance {
        let otherwise = Limits::default();
        Allowance {
            cpu: budget.cpu.unwrap_or(DEFAULT_CPU),
            memory: budget.memory.unwrap_or(DEFAULT_MEMORY),
            descriptors: budget.descriptors.unwrap_or(DEFAULT_DESCRIPTORS),
            limits: Limits {
                rows: budget.rows.unwrap_or(otherwise.rows),
                cells: budget.cells.unwrap_or(otherwise.cells),
                text: budget.text.unwrap_or(otherwise.text),
                ..otherwise
            },
        }
    }
}

impl Allowance {
    /// Each word of a budget, and what it is.
    #[must_use]
    pub fn words(&self) -> [(&'static str, OptionValue); 6] {
        let integer = |number: u32| OptionValue::Integer(i64::from(number));
        [
            ("cpu", OptionValue::Duration(self.cpu)),
            ("memory", OptionValue::Size(self.memory)),
            ("descriptors", integer(self.descriptors)),
            ("rows", integer(self.limits.rows)),
            ("cells", integer(self.limits.cells)),
            ("text", OptionValue::Size(u64::from(self.limits.text))),
        ]
    }
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance::of(Budget::default())
    }
}

impl Budget {
    /// The six words as declared options, `budget.cpu` and so on.
    #[must_use]
    pub fn declared() -> Vec<OptionSpec> {
        use OptionValue::{Duration, Integer, Size};
        let integer = |number: u32| Integer(i64::from(number));
        let limits = Limits::default();
        let row = |word, scalar, (min, max), about, default: OptionValue| OptionSpec {
            name: format!("budget.{word}"),
            description: format!("{about}; the plugin's own, else {}", default.toml().trim_matches('"')),
            option_type: OptionType::One(scalar),
            presence: Presence::Optional,
            min: Some(min),
            max: Some(max),
            words: Vec::new(),
            values: Vec::new(),
        };
        let counted = |(least, most)| (integer(least), integer(most));
        vec![
            row(
                "cpu",
                Scalar::Duration,
                (Duration(CPU.0), Duration(CPU.1)),
                "CPU time of a reading",
                Duration(DEFAULT_CPU),
            ),
            row(
                "memory",
                Scalar::Size,
                (Size(MEMORY.0), Size(MEMORY.1)),
                "memory, in a child process",
                Size(DEFAULT_MEMORY),
            ),
            row(
                "descriptors",
                Scalar::Integer,
                counted(DESCRIPTORS),
                "open descriptors, in a child process",
                integer(DEFAULT_DESCRIPTORS),
            ),
            row(
                "rows",
                Scalar::Integer,
                counted(ROWS),
                "rows of a reading, of all tables together",
                integer(limits.rows),
            ),
            row(
                "cells",
                Scalar::Integer,
                counted(CELLS),
                "cells of a reading, those of the scalars included",
                integer(limits.cells),
            ),
            row(
                "text",
                Scalar::Size,
                (Size(TEXT.0), Size(TEXT.1)),
                "text of a reading: keys, values and messages",
                Size(u64::from(limits.text)),
            ),
        ]
    }

    /// From checked settings, whose options [`Budget::declared`] declares.
    #[must_use]
    pub fn of(settings: &Settings) -> Budget {
        let count = |name| settings.integer(name).and_then(|number| u32::try_from(number).ok());
        Budget {
            cpu: settings.duration("budget.cpu"),
            memory: settings.size("budget.memory"),
            descriptors: count("budget.descriptors"),
            rows: count("budget.rows"),
            cells: count("budget.cells"),
            text: settings.size("budget.text").and_then(|bytes| u32::try_from(bytes).ok()),
        }
    }

    /// What this says, else what `other` does, word by word.
    #[must_use]
    pub fn or(self, other: Budget) -> Budget {
        Budget {
            cpu: self.cpu.or(other.cpu),
            memory: self.memory.or(other.memory),
            descriptors: self.descriptors.or(other.descriptors),
            rows: self.rows.or(other.rows),
            cells: self.cells.or(other.cells),
            text: self.text.or(other.text),
        }
    }
}

impl Reader {
    /// `budget` of `[plugin]`.
    pub(super) fn budget(&mut self, plugin: &Keys<'_>) -> Budget {
        let Some(entry) = plugin.entry("budget") else { return Budget::default() };
        let declared = Budget::declared();
        let mut given = Table { entries: vec![entry.clone()] };
        if self.contract.is_newer()
            && let Data::Table(words) = &mut given.entries[0].value.data
        {
            let known = |word: &str| declared.iter().any(|spec| spec.name.strip_prefix("budget.") == Some(word));
            words.entries.retain(|entry| known(&entry.key));
        }
        // No secret is declared, and so no file read nor anything hidden.
        let no_secret = |_: &std::path::Path| Err(io::ErrorKind::Unsupported.into());
        let settings =
            check(&declared, &given, entry.key_origin, &no_secret, &mut Sources::default(), &mut self.faults);
        Budget::of(&settings)
    }
}
