//! The key-value state of handlers. A change is made in the transaction that records it, each handler has a quota, and values
//! expire.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::{HandlerName, Timestamp};
use alert_manager_core::journal::{KvChange, KvQuota, KvReply, KvWrite};

/// How many expired values are deleted at most to make room for a new one. A handler at its quota must not slow the committer
/// down.
const EXPIRED_AT_ONCE: u32 = 1_000;

/// The usage of the handlers that have written since the start. It is counted once, since that reads every value, and then updated
/// with each change. It is cleared if a transaction fails.
pub(super) type Usage = HashMap<HandlerName, Used>;

/// The usage of one handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// The bytes of keys and values together.
    bytes: u64,
    keys: u64,
}

impl Used {
    /// Returns the usage after a value of `new` bytes replaces one of `old` bytes, or is added.
    fn with(self, old: Option<u64>, new: u64) -> Self {
        Self {
            bytes: self.bytes - old.unwrap_or(0) + new,
            keys: self.keys + u64::from(old.is_none()),
        }
    }

    /// Returns the error if this usage, after that replacement, exceeds the quota.
    fn over(self, old: Option<u64>, new: u64, quota: KvQuota) -> Option<KvReply> {
        quota.over(self.bytes, self.keys, old, new)
    }
}

/// Reads a value that has not expired.
pub(super) fn get(
    conn: &Connection,
    handler: &HandlerName,
    key: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached(
        "SELECT value FROM kv WHERE handler = ?1 AND key = ?2
             AND (expires_at IS NULL OR expires_at > ?3)",
    )?
    .query_row(
        params![handler.as_str(), key, now.as_millisecond()],
        |row| row.get(0),
    )
    .optional()
}

/// Returns how many keys a handler has, and the bytes of keys and values together.
pub(super) fn kept(conn: &Connection, handler: &HandlerName) -> rusqlite::Result<(u64, u64)> {
    conn.prepare_cached(
        "SELECT count(*), coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) FROM kv
         WHERE handler = ?1",
    )?
    .query_row([handler.as_str()], |row| {
        let (keys, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok((keys.unsigned_abs(), bytes.unsigned_abs()))
    })
}

/// Makes a change; returns the reply, and true if the state has changed.
pub(super) fn change(
    conn: &Connection,
    usage: &mut Usage,
    (handler, key): (&HandlerName, &str),
    change: &KvChange,
    quota: KvQuota,
    now: Timestamp,
) -> rusqlite::Result<(KvReply, bool)> {
    let old = get(conn, handler, key, now)?;
    let (reply, write) = change.clone().apply(old.as_deref());
    let (value, ttl_seconds) = match write {
        KvWrite::Keep => return Ok((reply, false)),
        KvWrite::Remove => {
            remove(conn, usage, (handler, key))?;
            return Ok((reply, true));
        }
        KvWrite::Put { value, ttl_seconds } => (value, ttl_seconds),
    };
    let expires_at = ttl_seconds.map(|s| now.as_millisecond() + i64::from(s) * 1_000);
    let refused = put(conn, usage, (handler, key), &value, expires_at, quota, now)?;
    Ok(match refused {
        None => (reply, true),
        Some(over) => (over, false),
    })
}

/// Deletes at most `rows_max` expired values: of all handlers, or of one handler except one key. Returns how many.
pub(super) fn expire(
    conn: &Connection,
    usage: &mut Usage,
    of: Option<(&HandlerName, &str)>,
    now: Timestamp,
    rows_max: u32,
) -> rusqlite::Result<usize> {
    let (handler, key) = of.unzip();
    let gone = conn
        .prepare_cached(
            "DELETE FROM kv WHERE (handler, key) IN (
                 SELECT handler, key FROM kv INDEXED BY kv_expiry
                 WHERE expires_at <= ?1 AND (?2 IS NULL OR (handler = ?2 AND key <> ?3)) LIMIT ?4)
             RETURNING handler, length(CAST(key AS BLOB)) + length(value)",
        )?
        .query_map(
            params![
                now.as_millisecond(),
                handler.map(HandlerName::as_str),
                key,
                rows_max
            ],
            |row| Ok((HandlerName::new(row.get_ref(0)?.as_str()?), row.get(1)?)),
        )?
        .collect::<rusqlite::Result<Vec<(HandlerName, i64)>>>()?;
    for (handler, bytes) in &gone {
        forget(usage, handler, bytes.unsigned_abs());
    }
    Ok(gone.len())
}

/// Subtracts a deleted value from the usage of a handler.
fn forget(usage: &mut Usage, handler: &HandlerName, bytes: u64) {
    if let Some(used) = usage.get_mut(handler) {
        used.bytes -= bytes;
        used.keys -= 1;
    }
}

/// Sets a value; returns the error if it exceeds the quota.
fn put(
    conn: &Connection,
    usage: &mut Usage,
    (handler, key): (&HandlerName, &str),
    value: &[u8],
    expires_at: Option<i64>,
    quota: KvQuota,
    now: Timestamp,
) -> rusqlite::Result<Option<KvReply>> {
    let size = |value: u64| key.len() as u64 + value;
    // An expired value counts as the old one until it is deleted.
    let old: Option<i64> = conn
        .prepare_cached("SELECT length(value) FROM kv WHERE handler = ?1 AND key = ?2")?
        .query_row(params![handler.as_str(), key], |row| row.get(0))
        .optional()?;
    let old = old.map(|bytes| size(bytes.unsigned_abs()));
    let new = size(value.len() as u64);
    let mut next = used(conn, usage, handler)?.with(old, new);
    if next.over(old, new, quota).is_some() {
        expire(conn, usage, Some((handler, key)), now, EXPIRED_AT_ONCE)?;
        next = used(conn, usage, handler)?.with(old, new);
        if let Some(over) = next.over(old, new, quota) {
            return Ok(Some(over));
        }
    }
    conn.prepare_cached(
        "INSERT INTO kv (handler, key, value, expires_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (handler, key) DO UPDATE SET
             value = excluded.value, expires_at = excluded.expires_at",
    )?
    .execute(params![handler.as_str(), key, value, expires_at])?;
    usage.insert(handler.clone(), next);
    Ok(None)
}

fn remove(
    conn: &Connection,
    usage: &mut Usage,
    (handler, key): (&HandlerName, &str),
) -> rusqlite::Result<()> {
    let gone: Option<i64> = conn
        .prepare_cached("DELETE FROM kv WHERE handler = ?1 AND key = ?2 RETURNING length(value)")?
        .query_row(params![handler.as_str(), key], |row| row.get(0))
        .optional()?;
    if let Some(gone) = gone {
        forget(usage, handler, key.len() as u64 + gone.unsigned_abs());
    }
    Ok(())
}

fn used(conn: &Connection, usage: &mut Usage, handler: &HandlerName) -> rusqlite::Result<Used> {
    if let Some(used) = usage.get(handler) {
        return Ok(*used);
    }
    let (keys, bytes) = kept(conn, handler)?;
    let used = Used { bytes, keys };
    usage.insert(handler.clone(), used);
    Ok(used)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::clock::from_millis;
    use crate::store::sqlite::schema;

    /// The usage that is updated with each change equals a count of all values.
    #[test]
    fn the_use_that_is_followed_is_the_one_that_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let conn = schema::open(&dir.path().join("store.db")).unwrap().conn;
        conn.pragma_update(None, "synchronous", "OFF").unwrap();
        let handlers = [HandlerName::new("a"), HandlerName::new("b")];
        let quota = KvQuota {
            bytes_max: 400,
            keys_max: 12,
        };
        let mut usage = Usage::new();
        let mut refused = 0;
        for step in 0..600_i64 {
            let now = from_millis(step * 700);
            let handler = &handlers[usize::from(step % 5 == 0)];
            let key = format!("kö{}", step * 7 % 17);
            let set = match step % 9 {
                0 => KvChange::Remove,
                n => KvChange::Set {
                    value: vec![b'x'; usize::try_from(step * 13 % 60).unwrap()],
                    ttl_seconds: (n % 2 == 0).then_some(3),
                },
            };
            let (reply, _) = change(&conn, &mut usage, (handler, &key), &set, quota, now).unwrap();
            refused += u32::from(matches!(
                reply,
                KvReply::QuotaExceeded | KvReply::TooManyKeys
            ));
            if step % 31 == 0 {
                expire(&conn, &mut usage, None, now, 3).unwrap();
            }
            for handler in &handlers {
                let counted = used(&conn, &mut Usage::new(), handler).unwrap();
                if let Some(followed) = usage.get(handler) {
                    assert_eq!(
                        (followed.bytes, followed.keys),
                        (counted.bytes, counted.keys),
                        "after step {step}"
                    );
                }
                assert!(counted.bytes <= quota.bytes_max && counted.keys <= quota.keys_max);
            }
        }
        assert!(refused > 0);
    }
}
