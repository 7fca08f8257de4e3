//! Whose file it is, and who else could change it.
//!
//! A plugin is code: who may write its file, rename one of the folders above it or point a link on the way elsewhere runs code as the
//! agent's user, in the agent or in a child. So each folder and each link that is passed on the way from "/" and the file itself are judged
//! (`walk`), and the way has to end at the very file that was opened.
//!
//! * Their owner is root, the agent's own user, or, for what lies beside the executable, the executable's owner: who could change the
//!   plugin could change the agent. Started by hand through sudo, the user behind it is accepted with a warning; and so is, by hand, the owner of
//!   a folder that lies above the executable as well, as that of a clone that is mounted into a container.
//! * Nobody else may write them. Fine are a sticky folder, as `/tmp`, and a group that has no one else in it (`names`). Anything else is refused
//!   for root and in a service, and a warning for other users, whose plugins run as themselves. `agent.trust = "relaxed"` makes every
//!   refusal a warning of the same words.
//! * An access list of POSIX that lets others write shows in the bits of the group, which then are its mask: with one, no group is private.
//!   Those of NFS version 4 are seen as far as the server puts them into the mode.
//!
//! What is not seen: who opened the file for writing while its mode allowed that writes it still. To install it anew ends that; chmod does not.
//!
//! Every message says what, why, and the command that ends it.
#![forbid(unsafe_code)]

mod names;
#[cfg(test)]
mod tests;
mod walk;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, error, fmt, fs, io};

pub use self::walk::Ground;
use self::walk::{Kind, Step};
use super::lock::Held;
use super::open::{Inode, Opened};
use crate::harmless::{self, word};

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
    /// Whether what would be refused is told and used.
    relaxed: bool,
    /// Without it nothing is loaded, where one is required.
    lock: Option<Held>,
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
            relaxed: false,
            lock: None,
        }
    }

    /// The same, or one that tells where it would refuse.
    #[must_use]
    pub fn relaxed(self, relaxed: bool) -> Authority {
        Authority { relaxed, ..self }
    }

    /// The same, or one that admits what is in a lock and nothing else.
    #[must_use]
    pub fn holding(self, lock: Option<Held>) -> Authority {
        Authority { lock, ..self }
    }

    /// The lock that it holds to.
    pub(super) fn lock(&self) -> Option<&Held> {
        self.lock.as_ref()
    }

    /// The same in a service, for a test of what another user than root is only warned of.
    #[cfg(test)]
    pub(super) fn in_service(self) -> Authority {
        Authority { service: true, ..self }
    }

    /// Judges a file that was opened by this path, and all that leads to it. What is left to doubt is told in the warnings.
    ///
    /// # Errors
    /// The first doubt for which it must not be loaded, that of the file before that of the folders; or the path leads to another file
    /// by now.
    pub(super) fn judge(&self, path: &Path, opened: &Opened, ground: &mut Ground) -> Result<Vec<Doubt>, TrustError> {
        self.judge_whole(path, opened, ground, true)
    }

    /// Judges a file that says what is loaded: as a library, but that it cannot be installed elsewhere.
    ///
    /// # Errors
    /// As of [`Authority::judge`].
    pub(super) fn judge_text(
        &self,
        path: &Path,
        opened: &Opened,
        ground: &mut Ground,
    ) -> Result<Vec<Doubt>, TrustError> {
        self.judge_whole(path, opened, ground, false)
    }

    fn judge_whole(
        &self,
        path: &Path,
        opened: &Opened,
        ground: &mut Ground,
        is_library: bool,
    ) -> Result<Vec<Doubt>, TrustError> {
        let way = ground.way_to(path)?;
        let is_the_one = |step: &Step| step.kind == Kind::File && step.inode == opened.identity.inode;
        if !way.last().is_some_and(is_the_one) {
            return Err(TrustError::Replaced(path.to_owned()));
        }
        let folder = way.iter().rfind(|step| step.kind == Kind::Folder && step.is_above);
        self.judge_way(&way, folder.map(|folder| folder.inode), ground, is_library)
    }

    /// Judges once more the file that is open, which is what is then loaded. Where it was found was judged then, and is over: whoever renames
    /// a folder by now puts nothing in the place of an open file.
    ///
    /// # Errors
    /// As of [`Authority::judge`].
    pub(super) fn judge_again(&self, opened: &Opened) -> Result<Vec<Doubt>, TrustError> {
        let path = &opened.real_path;
        let file = Step::of(&opened.file, path.clone());
        let file = file.map_err(|source| TrustError::Look { path: path.clone(), source })?;
        // What is gone by now lies beside nothing.
        let folder = path.parent().and_then(|folder| Inode::of(folder).ok());
        self.judge_way(&[file], folder, &Ground::default(), true)
    }

    /// `folder` is the one that the file, the last step, lies in.
    fn judge_way(
        &self,
        way: &[Step],
        folder: Option<Inode>,
        ground: &Ground,
        is_library: bool,
    ) -> Result<Vec<Doubt>, TrustError> {
        let beside = self.beside.filter(|(beside, _)| Some(*beside) == folder);
        let file = way.last().map_or(Path::new(""), |file| &file.path);
        let case = Case { authority: self, executable_owner: beside.map(|(_, owner)| owner), file, ground, is_library };
        let (mut warnings, mut refused) = (Vec::<Doubt>::new(), None::<Box<Doubt>>);
        for step in way.iter().rev() {
            for doubt in case.owner(step).into_iter().chain(case.writers(step)) {
                match &mut refused {
                    Some(first) if doubt.is_refused => first.join(doubt),
                    None if doubt.is_refused && !self.relaxed => refused = Some(Box::new(doubt)),
                    _ if warnings.iter().any(|told| told.covers(&doubt)) => {}
                    _ => warnings.push(doubt),
                }
            }
        }
        refused.map_or(Ok(warnings), |doubt| Err(TrustError::Refused(doubt)))
    }
}

/// One file before an authority.
struct Case<'a> {
    authority: &'a Authority,
    /// Where the file lies beside the executable.
    executable_owner: Option<u32>,
    file: &'a Path,
    ground: &'a Ground,
    /// Whether it could be installed elsewhere.
    is_library: bool,
}

impl Case<'_> {
    fn owner(&self, step: &Step) -> Option<Doubt> {
        let Authority { uid, service, sudo_uid, .. } = *self.authority;
        if step.uid == 0 || step.uid == uid || Some(step.uid) == self.executable_owner {
            return None;
        }
        let behind_sudo = uid == 0 && sudo_uid == Some(step.uid);
        let above_executable = self.executable_owner.is_some() && step.kind == Kind::Folder && step.is_above;
        let is_refused = service || !(behind_sudo || above_executable);
        let names = self.ground.names();
        let owner = names.user(step.uid);
        let (what, does) = match step.kind {
            Kind::Link => (format!("the link {} belongs to {owner}", shown(&step.path)), "who replaces it"),
            Kind::File | Kind::Folder => (format!("{} belongs to {owner}", shown(&step.path)), "who writes there"),
        };
        let command = match step.kind {
            // A folder is not to change hands for a plugin in it.
            Kind::Folder if self.is_library => None,
            _ if self.is_library && !is_refused => None,
            Kind::File | Kind::Folder => Some(format!("chown {}", names.user_word(uid))),
            Kind::Link => Some(format!("chown -h {}", names.user_word(uid))),
        };
        let (install, owner) = (self.install(), Some(step.uid));
        Some(Doubt { what, why: self.why(does), command, places: vec![word(&step.path)], install, owner, is_refused })
    }

    fn writers(&self, step: &Step) -> Option<Doubt> {
        let Authority { uid, service, .. } = *self.authority;
        let (group, others) = (step.mode & GROUP_WRITES != 0, step.mode & OTHERS_WRITE != 0);
        // The mode of a link says nothing.
        let is_fine = step.kind == Kind::Link || step.kind == Kind::Folder && step.mode & STICKY != 0;
        if is_fine || !group && !others {
            return None;
        }
        let names = self.ground.names();
        let group = group && (step.has_acl || !names.is_private(step.gid, step.uid, uid));
        let (who, command) = match (group, others) {
            (false, false) => return None,
            (true, false) if step.has_acl => ("those of its access list".into(), "setfacl -b"),
            (true, false) => (names.group(step.gid), "chmod g-w"),
            (false, true) => ("everyone".into(), "chmod o-w"),
            (true, true) => ("everyone".into(), "chmod go-w"),
        };
        // Another user's plugins run as themselves.
        let is_refused = uid == 0 || service;
        Some(Doubt {
            what: format!("{} is writable by {who} ({:04o})", shown(&step.path), step.mode & 0o7777),
            why: self.why("who writes there"),
            command: Some(command.into()),
            places: vec![word(&step.path)],
            install: self.install().filter(|_| is_refused),
            owner: None,
            is_refused,
        })
    }

    fn why(&self, does: &str) -> String {
        format!("{does} runs code as {}", self.ground.names().user_word(self.authority.uid))
    }

    fn install(&self) -> Option<String> {
        self.is_library.then(|| format!("install -m 0755 {} /usr/local/lib/perfwatch/plugins/", word(self.file)))
    }
}

fn shown(path: &Path) -> impl fmt::Display + '_ {
    harmless::path(path)
}

/// Something that others could change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    what: String,
    why: String,
    /// What ends it, said of these places.
    command: Option<String>,
    places: Vec<String>,
    /// What ends it elsewhere.
    install: Option<String>,
    /// Of what belongs to the wrong user.
    owner: Option<u32>,
    is_refused: bool,
}

impl Doubt {
    /// Whether the other one need not be told after this: it is of the same folder, or of the same user's, whose the folders above are mostly
    /// as well.
    #[must_use]
    pub fn covers(&self, other: &Doubt) -> bool {
        self.what == other.what || self.owner.is_some() && self.owner == other.owner
    }

    /// Ends another one of the same file by the same command, so that a way of which all is wrong is not told one by one.
    fn join(&mut self, other: Doubt) {
        if self.command.is_some() && self.command == other.command {
            self.places.extend(other.places);
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}. ", self.what, self.why)?;
        if let Some(command) = &self.command {
            write!(f, "{command} {}", self.places.join(" "))?;
        }
        match &self.install {
            Some(install) if self.command.is_some() => write!(f, ", or: {install}"),
            install => f.write_str(install.as_deref().unwrap_or_default()),
        }
    }
}

/// Why a file is not trusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrustError {
    /// Others could change it.
    Refused(Box<Doubt>),
    /// Its path leads to another file than the one that was opened.
    Replaced(PathBuf),
    /// What is passed on the way could not be looked at.
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
            TrustError::Refused(doubt) => doubt.fmt(f),
            TrustError::Replaced(path) => write!(
                f,
                "{} was replaced while it was looked at; who replaces it could not be judged. perfwatch reload",
                shown(path)
            ),
            TrustError::Look { path, .. } => write!(f, "could not see whose {} is", shown(path)),
        }
    }
}

impl error::Error for TrustError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            TrustError::Refused(_) | TrustError::Replaced(_) => None,
            TrustError::Look { source, .. } => Some(source),
        }
    }
}
