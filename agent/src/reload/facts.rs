//! What is known of the agent and its parts without asking any of them: written when it changes, read for the status.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plugin_api::host_side::manifest::Allowance;

use super::{NotReloaded, Reloaded};
use crate::config::agent::{AgentSettings, Trust, Watch};
use crate::control::status;
use crate::own;
use crate::schedule::clock;
use crate::schedule::far::lock;
use crate::schedule::ledger::{Books, Entry, Ledger};
use crate::setup::{Member, Setup};
use crate::sink::{QUEUE_SNAPSHOTS, Sinks};
use crate::snapshot::{Status, Wall, nanoseconds};

/// What is known. A clone is the same.
#[derive(Clone)]
pub struct Facts {
    ledger: Arc<Ledger>,
    sinks: Sinks,
    run: Arc<str>,
    started: (Wall, Instant),
    now: Arc<Mutex<Now>>,
}

/// What changes with a reload.
struct Now {
    agent: status::Agent,
    collectors: Vec<Collector>,
    reload: Option<status::Reload>,
}

struct Collector {
    place: usize,
    plugin: String,
    version: Option<String>,
    library: Option<String>,
    isolation: &'static str,
    interval: Duration,
    timeout: Duration,
    allowance: Allowance,
}

impl Facts {
    pub(super) fn new(ledger: Arc<Ledger>, sinks: Sinks, run: &str) -> Facts {
        let now = Now { agent: status::Agent::default(), collectors: Vec::new(), reload: None };
        let started = (clock::wall(), Instant::now());
        Facts { ledger, sinks, run: run.into(), started, now: Arc::new(Mutex::new(now)) }
    }

    /// This is what runs.
    pub(super) fn hold(&self, setup: &Setup, host: Option<String>, members: &[Member], own: (usize, Duration)) {
        let agent = agent(setup, host, &self.run, self.started.0);
        let mut collectors: Vec<_> = members.iter().map(collector).collect();
        collectors.push(Collector {
            place: own.0,
            plugin: own::NAME.into(),
            version: Some(env!("CARGO_PKG_VERSION").into()),
            library: None,
            isolation: "none",
            interval: own.1,
            timeout: Duration::from_secs(1),
            allowance: Allowance::default(),
        });
        let mut now = lock(&self.now);
        (now.agent, now.collectors) = (agent, collectors);
    }

    /// This came of the last reload.
    pub(super) fn reloaded(&self, done: &Result<Reloaded, NotReloaded>) {
        let (applied, text) = match done {
            Ok(reloaded) => (true, reloaded.to_string()),
            Err(refused) => (false, refused.text.clone()),
        };
        lock(&self.now).reload = Some(status::Reload { at: clock::wall().into(), applied, text });
    }

    /// How the agent stands.
    pub fn status(&self) -> status::Status {
        let mut status = status::Status::default();
        let now = lock(&self.now);
        (status.agent, status.reload) = (now.agent.clone(), now.reload.clone());
        // Copied, so that the collection thread's books are held for a moment only.
        let mut books = Books::default();
        self.ledger.copy_to(&mut books);
        let entry = |facts: &Collector| books.collectors.get(facts.place);
        status.collectors = now.collectors.iter().filter_map(|facts| Some(told(facts, entry(facts)?))).collect();
        let agent = &mut status.agent;
        agent.tick = (books.snapshots > 0).then_some(books.tick.into());
        (agent.late_seconds, agent.snapshots) = (books.late.as_secs_f64(), books.snapshots);
        drop(now);
        status.agent.at = clock::wall().into();
        status.agent.uptime_seconds = self.started.1.elapsed().as_secs_f64();
        status.sinks = self.sinks.with(|sinks| {
            let told = |sink: &mut crate::sink::worker::Worker| {
                let standing = sink.queue.standing();
                status::Sink {
                    name: sink.name.to_string(),
                    kind: sink.kind.into(),
                    depth: standing.depth as u64,
                    capacity: QUEUE_SNAPSHOTS as u64,
                    written: standing.written,
                    lost: standing.lost,
                    error: if sink.queue.is_abandoned() {
                        Some("nobody reads it any more".into())
                    } else {
                        sink.queue.trouble()
                    },
                }
            };
            sinks.iter_mut().map(told).collect()
        });
        status
    }

    /// How the agent stands, for who has a line: `5 collectors, 4 ok; ups: timeout`.
    pub fn in_a_line(&self) -> String {
        let is_copy = lock(&self.now).agent.last_good.is_some();
        let copy = if is_copy { "config refused, runs with the last good one; " } else { "" };
        self.ledger.with(|books| {
            let here: Vec<_> = books.collectors.iter().filter(|entry| !entry.vacant).collect();
            let bad: Vec<_> = here
                .iter()
                .filter_map(|entry| Some((&entry.name, entry.status.filter(|status| *status != Status::Ok)?)))
                .map(|(name, status)| format!("{name}: {}", status.word()))
                .collect();
            let (count, ok) = (here.len(), here.len() - bad.len());
            let bad = if bad.is_empty() { String::new() } else { format!("; {}", bad.join(", ")) };
            format!("{copy}{count} collectors, {ok} ok{bad}")
        })
    }
}

fn agent(setup: &Setup, host: Option<String>, run: &str, started: Wall) -> status::Agent {
    let agent: &AgentSettings = &setup.plan.agent;
    let (watch, trust) = (watch_word(agent.watch), if agent.trust == Trust::Strict { "strict" } else { "relaxed" });
    status::Agent {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        run: run.to_owned(),
        host,
        started: started.into(),
        config: setup.config.main_file(),
        drop_ins: setup.config.drop_ins(),
        last_good: setup.config.stands_in().map(|copy| copy.path.display().to_string()),
        state_dir: agent.state_dir.display().to_string(),
        control: agent.control.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        watch: watch.into(),
        trust: trust.into(),
        locked: agent.require_lock,
        log_level: agent.log_level.to_string().to_lowercase(),
        ..status::Agent::default()
    }
}

fn watch_word(watch: Watch) -> &'static str {
    match watch {
        Watch::All => "all",
        Watch::ConfD => "conf.d",
        Watch::Off => "off",
    }
}

fn collector(member: &Member) -> Collector {
    let plan = &member.plan;
    let plugin = plan.plugin.as_ref().ok();
    Collector {
        place: member.place,
        plugin: plugin.map_or_else(|| plan.name.clone(), |plugin| plugin.manifest.plugin.name.clone()),
        version: plugin.and_then(|plugin| plugin.manifest.plugin.version.clone()),
        library: plugin.map(|plugin| plugin.path.display().to_string()),
        isolation: plan.isolation.word(),
        interval: plan.interval,
        timeout: plan.timeout,
        allowance: plan.allowance,
    }
}

fn told(facts: &Collector, entry: &Entry) -> status::Collector {
    let well = matches!(entry.status, None | Some(Status::Ok));
    let seconds = |time: Duration| (entry.calls > 0).then_some(time.as_secs_f64());
    let mean = |time: Duration| seconds(Duration::from_nanos(nanoseconds(time) / entry.calls.max(1)));
    status::Collector {
        name: entry.name.to_string(),
        plugin: facts.plugin.clone(),
        version: facts.version.clone(),
        library: facts.library.clone(),
        status: entry.status.map(|status| status.word().into()),
        since: (!well && entry.since.0 > 0).then_some(entry.since.into()),
        error: (!entry.error.is_empty()).then(|| entry.error.to_string()),
        placement: entry.place.word().into(),
        pid: None,
        isolation: facts.isolation.into(),
        interval_seconds: facts.interval.as_secs_f64(),
        timeout_seconds: facts.timeout.as_secs_f64(),
        last_seconds: seconds(entry.last),
        mean_seconds: mean(entry.took),
        mean_cpu_seconds: mean(entry.cpu),
        next_due: (entry.next_due.0 > 0).then_some(entry.next_due.into()),
        calls: entry.calls,
        failures: entry.failures,
        timeouts: entry.timeouts,
        skipped: entry.skipped,
        missed: entry.missed,
        dropped: entry.dropped,
        refused: entry.refused,
        rows_lost: entry.rows_lost,
        over_budget: entry.over_budget,
        restarts: entry.restarts,
        budget: status::Budget {
            cpu_seconds: facts.allowance.cpu.as_secs_f64(),
            memory_bytes: facts.allowance.memory,
            descriptors: facts.allowance.descriptors as u64,
        },
        memory_bytes: entry.memory,
        quarantined: entry.quarantined,
    }
}
