//! Standard output belongs to the data. Before any library is loaded, the real one moves to a private descriptor and
//! descriptor 1 becomes standard error: an author's first act is `println!`, and nothing a plugin prints gets into the data.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io;

/// Moves standard output away and gives it.
///
/// # Errors
/// Descriptors have run out.
pub fn guard() -> io::Result<File> {
    // Above the three standard ones, and closed in whatever is started.
    let output = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(output))
}
