//! The command line: one file a command. Data goes to standard output, everything else to standard error.
#![forbid(unsafe_code)]

mod ask;
mod asks;
mod bench;
mod check;
mod config;
mod lock;
mod new;
mod once;
mod plugins;
mod release;
mod reload;
mod run;
mod schema;
mod status;
mod test;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use tracing::Level;

use crate::assemble::chain;
use crate::config::agent::LogFormat;
use crate::harmless;
use crate::limits;
use crate::log::{self, Log};
use crate::resident;
use crate::setup::{Setup, SetupError};
use crate::sink::file;

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

const EXIT_CODES: &str = "\
Exit codes: 0 success; 1 failed at run time; 2 usage; 69 a required plugin cannot be had; 77 not permitted; 78 bad config.
Data goes to standard output, logs to standard error.

Examples:
  perfwatch                               every plugin found, every 5 s: a table on a terminal, JSON lines in a pipe
  perfwatch once --format json            one snapshot
  perfwatch run -c /etc/perfwatch/perfwatch.toml
  perfwatch check && systemctl restart perfwatch
  perfwatch bench                         what it costs on this machine, collector by collector
  perfwatch plugins inspect ./libperfwatch_ups.so   what it measures, asks for and may cost, before it runs";

/// A host metrics agent whose collectors are files you drop in
#[derive(Debug, Parser)]
#[command(name = "perfwatch", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    invocation: Invocation,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What goes with every command.
#[derive(Debug, clap::Args)]
struct Invocation {
    /// The configuration; else $PERFWATCH_CONFIG, else /etc/perfwatch/perfwatch.toml, else none
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is logged: error, warn, info, debug or trace; else agent.log.level
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<Level>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGINT or SIGTERM; SIGHUP reopens the files that sinks write to, and reloads. The default
    #[command(after_help = "Example: perfwatch run -c perfwatch.toml | jq -c '[.timestamp, .cpu.usage_percent]'")]
    Run,
    Once(once::Once),
    Bench(bench::Bench),
    /// Check the configuration, the plugins and what they ask for that is not granted, without running plugin code
    #[command(after_help = "Example: perfwatch check -c perfwatch.toml && systemctl restart perfwatch")]
    Check,
    /// What plugins there are, what one declares, and which are held in a child
    #[command(subcommand, after_help = "Example: perfwatch plugins list")]
    Plugins(plugins::Plugins),
    /// The configuration that holds, its schema, its defaults, what a reload would change
    #[command(subcommand, after_help = "Example: perfwatch config show --origin")]
    Config(config::Config),
    Status(status::Status),
    /// Have the running agent read its configuration and its plugins anew; waits until it has, and prints what that changed
    #[command(after_help = "Example: perfwatch config diff && perfwatch reload")]
    Reload,
    /// Print the JSON Schema of the snapshots, with the unit and kind of each metric
    #[command(after_help = "Example: perfwatch schema | jq '.properties.memory.properties | map_values(.\"x-unit\")'")]
    Schema,
}

impl Invocation {
    /// Starts the log as the configuration that was `read` has it, and says what there is to say.
    fn begin(&self, read: fn(Option<&Path>) -> Result<Setup, SetupError>) -> Result<(Setup, Log), u8> {
        let setup = read(self.config.as_deref()).map_err(|error| refuse(&error))?;
        let agent = &setup.plan.agent;
        let format = match agent.log_format {
            LogFormat::Text => log::Format::Text,
            LogFormat::Json => log::Format::Json,
        };
        let log = log::start(self.log_level.unwrap_or(agent.log_level).into(), format)
            .map_err(|cause| fail(&format!("could not start the log: {cause}")))?;
        setup.log_remarks();
        Ok((setup, log))
    }

    fn setup(&self) -> Result<Setup, u8> {
        Setup::read(self.config.as_deref()).map_err(|error| refuse(&error))
    }
}

/// Runs the command line and gives the exit code.
pub fn main() -> u8 {
    let arguments = match resident::apart(Arguments::try_parse) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output.
            return match error.print() {
                _ if error.use_stderr() => code::USAGE,
                printed => judge(printed),
            };
        }
    };
    // Before the first plugin is looked for: each that is found is held open.
    limits::raise();
    let invocation = &arguments.invocation;
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(invocation),
        Command::Once(once) => once::once(invocation, &once),
        Command::Bench(bench) => bench::bench(invocation, &bench),
        Command::Check => check::check(invocation),
        Command::Plugins(plugins) => plugins::plugins(invocation, &plugins),
        Command::Config(config) => config::config(invocation, config),
        Command::Status(asked) => status::status(invocation, &asked),
        Command::Reload => reload::reload(invocation),
        Command::Schema => schema::schema(invocation),
    }
}

/// Says why nothing runs, and gives the exit code for it.
fn refuse(error: &SetupError) -> u8 {
    fail(&chain(error));
    code_of(error)
}

/// The exit code for it.
pub(crate) fn code_of(error: &SetupError) -> u8 {
    match error {
        SetupError::Config(_) | SetupError::NoSink => code::CONFIG,
        SetupError::Unavailable(_) => code::UNAVAILABLE,
        // What only the file system knows: a group, a floor of free space that it can never have.
        SetupError::Sink { cause, .. } if matches!(cause.downcast_ref(), Some(file::Error::Setting { .. })) => {
            code::CONFIG
        }
        SetupError::Sink { .. } | SetupError::System(..) if is_not_permitted(error) => code::NOT_PERMITTED,
        SetupError::Sink { .. } | SetupError::System(..) => code::FAILED,
    }
}

fn is_not_permitted(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Says what there is to say of the configuration and the plugins, to whoever asked.
fn remark(setup: &Setup) {
    for (level, remark) in setup.remarks() {
        let mark = match level {
            Level::ERROR => "",
            Level::WARN => "warning: ",
            _ => "note: ",
        };
        fail(&format!("{mark}{remark}"));
    }
}

/// Says what failed.
fn fail(message: &str) -> u8 {
    // Where standard error cannot be written, the exit code says it.
    let _ = writeln!(io::stderr(), "{}", harmless::text(message));
    code::FAILED
}

/// Prints what was asked for.
fn print(text: &str) -> u8 {
    judge(io::stdout().write_all(harmless::text(text).as_bytes()).and_then(|()| io::stdout().flush()))
}

fn judge(printed: io::Result<()>) -> u8 {
    match printed {
        Ok(()) => code::OK,
        // Whoever asked has gone.
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => code::OK,
        Err(cause) => fail(&format!("could not write to standard output: {cause}")),
    }
}
