//! What an operator may set for a file sink, its defaults, and what does not go together.
//!
//! A limit of 0 is no limit. The values arrive checked one by one (types, words); here they are checked against each
//! other, because a pair that contradicts itself would delete data that somebody wanted.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plugin_api::options::{Duration, Size};
use serde::{Deserialize, Deserializer};

use super::Error;

/// At 2 KB a snapshot and 5 s an interval, 100 MiB are three days: few files, each still quick to open and to ship.
const ROTATE_SIZE: u64 = 100 << 20;
/// Ten live files' worth, and small enough for the root disk of a small machine.
const KEEP_TOTAL: u64 = 1 << 30;
/// What a busy machine writes in some seconds: room for its other services to log why they fail.
const MIN_FREE: u64 = 256 << 20;
/// The owner writes, the group (a shipper, an operator) reads; user names and mounts are nobody else's business.
const MODE: u32 = 0o640;
/// What was read where there were no octal digits.
const NO_MODE: u32 = u32::MAX;
/// NAME_MAX of Linux file systems less what a name grows by: `.`, `.2026-11-23T00-00-00Z`, `_999`, `.gz`, `.tmp`.
const NAME_MAX: usize = 255 - 1 - 21 - 4 - 3 - 4;

/// The settings of one file sink.
#[derive(Clone, Debug, Deserialize)]
pub struct FileSettings {
    /// The live file: exactly this one is appended to.
    pub path: PathBuf,
    /// When the live file is put aside.
    #[serde(default)]
    pub rotate: Rotate,
    /// How much of what was put aside is kept.
    #[serde(default)]
    pub keep: Keep,
    /// Bytes of the file system that are left to others: below it nothing is written. 0 turns it off.
    #[serde(default = "min_free")]
    pub min_free: Size,
    /// Whether files put aside are compressed.
    #[serde(default)]
    pub compress: Compress,
    /// Permissions of the files this sink creates, whatever the umask; existing files keep theirs.
    #[serde(default = "mode", deserialize_with = "octal")]
    pub mode: u32,
    /// Group of the files this sink creates: a name in `/etc/group` or a number. None leaves the process's own.
    #[serde(default)]
    pub group: Option<String>,
}

/// When the live file is put aside.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Rotate {
    /// Before it would grow past so many bytes; 0 for no such limit.
    pub size: Size,
    /// When a multiple of this time since the Unix epoch passes (`1d`: at midnight UTC); 0 for no such limit.
    pub every: Duration,
}

/// How much of what was put aside is kept; the strictest limit that is set decides.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Keep {
    /// So many files besides the live one; 0 for no such limit.
    pub files: u64,
    /// Files that hold a snapshot younger than this; 0 for no such limit.
    pub age: Duration,
    /// So many bytes, the live file at its largest (`rotate.size`) included; 0 for no such limit. While a file is being
    /// compressed, the beginning of its compressed one comes on top.
    pub total: Size,
}

/// Whether files put aside are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// As they are: the default, because nobody expects an agent of little cost to compress unasked.
    #[default]
    None,
    /// gzip, one rotation late.
    Gzip,
}

impl Default for Rotate {
    fn default() -> Rotate {
        Rotate { size: Size(ROTATE_SIZE), every: Duration(std::time::Duration::ZERO) }
    }
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { files: 0, age: Duration(std::time::Duration::ZERO), total: Size(KEEP_TOTAL) }
    }
}

fn min_free() -> Size {
    Size(MIN_FREE)
}

fn mode() -> u32 {
    MODE
}

impl FileSettings {
    /// The defaults for the live file `path`.
    pub fn new(path: impl Into<PathBuf>) -> FileSettings {
        FileSettings {
            path: path.into(),
            rotate: Rotate::default(),
            keep: Keep::default(),
            min_free: min_free(),
            compress: Compress::default(),
            mode: mode(),
            group: None,
        }
    }

    /// Whether the settings go together, without touching a file.
    ///
    /// # Errors
    /// [`Error::Setting`], the first that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |key, problem: String| Err(Error::Setting { key, problem });
        let Some(name) = self.path.file_name().filter(|_| !self.path.as_os_str().as_bytes().ends_with(b"/")) else {
            return wrong("path", format!("{} names a folder: add the name of a file", self.path.display()));
        };
        if Path::new(name).extension().is_some_and(|extension| extension == "gz") {
            return wrong(
                "path",
                "the live file is never compressed: leave out .gz, and set compress = \"gzip\"".into(),
            );
        }
        if name.len() > NAME_MAX {
            return wrong("path", format!("the name is longer than {NAME_MAX} bytes, which leaves no room for a time"));
        }
        let (size, total) = (self.rotate.size.0, self.keep.total.0);
        if size != 0 && total != 0 && total < size.saturating_mul(2) {
            return wrong(
                "keep.total",
                format!(
                    "{total} bytes do not hold the live file and one put aside, {size} bytes each: \
                     raise keep.total or lower rotate.size"
                ),
            );
        }
        if self.mode == NO_MODE {
            return wrong("mode", "it is not a mode in octal digits, as \"0640\" is".into());
        }
        if self.mode > 0o777 || self.mode & 0o200 == 0 {
            return wrong(
                "mode",
                format!("{:04o} is not a file's mode that its owner may write, as 0640 is", self.mode),
            );
        }
        Ok(())
    }

    /// The number of the group, where one is set.
    pub(super) fn gid(&self) -> Result<Option<u32>, Error> {
        let Some(group) = &self.group else { return Ok(None) };
        if let Ok(number) = group.parse() {
            return Ok(Some(number));
        }
        let groups = std::fs::read_to_string("/etc/group").map_err(|source| Error::Operation {
            doing: "read",
            path: "/etc/group".into(),
            source,
        })?;
        match gid_in(&groups, group) {
            Some(gid) => Ok(Some(gid)),
            None => {
                Err(Error::Setting { key: "group", problem: format!("{group} is not in /etc/group: give its number") })
            }
        }
    }
}

/// The number of group `name` in the text of an `/etc/group` (group(5): name, password, number, members).
fn gid_in(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// A mode as operators write it: octal digits in a string (a TOML integer 640 would be something else). What is none is left to
/// [`FileSettings::check`] to tell, beside all that is wrong.
fn octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(u32::from_str_radix(text.strip_prefix("0o").unwrap_or(&text), 8).unwrap_or(NO_MODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(settings: &FileSettings) -> String {
        settings.check().unwrap_err().to_string()
    }

    #[test]
    fn only_the_path_is_needed() {
        let settings: FileSettings = serde_json::from_str(r#"{"path":"/x/a.jsonl"}"#).unwrap();
        assert_eq!((settings.rotate.size.0, settings.keep.total.0), (104_857_600, 1_073_741_824));
        assert_eq!((settings.min_free.0, settings.mode, settings.compress), (268_435_456, 0o640, Compress::None));
        settings.check().unwrap();
    }

    #[test]
    fn every_key_is_read_in_the_form_it_crosses_in() {
        let settings: FileSettings = serde_json::from_str(
            r#"{"path":"a","rotate":{"size":7,"every":86400000000000},"keep":{"files":14,"age":1000000000,"total":14},
                "min_free":0,"compress":"gzip","mode":"0600","group":"adm"}"#,
        )
        .unwrap();
        assert_eq!(settings.rotate.every.0.as_secs(), 86_400);
        assert_eq!((settings.keep.files, settings.keep.age.0.as_secs(), settings.keep.total.0), (14, 1, 14));
        assert_eq!((settings.mode, settings.group.as_deref()), (0o600, Some("adm")));
        assert_eq!((settings.min_free.0, settings.compress), (0, Compress::Gzip));
        settings.check().unwrap();
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(fault(&FileSettings::new("/var/lib/perfwatch/")).contains("names a folder"));
        assert!(fault(&FileSettings::new("/")).contains("names a folder"));
        assert!(fault(&FileSettings::new("a.jsonl.gz")).contains("never compressed"));
        assert!(fault(&FileSettings::new("n".repeat(223))).contains("222 bytes"));
        let mut settings = FileSettings::new("a.jsonl");
        settings.keep.total = Size(ROTATE_SIZE * 2 - 1);
        assert!(fault(&settings).contains("raise keep.total or lower rotate.size"));
        settings.keep.total = Size(0);
        settings.check().unwrap();
        settings.mode = 0o440;
        assert!(fault(&settings).contains("0440"));
    }

    #[test]
    fn a_mode_is_octal_digits() {
        let read = |mode: &str| serde_json::from_str::<FileSettings>(&format!(r#"{{"path":"a","mode":"{mode}"}}"#));
        assert_eq!(read("0644").unwrap().mode, 0o644);
        assert_eq!(read("0o644").unwrap().mode, 0o644);
        assert!(fault(&read("0948").unwrap()).contains("octal"));
    }

    #[test]
    fn a_group_is_a_number_or_a_name_of_etc_group() {
        let groups = "root:x:0:\nadm:x:4:syslog,ann\nadmin:x:1000:\n";
        assert_eq!((gid_in(groups, "adm"), gid_in(groups, "ad")), (Some(4), None));
        let mut settings = FileSettings::new("a");
        settings.group = Some("65533".into());
        assert_eq!(settings.gid().unwrap(), Some(65533));
        settings.group = Some("no such group".into());
        assert!(settings.gid().unwrap_err().to_string().contains("give its number"));
    }
}
