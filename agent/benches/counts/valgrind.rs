//! Runs this program under callgrind, and reads what it counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::desk::workspace;
use crate::marks::{COUNTED, MARK, of_a_round};

/// What the C library must not choose by the processor, nor by what came before.
///
/// - Functions over bytes are chosen by processor. All of those left have an origin in SSE2, which every one of this architecture has.
/// - `mxfast` and `tcache_count`: what is freed is merged at once, or kept for the next of its size, but never put aside to be merged when
///   somebody asks for much. That moment lies elsewhere in every run, and made `collect.disk.small_vm`, which reads a captured list of mounts
///   anew each time, 26 % dearer in one run than in another; as it is, five runs differ by less than 0.4 %.
const PLAIN: &str = "glibc.cpu.hwcaps=-AVX2,-AVX512VL,-AVX512BW,-BMI2,-ERMS,-FSRM,-SSE4_1,-SSE4_2,-SSSE3,-AVX_Fast_Unaligned_Load,-Fast_Unaligned_Copy,-Prefer_ERMS:glibc.malloc.mxfast=0:glibc.malloc.tcache_count=2000";

/// Instructions by name, and values by host.
pub struct Counted {
    /// Instructions of a round.
    pub instructions: BTreeMap<String, u64>,
    /// Values in the last snapshot of a host.
    pub values: BTreeMap<String, u64>,
}

/// Whether it can be had.
pub fn is_there() -> bool {
    Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Counts everything, in one run.
pub fn counted() -> Counted {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("counts");
    let run = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--fair-sched=yes"])
        .arg(format!("--dump-before={MARK}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().unwrap())
        .arg(crate::COUNTED)
        // Nothing of what this program was started with is the business of the counted one.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GLIBC_TUNABLES", PLAIN)
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(run.status.success(), "the counted program failed under valgrind");
    let told = String::from_utf8(run.stdout).unwrap();
    let mut parts: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    // The dump at the first mark has the start, and each at an even place a part.
    for (place, part) in told.lines().filter_map(|line| line.strip_prefix("part ")).enumerate() {
        // One without a name does not count.
        if part.is_empty() {
            continue;
        }
        parts.entry(part.to_owned()).or_default().push(total(&out, 2 * place + 2));
    }
    let instructions = parts.into_iter().map(|(name, parts)| (name, of_a_round(&parts, COUNTED))).collect();
    let values = told.lines().filter_map(|line| line.strip_prefix("values ")?.rsplit_once(' '));
    let values = values.map(|(host, values)| (host.to_owned(), values.parse().unwrap())).collect();
    Counted { instructions, values }
}

fn total(out: &Path, dump: usize) -> u64 {
    let path = format!("{}.{dump}", out.display());
    let text = fs::read_to_string(&path).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    total.trim().parse().unwrap()
}
