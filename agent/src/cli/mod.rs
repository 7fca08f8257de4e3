//! The command line: one file a command. Data goes to standard output, everything else to standard error.

mod once;
mod run;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Exit codes, as in sysexits(3) where it has one.
pub mod code {
    /// All went well.
    pub const OK: u8 = 0;
    /// Something failed at run time.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// A required plugin cannot be had.
    pub const UNAVAILABLE: u8 = 69;
    /// Not permitted.
    pub const NOT_PERMITTED: u8 = 77;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}

/// A host metrics agent whose collectors are files you drop in.
#[derive(Debug, Parser)]
#[command(name = "perfwatch", version, arg_required_else_help = false)]
struct Arguments {
    /// The configuration; else $PERFWATCH_CONFIG, else /etc/perfwatch/perfwatch.toml, else none
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGINT or SIGTERM; SIGHUP reopens files
    Run,
    /// Take one snapshot and print it
    Once(once::Once),
}

/// Runs the command line and gives the exit code.
pub fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for and go to standard output; a reader that has gone is not our concern.
            let _ = error.print();
            return if error.use_stderr() { code::USAGE } else { code::OK };
        }
    };
    let config = arguments.config.as_deref();
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(config),
        Command::Once(once) => once::once(config, &once),
    }
}
