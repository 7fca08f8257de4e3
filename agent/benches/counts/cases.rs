//! What is measured, over the captured hosts.

use std::sync::Arc;
use std::time::Duration;

use perfwatch::sink::encode::json::Json;
use perfwatch::snapshot::aggregate::{Aggregator, Answer, own, settle};
use perfwatch::snapshot::{Mono, Schema, Wall};
use plugin_api::host_side::door::Instance;
use plugin_api::host_side::frame::{Frame, Limits};
use serde_json::Value;

use crate::desk::{Agent, Desk, identity, workspace};
use crate::host::Host;
use crate::marks::Meter;
use crate::parsers;

/// A small machine and a big one.
const HOSTS: [&str; 2] = ["small_vm", "big"];
/// The collectors of a tick, and their options.
const KERNEL: [(&str, &str); 4] = [("cpu", ""), ("memory", ""), ("network", "connections = true"), ("disk", "")];
/// Others: the plugin, its options, the folder of a host among its test cases. `system` reads the machine that it runs on, and `exec`
/// starts a process: neither costs the same twice.
const OTHERS: [(&str, &str, &str); 2] = [
    ("pressure", "", "a_share_of_the_interval/0"),
    ("textfile", "folder = \"/srv/textfile\"", "every_kind_of_series/0"),
];
/// A time that a reading may take, and the time between two.
const SECOND: Duration = Duration::from_secs(1);

/// All that is measured.
pub fn all(meter: &mut Meter) {
    for name in HOSTS {
        let host = Host::of(&workspace().join("tests/hosts").join(name));
        parsers::measure(meter, name, host.root());
        stages(meter, name, &host);
        ticks(meter, name, &host);
    }
    for (plugin, options, case) in OTHERS {
        let host = Host::of(&workspace().join("plugins").join(plugin).join("testcases").join(case));
        let desk = Desk::new(host.root(), &[(plugin, options)]);
        let mut collector = made(&desk).remove(0);
        let mut frame = Frame::new(Limits::default());
        meter.rounds(|meter, _| collector.read(meter, plugin, &mut frame));
    }
}

/// The work of a tick in its stages, each for itself.
fn stages(meter: &mut Meter, name: &str, host: &Host) {
    let desk = Desk::new(host.root(), &KERNEL);
    let mut collectors = made(&desk);
    let mut aggregator = Aggregator::new(identity());
    for collector in &collectors {
        aggregator.add(collector.name.as_str().into(), Arc::clone(&collector.schema), Limits::default());
    }
    aggregator.call_the_roll(0..collectors.len());
    let (mut json, mut values) = (Json::default(), 0);
    let (mut blanks, mut sections) = (Vec::new(), Vec::new());
    let (assemble, encode) = (format!("assemble.{name}"), format!("encode.{name}"));
    meter.rounds(|meter, round| {
        host.tick(round);
        meter.part(&assemble, || {
            aggregator.reclaim();
            blanks.extend((0..collectors.len()).map(|place| aggregator.blank(place)));
        });
        for (collector, section) in collectors.iter_mut().zip(&mut blanks) {
            collector.read(meter, &format!("{}.{name}", collector.name), &mut own(section).frame);
        }
        let now = round * SECOND.as_nanos() as u64;
        let snapshot = meter.part(&assemble, || {
            for mut section in blanks.drain(..) {
                let it = own(&mut section);
                let frame = std::mem::replace(&mut it.frame, Frame::new(Limits::default()));
                let (at, took) = (Wall(START + now), Duration::from_micros(37));
                settle(
                    it,
                    Answer {
                        at,
                        at_mono: Mono(now),
                        took,
                        cpu: took,
                        programs: Duration::ZERO,
                        made: false,
                        reading: Ok(frame),
                    },
                );
                sections.push(section);
            }
            aggregator.snapshot(Wall(START + now), &mut sections)
        });
        let line = meter.part(&encode, || json.line(&snapshot, 0));
        // In one round, which is none that is measured: to read it would take what the next round wants from the caches.
        if round == 1 {
            values = values_of(line);
        }
    });
    meter.has_values(name, values);
}

/// Some moment: what is told as RFC 3339 has as many digits then as now.
const START: u64 = 1_795_400_000_000_000_000;

fn values_of(line: &[u8]) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Object(map) => map.values().map(of).sum(),
            _ => 1,
        }
    }
    of(&serde_json::from_slice(line).unwrap())
}

/// Whole ticks, of the schedule and of the encoder.
fn ticks(meter: &mut Meter, name: &str, host: &Host) {
    let desk = Desk::new(host.root(), &KERNEL);
    let mut agent = Agent::of(&desk);
    agent.tick();
    let mut json = Json::default();
    let tick = format!("tick.{name}");
    meter.rounds(|meter, round| {
        host.tick(round);
        let line = meter.part(&tick, || {
            agent.wake();
            json.line(&agent.tick(), 0)
        });
        if round == 1 {
            assert_eq!(line.windows(9).filter(|window| window == b"_status\":").count(), KERNEL.len());
        }
    });
}

/// A collector, made.
struct Made {
    name: String,
    instance: Instance,
    schema: Arc<Schema>,
}

impl Made {
    fn read(&mut self, meter: &mut Meter, name: &str, frame: &mut Frame) {
        meter.part(&format!("collect.{name}"), || self.instance.collect(frame, &self.schema.shape, SECOND));
        assert!(frame.message().is_empty() && frame.refused == 0, "{name} has a good reading");
    }
}

fn made(desk: &Desk) -> Vec<Made> {
    let made = desk.collectors().map(|mut collector| Made {
        name: collector.collecting.name.into(),
        instance: (collector.maker)().map_err(|failure| failure.message).unwrap(),
        schema: collector.schema(),
    });
    made.collect()
}
