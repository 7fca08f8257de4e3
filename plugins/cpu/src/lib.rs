//! Processor time by mode, load, and the frequency and temperature of each core.
//!
//! Time is passed on in the kernel's ticks and the agent derives the shares, so that this plugin keeps no last value
//! and a core that goes, comes back or was reset needs no case of its own here: the table has the cores of this tick.
//! It promises one read of `stat` and one of `loadavg` a reading, and two small ones a core where there is a frequency
//! and a sensor to read.
#![forbid(unsafe_code)]

mod cores;
mod sensors;
mod stat;

use plugin_api::scan::{self, Unexpected};
use plugin_api::{Collector, ColumnId, Error, Host, ProcFile, Recorder, ScalarId, Schema, TableId, perfwatch_plugin};
use serde::Deserialize;

use cores::Cores;
use stat::{Entry, MODES};

#[derive(Deserialize)]
struct Options {
    per_core: bool,
}

struct Cpu {
    stat: ProcFile,
    loadavg: ProcFile,
    modes: [ScalarId; 8],
    count: ScalarId,
    loads: [ScalarId; 3],
    interrupts: ScalarId,
    context_switches: ScalarId,
    processes_created: ScalarId,
    /// None where the option turns it off: then nothing of single cores is opened.
    per_core: Option<PerCore>,
}

struct PerCore {
    table: TableId,
    modes: [ColumnId; 8],
    frequency: ColumnId,
    temperature: ColumnId,
    cores: Cores,
}

impl Collector for Cpu {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Self, Error> {
        Ok(Cpu {
            stat: host.proc("stat")?.in_one_read(),
            loadavg: host.proc("loadavg")?.in_one_read(),
            modes: each(|mode| schema.scalar(&format!("{mode}_ticks")))?,
            count: schema.scalar("count")?,
            loads: [schema.scalar("load_1m")?, schema.scalar("load_5m")?, schema.scalar("load_15m")?],
            interrupts: schema.scalar("interrupts")?,
            context_switches: schema.scalar("context_switches")?,
            processes_created: schema.scalar("processes_created")?,
            per_core: if options.per_core { Some(PerCore::new(host, schema)?) } else { None },
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        if let Some(per_core) = &mut self.per_core {
            per_core.cores.begin();
        }
        // The buffer of `stat` is borrowed while the rest is written to.
        let Cpu { stat, per_core, .. } = self;
        let (mut count, mut total) = (0u64, false);
        let mut wrong = None;
        for entry in stat::entries(stat.read()?) {
            match entry {
                Ok(Entry::All(ticks)) => {
                    total = true;
                    self.modes.iter().zip(ticks).for_each(|(mode, ticks)| out.set(*mode, ticks));
                }
                Ok(Entry::Core(number, ticks)) => {
                    count += 1;
                    if let Some(per_core) = per_core {
                        per_core.row(out, number, ticks);
                    }
                }
                Ok(Entry::Interrupts(count)) => out.set(self.interrupts, count),
                Ok(Entry::ContextSwitches(count)) => out.set(self.context_switches, count),
                Ok(Entry::ProcessesCreated(count)) => out.set(self.processes_created, count),
                Err(unexpected) => wrong = wrong.or(Some(unexpected)),
            }
        }
        if !total {
            wrong = wrong.or(Some(Unexpected::missing("a line `cpu`")));
        }
        if let Some(wrong) = wrong {
            return Err(wrong.of(stat.path()));
        }
        // None where this kernel lists no cores, which is not 0 of them.
        out.set(self.count, (count > 0).then_some(count));
        if let Some(per_core) = per_core {
            per_core.cores.end(out);
        }
        match loads(&mut self.loadavg) {
            Ok(loads) => self.loads.iter().zip(loads).for_each(|(load, value)| out.set(*load, value)),
            Err(error) => out.part_failed("loadavg", &error),
        }
        Ok(())
    }
}

impl PerCore {
    fn new(host: &Host, schema: &mut Schema) -> Result<PerCore, Error> {
        let mut table = schema.table("per_core")?;
        Ok(PerCore {
            modes: each(|mode| table.column(&format!("{mode}_ticks")))?,
            frequency: table.column("frequency_mhz")?,
            temperature: table.column("temperature_celsius")?,
            table: table.id(),
            cores: Cores::new(host),
        })
    }

    fn row(&mut self, out: &mut Recorder, number: &[u8], ticks: Result<stat::Ticks, Unexpected>) {
        let mut row = out.row(self.table, number);
        match ticks {
            Ok(ticks) => self.modes.iter().zip(ticks).for_each(|(mode, ticks)| row.set(*mode, ticks)),
            Err(wrong) => row.failed(&format!("stat: {wrong}")),
        }
        if let Some(number) = scan::u64(number).and_then(|number| u32::try_from(number).ok()) {
            let (frequency, temperature) = self.cores.state(number);
            row.set(self.frequency, frequency);
            row.set(self.temperature, temperature);
        }
    }
}

fn loads(file: &mut ProcFile) -> Result<[f64; 3], Error> {
    stat::loads(file.read()?).map_err(|wrong| wrong.of(file.path()))
}

fn each<T>(mut resolve: impl FnMut(&str) -> Result<T, Error>) -> Result<[T; 8], Error> {
    let [a, b, c, d, e, f, g, h] = MODES;
    Ok([resolve(a)?, resolve(b)?, resolve(c)?, resolve(d)?, resolve(e)?, resolve(f)?, resolve(g)?, resolve(h)?])
}

perfwatch_plugin!(Cpu);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_case_gives_what_it_expects() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testcases");
        plugin_api::host_side::testcase::run_all::<Cpu>(include_str!("../plugin.toml"), folder);
    }
}
