//! What is on record of each library. Pure: [`store`](super::store) reads and writes it.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use humantime::{format_rfc3339_seconds, parse_rfc3339};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Sha256;

/// Most libraries that are blamed, and most that are trusted by an agent: the oldest go. A host has a few plugins of its own, each with a new
/// digest at every build; of 300 bytes each, this makes a file of less than [`FILE_BYTES_MAX`](super::store::FILE_BYTES_MAX).
pub(super) const ENTRIES_MAX: usize = 256;

/// Where each library may run because of what it did: what the file in the state folder says.
///
/// Read it with [`Record::read`], change it with [`Record::change`].
#[derive(Clone, Debug)]
pub struct Record {
    pub(super) folder: PathBuf,
    pub(super) entries: Entries,
    /// What was wrong with the file.
    pub(super) fault: Option<String>,
    /// Whether this holds what the file does not, as it could not be written.
    pub(super) unsaved: bool,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entries {
    pub(super) version: u32,
    /// The oldest first, as below.
    blamed: Vec<Blamed>,
    trusted: Vec<Trusted>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Blamed {
    library: Sha256,
    #[serde(flatten)]
    blame: Blame,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Trusted {
    library: Sha256,
    agent: Sha256,
}

/// Why a library runs in a child, in spite of what it would do without this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// The collector that ran it.
    pub collector: String,
    /// Its plugin.
    pub plugin: String,
    /// Since when, to the second.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub when: SystemTime,
    /// What it did.
    pub what: What,
}

/// What a library did to the agent. The words are those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The agent died in a call of it.
    #[serde(rename = "the agent died in a call of it")]
    AgentDied,
    /// It panicked in the agent.
    #[serde(rename = "it panicked")]
    Panicked,
    /// It hung in the agent.
    #[serde(rename = "it hung")]
    Hung,
    /// It took more in the agent than it may.
    #[serde(rename = "it broke its budget")]
    BrokeBudget,
}

impl Record {
    /// What was wrong with the file that was there, as one sentence: it counts as empty, and the next change keeps it aside.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Blames a library, which loses all trust. An earlier blame of it gives way.
    pub fn blame(&mut self, library: Sha256, blame: Blame) {
        self.entries.trusted.retain(|trusted| trusted.library != library);
        self.entries.blamed.retain(|blamed| blamed.library != library);
        self.entries.blamed.push(Blamed { library, blame });
        forget_oldest(&mut self.entries.blamed);
    }

    /// What this library is blamed for.
    #[must_use]
    pub fn blamed(&self, library: Sha256) -> Option<&Blame> {
        self.entries.blamed.iter().find(|blamed| blamed.library == library).map(|blamed| &blamed.blame)
    }

    /// Every blame, the oldest first.
    pub fn blames(&self) -> impl Iterator<Item = &Blame> {
        self.entries.blamed.iter().map(|blamed| &blamed.blame)
    }

    /// Notes that the library gave good readings in a child of the agent with this digest, and may move into it. One that is blamed may not.
    pub fn trust(&mut self, library: Sha256, agent: Sha256) {
        if self.blamed(library).is_none() && !self.trusts(library, agent) {
            self.entries.trusted.push(Trusted { library, agent });
            forget_oldest(&mut self.entries.trusted);
        }
    }

    /// Whether that was noted. Another build of either is a stranger.
    #[must_use]
    pub fn trusts(&self, library: Sha256, agent: Sha256) -> bool {
        self.entries.trusted.contains(&Trusted { library, agent })
    }

    /// Forgets every blame under this name of a collector or a plugin, and gives what was forgotten. Trust has to be earned anew.
    pub fn release(&mut self, name: &str) -> Vec<Blame> {
        let is_of = |blamed: &mut Blamed| blamed.blame.collector == name || blamed.blame.plugin == name;
        self.entries.blamed.extract_if(.., is_of).map(|blamed| blamed.blame).collect()
    }
}

impl Entries {
    /// The version that is written. An agent that reads another one begins anew.
    pub(super) const VERSION: u32 = 1;

    /// Reads the text of the file; the error is a sentence.
    pub(super) fn parse(text: &[u8]) -> Result<Entries, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let told = |cause: serde_json::Error| format!("it is no record of placements: {cause}");
        let Version { version } = serde_json::from_slice(text).map_err(told)?;
        if version != Entries::VERSION {
            return Err(format!("it has version {version}, and this agent knows {}", Entries::VERSION));
        }
        let mut entries: Entries = serde_json::from_slice(text).map_err(told)?;
        forget_oldest(&mut entries.blamed);
        forget_oldest(&mut entries.trusted);
        Ok(entries)
    }

    pub(super) fn text(&self) -> Vec<u8> {
        let entries = Entries { version: Entries::VERSION, ..self.clone() };
        let mut text =
            serde_json::to_vec_pretty(&entries).expect("names, digests and times of this era have a JSON text");
        text.push(b'\n');
        text
    }
}

fn forget_oldest<T>(entries: &mut Vec<T>) {
    entries.drain(..entries.len().saturating_sub(ENTRIES_MAX));
}

/// `since 2026-11-24T03:30:05Z: it hung (collector uplink)`
impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "since {}: {} (collector {})", format_rfc3339_seconds(self.when), self.what, self.collector)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A unit variant is its word.
        self.serialize(f)
    }
}

fn write_time<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_rfc3339_seconds(*time))
}

fn read_time<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    parse_rfc3339(&String::deserialize(from)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn record() -> Record {
        Record::read(Path::new("/nowhere"))
    }

    fn digest(number: usize) -> Sha256 {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes.into()
    }

    fn blame(collector: &str, plugin: &str, what: What) -> Blame {
        let when = UNIX_EPOCH + Duration::from_secs(1_795_491_005);
        Blame { collector: collector.into(), plugin: plugin.into(), when, what }
    }

    #[test]
    fn file_says_who_did_what_and_when_and_is_read_back() {
        let mut record = record();
        record.blame(digest(1), blame("uplink", "network", What::AgentDied));
        record.trust(digest(2), digest(9));
        let text = record.entries.text();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = serde_json::json!({
            "version": 1,
            "blamed": [{
                "library": digest(1).to_string(), "collector": "uplink", "plugin": "network",
                "when": "2026-11-24T03:30:05Z", "what": "the agent died in a call of it",
            }],
            "trusted": [{"library": digest(2).to_string(), "agent": digest(9).to_string()}],
        });
        assert_eq!(value, expected);
        assert_eq!(Entries::parse(&text).unwrap(), Entries { version: 1, ..record.entries });
    }

    #[test]
    fn every_deed_has_words_that_are_read_back() {
        for what in [What::AgentDied, What::Panicked, What::Hung, What::BrokeBudget] {
            let mut record = record();
            record.blame(digest(1), blame("a", "b", what));
            let read = Entries::parse(&record.entries.text()).unwrap();
            assert_eq!(read.blamed[0].blame.what, what);
            assert!(String::from_utf8(record.entries.text()).unwrap().contains(&format!("\"{what}\"")));
        }
        let told = blame("uplink", "network", What::Hung).to_string();
        assert_eq!(told, "since 2026-11-24T03:30:05Z: it hung (collector uplink)");
    }

    #[test]
    fn blame_takes_trust_away_and_keeps_it_away_until_the_release() {
        let mut record = record();
        record.trust(digest(1), digest(9));
        assert!(record.trusts(digest(1), digest(9)));
        assert!(!record.trusts(digest(2), digest(9)) && !record.trusts(digest(1), digest(8)));
        record.blame(digest(1), blame("a", "b", What::Hung));
        assert!(!record.trusts(digest(1), digest(9)));
        record.trust(digest(1), digest(9));
        assert!(!record.trusts(digest(1), digest(9)));
        record.release("a");
        assert!(!record.trusts(digest(1), digest(9)));
        record.trust(digest(1), digest(9));
        assert!(record.trusts(digest(1), digest(9)));
    }

    #[test]
    fn later_blame_of_a_library_takes_the_place_of_the_earlier() {
        let mut record = record();
        record.blame(digest(1), blame("a", "p", What::Hung));
        record.blame(digest(1), blame("b", "p", What::Panicked));
        assert_eq!(record.blames().collect::<Vec<_>>(), [&blame("b", "p", What::Panicked)]);
        assert_eq!(record.blamed(digest(1)), Some(&blame("b", "p", What::Panicked)));
        assert_eq!(record.blamed(digest(2)), None);
    }

    #[test]
    fn release_is_by_the_name_of_the_collector_or_of_the_plugin() {
        let mut record = record();
        for (number, (collector, plugin)) in
            [("uplink", "network"), ("lan", "network"), ("ups", "ups")].iter().enumerate()
        {
            record.blame(digest(number), blame(collector, plugin, What::Hung));
        }
        assert_eq!(record.release("cpu"), []);
        assert_eq!(record.release("lan"), [blame("lan", "network", What::Hung)]);
        assert_eq!(record.release("network"), [blame("uplink", "network", What::Hung)]);
        assert_eq!(record.blames().collect::<Vec<_>>(), [&blame("ups", "ups", What::Hung)]);
    }

    #[test]
    fn oldest_go_when_there_are_too_many() {
        let mut record = record();
        for number in 0..=ENTRIES_MAX {
            record.blame(digest(number), blame("a", "b", What::Hung));
            record.trust(digest(1000 + number), digest(9));
        }
        assert!(record.blamed(digest(0)).is_none() && record.blamed(digest(1)).is_some());
        assert!(!record.trusts(digest(1000), digest(9)) && record.trusts(digest(1001), digest(9)));
        assert_eq!(record.blames().count(), ENTRIES_MAX);
        assert_eq!(record.blamed(digest(ENTRIES_MAX)), Some(&blame("a", "b", What::Hung)));
    }
}
