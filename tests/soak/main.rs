//! Half an hour of misbehaviour: the real agent at 100 ms a tick, five good collectors, and beside them collectors that hang, sleep,
//! panic, fail, flood, exit and abort, in children, in the agent and on their way between them; and children that are killed, stopped
//! and made to crash by somebody else. Afterwards every line that it wrote is read.
//!
//! `cargo run --release -p perfwatch-tests --example soak -- --minutes 30 --seed 1`
//!
//! Exits with 1 where a promise is broken that no load of the machine explains: a line that is no snapshot, a hole in the sequence, a
//! tick off the grid, threads, descriptors or memory that grow, a zombie or an orphan. Ticks that were missed and readings that were
//! late are counted, beside those that a thread of the same priority missed which does nothing else.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program with something to say")]

mod chance;
mod check;
mod cruelty;
mod members;
mod sample;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, thread};

use chance::Chance;
use check::Told;
use cruelty::Cruelty;
use harness::{Running, Site};
use members::MEMBERS;
use rustix::process::{Signal, setpriority_process};
use sample::Sample;
use witness::Witness;

/// Between two looks at the agent.
const LOOK: Duration = Duration::from_secs(5);
/// Rows of the table: the start, and the ends of so many parts.
const PARTS: usize = 6;
/// What private memory may grow by from the second part to the last, beside half of it: every buffer in turn comes to hold the largest
/// reading, of megabytes here, and scripts lie in the agent too.
const MEMORY_SLACK_KIB: u64 = 2048;

struct Arguments {
    minutes: f64,
    seed: u64,
    nice: i32,
    keep: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Result<Arguments, String> {
        let mut arguments = Arguments { minutes: 30.0, seed: 1, nice: 0, keep: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
            let wrong = |_| format!("{word} {value}: not a number");
            match &*word {
                "--minutes" => arguments.minutes = value.parse().map_err(|_| wrong(()))?,
                "--seed" => arguments.seed = value.parse().map_err(|_| wrong(()))?,
                "--nice" => arguments.nice = value.parse().map_err(|_| wrong(()))?,
                "--keep" => arguments.keep = Some(value.into()),
                _ => return Err(format!("{word}: none of --minutes N, --seed N, --nice N, --keep FOLDER")),
            }
        }
        Ok(arguments)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(told) => {
            eprintln!("{told}");
            return ExitCode::from(2);
        }
    };
    let mut chance = Chance::new(arguments.seed);
    let site = site(&mut chance, arguments.minutes);
    let agent = start(&site, arguments.nice);
    let (began, began_wall) = (Instant::now(), SystemTime::now());
    let length = Duration::from_secs_f64(arguments.minutes * 60.0);
    let witness = Witness::start(arguments.nice);
    let cruelty = Cruelty::start(agent.pid(), Chance::new(arguments.seed ^ 1));
    let (samples, ended_early) = watch(&site, &agent, &mut chance, began, length);
    let acts = cruelty.stop();
    let witness = witness.stop();

    let mut broken = Vec::new();
    if ended_early {
        broken.push("the agent ended by itself".to_owned());
    }
    let ending = Instant::now();
    let log = end(agent, ended_early, &mut broken);
    println!("ended {:?} after SIGTERM", ending.elapsed());
    let orphans = sample::running(&site.path("bin/perfwatch"));
    if orphans > 0 {
        broken.push(format!("{orphans} processes outlived the agent"));
    }
    let told = Told::read(&site.path("data"), began_wall, length, PARTS);
    broken.extend(told.broken.iter().cloned());
    broken.extend(leaks(&samples));

    told.print(&samples, length);
    acts.print();
    witness.print();
    if let Some(folder) = arguments.keep.or_else(|| (!broken.is_empty()).then(|| "soak-kept".into())) {
        keep(&site, &log, &folder);
    }
    if broken.is_empty() {
        println!("every promise was kept");
        return ExitCode::SUCCESS;
    }
    broken.iter().for_each(|told| println!("BROKEN: {told}"));
    ExitCode::FAILURE
}

fn site(chance: &mut Chance, minutes: f64) -> Site {
    let site = Site::new();
    for name in ["cpu", "memory", "network", "disk"] {
        site.bundled(name);
    }
    site.plugin("mock");
    fs::create_dir(site.path("data")).expect("a new folder");
    // More lines than readings, so that each is told from the one before.
    let readings = (minutes * 600.0 * 1.2) as u64 + 600;
    site.write("steady", (1..=readings).map(|count| format!("value=1 count={count}\n")).collect::<String>());
    let mut config = String::from(
        "[agent]\ninterval = \"100ms\"\ncollect = \"named\"\n\
         [sinks.file]\ntype = \"file\"\npath = \"data/s.jsonl\"\nrotate = { size = \"8MiB\" }\nkeep = { total = \"50GiB\" }\n\
         [collectors.cpu]\ninterval = \"100ms\"\n[collectors.memory]\ninterval = \"100ms\"\n\
         [collectors.network]\ninterval = \"100ms\"\n[collectors.disk]\ninterval = \"100ms\"\n\
         [collectors.steady]\nplugin = \"mock\"\nisolation = \"none\"\noptions = { script = \"steady\" }\n",
    );
    for member in &MEMBERS {
        site.write(member.name, member.script(chance));
        config.push_str(&member.config());
    }
    site.config(&config);
    site
}

/// The priority is that of the thread that starts it, and then that of all its threads and children.
fn start(site: &Site, nice: i32) -> Running {
    let set = |nice| {
        if let Err(cause) = setpriority_process(None, nice) {
            eprintln!("could not set the priority to {nice}: {cause}");
        }
    };
    set(nice);
    let agent = site.start(["run"]);
    set(0);
    agent
}

/// Looks at the agent every [`LOOK`], gives its scripts other lines, and sends SIGHUP now and then. Tells whether it ended by itself.
fn watch(site: &Site, agent: &Running, chance: &mut Chance, began: Instant, length: Duration) -> (Vec<Sample>, bool) {
    let mut samples = Vec::new();
    let mut hang_up = Duration::from_secs(10);
    loop {
        thread::sleep(LOOK.min(length.saturating_sub(began.elapsed())));
        let Some(sample) = Sample::take(agent.pid(), began.elapsed()) else { return (samples, true) };
        samples.push(sample);
        if began.elapsed() >= length {
            return (samples, false);
        }
        for member in MEMBERS.iter().filter(|member| member.changes()) {
            members::overwrite(&site.path(member.name), &member.script(chance));
        }
        if began.elapsed() > hang_up {
            agent.signal(Signal::HUP);
            hang_up += Duration::from_secs(10 + chance.below(30));
        }
    }
}

/// Ends it, and gives what it said.
fn end(agent: Running, ended_early: bool, broken: &mut Vec<String>) -> String {
    if !ended_early {
        agent.signal(Signal::TERM);
    }
    let finished = agent.wait();
    if finished.status.code() != Some(0) {
        broken.push(format!("it ended with {}", finished.status));
    }
    finished.stderr
}

fn leaks(samples: &[Sample]) -> Vec<String> {
    let mut broken = Vec::new();
    let Some(first) = samples.first() else { return vec!["nothing was seen of it".into()] };
    // Every collector in the agent may come to have a thread, and every one that moves leaves one behind.
    let threads = first.threads + MEMBERS.iter().filter(|member| member.isolation != "process").count() as u64;
    // A socket and a pidfd for each child; what else it takes, it has at the start.
    let descriptors = first.descriptors + 2 * MEMBERS.len() as u64;
    let most = |what: fn(&Sample) -> u64| samples.iter().map(what).max().unwrap_or(0);
    for (what, most, allowed) in [
        ("threads", most(|sample| sample.threads), threads),
        ("descriptors", most(|sample| sample.descriptors), descriptors),
        ("children", most(|sample| sample.children.len() as u64), MEMBERS.len() as u64),
    ] {
        if most > allowed {
            broken.push(format!("{most} {what}, and {allowed} are enough"));
        }
    }
    for pair in samples.windows(2) {
        for pid in pair[1].zombies.iter().filter(|pid| pair[0].zombies.contains(pid)) {
            broken.push(format!("{pid} stayed a zombie at {:?}", pair[1].at));
        }
    }
    let part = samples.len() / PARTS;
    let median = |samples: &[Sample]| {
        let mut all: Vec<u64> = samples.iter().map(|sample| sample.private_dirty_kib).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    let (early, late) = (median(&samples[part..2 * part]), median(&samples[samples.len() - part..]));
    println!("private dirty memory, median of the second sixth {early} KiB, of the last {late} KiB");
    if late > early + early / 2 + MEMORY_SLACK_KIB {
        broken.push(format!("private memory grew from {early} to {late} KiB"));
    }
    broken
}

fn keep(site: &Site, log: &str, folder: &PathBuf) {
    let kept = fs::create_dir_all(folder).and_then(|()| {
        fs::write(folder.join("log"), log)?;
        fs::copy(site.path("perfwatch.toml"), folder.join("perfwatch.toml"))?;
        for entry in fs::read_dir(site.path("data"))? {
            let entry = entry?;
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        Ok(())
    });
    match kept {
        Ok(()) => println!("data, config and log are in {}", folder.display()),
        Err(cause) => eprintln!("could not keep the data in {}: {cause}", folder.display()),
    }
}
