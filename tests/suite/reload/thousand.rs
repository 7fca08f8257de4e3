//! A thousand reloads leave the process as it was.

use std::fs;

use super::super::hostile::beside::processes;
use super::scene::{Live, STEADY, Scene, counting};
use super::variant::Variant;

/// Reloads, and those of them before the first look: pools and the allocator's arenas have found their size by then.
const RELOADS: usize = 1000;
const WARM_UP: usize = 200;
/// Private memory that may be there afterwards and was not before: each reload has a thread of its own, and arenas of an allocator
/// differ by what threads happened to meet in them. They step by some 300 KiB and then stand still (3.1 MiB after 300 reloads of a
/// release build, 3.4 after 1000 and after 2000); 1.3 KiB lost a reload would show.
const SLACK_KIB: u64 = 1024;

/// Collectors that are called in the agent: each has a thread of its own for as long as its calls take long.
const IN_THE_AGENT: usize = 4;

/// What a process has.
#[derive(Debug, PartialEq)]
struct Having {
    descriptors: usize,
    threads: usize,
    children: usize,
    zombies: usize,
}

fn having(live: &Live) -> Having {
    let count = |folder: &str| fs::read_dir(format!("/proc/{}/{folder}", live.agent.pid())).unwrap().count();
    let children: Vec<_> = processes().filter(|process| process.parent == live.agent.pid()).collect();
    Having {
        descriptors: count("fd"),
        threads: count("task"),
        children: children.len(),
        zombies: children.iter().filter(|child| child.state == 'Z').count(),
    }
}

/// Memory that nobody shares with it and that it has written to, in KiB.
fn private_kib(live: &Live) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", live.agent.pid())).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The config of one of five, of which the last is refused, and the next begin anew.
fn configure(scene: &Scene, number: usize) {
    let (agent, sink) = (format!("labels = {{ number = \"{number}\" }}"), number % 3);
    let sinks = format!(
        "[sinks.out]\ntype = \"stdout\"\nformat = \"json\"\n\
         [sinks.s{sink}]\ntype = \"file\"\npath = \"s{sink}.jsonl\"\nmin_free = \"0B\"\n\
         [sinks.same]\ntype = \"file\"\npath = \"same.jsonl\"\nmin_free = \"0B\"\nkeep = {{ files = {} }}\n",
        number % 4 + 1
    );
    let mut rest = scene.table("inner", if number.is_multiple_of(2) { "one" } else { "two" }, "isolation = \"none\"")
        + &scene.table("outer", if number.is_multiple_of(2) { "one" } else { "two" }, "isolation = \"process\"")
        + &scene.table("timed", "counting", &format!("isolation = \"none\"\ninterval = \"{}s\"", number % 5 + 1))
        + &scene.table(&format!("guest{}", number % 2), "one", "isolation = \"process\"")
        + &scene.table(&format!("inmate{}", number % 2), "one", "isolation = \"none\"")
        + &sinks;
    match number % 25 {
        4 => rest.push_str("[colectors.typo]\n"),
        9 => rest.push_str("[sinks.zz]\ntype = \"file\"\npath = \"/proc/zz\"\n"),
        14 => rest = rest.replace("guest", "unknown.plugin"),
        19 => rest.push_str("[collectors.need]\nplugin = \"nobody\"\nrequired = true\n"),
        24 => {
            rest = rest.replace("script = \"two\"", "script = \"bad\"").replace("script = \"one\"", "script = \"bad\"")
        }
        _ => {}
    }
    scene.configure(&agent, &rest);
}

#[test]
fn thousand_reloads_of_which_every_fifth_is_refused_leave_the_agent_as_it_was() {
    let scene = Scene::new();
    for (name, script) in [("one", "count=1\nvalue=1"), ("two", "count=1\nvalue=2"), ("bad", "error=\"no such thing\"")]
    {
        scene.site.write(name, script);
    }
    configure(&scene, 0);
    let mut live = scene.start();
    let mut before = None;
    for number in 1..=RELOADS {
        configure(&scene, number);
        let answer = live.ask("{\"ask\":\"reload\"}");
        assert_eq!(answer["code"] != 0, number % 5 == 4, "{number}: {answer}");
        live.catch_up();
        if number == WARM_UP {
            configure(&scene, 0);
            live.reload();
            live.more(3);
            before = Some((settled(&mut live, None), private_kib(&live)));
        }
    }
    configure(&scene, 0);
    live.reload();
    let (then, memory) = before.unwrap();
    live.more(3);
    let now = settled(&mut live, Some(&then));
    assert!(is_as_before(&now, &then), "{now:?} and before {then:?}");
    let grown = private_kib(&live).saturating_sub(memory);
    assert!(grown <= SLACK_KIB, "{grown} KiB more than the {memory} after {WARM_UP} reloads");
    live.assert_untouched(&STEADY);
    live.end();
}

/// But for the threads of collectors whose calls took long for once, and those who leave meanwhile.
fn is_as_before(now: &Having, before: &Having) -> bool {
    (now.descriptors, now.children, now.zombies) == (before.descriptors, before.children, 0)
        && now.threads <= before.threads + IN_THE_AGENT
}

/// What it has once those who leave have left; the same as before, if it comes to that.
fn settled(live: &mut Live, before: Option<&Having>) -> Having {
    let mut last = having(live);
    // Threads end, sinks write their last and children are buried after a reload has been answered.
    for _ in 0..20 {
        live.more(1);
        let now = having(live);
        if before.map_or(now == last, |before| is_as_before(&now, before)) {
            return now;
        }
        last = now;
    }
    last
}

/// What swaps of a library leave behind, where there is no way to let go of it, and where there is.
#[test]
fn swap_in_a_child_leaks_nothing_and_one_in_the_agent_what_the_loader_keeps() {
    // A copy of a debug build has 17 MB, and those in the agent stay.
    const SWAPS: usize = if cfg!(debug_assertions) { 15 } else { 50 };
    let build = Variant { version: "1.0.0", more: &[], tail: "" };
    let mut leaked = Vec::new();
    for isolation in ["process", "none"] {
        let scene = Scene::new();
        scene.site.write("swap", counting());
        let library = scene.site.path("plugins/swap.so");
        build.install(&library);
        scene.configure(
            "",
            &format!("[collectors.swap]\nisolation = \"{isolation}\"\noptions = {{ script = \"swap\" }}\n"),
        );
        let mut live = scene.start();
        let swap = |live: &mut Live, number: usize| {
            Variant { tail: &format!("{isolation} {number}"), ..build }.install(&library);
            let told = live.reload();
            assert!(told.contains("collector swap: starts anew; library: "), "{told}");
        };
        (0..5).for_each(|number| swap(&mut live, number));
        live.catch_up();
        live.more(3);
        let (before, memory) = (settled(&mut live, None), private_kib(&live));
        (5..5 + SWAPS).for_each(|number| swap(&mut live, number));
        live.more(3);
        live.catch_up();
        let now = settled(&mut live, Some(&before));
        let grown = private_kib(&live).saturating_sub(memory);
        println!(
            "{isolation}: {} KiB a swap, {} descriptors a swap",
            grown as f64 / SWAPS as f64,
            (now.descriptors - before.descriptors) as f64 / SWAPS as f64
        );
        assert!(now.threads <= before.threads + IN_THE_AGENT, "{now:?} and before {before:?}");
        assert_eq!((now.children, now.zombies), (before.children, 0), "{now:?} and before {before:?}");
        leaked.push((now.descriptors - before.descriptors, grown));
        live.assert_untouched(&STEADY);
        live.end();
    }
    let [(in_a_child, memory), (in_the_agent, _)] = leaked[..] else { panic!("two of them") };
    assert!(in_a_child == 0 && memory <= SLACK_KIB, "{in_a_child} descriptors and {memory} KiB of {SWAPS} swaps");
    // The sealed copy, whose descriptor the loader knows the library by.
    assert_eq!(in_the_agent, SWAPS);
}
