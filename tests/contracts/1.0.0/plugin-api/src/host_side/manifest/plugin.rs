//! The `[plugin]` table.

use std::time::Duration;

use super::super::fault::{Fault, Origin};
use super::super::keys::Keys;
use super::super::names;
use super::super::options::units;
use super::{Budget, PluginInfo, Reader};

pub(super) const KEYS: [&str; 9] =
    ["name", "description", "version", "licence", "kind", "interval", "timeout", "budget", "reads"];

/// The words of `kind`. `sink` is reserved.
const KINDS: [&str; 1] = ["collector"];

/// The bounds of an interval, which a collector's own key has too: below is what no reading is worth, above is no monitoring.
pub const INTERVAL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(86_400));

impl Reader {
    pub(super) fn plugin(&mut self, root: &Keys<'_>) -> PluginInfo {
        let Some(table) = root.table_of("plugin", &mut self.faults) else {
            if root.entry("plugin").is_none() {
                root.missing("[plugin]", &mut self.faults);
            }
            return PluginInfo::nobody();
        };
        let at = root.entry("plugin").map_or(Origin::default(), |entry| entry.key_origin);
        let keys = self.keys(table, at, "[plugin]", &KEYS);
        let (name, name_origin) = keys.needed_text("name", &mut self.faults);
        if !name.is_empty() {
            if let Some(what) = names::collector_name_fault(name) {
                self.faults.push(Fault::new(name_origin, format!("`{name}` {what}")).allowed(names::NAME));
            } else if !names::is_name(name) {
                self.faults.push(Fault::new(name_origin, format!("`{name}` is not a name")).allowed(names::NAME));
            }
        }
        if let Some((kind, origin)) = keys.text("kind", &mut self.faults) {
            if kind == "sink" {
                self.faults.push(Fault::new(origin, "kind `sink` is reserved and not built yet").allowed(KINDS[0]));
            } else if !KINDS.contains(&kind) {
                self.unknown_word(origin, "kind of plugin", kind, &KINDS);
            }
        }
        let (least, most) = INTERVAL;
        PluginInfo {
            name: name.to_owned(),
            description: keys.needed_text("description", &mut self.faults).0.to_owned(),
            version: keys.text("version", &mut self.faults).map(|(text, _)| text.to_owned()),
            licence: keys.text("licence", &mut self.faults).map(|(text, _)| text.to_owned()),
            interval: self.time(&keys, "interval", least, most),
            timeout: self.time(&keys, "timeout", Duration::from_millis(1), most),
            budget: self.budget(&keys),
            reads: self.reads(&keys),
        }
    }

    fn time(&mut self, keys: &Keys<'_>, key: &str, least: Duration, most: Duration) -> Option<Duration> {
        let (text, origin) = keys.text(key, &mut self.faults)?;
        let read = units::duration(text).filter(|time| (least..=most).contains(time));
        if read.is_none() {
            let (least, most) = (units::duration_text(least), units::duration_text(most));
            let fault = Fault::new(origin, format!("`{text}` is no {key}"));
            self.faults.push(fault.allowed(format!("{}, from {least} to {most}", units::DURATION)));
        }
        read
    }
}

impl PluginInfo {
    /// What stands in where there is no `[plugin]`, while the rest is checked.
    fn nobody() -> PluginInfo {
        PluginInfo {
            name: String::new(),
            description: String::new(),
            version: None,
            licence: None,
            interval: None,
            timeout: None,
            budget: Budget::default(),
            reads: Vec::new(),
        }
    }
}
