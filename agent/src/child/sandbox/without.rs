//! The override that shows a lesser kernel: [`VARIABLE`] in the agent's environment.
//!
//! Read in the agent and carried in the policy, so that a plugin's environment does not matter and each child of an agent is alike.

use std::env;

use serde::{Deserialize, Serialize};

/// The variable: words with commas between them, `landlock`, `landlock-net`, `seccomp`, `capabilities`.
pub const VARIABLE: &str = "PERFWATCH_SANDBOX_WITHOUT";

const WORDS: [&str; 4] = ["landlock", "landlock-net", "seccomp", "capabilities"];

/// What the kernel is said to lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Without {
    /// Landlock, as before Linux 5.13 or where it is not among the `lsm=` of the boot.
    pub landlock: bool,
    /// Landlock's rules on TCP, as before Linux 6.7.
    pub landlock_net: bool,
    /// Filters of system calls.
    pub seccomp: bool,
    /// Dropping capabilities.
    pub capabilities: bool,
}

impl Without {
    /// What the environment says.
    ///
    /// # Errors
    /// A word that is none of the four.
    pub fn from_env() -> Result<Without, String> {
        match env::var_os(VARIABLE) {
            Some(text) => Without::parse(&text.to_string_lossy()),
            None => Ok(Without::default()),
        }
    }

    /// The words of `text`.
    ///
    /// # Errors
    /// A word that is none of the four.
    pub fn parse(text: &str) -> Result<Without, String> {
        let mut without = Without::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "landlock" => without.landlock = true,
                "landlock-net" => without.landlock_net = true,
                "seccomp" => without.seccomp = true,
                "capabilities" => without.capabilities = true,
                _ => return Err(format!("{VARIABLE} does not know `{word}`, but {}", WORDS.join(", "))),
            }
        }
        Ok(without)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_takes_one_thing_away() {
        for (at, word) in WORDS.iter().enumerate() {
            let without = Without::parse(word).unwrap();
            let taken = [without.landlock, without.landlock_net, without.seccomp, without.capabilities];
            assert_eq!(taken.map(usize::from), std::array::from_fn(|other| usize::from(other == at)), "{word}");
        }
        assert_eq!(Without::parse("").unwrap(), Without::default());
    }

    #[test]
    fn unknown_word_is_an_error_that_names_the_known() {
        let error = Without::parse("landlock, bpf").unwrap_err();
        assert!(error.contains("`bpf`") && error.contains("landlock-net"), "{error}");
    }
}
