//! The machine's users and groups. [E /etc/passwd, /etc/group]
//!
//! Those of a directory service stand there as numbers.
#![forbid(unsafe_code)]

use std::fs;

/// Both files: passwd(5) and group(5).
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) passwd: String,
    pub(super) group: String,
}

impl Names {
    pub(super) fn read() -> Names {
        // Without them there are numbers instead of names.
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Names { passwd: text("/etc/passwd"), group: text("/etc/group") }
    }

    fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
        text.lines().map(|line| line.split(':').collect())
    }

    /// Fields of the line of this number, which is the third in both files.
    fn line(text: &str, number: u32) -> Option<Vec<&str>> {
        Names::lines(text).find(|fields| is(fields.get(2), number))
    }

    /// As a command takes it.
    pub(super) fn user_word(&self, uid: u32) -> String {
        Names::line(&self.passwd, uid).map_or_else(|| uid.to_string(), |fields| fields[0].to_owned())
    }

    pub(super) fn user(&self, uid: u32) -> String {
        format!("user {}", self.user_word(uid))
    }

    pub(super) fn group(&self, gid: u32) -> String {
        let name = Names::line(&self.group, gid).map_or_else(|| gid.to_string(), |fields| fields[0].to_owned());
        format!("group {name}")
    }

    /// Whether nobody is in the group but the owner of what it may write, root and this user: such is the private group that
    /// distributions give each user, and Debian's `staff` of `/usr/local`, which has no members. A group that the machine does not
    /// know is that of the user of the same number, as where a folder is mounted into a container.
    pub(super) fn is_private(&self, gid: u32, owner: u32, user: u32) -> bool {
        let Some(group) = Names::line(&self.group, gid) else { return gid == owner };
        let is_believed = |fields: &Vec<&str>| [owner, 0, user].iter().any(|uid| is(fields.get(2), *uid));
        let known = |member: &str| Names::lines(&self.passwd).find(|fields| fields[0] == member);
        let members =
            group.get(3).into_iter().flat_map(|members| members.split(',')).filter(|member| !member.is_empty());
        Names::lines(&self.passwd).filter(|fields| is(fields.get(3), gid)).all(|fields| is_believed(&fields))
            && members.into_iter().all(|member| known(member).is_some_and(|fields| is_believed(&fields)))
    }
}

fn is(field: Option<&&str>, number: u32) -> bool {
    field.is_some_and(|field| field.parse() == Ok(number))
}
