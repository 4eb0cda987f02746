//! Answers queries, on connections of their own.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_postgres::Row as Columned;

use alert_manager_core::alert::{Alert, DeliveryId, Event, Fingerprint, HandlerName, Timestamp};
use alert_manager_core::journal::{Earlier, Past, Recorded};

use crate::model::clock::from_millis;
use crate::model::{
    Activity, ActivityKind, ActivityOf, AuditFilter, Audited, Bounds, Delivery, Filter, Follower,
    Outline, Page, Position, Progress, ReadError, Reason, RetryBatch, Row, Run, Selected,
    Selection, Story,
};
use crate::store::codes::reason_code;
use crate::store::{Reader, StoreError};

use super::database::Database;
use super::listed::{DELIVERY, deliveries, delivery, has_labels, read_delivery};
use super::session::{Io, Purpose, Session};
use super::values::{Columns as _, Stored};
use super::{activity, audit, events, history, journal, kv, list, rows, storms, timers};

/// How many idle connections are kept open.
const IDLE_MAX: usize = 3;

/// How many connections there are at most. Further queries wait.
const CONNECTIONS_MAX: usize = 8;

/// How many deliveries are read at once if their labels are tested.
const TESTED_AT_ONCE: usize = 500;

/// Reads from the database without blocking the committer.
#[derive(Debug)]
pub(super) struct PostgresReader {
    io: Arc<Io>,
    database: Database,
    bounds: Bounds,
    idle: Mutex<Vec<Session>>,
    /// How many more queries may run at the same time.
    free: Mutex<usize>,
    freed: parking_lot::Condvar,
}

impl PostgresReader {
    pub(super) fn new(io: Arc<Io>, database: Database, bounds: Bounds) -> Self {
        Self {
            io,
            database,
            bounds,
            idle: Mutex::default(),
            free: Mutex::new(CONNECTIONS_MAX),
            freed: parking_lot::Condvar::new(),
        }
    }

    /// Runs a query within one snapshot, so that all its reads see the same state.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Session) -> Result<T, StoreError>,
    ) -> Result<T, ReadError> {
        let _place = Place::take(self);
        let idle = self
            .idle
            .lock()
            .pop()
            .filter(|session| !session.is_closed());
        let session = match idle {
            Some(session) if session.batch(BEGIN).is_ok() => session,
            // The connection has been closed while it was idle.
            _ => {
                let session = Session::connect(&self.io, &self.database, Purpose::Read)?;
                session.batch(BEGIN)?;
                session
            }
        };
        let answer = read(&session);
        let ended = session.batch("ROLLBACK");
        if ended.is_ok() {
            let mut idle = self.idle.lock();
            if idle.len() < IDLE_MAX {
                idle.push(session);
            }
        }
        Ok(answer?)
    }
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The right to use one connection.
struct Place<'r>(&'r PostgresReader);

impl<'r> Place<'r> {
    fn take(reader: &'r PostgresReader) -> Self {
        let mut free = reader.free.lock();
        while *free == 0 {
            reader.freed.wait(&mut free);
        }
        *free -= 1;
        Self(reader)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

impl Reader for PostgresReader {
    fn list(&self, filter: &Filter) -> Result<Page, ReadError> {
        self.with(|session| {
            let mut filter = filter.clone();
            if let (None, Some(fingerprint)) = (&filter.alertname, filter.fingerprint) {
                filter.alertname = events::alertname_of(session, fingerprint)?;
            }
            list::page(session, &filter, &self.bounds)
        })
    }

    fn activity(
        &self,
        of: ActivityKind,
        handler: Option<&HandlerName>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Activity>, ReadError> {
        self.with(|session| activity::between(session, of, handler, from, to))
    }

    fn counted(
        &self,
        of: ActivityKind,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<HashMap<ActivityOf, u64>, ReadError> {
        self.with(|session| activity::counted(session, of, from, to))
    }

    fn last_counted(&self, of: ActivityKind) -> Result<HashMap<ActivityOf, Timestamp>, ReadError> {
        self.with(|session| activity::last_counted(session, of))
    }

    fn audited(&self, filter: &AuditFilter) -> Result<Vec<Audited>, ReadError> {
        self.with(|session| audit::list(session, filter))
    }

    fn kv_used(&self, handler: &HandlerName) -> Result<(u64, u64), ReadError> {
        self.with(|session| kv::kept(session, handler))
    }

    fn story(&self, id: DeliveryId) -> Result<Option<Story>, ReadError> {
        self.with(|session| story(session, id))
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, ReadError> {
        self.with(|session| delivery(session, id))
    }

    fn outlines(&self, ids: &[DeliveryId]) -> Result<Vec<Outline>, ReadError> {
        self.with(|session| {
            let mut effects = journal::effects(session, ids)?;
            let mut found = HashMap::new();
            for delivery in deliveries(session, ids)? {
                let effects = effects.remove(&delivery.id).unwrap_or_default();
                found.insert(delivery.id, Outline { delivery, effects });
            }
            Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
        })
    }

    fn recorded(&self, id: DeliveryId, step: u32) -> Result<Recorded, ReadError> {
        self.with(|session| journal::recorded(session, id, step))
    }

    fn runs(&self, event: Event) -> Result<Vec<(Run, Option<Row>)>, ReadError> {
        self.with(|session| {
            let known = events::known(session, event)?;
            let runs = known.firing_memory().runs_off(std::iter::empty());
            let ids: Vec<_> = runs.iter().map(|run| run.delivery).collect();
            let rows = rows::load(session, &ids)?;
            Ok(runs.into_iter().zip(rows).collect())
        })
    }

    fn kv_get(
        &self,
        handler: &HandlerName,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        self.with(|session| kv::get(session, handler, key, now))
    }

    fn earlier(
        &self,
        of: DeliveryId,
        handler: &HandlerName,
        asked: &Earlier,
    ) -> Result<Past, ReadError> {
        self.with(|session| history::earlier(session, of, handler, asked))
    }

    fn selected(
        &self,
        selection: &Selection,
        after: Option<DeliveryId>,
        count_max: u32,
    ) -> Result<RetryBatch, ReadError> {
        self.with(|session| selected(session, selection, after, count_max))
    }

    fn position(&self, id: DeliveryId) -> Result<Option<Position>, ReadError> {
        self.with(|session| {
            let found = session.first(
                format!(
                    "SELECT {POSITION} FROM deliveries WHERE id = $1 AND fingerprint IS NOT NULL"
                ),
                &[&id.as_raw()],
            )?;
            found.as_ref().map(read_position).transpose()
        })
    }

    fn followers(
        &self,
        after: DeliveryId,
        each: &mut dyn FnMut(Follower<'_>),
    ) -> Result<(), ReadError> {
        self.with(|session| rows::followers(session, after, each))
    }
}

/// The columns of a [`Position`].
const POSITION: &str = "id, fingerprint, route, set_by IS NOT NULL, handlers";

fn selected(
    session: &Session,
    selection: &Selection,
    after: Option<DeliveryId>,
    count_max: u32,
) -> Result<RetryBatch, StoreError> {
    let cancelled = reason_code(Reason::Cancelled);
    let handler = selection.handler.as_ref().map(|h| format!(",{h},"));
    let text = selection.reason.as_deref();
    let named: Option<i64> = text.and_then(|text| text.parse().ok()).map(reason_code);
    let after = after.map_or(i64::MIN, DeliveryId::as_raw);
    let state = match selection.state {
        Selected::Dead => "state = 4 AND route <> 'dead-letter' AND route !~ '^dead-letter[@:]'",
        Selected::Retrying => "state < 3 AND state = 2",
    };
    let from = format!(
        "FROM deliveries WHERE {state} AND id > $1 AND fingerprint IS NOT NULL
             AND reason IS DISTINCT FROM $2
             AND ($3::text IS NULL OR strpos(handlers, $3) > 0)
             AND ($4::text IS NULL OR reason = $5 OR strpos(lower(last_error), lower($4)) > 0)"
    );
    let text = text.map(Stored);
    let limit = i64::from(count_max);
    let found = session.query(
        format!("SELECT {POSITION} {from} ORDER BY id LIMIT $6"),
        &[&after, &cancelled, &handler, &text, &named, &limit],
    )?;
    let mut positions = found
        .iter()
        .map(read_position)
        .collect::<Result<Vec<_>, _>>()?;
    let scanned_to = positions.last().map(|last| last.id);
    let remaining = match scanned_to {
        Some(last) if positions.len() == count_max as usize => {
            let counted = session.one(
                format!("SELECT count(*) {from}"),
                &[&last.as_raw(), &cancelled, &handler, &text, &named],
            )?;
            counted.int(0)?.unsigned_abs()
        }
        _ => 0,
    };
    if let Some(test) = &selection.labels {
        let mut with_labels = Vec::new();
        for some in positions.chunks(TESTED_AT_ONCE) {
            let ids: Vec<_> = some.iter().map(|position| position.id.as_raw()).collect();
            let found = session.query("SELECT id, json FROM alerts WHERE id = ANY($1)", &[&ids])?;
            let mut passed = std::collections::HashSet::new();
            for row in &found {
                if has_labels(&row.text(1)?, test) {
                    passed.insert(row.int(0)?);
                }
            }
            let some = some.iter().filter(|p| passed.contains(&p.id.as_raw()));
            with_labels.extend(some.cloned());
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

fn story(session: &Session, id: DeliveryId) -> Result<Option<Story>, StoreError> {
    let sql = format!("SELECT {DELIVERY} FROM deliveries WHERE id = $1");
    let Some(found) = session.first(sql, &[&id.as_raw()])? else {
        return Ok(None);
    };
    let (mut delivery, not_before) = (read_delivery(&found)?, found.maybe_int(11)?);
    let json = rows::alert_json(session, id)?.unwrap_or_default();
    let is_alert = !delivery.fingerprint.is_empty();
    let parsed = serde_json::from_str::<Alert>(&json)
        .ok()
        .filter(|_| is_alert);
    let duplicates = match &parsed {
        Some(alert) => events::duplicates(session, alert.event())?,
        None => 0,
    };
    let alert = match serde_json::from_str(&json) {
        Ok(alert) if is_alert => alert,
        _ => serde_json::Value::String(json),
    };
    let progress = rows::progress_json(session, id)?
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_else(|| Progress::new(&delivery.handlers));
    let stories = rows::stories(session, id)?;
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
        journal: journal::all(session, id)?,
        duplicates,
        members: storms::members(session, id)?,
        timers: timers::shown(session, id)?,
        delivery,
    }))
}

fn read_position(row: &Columned) -> Result<Position, StoreError> {
    Ok(Position {
        id: DeliveryId::from_raw(row.int(0)?),
        fingerprint: Fingerprint(row.int(1)?.cast_unsigned()),
        route: row.text(2)?,
        cause: rows::cause(row.column(3)?, row.column(4)?),
    })
}
