//! What a server without the term sees of the one that has it.

use crate::model::{Elsewhere, Reason};
use crate::store::StoreError;
use crate::store::codes::reason_code;

use super::session::Session;
use super::values::Columns as _;

/// Implements [`Replica::count`](crate::store::Replica::count).
pub(super) fn count(session: &Session, most: usize) -> Result<Elsewhere, StoreError> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let row = session.one(
        "SELECT open.*,
             (SELECT count(*) FROM (SELECT FROM arrivals LIMIT $1) AS a),
             (SELECT count(*) FROM
                 (SELECT FROM deliveries WHERE state = 4 AND reason IS DISTINCT FROM $2 LIMIT $1) AS d),
             (SELECT max(id) FROM deliveries),
             (SELECT max(settled_at) FROM deliveries WHERE state >= 3 AND state = 3),
             (SELECT max(settled_at) FROM deliveries WHERE state >= 3 AND state = 4)
         FROM (SELECT count(*) FILTER (WHERE representative IS NOT NULL),
                 count(*) FILTER (WHERE state = 0 AND representative IS NULL),
                 count(*) FILTER (WHERE state = 1 AND representative IS NULL),
                 count(*) FILTER (WHERE state = 2 AND representative IS NULL)
             FROM (SELECT state, representative FROM deliveries WHERE state < 3 LIMIT $1) AS o) AS open",
        &[&most, &reason_code(Reason::Cancelled)],
    )?;
    let count = |column| {
        row.int(column)
            .map(|count| usize::try_from(count).unwrap_or(0))
    };
    Ok(Elsewhere {
        members: count(0)?,
        queued: count(1)? + count(4)?,
        running: count(2)?,
        retrying: count(3)?,
        dead: row.int(5)?.unsigned_abs(),
        latest: [row.maybe_int(6)?, row.maybe_int(7)?, row.maybe_int(8)?],
    })
}
