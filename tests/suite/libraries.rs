//! Libraries are known before their code runs: those that cargo really builds, and those that are no plugins.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Site, built, skip};
use perfwatch::plugin::digest::Sha256;
use perfwatch::plugin::known::{Bundled, Known};
use serde_json::Value;

fn known(path: &Path) -> Known {
    Known::read(path, &Bundled::default()).unwrap()
}

/// Every library of the tests that has a `plugin.toml`, with its folder.
fn with_manifests() -> Vec<(&'static Path, String)> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let folders = [plugins.join("mock")]
        .into_iter()
        .chain(fs::read_dir(plugins.join("hostile")).unwrap().map(|entry| entry.unwrap().path()));
    let library =
        |folder: &Path| format!("perfwatch_{}", folder.file_name().unwrap().to_str().unwrap().replace('-', "_"));
    folders
        .map(|folder| {
            (built().test_plugins[&library(&folder)].as_path(), fs::read_to_string(folder.join("plugin.toml")).unwrap())
        })
        .collect()
}

#[test]
fn manifest_in_a_built_library_is_the_file_byte_for_byte() {
    let libraries = with_manifests();
    assert!(libraries.len() > 5);
    for (library, manifest) in libraries {
        if manifest.contains("contract = \"2.0\"") {
            let refused = Known::read(library, &Bundled::default()).unwrap_err().to_string();
            assert!(refused.contains("plugin.toml:1:13: needs contract 2.0"), "{refused}");
            continue;
        }
        assert_eq!(known(library).elf.manifest, Some(Sha256::of_bytes(manifest.as_bytes())), "{}", library.display());
    }
}

#[test]
fn manifest_survives_strip() {
    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("libperfwatch_mock.so");
    fs::copy(&built().test_plugins["perfwatch_mock"], &stripped).unwrap();
    match Command::new("strip").arg("--strip-all").arg(&stripped).status() {
        Ok(status) => assert!(status.success()),
        Err(_absent) => return skip("strip"),
    }
    let whole = known(&built().test_plugins["perfwatch_mock"]);
    assert!(known(&stripped).elf.size < whole.elf.size);
    assert_eq!(known(&stripped).elf.manifest, whole.elf.manifest);
}

#[test]
fn built_library_cut_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, path) = (fs::read(&built().test_plugins["perfwatch_mock"]).unwrap(), folder.path().join("cut.so"));
    for share in 0..64 {
        fs::write(&path, &whole[..whole.len() * share / 64]).unwrap();
        let refused = Known::read(&path, &Bundled::default()).unwrap_err().to_string();
        assert!(refused.contains("truncated: ") || share == 0, "{share}/64: {refused}");
    }
}

#[test]
fn library_of_another_kind_is_told_to_be_one() {
    let told = Known::read(&built().test_plugins["alloc_count"], &Bundled::default()).unwrap_err().to_string();
    assert!(told.contains("no section .perfwatch: another library"), "{told}");
}

/// A mock whose header says that it was built for another machine.
fn foreign(site: &Site) -> PathBuf {
    let mut library = fs::read(&built().test_plugins["perfwatch_mock"]).unwrap();
    // `e_machine` of elf(5): aarch64, or x86_64 where this is one.
    library[18] = if library[18] == 183 { 62 } else { 183 };
    site.write("foreign.so", library)
}

#[test]
fn inspect_and_check_run_no_code_of_a_plugin() {
    let site = Site::new();
    let library = site.plugin("aborts_on_load");
    site.config("[collectors.aborts_on_load]\nisolation = \"none\"\n");
    for arguments in [vec!["plugins", "inspect", library.to_str().unwrap()], vec!["plugins", "list"], vec!["check"]] {
        let finished = site.output(&arguments);
        assert_eq!(finished.code(), 0, "{arguments:?}: {finished}");
        assert!(!finished.stderr.contains("was run"), "{arguments:?}: {finished}");
    }
    // What the above is worth: loading it is the end, of a process that tries it.
    let once = site.output(["once", "--format", "json", "--window", "10ms"]);
    assert!(
        once.stderr.contains("was run") && once.stdout.contains("a process that loaded it died: signal: 6"),
        "{once}"
    );
}

#[test]
fn inspect_list_and_check_say_where_a_plugin_runs_what_it_asks_for_and_how_to_grant_it() {
    let site = Site::new();
    fs::copy(&built().plugins["perfwatch_network"], site.path("plugins/libperfwatch_network.so")).unwrap();
    let told = |arguments: &[&str]| {
        let finished = site.output(arguments);
        assert_eq!(finished.code(), 0, "{arguments:?}: {finished}");
        (finished.stdout, finished.stderr)
    };
    let (inspected, _) = told(&["plugins", "inspect", "network"]);
    for line in [
        "\n  runs        in a child process: it does not come with the agent\n",
        "\n  budget      cpu 50ms, memory 64MiB, descriptors 64, rows 10000, cells 100000, text 1MiB\n",
        "\n  reads       /proc/net          files, granted to every plugin\n",
        "\n  reads       netlink:sock_diag  a netlink family, for you to grant\n",
        "\n# grant = [\"netlink:sock_diag\"]\n",
    ] {
        assert!(inspected.contains(line), "no {line} in {inspected}");
    }
    let place = |listed: &str| listed.lines().nth(1).unwrap().split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(place(&told(&["plugins", "list"]).0), "process");
    let note = "note: collector network: asks for netlink:sock_diag, which is not granted; to grant it, in [collectors.network]: \
                grant = [\"netlink:sock_diag\"]\n";
    assert_eq!(told(&["check"]).1, note);
    site.config("[collectors.network]\ngrant = [\"netlink:sock_diag\"]\n");
    assert_eq!(told(&["check"]).1, "");
    fs::remove_file(site.path("plugins/libperfwatch_network.so")).unwrap();
    site.bundled("network");
    let (inspected, _) = told(&["plugins", "inspect", "network"]);
    assert!(inspected.contains("\n  runs        in the agent: it comes with it\n"), "{inspected}");
    assert!(!inspected.contains("for you to grant") && !inspected.contains("grant = "), "{inspected}");
    assert_eq!(place(&told(&["plugins", "list"]).0), "none");
}

#[test]
fn library_of_another_machine_can_be_inspected() {
    let site = Site::new();
    let finished = site.output(["plugins".as_ref(), "inspect".as_ref(), foreign(&site).as_os_str()]);
    assert_eq!(finished.code(), 0, "{finished}");
    assert!(finished.stdout.contains("no: built for "), "{finished}");
    assert!(finished.stdout.contains("count_per_sec"), "{finished}");
}

#[test]
fn inspect_says_what_is_wrong_with_a_file_and_never_waits_for_it() {
    let site = Site::new();
    let mock = fs::read(&built().test_plugins["perfwatch_mock"]).unwrap();
    site.write("empty.so", "");
    site.write("text.so", "INPUT(libc.so.6)");
    site.write("cut.so", &mock[..mock.len() / 2]);
    fs::create_dir(site.path("folder.so")).unwrap();
    symlink("nowhere", site.path("dangling.so")).unwrap();
    symlink("/dev/zero", site.path("device.so")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, site.path("fifo.so"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for (file, why) in [
        ("empty.so", "not an ELF file"),
        ("text.so", "not an ELF file"),
        ("cut.so", "truncated: "),
        ("folder.so", "a folder"),
        ("dangling.so", "a link to nowhere"),
        ("device.so", "a device"),
        ("fifo.so", "a FIFO"),
        ("absent.so", "No such file"),
    ] {
        let finished = site.output(["plugins".as_ref(), "inspect".as_ref(), site.path(file).as_os_str()]);
        assert_eq!(finished.code(), 69, "{file}: {finished}");
        assert!(finished.stderr.contains(file) && finished.stderr.contains(why), "{file}: {finished}");
        assert_eq!(finished.stdout, "", "{file}");
    }
}

#[test]
fn check_tells_of_each_plugin_that_cannot_be_loaded_while_the_others_run() {
    let site = Site::new();
    site.plugin("mock");
    site.write("script", "value=1.5");
    site.config("[collectors.mock]\nisolation = \"none\"\noptions = { script = \"script\" }\n");
    assert_eq!(site.output(["check"]).code(), 0);
    let mock = fs::read(&built().test_plugins["perfwatch_mock"]).unwrap();
    site.write("plugins/libperfwatch_cut.so", &mock[..mock.len() / 2]);
    site.write("plugins/another.so", "not ours, and not told");
    let finished = site.output(["check"]);
    assert_eq!(finished.code(), 69, "{finished}");
    assert!(finished.stderr.contains("libperfwatch_cut.so: truncated: "), "{finished}");
    assert!(!finished.stderr.contains("another.so"), "{finished}");
    let once = site.output(["once", "--format", "json", "--window", "10ms"]);
    assert_eq!(once.code(), 0, "{once}");
    let snapshot: Value = serde_json::from_str(&once.stdout).unwrap();
    assert_eq!(snapshot["mock"]["value"], 1.5);
}

#[test]
fn second_plugin_of_a_name_is_not_used_and_told() {
    let site = Site::new();
    site.write("script", "value=1.5");
    site.config("[collectors.mock]\noptions = { script = \"script\" }\n");
    let first = site.plugin("mock");
    let second = site.path("plugins/zz.so");
    fs::copy(&first, &second).unwrap();
    let finished = site.output(["check"]);
    assert_eq!(finished.code(), 0, "{finished}");
    for path in [&first, &second] {
        assert!(finished.stderr.contains(path.to_str().unwrap()), "{finished}");
    }
}

#[test]
fn without_any_plugin_the_searched_folders_are_told() {
    let site = Site::new();
    let finished = site.output(["run"]);
    assert_eq!(finished.code(), 69, "{finished}");
    for folder in [site.path("plugins"), site.path("bin"), "/usr/lib/perfwatch/plugins".into()] {
        assert!(finished.stderr.contains(folder.to_str().unwrap()), "{finished}");
    }
}
