//! Reloads at the wrong moment, and too many of them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;

use super::super::mocked::{snapshots, wait_until};
use super::scene::{Ended, Live, STEADY, Scene, ask, assert_gone};
use super::variant::Variant;

const RELOAD: &str = "{\"ask\":\"reload\"}";

/// Labels that tell which config was the last.
fn numbered(scene: &Scene, number: usize) {
    let come = scene.table(&format!("c{}", number % 3), "counting", "isolation = \"process\"");
    scene.configure(&format!("labels = {{ number = \"{number}\" }}"), &come);
}

#[test]
fn storm_of_sighups_ends_with_the_last_config_and_touches_nobody() {
    let scene = Scene::new();
    scene.configure("", "");
    let mut live = scene.start();
    for number in 0..200 {
        if number % 10 == 0 {
            numbered(&scene, number);
        }
        live.agent.signal(Signal::HUP);
    }
    live.find("the last config", 0, |snapshot| snapshot["labels"]["number"] == "190");
    // Signals that came while one was at it are one: it has an end.
    live.until("it is quiet", |told| {
        told.len() > 3 && told[told.len() - 3..].iter().all(|told| told.get("_events").is_none())
    });
    assert_eq!(live.reload(), "nothing has changed\n");
    live.assert_untouched(&STEADY);
    live.end();
}

#[test]
fn reloads_of_many_clients_at_once_are_done_one_after_the_other() {
    let scene = Scene::new();
    scene.configure("", "");
    let mut live = scene.start();
    for round in 0..5 {
        numbered(&scene, round);
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let socket = live.socket.clone();
                thread::spawn(move || {
                    ask(&socket, if number % 4 == 3 { "{\"ask\":\"diff\"}" } else { RELOAD }).unwrap()
                })
            })
            .collect();
        let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(answers.iter().all(|answer| answer["code"] == 0), "{answers:?}");
        let did =
            |words: &str| answers.iter().filter(|answer| answer["text"].as_str().unwrap().contains(words)).count();
        assert_eq!((did("nothing has changed"), did("nothing would change") <= 2), (5, true), "{answers:?}");
        let number = round.to_string();
        live.find("this round's config", 0, |snapshot| snapshot["labels"]["number"] == *number);
    }
    live.more(4);
    live.assert_untouched(&STEADY);
    live.end();
}

/// Whether a process hears SIGHUP by now, which would have ended it before.
fn hears_sighup(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap_or("0");
    u64::from_str_radix(caught, 16).unwrap() & 1 != 0
}

#[test]
fn reload_in_the_middle_of_a_start_comes_after_it() {
    let scene = Scene::new();
    for round in 0..10 {
        numbered(&scene, 2 * round);
        let mut live = scene.begin(&[]);
        let (by_signal, socket) = (round % 2 == 0, live.socket.clone());
        if by_signal {
            wait_until("it hears SIGHUP", || hears_sighup(live.agent.pid()));
        }
        numbered(&scene, 2 * round + 1);
        if by_signal {
            live.agent.signal(Signal::HUP);
        } else {
            let answer = ask(&socket, RELOAD).unwrap();
            assert_eq!(answer["code"], 0, "{answer}");
        }
        let number = (2 * round + 1).to_string();
        live.find("the config of after the start", 0, |snapshot| snapshot["labels"]["number"] == *number);
        assert_eq!(live.told[0]["sequence"], 0);
        live.more(2);
        live.assert_one_run();
        live.end();
    }
}

/// Ends it while it is being asked without end.
fn ends_under(live: Live, requests: &'static [&'static str]) {
    let (socket, over) = (live.socket.clone(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (socket, over): (PathBuf, _) = (socket.clone(), Arc::clone(&over));
            thread::spawn(move || {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) && socket.exists() {
                    // Who is hung up on at the end hears nothing.
                    answered += requests.iter().filter(|request| heard(&socket, request)).count();
                }
                answered
            })
        })
        .collect();
    let mut live = live;
    live.more(3);
    let Ended { finished, .. } = live.end();
    over.store(true, Ordering::Relaxed);
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > 0, "{finished}");
    assert!(!socket.exists(), "the socket is left behind");
}

/// Whether it was answered: unlike [`ask`], waits for nobody who is not there.
fn heard(socket: &PathBuf, request: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(socket) else { return false };
    let mut answer = String::new();
    stream.write_all(format!("{request}\n").as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_ok()
        && answer.contains("\"version\"")
}

#[test]
fn end_comes_cleanly_while_clients_ask_for_reloads() {
    for round in 0..3 {
        let scene = Scene::new();
        numbered(&scene, round);
        let live = scene.start();
        numbered(&scene, round + 1);
        ends_under(live, &[RELOAD, "{\"ask\":\"status\"}", "{\"ask\":\"diff\"}"]);
    }
}

#[test]
fn end_in_the_middle_of_a_reload_is_clean_and_leaves_nobody_behind() {
    for isolation in ["none", "process"] {
        let scene = Scene::new();
        let library = scene.site.path("plugins/swap.so");
        let build = Variant { version: "1.0.0", more: &[], tail: "" };
        build.install(&library);
        scene.site.write("swap", super::scene::counting());
        let swap = format!(
            "[collectors.swap]\nisolation = \"{isolation}\"\ntimeout = \"1m\"\ninterval = \"2m\"\noptions = {{ script = \"swap\" }}\n"
        );
        scene.configure("", &swap);
        let live = scene.start();
        scene.site.write("swap", "hang=forever");
        Variant { tail: isolation, ..build }.install(&library);
        let before = live.children().len();
        let socket = live.socket.clone();
        let client = thread::spawn(move || ask(&socket, RELOAD));
        wait_until("the candidate is started", || live.children().len() > before);
        let children = live.children();
        live.end();
        assert_gone(&children);
        // It was told that the end came, or nothing.
        if let Ok(answer) = client.join().unwrap() {
            assert_ne!(answer["code"], 0, "{answer}");
        }
    }
}

/// A sink of one file, by a name and with settings that differ from number to number.
fn written(scene: &Scene, number: usize) {
    let name = ["one", "two", "two"][number % 3];
    let file =
        format!("type = \"file\"\npath = \"s.jsonl\"\nmin_free = \"0B\"\nkeep = {{ files = {} }}", number % 2 + 1);
    scene.configure("", &format!("[sinks.out]\ntype = \"stdout\"\nformat = \"json\"\n[sinks.{name}]\n{file}\n"));
}

#[test]
fn end_while_sinks_are_being_changed_loses_no_snapshot() {
    for _ in 0..5 {
        let scene = Scene::new();
        written(&scene, 0);
        let live = scene.start();
        let (socket, over) = (live.socket.clone(), Arc::new(AtomicBool::new(false)));
        let changes = {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let mut applied = 0;
                for number in 1.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    written(&scene, number);
                    applied += usize::from(heard(&socket, RELOAD));
                }
                (scene, applied)
            })
        };
        let mut live = live;
        live.more(4);
        let Ended { told, .. } = live.end();
        over.store(true, Ordering::Relaxed);
        let (scene, applied) = changes.join().unwrap();
        assert!(applied > 3, "{applied}");
        let sequence = |snapshot: &serde_json::Value| snapshot["sequence"].as_u64().unwrap();
        let written: Vec<u64> = snapshots(&scene.site.path("s.jsonl")).iter().map(sequence).collect();
        assert_eq!(written, (0..=sequence(told.last().unwrap())).collect::<Vec<_>>());
    }
}
