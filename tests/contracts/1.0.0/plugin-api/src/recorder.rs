//! Where a collector puts what it read.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::abi::{Note, RawFrame, RowHead};
use crate::cell::{Cell, IntoCell};
use crate::schema::{ColumnId, ScalarId, TableId};
use sealed::Sealed;

/// The reading being taken: every declared metric is null until it is set.
///
/// Nothing here fails. What goes beyond the reading's budget is cut and counted, and the agent marks the section `partial`
/// and says what was cut: 10,000 rows, 100,000 cells, 1 MiB of text and 1,000 failed parts, unless `budget` in `plugin.toml` or a
/// table's `max_rows` says otherwise.
///
/// ```
/// use plugin_api::{ColumnId, Error, Recorder, ScalarId, TableId};
///
/// struct Ids {
///     load: ScalarId,
///     model: ScalarId,
///     interfaces: TableId,
///     received: ColumnId,
/// }
///
/// fn record(out: &mut Recorder, ids: &Ids) {
///     out.set(ids.load, 0.52);
///     out.set_text(ids.model, "EPYC 7702");
///     out.row(ids.interfaces, "eth0").set(ids.received, 25_077_u64);
///     out.row(ids.interfaces, "eth1").set(ids.received, None::<u64>); // null: not known
///     out.row_failed(ids.interfaces, "eth2", "the driver does not answer");
///     out.part_failed("sensors", &Error::failed("could not read temp1_input"));
/// }
/// ```
pub struct Recorder<'frame> {
    frame: &'frame mut RawFrame,
    started: Instant,
}

impl<'frame> Recorder<'frame> {
    pub(crate) fn new(frame: &'frame mut RawFrame) -> Recorder<'frame> {
        Recorder { frame, started: Instant::now() }
    }

    /// Sets a metric, in the unit that `plugin.toml` declares: nothing is converted. `None` is null, which is not 0. A state is
    /// set by its index in `values`, a time in nanoseconds since the Unix epoch.
    ///
    /// A value that is not of the declared type is refused by the agent, counted in `agent.collectors.NAME.refused`, and null; any
    /// integer fits `f64`, and one that is not negative fits `u64`. A float that is not finite is refused too.
    pub fn set(&mut self, metric: ScalarId, value: impl IntoCell) {
        self.put(metric, value.into_cell());
    }

    /// Sets a metric that is text, a gauge's or an info. U+0000, which JSONB cannot hold, becomes U+FFFD.
    pub fn set_text(&mut self, metric: ScalarId, text: &str) {
        if let Some(place) = self.frame.push_text(text.as_bytes()) {
            self.put(metric, Cell::text(place.offset, place.len));
        }
    }

    fn put(&mut self, metric: ScalarId, cell: Cell) {
        if let Some(slot) = self.frame.cells.used().get_mut(metric.0 as usize) {
            *slot = cell;
        }
    }

    /// Begins a row: `out.row(interfaces, "eth0")`, or with several keys `out.row(processes, ["7", "init"])`.
    /// Keys may come and go from one reading to the next; of two rows with the same key the later one counts. An empty key is
    /// refused, and its row counted and dropped.
    ///
    /// # Panics
    /// Where the number of keys is not the declared one.
    #[track_caller]
    pub fn row(&mut self, table: TableId, key: impl RowKey) -> Row<'_> {
        let first = key.with(|keys| {
            assert!(
                keys.len() == table.keys as usize,
                "{} keys were given for a row, and plugin.toml declares {} for its table",
                keys.len(),
                table.keys
            );
            self.frame.push_row(table.place, keys, table.columns as usize)
        });
        Row { frame: self.frame, table, first }
    }

    /// Says that a row could not be read: it stands in the section with what is known of it, and with this error in
    /// `_errors`. Where the row is at hand, [`Row::failed`] does the same. Of an [`Error`](crate::Error) give the [chain](crate::Error::chain).
    ///
    /// # Panics
    /// Where there is no such row yet and the number of keys is not the declared one.
    pub fn row_failed(&mut self, table: TableId, key: impl RowKey, message: &str) {
        let known = key.with(|keys| self.find(table, keys));
        if let Some(first) = known.or_else(|| self.row(table, key).first) {
            self.frame.push_note(first, b"", message.as_bytes());
        }
    }

    fn find(&mut self, table: TableId, keys: &[&[u8]]) -> Option<u32> {
        let RawFrame { rows, cells, text, .. } = &mut *self.frame;
        let (cells, text) = (cells.used(), text.used());
        let is_it = |row: &&RowHead| {
            row.table == table.place
                && keys.iter().zip(&cells[row.first as usize..]).all(|(key, cell)| {
                    let from = cell.bits as usize;
                    text.get(from..from + cell.aux as usize) == Some(*key)
                })
        };
        rows.used().iter().rev().find(is_it).map(|row| row.first)
    }

    /// Says that a part of the reading failed, by a name of its own: `out.part_failed("connections", &error)`.
    /// What was set stands, the section is `partial`, and `_errors` has the message under that name.
    pub fn part_failed(&mut self, part: &str, error: impl PartError) {
        error.with(|message| self.frame.push_note(Note::PART, part.as_bytes(), message.as_bytes()));
    }

    /// When the call has run out of its time, the `timeout` of the collector: past it the reading is thrown away. For a collector that
    /// asks others and can choose to wait less.
    ///
    /// ```
    /// # use plugin_api::{Error, Recorder};
    /// use std::time::Instant;
    ///
    /// fn ask(server: &std::net::UdpSocket, out: &Recorder) -> Result<(), Error> {
    ///     let left = out.deadline().saturating_duration_since(Instant::now());
    ///     server.set_read_timeout(Some(left / 2).filter(|time| !time.is_zero()))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn deadline(&self) -> Instant {
        self.started + Duration::from_nanos(self.frame.time_left_ns)
    }
}

/// A row being filled. Columns that are not set are null.
pub struct Row<'recorder> {
    frame: &'recorder mut RawFrame,
    table: TableId,
    /// Where its cells begin; none where it found no room.
    first: Option<u32>,
}

impl Row<'_> {
    /// Sets a column, as [`Recorder::set`] does a metric.
    ///
    /// # Panics
    /// Where the column is another table's.
    pub fn set(&mut self, column: ColumnId, value: impl IntoCell) {
        self.put(column, value.into_cell());
    }

    /// Sets a column that is text.
    ///
    /// # Panics
    /// Where the column is another table's.
    pub fn set_text(&mut self, column: ColumnId, text: &str) {
        if self.first.is_some()
            && let Some(place) = self.frame.push_text(text.as_bytes())
        {
            self.put(column, Cell::text(place.offset, place.len));
        }
    }

    /// Says that this row could not be read wholly: `_errors` has the message, and the section is `partial`.
    pub fn failed(&mut self, message: &str) {
        if let Some(first) = self.first {
            self.frame.push_note(first, b"", message.as_bytes());
        }
    }

    fn put(&mut self, column: ColumnId, cell: Cell) {
        assert!(column.table == self.table.place, "this column belongs to another table");
        if let Some(first) = self.first {
            self.frame.cells.used()[(first + self.table.keys + column.place) as usize] = cell;
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for &str {}
    impl Sealed for &[u8] {}
    impl<const N: usize> Sealed for [&str; N] {}
    impl Sealed for &crate::Error {}
}

/// What names a row: a text, or one text a key. Only this crate implements it, so that it can grow.
pub trait RowKey: Copy + Sealed {
    #[doc(hidden)]
    fn with<T>(self, use_keys: impl FnOnce(&[&[u8]]) -> T) -> T;
}

impl RowKey for &str {
    fn with<T>(self, use_keys: impl FnOnce(&[&[u8]]) -> T) -> T {
        use_keys(&[self.as_bytes()])
    }
}

/// Names from the kernel are bytes; what is not UTF-8 in them becomes U+FFFD in the agent.
impl RowKey for &[u8] {
    fn with<T>(self, use_keys: impl FnOnce(&[&[u8]]) -> T) -> T {
        use_keys(&[self])
    }
}

impl<const N: usize> RowKey for [&str; N] {
    fn with<T>(self, use_keys: impl FnOnce(&[&[u8]]) -> T) -> T {
        use_keys(&self.map(str::as_bytes))
    }
}

/// What is said of a part that failed: a text, or an error with its causes. Only this crate implements it, so that it can grow.
pub trait PartError: Sealed {
    #[doc(hidden)]
    fn with(self, use_message: impl FnOnce(&str));
}

impl PartError for &str {
    fn with(self, use_message: impl FnOnce(&str)) {
        use_message(self);
    }
}

impl PartError for &crate::Error {
    fn with(self, use_message: impl FnOnce(&str)) {
        use_message(&self.chain());
    }
}
