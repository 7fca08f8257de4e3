//! A manifest, and none of the symbols that a plugin has.

const MANIFEST: &[u8] = include_bytes!("../plugin.toml");

#[used]
#[unsafe(link_section = ".perfwatch")]
static SECTION: [u8; MANIFEST.len()] = *include_bytes!("../plugin.toml");
