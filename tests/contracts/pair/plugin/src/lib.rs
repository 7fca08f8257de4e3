//! The plugin of a pair: it uses all that the contract has, and, built against the next one, what that appends to the host.
#![forbid(unsafe_code)]

use plugin_api::{
    Collector, ColumnId, Error, Host, Level, ProcFile, Recorder, ScalarId, Schema, TableId, perfwatch_plugin, scan,
};

struct Pair {
    host: Host,
    uptime: ProcFile,
    counted: u64,
    count: ScalarId,
    name: ScalarId,
    uptime_seconds: ScalarId,
    total_bytes: ScalarId,
    appended: ScalarId,
    rows: TableId,
    negative: ColumnId,
}

#[derive(serde::Deserialize)]
struct Options {
    count: u64,
}

impl Collector for Pair {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Pair, Error> {
        host.log(Level::Info, "made");
        let mut table = schema.table("rows")?;
        let (rows, negative) = (table.id(), table.column("negative")?);
        Ok(Pair {
            host: host.clone(),
            uptime: host.proc("uptime")?.in_one_read(),
            counted: options.count,
            count: schema.scalar("count")?,
            name: schema.scalar("name")?,
            uptime_seconds: schema.scalar("uptime_seconds")?,
            total_bytes: schema.scalar("total_bytes")?,
            appended: schema.scalar("appended")?,
            rows,
            negative,
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        out.set(self.count, self.counted);
        out.set_text(self.name, "seven");
        out.set(self.uptime_seconds, scan::fields(self.uptime.read()?).next().and_then(scan::f64));
        out.set(self.total_bytes, self.host.statvfs("/")?.total_bytes);
        out.row(self.rows, ["a", "b"]).set(self.negative, -1i64);
        #[cfg(feature = "next")]
        out.set(self.appended, self.host.appended(20));
        #[cfg(not(feature = "next"))]
        out.set(self.appended, None::<u64>);
        Ok(())
    }
}

perfwatch_plugin!(Pair);
