//! Soft interrupts by kind, from `/proc/softirqs` (proc(5)).
#![forbid(unsafe_code)]

use plugin_api::{Collector, ColumnId, Error, Host, ProcFile, Recorder, Schema, TableId, scan};

/// The options of `plugin.toml`: the agent has checked them and filled in the defaults.
#[derive(serde::Deserialize)]
struct Options {
    at_least: u64,
}

struct Softirqs {
    file: ProcFile,
    at_least: u64,
    kinds: TableId,
    count: ColumnId,
    busiest_percent: ColumnId,
}

impl Collector for Softirqs {
    type Options = Options;

    /// Once: opens files, and looks up the table and its columns of `plugin.toml` by name.
    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Softirqs, Error> {
        // Nothing to measure is no failure. Any other error is one, and `?` is all it takes.
        if !host.proc_path("softirqs").exists() {
            return Err(Error::unavailable("this machine has no /proc/softirqs"));
        }
        let mut kinds = schema.table("kinds")?;
        Ok(Softirqs {
            file: host.proc("softirqs")?.in_one_read(),
            at_least: options.at_least,
            kinds: kinds.id(),
            count: kinds.column("count")?,
            busiest_percent: kinds.column("busiest_percent")?,
        })
    }

    /// At each interval: a row for each line. The agent derives the rate, so that nothing is remembered here.
    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        // A line of titles, then "TIMER:  24388  28159", a number for each processor.
        for line in scan::lines(self.file.read()?).skip(1) {
            let mut fields = line.fields();
            let kind = fields.next().unwrap_or_default();
            let (mut count, mut most) = (0u64, 0);
            for field in fields {
                let wrong = || line.expected("a number", Some(field)).of("/proc/softirqs");
                let one = scan::u64(field).ok_or_else(wrong)?;
                count = count.saturating_add(one);
                most = most.max(one);
            }
            if count < self.at_least {
                continue;
            }
            let busiest = (count > 0).then(|| 100.0 * most as f64 / count as f64);
            let mut row = out.row(self.kinds, kind.strip_suffix(b":").unwrap_or(kind));
            row.set(self.count, count);
            row.set(self.busiest_percent, busiest); // None is null: unknown, and never 0
        }
        Ok(())
    }
}

plugin_api::perfwatch_plugin!(Softirqs);

#[cfg(test)]
mod tests {
    #[test]
    fn every_test_case_gives_what_it_expects() {
        let manifest = include_str!("../plugin.toml");
        plugin_api::host_side::testcase::run_all::<super::Softirqs>(manifest, "testcases");
    }
}
