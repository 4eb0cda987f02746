//! The handlers' own state: changed in the transaction of its record, bounded by handler, forgotten in time.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::alert::{HandlerName, Timestamp};
use crate::journal::{KvChange, KvQuota, KvReply};

/// What handlers keep, as far as it was asked for. Emptied when a transaction fails.
pub(super) type Usage = HashMap<HandlerName, Used>;

/// What one handler keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    /// Of keys and values together.
    bytes: u64,
    keys: u64,
}

impl Used {
    /// Returns what it would come to with one value in the place of another.
    fn with(self, old: Option<u64>, new: u64) -> Self {
        Self {
            bytes: self.bytes - old.unwrap_or(0) + new,
            keys: self.keys + u64::from(old.is_none()),
        }
    }

    /// Returns what to answer where one value in the place of another makes this, and it is over the quota. Only
    /// what makes more is refused: a quota that was lowered leaves what is there to be changed.
    fn over(self, old: Option<u64>, new: u64, quota: KvQuota) -> Option<KvReply> {
        if self.bytes > quota.bytes_max && new > old.unwrap_or(0) {
            Some(KvReply::QuotaExceeded)
        } else if self.keys > quota.keys_max && old.is_none() {
            Some(KvReply::TooManyKeys)
        } else {
            None
        }
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

/// Makes a change; returns what it came to, and whether anything is different now.
pub(super) fn change(
    conn: &Connection,
    usage: &mut Usage,
    (handler, key): (&HandlerName, &str),
    change: &KvChange,
    quota: KvQuota,
    now: Timestamp,
) -> rusqlite::Result<(KvReply, bool)> {
    let old = get(conn, handler, key, now)?;
    let (value, ttl_seconds, reply) = match change {
        KvChange::Remove => {
            remove(conn, usage, (handler, key))?;
            return Ok((KvReply::Done, old.is_some()));
        }
        KvChange::SetIfAbsent { .. } if old.is_some() => {
            return Ok((KvReply::WasAbsent(false), false));
        }
        KvChange::Set { value, ttl_seconds } => (value.clone(), *ttl_seconds, KvReply::Done),
        KvChange::SetIfAbsent { value, ttl_seconds } => {
            (value.clone(), *ttl_seconds, KvReply::WasAbsent(true))
        }
        KvChange::Increment { by, ttl_seconds } => {
            let number = match old.as_deref().map(std::str::from_utf8) {
                None => Some(0_i64),
                Some(text) => text.ok().and_then(|t| t.trim().parse().ok()),
            };
            let Some(number) = number else {
                return Ok((KvReply::NotANumber, false));
            };
            let number = number.saturating_add(i64::from(*by));
            (
                number.to_string().into_bytes(),
                *ttl_seconds,
                KvReply::Value(number),
            )
        }
    };
    let expires_at = ttl_seconds.map(|s| now.as_millisecond() + i64::from(s) * 1_000);
    let refused = put(conn, usage, (handler, key), &value, expires_at, quota, now)?;
    Ok(match refused {
        None => (reply, true),
        Some(over) => (over, false),
    })
}

/// Forgets some of what has expired; returns how many.
pub(super) fn expire(
    conn: &Connection,
    usage: &mut Usage,
    now: Timestamp,
    rows_max: u32,
) -> rusqlite::Result<usize> {
    let gone = conn
        .prepare_cached(
            "DELETE FROM kv WHERE (handler, key) IN (
                 SELECT handler, key FROM kv WHERE expires_at <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.as_millisecond(), rows_max])?;
    if gone > 0 {
        usage.clear();
    }
    Ok(gone)
}

/// Sets a value, or returns what to answer instead.
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
    // An expired value still takes its place until it is forgotten, so it counts as the old one here.
    let old: Option<i64> = conn
        .prepare_cached("SELECT length(value) FROM kv WHERE handler = ?1 AND key = ?2")?
        .query_row(params![handler.as_str(), key], |row| row.get(0))
        .optional()?;
    let old = old.map(|bytes| size(bytes.unsigned_abs()));
    let new = size(value.len() as u64);
    let mut next = used(conn, usage, handler)?.with(old, new);
    if next.over(old, new, quota).is_some() {
        conn.prepare_cached(
            "DELETE FROM kv WHERE handler = ?1 AND key <> ?2 AND expires_at <= ?3",
        )?
        .execute(params![handler.as_str(), key, now.as_millisecond()])?;
        usage.remove(handler);
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
    if let (Some(gone), Some(used)) = (gone, usage.get_mut(handler)) {
        used.bytes -= key.len() as u64 + gone.unsigned_abs();
        used.keys -= 1;
    }
    Ok(())
}

fn used(conn: &Connection, usage: &mut Usage, handler: &HandlerName) -> rusqlite::Result<Used> {
    if let Some(used) = usage.get(handler) {
        return Ok(*used);
    }
    let (bytes, keys): (i64, i64) = conn
        .prepare_cached(
            "SELECT coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0), count(*) FROM kv
             WHERE handler = ?1",
        )?
        .query_one([handler.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let used = Used {
        bytes: bytes.cast_unsigned(),
        keys: keys.cast_unsigned(),
    };
    usage.insert(handler.clone(), used);
    Ok(used)
}
