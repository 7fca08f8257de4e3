//! The copy of the last config that was good, and when it stands in for one that is refused. [E write, fsync, rename]
//!
//! A typing error and a reboot must not blind a fleet. So the agent keeps what it ran with, where `agent.last_good` says, and
//! starts from it where the config is refused, or cannot be run by as its sinks cannot be opened. Promises:
//!
//! * The copy is whole at any instant, private (0600, as texts may hold secrets), and written only when something changed.
//! * It is used where nobody but root and the agent's user could have written it, and where it is as it was written.
//! * What it cannot give back is told and not guessed: variables are those of now, as are files of secrets. A config that
//!   is refused for one of these is refused in the copy as well.
//! * Nothing else is overwritten: a file at its place that is no copy stays, and is told of.
//!
//! Where `last_good` cannot be read, as the config is gone or the typing error is in this very line, a copy is looked for in its
//! default place, and taken if it is of the config that was asked for. That it is there says that it is wanted: a good config
//! that wants none removes it.
#![forbid(unsafe_code)]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use plugin_api::host_side::fault::{Fault, Origin, Sources};
use rustix::fs::OFlags;

use super::kept::{BEGINNING, Kept, Named};
use super::layers::{self, Environment, Rank};
use super::{Config, Refused, partly};
use crate::harmless;

/// How the copy is called where nobody says otherwise, in the state folder.
const NAME: &str = "last-good.toml";
/// The most bytes of a copy: forty times a config of a thousand collectors.
const COPY_BYTES_MAX: u64 = 16 << 20;
/// Modes of files that others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// What a copy stands in for.
#[derive(Clone, Debug)]
pub struct StandIn {
    /// The copy.
    pub path: PathBuf,
    /// When it was taken, as RFC 3339.
    pub taken: String,
    /// Why the config itself is not used.
    pub refused: Refused,
}

impl StandIn {
    /// What an operator has to know, in a line.
    #[must_use]
    pub fn told(&self) -> String {
        format!(
            "the config is refused; this runs with the copy of the last good one, of {}, from {}: mend the config, until \
             `perfwatch check` has nothing against it, and call `perfwatch reload`",
            self.taken,
            harmless::path(&self.path)
        )
    }
}

impl Config {
    /// Set where this is the copy of a config, in the place of one that is refused.
    #[must_use]
    pub fn stands_in(&self) -> Option<&StandIn> {
        self.stands_in.as_ref()
    }

    /// Keeps a copy of the files of this config at `agent.last_good`, whose folder is made where it is missing: of those that are
    /// in use, so that what was left out is not in it. Nothing is written where the copy there is the same. A copy in the
    /// default place that is wanted no more is removed. Waits for the disk.
    ///
    /// # Errors
    /// It cannot be written, or what is there is something else than a copy.
    pub fn keep_good(&self) -> io::Result<()> {
        // A text that a program had in memory is no file, and the copy of a copy nothing new.
        if self.stands_in.is_some() || !self.layers.iter().any(|layer| layer.path.is_some()) {
            return Ok(());
        }
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let kept = self.kept(now)?;
        let Some(path) = &self.agent.last_good else { return self.forget(&kept) };
        let is_there = match read(path) {
            Ok(there) => there.is_same(&kept),
            Err(Unusable::Gone | Unusable::Fault(_)) => false,
            Err(Unusable::Foreign) => {
                return Err(io::Error::other("what is there is no copy of a config, and is left as it is"));
            }
        };
        if !is_there {
            let text = kept.render();
            if text.len() as u64 > COPY_BYTES_MAX {
                let why = format!("it would have more than {COPY_BYTES_MAX} bytes");
                return Err(io::Error::new(ErrorKind::FileTooLarge, why));
            }
            write(path, &text)?;
        }
        if is_same_file(path, &self.default_place()) { Ok(()) } else { self.forget(&kept) }
    }

    /// Removes the copy of an earlier config of this name in the default place.
    fn forget(&self, kept: &Kept) -> io::Result<()> {
        let name = |kept: &Kept| kept.config.as_ref().map(|config| config.name.clone());
        match read(&self.default_place()) {
            Ok(earlier) if name(&earlier) == name(kept) => fs::remove_file(self.default_place()),
            _ => Ok(()),
        }
    }

    fn default_place(&self) -> PathBuf {
        self.agent.state_dir.join(NAME)
    }

    fn kept(&self, taken: String) -> io::Result<Kept> {
        let mut kept = Kept { taken, config: None, drop_ins: Vec::new() };
        for layer in &self.layers {
            let Some(path) = &layer.path else { continue };
            let file = Named { name: whole(path)?, text: self.sources.text(layer.source).to_owned() };
            match layer.rank {
                Rank::Whole => kept.config = Some(file),
                Rank::DropIn => kept.drop_ins.push(file),
            }
        }
        Ok(kept)
    }

    fn of_kept(kept: &Kept, environment: Environment) -> Result<Config, Refused> {
        let mut sources = Sources::default();
        let mut layers = vec![layers::shipped(&mut sources)];
        let ranked = kept.config.iter().map(|file| (file, Rank::Whole));
        for (file, rank) in ranked.chain(kept.drop_ins.iter().map(|file| (file, Rank::DropIn))) {
            let name = format!("{} as of {}", file.name, kept.taken);
            layers.push(layers::of_file(name, &file.text, rank, &environment, &mut sources));
        }
        layers.push(layers::of_variables(&environment, &mut sources));
        Config::of_layers(layers, sources, environment)
    }
}

/// The copy that stands in for the config at `explicit`, which was `refused`.
///
/// # Errors
/// There is none, or it cannot be used: the config's own faults, and why.
pub fn stand_in(explicit: Option<&Path>, environment: Environment, refused: Refused) -> Result<Config, Refused> {
    let agent = partly::read(explicit, &environment);
    // A variable that is not set leaves its name in the text, and that is no path.
    let named = agent.last_good.filter(|path| !path.as_os_str().is_empty() && !path.to_string_lossy().contains("${"));
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| agent.state_dir.join(NAME));
    let asked = layers::main_file(explicit, &environment).0;
    let asked = whole(&asked).unwrap_or_default();
    let is_of_this = |kept: &Kept| kept.config.as_ref().is_some_and(|config| config.name == asked);
    let why = match read(&path) {
        Ok(kept) if is_named || is_of_this(&kept) => match Config::of_kept(&kept, environment) {
            Ok(config) => {
                let stands_in = StandIn { path, taken: kept.taken, refused };
                return Ok(Config { stands_in: Some(stands_in), ..config });
            }
            Err(also) => return Err(refused_too(&StandIn { path, taken: kept.taken, refused }, also)),
        },
        Err(Unusable::Gone) if is_named => "there is no copy of a good config yet, to start from".to_owned(),
        // Of another agent, or none of ours.
        Ok(_) | Err(Unusable::Gone | Unusable::Foreign) if !is_named => return Err(refused),
        Err(Unusable::Fault(why)) => format!("is no copy to start from: {why}"),
        Ok(_) | Err(_) => "is no copy to start from: it is something else".to_owned(),
    };
    Err(also(refused, &path, why))
}

/// A config that turned out to be none to run by, for this reason.
#[must_use]
pub fn refused_for(config: &Config, why: String) -> Refused {
    let refused = Refused { faults: Vec::new(), sources: config.sources().clone() };
    also(refused, Path::new(&config.main_file().unwrap_or_default()), why)
}

/// The faults of both, where the copy is refused as well.
#[must_use]
pub fn refused_too(stand_in: &StandIn, copy: Refused) -> Refused {
    let why = format!("this copy, of {}, is refused as well, for what follows", stand_in.taken);
    let mut all = also(stand_in.refused.clone(), &stand_in.path, why);
    let by = all.sources.append(copy.sources);
    all.faults.extend(copy.faults.into_iter().map(|mut fault| {
        fault.origin.source += by;
        fault
    }));
    all
}

/// Whether both names lead to one file, as through the links that systemd makes.
fn is_same_file(path: &Path, other: &Path) -> bool {
    let at = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((at(path), at(other)), (Ok(one), Ok(other)) if one == other)
}

/// The name of a file of the config, wherever the agent was started.
fn whole(path: &Path) -> io::Result<String> {
    Ok(harmless::path(&std::path::absolute(path)?).to_string())
}

/// One more fault, of a file as a whole.
fn also(mut refused: Refused, path: &Path, why: String) -> Refused {
    let source = refused.sources.add(harmless::path(path).to_string(), "");
    refused.faults.push(Fault::new(Origin { source, ..Origin::default() }, why));
    refused
}

/// Why there is no copy.
enum Unusable {
    Gone,
    /// Something else is there.
    Foreign,
    /// It is a copy, or cannot be looked at, and cannot be used for this.
    Fault(String),
}

fn read(path: &Path) -> Result<Kept, Unusable> {
    let fault = |cause: io::Error| match cause.kind() {
        ErrorKind::NotFound => Unusable::Gone,
        _ => Unusable::Fault(format!("could not read it: {cause}")),
    };
    // Neither a link that somebody else may have made, nor a FIFO to wait for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    let file = match file {
        Err(cause) if cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(Unusable::Foreign);
        }
        file => file.map_err(fault)?,
    };
    let metadata = file.metadata().map_err(fault)?;
    if !metadata.is_file() {
        return Err(Unusable::Foreign);
    }
    let (mut bytes, own) = (Vec::new(), rustix::process::geteuid().as_raw());
    file.take(COPY_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
    if !bytes.is_empty() && !bytes.starts_with(BEGINNING.as_bytes()) {
        return Err(Unusable::Foreign);
    }
    if metadata.uid() != 0 && metadata.uid() != own {
        return Err(Unusable::Fault(format!(
            "it belongs to user {}, and the agent runs as user {own}",
            metadata.uid()
        )));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(Unusable::Fault(format!("others may write it (mode {:04o})", metadata.mode() & 0o7777)));
    }
    let text = str::from_utf8(&bytes).ok().filter(|text| text.len() as u64 <= COPY_BYTES_MAX);
    text.and_then(Kept::parse).ok_or_else(|| Unusable::Fault("it is damaged, or was edited".to_owned()))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As readable as such folders are: sinks may keep files there that others ship. The copy itself is 0600.
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    // Of an agent that was killed in the middle of this.
    match fs::remove_file(&new) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // Why it is there is what matters; where it cannot be removed, the next one does.
        let _ = fs::remove_file(&new);
    }
    written?;
    // Else a power cut could take the new name back, and with a new folder the copy.
    File::open(folder)?.sync_all()
}
