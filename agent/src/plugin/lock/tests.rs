use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::super::known::Bundled;
use super::super::sample::{Sample, manifest};
use super::super::trust::Authority;
use super::*;
use crate::assemble::chain;

fn library(folder: &TempDir, name: &str, manifest: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, Sample { manifest: Some(manifest.as_bytes()), ..Sample::default() }.bytes()).unwrap();
    path
}

fn known(path: &Path) -> Arc<Known> {
    Arc::new(Known::read(path, &Bundled::default()).unwrap())
}

fn here() -> Authority {
    Authority::of_this_agent().relaxed(true)
}

/// An authority that holds to the lock in this folder.
fn holding(folder: &TempDir) -> Authority {
    here().holding(Some(Held::beside(&folder.path().join("perfwatch.toml"), true, &here()).0))
}

fn write(folder: &TempDir, plugins: &[Arc<Known>]) -> PathBuf {
    let path = folder.path().join(NAME);
    store::write(&Lock::of(plugins).unwrap(), &path).unwrap();
    path
}

fn refused(known: &Known, authority: &Authority) -> String {
    chain(&known.may_be_loaded(authority).unwrap_err())
}

#[test]
fn lock_is_read_back_as_it_was_written_whatever_a_path_has_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = ["b.so", "a \"quoted\" \u{e9}\n.so"].map(|name| known(&library(&folder, name, &manifest("ups"))));
    let path = write(&folder, &plugins);
    let lock = store::look_at(&path).unwrap();
    assert_eq!(lock, Lock::of(&plugins).unwrap());
    assert_eq!(lock.entries.iter().map(|entry| &entry.path).collect::<Vec<_>>(), [&plugins[1].path, &plugins[0].path]);
    assert_eq!(lock.text(), fs::read_to_string(&path).unwrap());
    assert_eq!(Lock::parse(&Lock::of([]).unwrap().text()).unwrap().len(), 0);
}

#[test]
fn lock_is_for_all_to_read_and_replaces_a_link_and_the_rest_of_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let aside = folder.path().join("aside");
    fs::write(&aside, "mine").unwrap();
    std::os::unix::fs::symlink(&aside, folder.path().join(NAME)).unwrap();
    fs::write(folder.path().join("plugins.lock.new"), "half").unwrap();
    let path = write(&folder, &[]);
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o644);
    assert_eq!(fs::read_to_string(aside).unwrap(), "mine");
    assert!(!folder.path().join("plugins.lock.new").exists());
}

#[test]
fn text_that_is_no_lock_is_refused_with_its_line() {
    let entry = "[[plugin]]\nname = \"a\"\npath = \"/a\"\ncontract = \"1.0\"\n";
    let told = |text: &str| Lock::parse(text).unwrap_err();
    assert!(told("version = 1\n= 2").starts_with("line 2: "));
    assert_eq!(told("version = 2\n"), "version 2, not 1");
    assert!(told(&format!("version = 1\n{entry}sha256 = \"12\"\n")).contains("64 hexadecimal digits"));
    assert!(told(&format!("version = 1\n{entry}")).contains("missing field `sha256`"));
    assert!(told("version = 1\nplugins = []\n").contains("unknown field `plugins`"));
    assert!(told("").contains("missing field `version`"));
}

#[test]
fn each_difference_is_told_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let old = manifest("ups").replace("[plugin]", "[plugin]\nversion = \"1.0\"");
    let path = library(&folder, "a.so", &old);
    let lock = || Lock::of([&known(&path)]).unwrap();
    let before = lock();
    let about = format!("ups ({})", path.display());
    assert_eq!(before.compare(&before), Vec::<String>::new());
    assert_eq!(before.compare(&Lock::default()), [format!("added    {about}")]);
    assert_eq!(Lock::default().compare(&before), [format!("gone     {about}")]);
    let (was, changed) = (before.entries[0].sha256.short(), |to: &str| {
        library(&folder, "a.so", to);
        let told = lock().compare(&before);
        assert_eq!(told.len(), 1);
        told[0].clone()
    });
    let bytes = || format!("SHA-256 {was}… → {}…", lock().entries[0].sha256.short());
    assert_eq!(changed(&format!("{old}# built anew\n")), format!("changed  {about}: only its bytes: {}", bytes()));
    let told =
        changed(&old.replace("\"1.0\"\ndescription", "\"1.1\"\ndescription").replace("metrics.value", "metrics.other"));
    assert!(told.contains("its options or metrics, ") && told.ends_with(&bytes()), "{told}");
    let told = changed(&old.replace("version = \"1.0\"", "version = \"2.0\""));
    assert_eq!(told, format!("changed  {about}: version 1.0 → 2.0, {}", bytes()));
}

#[test]
fn what_is_locked_is_loaded_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (locked, other) = (library(&folder, "a.so", &manifest("ups")), library(&folder, "b.so", &manifest("usv")));
    write(&folder, &[known(&locked)]);
    let authority = holding(&folder);
    known(&locked).may_be_loaded(&authority).unwrap();
    known(&locked).loadable(&authority, folder.path()).unwrap();
    let (lock, config) = (folder.path().join(NAME), folder.path().join("perfwatch.toml"));
    let command = format!("perfwatch plugins lock -c {}", config.display());
    let expected = format!(
        "usv: not loaded: {} is not in {}; to admit it once it has been looked at: {command}",
        other.display(),
        lock.display()
    );
    assert_eq!(refused(&known(&other), &authority), expected);
    fs::copy(&locked, folder.path().join("c.so")).unwrap();
    let copy = refused(&known(&folder.path().join("c.so")), &authority);
    assert!(copy.contains("c.so is not in "), "the same bytes elsewhere are not what was locked: {copy}");
}

#[test]
fn library_replaced_since_it_was_locked_is_refused_with_both_digests_and_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = library(&folder, "a.so", &manifest("ups"));
    let before = known(&path).sha256().unwrap().short();
    write(&folder, &[known(&path)]);
    library(&folder, "a.so", &format!("{}# another\n", manifest("ups")));
    let (told, here) = (refused(&known(&path), &holding(&folder)), known(&path).sha256().unwrap().short());
    let words =
        format!("its SHA-256 begins with {here}, in {} with {before}; to admit", folder.path().join(NAME).display());
    assert!(told.contains(&words) && told.contains(": perfwatch plugins lock -c "), "{told}");
}

#[test]
fn bytes_that_changed_where_no_other_check_sees_it_are_seen_when_they_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = library(&folder, "a.so", &manifest("ups"));
    // As far as the file says of itself it is the same: what is added belongs to nothing.
    let whole = fs::read(&path).unwrap();
    let padded = |byte| [&whole[..], &[byte]].concat();
    for bundled in [Bundled::default(), Bundled::new([folder.path().to_owned()])] {
        fs::write(&path, padded(1)).unwrap();
        write(&folder, &[known(&path)]);
        let authority = holding(&folder);
        let known = Known::read(&path, &bundled).unwrap();
        known.may_be_loaded(&authority).unwrap();
        fs::write(&path, padded(2)).unwrap();
        let told = known.loadable(&authority, folder.path()).unwrap_err().to_string();
        assert!(told.contains("has changed since it was locked"), "{told}");
        known.loadable(&here(), folder.path()).unwrap();
    }
}

#[test]
fn lock_that_cannot_be_used_admits_nothing_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = library(&folder, "a.so", &manifest("ups"));
    let lock = folder.path().join(NAME);
    let told = || refused(&known(&path), &holding(&folder));
    let missing = format!(
        "ups: not loaded: agent.require_lock is set, and there is no {}; to write it: perfwatch",
        lock.display()
    );
    assert!(told().starts_with(&missing), "{}", told());
    fs::write(&lock, "version = 1\nplugin = 3\n").unwrap();
    assert!(told().contains("plugins.lock cannot be used (to write it anew: perfwatch plugins lock -c "), "{}", told());
    assert!(told().contains("): it is no lock: line 2: "), "{}", told());
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    assert!(told().ends_with(": a folder, not a regular file"), "{}", told());
}

#[test]
fn lock_that_others_may_write_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = library(&folder, "a.so", &manifest("ups"));
    let lock = write(&folder, &[known(&path)]);
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
    let config = folder.path().join("perfwatch.toml");
    let (held, _) = Held::beside(&config, true, &Authority::of_this_agent().in_service());
    let told = chain(&held.fault().unwrap());
    let (shown, chmod) = (lock.display(), format!("chmod o-w {}", lock.display()));
    assert!(told.starts_with(&format!("{shown} is not believed: {shown} is writable by everyone (0666); ")), "{told}");
    assert!(told.ends_with(&chmod), "{told}");
    let (held, doubts) = Held::beside(&config, true, &here().in_service());
    assert!(held.fault().is_none() && doubts.len() == 1, "relaxed believes it with a warning");
}
