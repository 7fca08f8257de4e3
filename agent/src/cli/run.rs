//! `perfwatch run`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::code;
use crate::agent::{Agent, Parts, SHUTDOWN};
use crate::assemble::{self, Timing};
use crate::own::Sources;
use crate::plugin::find::{find, folders};
use crate::plugin::known::Bundled;
use crate::plugin::trust::Authority;
use crate::schedule::ledger::Ledger;
use crate::sink::encode::json::Json;
use crate::sink::stdout::{Format, Stdout};
use crate::sink::worker::Worker;
use crate::snapshot::Identity;
use crate::{stdio, stop};
use plugin_api::host_side::fault::{Origin, Sources as Texts};
use plugin_api::host_side::options;
use plugin_api::host_side::roots::Roots;
use plugin_api::host_side::tree;

pub(super) fn run(_config: Option<&Path>) -> u8 {
    let closed = Arc::new(Notify::new());
    let agent = Agent::start(parts(&closed, Duration::from_secs(1), None), Arc::clone(&closed)).expect("start");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("runtime");
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).expect("signal");
        let mut terminate = signal(SignalKind::terminate()).expect("signal");
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = agent.closed() => {}
        }
    });
    let _ = SHUTDOWN;
    let _ = stop::exit;
    if agent.stop().is_clean() { code::OK } else { code::FAILED }
}

pub(super) fn parts(closed: &Arc<Notify>, interval: Duration, snapshots: Option<u64>) -> Parts {
    let output = stdio::guard().expect("stdout");
    let authority = Authority::of_this_agent();
    let found = find(&folders(&[]), &Bundled::of_this_agent(), &authority);
    for fault in &found.faults {
        eprintln!("{fault}");
    }
    let timing = Timing { interval, offset: Duration::ZERO, timeout: Duration::from_millis(800) };
    let roots = Arc::new(Roots::new(Path::new("/")));
    let ledger = Arc::new(Ledger::default());
    let mut recruits = Vec::new();
    for known in &found.plugins {
        let manifest = Arc::clone(&known.manifest);
        let (table, _) = tree::parse(0, "");
        let mut faults = Vec::new();
        let settings = options::check(
            &manifest.options,
            &table,
            Origin::default(),
            &|_: &Path| Err(std::io::Error::other("no")),
            &mut Texts::of("", ""),
            &mut faults,
        );
        let module = assemble::load(known, &authority, Path::new("/tmp"));
        if let Err(why) = &module {
            eprintln!("{}: {why}", known.name());
        }
        recruits.push(assemble::recruit(known.name(), &manifest, &settings, timing, &roots, module));
    }
    let on_closed = Arc::clone(closed);
    let sink = Stdout::new(output, Format::Json(Json::default()));
    let worker =
        Worker::start("stdout".into(), Box::new(sink), Box::new(move || on_closed.notify_one())).expect("thread");
    let sources =
        Sources { ledger: Arc::clone(&ledger), sinks: vec![(Arc::clone(&worker.name), Arc::clone(&worker.queue))] };
    recruits.push(assemble::own(timing, sources));
    Parts {
        identity: Identity { host: None, run: "0".repeat(32), labels: vec![] },
        ledger,
        recruits,
        sinks: vec![worker],
        streams: vec![],
        snapshots,
    }
}
