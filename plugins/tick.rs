//! Has the linker lay together what a steady tick runs, as the `tick.ld` beside a package's manifest, or above it, says.
//!
//! The kernel maps 64 KiB of a file around each page of it that is touched. What a tick runs lies scattered between what ran once, so that
//! nearly all of a program of 3 MB becomes resident; laid together it is a quarter of that. The build script of the agent and of each plugin.
//!
//! Promises that a build succeeds as it did before: a linker is asked first what it takes, and goes without the rest. What the
//! script does not name lies where it lay, so a name that is none any more costs memory and nothing else.
#![allow(clippy::print_stdout)] // which is how a build script speaks

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let beside = package.join("tick.ld");
    let script = if beside.exists() { beside } else { package.with_file_name("tick.ld") };
    println!("cargo:rerun-if-changed={}", script.display());
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    let kind = if package.join("src/main.rs").exists() { "bins" } else { "cdylib" };
    // The second: functions of the same code are one, which is 1 % of the agent and half of one of a plugin. The third: so are constants of
    // the same bytes, which is 2.5 KB of a plugin.
    let wanted = [
        format!("-Wl,-T,{}", script.display()),
        "-Wl,--icf=all".to_owned(),
        "-Wl,--ignore-data-address-equality".to_owned(),
    ];
    // A debug build is larger by what no order could mend, and is linked more often.
    if env::var("PROFILE")? == "release" {
        for argument in wanted {
            if takes(&argument)? {
                println!("cargo:rustc-link-arg-{kind}={argument}");
            }
        }
    }
    Ok(())
}

/// Whether the linker of this build takes an argument: tried on the smallest program there is.
fn takes(argument: &str) -> Result<bool, Box<dyn std::error::Error>> {
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
    Ok(rustc.arg(format!("-Clink-arg={argument}")).output()?.status.success())
}
