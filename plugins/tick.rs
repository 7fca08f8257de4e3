//! Has the linker lay together what a steady tick runs, as the `tick.ld` beside a package's manifest, or above it, says.
//!
//! The kernel maps 64 KiB of a file around each page of it that is touched. What a tick runs lies scattered between what ran once, so that
//! nearly all of a program of 3 MB becomes resident; laid together it is a quarter of that. The build script of the agent and of each plugin.
//!
//! Promises that a build succeeds as it did before: a linker that does not take such a script is asked first and goes without. What the
//! script does not name lies where it lay, so a name that is none any more costs memory and nothing else.
#![allow(clippy::print_stdout)] // which is how a build script speaks

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let beside = package.join("tick.ld");
    let script = if beside.exists() { beside } else { package.with_file_name("tick.ld") };
    println!("cargo:rerun-if-changed={}", script.display());
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    // A debug build is larger by what no order could mend, and is linked more often.
    if env::var("PROFILE")? == "release" && takes(&script)? {
        let kind = if package.join("src/main.rs").exists() { "bins" } else { "cdylib" };
        println!("cargo:rustc-link-arg-{kind}=-Wl,-T,{}", script.display());
    }
    Ok(())
}

/// Whether the linker of this build takes the script: tried on the smallest program there is.
fn takes(script: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    let source = folder.join("probe.rs");
    fs::write(&source, "fn main() {}\n")?;
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc
        .args(["--edition", "2024", "--target", &env::var("TARGET")?])
        .arg("-o")
        .arg(folder.join("probe"))
        .arg(&source);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.arg(format!("-Clink-arg=-Wl,-T,{}", script.display()));
    let tried: io::Result<_> = rustc.output();
    Ok(tried?.status.success())
}
