//! The `[agent]` table, checked, as the rest of the agent uses it.

use std::path::PathBuf;
use std::time::Duration;

use plugin_api::host_side::options::{OptionSpec, OptionValue, Settings, declarations};

use super::layers::Environment;

/// How often collectors are read where nobody says.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// What `[agent]` may hold. Read each time: a configuration is read seldom, and the agent runs long.
pub fn declared() -> Vec<OptionSpec> {
    declarations(include_str!("declared/agent.toml")).expect("a test reads the declared keys")
}

/// How the agent itself runs.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSettings {
    /// How often collectors are read that say nothing else.
    pub interval: Duration,
    /// The host's name in every snapshot; absent for the host's own.
    pub hostname: Option<String>,
    /// Labels of every snapshot, in the order given.
    pub labels: Vec<(String, String)>,
    /// Folders searched for plugins before the built-in ones.
    pub plugin_dirs: Vec<PathBuf>,
    /// Which plugins run.
    pub collect: Collect,
    /// Where the measured host's file system is.
    pub host_root: PathBuf,
    /// By how much ticks are moved.
    pub offset: Offset,
    /// Whether a file of `conf.d` at fault refuses the start.
    pub strict: bool,
    /// Where the agent keeps files of its own.
    pub state_dir: PathBuf,
    /// Where it keeps what a reboot may take; absent where nobody says and the user has no such folder.
    pub runtime_dir: Option<PathBuf>,
    /// What becomes of child processes where the kernel lacks a part of the sandbox.
    pub sandbox: SandboxMode,
    /// What of the file system is watched and taken up while the agent runs.
    pub watch: Watch,
    /// Where the running agent can be asked; absent where there is no runtime folder and nobody says.
    pub control: Option<PathBuf>,
    /// What becomes of a library that others could have changed.
    pub trust: Trust,
    /// Whether only what stands in `plugins.lock` is loaded.
    pub require_lock: bool,
    /// Where a copy of the last config that was good is kept, to start from where the new one is refused.
    pub last_good: Option<PathBuf>,
    /// What is logged.
    pub log_level: tracing::Level,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// Which plugins run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    /// All that are found.
    All,
    /// Those that a table names.
    Named,
}

/// What becomes of child processes where the kernel lacks a part of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxMode {
    /// What is there is drawn, and what is lacking is told.
    Available,
    /// None is started.
    Require,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The folders of plugins, and `conf.d`.
    All,
    /// `conf.d` alone.
    ConfD,
    /// Nothing: changes are taken up by a reload.
    Off,
}

/// What becomes of a library that others could have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is not loaded.
    Strict,
    /// It is loaded, with a warning.
    Relaxed,
}

/// How is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// JSON lines.
    Json,
}

/// By how much ticks are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// By this.
    Fixed(Duration),
    /// By a share of the interval that is fixed for each host.
    Host,
}

impl Offset {
    /// The offset of this host: with [`Offset::Host`] the same for ever and evenly spread over a fleet, and 0 where there is no
    /// machine id. `interval` is `agent.interval`.
    #[must_use]
    pub fn resolve(self, machine_id: Option<&str>, interval: Duration) -> Duration {
        match (self, machine_id.map(str::trim).filter(|id| !id.is_empty())) {
            (Offset::Fixed(offset), _) => offset,
            (Offset::Host, None) => Duration::ZERO,
            (Offset::Host, Some(id)) => {
                let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
                // The upper half of a product is evenly spread, where a remainder would favour what is small.
                let share = (u128::from(fnv1a(id.as_bytes())) * u128::from(interval)) >> 64;
                Duration::from_nanos(u64::try_from(share).unwrap_or(0))
            }
        }
    }
}

/// FNV-1a of 64 bits, with a last mixing step, as its upper bits alone are uneven for short texts. It must never change: the
/// offset of a host would.
fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

impl AgentSettings {
    /// What an agent that runs keeps as it is, whatever is written now: files that are open.
    pub fn keep_until_next_start(&mut self, running: &AgentSettings) {
        self.host_root.clone_from(&running.host_root);
        self.state_dir.clone_from(&running.state_dir);
        self.runtime_dir.clone_from(&running.runtime_dir);
        self.control.clone_from(&running.control);
        self.log_format = running.log_format;
    }

    /// From what was checked; a value that did not pass is its default, as whoever asks has its fault.
    #[must_use]
    pub fn new(settings: &Settings, environment: &Environment) -> AgentSettings {
        let word = |name: &str| settings.text(name).unwrap_or_default();
        let path = |name: &str| settings.text(name).map(PathBuf::from);
        let runtime_dir = path("runtime_dir").or_else(|| runtime_dir(environment));
        AgentSettings {
            interval: settings.duration("interval").unwrap_or(DEFAULT_INTERVAL),
            hostname: settings.text("hostname").map(str::to_owned),
            labels: match settings.value("labels") {
                Some(OptionValue::Map(labels)) => labels.clone(),
                _ => Vec::new(),
            },
            plugin_dirs: settings.texts("plugin_dirs").into_iter().map(PathBuf::from).collect(),
            collect: if word("collect") == "named" { Collect::Named } else { Collect::All },
            host_root: PathBuf::from(settings.text("host_root").unwrap_or("/")),
            offset: match settings.value("offset") {
                Some(OptionValue::Duration(offset)) => Offset::Fixed(*offset),
                Some(OptionValue::Text(_)) => Offset::Host,
                _ => Offset::Fixed(Duration::ZERO),
            },
            strict: settings.is_on("strict"),
            state_dir: path("state_dir").unwrap_or_else(|| state_dir(environment)),
            control: path("control").or_else(|| Some(runtime_dir.as_ref()?.join("control.sock"))),
            runtime_dir,
            sandbox: if word("sandbox") == "require" { SandboxMode::Require } else { SandboxMode::Available },
            watch: match word("watch") {
                "off" => Watch::Off,
                "conf.d" => Watch::ConfD,
                _ => Watch::All,
            },
            trust: if word("trust") == "relaxed" { Trust::Relaxed } else { Trust::Strict },
            require_lock: settings.is_on("require_lock"),
            last_good: path("last_good"),
            log_level: word("log.level").parse().unwrap_or(tracing::Level::INFO),
            log_format: if word("log.format") == "json" { LogFormat::Json } else { LogFormat::Text },
        }
    }
}

/// A variable that says something.
fn variable(environment: &Environment, name: &str) -> Option<PathBuf> {
    environment.variables.get(name).filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// The runtime folder where none is set. What a login session starts may carry an `INVOCATION_ID` too, and then has the user's
/// own folder; a service of the system has none. `RUNTIME_DIRECTORY` is not asked: who has another folder there can write
/// `runtime_dir = "${RUNTIME_DIRECTORY}"`.
fn runtime_dir(environment: &Environment) -> Option<PathBuf> {
    let system = || PathBuf::from("/run/perfwatch");
    if environment.is_root {
        return Some(system());
    }
    let own = variable(environment, "XDG_RUNTIME_DIR").map(|folder| folder.join("perfwatch"));
    own.or_else(|| variable(environment, "INVOCATION_ID").map(|_| system()))
}

/// The state folder where none is set. systemd tells a service by `INVOCATION_ID`.
fn state_dir(environment: &Environment) -> PathBuf {
    let variable = |name: &str| variable(environment, name);
    let system = || PathBuf::from("/var/lib/perfwatch");
    if environment.is_root || variable("INVOCATION_ID").is_some() {
        return system();
    }
    let home = || variable("HOME").map(|home| home.join(".local/state"));
    variable("XDG_STATE_HOME").or_else(home).map_or_else(system, |state| state.join("perfwatch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_offset_is_fixed_below_the_interval_and_spread_over_a_fleet() {
        let interval = Duration::from_secs(5);
        let offset = |id: &str| Offset::Host.resolve(Some(id), interval);
        assert_eq!(offset("0123456789abcdef0123456789abcdef\n"), offset("0123456789abcdef0123456789abcdef"));
        assert_eq!(offset("0123456789abcdef0123456789abcdef"), Duration::from_nanos(FIXED));
        let hosts: Vec<Duration> = (0..1000).map(|host| offset(&format!("{host:032x}"))).collect();
        assert!(hosts.iter().all(|offset| *offset < interval));
        for fifth in 0..5 {
            let (from, to) = (Duration::from_secs(fifth), Duration::from_secs(fifth + 1));
            let here = hosts.iter().filter(|offset| (from..to).contains(offset)).count();
            assert!((150..250).contains(&here), "{here} of 1000 in second {fifth}");
        }
        assert_eq!(Offset::Host.resolve(None, interval), Duration::ZERO);
        assert_eq!(Offset::Fixed(interval).resolve(Some("x"), interval), interval);
    }

    /// As computed once: it must stay.
    const FIXED: u64 = 416_873_543;

    #[test]
    fn state_folder_is_the_systems_for_root_and_services_and_the_users_own_for_others() {
        let folder = |is_root, pairs: &[(&str, &str)]| {
            let variables = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            state_dir(&Environment { variables, is_root, broken: Vec::new() })
        };
        assert_eq!(folder(true, &[("HOME", "/root")]), PathBuf::from("/var/lib/perfwatch"));
        assert_eq!(folder(false, &[("HOME", "/h"), ("INVOCATION_ID", "1")]), PathBuf::from("/var/lib/perfwatch"));
        assert_eq!(folder(false, &[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]), PathBuf::from("/s/perfwatch"));
        assert_eq!(folder(false, &[("HOME", "/h")]), PathBuf::from("/h/.local/state/perfwatch"));
    }

    #[test]
    fn runtime_folder_is_the_systems_for_root_and_services_and_the_sessions_own_for_others() {
        let folder = |is_root, pairs: &[(&str, &str)]| {
            let variables = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            runtime_dir(&Environment { variables, is_root, broken: Vec::new() })
        };
        let session = ("XDG_RUNTIME_DIR", "/run/user/1000");
        assert_eq!(folder(true, &[session]), Some(PathBuf::from("/run/perfwatch")));
        assert_eq!(folder(false, &[("INVOCATION_ID", "1")]), Some(PathBuf::from("/run/perfwatch")));
        assert_eq!(folder(false, &[session]), Some(PathBuf::from("/run/user/1000/perfwatch")));
        assert_eq!(folder(false, &[session, ("INVOCATION_ID", "1")]), Some(PathBuf::from("/run/user/1000/perfwatch")));
        assert_eq!(folder(false, &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "")]), None);
    }
}
