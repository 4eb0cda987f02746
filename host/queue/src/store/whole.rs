//! A store as a whole, as it is read and written when it is moved.

use super::StoreError;
use super::tables::{Table, Value, Values};

/// What the mark is stored as in the table `meta`.
pub(crate) const MARK: &str = "moved_from";

/// Single values of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The store's own random secret.
    pub(crate) secret: Vec<u8>,
    /// The last identifier that was assigned.
    pub(crate) last_id: i64,
    /// The alarms that were raised and have not ended.
    pub(crate) alarms: Vec<u8>,
    /// When the store began to keep which grants are used, in milliseconds since 1970.
    pub(crate) grants_used_since: i64,
}

impl Facts {
    pub(super) fn row(&self) -> Values {
        vec![
            Value::Bytes(self.secret.clone()),
            Value::Int(self.last_id),
            Value::Bytes(self.alarms.clone()),
            Value::Int(self.grants_used_since),
        ]
    }
}

/// A store that is moved, or moved into, and that no server uses meanwhile. One that is dropped is left as by a crash.
pub(crate) trait Whole {
    /// Makes the store complete in its tables; returns why it cannot be moved, if it cannot.
    fn make_complete(&mut self) -> Result<Option<String>, StoreError>;

    /// Returns the mark of a move into this store that has not finished.
    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the columns in whose order [`Self::page`] reads a table.
    fn key(&self, table: &Table) -> &'static [&'static str];

    /// Returns how many rows a table has.
    fn count(&self, table: &Table) -> Result<u64, StoreError>;

    /// Returns at most `rows_max` rows after this key, in the order of keys.
    fn page(
        &self,
        table: &Table,
        after: Option<&Values>,
        rows_max: u32,
    ) -> Result<Vec<Values>, StoreError>;

    /// Adds rows, and sets the mark, in one transaction.
    fn add(&mut self, table: &Table, rows: &[Values], mark: &[u8]) -> Result<(), StoreError>;

    fn facts(&self) -> Result<Facts, StoreError>;

    /// Sets the facts and the mark, in one transaction.
    fn set_facts(&mut self, facts: &Facts, mark: &[u8]) -> Result<(), StoreError>;

    /// Computes what is derived from the rows. May be repeated.
    fn derive(&mut self) -> Result<(), StoreError>;

    /// Removes the mark, if there is one, and closes the store as a server does.
    fn close(self: Box<Self>) -> Result<(), StoreError>;

    /// Closes a store that was not changed.
    fn let_go(self: Box<Self>) -> Result<(), StoreError>;
}
