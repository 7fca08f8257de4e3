//! `[collectors.NAME]`, and the plugins that run without one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::host_side::fault::{Fault, Origin, closest};
use plugin_api::host_side::manifest::{Allowance, Budget, MAX_READS, Read, ungranted};
use plugin_api::host_side::names;
use plugin_api::host_side::options::{OptionSpec, OptionValue, Settings, check, check_beside, declarations};
use plugin_api::host_side::tree::{Data, Entry, Table};

use super::agent::Collect;
use super::layers::read_secret;
use super::plan::{Available, CollectorPlan, Isolation, Planner, PluginPlan, Unavailable};

/// What `[collectors.NAME]` may hold beside `options`.
pub fn declared() -> Vec<OptionSpec> {
    let own = declarations(include_str!("declared/collector.toml")).expect("a test reads the declared keys");
    own.into_iter().chain(Budget::declared()).collect()
}

/// The longest timeout that nobody asked for.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a reading may take where nobody says.
pub(crate) fn default_timeout(interval: Duration) -> Duration {
    (interval * 4 / 5).min(DEFAULT_TIMEOUT)
}

impl Planner<'_> {
    /// All collectors: those of tables, those whose tables were left out, then what was found and nobody uses.
    pub(super) fn collectors(&mut self, merged: &Table) -> Vec<CollectorPlan> {
        let (declared, mut collectors) = (declared(), Vec::new());
        // The names that are taken, and the plugins that a table uses, whether it runs them or not.
        let (mut taken, mut used) = (Vec::new(), Vec::new());
        for (entry, table) in self.named(merged, "collectors") {
            let name = entry.key.as_str();
            if let Some(what) = names::collector_name_fault(name) {
                self.fault(entry.key_origin, format!("`{name}` {what}"), names::COLLECTOR_NAME);
            }
            let settings = check_beside(
                &declared,
                table,
                entry.key_origin,
                &["options"],
                &read_secret,
                self.sources,
                &mut self.faults,
            );
            taken.push(name.to_owned());
            used.push(settings.text("plugin").unwrap_or(name).to_owned());
            let runs = settings.is_on("enabled");
            let collector = self.collector(entry, table, settings);
            if runs { &mut collectors } else { &mut self.disabled.0 }.push(collector);
        }
        for left_out in self.left_out {
            used.extend(left_out.plugins.iter().chain(&left_out.collectors).cloned());
            for name in &left_out.collectors {
                let why = format!("its table in {} is left out, as that file is at fault", left_out.path);
                let failed = self.planned(name.clone(), Settings::default(), Vec::new(), Err(why));
                collectors.retain(|collector: &CollectorPlan| collector.name != *name);
                self.disabled.0.retain(|collector| collector.name != *name);
                collectors.push(failed);
                taken.push(name.clone());
            }
        }
        if self.agent.collect == Collect::All {
            self.unnamed(&taken, &used, &mut collectors);
        }
        collectors
    }

    /// The collector of a table, whether it is enabled or not.
    fn collector(&mut self, entry: &Entry, table: &Table, settings: Settings) -> CollectorPlan {
        let origin = |key: &str| table.value(key).map_or(entry.key_origin, |value| value.origin);
        if settings.value("plugin").is_some() && settings.value("path").is_some() {
            let message = format!("collector `{}` names a plugin and a path", entry.key);
            self.fault(origin("path"), message, "one of plugin, path");
        }
        let plugin = self.plugin(&entry.key, &settings).map(|available| {
            let options = self.options(&available, entry, table);
            PluginPlan { path: available.path, manifest: available.manifest, options, bundled: available.bundled }
        });
        let grants = self.grants(table, &settings);
        self.planned(entry.key.clone(), settings, grants, plugin)
    }

    /// `grant`, whose words the option vocabulary does not know.
    fn grants(&mut self, table: &Table, settings: &Settings) -> Vec<Read> {
        let Some(Data::Array(written)) = table.value("grant").map(|value| &value.data) else { return Vec::new() };
        let mut grants = Vec::new();
        // A list with something else than texts was told, and has no value.
        for (text, value) in settings.texts("grant").into_iter().zip(written) {
            if grants.len() == MAX_READS {
                self.faults.push(Fault::new(value.origin, format!("more than {MAX_READS} entries in `grant`")));
                break;
            }
            match Read::parse(text) {
                Ok(read) => grants.push(read),
                Err(fault) => self.faults.push(Fault { origin: value.origin, ..fault }),
            }
        }
        grants
    }

    /// The plugin that a table means, or why it cannot be had.
    fn plugin(&self, name: &str, settings: &Settings) -> Result<Available, String> {
        if let Some(path) = settings.text("path").map(Path::new) {
            let here = |available: &&Available| available.path == path;
            return match self.plugins.at_paths.iter().find(here) {
                Some(available) => Ok(available.clone()),
                None => Err(self.unavailable(|library| library.path == path).unwrap_or_else(|| {
                    // Whoever reads the plugins reads those of `Config::plugin_paths`.
                    format!("{}: it was not looked at", path.display())
                })),
            };
        }
        let plugin = settings.text("plugin").unwrap_or(name);
        let named = |available: &&Available| available.manifest.plugin.name == plugin;
        if let Some(available) = self.plugins.found.iter().find(named) {
            return Ok(available.clone());
        }
        let library = format!("libperfwatch_{plugin}.so");
        let at_fault = |at_fault: &Unavailable| {
            at_fault.plugin.as_deref() == Some(plugin)
                || at_fault.path.file_name().is_some_and(|name| *name == *library)
        };
        Err(self.unavailable(at_fault).unwrap_or_else(|| {
            let found: Vec<&str> =
                self.plugins.found.iter().map(|available| available.manifest.plugin.name.as_str()).collect();
            let searched: Vec<String> = self.plugins.searched.iter().map(|path| path.display().to_string()).collect();
            let meant = closest(plugin, &found).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            let folders = if searched.is_empty() { "no folder".to_owned() } else { searched.join(", ") };
            format!("no plugin `{plugin}` in {folders}{meant}")
        }))
    }

    fn unavailable(&self, matches: impl Fn(&Unavailable) -> bool) -> Option<String> {
        let unavailable = self.plugins.unavailable.iter().find(|unavailable| matches(unavailable))?;
        let (path, reason) = (unavailable.path.display().to_string(), &unavailable.reason);
        // Some reasons are about the way to it, and name it.
        Some(if reason.contains(&path) { reason.clone() } else { format!("{path}: {reason}") })
    }

    /// The plugin's options, checked against its own declaration.
    fn options(&mut self, available: &Available, entry: &Entry, table: &Table) -> Settings {
        let nothing = Table::default();
        let (given, at) = match table.entry("options") {
            Some(Entry { key_origin, value, .. }) => match &value.data {
                Data::Table(options) => (options, *key_origin),
                other => {
                    let message = format!("`options` of collector `{}` is {}", entry.key, other.kind());
                    self.fault(value.origin, message, "a table");
                    return Settings::default();
                }
            },
            None => (&nothing, entry.key_origin),
        };
        self.checked_options(available, given, at)
    }

    fn checked_options(&mut self, available: &Available, given: &Table, at: Origin) -> Settings {
        let declared = &available.manifest.options;
        check(declared, given, at, &read_secret, self.sources, &mut self.faults)
    }

    /// The plugins that were found and that no table uses, each under its own name.
    fn unnamed(&mut self, taken: &[String], used: &[String], collectors: &mut Vec<CollectorPlan>) {
        let plugins = self.plugins;
        for available in &plugins.found {
            let plugin = &available.manifest.plugin.name;
            if used.contains(plugin) {
                continue;
            }
            if taken.contains(plugin) {
                self.notes.push(format!(
                    "plugin `{plugin}` does not run under its own name, as [collectors.{plugin}] runs another; a table of another name can run it"
                ));
                continue;
            }
            if available.manifest.needs_options() {
                // Nobody put it there, and so nobody waits for it.
                if available.bundled {
                    continue;
                }
                let needed = available
                    .manifest
                    .options
                    .iter()
                    .filter(|option| option.presence == plugin_api::host_side::options::Presence::Required);
                let needed: Vec<String> = needed.map(|option| format!("`{}`", option.name)).collect();
                self.notes.push(format!(
                    "plugin `{plugin}` does not run: it needs {}; give it in [collectors.{plugin}]",
                    needed.join(", ")
                ));
                continue;
            }
            let options = self.checked_options(available, &Table::default(), Origin::default());
            let (path, manifest, bundled) =
                (available.path.clone(), Arc::clone(&available.manifest), available.bundled);
            let planned = Ok(PluginPlan { path, manifest, options, bundled });
            let collector = self.planned(plugin.clone(), Settings::default(), Vec::new(), planned);
            collectors.push(collector);
        }
    }

    /// With its times, its place and its budget: its own, else the plugin's, else the agent's.
    fn planned(
        &mut self,
        name: String,
        settings: Settings,
        grants: Vec<Read>,
        plugin: Result<PluginPlan, String>,
    ) -> CollectorPlan {
        let likes = plugin.as_ref().ok().map(|plugin| &plugin.manifest.plugin);
        let interval = settings.duration("interval").or(likes.and_then(|likes| likes.interval));
        let interval = interval.unwrap_or(self.agent.interval);
        let timeout = settings.duration("timeout").or(likes.and_then(|likes| likes.timeout));
        let timeout = timeout.unwrap_or_else(|| default_timeout(interval));
        let written = settings.text("isolation").and_then(Isolation::named);
        let of_plugin = || plugin.as_ref().map_or(Isolation::Process, |plugin| plugin.isolation());
        let isolation = written.unwrap_or_else(of_plugin);
        // Whoever runs the agent decides, also above what the plugin thinks that it needs.
        let allowance =
            Allowance::of(Budget::of(&settings).or(likes.map_or_else(Budget::default, |likes| likes.budget)));
        if let Ok(plugin) = &plugin
            && isolation != Isolation::None
        {
            self.notes.extend(ask(&name, plugin, &grants));
        }
        CollectorPlan {
            name,
            interval,
            timeout,
            required: settings.is_on("required"),
            isolation,
            isolation_written: written.is_some(),
            allowance,
            grants,
            plugin,
            settings,
        }
    }
}

/// What the operator may want to grant: the plugin asks for it, and it is not granted.
fn ask(collector: &str, plugin: &PluginPlan, grants: &[Read]) -> Option<String> {
    let left = ungranted(&plugin.manifest.plugin.reads, &plugin.options, grants, plugin.bundled);
    let asked = left.iter().map(Read::to_string).collect::<Vec<_>>().join(", ");
    let whole = grants.iter().chain(&left).map(|read| OptionValue::Text(read.to_string())).collect();
    let line = OptionValue::List(whole).toml();
    (!left.is_empty()).then(|| {
        format!("collector {collector}: asks for {asked}, which is not granted; to grant it, in [collectors.{collector}]: grant = {line}")
    })
}
