//! A lane: a connection that writes, with the number of its transactions, by which one is found again whose commit was not answered.

use std::sync::Arc;

use crate::store::{Committed, Resolved, StoreError};

use super::database::Database;
use super::session::{Call, Io, Purpose, Session, args};
use super::term;
use super::values::Columns as _;

/// The error of a commit that came with a warning. What waited for a synchronous standby and was cancelled is committed here, and may
/// not be there. Whatever is committed later waits for the standby too, and with it for this.
fn unconfirmed(why: &str) -> StoreError {
    StoreError::Away(format!(
        "what was committed may not outlive a fail-over: {why}"
    ))
}

/// A connection that writes.
#[derive(Debug)]
pub(super) struct Lane {
    io: Arc<Io>,
    database: Database,
    server: i64,
    lane: i64,
    /// Absent after it has failed, until the next transaction.
    session: Option<Session>,
    /// How many transactions were committed, as this server knows. In its row of `lanes` a committed transaction has raised that.
    n: i64,
}

impl Lane {
    /// Wraps the connection of a lane that has a row and no transactions yet.
    pub(super) fn new(
        io: &Arc<Io>,
        database: &Database,
        (server, lane): (i64, i64),
        session: Session,
    ) -> Self {
        Self {
            io: Arc::clone(io),
            database: database.clone(),
            server,
            lane,
            session: Some(session),
            n: 0,
        }
    }

    /// Returns the connection of a transaction that is open.
    pub(super) fn session(&self) -> Result<&Session, StoreError> {
        let session = self.session.as_ref();
        session.ok_or_else(|| StoreError::Away("the connection to the database is lost".into()))
    }

    /// Returns true if nothing can be sent before [`Self::ensure`].
    pub(super) fn is_lost(&self) -> bool {
        self.session.as_ref().is_none_or(Session::is_closed)
    }

    /// Connects again, if the connection is lost. Waits for a transaction of the connection before that has not ended yet.
    pub(super) fn ensure(&mut self) -> Result<(), StoreError> {
        if self.is_lost() {
            self.n = self.reconnect()?;
        }
        Ok(())
    }

    fn reconnect(&mut self) -> Result<i64, StoreError> {
        self.session = None;
        let session = Session::connect(&self.io, &self.database, Purpose::Write)?;
        let served = term::served(self.server, self.lane);
        let rows = session.together(&[served])?.pop().unwrap_or_default();
        let n = rows.first().ok_or(StoreError::Fenced)?.int(0)?;
        if let Some(why) = session.take_warning() {
            return Err(unconfirmed(&why));
        }
        self.session = Some(session);
        Ok(n)
    }

    /// Returns what raises the number of the lane, which returns the time of the database; no row if the lane is not this server's
    /// any more.
    pub(super) fn raise<'a>(&self) -> Call<'a> {
        Call::new(
            "UPDATE lanes SET n = n + 1 WHERE server = $1 AND lane = $2 AND n = $3
             RETURNING floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            args![self.server, self.lane, self.n],
        )
    }

    /// Sends the last statements of a transaction, and its COMMIT.
    pub(super) fn commit(&mut self, mut last: Vec<Call<'_>>) -> Committed {
        last.push(Call::new("COMMIT", args![]));
        let (ended, warning) = match self.session() {
            Ok(session) => {
                session.take_warning();
                (session.together(&last), session.take_warning())
            }
            Err(error) => return Committed::RolledBack(error),
        };
        match ended {
            Ok(_) => match warning {
                None => {
                    self.n += 1;
                    Committed::Yes
                }
                Some(why) => {
                    tracing::warn!("{}", unconfirmed(&why));
                    self.session = None;
                    Committed::Unknown
                }
            },
            // The database has answered, and the answer is no.
            Err(error) if self.session.as_ref().is_some_and(Session::is_refused) => {
                self.roll_back();
                Committed::RolledBack(error)
            }
            Err(_) => {
                self.session = None;
                Committed::Unknown
            }
        }
    }

    /// Returns what became of a transaction, after [`Committed::Unknown`].
    pub(super) fn resolve(&mut self) -> Result<Resolved, StoreError> {
        let n = match self.reconnect() {
            Ok(n) => n,
            // Others have taken over long ago. What was sent again is a duplicate there.
            Err(StoreError::Fenced) => return Ok(Resolved::RolledBack),
            Err(error) => return Err(error),
        };
        let was_committed = n > self.n;
        self.n = n;
        Ok(match was_committed {
            true => Resolved::Committed,
            false => Resolved::RolledBack,
        })
    }

    pub(super) fn roll_back(&mut self) {
        let rolled_back = self.session().and_then(|session| session.batch("ROLLBACK"));
        if rolled_back.is_err() {
            // The database rolls back what a lost connection has left.
            self.session = None;
        }
    }
}
