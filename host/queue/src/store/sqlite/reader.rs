//! Answers queries, on connections that only read.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, params};

use alert_manager_core::alert::{Alert, DeliveryId, Event, Fingerprint, HandlerName, Timestamp};
use alert_manager_core::journal::{Earlier, Past, Recorded};

use crate::model::clock::from_millis;
use crate::model::{
    Activity, ActivityKind, ActivityOf, AuditFilter, Audited, Bounds, Delivery, Filter, Follower,
    Known, Outline, Page, Position, Progress, ReadError, Reason, RetryBatch, Row, Run, Selected,
    Selection, Story,
};
use crate::store::Reader;

use super::activity::Unwritten;
use super::codes::reason_code;
use super::errors::reason;
use super::gathered::{self, Gathered};
use super::listed::{self, LISTED};
use super::schema::open_reader;
use super::{activity, audit, history, journal, kv, list, rows, storms, timers};

/// How many idle connections are kept open. More are opened if there are more queries at the same time.
const IDLE_MAX: usize = 3;

/// Reads from the store without blocking the committer.
#[derive(Debug)]
pub(super) struct SqliteReader {
    path: PathBuf,
    bounds: Bounds,
    /// The events that are not in the table yet.
    gathered: Arc<Mutex<Gathered>>,
    /// The counts that are not in the table yet.
    counts: Arc<Mutex<Unwritten>>,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteReader {
    pub(super) fn new(
        path: PathBuf,
        bounds: Bounds,
        gathered: Arc<Mutex<Gathered>>,
        counts: Arc<Mutex<Unwritten>>,
    ) -> Self {
        Self {
            path,
            bounds,
            gathered,
            counts,
            idle: Mutex::default(),
        }
    }

    /// Returns the name of the alerts with a fingerprint, which is among what it is made of; nothing if none is remembered.
    fn alertname_of(
        &self,
        conn: &Connection,
        fingerprint: Fingerprint,
    ) -> rusqlite::Result<Option<String>> {
        let in_memory = self.gathered.lock().delivery_of(fingerprint);
        let ran_as = match in_memory {
            Some(id) => Some(id),
            None => gathered::stored_delivery_of(conn, fingerprint)?,
        };
        let Some(id) = ran_as else {
            return Ok(None);
        };
        conn.prepare_cached("SELECT alertname FROM deliveries WHERE id = ?1 AND fingerprint = ?2")?
            .query_row(params![id.as_raw(), fingerprint.0.cast_signed()], |row| {
                row.get(0)
            })
            .optional()
    }

    /// Reads what was counted, with what is not in the table yet.
    fn counted_with<T>(
        &self,
        read: impl FnOnce(&Connection, &Unwritten) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        // Before the table is read: what is written in between is then known to be in both.
        let unwritten = self.counts.lock().clone();
        self.with(|conn| read(conn, &unwritten))
    }

    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let idle = self.idle.lock().pop();
        let failed = |e: rusqlite::Error| ReadError(reason(&e));
        let conn = match idle {
            Some(conn) => conn,
            None => open_reader(&self.path).map_err(failed)?,
        };
        // One transaction, so that all reads of a query see the same state.
        let tx = conn.unchecked_transaction().map_err(failed)?;
        let answer = read(&tx).map_err(failed);
        drop(tx);
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(conn);
        }
        answer
    }
}

impl Reader for SqliteReader {
    fn list(&self, filter: &Filter) -> Result<Page, ReadError> {
        self.with(|conn| {
            let mut filter = filter.clone();
            if let (None, Some(fingerprint)) = (&filter.alertname, filter.fingerprint) {
                filter.alertname = self.alertname_of(conn, fingerprint)?;
            }
            list::page(conn, &filter, &self.bounds)
        })
    }

    fn activity(
        &self,
        of: ActivityKind,
        handler: Option<&HandlerName>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Activity>, ReadError> {
        self.counted_with(|conn, unwritten| {
            activity::between(conn, unwritten, of, handler, (from, to))
        })
    }

    fn counted(
        &self,
        of: ActivityKind,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<HashMap<ActivityOf, u64>, ReadError> {
        self.counted_with(|conn, unwritten| activity::counted(conn, unwritten, of, (from, to)))
    }

    fn last_counted(&self, of: ActivityKind) -> Result<HashMap<ActivityOf, Timestamp>, ReadError> {
        self.counted_with(|conn, unwritten| activity::last_counted(conn, unwritten, of))
    }

    fn audited(&self, filter: &AuditFilter) -> Result<Vec<Audited>, ReadError> {
        self.with(|conn| audit::list(conn, filter))
    }

    fn kv_used(&self, handler: &HandlerName) -> Result<(u64, u64), ReadError> {
        self.with(|conn| kv::kept(conn, handler))
    }

    fn story(&self, id: DeliveryId) -> Result<Option<Story>, ReadError> {
        self.with(|conn| story(conn, &self.gathered, id))
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, ReadError> {
        self.with(|conn| listed::load(conn, id))
    }

    fn outlines(&self, ids: &[DeliveryId]) -> Result<Vec<Outline>, ReadError> {
        self.with(|conn| {
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                if let Some(delivery) = listed::load(conn, *id)? {
                    let effects = journal::effects(conn, *id)?;
                    found.push(Outline { delivery, effects });
                }
            }
            Ok(found)
        })
    }

    fn recorded(&self, id: DeliveryId, step: u32) -> Result<Recorded, ReadError> {
        self.with(|conn| journal::recorded(conn, id, step))
    }

    fn runs(&self, event: Event) -> Result<Vec<(Run, Option<Row>)>, ReadError> {
        self.with(|conn| {
            let (key, mut known) = (event.into(), Known::default());
            self.gathered.lock().add_latest(key, &mut known);
            gathered::add_stored(conn, key, &mut known)?;
            let runs = known.firing_memory().runs_off(std::iter::empty());
            let load = |run: Run| Ok((run, rows::load(conn, run.delivery)?));
            runs.into_iter().map(load).collect()
        })
    }

    fn kv_get(
        &self,
        handler: &HandlerName,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        self.with(|conn| kv::get(conn, handler, key, now))
    }

    fn earlier(
        &self,
        of: DeliveryId,
        handler: &HandlerName,
        asked: &Earlier,
    ) -> Result<Past, ReadError> {
        self.with(|conn| history::earlier(conn, of, handler, asked))
    }

    fn selected(
        &self,
        selection: &Selection,
        after: Option<DeliveryId>,
        count_max: u32,
    ) -> Result<RetryBatch, ReadError> {
        self.with(|conn| selected(conn, selection, after, count_max))
    }

    fn position(&self, id: DeliveryId) -> Result<Option<Position>, ReadError> {
        self.with(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {POSITION} FROM deliveries WHERE id = ?1 AND fingerprint IS NOT NULL"
            ))?
            .query_row([id.as_raw()], read_position)
            .optional()
        })
    }

    fn followers(
        &self,
        after: DeliveryId,
        each: &mut dyn FnMut(Follower<'_>),
    ) -> Result<(), ReadError> {
        self.with(|conn| rows::followers(conn, after, each))
    }
}

/// The columns of a [`Position`].
const POSITION: &str = "id, fingerprint, route, set_by IS NOT NULL, handlers";

fn selected(
    conn: &Connection,
    selection: &Selection,
    after: Option<DeliveryId>,
    count_max: u32,
) -> rusqlite::Result<RetryBatch> {
    let cancelled = reason_code(Reason::Cancelled);
    let handler = selection.handler.as_ref().map(|h| format!(",{h},"));
    let text = selection.reason.as_deref();
    let named = text.and_then(|text| text.parse().ok()).map(reason_code);
    let after = after.map_or(i64::MIN, DeliveryId::as_raw);
    let state = match selection.state {
        Selected::Dead => {
            "INDEXED BY deliveries_dead WHERE state = 4
                 AND route <> 'dead-letter' AND route NOT GLOB 'dead-letter[@:]*'"
        }
        Selected::Retrying => "INDEXED BY deliveries_unsettled WHERE state < 3 AND state = 2",
    };
    let from = format!(
        "FROM deliveries {state} AND id > ?1 AND fingerprint IS NOT NULL AND reason IS NOT ?2
             AND (?3 IS NULL OR instr(handlers, ?3) > 0)
             AND (?4 IS NULL OR reason = ?5 OR instr(lower(last_error), lower(?4)) > 0)"
    );
    let mut positions = conn
        .prepare_cached(&format!("SELECT {POSITION} {from} ORDER BY id LIMIT ?6"))?
        .query_map(
            params![after, cancelled, handler, text, named, count_max],
            read_position,
        )?
        .collect::<rusqlite::Result<Vec<Position>>>()?;
    let scanned_to = positions.last().map(|last| last.id);
    let remaining = match scanned_to {
        Some(last) if positions.len() == count_max as usize => conn
            .prepare_cached(&format!("SELECT count(*) {from}"))?
            .query_one(
                params![last.as_raw(), cancelled, handler, text, named],
                |row| row.get::<_, i64>(0),
            )?
            .unsigned_abs(),
        _ => 0,
    };
    if let Some(test) = &selection.labels {
        let mut with_labels = Vec::new();
        for position in positions {
            if listed::has_labels(conn, position.id, test)? {
                with_labels.push(position);
            }
        }
        positions = with_labels;
    }
    Ok(RetryBatch {
        state: selection.state,
        positions,
        scanned_to,
        remaining,
    })
}

fn story(
    conn: &Connection,
    gathered: &Mutex<Gathered>,
    id: DeliveryId,
) -> rusqlite::Result<Option<Story>> {
    let found = conn
        .prepare_cached(&format!("SELECT {LISTED} FROM deliveries WHERE id = ?1"))?
        .query_row([id.as_raw()], |row| {
            Ok((listed::read(row)?, row.get::<_, Option<i64>>(11)?))
        })
        .optional()?;
    let Some((mut delivery, not_before)) = found else {
        return Ok(None);
    };
    let json = rows::alert_json(conn, id)?.unwrap_or_default();
    let is_alert = !delivery.fingerprint.is_empty();
    let parsed = serde_json::from_str::<Alert>(&json)
        .ok()
        .filter(|_| is_alert);
    let duplicates = match &parsed {
        Some(alert) => {
            // The lock is released before the table is read, since the committer needs it.
            let in_memory = gathered.lock().duplicates(alert.event());
            match in_memory {
                Some(duplicates) => duplicates,
                None => gathered::duplicates(conn, alert.event())?,
            }
        }
        None => 0,
    };
    let alert = match serde_json::from_str(&json) {
        Ok(alert) if is_alert => alert,
        _ => serde_json::Value::String(json),
    };
    let progress = rows::progress_json(conn, id)?
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_else(|| Progress::new(&delivery.handlers));
    let stories = rows::stories(conn, id)?;
    // An earlier version counted attempts in another way.
    let kept = u32::try_from(stories.len()).unwrap_or(u32::MAX);
    delivery.attempts = delivery.attempts.max(kept);
    let attempts_omitted = delivery.attempts - kept;
    let attempts = stories
        .into_iter()
        .map(|story| serde_json::from_str(&story).unwrap_or(serde_json::Value::String(story)))
        .collect();
    Ok(Some(Story {
        alert,
        progress,
        not_before: not_before.map(from_millis),
        attempts,
        attempts_omitted,
        journal: journal::all(conn, id)?,
        duplicates,
        members: storms::members(conn, id)?,
        timers: timers::shown(conn, id)?,
        delivery,
    }))
}

fn read_position(row: &rusqlite::Row<'_>) -> rusqlite::Result<Position> {
    let fingerprint: i64 = row.get(1)?;
    Ok(Position {
        id: DeliveryId::from_raw(row.get(0)?),
        fingerprint: Fingerprint(fingerprint.cast_unsigned()),
        route: row.get(2)?,
        cause: rows::cause(row.get(3)?, row.get_ref(4)?.as_str()?),
    })
}
