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
            LoadError::Open(cause) | LoadError::NoExec(cause) | LoadError::Symbol(_, cause) => {
                std::error::Error::source(cause).or(Some(cause))
            }
            LoadError::Contract { .. } => None,
            LoadError::Layout(cause) => Some(cause),
            LoadError::Plain(cause) => Some(cause),
        }
    }
}

/// The linker says no more of it than "failed to map segment".
fn refused(path: &Path, cause: libloading::Error) -> LoadError {
    match rustix::fs::statvfs(path) {
        Ok(place) if place.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC) => LoadError::NoExec(cause),
        Ok(_) | Err(_) => LoadError::Open(cause),
    }
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
