//! `perfwatch config`: what holds, what may stand in it, what is built in, what a reload would change.

use clap::Subcommand;

use super::{Invocation, ask, print};
use crate::config::{schema, show};
use crate::control::wire::Request;

/// The configuration that holds, its schema, its defaults, what a reload would change
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Config {
    /// Print the configuration that holds, all layers merged
    #[command(after_help = "Example: perfwatch config show --origin")]
    Show {
        /// Name the layer that each value is from
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of the configuration, with the options of the plugins that are found
    #[command(after_help = "Example: perfwatch config schema > perfwatch.schema.json")]
    Schema,
    /// Print the shipped configuration: every key, its default, and why one would change it
    #[command(after_help = "Example: perfwatch config default > /etc/perfwatch/perfwatch.toml")]
    Default,
    /// Print what `perfwatch reload` would change in the running agent, and change nothing
    #[command(after_help = "Example: perfwatch config diff && perfwatch reload")]
    Diff,
}

pub(super) fn config(invocation: &Invocation, config: Config) -> u8 {
    match config {
        Config::Default => return print(show::default_text()),
        Config::Diff => return ask::told(invocation, &Request::Diff),
        Config::Show { .. } | Config::Schema => {}
    }
    let setup = match invocation.setup() {
        Ok(setup) => setup,
        Err(code) => return code,
    };
    match config {
        Config::Show { origin } => print(&show::show(&setup.config, &setup.plan, origin)),
        _ => {
            let plugins = setup.found.plugins.iter().chain(&setup.at_paths).map(|known| &*known.manifest);
            print(&format!("{:#}\n", schema::schema(plugins)))
        }
    }
}
