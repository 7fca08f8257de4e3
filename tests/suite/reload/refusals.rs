//! What is refused is refused as a whole: nothing of the rest of that reload is to be seen.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::super::hostile::beside::events;
use super::scene::{Live, STEADY, Scene};
use super::variant::Variant;

const STDOUT: &str = "[sinks.out]\ntype = \"stdout\"\nformat = \"json\"\n";
const FILE: &str = "[sinks.file]\ntype = \"file\"\npath = \"file/s.jsonl\"\nmin_free = \"0B\"\n";
const SWAP: &str = "[collectors.swap]\nisolation = \"process\"\noptions = { script = \"swap\" }\n";
const BUILD: Variant<'_> = Variant { version: "1.0.0", more: &[], tail: "" };

/// An agent beside which all kinds of things are to change: a collector that goes, a collector that is retimed, a library that is swapped, labels
/// and sinks; and one thing that is refused.
struct Whole {
    scene: Scene,
    live: Live,
}

impl Whole {
    fn new() -> Whole {
        let scene = Scene::new();
        scene.site.write("swap", super::scene::counting());
        fs::create_dir(scene.site.path("file")).unwrap();
        BUILD.install(&scene.site.path("plugins/swap.so"));
        let rest = SWAP.to_owned()
            + &scene.table("gone", "counting", "isolation = \"process\"")
            + &scene.table("timed", "counting", "isolation = \"none\"")
            + STDOUT
            + FILE;
        scene.configure("labels = { site = \"a\" }", &rest);
        Whole { live: scene.start(), scene }
    }

    /// What changes beside what is refused, which `more` is.
    fn change(&self, more: &str) {
        let rest = SWAP.to_owned()
            + &self.scene.table("timed", "counting", "isolation = \"none\"\ninterval = \"1s\"")
            + &self.scene.table("come", "counting", "isolation = \"process\"")
            + &STDOUT.replace("out]", "stdout]")
            + &FILE.replace("file/", "elsewhere/")
            + more;
        self.scene.configure("labels = { site = \"b\" }", &rest);
    }

    /// Reloads, and holds the agent to having stayed as it was.
    #[track_caller]
    fn assert_refused(&mut self, code: u8, words: &[&str]) {
        let (before, child) = (self.live.now(), self.live.child("swap"));
        let told = self.live.refused(code);
        for words in words {
            assert!(told.contains(words), "{words:?} is not in: {told}");
        }
        let (_, event) = self.live.reload_event(before);
        let cause = event["cause"].as_str().unwrap_or("");
        assert!(cause.starts_with("refused: ") && event.get("count").is_none(), "{event}");
        self.live.more(4);
        for (place, snapshot) in self.live.told.iter().enumerate().skip(before) {
            assert!(snapshot.get("come").is_none() && snapshot["labels"]["site"] == "a", "{snapshot}");
            for name in ["gone", "timed", "swap"] {
                let section = &snapshot[name];
                if self.live.is_excused(place - 1, place) {
                    continue;
                }
                assert!(section.is_null() || section["_status"] == "ok", "{name}: {snapshot}");
                assert_eq!(events(snapshot, name).find(|event| event["kind"] != "missed"), None, "{snapshot}");
            }
        }
        assert_eq!(self.live.child("swap"), child);
        assert!(!self.scene.site.path("elsewhere/s.jsonl").exists(), "what was opened is left behind");
        // Who was to be started beside them has ended.
        let children: Vec<_> = self.live.children().into_iter().map(|child| child.line).collect();
        assert_eq!(children.len(), 3, "{children:?}");
    }

    /// In the end all of it is taken up.
    #[track_caller]
    fn end(mut self) {
        self.live.assert_untouched(&STEADY);
        self.live.assert_untouched(&["gone", "timed", "swap"]);
        let text = self.live.reload();
        for line in ["+ collector come", "- collector gone", "~ collector timed", "~ agent.labels", "sink stdout"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let (place, _) = self.live.event(0, "start", "come");
        self.live.more(3);
        assert!(self.live.told[place..].iter().all(|snapshot| snapshot["labels"]["site"] == "b"));
        self.live.assert_untouched(&STEADY);
        let told = self.live.end().told;
        // What the file sink has from before, from the refused reloads and from after them.
        let mut written: Vec<u64> = ["file/s.jsonl", "elsewhere/s.jsonl"]
            .iter()
            .flat_map(|path| super::super::mocked::snapshots(&self.scene.site.path(path)))
            .map(|snapshot| snapshot["sequence"].as_u64().unwrap())
            .collect();
        let whole: Vec<u64> = (0..=told.last().unwrap()["sequence"].as_u64().unwrap()).collect();
        written.sort_unstable();
        assert_eq!(written, whole);
    }
}

#[test]
fn typing_error_is_refused_with_its_place_and_what_was_meant() {
    let mut whole = Whole::new();
    whole.change("[collectors.typo]\nplugin = \"mock\"\nintervall = \"1s\"\n");
    whole.assert_refused(78, &["perfwatch.toml:", "unknown key `intervall`", "did you mean `interval`?"]);
    let reload = whole.scene.site.output(["reload"]);
    assert_eq!((reload.code(), &*reload.stdout), (78, ""), "{reload}");
    assert!(reload.stderr.contains("did you mean `interval`?"), "{reload}");
    whole.change("");
    whole.end();
}

#[test]
fn faulty_file_of_conf_d_refuses_the_whole() {
    let mut whole = Whole::new();
    whole.change("");
    let path = whole.scene.site.write("conf.d/10-more.toml", "[collectors.more]\nplugin = 7\n");
    whole.assert_refused(78, &["conf.d/10-more.toml"]);
    fs::remove_file(path).unwrap();
    whole.end();
}

#[test]
fn sink_that_cannot_be_opened_refuses_the_whole() {
    let mut whole = Whole::new();
    whole.scene.site.write("occupied", "not a folder");
    whole.change("[sinks.zz]\ntype = \"file\"\npath = \"occupied/s.jsonl\"\n");
    whole.assert_refused(78, &["sink `zz`", "occupied"]);
    // Also where one that runs is to write to another.
    whole.change("");
    let text = fs::read_to_string(whole.scene.site.path("perfwatch.toml")).unwrap();
    whole.scene.site.config(&text.replace("elsewhere/", "occupied/"));
    whole.assert_refused(78, &["sink `file`", "occupied"]);
    whole.change("");
    whole.end();
}

#[test]
fn required_plugin_that_is_gone_refuses_the_whole() {
    let mut whole = Whole::new();
    let library = whole.scene.site.path("plugins/swap.so");
    fs::rename(&library, whole.scene.site.path("swap.so")).unwrap();
    whole.change("");
    let text = fs::read_to_string(whole.scene.site.path("perfwatch.toml")).unwrap();
    let required = text.replace("[collectors.swap]\n", "[collectors.swap]\nrequired = true\n");
    whole.scene.site.config(&required);
    whole.assert_refused(78, &["collector swap is required", "no plugin `swap`"]);
    // A link to nowhere is no plugin either.
    symlink("nowhere", &library).unwrap();
    whole.assert_refused(78, &["collector swap is required"]);
    fs::rename(whole.scene.site.path("swap.so"), &library).unwrap();
    whole.change("");
    whole.end();
}

#[test]
fn changed_library_that_does_not_do_is_refused_and_the_old_one_goes_on() {
    let mut whole = Whole::new();
    whole.change("");
    let library = whole.scene.site.path("plugins/swap.so");
    for (number, (script, words)) in [
        ("panic=ouch", "panicked: ouch"),
        ("new panic=aua", "panicked: aua"),
        ("abort=now", "SIGABRT"),
        ("exit=0", "exit status: 0"),
        ("error=\"no such thing\"", "no such thing"),
        ("new denied=\"no key\"", "no key"),
        ("hang=forever", "no answer for "),
        ("new hang=forever", "no answer for "),
        ("value=x", "line 1: not a number"),
    ]
    .into_iter()
    .enumerate()
    {
        whole.scene.site.write("swap", script);
        Variant { version: "1.0.1", tail: &number.to_string(), ..BUILD }.install(&library);
        whole.assert_refused(78, &["collector swap: ", words]);
    }
    fs::write(&library, &BUILD.bytes()[..100_000]).unwrap();
    whole.assert_refused(78, &["collector swap: ", "truncated"]);
    BUILD.install(&library);
    whole.end();
}

#[test]
fn collector_that_comes_and_whose_library_cannot_be_loaded_refuses_the_whole() {
    let mut whole = Whole::new();
    for (library, words) in [
        ("aborts_on_load", "died: signal: 6 (SIGABRT)"),
        ("hangs_on_load", "its constructors hung while it was loaded"),
        ("no_module", "it does not export"),
    ] {
        let path = whole.scene.site.plugin(library);
        whole.change(&format!("[collectors.bad]\npath = {path:?}\nisolation = \"none\"\n"));
        whole.assert_refused(78, &["collector bad", words]);
    }
    whole.change("");
    whole.end();
}

#[test]
fn refused_reload_leaves_nothing_for_the_next_to_trip_over() {
    let mut whole = Whole::new();
    for _ in 0..3 {
        whole.change("[sinks.zz]\ntype = \"file\"\npath = \"/proc/s.jsonl\"\n");
        whole.assert_refused(78, &["sink `zz`"]);
        assert_eq!(whole.live.ask("{\"ask\":\"diff\"}")["code"], 0);
    }
    whole.change("");
    let status: Value = whole.live.ask("{\"ask\":\"status\"}");
    assert_eq!(status["status"]["reload"]["applied"], false, "{status}");
    whole.end();
}
