//! The first line of a manifest, judged before anything else of it is read.

use std::fmt;

use super::super::fault::{Fault, Origin};
use crate::CONTRACT;

/// A version of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contract {
    /// What differs in it does not understand each other.
    pub major: u16,
    /// It grows by what older ones can pass over.
    pub minor: u16,
}

impl Contract {
    /// The one that this agent speaks.
    pub const OURS: Contract = Contract { major: (CONTRACT >> 16) as u16, minor: (CONTRACT & 0xffff) as u16 };

    /// Reads the first line of a manifest, `contract = "1.0"`.
    ///
    /// # Errors
    /// A first line that is something else, or a contract that this agent does not speak.
    pub fn of(text: &str) -> Result<Contract, Fault> {
        let line = text.split('\n').next().unwrap_or_default();
        let whole = Origin { source: 0, start: 0, end: line.len() };
        let form = format!("contract = \"{}\"", Contract::OURS);
        let Some(value) = value(line) else {
            return Err(Fault::new(whole, "the first line does not say the contract").allowed(form));
        };
        let start = line.find('"').map_or(0, |quote| quote + 1);
        let origin = Origin { source: 0, start, end: start + value.len() };
        let number = |text: &str| {
            let plain = text == "0" || !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| plain)
        };
        let parsed = value.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        let Some((major, minor)) = parsed else {
            return Err(Fault::new(origin, format!("`{value}` is no contract")).allowed(form));
        };
        let contract = Contract { major, minor };
        if major != Contract::OURS.major {
            let message = format!("needs contract {contract}, and this agent speaks {}", Contract::OURS);
            return Err(Fault::new(origin, message));
        }
        Ok(contract)
    }

    /// Whether it may hold what this agent does not know.
    #[must_use]
    pub fn is_newer(self) -> bool {
        self.minor > Contract::OURS.minor
    }

    /// The fault of a word that only this newer contract knows.
    pub(super) fn needed(self, fault: Fault) -> Fault {
        let message = format!("{}: needs contract {self}, and this agent speaks {}", fault.message, Contract::OURS);
        Fault { message, ..fault }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What the line `contract = "VALUE"` says; a comment may follow.
fn value(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("contract")?.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    let (value, rest) = rest.trim_start_matches([' ', '\t']).strip_prefix('"')?.split_once('"')?;
    let rest = rest.trim();
    (rest.is_empty() || rest.starts_with('#')).then_some(value)
}
