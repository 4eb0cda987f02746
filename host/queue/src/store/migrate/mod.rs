//! Moves everything that a store keeps to another one, which may be of the other kind.
//!
//! Rows are copied page by page, in the order of their keys. Each page is written in one transaction with a mark, which says how far
//! the move has come: after a crash the next run continues there. No server opens a store that has the mark. At the end both stores
//! are read as a whole, and the numbers and digests of all rows are compared, before the mark is removed.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::OpenError;

use super::postgres::{self, Settings};
use super::tables::{Sum, TABLES, Table, Values};
use super::whole::Whole;
use super::{StoreError, StoreUrl, sqlite};

/// How many rows are copied in one transaction, and are in memory.
const ROWS_A_PAGE: u32 = 100;

/// Why a store was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Both are the same store.
    #[error("FROM and TO are the same store; name another one as TO")]
    Same,
    /// There is nothing to move.
    #[error("there is no store {0}; check the path")]
    Missing(String),
    /// One of them cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The first store has to be opened by a server before it can be moved.
    #[error(
        "the store {0} cannot be moved yet: {1}; start the server on it, stop it with SIGTERM, then try again"
    )]
    Unfit(String, String),
    /// The second store is in use for something else.
    #[error(
        "the store {0} is not empty ({1}); name an empty database, or a file that does not exist"
    )]
    NotEmpty(String, String),
    /// A move from another store into this one has not finished.
    #[error(
        "a move from another store into {0} has not finished; finish that one, or name another store"
    )]
    Other(String),
    /// What was read back differs.
    #[error(
        "the table {table} of {to} differs from that of {from}: {to_rows} rows for {from_rows}; {from} was used in between, or the copy is damaged. Remove {to} and move again"
    )]
    Differs {
        /// The store that is moved.
        from: String,
        /// The store that it is moved to.
        to: String,
        /// The first table that differs.
        table: &'static str,
        /// How many rows the first one has.
        from_rows: u64,
        /// How many rows the second one has.
        to_rows: u64,
    },
    /// One of them has failed.
    #[error("the store {0} fails: {1}; run the command again, it continues where it was")]
    Failed(String, String),
}

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveProgress {
    /// True while rows are copied; false while both stores are read and compared.
    pub is_copying: bool,
    /// The table at which it is.
    pub table: &'static str,
    /// How many rows of it are done.
    pub rows: u64,
    /// How many rows it has.
    pub rows_in_all: u64,
}

/// A table that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTable {
    /// Its name.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// A digest of all rows, the same for both stores, as hexadecimal digits.
    pub digest: String,
}

/// How far rows are copied.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// A digest of the secret of the store that is moved.
    from: String,
    /// The table that is copied next, by its place in the list.
    table: usize,
    /// The last row that is copied.
    after: Option<Values>,
}

impl Mark {
    fn bytes(&self) -> Result<Vec<u8>, StoreError> {
        Ok(serde_json::to_vec(self)?)
    }
}

/// Moves a store to another one, or continues a move that was cut off. The first store stays as it is, and both have to stay unused
/// meanwhile, which is checked.
///
/// # Errors
/// If one of the stores cannot be opened, the second is not empty, or what was read back differs.
pub fn migrate_store(
    from: &StoreUrl,
    to: &StoreUrl,
    progress: &mut dyn FnMut(MoveProgress),
) -> Result<Vec<MovedTable>, MigrateError> {
    Move::new(from, to, Settings::default(), ROWS_A_PAGE).run(progress)
}

/// A move.
struct Move<'u> {
    from: &'u StoreUrl,
    to: &'u StoreUrl,
    settings: Settings,
    rows_a_page: u32,
}

impl<'u> Move<'u> {
    fn new(from: &'u StoreUrl, to: &'u StoreUrl, settings: Settings, rows_a_page: u32) -> Self {
        Self {
            from,
            to,
            settings,
            rows_a_page,
        }
    }

    fn run(&self, progress: &mut dyn FnMut(MoveProgress)) -> Result<Vec<MovedTable>, MigrateError> {
        if self.from == self.to {
            return Err(MigrateError::Same);
        }
        if let StoreUrl::Sqlite(path) = self.from
            && !path.exists()
        {
            return Err(MigrateError::Missing(self.from.to_string()));
        }
        let mut from = self.open(self.from)?;
        if from.mark().map_err(|e| self.source_fails(e))?.is_some() {
            from.let_go().map_err(|e| self.source_fails(e))?;
            return Err(OpenError::Unfinished(self.from.to_string().into()).into());
        }
        if let Some(why) = from.make_complete().map_err(|e| self.source_fails(e))? {
            from.let_go().map_err(|e| self.source_fails(e))?;
            return Err(MigrateError::Unfit(self.from.to_string(), why));
        }
        let mut to = match self.open(self.to) {
            Ok(to) => to,
            Err(error) => {
                from.close().map_err(|e| self.source_fails(e))?;
                return Err(error.into());
            }
        };
        let mark = match self.begin(&*from, &mut *to) {
            Ok(mark) => mark,
            Err(error) => {
                from.close().map_err(|e| self.source_fails(e))?;
                to.let_go().map_err(|e| self.target_fails(e))?;
                return Err(error);
            }
        };
        self.copy(&*from, &mut *to, mark, progress)?;
        to.derive().map_err(|e| self.target_fails(e))?;
        let moved = self.compare(&*from, &*to, progress)?;
        to.close().map_err(|e| self.target_fails(e))?;
        from.close().map_err(|e| self.source_fails(e))?;
        Ok(moved)
    }

    fn open(&self, url: &StoreUrl) -> Result<Box<dyn Whole>, OpenError> {
        Ok(match url {
            StoreUrl::Sqlite(path) => Box::new(sqlite::whole::open(path)?),
            StoreUrl::Postgres(database) => {
                Box::new(postgres::whole::open(database, &self.settings)?)
            }
        })
    }

    fn source_fails(&self, error: StoreError) -> MigrateError {
        MigrateError::Failed(self.from.to_string(), error.to_string())
    }

    fn target_fails(&self, error: StoreError) -> MigrateError {
        MigrateError::Failed(self.to.to_string(), error.to_string())
    }

    /// Returns where to go on; begins a move into an empty store.
    fn begin(&self, from: &dyn Whole, to: &mut dyn Whole) -> Result<Mark, MigrateError> {
        let facts = from.facts().map_err(|e| self.source_fails(e))?;
        let digest: [u8; 32] = Sha256::digest(&facts.secret).into();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(known) = to.mark().map_err(|e| self.target_fails(e))? {
            let known: Option<Mark> = serde_json::from_slice(&known).ok();
            return known
                .filter(|mark| mark.from == digest && mark.table <= TABLES.len())
                .ok_or_else(|| MigrateError::Other(self.to.to_string()));
        }
        for table in TABLES {
            let rows = to.count(table).map_err(|e| self.target_fails(e))?;
            if rows > 0 {
                let found = format!("{rows} rows in {}", table.name);
                return Err(MigrateError::NotEmpty(self.to.to_string(), found));
            }
        }
        let mark = Mark {
            from: digest,
            table: 0,
            after: None,
        };
        let begun = mark.bytes().and_then(|bytes| to.set_facts(&facts, &bytes));
        begun.map_err(|e| self.target_fails(e))?;
        Ok(mark)
    }

    fn copy(
        &self,
        from: &dyn Whole,
        to: &mut dyn Whole,
        mut mark: Mark,
        progress: &mut dyn FnMut(MoveProgress),
    ) -> Result<(), MigrateError> {
        while let Some(table) = TABLES.get(mark.table) {
            let rows_in_all = from.count(table).map_err(|e| self.source_fails(e))?;
            let mut rows = match mark.after {
                Some(_) => to.count(table).map_err(|e| self.target_fails(e))?,
                None => 0,
            };
            loop {
                let page = from.page(table, mark.after.as_ref(), self.rows_a_page);
                let page = page.map_err(|e| self.source_fails(e))?;
                let Some(last) = page.last() else { break };
                mark.after = Some(table.key_of(from.key(table), last));
                let added = mark.bytes().and_then(|mark| to.add(table, &page, &mark));
                added.map_err(|e| self.target_fails(e))?;
                rows += page.len() as u64;
                progress(MoveProgress {
                    is_copying: true,
                    table: table.name,
                    rows,
                    rows_in_all,
                });
            }
            mark.table += 1;
            mark.after = None;
            let noted = mark.bytes().and_then(|mark| to.add(table, &[], &mark));
            noted.map_err(|e| self.target_fails(e))?;
        }
        Ok(())
    }

    /// Reads both stores as a whole; returns what they have in common, which is everything.
    fn compare(
        &self,
        from: &dyn Whole,
        to: &dyn Whole,
        progress: &mut dyn FnMut(MoveProgress),
    ) -> Result<Vec<MovedTable>, MigrateError> {
        let differs = |table, from: Sum, to: Sum| MigrateError::Differs {
            from: self.from.to_string(),
            to: self.to.to_string(),
            table,
            from_rows: from.rows,
            to_rows: to.rows,
        };
        let facts = |whole: &dyn Whole| {
            let mut sum = Sum::default();
            sum.add(&whole.facts()?.row());
            Ok::<_, StoreError>(sum)
        };
        let (ours, theirs) = (
            facts(from).map_err(|e| self.source_fails(e))?,
            facts(to).map_err(|e| self.target_fails(e))?,
        );
        if ours != theirs {
            return Err(differs("meta", ours, theirs));
        }
        let mut moved = Vec::new();
        for table in TABLES {
            let rows_in_all = from.count(table).map_err(|e| self.source_fails(e))?;
            let mut shown = |rows| {
                progress(MoveProgress {
                    is_copying: false,
                    table: table.name,
                    rows,
                    rows_in_all,
                });
            };
            let ours = self.sum(from, table, &mut |_| {});
            let ours = ours.map_err(|e| self.source_fails(e))?;
            let theirs = self.sum(to, table, &mut shown);
            let theirs = theirs.map_err(|e| self.target_fails(e))?;
            if ours != theirs {
                return Err(differs(table.name, ours, theirs));
            }
            moved.push(MovedTable {
                table: table.name,
                rows: ours.rows,
                digest: ours.hex(),
            });
        }
        Ok(moved)
    }

    fn sum(
        &self,
        of: &dyn Whole,
        table: &Table,
        shown: &mut dyn FnMut(u64),
    ) -> Result<Sum, StoreError> {
        let mut sum = Sum::default();
        let mut after = None;
        loop {
            let page = of.page(table, after.as_ref(), self.rows_a_page)?;
            let Some(last) = page.last() else {
                return Ok(sum);
            };
            after = Some(table.key_of(of.key(table), last));
            for row in &page {
                sum.add(row);
            }
            shown(sum.rows);
        }
    }
}
