//! A plugin that hangs holds no reload up: not in the agent, not in a child, and not for the ten minutes that it may take.

use std::time::{Duration, Instant};

use super::scene::{Live, STEADY, Scene};
use super::variant::Variant;

/// For a reload: it takes milliseconds, a tick that goes on is hurried after a second, and a candidate that hangs has ten.
const SOON: Duration = Duration::from_secs(20);
/// An interval and a timeout of which nobody waits for the end.
const FOR_EVER: &str = "interval = \"1h\"\ntimeout = \"10m\"";

#[track_caller]
fn soon<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = act();
    assert!(began.elapsed() < SOON, "{what} took {:?}", began.elapsed());
    done
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.site.write("hang", "hang=forever");
    scene.site.write("new_hang", "new hang=forever");
    scene
}

fn hanging(scene: &Scene) -> String {
    [("near", "none"), ("far", "process"), ("auto", "auto")]
        .map(|(name, isolation)| {
            let more = format!("isolation = \"{isolation}\"\n{FOR_EVER}");
            scene.table(&format!("hang_{name}"), "hang", &more)
                + &scene.table(&format!("hang_new_{name}"), "new_hang", &more)
        })
        .concat()
}

fn goes_on(live: &mut Live) {
    live.more(4);
    live.assert_untouched(&STEADY);
}

#[test]
fn collectors_that_hang_hold_no_reload_up() {
    let scene = scene();
    scene.configure("", &hanging(&scene));
    let mut live = scene.start();
    live.more(2);
    scene.configure("labels = { site = \"b\" }", &(hanging(&scene) + &scene.table("come", "counting", "")));
    soon("a reload beside them", || live.reload());
    live.event(0, "start", "come");
    goes_on(&mut live);
    // They are retimed, and replaced, and leave, in the middle of their calls.
    scene.configure("", &hanging(&scene).replace("10m", "11m"));
    soon("a reload that retimes them", || live.reload());
    goes_on(&mut live);
    scene.configure(
        "",
        &hanging(&scene).replace("\"hang\" }", "\"counting\" }").replace("\"new_hang\" }", "\"counting\" }"),
    );
    soon("a reload that replaces them", || live.reload());
    goes_on(&mut live);
    scene.configure("", &hanging(&scene));
    let told = soon("a reload to what hangs", || live.refused(78));
    assert!(told.contains("no answer for"), "{told}");
    goes_on(&mut live);
    scene.configure("", "");
    soon("a reload without them", || live.reload());
    goes_on(&mut live);
    assert_eq!(live.children().len(), 1, "far has one");
    live.end();
}

#[test]
fn collectors_that_hang_may_come_and_leave() {
    let scene = scene();
    scene.configure("", "");
    let mut live = scene.start();
    for _ in 0..2 {
        scene.configure("", &hanging(&scene));
        soon("a reload in which they come", || live.reload());
        goes_on(&mut live);
        scene.configure("", "");
        soon("a reload in which they leave", || live.reload());
        goes_on(&mut live);
    }
    live.end();
}

#[test]
fn tick_in_which_all_hang_is_hurried_by_a_reload() {
    let scene = scene();
    // Nobody but these: the tick of the start would last for ten minutes.
    let alone = |more: &str| {
        let text =
            format!("[agent]\ninterval = \"1h\"\ncollect = \"named\"\nwatch = \"off\"\n{}{more}", hanging(&scene));
        scene.site.config(&text);
    };
    alone("");
    let mut live = scene.begin(&[]);
    soon("a reload of nothing", || live.reload());
    alone(&scene.table("come", "counting", ""));
    soon("a reload in the tick of the start", || live.reload());
    let (place, _) = live.event(0, "start", "come");
    assert_eq!(live.told[place]["come"]["count"], 1, "{}", live.told[place]);
    assert_eq!(live.told[0]["hang_near"]["_status"], "pending", "{}", live.told[0]);
    alone("");
    soon("a reload in which one leaves", || live.reload());
    live.end();
}

#[test]
fn changed_library_that_hangs_costs_its_patience_and_not_its_timeout() {
    let scene = scene();
    let library = scene.site.path("plugins/swap.so");
    let build = Variant { version: "1.0.0", more: &[], tail: "" };
    build.install(&library);
    scene.site.write("swap", super::scene::counting());
    let swap = |isolation: &str| {
        format!("[collectors.swap]\nisolation = \"{isolation}\"\noptions = {{ script = \"swap\" }}\n{FOR_EVER}\n")
    };
    for isolation in ["none", "process"] {
        scene.site.write("swap", super::scene::counting());
        scene.configure("", &swap(isolation));
        let mut live = scene.start();
        for (number, script) in ["hang=forever", "new hang=forever"].into_iter().enumerate() {
            scene.site.write("swap", script);
            Variant { tail: &format!("{isolation}{number}"), ..build }.install(&library);
            let told = soon("a reload to a library that hangs", || live.refused(78));
            assert!(told.contains("collector swap: ") && told.contains("no answer for"), "{told}");
        }
        goes_on(&mut live);
        live.end();
    }
}

#[test]
fn destructor_that_hangs_holds_nobody_up() {
    let scene = scene();
    scene.site.write("drop", "count=1\ndrop hang=forever");
    let many = |from: usize| {
        let names = (from..from + 3).map(|number| scene.table(&format!("c{number}"), "drop", "isolation = \"none\""));
        names.collect::<String>()
    };
    scene.configure("", &many(0));
    let mut live = scene.start();
    // More of them than threads are given to such.
    for round in 1..=12 {
        scene.configure("", &many(3 * round));
        soon("a reload in which some leave", || live.reload());
        live.more(1);
    }
    goes_on(&mut live);
    live.end();
}
