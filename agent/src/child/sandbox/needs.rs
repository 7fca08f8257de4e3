//! What every program needs to read, whatever it is for; and which of it leads somewhere else.

use std::path::{Path, PathBuf};

/// Files and folders that are granted to everybody, read-only. None of them holds a secret; a path that does not exist is passed over.
pub(super) const NEEDS: [&str; 40] = [
    // Libraries, of Nix and Guix too.
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    // Names.
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    // Time and language.
    "/etc/localtime",
    "/etc/timezone",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    // Certificates: not /etc/ssl or /etc/pki, which hold private keys.
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    // Devices without a device behind them.
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    // The process itself, and the number of CPUs.
    "/proc",
    "/sys/devices/system/cpu",
];

/// The dynamic loaders, which the kernel executes for a granted program.
pub(super) const LOADERS: [&str; 6] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/ld-musl-riscv64.so.1",
];

/// What interpreters and their like read beside, where a program is granted: modules of Perl and Ruby, functions of awk, descriptions of
/// terminals. Everybody's, by the Filesystem Hierarchy Standard.
pub(super) const PROGRAM_NEEDS: [&str; 2] = ["/usr/share", "/etc/perl"];

/// Where `/sys` is entered: `/sys/class` and its like are links into `/sys/devices`.
pub(super) const SYS_ENTRANCES: [&str; 5] = ["/sys/devices", "/sys/class", "/sys/block", "/sys/bus", "/sys/dev"];

/// The folder that `/etc/resolv.conf` leads into, where it is a link out of `/etc`: systemd-resolved, resolvconf and NetworkManager
/// replace their file by a new one, which a rule on the old one would not know.
pub(super) fn resolver_folder() -> Option<PathBuf> {
    let target = Path::new("/etc/resolv.conf").canonicalize().ok()?;
    let folder = target.parent()?;
    (folder.starts_with("/run") && folder.components().count() > 2).then(|| folder.to_owned())
}
