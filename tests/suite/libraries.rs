//! Libraries are known before their code runs: those that cargo really builds, and those that are no plugins.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{built, skip};
use perfwatch::plugin::known::{Bundled, Known};

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
        assert_eq!(known(library).text, manifest, "{}", library.display());
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
    assert_eq!(known(&stripped).text, whole.text);
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
