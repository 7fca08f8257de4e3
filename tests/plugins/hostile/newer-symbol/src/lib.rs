//! Its manifest says contract 1.0, its symbol 2.0. There is no module: what believed the manifest would fail otherwise.

const MANIFEST: &[u8] = include_bytes!("../plugin.toml");

#[used]
#[unsafe(link_section = ".perfwatch")]
static SECTION: [u8; MANIFEST.len()] = *include_bytes!("../plugin.toml");

#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
static perfwatch_contract: u32 = 2 << 16;
