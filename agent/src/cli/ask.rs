//! Who asks the agent that runs: where it is to be found, what is printed of its answer, and the exit code.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use super::{Invocation, code, fail, print};
use crate::assemble::chain;
use crate::config::Config;
use crate::config::layers::Environment;
use crate::control::client::{self, Unanswered};
use crate::control::wire::{Request, Response};

/// What the agent answers.
pub(super) enum Answer {
    /// This.
    Response(Response),
    /// Nothing, as no agent runs; why nobody was found, in a sentence.
    Nobody(String),
    /// Nothing that is of use, which was told, with this exit code.
    Failed(u8),
}

/// Asks it. Also where the configuration is at fault: who corrects one wants to be refused by the agent, with the reason.
pub(super) fn ask(invocation: &Invocation, request: &Request) -> Answer {
    let (path, faulty) = match socket(invocation) {
        Ok(found) => found,
        Err(why) => return Answer::Nobody(why),
    };
    match client::ask(&path, request) {
        Ok(response) => Answer::Response(response),
        Err(error @ Unanswered::Nobody(..)) => {
            let elsewhere =
                if faulty { "; the configuration is at fault, and may have meant another agent.control" } else { "" };
            Answer::Nobody(chain(&error) + elsewhere)
        }
        Err(error) => {
            fail(&chain(&error));
            Answer::Failed(if matches!(error, Unanswered::NotPermitted(..)) {
                code::NOT_PERMITTED
            } else {
                code::FAILED
            })
        }
    }
}

/// Where the agent is asked, and whether the configuration that says so is at fault.
fn socket(invocation: &Invocation) -> Result<(PathBuf, bool), String> {
    let (agent, faulty) = Config::agent_that_runs(invocation.config.as_deref(), &Environment::of_process());
    let nowhere = "there is no control socket: without agent.control it is in agent.runtime_dir, which is /run/perfwatch for root and \
                   services and $XDG_RUNTIME_DIR/perfwatch for others, and here is neither; set agent.control = \"PATH\" and \
                   start the agent anew";
    agent.control.map(|path| (path, faulty)).ok_or_else(|| nowhere.to_owned())
}

/// Asks for something that is said in a text, prints that and gives the exit code.
pub(super) fn told(invocation: &Invocation, request: &Request) -> u8 {
    match ask(invocation, request) {
        Answer::Response(response) => tell(&response),
        Answer::Nobody(why) => fail(&why),
        Answer::Failed(code) => code,
    }
}

/// Prints what was answered: what was done where data goes, why it was not where errors do.
pub(super) fn tell(response: &Response) -> u8 {
    let text = response.text.trim_end();
    match response.code {
        code::OK if text.is_empty() => code::OK,
        code::OK => print(&format!("{text}\n")),
        code => {
            fail(text);
            code
        }
    }
}
