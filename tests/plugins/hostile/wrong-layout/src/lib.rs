//! Says that it is of this contract, and its module is of another type: what called it would call into the void.
#![allow(non_upper_case_globals)]

use abi_stable::StableAbi;
use abi_stable::library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModule, RootModuleResult};
use abi_stable::package_version_strings;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::RStr;

const MANIFEST: &[u8] = include_bytes!("../plugin.toml");

#[used]
#[unsafe(link_section = ".perfwatch")]
static SECTION: [u8; MANIFEST.len()] = *include_bytes!("../plugin.toml");

/// A module with a number where the contract has a function.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = OtherModuleRef)))]
#[sabi(missing_field(option))]
pub struct OtherModule {
    /// Not a function.
    #[sabi(last_prefix_field)]
    pub create: RStr<'static>,
}

impl RootModule for OtherModuleRef {
    abi_stable::declare_root_module_statics! {OtherModuleRef}
    const BASE_NAME: &'static str = "perfwatch";
    const NAME: &'static str = "perfwatch";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

fn module() -> OtherModuleRef {
    OtherModule { create: RStr::from_str("not a function") }.leak_into_prefix()
}

extern "C" fn load() -> RootModuleResult {
    __call_root_module_loader(module)
}

#[unsafe(no_mangle)]
static perfwatch_contract: u32 = plugin_api::CONTRACT;

#[unsafe(no_mangle)]
static perfwatch_module: LibHeader =
    // SAFETY: `load` is a loader of `OtherModuleRef`, the same type that the header is made for.
    unsafe { LibHeader::from_constructor::<OtherModuleRef>(load, CheckTypeLayout::Yes) };
