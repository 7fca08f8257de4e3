//! The load of this machine, from `/proc/loadavg` (proc(5)).
#![forbid(unsafe_code)]

use plugin_api::{Collector, Error, Host, ProcFile, Recorder, ScalarId, Schema, scan};

/// The options of `plugin.toml`: the agent has checked them and filled in the defaults.
#[derive(serde::Deserialize)]
struct Options {
    minutes: u8,
}

struct Load {
    file: ProcFile,
    /// Which of the three averages in the file.
    field: usize,
    load: ScalarId,
}

impl Collector for Load {
    type Options = Options;

    /// Once: opens files, and looks up the metrics of `plugin.toml` by name.
    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Load, Error> {
        // Nothing to measure is no failure. Any other error is one, and `?` is all it takes.
        if !host.proc_path("loadavg").exists() {
            return Err(Error::unavailable("this machine has no /proc/loadavg"));
        }
        Ok(Load {
            file: host.proc("loadavg")?.in_one_read(),
            field: match options.minutes {
                0..=1 => 0,
                2..=5 => 1,
                _ => 2,
            },
            load: schema.scalar("load")?,
        })
    }

    /// At each interval: reads, and sets what was read. What is not set is null: unknown, and never 0.
    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let mut fields = scan::fields(self.file.read()?); // 0.52 0.58 0.59 3/602 29383
        let load = fields.nth(self.field).and_then(scan::f64);
        let load = load.ok_or_else(|| Error::failed("no load in /proc/loadavg"))?;
        out.set(self.load, load);
        Ok(())
    }
}

plugin_api::perfwatch_plugin!(Load);

#[cfg(test)]
mod tests {
    #[test]
    fn every_test_case_gives_what_it_expects() {
        let manifest = include_str!("../plugin.toml");
        plugin_api::host_side::testcase::run_all::<super::Load>(manifest, "testcases");
    }
}
