//! Whose file it is, and who else could write it. [E stat, /etc/passwd, /etc/group]
//!
//! A plugin is code: who may write its file, or rename one of the folders above it, runs code as the agent's user. So the file (by its
//! descriptor) and every folder above the place where it really lies are judged.
//!
//! * Their owner is root, the agent's own user, or, for what lies beside the executable, the executable's owner: who could change the
//!   plugin could change the agent. Started by hand through sudo, the user behind it is accepted with a warning.
//! * Nobody else may write them. Fine are a sticky folder, as `/tmp`, and a group that is the owner's private one. Anything else is refused
//!   for root and in a service, and a warning for other users, whose plugins run as themselves. Whoever asks may still only tell
//!   of a refusal, as [`super::known`] does.
//!
//! Every message says what, why, and the command that ends it.
#![forbid(unsafe_code)]

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, error, fmt, fs, io};

use super::open::{Inode, Opened};

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// As whom the agent runs, and whom it believes.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    uid: u32,
    /// Started by a service manager.
    service: bool,
    /// Who started it through sudo.
    sudo_uid: Option<u32>,
    /// The executable's folder, and the executable's owner.
    beside: Option<(Inode, u32)>,
}

impl Authority {
    /// That of the running agent.
    #[must_use]
    pub fn of_this_agent() -> Authority {
        let executable = env::current_exe().ok();
        let owner = fs::metadata("/proc/self/exe").map(|metadata| metadata.uid()).ok();
        let folder = executable.as_deref().and_then(Path::parent).and_then(|folder| Inode::of(folder).ok());
        Authority {
            uid: rustix::process::geteuid().as_raw(),
            service: env::var_os("INVOCATION_ID").is_some(),
            sudo_uid: env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()),
            beside: folder.zip(owner),
        }
    }

    /// Judges an opened file and the folders above it. What is left to doubt is told in the warnings.
    ///
    /// # Errors
    /// The first doubt for which it must not be loaded.
    pub(super) fn judge(&self, opened: &Opened) -> Result<Vec<Doubt>, TrustError> {
        let look = |path: &Path| {
            let found = fs::symlink_metadata(path);
            found.map_err(|source| TrustError::Look { path: path.to_owned(), source })
        };
        let metadata = opened.file.metadata();
        let metadata = metadata.map_err(|source| TrustError::Look { path: opened.real_path.clone(), source })?;
        let mut steps = vec![Step::new(&opened.real_path, &metadata)];
        let mut folder = None;
        for path in opened.real_path.ancestors().skip(1) {
            let metadata = look(path)?;
            folder.get_or_insert(Inode::from(&metadata));
            steps.push(Step::new(path, &metadata));
        }
        let executable_owner = self.beside.and_then(|(beside, owner)| (folder == Some(beside)).then_some(owner));
        self.judge_steps(&steps, executable_owner, &Names::read)
    }

    fn judge_steps(
        &self,
        steps: &[Step],
        executable_owner: Option<u32>,
        names: &dyn Fn() -> Names,
    ) -> Result<Vec<Doubt>, TrustError> {
        let file = steps.first().map_or(Path::new(""), |file| &file.path);
        let install = format!("install -m 0755 {} /usr/local/lib/perfwatch/plugins/", file.display());
        let (mut warnings, mut told_of_sudo) = (Vec::new(), false);
        for step in steps {
            if step.uid != 0 && step.uid != self.uid && Some(step.uid) != executable_owner {
                let names = names();
                let by_hand = !self.service && self.uid == 0 && self.sudo_uid == Some(step.uid);
                let what = format!("{} belongs to {}", step.path.display(), names.user(step.uid));
                // A folder is not to change hands for a plugin in it.
                let chown = format!("chown {} {}, or: ", names.user_word(self.uid), step.path.display());
                let command = if step.folder || by_hand { install.clone() } else { chown + &install };
                let doubt = Doubt { what, why: names.why(self.uid), command };
                if !by_hand {
                    return Err(TrustError::Refused(doubt));
                }
                // Whose the file is, the folders above it mostly are as well: once is enough.
                if !std::mem::replace(&mut told_of_sudo, true) {
                    warnings.push(doubt);
                }
            }
            if let Some(mut doubt) = self.writable_by_others(step, names) {
                let strict = self.uid == 0 || self.service;
                if strict {
                    doubt.command = format!("{}, or: {install}", doubt.command);
                    return Err(TrustError::Refused(doubt));
                }
                warnings.push(doubt);
            }
        }
        Ok(warnings)
    }

    fn writable_by_others(&self, step: &Step, names: &dyn Fn() -> Names) -> Option<Doubt> {
        if step.mode & (GROUP_WRITES | OTHERS_WRITE) == 0 || step.folder && step.mode & STICKY != 0 {
            return None;
        }
        let names = names();
        let (group, others) = (step.mode & GROUP_WRITES != 0, step.mode & OTHERS_WRITE != 0);
        let (who, bits) = match (group && !names.is_private_group(step.uid, step.gid), others) {
            (false, false) => return None,
            (true, false) => (names.group(step.gid), "g-w"),
            (false, true) => ("everyone".into(), "o-w"),
            (true, true) => ("everyone".into(), "go-w"),
        };
        Some(Doubt {
            what: format!("{} is writable by {who} ({:04o})", step.path.display(), step.mode & 0o7777),
            why: names.why(self.uid),
            command: format!("chmod {bits} {}", step.path.display()),
        })
    }
}

/// Something that others could change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    what: String,
    why: String,
    command: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}. {}", self.what, self.why, self.command)
    }
}

/// Why a file is not trusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrustError {
    /// Others could change it.
    Refused(Doubt),
    /// A folder could not be looked at.
    Look {
        /// Which.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustError::Refused(doubt) => write!(f, "not loaded: {doubt}"),
            TrustError::Look { path, .. } => write!(f, "not loaded: could not see whose {} is", path.display()),
        }
    }
}

impl error::Error for TrustError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            TrustError::Refused(_) => None,
            TrustError::Look { source, .. } => Some(source),
        }
    }
}

/// The file, or a folder above it.
#[derive(Debug, Clone)]
struct Step {
    path: PathBuf,
    folder: bool,
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Step {
    fn new(path: &Path, metadata: &Metadata) -> Step {
        let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
        Step { path: path.to_owned(), folder: metadata.is_dir(), uid, gid, mode }
    }
}

/// The machine's users and groups, from passwd(5) and group(5). Those of a directory service stand there as numbers: a
/// group that cannot be seen to be private is not.
#[derive(Debug, Default)]
struct Names {
    passwd: String,
    group: String,
}

impl Names {
    fn read() -> Names {
        // Without them there are numbers instead of names, and no private groups.
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Names { passwd: text("/etc/passwd"), group: text("/etc/group") }
    }

    /// Fields of the line of this number, which is the third in both files.
    fn line(text: &str, number: u32) -> Option<Vec<&str>> {
        let lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines.into_iter().find(|fields| fields.get(2).is_some_and(|field| field.parse() == Ok(number)))
    }

    /// As a command takes it.
    fn user_word(&self, uid: u32) -> String {
        Names::line(&self.passwd, uid).map_or_else(|| uid.to_string(), |fields| fields[0].to_owned())
    }

    fn user(&self, uid: u32) -> String {
        format!("user {}", self.user_word(uid))
    }

    fn group(&self, gid: u32) -> String {
        let name = Names::line(&self.group, gid).map_or_else(|| gid.to_string(), |fields| fields[0].to_owned());
        format!("group {name}")
    }

    fn why(&self, uid: u32) -> String {
        format!("who writes there runs code as {}", self.user_word(uid))
    }

    /// Whether the user is the one member of the group.
    fn is_private_group(&self, uid: u32, gid: u32) -> bool {
        let Some(user) = Names::line(&self.passwd, uid) else { return false };
        let Some(group) = Names::line(&self.group, gid) else { return false };
        let primary = |fields: &Vec<&str>| fields.get(3).is_some_and(|field| field.parse() == Ok(gid));
        let users = self.passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(primary);
        let only_user = users.map(|fields| fields[0].to_owned()).eq([user[0].to_owned()]);
        let members = group.get(3).into_iter().flat_map(|members| members.split(','));
        only_user && members.filter(|member| !member.is_empty()).all(|member| member == user[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: u32 = 1000;
    const ANN: u32 = 1001;
    const ROOT: Authority = Authority { uid: 0, service: false, sudo_uid: None, beside: None };
    const USER: Authority = Authority { uid: DEV, service: false, sudo_uid: None, beside: None };

    fn names() -> Names {
        Names {
            passwd: "root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/:/bin/sh\nann:x:1001:50::/:/bin/sh\nbob:x:1002:50::/:/bin/sh\n".into(),
            group: "root:x:0:\nstaff:x:50:\ndev:x:1000:\nops:x:60:ann\n".into(),
        }
    }

    fn step(path: &str, mode: u32, uid: u32, gid: u32) -> Step {
        Step { path: path.into(), folder: !path.ends_with(".so"), uid, gid, mode }
    }

    fn told(authority: &Authority, step: Step) -> Result<Vec<String>, String> {
        let judged = authority.judge_steps(&[step], None, &names);
        judged.map(|doubts| doubts.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_only_root_and_the_user_can_write_is_trusted() {
        assert_eq!(told(&ROOT, step("/a.so", 0o755, 0, 0)), Ok(vec![]));
        assert_eq!(told(&USER, step("/a.so", 0o755, 0, 0)), Ok(vec![]));
        assert_eq!(told(&USER, step("/a.so", 0o600, DEV, DEV)), Ok(vec![]));
    }

    #[test]
    fn folder_that_a_group_may_write_is_refused_for_root_with_the_command_that_ends_it() {
        let file = step("/opt/pw/plugins/libperfwatch_ups.so", 0o755, 0, 0);
        let judged = ROOT.judge_steps(&[file, step("/opt/pw/plugins", 0o775, 0, 50)], None, &names);
        assert_eq!(
            judged.unwrap_err().to_string(),
            "not loaded: /opt/pw/plugins is writable by group staff (0775); who writes there runs code as root. \
             chmod g-w /opt/pw/plugins, or: install -m 0755 /opt/pw/plugins/libperfwatch_ups.so /usr/local/lib/perfwatch/plugins/"
        );
    }

    #[test]
    fn service_is_as_strict_as_root_and_a_user_is_warned() {
        let service = Authority { service: true, ..USER };
        assert!(told(&service, step("/a.so", 0o666, DEV, DEV)).is_err());
        assert_eq!(
            told(&USER, step("/a.so", 0o666, DEV, DEV)),
            Ok(vec![
                "/a.so is writable by everyone (0666); who writes there runs code as dev. chmod o-w /a.so".to_owned()
            ])
        );
    }

    #[test]
    fn sticky_folder_is_fine_and_a_sticky_file_is_not() {
        assert_eq!(told(&ROOT, step("/tmp", 0o1777, 0, 0)), Ok(vec![]));
        assert!(told(&ROOT, step("/a.so", 0o1777, 0, 0)).is_err());
    }

    #[test]
    fn private_group_of_the_owner_may_write() {
        assert_eq!(told(&USER, step("/home/dev/target", 0o775, DEV, DEV)), Ok(vec![]));
        assert!(names().is_private_group(DEV, DEV));
        assert!(!names().is_private_group(ANN, 50), "it is bob's group too");
        assert!(!names().is_private_group(DEV, 60), "ann is in it");
        assert!(!names().is_private_group(4711, 4711), "nobody knows them");
    }

    #[test]
    fn file_of_another_user_is_refused_for_all() {
        let refused = told(&ROOT, step("/a.so", 0o755, ANN, 50)).unwrap_err();
        assert!(
            refused.contains(
                "/a.so belongs to user ann; who writes there runs code as root. chown root /a.so, or: install"
            ),
            "{refused}"
        );
        assert!(told(&USER, step("/a.so", 0o755, ANN, 50)).is_err());
        let above = told(&ROOT, step("/home/ann", 0o755, ANN, 50)).unwrap_err();
        assert!(
            above.contains("/home/ann belongs to user ann; who writes there runs code as root. install"),
            "{above}"
        );
    }

    #[test]
    fn user_behind_sudo_is_believed_with_a_warning_and_not_in_a_service() {
        let by_hand = Authority { sudo_uid: Some(ANN), ..ROOT };
        let steps = [step("/home/ann/a.so", 0o755, ANN, 50), step("/home/ann", 0o755, ANN, 50)];
        assert_eq!(by_hand.judge_steps(&steps, None, &names).unwrap().len(), 1, "of a file and its folder once");
        assert!(told(&by_hand, step("/a.so", 0o755, DEV, DEV)).is_err(), "another one is not");
        assert!(told(&Authority { service: true, ..by_hand }, step("/a.so", 0o755, ANN, 50)).is_err());
    }

    #[test]
    fn owner_of_the_executable_is_believed_beside_it() {
        let judged = ROOT.judge_steps(&[step("/home/ann/a.so", 0o755, ANN, 50)], Some(ANN), &names);
        assert_eq!(judged.unwrap(), []);
    }

    #[test]
    fn every_folder_above_is_judged_by_its_own_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open/closed/a.so");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let mode =
            |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let authority = Authority { service: true, ..Authority::of_this_agent() };
        let judge = || authority.judge(&super::super::open::open(&path).unwrap());
        mode(&folder.path().join("open"), 0o755);
        assert_eq!(judge().unwrap(), []);
        mode(&folder.path().join("open"), 0o777);
        let refused = judge().unwrap_err().to_string();
        assert!(refused.contains("/open is writable by everyone (0777)"), "{refused}");
        mode(&folder.path().join("open"), 0o755);
        mode(&path, 0o646);
        assert!(judge().unwrap_err().to_string().contains("/a.so is writable by everyone (0646)"));
    }
}
