//! What a reload would change: the collectors and sinks that run against those of a new plan. Pure.
//!
//! Promises: what is not told here is not touched. A value is compared as it holds, wherever it is from: a default that is written
//! out changes nothing. Secrets are compared and never shown.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use plugin_api::host_side::options::{Setting, Settings};

use crate::config::agent::SandboxMode;
use crate::config::plan::{CollectorPlan, Isolation, Plan, SinkKind, SinkPlan};
use crate::harmless;

/// Keys of `[agent]` that hold from the next start: files that are open, and a log that is set up.
const FROM_NEXT_START: [&str; 5] = ["host_root", "state_dir", "runtime_dir", "control", "log.format"];
/// Bytes of a value that are shown: a list of a thousand interfaces is in the config.
const SHOWN_BYTES: usize = 200;

/// What changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Keys of `[agent]`.
    pub agent: Vec<Changed>,
    /// Collectors: those of the new plan in its order, then those that go.
    pub collectors: Vec<(String, Step)>,
    /// Sinks, in the same order.
    pub sinks: Vec<(String, Step)>,
}

/// What becomes of one of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It starts; what of.
    Comes(String),
    /// It ends.
    Goes,
    /// It goes on, and is called at other times.
    Retimed(Vec<Changed>),
    /// Another takes its place.
    Anew(Vec<Changed>),
    /// It goes on as it is: what changed concerns starts and reloads alone.
    Noted(Vec<Changed>),
}

/// A key that has another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key.
    pub key: String,
    /// What it was; none where it had no value.
    pub from: Option<String>,
    /// What it is.
    pub to: Option<String>,
}

/// What a reload compares.
pub struct Side<'a> {
    /// The keys of `[agent]`.
    pub agent: &'a Settings,
    /// By how much ticks are moved.
    pub offset: Duration,
    /// What becomes of children where the kernel lacks a part of the sandbox.
    pub sandbox: SandboxMode,
    /// The collectors.
    pub collectors: Vec<&'a CollectorPlan>,
    /// The sinks.
    pub sinks: Vec<&'a SinkPlan>,
}

impl<'a> Side<'a> {
    /// All of a plan, with ticks that are moved by this.
    pub fn of(plan: &'a Plan, offset: Duration) -> Side<'a> {
        Side {
            agent: &plan.settings,
            offset,
            sandbox: plan.agent.sandbox,
            collectors: plan.collectors.iter().collect(),
            sinks: plan.sinks.iter().collect(),
        }
    }
}

/// Compares what runs with a plan. `library` tells of a collector of both how its library changed, if it did.
pub fn diff(old: &Side<'_>, new: &Side<'_>, library: &dyn Fn(&CollectorPlan) -> Option<Changed>) -> Diff {
    let mut diff = Diff { agent: changed(&facts_of(old.agent), &facts_of(new.agent)), ..Diff::default() };
    for collector in &new.collectors {
        let Some(before) = old.collectors.iter().find(|before| before.name == collector.name) else {
            diff.collectors.push((collector.name.clone(), Step::Comes(words(collector))));
            continue;
        };
        let mut changes = changed(&facts(before, old), &facts(collector, new));
        if collector.plugin.is_err() {
            // Its options have nobody who declares them.
            changes.retain(|change| change.key == "plugin");
        }
        changes.extend(library(collector));
        diff.collectors.extend(step(changes).map(|step| (collector.name.clone(), step)));
    }
    for sink in &new.sinks {
        let Some(before) = old.sinks.iter().find(|before| before.name == sink.name) else {
            diff.sinks.push((sink.name.clone(), Step::Comes(sink.word().to_owned())));
            continue;
        };
        let changes = changed(&facts_of_sink(before), &facts_of_sink(sink));
        if !changes.is_empty() {
            diff.sinks.push((sink.name.clone(), Step::Anew(changes)));
        }
    }
    let stays: HashSet<&str> = new.collectors.iter().map(|collector| &*collector.name).collect();
    let goes = old.collectors.iter().map(|collector| &collector.name).filter(|name| !stays.contains(&***name));
    diff.collectors.extend(goes.map(|name| (name.clone(), Step::Goes)));
    let stays: HashSet<&str> = new.sinks.iter().map(|sink| &*sink.name).collect();
    let goes = old.sinks.iter().map(|sink| &sink.name).filter(|name| !stays.contains(&***name));
    diff.sinks.extend(goes.map(|name| (name.clone(), Step::Goes)));
    diff
}

/// A value that holds.
struct Fact<'a> {
    key: String,
    value: String,
    setting: Option<&'a Setting>,
}

impl Fact<'_> {
    fn shown(&self) -> String {
        if self.setting.is_some_and(|setting| setting.secret) {
            return "***".into();
        }
        let cut = self.value.floor_char_boundary(SHOWN_BYTES);
        let dots = if cut < self.value.len() { "…" } else { "" };
        format!("{}{dots}", harmless::text(&self.value[..cut]))
    }
}

fn fact(key: &str, value: impl fmt::Display) -> Fact<'static> {
    Fact { key: key.to_owned(), value: value.to_string(), setting: None }
}

fn facts_of(settings: &Settings) -> Vec<Fact<'_>> {
    let fact = |setting: &'_ Setting| (setting.name.clone(), setting.value.toml());
    settings
        .list
        .iter()
        .map(|setting| (fact(setting), setting))
        .map(|((key, value), setting)| Fact { key, value, setting: Some(setting) })
        .collect()
}

fn facts_of_sink(sink: &SinkPlan) -> Vec<Fact<'_>> {
    match &sink.kind {
        // The one that runs where no table says another has no settings.
        Ok(SinkKind::Stdout(format)) => vec![fact("type", sink.word()), fact("format", format.word())],
        Ok(SinkKind::File) => {
            let mut facts = facts_of(&sink.settings);
            facts.retain(|fact| fact.key != "enabled");
            facts
        }
        Err(why) => vec![fact("type", why)],
    }
}

fn facts<'a>(collector: &'a CollectorPlan, side: &Side<'_>) -> Vec<Fact<'a>> {
    let time = |time| humantime::format_duration(time);
    let mut facts = vec![
        fact("interval", time(collector.interval)),
        fact("timeout", time(collector.timeout)),
        fact("offset", time(side.offset)),
        fact("required", collector.required),
        fact("isolation", collector.isolation.word()),
    ];
    let allowance = &collector.allowance;
    let limits = allowance.limits;
    facts.extend([
        fact("budget.cpu", time(allowance.cpu)),
        fact("budget.memory", allowance.memory),
        fact("budget.descriptors", allowance.descriptors),
        fact("budget.rows", limits.rows),
        fact("budget.cells", limits.cells),
        fact("budget.text", limits.text),
    ]);
    match &collector.plugin {
        Ok(plugin) => {
            facts.push(fact("plugin", plugin.path.display()));
            let options = facts_of(&plugin.options).into_iter();
            facts.extend(options.map(|option| Fact { key: format!("options.{}", option.key), ..option }));
        }
        Err(why) => facts.push(fact("plugin", why)),
    }
    if collector.isolation != Isolation::None {
        let grants: Vec<String> = collector.grants.iter().map(|grant| format!("{grant:?}")).collect();
        facts.push(fact("grant", grants.join(", ")));
        facts.push(fact("agent.sandbox", format_args!("{:?}", side.sandbox)));
    }
    facts
}

fn changed(before: &[Fact<'_>], after: &[Fact<'_>]) -> Vec<Changed> {
    let find = |facts: &[Fact<'_>], key: &str| facts.iter().position(|fact| fact.key == key);
    let mut changes = Vec::new();
    for fact in after {
        let was = find(before, &fact.key).map(|place| &before[place]);
        if was.is_none_or(|was| was.value != fact.value) {
            changes.push(Changed { key: fact.key.clone(), from: was.map(Fact::shown), to: Some(fact.shown()) });
        }
    }
    for fact in before {
        if find(after, &fact.key).is_none() {
            changes.push(Changed { key: fact.key.clone(), from: Some(fact.shown()), to: None });
        }
    }
    changes
}

/// What these changes of a collector make of it; nothing where there are none.
fn step(changes: Vec<Changed>) -> Option<Step> {
    let all = |keys: &[&str]| changes.iter().all(|change| keys.contains(&&*change.key));
    match () {
        () if changes.is_empty() => None,
        () if all(&["required"]) => Some(Step::Noted(changes)),
        () if all(&["interval", "timeout", "offset", "required"]) => Some(Step::Retimed(changes)),
        () => Some(Step::Anew(changes)),
    }
}

/// A collector that comes.
fn words(collector: &CollectorPlan) -> String {
    let every = humantime::format_duration(collector.interval);
    match &collector.plugin {
        Ok(plugin) => {
            let version = plugin.manifest.plugin.version.as_deref().map(|version| format!(" {version}"));
            let (plugin, version) = (&plugin.manifest.plugin.name, version.unwrap_or_default());
            format!("plugin {plugin}{version}, every {every}, isolation {}", collector.isolation.word())
        }
        Err(why) => why.clone(),
    }
}

impl Diff {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.agent.is_empty() && self.collectors.is_empty() && self.sinks.is_empty()
    }

    /// How many collectors, sinks and keys of `[agent]` it is about.
    pub fn count(&self) -> usize {
        self.agent.len() + self.collectors.len() + self.sinks.len()
    }
}

/// A line for each, as `config diff` prints it.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.agent {
            let later = if FROM_NEXT_START.contains(&&*change.key) { "; from the next start" } else { "" };
            writeln!(f, "~ agent.{change}{later}")?;
        }
        for (what, steps) in [("collector", &self.collectors), ("sink", &self.sinks)] {
            for (name, step) in steps {
                match step {
                    Step::Comes(words) => writeln!(f, "+ {what} {name}: {words}")?,
                    Step::Goes => writeln!(f, "- {what} {name}")?,
                    Step::Retimed(changes) => writeln!(f, "~ {what} {name}: goes on; {}", list(changes))?,
                    Step::Noted(changes) => writeln!(f, "~ {what} {name}: is not touched; {}", list(changes))?,
                    Step::Anew(changes) if what == "sink" => {
                        writeln!(f, "~ {what} {name}: opened anew; {}", list(changes))?;
                    }
                    Step::Anew(changes) => writeln!(f, "~ {what} {name}: starts anew; {}", list(changes))?,
                }
            }
        }
        Ok(())
    }
}

fn list(changes: &[Changed]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".into());
        write!(f, "{}: {} → {}", self.key, word(&self.from), word(&self.to))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use plugin_api::host_side::manifest::{Allowance, Manifest};
    use plugin_api::host_side::options::OptionValue;

    use super::*;
    use crate::config::plan::{Format, PluginPlan};

    fn setting(name: &str, text: &str, secret: bool) -> Setting {
        Setting { name: name.into(), value: OptionValue::Text(text.into()), origin: None, secret }
    }

    fn collector(name: &str, options: Vec<Setting>) -> CollectorPlan {
        let manifest = "contract = \"1.0\"\n[plugin]\nname = \"ups\"\nversion = \"0.1.0\"\ndescription = \"d\"\n[metrics.a]\nunit = \"1\"\ndescription = \"a\"\n";
        let plugin = PluginPlan {
            path: PathBuf::from("/p/ups.so"),
            manifest: Arc::new(Manifest::parse(manifest).unwrap()),
            options: Settings { list: options },
            bundled: false,
        };
        CollectorPlan {
            name: name.into(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            required: false,
            isolation: Isolation::Process,
            isolation_written: false,
            allowance: Allowance::default(),
            grants: Vec::new(),
            plugin: Ok(plugin),
            settings: Settings::default(),
        }
    }

    fn sink(name: &str, format: Format) -> SinkPlan {
        SinkPlan { name: name.into(), kind: Ok(SinkKind::Stdout(format)), settings: Settings::default() }
    }

    fn told(old: (&[CollectorPlan], &[SinkPlan]), new: (&[CollectorPlan], &[SinkPlan])) -> String {
        let agent = Settings::default();
        let side = |collectors: &[CollectorPlan], sinks: &[SinkPlan]| (collectors.to_vec(), sinks.to_vec());
        let (old, new) = (side(old.0, old.1), side(new.0, new.1));
        fn of<'a>(agent: &'a Settings, (collectors, sinks): &'a (Vec<CollectorPlan>, Vec<SinkPlan>)) -> Side<'a> {
            let (offset, sandbox) = (Duration::ZERO, SandboxMode::Available);
            Side { agent, offset, sandbox, collectors: collectors.iter().collect(), sinks: sinks.iter().collect() }
        }
        diff(&of(&agent, &old), &of(&agent, &new), &|_| None).to_string()
    }

    #[test]
    fn what_comes_goes_or_differs_is_told_and_nothing_else() {
        let (a, mut b, c) = (collector("a", vec![]), collector("b", vec![]), collector("c", vec![]));
        let same = told((&[a.clone(), b.clone()], &[]), (&[b.clone(), a.clone()], &[]));
        assert_eq!(same, "");
        let old = [a, b.clone()];
        b.interval = Duration::from_secs(1);
        assert_eq!(
            told(
                (&old, &[sink("out", Format::Json)]),
                (&[b, c], &[sink("out", Format::Table), sink("x", Format::Json)])
            ),
            "~ collector b: goes on; interval: 5s → 1s\n\
             + collector c: plugin ups 0.1.0, every 5s, isolation process\n\
             - collector a\n\
             ~ sink out: opened anew; format: json → table\n\
             + sink x: stdout\n"
        );
    }

    #[test]
    fn option_starts_a_collector_anew_and_a_secret_is_compared_and_not_shown() {
        let old = collector("a", vec![setting("host", "x", false), setting("token", "hunter2", true)]);
        let new = collector("a", vec![setting("host", "y", false), setting("token", "hunter3", true)]);
        assert_eq!(
            told((&[old], &[]), (&[new], &[])),
            "~ collector a: starts anew; options.host: \"x\" → \"y\", options.token: *** → ***\n"
        );
    }

    #[test]
    fn whether_it_is_required_touches_no_collector() {
        let (old, mut new) = (collector("a", vec![]), collector("a", vec![]));
        new.required = true;
        assert_eq!(told((&[old], &[]), (&[new], &[])), "~ collector a: is not touched; required: false → true\n");
    }
}
