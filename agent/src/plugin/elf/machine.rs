//! The machine that a library was built for.

use std::fmt;

/// `e_machine` of elf(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine(pub u16);

impl Machine {
    /// The one that this agent was built for.
    #[cfg(target_arch = "x86_64")]
    pub const HERE: Machine = Machine(62);
    /// The one that this agent was built for.
    #[cfg(target_arch = "aarch64")]
    pub const HERE: Machine = Machine(183);
    /// The one that this agent was built for.
    #[cfg(target_arch = "riscv64")]
    pub const HERE: Machine = Machine(243);
    /// The one that this agent was built for.
    #[cfg(target_arch = "powerpc64")]
    pub const HERE: Machine = Machine(21);
    /// The one that this agent was built for.
    #[cfg(target_arch = "loongarch64")]
    pub const HERE: Machine = Machine(258);
}

/// Cargo's word for it, so that it can be copied into a target triple.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            3 => "i686",
            8 => "mips64",
            21 => "powerpc64",
            22 => "s390x",
            40 => "arm",
            62 => "x86_64",
            183 => "aarch64",
            243 => "riscv64",
            258 => "loongarch64",
            other => return write!(f, "machine {other}"),
        })
    }
}
