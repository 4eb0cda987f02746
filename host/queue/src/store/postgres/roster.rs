//! The list of the servers that have the database open.

use std::time::Duration;

use crate::model::clock::from_millis;
use crate::model::{ReplicaAbout, ServedHandler};
use crate::store::StoreError;
use crate::store::roster::{Listed, Roster};

use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// How many servers are listed at most: the newest.
const LISTED_MAX: i64 = 1_000;

/// After which time without a beat a server is taken off the list.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// Shows that this server is there, under this number as one that takes part, and reads the list. Takes those off it that are gone.
/// Returns whether this server is on it: not before it has said what it is.
pub(super) fn beat(session: &Session, roster: &Roster, server: i64) -> Result<bool, StoreError> {
    let about = roster.about();
    if let Some(about) = &about {
        session.together(&[put(roster.id(), server, about)?])?;
    }
    roster.note(list(session)?);
    forget(session, &roster.silent(FORGOTTEN_AFTER))?;
    Ok(about.is_some())
}

/// Takes servers off the list that have not beaten more often than this.
pub(super) fn forget(session: &Session, silent: &[(i64, i64)]) -> Result<(), StoreError> {
    for (id, beat) in silent {
        session.query(
            "DELETE FROM replicas WHERE id = $1 AND beat = $2",
            &[id, beat],
        )?;
    }
    Ok(())
}

/// Takes a server off the list.
pub(super) fn leave(session: &Session, id: i64) -> Result<(), StoreError> {
    session
        .query("DELETE FROM replicas WHERE id = $1", &[&id])
        .map(drop)
}

/// Returns what adds a server to the list, or raises its beat.
fn put(id: i64, server: i64, about: &ReplicaAbout) -> Result<Call<'_>, StoreError> {
    let handlers = about.handlers.as_ref().map(serde_json::to_string);
    Ok(Call::new(
        "INSERT INTO replicas (id, host, version, handlers, server, since, server_since)
         SELECT $1, $2, $3, $4, $5, now.ms, now.ms
         FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS now
         ON CONFLICT (id) DO UPDATE SET beat = replicas.beat + 1, host = excluded.host,
             version = excluded.version, handlers = excluded.handlers, server = excluded.server,
             server_since = CASE WHEN replicas.server = excluded.server THEN replicas.server_since
                                 ELSE excluded.server_since END",
        args![
            id,
            Stored(&about.host),
            Stored(&about.version),
            handlers.transpose()?,
            server,
        ],
    ))
}

/// Returns the list, in the order of their starts.
pub(super) fn list(session: &Session) -> Result<Vec<Listed>, StoreError> {
    let rows = session.query(
        "SELECT id, host, version, handlers, beat, since,
             (SELECT server_since FROM term WHERE term.server = replicas.server)
         FROM (SELECT * FROM replicas ORDER BY since DESC, id LIMIT $1) AS replicas
         ORDER BY since, id",
        &[&LISTED_MAX],
    )?;
    let listed = |row: &tokio_postgres::Row| {
        let handlers = row.maybe_text(3)?;
        // Of a newer version they may have another form: then they count as not known.
        let handlers =
            handlers.and_then(|text| serde_json::from_str::<Vec<ServedHandler>>(&text).ok());
        Ok(Listed {
            id: row.int(0)?,
            about: ReplicaAbout {
                host: row.text(1)?,
                version: row.text(2)?,
                handlers,
            },
            beat: row.int(4)?,
            since: from_millis(row.int(5)?),
            term_since: row.maybe_int(6)?.map(from_millis),
        })
    };
    rows.iter().map(listed).collect()
}
