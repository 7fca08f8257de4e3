//! The words of a refusal: which lines would end it.
//!
//! All that is known is what the collector said (`could not open /var/lib/ups/x: Permission denied (os error 13)`), so these are words of
//! "may". What the sandbox surely had no part in gets none: a user who is sent to the wrong lock loses more than one who is told nothing.

use std::path::{Path, PathBuf};

use plugin_api::host_side::manifest::{Read, ReadKind};

use super::needs::LOADERS;
use super::{Policy, programs};

/// What the message complains about.
#[derive(Clone, Copy, PartialEq)]
enum Complaint {
    Writing,
    Permission,
}

impl Policy {
    /// Given a collector's error, whether the sandbox may be what refused, and if so both lines that would end it: the author's `reads`
    /// and the operator's `grant`; and `isolation = "none"`. For errors whose kind is `DENIED` or whose text says so.
    #[must_use]
    pub fn explain(&self, message: &str) -> Option<String> {
        self.explained(message, rustix::process::geteuid().is_root())
    }

    /// `root`: whether the agent could read what is others'; a child of it cannot.
    fn explained(&self, message: &str, root: bool) -> Option<String> {
        let complaint = complaint(message)?;
        let paths: Vec<&str> = paths(message).map(|path| self.on_host(path)).collect();
        if let Some(read) = self.refused.iter().find(|read| paths.contains(&read.target.as_str())) {
            return Some(self.declared(&[read]));
        }
        if complaint == Complaint::Writing {
            let device = paths.iter().find(|path| path.starts_with("/dev/"));
            return Some(device.map_or_else(|| self.nobody_writes(), |path| self.lines(ReadKind::Device, path)));
        }
        if let Some(program) = self.not_run(message, &paths) {
            return Some(self.lines(ReadKind::Exec, &program.to_string_lossy()));
        }
        if let Some(path) = paths.iter().find(|path| !self.covers(path)) {
            return Some(self.lines(kind(message, path), path));
        }
        if let Some(name) = capability(message).filter(|name| !self.has_capability(name)) {
            return Some(self.lines(ReadKind::Capability, &name));
        }
        if let Some(path) = paths.first() {
            return self.closed_all_the_same(path, root);
        }
        let port = port(message).filter(|port| !self.ports.contains(port));
        let declared = |port: &u16| self.refused.iter().any(|read| read.target.ends_with(&port.to_string()));
        match port.filter(|port| !declared(port)) {
            Some(port) => Some(self.lines(ReadKind::Tcp, &port.to_string())),
            None if self.refused.is_empty() => None,
            None => Some(self.declared(&self.refused.iter().collect::<Vec<_>>())),
        }
    }

    /// Where programs are granted, another one that the message is about: by its path, by the name that a script calls it by, or as the
    /// interpreter of a script in a folder that is granted.
    fn not_run(&self, message: &str, paths: &[&str]) -> Option<PathBuf> {
        if !self.runs_programs() || self.without.landlock {
            return None;
        }
        let mut runs: Vec<PathBuf> = LOADERS.iter().map(PathBuf::from).chain(self.programs.iter().cloned()).collect();
        runs.extend(self.programs.iter().flat_map(|program| programs::interpreters(program)));
        let runs: Vec<PathBuf> = runs.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let is_refused = |path: &PathBuf| {
            let real = path.canonicalize().ok().filter(|path| programs::is_program(path));
            real.is_some_and(|real| !runs.iter().any(|granted| real.starts_with(granted)))
        };
        let by_path = paths.iter().map(PathBuf::from);
        let by_name = denied_name(message).and_then(programs::which);
        let scripts = paths.iter().map(Path::new).filter(|_| kind(message, "") == ReadKind::Exec);
        let of_scripts = scripts.flat_map(programs::interpreters);
        by_path.chain(by_name).chain(of_scripts).find(is_refused)
    }

    /// A path that is granted, and refused.
    fn closed_all_the_same(&self, path: &str, root: bool) -> Option<String> {
        if of_another_process(path) {
            let what = format!("{path} is closed to a child, whatever is granted, as it is another process's");
            return Some(format!(
                "{what}: `isolation = \"none\"` in [collectors.{}] runs it in the agent",
                self.collector
            ));
        }
        let exactly = self.paths.iter().any(|granted| self.on_host(&granted.to_string_lossy()) == path);
        let folder = Path::new(path).parent().and_then(Path::to_str).filter(|folder| *folder != "/");
        if let Some(folder) = folder.filter(|folder| exactly && !self.covers(folder)) {
            let why = "the sandbox knows the file that was there when the child started. If it was made or replaced since, grant its folder";
            return Some(format!("{why}: {}", self.both(ReadKind::Path, folder)));
        }
        root.then(|| {
            let why = format!("{path} is granted, but a child has none of root's rights over what is others'");
            format!("{why}: {}", self.both(ReadKind::Capability, "dac_read_search"))
        })
    }

    fn lines(&self, kind: ReadKind, target: &str) -> String {
        format!("the sandbox may have refused it: {}", self.both(kind, target))
    }

    fn both(&self, kind: ReadKind, target: &str) -> String {
        let read = Read { kind, target: target.to_owned() };
        format!("`reads = [\"{read}\"]` in its plugin.toml would ask for it, `grant = [\"{read}\"]` {}", self.there())
    }

    fn declared(&self, refused: &[&Read]) -> String {
        let list = refused.iter().map(|read| format!("\"{read}\"")).collect::<Vec<_>>().join(", ");
        let asked = format!("its plugin.toml asks for it, `reads = [{list}]`, and nobody granted it");
        format!("the sandbox may have refused it: {asked}: `grant = [{list}]` {}", self.there())
    }

    fn there(&self) -> String {
        format!("in [collectors.{}] allows it, `isolation = \"none\"` there runs it without a sandbox", self.collector)
    }

    fn nobody_writes(&self) -> String {
        let none = format!("`isolation = \"none\"` in [collectors.{}] runs it without a sandbox", self.collector);
        format!(
            "the sandbox may have refused it: nobody in it writes to files, and no `reads` or `grant` can change that; {none}"
        )
    }

    fn covers(&self, path: &str) -> bool {
        self.without.landlock
            || self.readable().any(|granted| Path::new(path).starts_with(self.on_host(&granted.to_string_lossy())))
    }

    /// A path as `reads` writes it: without the root under which the host's files are.
    fn on_host<'a>(&self, path: &'a str) -> &'a str {
        let root = self.host_root.to_str().unwrap_or("/");
        let beneath = path.strip_prefix(root.trim_end_matches('/'));
        beneath.filter(|beneath| beneath.starts_with('/')).unwrap_or(path)
    }
}

fn complaint(message: &str) -> Option<Complaint> {
    let text = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    // A shell's words where programs are granted, and Landlock refuses what the filter lets through.
    if says(&["os error 30)", "read-only file system", "erofs", "cannot create"]) {
        return Some(Complaint::Writing);
    }
    let permission =
        ["os error 13)", "os error 1)", "permission denied", "not permitted", "denied", "eacces", "eperm", "cap_"];
    says(&permission).then_some(Complaint::Permission)
}

/// What a path in an error may be, from the words around it: a filter refuses a program with `EPERM`, Landlock with `EACCES`.
fn kind(message: &str, path: &str) -> ReadKind {
    let text = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if path.starts_with("/dev/") {
        ReadKind::Device
    } else if says(&["connect", "socket"]) {
        ReadKind::Unix
    } else if says(&["could not run", "execute", "spawn", "could not start"]) {
        ReadKind::Exec
    } else {
        ReadKind::Path
    }
}

/// The name that a script had for a program, in the words of a shell (`script: 2: df: Permission denied`), `env` or Python (`Permission
/// denied: 'df'`).
fn denied_name(message: &str) -> Option<&str> {
    const DENIED: &str = "Permission denied";
    let (before, after) = message.split_once(DENIED)?;
    let quoted = after.strip_prefix(": '").and_then(|after| after.split('\'').next());
    let named = before.trim_end_matches([':', ' ']).rsplit([' ', ':']).next();
    quoted
        .or(named)
        .map(|name| name.trim_matches(['\'', '‘', '’', '"']))
        .filter(|name| !name.is_empty() && !name.contains('/'))
}

/// The absolute paths in a text, without the punctuation around them.
fn paths(message: &str) -> impl Iterator<Item = &str> {
    let apart = |char: char| char.is_whitespace() || matches!(char, '"' | '\'' | '`' | '(' | ')' | ',' | ';' | '=');
    let words = message.split(apart).filter(|word| word.starts_with('/'));
    words.map(|word| word.trim_end_matches([':', '.', '/'])).filter(|path| !path.is_empty())
}

/// `/proc/PID/…`, of a process by its number.
fn of_another_process(path: &str) -> bool {
    let number = path.strip_prefix("/proc/").and_then(|rest| rest.split_once('/'));
    number.is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// `CAP_NAME` in a text, as `reads` writes it.
fn capability(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("CAP_")?;
    let name = rest.split(|char: char| !char.is_ascii_uppercase() && char != '_').next()?;
    let name = name.to_ascii_lowercase();
    super::rights::bit(&name).map(|_| name)
}

/// The port of an address in a text: `localhost:3493`.
fn port(message: &str) -> Option<u16> {
    let ports = message.split_whitespace().filter_map(|word| {
        let word = word.trim_matches(|char: char| !char.is_ascii_alphanumeric() && char != '[');
        let (host, port) = word.rsplit_once(':')?;
        port.parse().ok().filter(|port| *port != 0 && !host.is_empty())
    });
    ports.into_iter().next()
}

#[cfg(test)]
mod tests {
    use plugin_api::host_side::options::Settings;

    use super::super::{Terms, Without};
    use super::*;

    fn policy(reads: &[&str]) -> Policy {
        at(Path::new("/"), reads)
    }

    fn at(host_root: &Path, reads: &[&str]) -> Policy {
        let reads: Vec<Read> = reads.iter().map(|text| entry(text)).collect();
        Policy::new(&Terms {
            collector: "ups",
            reads: &reads,
            options: &Settings::default(),
            grants: &[],
            bundled: false,
            host_root,
            memory: 0,
            descriptors: 0,
            required: false,
            without: Without::default(),
        })
    }

    fn entry(text: &str) -> Read {
        let kind = match text.split_once(':') {
            Some(("tcp", _)) => ReadKind::Tcp,
            Some(("unix", _)) => ReadKind::Unix,
            _ => ReadKind::Path,
        };
        Read { kind, target: text.rsplit_once(':').map_or(text, |(_, target)| target).to_owned() }
    }

    fn explained(policy: &Policy, message: &str) -> String {
        policy.explained(message, false).unwrap_or_default()
    }

    #[test]
    fn path_that_nothing_grants_is_named_in_both_lines() {
        let text = explained(&policy(&[]), "could not open /var/lib/ups/x: Permission denied (os error 13)");
        assert_eq!(
            text,
            "the sandbox may have refused it: `reads = [\"/var/lib/ups/x\"]` in its plugin.toml would ask for it, `grant = \
             [\"/var/lib/ups/x\"]` in [collectors.ups] allows it, `isolation = \"none\"` there runs it without a sandbox"
        );
    }

    #[test]
    fn path_is_told_as_reads_writes_it_under_a_foreign_root() {
        let policy = at(&PathBuf::from("/host"), &["/proc/stat"]);
        let text = explained(&policy, "could not open `/host/var/lib/x`: Permission denied (os error 13)");
        assert!(text.contains("`reads = [\"/var/lib/x\"]`"), "{text}");
        assert_eq!(policy.explained("could not open /host/proc/stat: Permission denied (os error 13)", false), None);
    }

    #[test]
    fn words_around_a_path_tell_what_it_is() {
        for (message, expected) in [
            ("could not connect to /run/x.sock: Permission denied (os error 13)", "\"unix:/run/x.sock\""),
            ("could not run /usr/sbin/smartctl: Operation not permitted (os error 1)", "\"exec:/usr/sbin/smartctl\""),
            ("could not open /dev/nvme0: Permission denied (os error 13)", "\"device:/dev/nvme0\""),
            ("could not open /dev/ipmi0: Read-only file system (os error 30)", "\"device:/dev/ipmi0\""),
            ("could not connect to localhost:3493: Permission denied (os error 13)", "\"tcp:3493\""),
            ("could not read the events, needs CAP_PERFMON", "\"cap:perfmon\""),
        ] {
            let text = explained(&policy(&[]), message);
            assert!(text.contains(&format!("reads = [{expected}]")), "{text}");
            assert!(text.contains(&format!("grant = [{expected}]")), "{text}");
        }
    }

    #[test]
    fn what_was_declared_and_not_granted_is_for_the_operator() {
        let policy = policy(&["tcp:3493", "unix:/run/nut.sock"]);
        let text = explained(&policy, "could not connect: Permission denied (os error 13)");
        assert!(text.contains("`grant = [\"tcp:3493\", \"unix:/run/nut.sock\"]` in [collectors.ups]"), "{text}");
        let text = explained(&policy, "could not connect to /run/nut.sock: Permission denied (os error 13)");
        assert!(text.contains("`grant = [\"unix:/run/nut.sock\"]`") && text.contains("nobody granted it"), "{text}");
        let text = explained(&policy, "could not connect to [::1]:3493: Permission denied (os error 13)");
        assert!(text.contains("asks for it"), "{text}");
    }

    #[test]
    fn writing_is_for_nobody() {
        let text = explained(&policy(&[]), "could not open /tmp/cache: Read-only file system (os error 30)");
        assert!(text.contains("nobody in it writes") && text.contains("isolation = \"none\""), "{text}");
    }

    #[test]
    fn program_that_a_script_calls_is_named_by_its_path() {
        let programs = ["/bin/sh", "/x/a.sh", "/x/a.py"].map(PathBuf::from).to_vec();
        let policy = Policy { programs, ..policy(&[]) };
        let df = programs::which("df").unwrap().to_str().unwrap().to_owned();
        for message in [
            "/x/a.sh ended with exit code 126: /x/a.sh: 2: df: Permission denied",
            "/x/a.sh ended with exit code 126: env: ‘df’: Permission denied",
            "/x/a.py ended with exit code 1: PermissionError: [Errno 13] Permission denied: 'df'",
            &format!("/bin/sh ended with exit code 126: {df}: Permission denied"),
        ] {
            let text = explained(&policy, message);
            assert!(text.contains(&format!("`grant = [\"exec:{df}\"]` in [collectors.ups]")), "{message}: {text}");
        }
        let text = explained(&policy, "/x/a.sh ended with exit code 2: cat: /etc/shadow: Permission denied");
        assert!(text.contains("grant = [\"/etc/shadow\"]"), "{text}");
        let text = explained(&policy, "/x/a.sh ended with exit code 2: cannot create /tmp/x: Permission denied");
        assert!(text.contains("nobody in it writes"), "{text}");
        assert_eq!(policy.explained("/bin/sh ended with exit code 1: Permission denied", false), None);
    }

    #[test]
    fn interpreter_of_a_script_in_a_folder_that_is_granted_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("a.sh");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let message = format!("could not run {}: Permission denied (os error 13)", script.display());
        let text = explained(&running(folder.path().to_str().unwrap()), &message);
        assert!(text.contains("grant = [\"exec:/bin/sh\"]"), "{text}");
        assert_eq!(running(script.to_str().unwrap()).explained(&message, false), None);
    }

    /// Of a child that may run this.
    fn running(program: &str) -> Policy {
        Policy { programs: vec![program.into()], ..policy(&[]) }
    }

    #[test]
    fn what_is_not_the_sandbox_gets_no_words() {
        let policy = policy(&["/var/lib/ups"]);
        assert_eq!(policy.explained("could not open /var/lib/ups/x: Permission denied (os error 13)", false), None);
        assert_eq!(policy.explained("could not open /etc/shadow: No such file or directory (os error 2)", false), None);
        assert_eq!(policy.explained("no answer from localhost:3493", false), None);
        assert_eq!(policy.explained("Permission denied (os error 13)", false), None);
    }

    #[test]
    fn granted_path_that_root_could_read_is_a_matter_of_a_capability() {
        let policy = policy(&["/var/lib/ups"]);
        let text = policy.explained("could not open /var/lib/ups/x: Permission denied (os error 13)", true).unwrap();
        assert!(text.contains("grant = [\"cap:dac_read_search\"]"), "{text}");
    }

    #[test]
    fn granted_file_that_was_replaced_is_a_matter_of_its_folder() {
        let policy = policy(&["/var/lib/ups/status"]);
        let text = explained(&policy, "could not open /var/lib/ups/status: Permission denied (os error 13)");
        assert!(text.contains("grant = [\"/var/lib/ups\"]"), "{text}");
    }

    #[test]
    fn other_processes_are_closed_whatever_is_granted() {
        let text = explained(&policy(&["/proc"]), "could not open /proc/1/io: Permission denied (os error 13)");
        assert!(text.contains("another process") && text.contains("isolation = \"none\""), "{text}");
    }
}
