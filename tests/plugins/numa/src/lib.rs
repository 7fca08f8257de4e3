//! `/sys/devices/system/node/node*/numastat` (numastat(8)): a line for each count of pages since boot.
#![forbid(unsafe_code)]

use plugin_api::pattern::Patterns;
use plugin_api::scan::{self, Unexpected};
use plugin_api::{Collector, ColumnId, Error, Host, ProcFile, Recorder, ScalarId, Schema, TableId, perfwatch_plugin};

#[derive(serde::Deserialize)]
struct Options {
    nodes: Vec<String>,
}

struct Numa {
    /// The number of each node, and its file.
    files: Vec<(String, ProcFile)>,
    given: ScalarId,
    missed: ScalarId,
    nodes: TableId,
    given_by_node: ColumnId,
    missed_by_node: ColumnId,
}

impl Collector for Numa {
    type Options = Options;

    fn new(options: Options, host: &Host, schema: &mut Schema) -> Result<Numa, Error> {
        let folder = host.sys_path("devices/system/node");
        if !folder.exists() {
            return Err(Error::unavailable("this kernel knows no nodes of memory"));
        }
        let wanted = Patterns::new(&options.nodes);
        let unlisted =
            |cause: std::io::Error| Error::failed(format!("could not list {}", folder.display())).because(cause);
        let mut files = Vec::new();
        for entry in folder.read_dir().map_err(unlisted)? {
            let name = entry.map_err(unlisted)?.file_name().into_string().unwrap_or_default();
            if let Some(number) = name.strip_prefix("node").filter(|number| wanted.matches(number.as_bytes())) {
                files.push((number.to_owned(), ProcFile::open(folder.join(&name).join("numastat"))?));
            }
        }
        let mut nodes = schema.table("nodes")?;
        Ok(Numa {
            files,
            given_by_node: nodes.column("given")?,
            missed_by_node: nodes.column("missed")?,
            nodes: nodes.id(),
            given: schema.scalar("given")?,
            missed: schema.scalar("missed")?,
        })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        let mut sums = Some((0u64, 0u64));
        for (number, file) in &mut self.files {
            match read(file) {
                Ok((given, missed)) => {
                    let mut row = out.row(self.nodes, number.as_str());
                    row.set(self.given_by_node, given);
                    row.set(self.missed_by_node, missed);
                    sums = sums.map(|sums| (sums.0.saturating_add(given), sums.1.saturating_add(missed)));
                }
                Err(error) => {
                    out.row_failed(self.nodes, number.as_str(), &error.chain());
                    sums = None; // a sum without one of its parts is not known
                }
            }
        }
        out.set(self.given, sums.map(|sums| sums.0));
        out.set(self.missed, sums.map(|sums| sums.1));
        Ok(())
    }
}

fn read(file: &mut ProcFile) -> Result<(u64, u64), Error> {
    let parsed = parse(file.read()?);
    parsed.map_err(|wrong| wrong.of(file.path()))
}

/// What a node gave, and what another had to give for it.
fn parse(numastat: &[u8]) -> Result<(u64, u64), Unexpected> {
    let count = |name: &'static str| {
        let line = scan::lines(numastat).find(|line| line.fields().next() == Some(name.as_bytes()));
        let line = line.ok_or(Unexpected::missing(name))?;
        let number = line.fields().nth(1);
        number.and_then(scan::u64).ok_or_else(|| line.expected("a number", number))
    };
    Ok((count("numa_hit")?, count("numa_foreign")?))
}

perfwatch_plugin!(Numa);
