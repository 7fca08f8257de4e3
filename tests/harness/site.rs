//! A folder for one agent: its program, its plugins, its config and all that it writes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use tempfile::TempDir;

use crate::{Allocations, Finished, Running, built};

/// The folder; it is gone with this value and the last agent that runs in it.
///
/// The agent lies in `bin/`, so that beside its executable there is only what the test puts there. State and plugins are in
/// `state/` and `plugins/`, which its environment says. The config is `perfwatch.toml`.
#[derive(Debug)]
pub struct Site {
    folder: Arc<TempDir>,
}

impl Default for Site {
    fn default() -> Self {
        Site::new()
    }
}

impl Site {
    /// A folder with the agent and nothing else.
    ///
    /// # Panics
    /// No folder can be made.
    #[must_use]
    pub fn new() -> Site {
        let folder = tempfile::Builder::new().prefix("perfwatch-").tempdir().expect("a temporary folder");
        let site = Site { folder: Arc::new(folder) };
        for name in ["bin", "state", "plugins"] {
            fs::create_dir(site.path(name)).expect("a new folder");
        }
        place(&built().agent, &site.path("bin/perfwatch"));
        // An empty one, so that the machine's own is not read.
        site.config("");
        site
    }

    /// A path in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders that it is to lie in.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a new folder");
        fs::write(&path, bytes).expect("a new file");
        path
    }

    /// Writes `perfwatch.toml`.
    pub fn config(&self, text: &str) -> PathBuf {
        self.write("perfwatch.toml", text)
    }

    /// Puts a plugin of the tests, as `mock`, into `plugins/`.
    ///
    /// # Panics
    /// There is none of this name.
    pub fn plugin(&self, name: &str) -> PathBuf {
        let (file, library) = (format!("libperfwatch_{name}.so"), &format!("perfwatch_{name}"));
        let built = built().test_plugins.get(library).unwrap_or_else(|| panic!("tests/plugins has no {name}"));
        place(built, &self.path("plugins").join(file))
    }

    /// Puts a plugin of the project, as `memory`, beside the agent, as an installation does.
    ///
    /// # Panics
    /// There is none of this name.
    pub fn bundled(&self, name: &str) -> PathBuf {
        let (file, library) = (format!("libperfwatch_{name}.so"), &format!("perfwatch_{name}"));
        let built = built().plugins.get(library).unwrap_or_else(|| panic!("plugins/ has no {name}"));
        place(built, &self.path("bin").join(file))
    }

    /// The agent with these arguments, ready to run. Of the environment it has only what the site says, and PATH.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        self.program("perfwatch", arguments)
    }

    /// The same under a limit of the shell's `ulimit`.
    pub fn limited(&self, limit: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let agent = self.command(arguments);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"])
            .arg(agent.get_program())
            .args(agent.get_args());
        command.env_clear().envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// An example of the agent beside it, with these arguments, ready to run as the agent is.
    ///
    /// # Panics
    /// There is none of this name.
    pub fn example(&self, name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let built = built().examples.get(name).unwrap_or_else(|| panic!("agent/examples has no {name}"));
        place(built, &self.path("bin").join(name));
        self.program(name, arguments)
    }

    fn program(&self, name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(self.path("bin").join(name));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("PERFWATCH__AGENT__STATE_DIR", self.path("state"));
        command.env("PERFWATCH__AGENT__RUNTIME_DIR", self.path("run"));
        command.env("PERFWATCH__AGENT__PLUGIN_DIRS", format!("[{:?}]", self.path("plugins")));
        command.env("PERFWATCH_CONFIG", self.path("perfwatch.toml"));
        command
    }

    /// Runs the agent until it ends by itself.
    pub fn output(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        self.start(arguments).wait()
    }

    /// Starts the agent.
    pub fn start(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Running {
        Running::start(self.command(arguments)).inside(&self.folder)
    }

    /// Starts the agent with its allocations counted.
    pub fn start_counted(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> (Running, Allocations) {
        let mut command = self.command(arguments);
        let allocations = Allocations::count(&mut command, self.path("allocations"));
        (Running::start(command).inside(&self.folder), allocations)
    }
}

/// A link where the file system allows one, else a copy: a debug build of the agent has 60 MB.
fn place(built: &Path, at: &Path) -> PathBuf {
    if fs::hard_link(built, at).is_err() {
        fs::copy(built, at).unwrap_or_else(|error| panic!("could not copy {}: {error}", built.display()));
    }
    at.to_owned()
}
