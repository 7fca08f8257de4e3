use super::*;
use std::fs;

#[test]
fn every_test_case_gives_what_it_expects() {
    plugin_api::host_side::testcase::run_all::<Textfile>(include_str!("../plugin.toml"), "testcases");
}

#[test]
fn a_file_is_stale_when_it_is_older_than_it_may_be_and_says_how_old() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(stale(minutes(60), Some(minutes(60))), None);
    assert_eq!(stale(minutes(9000), None), None);
    let told = stale(minutes(90), Some(minutes(1))).unwrap();
    assert_eq!(told, "it was last written 90 min ago, and `stale_after` is 60 s");
    assert_eq!(["59 s", "2 h", "2 days"], [59, 7200, 172_800].map(|seconds| spelt(Duration::from_secs(seconds))));
}

#[test]
fn what_is_no_regular_file_is_opened_without_waiting_and_refused() {
    let (folder, mut text) = (tempfile::tempdir().unwrap(), Vec::new());
    let path = folder.path().join("a.prom");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let error = folder::read(&path, &mut text).unwrap_err();
    assert_eq!(error.chain(), format!("{} is no regular file", path.display()));
    assert!(folder::read(folder.path(), &mut text).unwrap_err().chain().ends_with("is no regular file"));
    let link = folder.path().join("link.prom");
    std::os::unix::fs::symlink("/etc/shadow", &link).unwrap();
    assert!(folder::read(&link, &mut text).unwrap_err().chain().ends_with("is a link, which is not followed"));
    assert_eq!(folder::read(&folder.path().join("gone.prom"), &mut text).unwrap(), None);
}

#[test]
fn a_file_is_read_whole_up_to_its_bound() {
    let (folder, mut text) = (tempfile::tempdir().unwrap(), Vec::new());
    let path = folder.path().join("a.prom");
    fs::write(&path, vec![b'#'; folder::FILE_MAX as usize]).unwrap();
    assert!(folder::read(&path, &mut text).unwrap().is_some() && text.len() as u64 == folder::FILE_MAX);
    fs::write(&path, vec![b'#'; folder::FILE_MAX as usize + 1]).unwrap();
    let error = folder::read(&path, &mut text).unwrap_err();
    assert_eq!(error.chain(), format!("{} is larger than 1 MiB", path.display()));
    assert!(text.is_empty(), "what is too large is not read");
}

#[test]
fn of_a_folder_of_any_size_the_first_files_are_read_and_it_is_said() {
    let files = (0..=folder::FILES_MAX).rev().map(|number| format!("{number:04}.prom"));
    let others = (0..folder::ENTRIES_MAX).map(|number| format!("{number}.prom.tmp"));
    let list = |names: &mut dyn Iterator<Item = String>| folder::listing(names.map(|name| Ok(name.into()))).unwrap();
    let listing = list(&mut files.clone());
    assert_eq!((listing.names.len(), listing.names[0].to_str()), (folder::FILES_MAX, Some("0000.prom")));
    assert_eq!(listing.left_out.unwrap(), "of 257 files only the first 256 by name were read");
    let told = list(&mut others.clone().chain(files)).left_out.unwrap();
    assert_eq!(told, "the folder has more than 4096 entries, and no further one was looked at");
    assert_eq!(list(&mut others.clone()).left_out, None);
}

#[test]
fn a_file_with_more_samples_than_are_left_is_refused() {
    let text = (0..SAMPLES_MAX).map(|number| format!("a{number} 1\n")).collect::<String>();
    let all: Vec<_> = samples(text.as_bytes()).map(Result::unwrap).collect();
    let mut series = Series::default();
    assert_eq!(series.refused(&all), None);
    assert!(series.is_new(&all[0]) && !series.is_new(&all[0]));
    let told = "it has 9000 samples, after 1 in the files before it, and 9000 is the most";
    assert_eq!(series.refused(&all).as_deref(), Some(told));
}
