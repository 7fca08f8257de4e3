//! The last free megabytes of a disk belong to others: below `min_free` nothing is written.
//!
//! Stopping and going on lie an eighth apart, so that a disk that hovers at the line does not make the sink say so each
//! tick. What counts is what an unprivileged process may use (f_bavail of statvfs(3)): root's reserve is for root's
//! repairs, not for metrics.

use std::fs::File;

/// The floor of one file system.
#[derive(Debug)]
pub(super) struct Space {
    floor: u64,
    below: bool,
}

/// What a file system says of itself, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Its size.
    pub(super) total: u64,
    /// What is free for unprivileged processes.
    pub(super) free: u64,
}

/// Asks the file system of `file`. None where it does not tell: some of FUSE give 0 blocks, and an error here must not
/// stop what can be written.
pub(super) fn room(file: &File) -> Option<Room> {
    let stat = rustix::fs::fstatvfs(file).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    (stat.f_blocks > 0).then(|| Room { total: bytes(stat.f_blocks), free: bytes(stat.f_bavail) })
}

impl Space {
    /// With `floor` bytes left to others; 0 leaves none.
    pub(super) fn new(floor: u64) -> Space {
        Space { floor, below: false }
    }

    /// Whether writing must stop with so much free.
    pub(super) fn is_short(&mut self, free: Option<u64>) -> bool {
        let line = if self.below { self.floor.saturating_add(self.floor / 8) } else { self.floor };
        self.below = free.is_some_and(|free| free < line);
        self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_at_the_floor_and_goes_on_an_eighth_above() {
        let mut space = Space::new(800);
        assert!(!space.is_short(Some(800)));
        assert!(space.is_short(Some(799)));
        assert!(space.is_short(Some(899)));
        assert!(!space.is_short(Some(900)));
        assert!(!space.is_short(Some(800)));
    }

    #[test]
    fn without_a_floor_or_an_answer_it_never_stops() {
        assert!(!Space::new(0).is_short(Some(0)));
        assert!(!Space::new(u64::MAX).is_short(None));
    }

    #[test]
    fn a_real_file_system_tells_its_room() {
        let room = room(&tempfile::tempfile().unwrap()).unwrap();
        assert!(room.total >= room.free && room.total > 0);
    }
}
