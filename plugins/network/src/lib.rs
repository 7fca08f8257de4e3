//! Traffic of each network interface, and the states of sockets.
//!
//! Interfaces come from net/dev, read through one held descriptor; counters are passed on as the kernel has them, the
//! agent derives the rates. Sockets are counted in `sockets`: by the kernel where it can be asked, from files elsewhere.
//!
//! It promises that a host with a million connections costs it time and not memory (see `socket_files` for where that
//! ends), and that one bad line costs one row. It does not name connections or processes: it counts.
#![forbid(unsafe_code)]

mod dev;
mod diag;
#[cfg(test)]
mod live;
mod message;
#[cfg(test)]
mod refused;
mod socket_files;
mod sockets;
mod states;
mod still;

use plugin_api::pattern::Patterns;
use plugin_api::{Collector, ColumnId, Error, Host, ProcFile, Recorder, Schema, TableId, perfwatch_plugin};
use serde::Deserialize;

use sockets::Sockets;

#[derive(Deserialize)]
struct Options {
    interfaces: Vec<String>,
    connections: bool,
}

struct Network {
    dev: ProcFile,
    wanted: Patterns,
    interfaces: TableId,
    /// Each with its place in a line of the file.
    columns: Vec<(ColumnId, usize)>,
    /// None where the option turns them off: then nothing of them is opened.
    sockets: Option<Sockets>,
}

impl Collector for Network {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Self, Error> {
        let mut table = schema.table("interfaces")?;
        let mut columns = Vec::new();
        for (name, place) in dev::COLUMNS {
            columns.push((table.column(name)?, place));
        }
        let interfaces = table.id();
        Ok(Network {
            dev: host.net("dev")?,
            wanted: Patterns::new(&options.interfaces),
            interfaces,
            columns,
            sockets: if options.connections { Some(Sockets::new(host, schema)?) } else { None },
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let lines = dev::lines(self.dev.read()?).map_err(|cause| cause.of("/proc/net/dev"))?;
        let mut nameless = 0u32;
        for line in lines {
            let Some(name) = line.interface else {
                nameless += 1;
                continue;
            };
            if !self.wanted.matches(name) {
                continue;
            }
            let mut row = out.row(self.interfaces, name);
            match line.numbers {
                Some(numbers) => self.columns.iter().for_each(|(column, place)| row.set(*column, numbers[*place])),
                None => row.failed("its line of /proc/net/dev is cut or holds something else than numbers"),
            }
        }
        if nameless > 0 {
            out.part_failed(
                "dev",
                &Error::failed(format!("lines of /proc/net/dev without the name of an interface: {nameless}")),
            );
        }
        if let Some(sockets) = &mut self.sockets {
            sockets.collect(out);
        }
        Ok(())
    }
}

perfwatch_plugin!(Network);

#[cfg(test)]
mod tests {
    #[test]
    fn every_test_case_gives_what_it_expects() {
        plugin_api::host_side::testcase::run_all::<super::Network>(include_str!("../plugin.toml"), "testcases");
    }
}
