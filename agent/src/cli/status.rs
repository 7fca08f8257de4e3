//! `perfwatch status`: how the running agent is. A table, or all of it as JSON.

use std::io::{self, Write};

use clap::Args;

use super::ask::{self, Answer};
use super::{Invocation, code, fail, judge, print};
use crate::control::status::table;
use crate::control::wire::Request;
use crate::sink::stdout;

/// Show how the running agent is: its collectors, where they run, what they cost, what went wrong; its sinks
#[derive(Debug, Args)]
#[command(after_help = "Example: perfwatch status --json | jq '.collectors[] | select(.status != \"ok\")'")]
pub(super) struct Status {
    /// Print all of it, as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(invocation: &Invocation, asked: &Status) -> u8 {
    let response = match ask::ask(invocation, &Request::Status) {
        Answer::Response(response) => response,
        Answer::Nobody(why) => return fail(&why),
        Answer::Failed(code) => return code,
    };
    let Some(status) = response.status.filter(|_| response.code == code::OK) else {
        fail(&response.text);
        return response.code.max(code::FAILED);
    };
    if asked.json {
        let line = serde_json::to_string(&*status).expect("plain data with keys that are strings becomes JSON");
        return print(&(line + "\n"));
    }
    let output = io::stdout();
    let text = table::draw(&status, stdout::columns(&output), stdout::is_in_colour(&output));
    // Not by `print`, which would show a colour as what it is: each piece was made harmless before it got one.
    judge(output.lock().write_all(&text).and_then(|()| io::stdout().flush()))
}
