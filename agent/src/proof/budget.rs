//! Less room than it wants: what finds none has to be counted.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use plugin_api::host_side::frame::Limits;

use super::desk::Desk;
use super::readings::Taken;
use super::report::{Check, Finding};
use super::seen::Seen;
use crate::child::Start;

/// As good as no text: the first keys find no room.
const TEXT_BYTES: u32 = 16;

/// The one check.
#[must_use]
pub fn checks(desk: &Desk, taken: &Taken) -> Vec<Check> {
    let rows = taken.agent.seen.first().map_or(0, |seen| seen.rows.values().map(BTreeSet::len).sum());
    if rows < 2 {
        return vec![Check::skipped("over_budget", "it has no two rows here, of which one could find no room")];
    }
    let limits = desk.start().limits;
    let half = u32::try_from(rows / 2).unwrap_or(u32::MAX);
    let scalars = u32::try_from(desk.manifest.metrics.len()).unwrap_or(u32::MAX);
    let tight = [
        ("half of its rows", Limits { rows: half, ..limits }),
        ("as many cells as it has rows", Limits { cells: scalars.saturating_add(half), ..limits }),
        ("next to no text", Limits { text: TEXT_BYTES, ..limits }),
    ];
    let mut findings = Vec::new();
    for (room, limits) in tight {
        let ran = desk.run(Start { limits, ..desk.start() }, 2);
        if let Some(fault) = ran.fault().or(ran.panic().map(|panic| format!("it panics: {panic}"))) {
            let change = "count on no row, cell or text to find room: what finds none is null, and counted for you";
            findings.push(Finding::failure(format!("with room for {room}: {fault}"), change));
        } else if ran.seen.first().is_some_and(|seen| is_silent(seen, rows)) {
            let change = "count each row that finds no room in `lost_rows`, as the recorder does by itself";
            findings
                .push(Finding::failure(format!("with room for {room}: rows are missing, and none is counted"), change));
        }
    }
    vec![Check::new(
        "over_budget",
        format!("{rows} rows, with room for half of them, and with next to no text"),
        findings,
    )]
}

/// Whether rows are missing from a reading that says nothing of it.
fn is_silent(seen: &Seen, rows: usize) -> bool {
    seen.is_whole() && seen.rows.values().map(BTreeSet::len).sum::<usize>() < rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_that_is_missing_has_to_be_counted() {
        let seen = Seen { rows: [("rows".to_owned(), BTreeSet::from(["a".to_owned()]))].into(), ..Seen::default() };
        assert!(is_silent(&seen, 2) && !is_silent(&seen, 1));
        assert!(!is_silent(&Seen { lost: (1, 0), ..seen }, 2));
    }
}
