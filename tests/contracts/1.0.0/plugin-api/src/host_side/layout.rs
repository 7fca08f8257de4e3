//! The layout check: do this program and a library mean the same bytes by the contract's types?
//!
//! `abi_stable`'s standard check refuses an older plugin on a newer host ("too many fields"). The contract grows by
//! appended methods on either side, so the check passes if either side's layout is a prefix of the other's: ours
//! against theirs, or theirs against ours. It costs 0.5 ms a plugin, once.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fmt;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{AbiInstabilityErrors, check_layout_compatibility};
use abi_stable::library::AbiHeaderRef;
use abi_stable::type_layout::TLFieldOrFunction;

use super::door::Module;
use crate::abi::PluginModuleRef;

/// How many differences an error names: the whole list runs to 160 KB, and the first tells the story.
const DIFFERENCES_MAX: usize = 3;

/// A library whose module cannot be used.
#[derive(Debug)]
pub enum LayoutError {
    /// The `abi_stable` of the library is another one, or its C ABI is.
    Header(String),
    /// Types of the contract differ, by these.
    Differs(Vec<String>),
    /// The library's loader failed.
    Module(String),
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Header(why) => write!(f, "its header is not one of contract 1.x: {why}"),
            LayoutError::Differs(by) => {
                write!(
                    f,
                    "its types are not those of contract 1.x ({}): rebuild it against plugin-api 1",
                    by.join("; ")
                )
            }
            LayoutError::Module(why) => write!(f, "its root module could not be made: {why}"),
        }
    }
}

impl std::error::Error for LayoutError {}

/// The module behind a library's header.
///
/// # Safety
/// `header` is the address of the symbol [`crate::abi::MODULE_SYMBOL`] of a library that is never unloaded, whose
/// [`crate::abi::CONTRACT_SYMBOL`] has this contract's major number.
///
/// # Errors
/// The library was built against other types.
pub unsafe fn module(header: *const c_void) -> Result<Module, LayoutError> {
    // SAFETY: a library of this major contract exports a `LibHeader` there, which begins with an `AbiHeader`; the
    // reference to it is what `AbiHeaderRef` wraps (repr(transparent)), and the library stays loaded for good.
    let header = unsafe { std::mem::transmute::<*const c_void, AbiHeaderRef>(header) };
    let header = header.upgrade().map_err(|cause| LayoutError::Header(first_lines(&cause.to_string())))?;
    let ours = <PluginModuleRef as StableAbi>::LAYOUT;
    let theirs = header.layout().ok_or_else(|| LayoutError::Header("it carries no layout".into()))?;
    if let Err(differences) = check_layout_compatibility(ours, theirs)
        && check_layout_compatibility(theirs, ours).is_err()
    {
        return Err(LayoutError::Differs(condensed(&differences)));
    }
    // SAFETY: the layouts have just been found compatible.
    let module = unsafe { header.init_root_module_with_unchecked_layout::<PluginModuleRef>() };
    module.map(Module::new).map_err(|cause| LayoutError::Module(first_lines(&cause.to_string())))
}

/// Where the first differences are and of what kind: `RawFrame.cells: MismatchedTypes`.
fn condensed(errors: &AbiInstabilityErrors) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for error in &errors.errors {
        let place: Vec<&str> = error.stack_trace.iter().map(|step| name(&step.expected)).collect();
        for difference in &error.errs {
            let debug = format!("{difference:?}");
            let kind = debug.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            let line = format!("{}: {kind}", place.join("."));
            if !lines.contains(&line) && lines.len() < DIFFERENCES_MAX {
                lines.push(line);
            }
        }
    }
    lines
}

fn name(step: &TLFieldOrFunction) -> &str {
    match step {
        TLFieldOrFunction::Field(field) => field.name(),
        TLFieldOrFunction::Function(function) => function.name.as_str(),
    }
}

/// The first two lines that say something, as one.
fn first_lines(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    format!("{first} {second}").trim().chars().take(200).collect()
}
