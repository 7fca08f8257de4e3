//! Names to handles: what a collector does once, so that a reading names nothing.
#![forbid(unsafe_code)]

use abi_stable::std_types::{RResult, RStr};

use crate::Error;
use crate::abi::{HostObject, Resolve};

/// The handle of a metric outside any table, for [`crate::Recorder::set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalarId(pub(crate) u32);

/// The handle of a table, for [`crate::Recorder::row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId {
    pub(crate) place: u32,
    pub(crate) keys: u32,
    pub(crate) columns: u32,
}

/// The handle of a column, for [`crate::Row::set`] in a row of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnId {
    pub(crate) table: u32,
    pub(crate) place: u32,
}

/// What `plugin.toml` declares, as the agent has read it: the one place where names are looked up, once, when a collector is made.
///
/// A handle of a metric that its `when` turns off is valid; what is set through it goes nowhere. Names with dots are given whole.
///
/// ```
/// use plugin_api::{ColumnId, Error, ScalarId, Schema, TableId};
///
/// struct Ids {
///     established: ScalarId,
///     interfaces: TableId,
///     received: ColumnId,
/// }
///
/// fn resolve(schema: &mut Schema) -> Result<Ids, Error> {
///     let mut interfaces = schema.table("interfaces")?;
///     Ok(Ids {
///         received: interfaces.column("received_bytes")?,
///         interfaces: interfaces.id(),
///         established: schema.scalar("connections.tcp.established")?,
///     })
/// }
/// ```
pub struct Schema<'host> {
    host: &'host HostObject,
}

impl<'host> Schema<'host> {
    pub(crate) fn new(host: &'host HostObject) -> Schema<'host> {
        Schema { host }
    }

    /// The metric of this name.
    ///
    /// # Errors
    /// It is not declared (the nearest declared name is said), or it is derived by the agent.
    pub fn scalar(&mut self, name: &str) -> Result<ScalarId, Error> {
        Ok(ScalarId(self.resolve(Resolve::SCALAR, 0, name)? as u32))
    }

    /// The table of this name.
    ///
    /// # Errors
    /// It is not declared (the nearest declared name is said).
    pub fn table(&mut self, name: &str) -> Result<Table<'_, 'host>, Error> {
        let packed = self.resolve(Resolve::TABLE, 0, name)?;
        let id = TableId { place: packed as u32, keys: (packed >> 32) as u32 & 0xffff, columns: (packed >> 48) as u32 };
        Ok(Table { schema: self, id })
    }

    fn resolve(&self, what: Resolve, table: u32, name: &str) -> Result<u64, Error> {
        match self.host.resolve(what, table, RStr::from_str(name)) {
            RResult::ROk(packed) => Ok(packed),
            RResult::RErr(message) => Err(Error::failed(message.into_string())),
        }
    }
}

/// A table being resolved.
pub struct Table<'schema, 'host> {
    schema: &'schema mut Schema<'host>,
    id: TableId,
}

impl Table<'_, '_> {
    /// The handle that [`crate::Recorder::row`] takes.
    pub fn id(&self) -> TableId {
        self.id
    }

    /// The column of this name.
    ///
    /// # Errors
    /// It is not declared in this table (the nearest column is said), or it is derived by the agent.
    pub fn column(&mut self, name: &str) -> Result<ColumnId, Error> {
        let place = self.schema.resolve(Resolve::COLUMN, self.id.place, name)? as u32;
        Ok(ColumnId { table: self.id.place, place })
    }
}
