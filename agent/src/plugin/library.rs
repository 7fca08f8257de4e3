//! Loads a library: the one file that calls dlopen.
//!
//! By the time a library gets here, it was opened once and checked on that descriptor, and it is loaded through the
//! descriptor as well, so that nothing can change in between. Its constructors run here: this is the first moment at
//! which a plugin's code can do anything. A library is never unloaded: threads and thread-local destructors make
//! `dlclose` unsound.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fmt;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::NonNull;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use plugin_api::abi::{CONTRACT_SYMBOL, MODULE_SYMBOL};
use plugin_api::host_side::door::Module;
use plugin_api::host_side::layout::{self, LayoutError};
use plugin_api::host_side::plain::{self, PLAIN_SYMBOL, PlainError};

/// Why a library cannot be used.
#[derive(Debug)]
pub enum LoadError {
    /// The dynamic linker refuses it.
    Open(libloading::Error),
    /// It was linked against a newer C library than this machine's, of this version.
    Glibc(String, libloading::Error),
    /// It lies where nothing may be executed.
    NoExec(libloading::Error),
    /// It lacks one of the symbols that `perfwatch_plugin!` exports, and that of a plugin in C.
    Symbol(&'static str, libloading::Error),
    /// It was built against another major contract.
    Contract {
        /// Its contract, `major << 16 | minor`.
        theirs: u32,
    },
    /// Its types are not ours.
    Layout(LayoutError),
    /// Its entry for C is not ours.
    Plain(PlainError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Open(_) => f.write_str("the dynamic linker could not load it"),
            LoadError::Glibc(needed, _) => write!(
                f,
                "it needs glibc {needed}, and this machine's C library is older: build it on the oldest machine that it shall run on"
            ),
            LoadError::NoExec(_) => f.write_str("it lies on a file system that is mounted noexec"),
            LoadError::Symbol(name, _) => write!(
                f,
                "it does not export {name}: is perfwatch_plugin! called in it, or PERFWATCH_PLUGIN of perfwatch.h in C?"
            ),
            LoadError::Contract { theirs } => {
                let (major, minor, ours) = (theirs >> 16, theirs & 0xffff, plugin_api::CONTRACT >> 16);
                write!(f, "it was built against contract {major}.{minor}, and this agent speaks {ours}.x")
            }
            LoadError::Layout(_) => f.write_str("its ABI does not fit"),
            LoadError::Plain(_) => f.write_str("its entry does not fit"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // libloading itself says no more than "dlopen failed": the reason is one further down.
            LoadError::Open(cause)
            | LoadError::Glibc(_, cause)
            | LoadError::NoExec(cause)
            | LoadError::Symbol(_, cause) => std::error::Error::source(cause).or(Some(cause)),
            LoadError::Contract { .. } => None,
            LoadError::Layout(cause) => Some(cause),
            LoadError::Plain(cause) => Some(cause),
        }
    }
}

/// What the linker says in words of its own: that a version of glibc is missing, or no more than "failed to map segment".
fn refused(path: &Path, cause: libloading::Error) -> LoadError {
    let words = std::error::Error::source(&cause).map_or_else(|| cause.to_string(), ToString::to_string);
    if let Some(needed) = missing_glibc(&words) {
        return LoadError::Glibc(needed.to_owned(), cause);
    }
    match rustix::fs::statvfs(path) {
        Ok(place) if place.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC) => LoadError::NoExec(cause),
        Ok(_) | Err(_) => LoadError::Open(cause),
    }
}

/// The version in "version `GLIBC_2.99' not found (required by …)", as glibc has said it since 1997.
fn missing_glibc(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once("version `GLIBC_")?;
    rest.split_once("' not found").map(|(version, _)| version)
}

/// Loads the library at `path`, which is a descriptor's name in `/proc/self/fd` that stays open for good.
///
/// # Errors
/// The library cannot be used; its constructors may have run all the same.
pub fn load(path: &Path) -> Result<Module, LoadError> {
    // SAFETY: loading runs the library's constructors, which is what an operator asks for who configures a plugin;
    // nothing of ours is borrowed meanwhile.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|cause| refused(path, cause))?;
    // Never unloaded, whatever comes below.
    let library = ManuallyDrop::new(library);
    // SAFETY: only the symbol's address is taken.
    if let Ok(symbol) = unsafe { library.get::<*mut c_void>(PLAIN_SYMBOL.as_bytes()) }
        && let Some(symbol) = NonNull::new(symbol.into_raw())
    {
        // SAFETY: the address of that symbol, of a library that is never unloaded.
        return unsafe { plain::module(symbol) }.map_err(LoadError::Plain);
    }
    // SAFETY: every plugin in Rust exports a `u32` under this name; it is only read.
    let contract = unsafe { library.get::<*const u32>(CONTRACT_SYMBOL.as_bytes()) };
    let contract = contract.map_err(|cause| LoadError::Symbol(CONTRACT_SYMBOL, cause))?.into_raw().cast::<u32>();
    // SAFETY: the symbol's address, found just now in a library that stays loaded; a data symbol is never null, and
    // an unaligned one is read as it is.
    let theirs = unsafe { contract.read_unaligned() };
    if theirs >> 16 != plugin_api::CONTRACT >> 16 {
        return Err(LoadError::Contract { theirs });
    }
    // SAFETY: only the symbol's address is taken.
    let module = unsafe { library.get::<*const ()>(MODULE_SYMBOL.as_bytes()) };
    let module = module.map_err(|cause| LoadError::Symbol(MODULE_SYMBOL, cause))?.into_raw();
    // SAFETY: it is the symbol that `layout::module` asks for, of a library that is never unloaded, and the contract
    // has our major number.
    unsafe { layout::module(module.cast_const()) }.map_err(LoadError::Layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_glibc_that_is_missing_is_found_in_the_words_of_the_linker() {
        let words = "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.99' not found (required by /proc/self/fd/4)";
        assert_eq!(missing_glibc(words), Some("2.99"));
        assert_eq!(missing_glibc("libfoo.so: version `FOO_1' not found (required by x)"), None);
    }
}
