//! With real folders, whose changes a real kernel tells.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout;

use super::*;

/// Of a failing test.
const DEADLINE: Duration = Duration::from_secs(60);
/// What is waited for something that does not come. A machine that is so slow that it would have come later lets a fault pass, and no good test fail.
const NEVER: Duration = Duration::from_millis(900);

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn libraries(folder: &Path) -> Vec<Target> {
    vec![Target { folder: folder.to_owned(), ending: "so" }]
}

/// A watch that has told its first change.
async fn watch(targets: Vec<Target>) -> Watch {
    let mut watch = Watch::new(targets, None).unwrap();
    assert_eq!(changed(&mut watch).await, HashSet::new());
    watch
}

async fn changed(watch: &mut Watch) -> HashSet<PathBuf> {
    timeout(DEADLINE, watch.changed()).await.expect("a change is told")
}

/// The next change of which all is whole.
async fn is_whole(watch: &mut Watch) {
    while !changed(watch).await.is_empty() {}
}

async fn nothing_changes(watch: &mut Watch) {
    if let Ok(writing) = timeout(NEVER, watch.changed()).await {
        panic!("a change is told, of {writing:?}");
    }
}

#[test]
fn whatever_happens_to_a_file_is_told() {
    run(async {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (file, other) = (folder.path().join("x.so"), outside.path().join("x.so"));
        let watch = &mut watch(libraries(folder.path())).await;
        fs::write(&file, "one").unwrap();
        is_whole(watch).await;
        fs::write(&file, "another").unwrap();
        is_whole(watch).await;
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        is_whole(watch).await;
        fs::rename(&file, &other).unwrap();
        is_whole(watch).await;
        fs::rename(&other, &file).unwrap();
        is_whole(watch).await;
        fs::rename(&file, folder.path().join("y.so")).unwrap();
        is_whole(watch).await;
        fs::write(&other, "a link's").unwrap();
        fs::hard_link(&other, &file).unwrap();
        is_whole(watch).await;
        fs::remove_file(&file).unwrap();
        is_whole(watch).await;
        symlink(&other, &file).unwrap();
        is_whole(watch).await;
        nothing_changes(watch).await;
    });
}

#[test]
fn names_that_nobody_looks_for_are_no_change() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let watch = &mut watch(libraries(folder.path())).await;
        for name in [".x.so", "x.so.tmp", "x", "perfwatch"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        fs::create_dir(folder.path().join("folder.so")).unwrap();
        fs::write(folder.path().join("folder.so/x.so"), "x").unwrap();
        nothing_changes(watch).await;
        // As editors and package managers do.
        fs::rename(folder.path().join("x.so.tmp"), folder.path().join("x.so")).unwrap();
        is_whole(watch).await;
    });
}

#[test]
fn file_is_told_to_be_unfinished_until_it_is_closed() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole) = (folder.path().join("x.so"), folder.path().join("y.so"));
        let watch = &mut watch(libraries(folder.path())).await;
        let mut file = File::create(&path).unwrap();
        // Nothing is there to be looked at, but an empty file.
        nothing_changes(watch).await;
        file.write_all(b"one").unwrap();
        nothing_changes(watch).await;
        fs::write(&whole, "whole").unwrap();
        assert_eq!(changed(watch).await, HashSet::from([path.clone()]));
        file.write_all(b"two").unwrap();
        drop(file);
        is_whole(watch).await;
        let file = OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        fs::remove_file(&whole).unwrap();
        assert_eq!(changed(watch).await, HashSet::from([path.clone()]));
        // Nobody sees what becomes of it.
        fs::remove_file(&path).unwrap();
        is_whole(watch).await;
        drop(file);
    });
}

#[test]
fn writer_that_is_killed_leaves_a_finished_file() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let watch = &mut watch(libraries(folder.path())).await;
        let script = "exec 3>x.so; echo x >&3; echo; read wait";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut writer = shell.spawn().unwrap();
        writer.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        fs::write(folder.path().join("y.so"), "whole").unwrap();
        assert_eq!(changed(watch).await, HashSet::from([folder.path().join("x.so")]));
        writer.kill().unwrap();
        writer.wait().unwrap();
        is_whole(watch).await;
    });
}

/// As `O_TMPFILE` and linkat(2) do it: what is linked was never closed under its name.
#[test]
fn file_that_is_linked_into_the_folder_is_whole() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let watch = &mut watch(libraries(folder.path())).await;
        let hidden = folder.path().join(".x");
        let mut file = File::create(&hidden).unwrap();
        file.write_all(b"whole").unwrap();
        fs::hard_link(&hidden, folder.path().join("x.so")).unwrap();
        fs::remove_file(&hidden).unwrap();
        is_whole(watch).await;
        drop(file);
    });
}

#[test]
fn folder_that_comes_later_is_found_with_what_is_in_it_by_then() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        let watch = &mut watch(libraries(&deep)).await;
        fs::write(folder.path().join("other"), "of no interest").unwrap();
        nothing_changes(watch).await;
        fs::create_dir(folder.path().join("a")).unwrap();
        is_whole(watch).await;
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x.so"), "early").unwrap();
        is_whole(watch).await;
        fs::write(deep.join("y.so"), "late").unwrap();
        is_whole(watch).await;
    });
}

#[test]
fn folder_that_goes_and_comes_back_is_watched_again() {
    run(async {
        let site = tempfile::tempdir().unwrap();
        let (folder, away) = (site.path().join("up/plugins"), site.path().join("away"));
        fs::create_dir_all(&folder).unwrap();
        let watch = &mut watch(libraries(&folder)).await;
        for moved in [folder.clone(), site.path().join("up")] {
            fs::rename(&moved, &away).unwrap();
            is_whole(watch).await;
            // Elsewhere it is no business of ours.
            fs::write(if moved == folder { away.join("x.so") } else { away.join("plugins/x.so") }, "x").unwrap();
            nothing_changes(watch).await;
            fs::rename(&away, &moved).unwrap();
            is_whole(watch).await;
            fs::write(folder.join("y.so"), "y").unwrap();
            is_whole(watch).await;
        }
        fs::remove_dir_all(&folder).unwrap();
        is_whole(watch).await;
        fs::write(&folder, "a file in its place").unwrap();
        is_whole(watch).await;
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        is_whole(watch).await;
        fs::write(folder.join("x.so"), "x").unwrap();
        is_whole(watch).await;
    });
}

#[test]
fn link_in_place_of_a_folder_is_followed_wherever_it_leads() {
    run(async {
        let site = tempfile::tempdir().unwrap();
        let at = |name: &str| site.path().join(name);
        for name in ["v1/plugins", "v2/plugins"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        symlink("v1", at("current")).unwrap();
        symlink("current/plugins", at("plugins")).unwrap();
        let watch = &mut watch(libraries(&at("plugins"))).await;
        fs::write(at("v1/plugins/x.so"), "x").unwrap();
        is_whole(watch).await;
        symlink("v2", at("next")).unwrap();
        nothing_changes(watch).await;
        fs::rename(at("next"), at("current")).unwrap();
        is_whole(watch).await;
        let file = File::create(at("v2/plugins/y.so")).unwrap();
        file.set_len(1).unwrap();
        fs::write(at("v2/plugins/z.so"), "z").unwrap();
        assert_eq!(changed(watch).await, HashSet::from([at("plugins/y.so")]), "by the name that it is looked for by");
        drop(file);
        is_whole(watch).await;
        fs::write(at("v1/plugins/x.so"), "nobody's by now").unwrap();
        nothing_changes(watch).await;
        // To nowhere, and what it leads to comes.
        fs::remove_file(at("current")).unwrap();
        symlink(at("v3/./../v4"), at("current")).unwrap();
        is_whole(watch).await;
        fs::create_dir_all(at("v3")).unwrap();
        fs::create_dir_all(at("v4/plugins")).unwrap();
        is_whole(watch).await;
        fs::write(at("v4/plugins/x.so"), "x").unwrap();
        is_whole(watch).await;
        // In a circle.
        fs::remove_file(at("current")).unwrap();
        symlink("current", at("current")).unwrap();
        is_whole(watch).await;
        nothing_changes(watch).await;
    });
}

/// As files of the config are mounted into a container, and replaced there (the AtomicWriter of the kubelet).
#[test]
fn file_behind_links_that_are_switched_is_told() {
    run(async {
        let site = tempfile::tempdir().unwrap();
        let at = |name: &str| site.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("x.toml"), version).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/x.toml", at("x.toml")).unwrap();
        let watch = &mut watch(vec![Target { folder: site.path().to_owned(), ending: "toml" }]).await;
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        is_whole(watch).await;
        fs::remove_dir_all(at("..1")).unwrap();
        nothing_changes(watch).await;
        fs::write(at("..2/x.toml"), "in place").unwrap();
        is_whole(watch).await;
    });
}

/// As the library of a developer, who links to where it is built.
#[test]
fn file_behind_a_link_that_is_built_anew_is_told() {
    run(async {
        let (folder, built) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (library, link) = (built.path().join("x.so"), folder.path().join("x.so"));
        fs::write(&library, "one").unwrap();
        let watch = &mut watch(libraries(folder.path())).await;
        symlink(&library, &link).unwrap();
        is_whole(watch).await;
        let mut file = OpenOptions::new().append(true).open(&library).unwrap();
        file.write_all(b"more").unwrap();
        fs::write(folder.path().join("y.so"), "y").unwrap();
        assert_eq!(changed(watch).await, HashSet::from([link]));
        drop(file);
        is_whole(watch).await;
        for text in ["two", "three"] {
            fs::remove_file(&library).unwrap();
            is_whole(watch).await;
            fs::write(&library, text).unwrap();
            is_whole(watch).await;
        }
    });
}

#[test]
fn mode_of_a_folder_above_is_told() {
    run(async {
        let site = tempfile::tempdir().unwrap();
        let folder = site.path().join("up/plugins");
        fs::create_dir_all(&folder).unwrap();
        let watch = &mut watch(libraries(&folder)).await;
        for path in [site.path().join("up"), folder] {
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
            is_whole(watch).await;
        }
    });
}

#[test]
fn other_targets_are_a_change_and_the_same_are_none() {
    run(async {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let watch = &mut watch(libraries(one.path())).await;
        let unfinished = File::create(one.path().join("x.so")).unwrap();
        unfinished.set_len(1).unwrap();
        watch.retarget(libraries(one.path()));
        nothing_changes(watch).await;
        watch.retarget(libraries(two.path()));
        is_whole(watch).await;
        drop(unfinished);
        nothing_changes(watch).await;
        fs::write(two.path().join("x.so"), "x").unwrap();
        is_whole(watch).await;
    });
}

/// As in a loop that waits for other things, too.
#[test]
fn wait_that_is_broken_off_loses_nothing() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let watch = &mut watch(libraries(folder.path())).await;
        fs::write(folder.path().join("x.so"), "x").unwrap();
        let until = Instant::now() + DEADLINE;
        let mut rounds = 0;
        while timeout(Duration::from_millis(1), watch.changed()).await.is_err() {
            assert!(Instant::now() < until, "never told");
            rounds += 1;
        }
        assert!(rounds > 1);
    });
}

#[test]
fn change_in_a_storm_is_told_while_it_goes_on() {
    run(async {
        let site = tempfile::tempdir().unwrap();
        let folder = site.path().join("plugins");
        fs::create_dir(&folder).unwrap();
        let watch = &mut watch(libraries(&folder)).await;
        let goes_on = Arc::new(AtomicBool::new(true));
        let (until, into) = (Arc::clone(&goes_on), folder.clone());
        let storm = thread::spawn(move || {
            let mut count = 0u64;
            while until.load(Ordering::Relaxed) {
                for number in 0..1000 {
                    let path = into.join(format!("{number}.so"));
                    fs::write(&path, "x").unwrap();
                    fs::remove_file(&path).unwrap();
                }
                count += 4000;
            }
            count
        });
        changed(watch).await;
        let went_on = !storm.is_finished();
        goes_on.store(false, Ordering::Relaxed);
        assert!(storm.join().unwrap() > 16_384 && went_on);
        is_whole(watch).await;
    });
}

#[test]
fn what_was_changed_since_somebody_looked_is_told_at_once_and_what_was_before_is_not() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.so"), "one").unwrap();
        let looked = |seconds: i64| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
        };
        nothing_changes(&mut Watch::new(libraries(folder.path()), Some(looked(60))).unwrap()).await;
        changed(&mut Watch::new(libraries(folder.path()), Some(looked(-60))).unwrap()).await;
    });
}
