//! The set-up: the first message, written before anybody reads it.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::Policy;
use super::{HEAD_BYTES, Reader, message};

/// The first bytes of a set-up: whoever runs the child's command line by hand is told so.
pub(super) const MAGIC: [u8; 8] = *b"perfwtch";
/// Of this protocol. Agent and child are one executable, so that only a mistake in starting one can make them differ.
pub(super) const VERSION: u32 = 1;
/// What was built. The same holds.
const BUILD: &str = env!("CARGO_PKG_VERSION");

/// Longest set-up. It is written before anybody reads it, so it has to fit into the socket's buffer, which has 208 KiB by
/// default (net.core.wmem_default). Options of a thousand patterns have 30 KiB.
pub const SET_UP_BYTES_MAX: usize = 128 << 10;
/// The kind of the message.
pub(super) const SET_UP: u32 = 1;

/// What a child is there for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// It loads the library and ends.
    Load,
    /// It answers requests until its socket ends.
    Serve,
    /// The same, and the answer is whether it passes the testcase in this folder.
    Testcase(PathBuf),
}

/// What a child has to know before its first request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetUp {
    /// What it is there for.
    pub task: Task,
    /// The collector's configured name.
    pub name: String,
    /// Its options, a JSON text.
    pub options: String,
    /// Where the measured host is mounted.
    pub host_root: PathBuf,
    /// How much a reading may hold: rows, cells, text, notes.
    pub limits: [u32; 4],
    /// What it may touch; none where nothing is kept from it.
    pub policy: Option<Policy>,
    /// The most verbose log lines that are wanted, as [`tracing::Level`] writes it.
    pub log_level: String,
    /// The process that started it.
    pub agent: u32,
}

/// The set-up as a message.
///
/// # Errors
/// In words, what is too long or cannot be told.
pub fn set_up(set_up: &SetUp) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(set_up).map_err(|cause| format!("cannot be told to a child: {cause}"))?;
    let mut out = Vec::new();
    message(&mut out, SET_UP, |out| {
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend((BUILD.len() as u32).to_le_bytes());
        out.extend(BUILD.as_bytes());
        out.extend(json);
    });
    match out.len() {
        len if len > SET_UP_BYTES_MAX => Err(format!(
            "its options and its sandbox have {len} bytes together, and a child takes {SET_UP_BYTES_MAX}: shorten the options, or use isolation = \"none\""
        )),
        _ => Ok(out),
    }
}

/// How many bytes follow the head of a set-up.
///
/// # Errors
/// In words, why it is none.
pub fn set_up_head(head: [u8; HEAD_BYTES]) -> Result<usize, String> {
    let mut head = Reader { bytes: &head };
    match (head.u32() as usize, head.u32()) {
        (length, SET_UP) if (4..SET_UP_BYTES_MAX).contains(&length) => Ok(length - 4),
        (length, kind) => Err(format!("a set-up was expected, not a message of kind {kind} with {length} bytes")),
    }
}

/// The set-up from what follows its head.
///
/// # Errors
/// In words, what is wrong with it.
pub fn set_up_from(body: &[u8]) -> Result<SetUp, String> {
    let mut fixed = Reader::of(body, 16).ok_or("the set-up is cut short")?;
    if fixed.take() != MAGIC {
        return Err("this is started by an agent, never by hand".into());
    }
    let (version, len) = (fixed.u32(), fixed.u32() as usize);
    let (build, json) = body[16..].split_at_checked(len).ok_or("the set-up is cut short")?;
    if version != VERSION || build != BUILD.as_bytes() {
        let build = String::from_utf8_lossy(build);
        return Err(format!("the agent is {build} with protocol {version}, this is {BUILD} with protocol {VERSION}"));
    }
    serde_json::from_slice(json).map_err(|cause| format!("the set-up cannot be read: {cause}"))
}
