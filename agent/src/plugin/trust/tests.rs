use std::os::unix::fs::{PermissionsExt, chown, symlink};

use super::names::Names;
use super::*;

const DEV: u32 = 1000;
const ANN: u32 = 1001;
const EVE: u32 = 1003;
const AGENT: Authority = Authority { uid: 0, service: false, sudo_uid: None, beside: None, relaxed: false, lock: None };
const ROOT: &Authority = &AGENT;
const USER: &Authority = &Authority { uid: DEV, ..AGENT };

fn names() -> Names {
    let passwd =
        "root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/:/bin/sh\nann:x:1001:50::/:/bin/sh\nbob:x:1002:50::/:/bin/sh\n";
    let group = "root:x:0:\nstaff:x:50:\nempty:x:51:\nwheel:x:52:root,dev\ndev:x:1000:\nops:x:60:ann\ngone:x:61:carl\n";
    Names { passwd: passwd.into(), group: group.into() }
}

/// A file where the name ends on `.so`, a link where it ends on `@`, else a folder.
fn step(path: &str, mode: u32, uid: u32, gid: u32) -> Step {
    let kind = match path {
        _ if path.ends_with(".so") => Kind::File,
        _ if path.ends_with('@') => Kind::Link,
        _ => Kind::Folder,
    };
    let inode = Inode { device: 1, number: path.len() as u64 };
    Step { path: path.into(), kind, inode, uid, gid, mode, has_acl: false, is_above: kind != Kind::Link }
}

fn judged(authority: &Authority, way: &[Step]) -> Result<Vec<String>, String> {
    let folder = way.iter().rfind(|step| step.kind == Kind::Folder && step.is_above).map(|folder| folder.inode);
    let judged = authority.judge_way(way, folder, &Ground::of(names()), true);
    judged.map(|doubts| doubts.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
}

fn told(authority: &Authority, step: Step) -> Result<Vec<String>, String> {
    judged(authority, &[step])
}

#[test]
fn what_only_root_and_the_user_can_write_is_trusted() {
    assert_eq!(told(ROOT, step("/a.so", 0o755, 0, 0)), Ok(vec![]));
    assert_eq!(told(USER, step("/a.so", 0o755, 0, 0)), Ok(vec![]));
    assert_eq!(told(USER, step("/a.so", 0o600, DEV, DEV)), Ok(vec![]));
    assert_eq!(told(USER, step("/link@", 0o777, DEV, DEV)), Ok(vec![]), "the mode of a link says nothing");
}

#[test]
fn folder_that_a_group_may_write_is_refused_for_root_with_the_command_that_ends_it() {
    let file = step("/opt/pw/plugins/libperfwatch_ups.so", 0o755, 0, 0);
    assert_eq!(
        judged(ROOT, &[step("/opt/pw/plugins", 0o775, 0, 50), file]).unwrap_err(),
        "/opt/pw/plugins is writable by group staff (0775); who writes there runs code as root. \
         chmod g-w /opt/pw/plugins, or: install -m 0755 /opt/pw/plugins/libperfwatch_ups.so /usr/local/lib/perfwatch/plugins/"
    );
}

#[test]
fn doubt_of_the_file_is_told_before_that_of_the_folders_and_that_of_the_nearest_first() {
    let way = |mode| [step("/o", 0o777, 0, 0), step("/o/i", 0o777, 0, 0), step("/o/i/a.so", mode, 0, 0)];
    assert!(judged(ROOT, &way(0o666)).unwrap_err().contains("/o/i/a.so is writable"));
    assert!(judged(ROOT, &way(0o644)).unwrap_err().contains("/o/i is writable"));
    assert_eq!(judged(USER, &way(0o666)).unwrap().len(), 3, "what is only told is told of all");
    let all = judged(ROOT, &way(0o666)).unwrap_err();
    assert!(all.contains("root. chmod o-w /o/i/a.so /o/i /o, or: install"), "one command ends them all: {all}");
}

#[test]
fn service_is_as_strict_as_root_and_a_user_is_warned() {
    let service = Authority { service: true, ..USER.clone() };
    assert!(told(&service, step("/a.so", 0o666, DEV, DEV)).is_err());
    let warning = "/a.so is writable by everyone (0666); who writes there runs code as dev. chmod o-w /a.so";
    assert_eq!(told(USER, step("/a.so", 0o666, DEV, DEV)), Ok(vec![warning.to_owned()]));
}

#[test]
fn relaxed_tells_in_the_same_words_what_it_would_refuse() {
    let steps = [
        step("/a.so", 0o666, 0, 0),
        step("/a.so", 0o755, ANN, 50),
        step("/ann", 0o755, ANN, 50),
        step("/open", 0o777, 0, 0),
        step("/link@", 0o777, ANN, 50),
    ];
    for step in steps {
        let refused = told(ROOT, step.clone()).unwrap_err();
        let warned = told(&AGENT.relaxed(true), step).unwrap();
        assert_eq!(warned, [refused]);
    }
}

#[test]
fn sticky_folder_is_fine_and_a_sticky_file_is_not() {
    assert_eq!(told(ROOT, step("/tmp", 0o1777, 0, 0)), Ok(vec![]));
    assert!(told(ROOT, step("/a.so", 0o1777, 0, 0)).is_err());
    assert!(told(ROOT, step("/tmp", 0o1777, EVE, 0)).is_err(), "its owner renames what is in it");
}

#[test]
fn group_without_a_stranger_in_it_may_write() {
    assert_eq!(told(USER, step("/home/dev/target", 0o775, DEV, DEV)), Ok(vec![]));
    assert_eq!(told(ROOT, step("/usr/local/lib", 0o2775, 0, 51)), Ok(vec![]));
    let is_private = |gid, owner| names().is_private(gid, owner, 0);
    assert!(is_private(1000, DEV) && is_private(51, DEV) && is_private(52, DEV));
    assert!(!is_private(50, ANN), "it is bob's group too");
    assert!(!is_private(60, DEV), "ann is in it");
    assert!(!is_private(61, DEV), "nobody knows who carl is");
    assert!(!is_private(1000, ANN) && names().is_private(1000, ANN, DEV), "the agent believes its own user");
    assert!(is_private(4711, 4711), "a user's own, as mounted into a container");
    assert!(!is_private(4712, 4711));
}

#[test]
fn access_list_leaves_no_group_private() {
    let listed = |mode| Step { has_acl: true, ..step("/home/dev/target", mode, DEV, DEV) };
    let refused = told(&Authority { service: true, ..USER.clone() }, listed(0o775)).unwrap_err();
    assert!(refused.contains("/home/dev/target is writable by those of its access list (0775)"), "{refused}");
    assert!(refused.contains("setfacl -b /home/dev/target, or: install"), "{refused}");
    assert_eq!(told(USER, listed(0o755)), Ok(vec![]), "its mask lets nobody write");
}

#[test]
fn file_of_another_user_is_refused_for_all() {
    let refused = told(ROOT, step("/a.so", 0o755, ANN, 50)).unwrap_err();
    let told_of_file = "/a.so belongs to user ann; who writes there runs code as root. chown root /a.so, or: install";
    assert!(refused.contains(told_of_file), "{refused}");
    assert!(told(USER, step("/a.so", 0o755, ANN, 50)).is_err());
    let above = told(ROOT, step("/home/ann", 0o755, ANN, 50)).unwrap_err();
    assert!(above.contains("/home/ann belongs to user ann; who writes there runs code as root. install"), "{above}");
}

#[test]
fn link_of_another_user_is_refused_for_all() {
    let refused = told(ROOT, step("/tmp/link@", 0o777, EVE, EVE)).unwrap_err();
    let expected = "the link /tmp/link@ belongs to user 1003; who replaces it runs code as root. chown -h root /tmp/link@, or: install";
    assert!(refused.contains(expected), "{refused}");
    assert!(told(USER, step("/tmp/link@", 0o777, EVE, EVE)).is_err());
}

#[test]
fn user_behind_sudo_is_believed_with_a_warning_and_not_in_a_service() {
    let by_hand = Authority { sudo_uid: Some(ANN), ..AGENT };
    let way = [step("/home/ann", 0o755, ANN, 50), step("/home/ann/a.so", 0o755, ANN, 50)];
    assert_eq!(judged(&by_hand, &way).unwrap().len(), 1, "of a file and its folder once");
    assert!(told(&by_hand, step("/a.so", 0o755, DEV, DEV)).is_err(), "another one is not");
    assert!(told(&Authority { service: true, ..by_hand }, step("/a.so", 0o755, ANN, 50)).is_err());
}

#[test]
fn owner_of_the_executable_is_believed_beside_it() {
    let (folder, file) = (step("/home/ann", 0o755, ANN, 50), step("/home/ann/a.so", 0o755, ANN, 50));
    let beside = Authority { beside: Some((folder.inode, ANN)), ..AGENT };
    assert_eq!(judged(&beside, &[folder.clone(), file.clone()]), Ok(vec![]));
    assert!(judged(&beside, &[folder.clone(), step("/home/ann/in", 0o755, 0, 0), file.clone()]).is_err(), "not below");
    assert!(judged(&beside, &[folder, step("/home/ann/a.so", 0o755, DEV, DEV)]).is_err(), "nobody else");
}

#[test]
fn owner_of_a_folder_above_the_executable_is_told_and_refused_in_a_service() {
    let way = [step("/mnt", 0o775, EVE, EVE), step("/mnt/target", 0o755, 0, 0), step("/mnt/target/a.so", 0o755, 0, 0)];
    let by_hand = Authority { beside: Some((way[1].inode, 0)), ..AGENT };
    let warned = judged(&by_hand, &way).unwrap();
    assert_eq!(warned.len(), 1);
    assert!(
        warned[0].starts_with("/mnt belongs to user 1003; who writes there runs code as root. install"),
        "{warned:?}"
    );
    assert!(judged(&Authority { service: true, ..by_hand.clone() }, &way).is_err());
    assert!(judged(ROOT, &way).is_err(), "where the executable lies elsewhere");
    let passed = [Step { is_above: false, ..way[0].clone() }, way[1].clone(), way[2].clone()];
    assert!(judged(&by_hand, &passed).is_err(), "a link led through it");
    assert!(
        judged(&by_hand, &[step("/mnt", 0o777, 0, 0), way[1].clone(), way[2].clone()]).is_err(),
        "for anyone to write"
    );
}

#[test]
fn file_that_is_no_library_is_not_to_be_installed_elsewhere() {
    for step in [step("/etc/pw", 0o777, 0, 0), step("/etc/pw", 0o755, ANN, 50), step("/etc/pw/a.so", 0o755, ANN, 50)] {
        let path = step.path.display().to_string();
        let refused = ROOT.judge_way(&[step], None, &Ground::of(names()), false).unwrap_err().to_string();
        assert!(
            refused.ends_with(&format!("o-w {path}")) || refused.ends_with(&format!("chown root {path}")),
            "{refused}"
        );
    }
}

#[test]
fn command_takes_a_path_as_one_word_whoever_named_it() {
    assert_eq!(word(Path::new("/opt/pw_1.0/a-b.so")), "/opt/pw_1.0/a-b.so");
    assert_eq!(word(Path::new("/tmp/x; it's")), r"'/tmp/x; it'\''s'");
    let refused = told(ROOT, step("/tmp/$(id)", 0o777, 0, 0)).unwrap_err();
    assert!(refused.contains("chmod o-w '/tmp/$(id)'"), "{refused}");
}

/// A file two folders down, each of mode 0755 whatever the umask is.
fn site() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("open/closed/a.so");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "").unwrap();
    path.ancestors().take(3).for_each(|path| mode(path, 0o755));
    (folder, path)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn strict() -> Authority {
    Authority::of_this_agent().in_service()
}

fn judge(path: &Path) -> Result<Vec<Doubt>, TrustError> {
    strict().judge(path, &super::super::open::open(path).unwrap(), &mut Ground::default())
}

#[test]
fn every_folder_above_is_judged_by_its_own_mode() {
    let (_folder, path) = site();
    let open = path.ancestors().nth(2).unwrap();
    assert_eq!(judge(&path).unwrap(), []);
    mode(open, 0o777);
    let refused = judge(&path).unwrap_err().to_string();
    assert!(refused.contains("/open is writable by everyone (0777)"), "{refused}");
    mode(open, 0o1777);
    assert_eq!(judge(&path).unwrap(), []);
    mode(&path, 0o646);
    assert!(judge(&path).unwrap_err().to_string().contains("/a.so is writable by everyone (0646)"));
}

#[test]
fn folder_that_only_leads_to_a_link_is_judged_too() {
    let (folder, path) = site();
    let links = folder.path().join("links");
    fs::create_dir(&links).unwrap();
    symlink(&path, links.join("a.so")).unwrap();
    mode(&links, 0o755);
    assert_eq!(judge(&links.join("a.so")).unwrap(), []);
    mode(&links, 0o777);
    let refused = judge(&links.join("a.so")).unwrap_err().to_string();
    assert!(refused.contains("/links is writable by everyone (0777)"), "{refused}");
    assert!(refused.contains(&format!("install -m 0755 {} ", path.display())), "{refused}");
    assert_eq!(judge(&path).unwrap(), [], "by its own path it is not passed");
}

#[test]
fn path_that_leads_to_another_file_than_the_one_that_is_open_is_refused() {
    let (_folder, path) = site();
    let opened = super::super::open::open(&path).unwrap();
    fs::write(path.with_extension("new"), "").unwrap();
    fs::rename(path.with_extension("new"), &path).unwrap();
    let refused = strict().judge(&path, &opened, &mut Ground::default()).unwrap_err();
    assert!(refused.to_string().contains("was replaced while it was looked at"), "{refused}");
    assert_eq!(strict().judge_again(&opened).unwrap(), [], "it is what is loaded, and nobody else could change it");
}

#[test]
fn mode_that_an_open_file_has_got_since_is_judged_when_it_is_loaded() {
    let (_folder, path) = site();
    let opened = super::super::open::open(&path).unwrap();
    mode(&path, 0o777);
    let refused = strict().judge_again(&opened).unwrap_err().to_string();
    assert!(refused.contains("/a.so is writable by everyone (0777)"), "{refused}");
}

#[test]
fn access_list_of_a_file_is_seen_behind_its_mode() {
    let (_folder, path) = site();
    // Version 2; then tag, rights and id of the owner, user 61234, the group, the mask and others (linux/posix_acl_xattr.h).
    let entries = [(1u16, 7u16, !0u32), (2, 7, 61_234), (4, 5, !0), (16, 7, !0), (32, 5, !0)];
    let list = entries
        .iter()
        .flat_map(|(tag, rights, id)| [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat());
    let list: Vec<u8> = 2u32.to_le_bytes().into_iter().chain(list).collect();
    let set = rustix::fs::setxattr(&path, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty());
    if set == Err(rustix::io::Errno::OPNOTSUPP) {
        // The file system of the temporary folder has none.
        return;
    }
    set.unwrap();
    let refused = judge(&path).unwrap_err().to_string();
    assert!(refused.contains("/a.so is writable by those of its access list (0775)"), "{refused}");
}

#[test]
fn stranger_who_owns_the_file_a_folder_or_a_link_is_named() {
    if !rustix::process::geteuid().is_root() {
        assert!(env::var_os("CI").is_none(), "root is needed where every test has to run");
        return;
    }
    let (folder, path) = site();
    let link = folder.path().canonicalize().unwrap().join("link.so");
    symlink(&path, &link).unwrap();
    assert_eq!(judge(&link).unwrap(), []);
    let closed = path.parent().unwrap();
    for (owned, told) in [(&*path, ""), (closed, ""), (&*link, "the link ")] {
        std::os::unix::fs::lchown(owned, Some(61_234), None).unwrap();
        let refused = judge(&link).unwrap_err().to_string();
        assert!(refused.contains(&format!("{told}{} belongs to user 61234", owned.display())), "{refused}");
        std::os::unix::fs::lchown(owned, Some(0), None).unwrap();
    }
    chown(closed, None, Some(61_234)).unwrap();
    mode(closed, 0o775);
    assert!(judge(&path).unwrap_err().to_string().contains("is writable by group 61234 (0775)"));
}
