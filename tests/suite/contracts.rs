//! A plugin and an agent of contract 1.x load one another, whichever was built first: `tests/contracts` keeps each contract that is out
//! there as source, and the next one is the source of now with a method appended on either side, and an entry for sinks.
//!
//! `KEEP_CONTRACT=1` writes the source of now into the folder of its version; `tests/contracts/README.md` says when.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use harness::{Paths, Site, build, root};
use serde_json::Value;

/// A plugin and a host, built against the same contract.
struct Pair {
    contract: String,
    library: PathBuf,
    manifest: PathBuf,
    host: PathBuf,
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// The version of the contract's crate, `[1, 0, 0]` today.
fn version() -> [u32; 3] {
    let manifest = read(&root().join("plugin-api/Cargo.toml"));
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap();
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

fn text([major, minor, patch]: [u32; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

fn kept() -> PathBuf {
    root().join("tests/contracts")
}

/// The kept versions, oldest first.
fn versions() -> Vec<String> {
    let entries = fs::read_dir(kept()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut versions: Vec<String> =
        entries.filter(|name| name.starts_with(|first: char| first.is_ascii_digit())).collect();
    versions.sort_by_key(|version| version.split('.').map(|number| number.parse::<u32>().unwrap()).collect::<Vec<_>>());
    versions
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path, inside: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder.join(inside)).unwrap().map(Result::unwrap) {
        let path = inside.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { files(folder, &path, found) } else { found.push(path) }
    }
}

/// Cargo builds anew what was written anew, so only what differs is.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
}

/// Writes a workspace: plugin-api as it is now, with the pair of programs that use it. Names hold the version, since what cargo builds
/// in one target folder needs names of its own.
fn compose(into: &Path, version: &str, change: impl Fn(&Path, String) -> String) {
    let mut contract = Vec::new();
    files(&root().join("plugin-api"), Path::new("src"), &mut contract);
    contract.push("Cargo.toml".into());
    for path in contract {
        let text = read(&root().join("plugin-api").join(&path));
        write(&into.join("plugin-api").join(&path), &change(&path, text));
    }
    let mut pair = Vec::new();
    files(&kept().join("pair"), Path::new(""), &mut pair);
    let (name, dashed) = (version.replace('.', "_"), version.replace('.', "-"));
    for path in pair {
        let text = read(&kept().join("pair").join(&path));
        let text = if path.ends_with("Cargo.toml") {
            let text = text.replace("\"pair_plugin\"", &format!("\"pair_plugin_{name}\""));
            text.replace("name = \"pair-plugin\"", &format!("name = \"pair-plugin-{dashed}\""))
                .replace("name = \"pair-host\"", &format!("name = \"pair-host-{dashed}\""))
        } else {
            text
        };
        write(&into.join(&path), &change(&path, text));
    }
    let workspace = read(&root().join("Cargo.toml"));
    let lines = workspace.lines().filter(|line| !line.starts_with("exclude = "));
    let members = "members = [\"host\", \"plugin\", \"plugin-api\"]";
    let lines = lines.map(|line| if line.starts_with("members = ") { members } else { line });
    write(&into.join("Cargo.toml"), &(lines.collect::<Vec<_>>().join("\n") + "\n"));
}

/// Appends to a block of Rust that begins with `head`, before the brace that ends it.
fn append(text: &str, head: &str, what: &str) -> String {
    let start = text.find(head).unwrap_or_else(|| panic!("there is no `{head}`"));
    let end = start + text[start..].find("\n}\n").unwrap() + 1;
    format!("{}{what}{}", &text[..end], &text[end..])
}

fn replace(text: &str, what: &str, by: &str) -> String {
    assert!(text.contains(what), "there is no `{what}`");
    text.replacen(what, by, 1)
}

/// The next contract: the file of now, with what is appended to it.
fn next(path: &Path, text: String) -> String {
    let [major, minor, patch] = version();
    match path.to_str().unwrap() {
        "Cargo.toml" => {
            let now = format!("version = \"{}\"", self::text([major, minor, patch]));
            replace(&text, &now, &format!("version = \"{major}.{}.{patch}\"", minor + 1))
        }
        "plugin/plugin.toml" => {
            let (_, rest) = text.split_once('\n').unwrap();
            format!("contract = \"{major}.{}\"\n{rest}", minor + 1)
        }
        "src/lib.rs" => {
            let head = "pub const CONTRACT: u32 = ";
            replace(&text, head, &format!("{head}1 + BEFORE;\nconst BEFORE: u32 = "))
        }
        "src/abi.rs" => {
            let method = |this| format!("    fn appended(&{this}, number: u64) -> u64 {{\n        number\n    }}\n");
            let text = append(&text, "pub trait RawHost:", &method("self"));
            let text = append(&text, "pub trait RawCollector:", &method("mut self"));
            let entry = "    pub create_sink: extern \"C\" fn(options: RStr<'_>, host: HostObject) -> RResult<SinkObject, RawError>,\n";
            let text = append(&text, "pub struct PluginModule {", entry);
            let sink = "#[sabi_trait]
pub trait RawSink: Send {
    #[sabi(last_prefix_field)]
    fn emit(&mut self, line: RStr<'_>) -> u64;
}
pub type SinkObject = RawSink_TO<'static, RBox<()>>;
";
            replace(&text, "#[cfg(test)]\nmod tests", &format!("{sink}\n#[cfg(test)]\nmod tests"))
        }
        "src/export.rs" => {
            let head = "RawCollector for Guarded<C> {";
            let method = "    fn appended(&mut self, number: u64) -> u64 {\n        2 * number\n    }\n";
            let text = append(&text, head, method);
            let text = replace(&text, "create: create::<C>", "create: create::<C>, create_sink");
            text + "
struct Sink(HostObject);

impl crate::abi::RawSink for Sink {
    fn emit(&mut self, line: RStr<'_>) -> u64 {
        self.0.appended(line.len() as u64)
    }
}

extern \"C\" fn create_sink(_: RStr<'_>, host: HostObject) -> RResult<crate::abi::SinkObject, RawError> {
    RResult::ROk(crate::abi::RawSink_TO::from_value(Sink(host), abi_stable::erased_types::TD_Opaque))
}
"
        }
        "src/host_side/roots.rs" => {
            let method = "    fn appended(&self, number: u64) -> u64 {\n        1 + number\n    }\n";
            append(&text, "impl RawHost for HostHandle {", method)
        }
        "src/host.rs" => {
            text + "
impl Host {
    /// Appended.
    pub fn appended(&self, number: u64) -> u64 {
        self.object.appended(number)
    }
}
"
        }
        "src/host_side/door.rs" => {
            text + "
impl Instance {
    /// Appended.
    pub fn appended(&mut self, number: u64) -> u64 {
        self.object.appended(number)
    }
}

impl Module {
    /// Appended.
    pub fn sink(&self, host: HostHandle, line: &str) -> Option<u64> {
        let Entry::Rust(module) = self.entry else { return None };
        let host = RawHost_TO::from_value(host, abi_stable::erased_types::TD_Opaque);
        Some(module.create_sink()?(RStr::from_str(\"{}\"), host).unwrap().emit(RStr::from_str(line)))
    }
}
"
        }
        _ => text,
    }
}

/// Builds the pair of a folder, beside the plugins of the tests: what they have in common is built once.
fn pair(folder: &Path, contract: &str, version: &str, arguments: &[&str]) -> Pair {
    let shared = root().join("tests/plugins/target");
    let mut arguments = arguments.to_vec();
    if env::var_os("CARGO_TARGET_DIR").is_none() {
        arguments.extend(["--target-dir", shared.to_str().unwrap()]);
    }
    let (mut programs, mut libraries): (Paths, Paths) = build(&folder.join("Cargo.toml"), &arguments);
    Pair {
        contract: contract.into(),
        library: libraries.remove(&format!("pair_plugin_{}", version.replace('.', "_"))).unwrap(),
        manifest: folder.join("plugin/plugin.toml"),
        host: programs.remove(&format!("pair-host-{}", version.replace('.', "-"))).unwrap(),
    }
}

/// All that are kept, and the next one as the last.
fn pairs() -> &'static [Pair] {
    static PAIRS: OnceLock<Vec<Pair>> = OnceLock::new();
    PAIRS.get_or_init(|| {
        let of = |version: &String| {
            let contract = version.rsplit_once('.').unwrap().0;
            pair(&kept().join(version), contract, version, &["--locked"])
        };
        let mut pairs: Vec<Pair> = versions().iter().map(of).collect();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("next-contract");
        compose(&folder, "next", next);
        fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let [major, minor, _] = version();
        let features = ["--features", "pair-plugin-next/next,pair-host-next/next"];
        pairs.push(pair(&folder, &format!("{major}.{}", minor + 1), "next", &features));
        pairs
    })
}

/// Without comments, and as far as the tests: what a library is made of.
fn code(path: &Path) -> String {
    let text = read(path);
    let text = text.split("\n#[cfg(test)]").next().unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |code, line| code + line.trim_end() + "\n")
}

#[test]
fn contract_of_now_is_kept_as_it_is() {
    let version = version();
    let folder = kept().join(text(version));
    if env::var_os("KEEP_CONTRACT").is_some() {
        let _absent = fs::remove_dir_all(&folder);
        compose(&folder, &text(version), |_, text| text);
        fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        // Leaves in the lock what this workspace needs of it, at the same versions.
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let lock =
            Command::new(cargo).args(["update", "--quiet", "--workspace", "--offline"]).current_dir(&folder).status();
        assert!(lock.unwrap().success());
    }
    assert_eq!(plugin_api::CONTRACT, version[0] << 16 | version[1], "the crate's version says the contract");
    for file in ["abi.golden", "abi.rs", "cell.rs"] {
        let (now, then) = (root().join("plugin-api/src").join(file), folder.join("plugin-api/src").join(file));
        assert!(
            then.exists() && code(&now) == code(&then),
            "{} is not what {} has: see tests/contracts/README.md",
            now.display(),
            folder.display()
        );
    }
}

#[test]
fn plugins_and_hosts_of_all_contracts_load_one_another() {
    let pairs = pairs();
    assert!(pairs.len() > 1);
    let is_next = |pair: &Pair| std::ptr::eq(pair, &raw const pairs[pairs.len() - 1]);
    for plugin in pairs {
        for host in pairs {
            let output = Command::new(&host.host).args([&plugin.library, &plugin.manifest]).output().unwrap();
            let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            let mut expected =
                format!("contract {} on {}\nlog Info made\noutcome 0 \n", plugin.contract, host.contract);
            expected += "count 7\nname seven\nuptime_seconds measured\ntotal_bytes measured\n";
            // The default answers with what it was asked, on the side of whoever asks.
            let of_host = match (is_next(plugin), is_next(host)) {
                (false, _) => "null",
                (true, false) => "20",
                (true, true) => "21",
            };
            expected += &format!("appended {of_host}\nrow a b -1\n");
            expected += match (is_next(plugin), is_next(host)) {
                (_, false) => "",
                (false, true) => "collector answers 20\nsink answers None\n",
                (true, true) => "collector answers 40\nsink answers Some(5)\n",
            };
            assert_eq!(said, expected, "plugin of {}, host of {}: {wrong}", plugin.contract, host.contract);
            assert!(output.status.success(), "{wrong}");
        }
    }
}

#[test]
fn plugins_of_all_contracts_run_in_the_agent() {
    for plugin in pairs() {
        let site = Site::new();
        site.write("plugins/libperfwatch_pair.so", fs::read(&plugin.library).unwrap());
        let once = site.output(["once", "--format", "json", "--window", "1s"]);
        assert_eq!(once.code(), 0, "{once}");
        let snapshot: Value = serde_json::from_str(&once.stdout).unwrap();
        let pair = &snapshot["pair"];
        assert_eq!((&pair["_status"], &pair["count"]), (&"ok".into(), &7.into()), "{}: {once}", plugin.contract);
        assert_eq!(pair["rows"]["a"]["b"]["negative"], -1, "{once}");
    }
}
