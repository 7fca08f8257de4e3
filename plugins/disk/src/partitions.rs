//! The table of mounts, and who asks for their space.
//!
//! A file system may never answer: a dead server, a daemon that hangs. So a worker asks (`workers`), and a reading
//! waits for it no longer than [`WAIT`]. But a hand-over wakes two threads: with cpu and disk at 1 s the whole agent
//! made 4.4 context switches a cycle with it and 2.0 without (2 cores, Linux 6.18). So a mount that can only answer
//! from memory (`mounts` says how that is known) and has once answered the worker quickly is asked here, in the
//! reading. Asking the worker one reading ahead would save one of the two switches, and make every number old.

use std::time::{Duration, Instant};

use plugin_api::{ColumnId, Error, Host, Recorder, Row, Schema, Space, TableId};

use crate::mounts::{Answer, Mounts, Shown};
use crate::workers::{Answered, Question, Workers};

/// How long a reading waits for answers: half of the 20 ms after which the agent takes a call for hanging.
const WAIT: Duration = Duration::from_millis(10);
/// How long the first answers are waited for, when the collector is made: a loaded machine may need that to start a thread.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// What answers within this is trusted to do so again.
const QUICK: Duration = Duration::from_millis(5);
/// How much longer than its pace an answer of a slow file system is shown.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Partitions {
    host: Host,
    mounts: Mounts,
    workers: Workers,
    columns: Columns,
    next_question: u64,
    /// Reused: what is to be asked and what was answered.
    questions: Vec<Question>,
    answers: Vec<Answered>,
}

struct Columns {
    table: TableId,
    device: ColumnId,
    fstype: ColumnId,
    total_bytes: ColumnId,
    used_bytes: ColumnId,
    free_bytes: ColumnId,
    usage_percent: ColumnId,
    inodes_total: ColumnId,
    inodes_used: ColumnId,
    inodes_free: ColumnId,
    inodes_usage_percent: ColumnId,
}

impl Partitions {
    pub(crate) fn new(
        wanted: &[String],
        fstypes: Option<&[String]>,
        host: &Host,
        schema: &mut Schema,
    ) -> Result<Partitions, Error> {
        let mut partitions = Partitions {
            host: host.clone(),
            mounts: Mounts::new(wanted, fstypes, host),
            workers: Workers::new(host),
            columns: Columns::new(schema)?,
            next_question: 0,
            questions: Vec::new(),
            answers: Vec::new(),
        };
        // What fails here fails again at the first reading, and is said there.
        if partitions.ask().is_ok() && partitions.workers.wait(Instant::now() + FIRST_WAIT).is_ok() {
            partitions.take_answers();
        }
        Ok(partitions)
    }

    /// Sends the worker off. It is at work while the rest of the reading is taken.
    pub(crate) fn ask(&mut self) -> Result<(), Error> {
        let listed = self.mounts.refresh();
        let now = Instant::now();
        for shown in &mut self.mounts.shown {
            if shown.question.is_none() && !shown.trusted && shown.is_due(now) {
                let id = self.next_question;
                self.next_question += 1;
                shown.question = Some(id);
                let is_slow = !shown.pace.is_zero();
                self.questions.push(Question { id, path: shown.path.clone(), is_slow });
            }
        }
        self.workers.ask(&mut self.questions)?;
        listed
    }

    /// Asks the trusted, waits for the others and fills the table.
    pub(crate) fn collect(&mut self, out: &mut Recorder) -> Result<(), Error> {
        for shown in self.mounts.shown.iter_mut().filter(|shown| shown.trusted) {
            let asked = Instant::now();
            let space = self.host.statvfs(&*shown.path);
            let at = Instant::now();
            shown.trusted = at - asked < QUICK;
            shown.answer = Some(Answer { at, space, is_new: true });
        }
        let waited = self.workers.wait(out.deadline().min(Instant::now() + WAIT));
        self.take_answers();
        let now = Instant::now();
        for shown in &mut self.mounts.shown {
            let mut row = out.row(self.columns.table, shown.path.as_os_str().as_encoded_bytes());
            row.set_text(self.columns.device, &shown.device);
            row.set_text(self.columns.fstype, &shown.fstype);
            match shown.current(now) {
                Some(Ok(space)) => self.columns.fill(&mut row, space),
                Some(Err(error)) => row.failed(&error.chain()),
                None if shown.question.is_some_and(|question| self.workers.is_with(question)) => {
                    row.failed("stalled: the file system does not answer");
                }
                None => row.failed("not asked yet: other file systems do not answer"),
            }
            if let Some(answer) = &mut shown.answer {
                answer.is_new = false;
            }
        }
        waited
    }

    fn take_answers(&mut self) {
        self.workers.take(&mut self.answers);
        let shown = &mut self.mounts.shown;
        // Answers come in the order of the questions, which is that of the mounts: each is sought behind the one before.
        let mut next = 0;
        for answered in self.answers.drain(..) {
            let mut places = (next..shown.len()).chain(0..next);
            // None: it was unmounted in the meantime.
            if let Some(place) = places.find(|&place| shown[place].question == Some(answered.id)) {
                next = place + 1;
                let shown = &mut shown[place];
                shown.question = None;
                shown.trusted = shown.near && answered.took < QUICK;
                shown.answer = Some(Answer { at: answered.at, space: answered.space, is_new: true });
            }
        }
    }
}

impl Shown {
    fn is_due(&self, now: Instant) -> bool {
        self.answer.as_ref().is_none_or(|answer| now.saturating_duration_since(answer.at) >= self.pace)
    }

    /// What is known of it now: what it said since the last reading, or, asked at its own pace, not too long ago.
    fn current(&self, now: Instant) -> Option<&Result<Space, Error>> {
        let answer = self.answer.as_ref()?;
        let is_young = !self.pace.is_zero() && now.saturating_duration_since(answer.at) < self.pace + GRACE;
        (answer.is_new || is_young).then_some(&answer.space)
    }
}

impl Columns {
    fn new(schema: &mut Schema) -> Result<Columns, Error> {
        let mut table = schema.table("partitions")?;
        Ok(Columns {
            device: table.column("device")?,
            fstype: table.column("fstype")?,
            total_bytes: table.column("total_bytes")?,
            used_bytes: table.column("used_bytes")?,
            free_bytes: table.column("free_bytes")?,
            usage_percent: table.column("usage_percent")?,
            inodes_total: table.column("inodes_total")?,
            inodes_used: table.column("inodes_used")?,
            inodes_free: table.column("inodes_free")?,
            inodes_usage_percent: table.column("inodes_usage_percent")?,
            table: table.id(),
        })
    }

    fn fill(&self, row: &mut Row, space: &Space) {
        // A file system that claims to have more free than it has is not believed in part: what follows is null.
        let used = space.total_bytes.checked_sub(space.free_bytes);
        row.set(self.total_bytes, space.total_bytes);
        row.set(self.used_bytes, used);
        row.set(self.free_bytes, space.available_bytes);
        row.set(self.usage_percent, used.and_then(|used| percent(used, used.checked_add(space.available_bytes)?)));
        if space.inodes_total > 0 {
            let used = space.inodes_total.checked_sub(space.inodes_free);
            row.set(self.inodes_total, space.inodes_total);
            row.set(self.inodes_used, used);
            row.set(self.inodes_free, space.inodes_free);
            row.set(self.inodes_usage_percent, used.and_then(|used| percent(used, space.inodes_total)));
        }
    }
}

/// To four decimals, as the agent rounds what it derives.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (1e6 * part as f64 / whole as f64).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shown(pace: Duration, at: Instant, is_new: bool) -> Shown {
        let mut shown = Shown::new(1, Path::new("/mnt").into());
        shown.pace = pace;
        shown.answer = Some(Answer { at, space: Ok(Space::default()), is_new });
        shown
    }

    #[test]
    fn a_fast_file_system_is_asked_at_every_reading_and_shown_in_none_but_its_own() {
        let now = Instant::now();
        assert!(shown(Duration::ZERO, now, false).is_due(now));
        assert!(shown(Duration::ZERO, now, true).current(now).is_some());
        assert!(shown(Duration::ZERO, now, false).current(now).is_none());
    }

    #[test]
    fn a_slow_file_system_is_asked_at_its_pace_and_shown_a_little_longer() {
        let (at, pace) = (Instant::now(), Duration::from_secs(30));
        let after = |seconds| at + Duration::from_secs(seconds);
        assert!(!shown(pace, at, false).is_due(after(29)));
        assert!(shown(pace, at, false).is_due(after(30)));
        assert!(shown(pace, at, false).current(after(34)).is_some());
        assert!(shown(pace, at, false).current(after(35)).is_none());
        assert!(shown(pace, at, true).current(after(60)).is_some(), "it came since the last reading, a minute ago");
    }

    #[test]
    fn percentages_leave_out_what_is_reserved_and_know_no_division_by_nothing() {
        assert_eq!(percent(60, 95), Some(63.1579));
        assert_eq!(percent(0, 0), None);
    }
}
