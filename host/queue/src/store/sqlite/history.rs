//! History: when each occurrence of an alert began and ended, and on which routes. A row outlives its delivery.
//!
//! A row is written when an occurrence begins, and changed when it ends. Labels are kept as hashes, since they are only compared: a
//! row has about 200 bytes, and its labels would be most of them.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use alert_manager_core::alert::{Alert, DeliveryId, HandlerName, Labels, Timestamp};
use alert_manager_core::journal::{Earlier, PAST_LISTED_MAX, Past, PastOccurrence};

use crate::model::clock::{from_nanos, nanos};
use crate::model::{State, join_handlers};
use crate::store::Began;

use super::rows;

/// How long an occurrence is kept.
pub(in crate::store) const HISTORY_MEMORY: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How many rows are removed at most in one step of retention.
pub(in crate::store) const HISTORY_A_STEP: u32 = 500;

/// If the store is too large, history takes at most `retention.size` divided by this.
pub(in crate::store) const SHARE: u64 = 8;

/// About how many bytes a row has, with its part of the index.
pub(in crate::store) const ROW_BYTES: u64 = 256;

/// How many of the newest rows of an alertname one question reads at most: a longer read would hold up others, and no time limit of
/// a step ends it.
pub(in crate::store) const ROWS_READ_MAX: u32 = 100_000;

/// How often the rows are counted at most while the store is too large.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// Writes an occurrence that has begun.
pub(super) fn begin(conn: &Connection, began: &Began) -> rusqlite::Result<()> {
    let event = began.alert.event();
    conn.prepare_cached(
        "INSERT INTO history (id, alertname, starts_at, fingerprint, occurrence, accepted_at,
             route, handlers, labels)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        began.id.as_raw(),
        began.alert.name(),
        nanos(event.starts_at),
        event.fingerprint.0.cast_signed(),
        event.occurrence.as_raw(),
        began.at.as_millisecond(),
        &*began.route,
        join_handlers(&began.pipeline),
        hashes(&began.alert.labels),
    ])?;
    Ok(())
}

/// Notes when the occurrence of a resolved alert has ended.
pub(super) fn end(conn: &Connection, alert: &Alert, ends_at: Timestamp) -> rusqlite::Result<()> {
    let event = alert.event();
    conn.prepare_cached(
        "UPDATE history SET ends_at = ?5
         WHERE alertname = ?1 AND starts_at = ?2 AND fingerprint = ?3 AND occurrence = ?4",
    )?
    .execute(params![
        alert.name(),
        nanos(event.starts_at),
        event.fingerprint.0.cast_signed(),
        event.occurrence.as_raw(),
        nanos(ends_at),
    ])?;
    Ok(())
}

/// Notes that the delivery of an occurrence is dead, since it is about to be removed.
pub(super) fn note_dead(conn: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE history SET died = 1 WHERE id = ?1")?
        .execute([id.as_raw()])?;
    Ok(())
}

/// Returns the earlier occurrences of alerts like that of a delivery; nothing if it is not stored.
pub(super) fn earlier(
    conn: &Connection,
    of: DeliveryId,
    handler: &HandlerName,
    asked: &Earlier,
) -> rusqlite::Result<Past> {
    let (json, Some(row)) = (rows::alert_json(conn, of)?, rows::load(conn, of)?) else {
        return Ok(Past::default());
    };
    let Some(alert) = json.and_then(|json| serde_json::from_str::<Alert>(&json).ok()) else {
        return Ok(Past::default());
    };
    like(conn, &alert, (&row.route, handler), asked, ROWS_READ_MAX)
}

/// Returns the earlier occurrences of alerts like `alert` on a route and on those that the handler served, among the newest
/// `rows_max` rows of its name.
fn like(
    conn: &Connection,
    alert: &Alert,
    (route, handler): (&str, &HandlerName),
    asked: &Earlier,
    rows_max: u32,
) -> rusqlite::Result<Past> {
    let own = alert.event();
    let own = (
        nanos(own.starts_at),
        own.fingerprint.0.cast_signed(),
        own.occurrence.as_raw(),
    );
    let same: Vec<Same> = asked
        .same
        .iter()
        .map(|name| Same::of(alert, name))
        .collect();
    let mut statement = conn.prepare_cached(
        "SELECT starts_at, fingerprint, occurrence, id, ends_at, died, labels
         FROM (SELECT * FROM history INDEXED BY history_alerts
               WHERE alertname = ?1 AND starts_at >= ?2
               ORDER BY starts_at DESC, fingerprint DESC, occurrence DESC LIMIT ?5)
         WHERE route = ?3 OR instr(handlers, ?4) > 0
         ORDER BY starts_at DESC, fingerprint DESC, occurrence DESC, id",
    )?;
    let handlers = format!(",{handler},");
    let mut found = statement.query(params![
        alert.name(),
        nanos(asked.since),
        route,
        handlers,
        rows_max,
    ])?;
    let (mut past, mut last) = (Past::default(), None);
    while let Some(columns) = found.next()? {
        let this = (columns.get(0)?, columns.get(1)?, columns.get(2)?);
        let labels = columns.get_ref(6)?.as_blob()?;
        // On several routes it is one occurrence.
        if this == own || last == Some(this) || !same.iter().all(|same| same.holds(labels)) {
            continue;
        }
        last = Some(this);
        past.count = past.count.saturating_add(1);
        if past.occurrences.len() < PAST_LISTED_MAX {
            let id = DeliveryId::from_raw(columns.get(3)?);
            past.occurrences.push(PastOccurrence {
                delivery: id,
                starts_at: from_nanos(this.0),
                ends_at: columns.get::<_, Option<i64>>(4)?.map(from_nanos),
                state: state(conn, id, columns.get(5)?)?.as_str().to_owned(),
            });
        }
    }
    Ok(past)
}

/// Returns the state of a delivery, or its last one if it was removed.
fn state(conn: &Connection, id: DeliveryId, has_died: bool) -> rusqlite::Result<State> {
    let stored = rows::state(conn, id)?.map(|(state, _)| state);
    Ok(stored.unwrap_or(if has_died { State::Dead } else { State::Done }))
}

/// Removes occurrences that were accepted until `cutoff`, in milliseconds since 1970, the oldest first. Returns true if there may
/// be more.
pub(super) fn forget(conn: &Connection, cutoff: i64) -> rusqlite::Result<bool> {
    let mut old =
        conn.prepare_cached("SELECT id, accepted_at FROM history ORDER BY id LIMIT ?1")?;
    let rows = old.query_map([HISTORY_A_STEP], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows = rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    let old = rows.iter().take_while(|(_, at)| *at <= cutoff);
    let mut count = 0;
    for (id, _) in old {
        conn.prepare_cached("DELETE FROM history WHERE id = ?1")?
            .execute([id])?;
        count += 1;
    }
    Ok(count == HISTORY_A_STEP)
}

/// How many occurrences there are, counted only if the store is too large: a count reads the whole index.
#[derive(Debug, Default)]
pub(super) struct Counted(Option<(u64, Instant)>);

impl Counted {
    /// Removes occurrences of a store that is too large, the oldest first, while they take more than their share of `bytes_max`.
    /// Returns true if there may be more.
    pub(super) fn remove_beyond_share(
        &mut self,
        conn: &Connection,
        bytes_max: u64,
    ) -> rusqlite::Result<bool> {
        let count = match self.0 {
            Some((count, at)) if at.elapsed() < COUNT_EVERY => count,
            _ => conn
                .query_one("SELECT count(*) FROM history", [], |row| row.get(0))
                .map(i64::unsigned_abs)?,
        };
        let beyond = count.saturating_sub(bytes_max / SHARE / ROW_BYTES);
        let step = beyond.min(HISTORY_A_STEP.into());
        if step > 0 {
            conn.prepare_cached(
                "DELETE FROM history WHERE id IN (SELECT id FROM history ORDER BY id LIMIT ?1)",
            )?
            .execute([step.cast_signed()])?;
        }
        let counted_at = match self.0 {
            Some((_, at)) if at.elapsed() < COUNT_EVERY => at,
            _ => Instant::now(),
        };
        self.0 = Some((count - step, counted_at));
        Ok(beyond > step)
    }
}

/// What one label has to be.
pub(in crate::store) enum Same {
    /// It has this name and value.
    Pair([u8; 8]),
    /// There is no label of this name.
    Absent([u8; 4]),
}

impl Same {
    /// Returns what it is in an alert.
    pub(in crate::store) fn of(alert: &Alert, name: &str) -> Self {
        match alert.labels.get(name) {
            Some(value) => Self::Pair(pair(name, value)),
            None => Self::Absent(hash(name)),
        }
    }

    pub(in crate::store) fn holds(&self, labels: &[u8]) -> bool {
        let mut pairs = labels.chunks_exact(8);
        match self {
            Self::Pair(pair) => pairs.any(|of| of == pair),
            Self::Absent(name) => !pairs.any(|of| of[..4] == *name),
        }
    }
}

/// Returns labels as they are kept: eight bytes for each.
pub(in crate::store) fn hashes(labels: &Labels) -> Vec<u8> {
    let pairs = labels.iter().map(|(name, value)| pair(name, value));
    pairs.flatten().collect()
}

fn pair(name: &str, value: &str) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (hash(name), hash(value));
    [a, b, c, d, e, f, g, h]
}

/// Returns a hash that is the same for ever: FNV-1a, folded to 32 bits.
fn hash(text: &str) -> [u8; 4] {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = text.bytes().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    [a ^ e, b ^ f, c ^ g, d ^ h]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::conformance::prelude::{alert, from_millis};
    use crate::store::sqlite::schema;

    #[test]
    fn labels_are_compared_by_name_and_value_and_an_absent_one_is_absent() {
        let with = |pairs: &[(&str, &str)]| hashes(&pairs.iter().copied().collect());
        let mut asking = alert("A", 0);
        asking.labels = [("pod", "a"), ("ns", "x")].into_iter().collect();
        let pod = Same::of(&asking, "pod");
        let node = Same::of(&asking, "node");
        assert!(pod.holds(&with(&[("pod", "a"), ("ns", "y")])));
        assert!(!pod.holds(&with(&[("pod", "b"), ("ns", "a")])));
        assert!(!pod.holds(&with(&[("ns", "a")])));
        assert!(node.holds(&with(&[("pod", "a")])) && node.holds(&with(&[])));
        assert!(!node.holds(&with(&[("node", "n")])) && !node.holds(&with(&[("node", "")])));
    }

    fn filled(count: i64) -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
        conn.pragma_update(None, "synchronous", "OFF").unwrap();
        for n in 0..count {
            let began = Began {
                id: DeliveryId::from_raw(n),
                alert: Arc::new(alert("A", n)),
                route: "route".into(),
                pipeline: [HandlerName::new("notify")].into(),
                at: from_millis(n),
            };
            begin(&conn, &began).unwrap();
        }
        (dir, conn)
    }

    #[test]
    fn no_more_than_the_newest_rows_of_a_name_are_read() {
        let (_dir, conn) = filled(10);
        let asked = Earlier {
            same: Vec::new(),
            since: Timestamp::UNIX_EPOCH,
        };
        let on = ("route", &HandlerName::new("notify"));
        let counted = |rows_max| like(&conn, &alert("A", 9), on, &asked, rows_max).unwrap();
        assert_eq!(counted(100).count, 9, "its own does not count");
        let few = counted(4);
        let ids: Vec<_> = few
            .occurrences
            .iter()
            .map(|one| one.delivery.as_raw())
            .collect();
        assert_eq!((few.count, ids), (3, vec![8, 7, 6]));
    }

    fn ids(conn: &Connection) -> Vec<i64> {
        let mut statement = conn.prepare("SELECT id FROM history ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn old_occurrences_go_in_steps() {
        let step = i64::from(HISTORY_A_STEP);
        let (_dir, conn) = filled(step + 5);
        assert!(forget(&conn, step + 1).unwrap(), "there is more");
        assert!(!forget(&conn, step + 1).unwrap());
        assert_eq!(ids(&conn), [step + 2, step + 3, step + 4]);
    }

    #[test]
    fn of_a_store_that_is_too_large_the_oldest_occurrences_beyond_their_share_go() {
        let (_dir, conn) = filled(10);
        let mut counted = Counted::default();
        let bytes_for = |rows: u64| rows * ROW_BYTES * SHARE;
        assert!(!counted.remove_beyond_share(&conn, bytes_for(20)).unwrap());
        assert_eq!(ids(&conn).len(), 10);
        assert!(!counted.remove_beyond_share(&conn, bytes_for(4)).unwrap());
        assert_eq!(ids(&conn), [6, 7, 8, 9]);
    }
}
