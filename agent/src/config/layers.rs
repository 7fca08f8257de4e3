//! Reads the layers of a config: the shipped file, the operator's, those of `conf.d`, and the variables. [E read, env]
//!
//! Promises that what is read is bounded and that a file which cannot be read is a fault like any other, with its name.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use plugin_api::host_side::fault::{Fault, Origin, Sources};
use plugin_api::host_side::tree::{self, Table};

use super::variables::{self, PREFIX, Variables};
use crate::harmless;

/// The shipped config, whose `[agent]` is the lowest layer.
pub const SHIPPED: &str = include_str!("../../../config/perfwatch.toml");
/// How the shipped config is named where one of its lines is told.
pub const SHIPPED_NAME: &str = "built-in perfwatch.toml";
/// How a config that is no file is named.
const TEXT_NAME: &str = "config";
/// Where the config is looked for when nobody says where.
pub const SYSTEM_FILE: &str = "/etc/perfwatch/perfwatch.toml";
/// The variable that says where.
pub const FILE_VARIABLE: &str = "PERFWATCH_CONFIG";
/// The most bytes of a file: a config of a thousand collectors has a tenth.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// The most bytes of a secret: a chain of certificates has a tenth.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// The most files of `conf.d`.
const MAX_DROP_INS: usize = 1000;

/// What a process is given.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Its variables; those that are no UTF-8 are left out, but for those of `PERFWATCH__`, which is told.
    pub variables: Variables,
    /// Names of variables that set keys and are no UTF-8.
    pub broken: Vec<String>,
    /// Whether it runs as root.
    pub is_root: bool,
}

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Environment {
        let mut environment = Environment { is_root: rustix::process::geteuid().is_root(), ..Environment::default() };
        for (name, value) in env::vars_os() {
            let shown = name.to_string_lossy().into_owned();
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => _ = environment.variables.insert(name, value),
                _ if shown.starts_with(PREFIX) => environment.broken.push(shown),
                _ => {}
            }
        }
        environment
    }
}

/// One layer, as written.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The number of its source; that of the variables is of their first.
    pub source: usize,
    /// What it is to the others.
    pub rank: Rank,
    /// What could be read of it.
    pub table: Table,
    /// What is wrong with it by itself.
    pub faults: Vec<Fault>,
    /// The file that it is of.
    pub path: Option<PathBuf>,
}

/// What a layer is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// It has to be right.
    Whole,
    /// A file of `conf.d`, which may be left out.
    DropIn,
}

/// Of a file that is not to be read what it said before, or that it was not there; nothing of one that is.
pub type Held<'a> = &'a dyn Fn(&Path) -> Option<Option<String>>;

/// Reads all layers, the lowest first, but for files that are held.
pub fn read(explicit: Option<&Path>, held: Held<'_>, environment: &Environment, sources: &mut Sources) -> Vec<Layer> {
    let mut layers = vec![shipped(sources)];
    let (path, is_named) = main_file(explicit, environment);
    let not_there = || io::Error::from(io::ErrorKind::NotFound);
    let read = held(&path).map_or_else(|| read_bounded(&path, MAX_FILE_BYTES), |held| held.ok_or_else(not_there));
    match read {
        Err(error) if !is_named && error.kind() == io::ErrorKind::NotFound => {}
        read => layers.push(file(&path, read, Rank::Whole, environment, sources)),
    }
    let folder = drop_in_folder(&path);
    match drop_ins(&folder) {
        Ok(paths) => {
            for path in paths {
                let read = match held(&path) {
                    None => read_drop_in(&path),
                    Some(Some(text)) => Ok(text),
                    Some(None) => continue,
                };
                layers.push(file(&path, read, Rank::DropIn, environment, sources));
            }
        }
        Err(error) => layers.push(unread(&folder, &error, Rank::Whole, sources)),
    }
    layers.push(of_variables(environment, sources));
    layers
}

/// Where the drop-ins are of a config whose main file is this.
pub fn drop_in_folder(main: &Path) -> PathBuf {
    // `-c perfwatch.toml` has a parent of "", which is the current folder.
    main.parent().unwrap_or(Path::new("")).join("conf.d")
}

/// The file of a config, and whether somebody named it, so that it has to be there.
pub fn main_file(explicit: Option<&Path>, environment: &Environment) -> (PathBuf, bool) {
    let variable = || environment.variables.get(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = explicit.map(Path::to_owned).or_else(variable);
    let is_named = named.is_some();
    (named.unwrap_or_else(|| PathBuf::from(SYSTEM_FILE)), is_named)
}

/// The layers of a config that is a text and no file, the lowest first.
pub fn of_text(text: &str, environment: &Environment, sources: &mut Sources) -> Vec<Layer> {
    let given = |sources: &mut _| of_file(TEXT_NAME.to_owned(), text, Rank::Whole, environment, sources);
    vec![shipped(sources), given(sources), of_variables(environment, sources)]
}

pub(super) fn shipped(sources: &mut Sources) -> Layer {
    let source = sources.add_own(SHIPPED_NAME, SHIPPED);
    let (table, faults) = tree::parse(source, SHIPPED);
    Layer { source, rank: Rank::Whole, table, faults, path: None }
}

/// The secret in a file, without the newline that editors end it with.
///
/// # Errors
/// It cannot be read, is no UTF-8, or has more than 64 KiB.
pub fn read_secret(path: &Path) -> io::Result<String> {
    let text = read_bounded(path, MAX_SECRET_BYTES)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// A FIFO that somebody left in the folder would be waited for without end; `-c` may well name one. A link to `/dev/null` is
/// how a file is masked.
fn read_drop_in(path: &Path) -> io::Result<String> {
    if path.metadata()?.is_file() || path.canonicalize()? == Path::new("/dev/null") {
        read_bounded(path, MAX_FILE_BYTES)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

fn read_bounded(path: &Path, most: u64) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count() + 1;
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

/// The files of a folder that is not always there, by name. Hidden ones are what editors and installers write in between.
fn drop_ins(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
        if paths.len() > MAX_DROP_INS {
            return Err(io::Error::other(format!("there are more than {MAX_DROP_INS} files in it")));
        }
    }
    paths.sort();
    Ok(paths)
}

fn file(path: &Path, read: io::Result<String>, rank: Rank, environment: &Environment, sources: &mut Sources) -> Layer {
    let text = match read {
        Ok(text) => text,
        Err(error) => return unread(path, &error, rank, sources),
    };
    let name = harmless::path(path).to_string();
    Layer { path: Some(path.to_owned()), ..of_file(name, &text, rank, environment, sources) }
}

/// A layer of the text of a file.
pub(super) fn of_file(name: String, text: &str, rank: Rank, environment: &Environment, sources: &mut Sources) -> Layer {
    let source = sources.add(name, text);
    let (mut table, mut faults) = tree::parse(source, text);
    variables::fill_in(&mut table, &environment.variables, &mut faults);
    Layer { source, rank, table, faults, path: None }
}

fn unread(path: &Path, error: &io::Error, rank: Rank, sources: &mut Sources) -> Layer {
    let source = sources.add(harmless::path(path).to_string(), "");
    let origin = Origin { source, ..Origin::default() };
    let faults = vec![Fault::new(origin, format!("could not read it: {error}"))];
    Layer { source, rank, table: Table::default(), faults, path: Some(path.to_owned()) }
}

pub(super) fn of_variables(environment: &Environment, sources: &mut Sources) -> Layer {
    let mut faults = Vec::new();
    for name in &environment.broken {
        let origin = Origin { source: sources.add_variable(name, ""), ..Origin::default() };
        faults.push(Fault::new(origin, "the variable is not UTF-8"));
    }
    let source = sources.len();
    let table = variables::overrides(&environment.variables, sources, &mut faults);
    Layer { source, rank: Rank::Whole, table, faults, path: None }
}
