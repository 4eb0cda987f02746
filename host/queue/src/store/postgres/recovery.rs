//! Recovery: reads what the last server left.

use alert_manager_core::alert::DeliveryId;

use crate::model::{Abandoned, Owner, Reason, Row, State};
use crate::store::codes::reason_code;
use crate::store::{Found, StoreError};

use super::rows::{self, PAGE, ROW};
use super::session::Session;
use super::term::Term;
use super::values::Columns as _;
use super::{gates, grants, meta, storms, timers, unreported};

/// Implements [`Store::recover`](crate::store::Store::recover), within one snapshot.
pub(super) fn recover(
    session: &Session,
    term: &Term,
    each: impl FnMut(Row, Option<Abandoned>),
) -> Result<Found, StoreError> {
    session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let found = read(session, term, each);
    session.batch("ROLLBACK")?;
    found
}

fn read(
    session: &Session,
    term: &Term,
    mut each: impl FnMut(Row, Option<Abandoned>),
) -> Result<Found, StoreError> {
    let mut last = i64::MIN;
    loop {
        let sql = format!(
            "SELECT {ROW} FROM deliveries WHERE state < 3 AND id > $1 ORDER BY id LIMIT $2"
        );
        let page = session.query(sql, &[&last, &PAGE])?;
        for columns in &page {
            let row = rows::read(columns)?;
            last = row.id.as_raw();
            let abandoned = (row.state == State::Running).then_some(Abandoned::Started);
            each(row, abandoned);
        }
        if (page.len() as i64) < PAGE {
            break;
        }
    }
    Ok(Found {
        last_end: term.last_end(),
        owner: Owner(term.server().cast_unsigned()),
        last_id: meta::last_id(session)?,
        secret: meta::secret(session)?,
        dead_letters: count_dead_letters(session)?,
        is_unreported: unreported::is_any(session)?,
        watched: watched(session)?,
        storms: storms::open(session)?,
        closed_gates: gates::closed(session)?,
        timers: timers::all(session)?,
        grants_used: grants::used(session)?,
    })
}

fn count_dead_letters(session: &Session) -> Result<u64, StoreError> {
    let counted = session.one(
        "SELECT count(*) FROM deliveries WHERE state = 4 AND reason IS DISTINCT FROM $1",
        &[&reason_code(Reason::Cancelled)],
    )?;
    Ok(counted.int(0)?.unsigned_abs())
}

/// Returns the unsettled deliveries whose end may end a notice, with their routes.
fn watched(session: &Session) -> Result<Vec<(DeliveryId, String)>, StoreError> {
    let found = session.query(
        "SELECT id, route FROM deliveries
         WHERE state < 3 AND (revived_at IS NOT NULL OR route LIKE 'dead-letter%')
         ORDER BY id",
        &[],
    )?;
    let watched = |row: &tokio_postgres::Row| Ok((DeliveryId::from_raw(row.int(0)?), row.text(1)?));
    found.iter().map(watched).collect()
}
