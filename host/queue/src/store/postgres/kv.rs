//! The key-value state of handlers. A change is made in the transaction that records it, each handler has a quota, and values
//! expire.
//!
//! A change first locks the row of its handler in `kv_usage`, so that no other one passes the quota at the same time.

use alert_manager_core::alert::{HandlerName, Timestamp};
use alert_manager_core::journal::{KvQuota, KvReply, KvWrite};

use crate::store::{KvOp, StoreError};

use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// How many expired values are deleted at most to make room for a new one. A handler at its quota must not slow the committer
/// down.
const EXPIRED_AT_ONCE: i64 = 1_000;

/// The usage of one handler.
#[derive(Clone, Copy, Debug)]
struct Used {
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

    /// Returns the error if this usage, after that replacement, exceeds the quota. A change that does not increase the usage is
    /// allowed: the quota may have been lowered.
    fn over(self, old: Option<u64>, new: u64, quota: KvQuota) -> Option<KvReply> {
        if self.bytes > quota.bytes_max && new > old.unwrap_or(0) {
            Some(KvReply::QuotaExceeded)
        } else if self.keys > quota.keys_max && old.is_none() {
            Some(KvReply::TooManyKeys)
        } else {
            None
        }
    }

    fn put(self, handler: &str) -> Call<'_> {
        Call::new(
            "UPDATE kv_usage SET bytes = $2, keys = $3 WHERE handler = $1",
            args![handler, self.bytes.cast_signed(), self.keys.cast_signed()],
        )
    }
}

/// Returns how many keys a handler has, and the bytes of keys and values together.
pub(super) fn kept(session: &Session, handler: &HandlerName) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT keys, bytes FROM kv_usage WHERE handler = $1";
    let row = session.first(sql, &[&handler.as_str()])?;
    row.map_or(Ok((0, 0)), |row| {
        Ok((row.int(0)?.unsigned_abs(), row.int(1)?.unsigned_abs()))
    })
}

/// Reads a value that has not expired.
pub(super) fn get(
    session: &Session,
    handler: &HandlerName,
    key: &str,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, StoreError> {
    let found = session.first(
        "SELECT value FROM kv WHERE handler = $1 AND key = $2
             AND (expires_at IS NULL OR expires_at > $3)",
        &[&handler.as_str(), &Stored(key), &now.as_millisecond()],
    )?;
    found.map(|row| row.column(0)).transpose()
}

/// Makes a change; returns the reply, and true if the state has changed.
pub(super) fn change(
    session: &Session,
    op: &KvOp<'_>,
    now: Timestamp,
) -> Result<(KvReply, bool), StoreError> {
    let (handler, now_ms) = (op.handler.as_str(), now.as_millisecond());
    let found = session.together(&[
        lock(handler),
        Call::new(
            "SELECT value, expires_at IS NULL OR expires_at > $3 FROM kv
             WHERE handler = $1 AND key = $2",
            args![handler, Stored(op.key), now_ms],
        ),
    ])?;
    let used = used(&found[0])?;
    let stored: Option<(Vec<u8>, bool)> = match found[1].first() {
        Some(row) => Some((row.column(0)?, row.column(1)?)),
        None => None,
    };
    let size = |value: &[u8]| (op.key.len() + value.len()) as u64;
    // An expired value counts as the old one until it is deleted.
    let old = stored.as_ref().map(|(value, _)| size(value));
    let valid = stored.as_ref().filter(|(_, is_valid)| *is_valid);
    let (reply, write) = op.change.clone().apply(valid.map(|(value, _)| &value[..]));
    let (value, ttl_seconds) = match write {
        KvWrite::Keep => return Ok((reply, false)),
        KvWrite::Remove => {
            if let Some(old) = old {
                let left = Used {
                    bytes: used.bytes - old,
                    keys: used.keys - 1,
                };
                let remove = "DELETE FROM kv WHERE handler = $1 AND key = $2";
                let remove = Call::new(remove, args![handler, Stored(op.key)]);
                session.together(&[remove, left.put(handler)])?;
            }
            return Ok((reply, true));
        }
        KvWrite::Put { value, ttl_seconds } => (value, ttl_seconds),
    };
    let new = size(&value);
    let mut next = used.with(old, new);
    if next.over(old, new, op.quota).is_some() {
        expire(session, Some((op.handler, op.key)), now, EXPIRED_AT_ONCE)?;
        let left = self::used(&session.together(&[lock(handler)])?[0])?;
        next = left.with(old, new);
        if let Some(over) = next.over(old, new, op.quota) {
            return Ok((over, false));
        }
    }
    let expires_at = ttl_seconds.map(|s| now_ms + i64::from(s) * 1_000);
    let put = Call::new(
        "INSERT INTO kv (handler, key, value, expires_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (handler, key) DO UPDATE SET
             value = excluded.value, expires_at = excluded.expires_at",
        args![handler, Stored(op.key), value, expires_at],
    );
    session.together(&[put, next.put(handler)])?;
    Ok((reply, true))
}

/// Returns what locks the usage of a handler, and reads it.
fn lock(handler: &str) -> Call<'_> {
    Call::new(
        "INSERT INTO kv_usage (handler, bytes, keys) VALUES ($1, 0, 0)
         ON CONFLICT (handler) DO UPDATE SET handler = excluded.handler RETURNING bytes, keys",
        args![handler],
    )
}

fn used(rows: &[tokio_postgres::Row]) -> Result<Used, StoreError> {
    let row = rows.first();
    let row = row.ok_or_else(|| StoreError::Fatal("the usage of a handler is missing".into()))?;
    Ok(Used {
        bytes: row.int(0)?.unsigned_abs(),
        keys: row.int(1)?.unsigned_abs(),
    })
}

/// Deletes at most `rows_max` expired values: of all handlers, or of one handler except one key. Returns how many.
pub(super) fn expire(
    session: &Session,
    of: Option<(&HandlerName, &str)>,
    now: Timestamp,
    rows_max: i64,
) -> Result<i64, StoreError> {
    let (handler, key) = of.unzip();
    let gone = session.one(
        "WITH gone AS (
             DELETE FROM kv WHERE (handler, key) IN (
                 SELECT handler, key FROM kv
                 WHERE expires_at <= $1 AND ($2::text IS NULL OR (handler = $2 AND key <> $3)) LIMIT $4)
             RETURNING handler, octet_length(key) + octet_length(value) AS bytes),
         freed AS (
             UPDATE kv_usage u SET bytes = u.bytes - g.bytes, keys = u.keys - g.keys
             FROM (SELECT handler, sum(bytes) AS bytes, count(*) AS keys FROM gone GROUP BY handler) g
             WHERE u.handler = g.handler)
         SELECT count(*) FROM gone",
        &[
            &now.as_millisecond(),
            &handler.map(HandlerName::as_str),
            &key.map(Stored),
            &rows_max,
        ],
    )?;
    gone.int(0)
}
