//! What is said over the control socket: a line of JSON there, a line of JSON back, and the connection ends. For people with
//! `socat` as much as for `perfwatch status`:
//!
//! ```text
//! echo '{"ask":"status"}' | socat -t 60 - UNIX-CONNECT:/run/perfwatch/control.sock | jq .status.sinks
//!
//! import json, socket
//! with socket.socket(socket.AF_UNIX) as agent:
//!     agent.connect("/run/perfwatch/control.sock")
//!     agent.sendall(b'{"ask":"reload"}\n')
//!     answer = json.loads(agent.makefile().readline())
//! ```
//!
//! | request | what comes of it |
//! |---|---|
//! | `{"ask":"status"}` | the agent as it stands, under `status`; see [`Status`] |
//! | `{"ask":"reload"}` | configuration and plugins are read anew; answered once it is applied, or refused |
//! | `{"ask":"diff"}` | what a reload would change, under `text`; nothing is changed |
//! | `{"ask":"release","name":"ups"}` | a plugin that is held in a child for what it did may run in the agent again, now |
//!
//! A response has `version`, which is that of this page; `code`, which is 0 or what `perfwatch` would exit with (78 where the
//! configuration is refused, 69 a plugin, 77 whoever asks); and `text`, for people, or `status`. Keys that are not known are to
//! be passed over. `version` changes when a client of the old one would be misled; a request may carry the one that its
//! client knows, and is told in `text` where the agent has another.

use serde::{Deserialize, Serialize};

use super::status::Status;

/// The version of what is said.
pub const VERSION: u32 = 1;
/// The most bytes of a request, with its end of line: the longest has a name of a collector in it.
pub const REQUEST_BYTES: usize = 4096;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Request {
    /// How it stands.
    Status,
    /// To read configuration and plugins anew.
    Reload,
    /// What a reload would change.
    Diff,
    /// To let a plugin run in the agent again.
    Release {
        /// The plugin, or a collector of it.
        name: String,
    },
}

/// What came of an ask, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0, or what `perfwatch` would exit with.
    pub code: u8,
    /// What was done, or why it was not. Lines.
    pub text: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The version of what is said.
    pub version: u32,
    /// 0, or what `perfwatch` would exit with.
    pub code: u8,
    /// What was done, or why it was not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// How the agent stands, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Box<Status>>,
}

/// A request with the version that its client knows.
#[derive(Serialize)]
struct Versioned<'a> {
    version: u32,
    #[serde(flatten)]
    request: &'a Request,
}

/// Of a line, the version alone.
#[derive(Deserialize)]
struct Version {
    version: Option<u64>,
}

impl Reply {
    /// That it was done.
    pub fn done(text: impl Into<String>) -> Reply {
        Reply { code: 0, text: text.into() }
    }

    /// That it was not.
    pub fn refused(code: u8, why: impl Into<String>) -> Reply {
        Reply { code, text: why.into() }
    }
}

impl Request {
    /// As a line.
    pub fn line(&self) -> Vec<u8> {
        line(&Versioned { version: VERSION, request: self })
    }

    /// From a line.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(line: &[u8]) -> Result<Request, String> {
        let strange = |cause| format!("that is no request: {cause}; a request is a line like {{\"ask\":\"status\"}}");
        let Version { version } = serde_json::from_slice(line).map_err(strange)?;
        if let Some(version) = version.filter(|version| *version != u64::from(VERSION)) {
            return Err(format!("whoever asks speaks version {version} of the control socket; {}", this()));
        }
        serde_json::from_slice(line).map_err(strange)
    }
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Response {
        Response { version: VERSION, code: reply.code, text: reply.text, status: None }
    }
}

impl From<Status> for Response {
    fn from(status: Status) -> Response {
        Response { version: VERSION, code: 0, text: String::new(), status: Some(Box::new(status)) }
    }
}

impl Response {
    /// As a line.
    pub fn line(&self) -> Vec<u8> {
        line(self)
    }

    /// From a line.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(line: &[u8]) -> Result<Response, String> {
        let strange = |cause| format!("what answers there is no agent: {cause}");
        let Version { version } = serde_json::from_slice(line).map_err(strange)?;
        match version {
            Some(version) if version == u64::from(VERSION) => serde_json::from_slice(line).map_err(strange),
            // Its text, if there is one, says why; but who speaks another version may mean something else by it.
            Some(version) => Err(format!("the agent there speaks version {version} of the control socket; {}", this())),
            None => Err("what answers there is no agent: it says no version".into()),
        }
    }
}

/// What this program speaks, and what to do where that does not fit.
fn this() -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!(
        "perfwatch {own} speaks version {VERSION}: ask with the program that the agent runs as, or restart the agent"
    )
}

fn line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).expect("plain data with keys that are strings becomes JSON");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_documented_with_and_without_a_version() {
        let release = Request::Release { name: "ups".into() };
        for (text, request) in [
            (r#"{"ask":"status"}"#, Request::Status),
            (r#"{"version":1,"ask":"reload"}"#, Request::Reload),
            (r#"{"ask":"diff","some":"day"}"#, Request::Diff),
            (r#" {"ask":"release","name":"ups"} "#, release.clone()),
        ] {
            assert_eq!(Request::parse(text.as_bytes()), Ok(request));
        }
        assert_eq!(
            String::from_utf8(release.line()).unwrap(),
            "{\"version\":1,\"ask\":\"release\",\"name\":\"ups\"}\n"
        );
        assert_eq!(Request::parse(&release.line()), Ok(release));
    }

    #[test]
    fn what_is_no_request_is_told_what_one_looks_like() {
        for (text, told) in [
            ("", "EOF while parsing"),
            ("status", "expected value"),
            (
                r#"{"ask":"restart"}"#,
                "unknown variant `restart`, expected one of `status`, `reload`, `diff`, `release`",
            ),
            (r#"{"ask":"release"}"#, "missing field `name`"),
            ("{}", "missing field `ask`"),
            ("[[[[", "invalid type"),
        ] {
            let said = Request::parse(text.as_bytes()).unwrap_err();
            assert!(said.contains(told) && said.contains(r#"a line like {"ask":"status"}"#), "{text}: {said}");
        }
    }

    #[test]
    fn who_speaks_another_version_is_told_so_in_a_sentence() {
        // Also where nothing else of it could be read.
        let request = Request::parse(br#"{"version":2,"ask":{"status":"all"}}"#).unwrap_err();
        assert!(
            request.contains("speaks version 2 of the control socket") && request.contains("speaks version 1"),
            "{request}"
        );
        let response = Response::parse(br#"{"version":2,"outcome":"done"}"#).unwrap_err();
        assert!(
            response.contains("agent there speaks version 2") && response.contains("restart the agent"),
            "{response}"
        );
    }

    #[test]
    fn responses_come_back_as_they_were_and_have_no_empty_keys() {
        let done = Response::from(Reply::done("nothing has changed\n"));
        assert_eq!(done.line(), b"{\"version\":1,\"code\":0,\"text\":\"nothing has changed\\n\"}\n");
        for response in [done, Reply::refused(78, "perfwatch.toml:1:1: \u{1b}[2J").into(), Status::default().into()] {
            assert_eq!(Response::parse(&response.line()), Ok(response));
        }
        for strange in ["", "HTTP/1.1 400 Bad Request", "{}", r#"{"version":1}"#] {
            assert!(
                Response::parse(strange.as_bytes()).unwrap_err().starts_with("what answers there is no agent"),
                "{strange}"
            );
        }
    }
}
