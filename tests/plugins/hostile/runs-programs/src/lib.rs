//! Starts two programs that run for long, and lets them be: nobody but the agent ends them.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use plugin_api::{Collector, Error, Host, Recorder, ScalarId, Schema, perfwatch_plugin};

#[derive(serde::Deserialize)]
struct Options {
    program: PathBuf,
}

struct Runs {
    programs: [Child; 2],
    program: ScalarId,
}

impl Collector for Runs {
    type Options = Options;

    fn new(options: Options, _: &Host, schema: &mut Schema) -> Result<Runs, Error> {
        let start = || {
            let started = Command::new(&options.program).arg("1000").stdin(Stdio::null()).spawn();
            started
                .map_err(|cause| Error::failed(format!("could not run {}", options.program.display())).because(cause))
        };
        Ok(Runs { programs: [start()?, start()?], program: schema.scalar("program")? })
    }

    fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        out.set(self.program, u64::from(self.programs[1].id()));
        Ok(())
    }
}

perfwatch_plugin!(Runs);
