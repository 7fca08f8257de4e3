//! The words of a refusal: which lines would end it.

use super::Policy;

impl Policy {
    /// Given a collector's error, whether the sandbox may be what refused, and the lines that would end it.
    #[must_use]
    pub fn explain(&self, message: &str) -> Option<String> {
        let _ = message;
        None
    }
}
