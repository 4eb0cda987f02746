//! What is remembered of events, by which `rules/recognize.rs` decides whether an alert is new, a duplicate or stale.
//!
//! A transaction first locks the rows of its fingerprints, and reads the events in a later statement: one that locked and read at
//! once would not see what another server has committed while it waited.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use alert_manager_core::alert::{DeliveryId, Event, Fingerprint, Occurrence, Status};

use crate::model::clock::{from_nanos, nanos};
use crate::model::{EventChange, Kept, Known, Memory, OPEN_AMONG, Remember, Start};
use crate::store::StoreError;
use crate::store::codes::{status_code, status_of};

use super::session::{Call, Session, args};
use super::values::Columns;

/// The key of an event: fingerprint, start in nanoseconds since 1970, occurrence and status.
type Key = (i64, i64, i64, i64);

fn key_of(event: Event) -> Key {
    (
        event.fingerprint.0.cast_signed(),
        nanos(event.starts_at),
        i64::from(event.occurrence.as_raw()),
        status_code(event.status),
    )
}

/// What a transaction has read of events, and what it has changed.
#[derive(Debug, Default)]
pub(super) struct Events {
    kept: HashMap<Key, Kept>,
    changed: Vec<Key>,
}

const KEPT: &str = "e.accepted_at, e.last_seen, e.duplicates, e.ends, e.runs";

fn read_kept(row: &tokio_postgres::Row, at: usize) -> Result<Kept, StoreError> {
    Ok(Kept {
        accepted_ms: row.int(at)?,
        last_seen_ms: row.int(at + 1)?,
        duplicates: row.int(at + 2)?.unsigned_abs(),
        ends: row.maybe_int(at + 3)?,
        memory: Memory::from_bytes(row.column(at + 4)?),
    })
}

impl Events {
    /// Locks the fingerprints of events until the transaction ends, and returns what is remembered of their starts.
    pub(super) fn recall(
        &mut self,
        session: &Session,
        events: &[Event],
    ) -> Result<Vec<Known>, StoreError> {
        let mut fingerprints: Vec<i64> = events.iter().map(|event| key_of(*event).0).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        let keys = events.iter().map(|event| key_of(*event));
        let (of, starts): (Vec<_>, Vec<_>) = keys.map(|key| (key.0, key.1)).unzip();
        let mut calls = Vec::new();
        calls.extend(self.written());
        // In one order, so that two servers do not wait for each other.
        calls.push(Call::new(
            "INSERT INTO fingerprints (fingerprint)
             SELECT fingerprint FROM unnest($1::bigint[]) AS v(fingerprint) ORDER BY fingerprint
             ON CONFLICT (fingerprint) DO UPDATE SET fingerprint = excluded.fingerprint",
            args![fingerprints],
        ));
        calls.push(Call::new(
            format!(
                "SELECT v.at, e.occurrence, e.status, {KEPT}
                 FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS v(fingerprint, starts_at, at)
                 CROSS JOIN LATERAL (
                     SELECT * FROM events
                     WHERE events.fingerprint = v.fingerprint AND events.starts_at = v.starts_at
                     ORDER BY occurrence DESC, status DESC LIMIT 2) AS e"
            ),
            args![of, starts],
        ));
        let rows = session.together(&calls)?.pop().unwrap_or_default();
        let mut known: Vec<Known> = events.iter().map(|_| Known::default()).collect();
        for row in &rows {
            let at = usize::try_from(row.int(0)? - 1).unwrap_or(usize::MAX);
            let (Some(event), Some(known)) = (events.get(at), known.get_mut(at)) else {
                continue;
            };
            let (occurrence, status) =
                (Occurrence::from_raw(row.count(1)?), status_of(row.int(2)?));
            let kept = read_kept(row, 3)?;
            let event = Event {
                occurrence,
                status,
                ..*event
            };
            self.kept.insert(key_of(event), kept.clone());
            known.add(occurrence, status, || kept);
        }
        Ok(known)
    }

    /// Changes what is remembered of an event, in memory: [`Self::written`] writes it.
    pub(super) fn remember(
        &mut self,
        session: &Session,
        change: &EventChange,
    ) -> Result<(), StoreError> {
        let key = key_of(change.event);
        if let Remember::New { kept, .. } = &change.what {
            self.kept.insert(key, kept.clone());
        } else {
            let kept = match self.kept.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(absent) => {
                    let Some(kept) = stored(session, key)? else {
                        return Ok(());
                    };
                    absent.insert(kept)
                }
            };
            change.what.change(kept);
        }
        self.changed.push(key);
        Ok(())
    }

    /// Returns what writes the changes that are not written yet.
    pub(super) fn written<'a>(&mut self) -> Option<Call<'a>> {
        let mut keys = std::mem::take(&mut self.changed);
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return None;
        }
        let kept: Vec<Kept> = keys
            .iter()
            .map(|key| self.kept.get(key).cloned().unwrap_or_default())
            .collect();
        let column = |of: fn(&Key) -> i64| keys.iter().map(of).collect::<Vec<_>>();
        Some(Call::new(
            "INSERT INTO events (fingerprint, starts_at, occurrence, status, accepted_at, last_seen,
                 duplicates, ends, runs)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                 $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[])
             ON CONFLICT (fingerprint, starts_at, occurrence, status) DO UPDATE SET
                 accepted_at = excluded.accepted_at, last_seen = excluded.last_seen,
                 duplicates = excluded.duplicates, ends = excluded.ends, runs = excluded.runs",
            args![
                column(|key| key.0),
                column(|key| key.1),
                column(|key| key.2),
                column(|key| key.3),
                kept.iter().map(|kept| kept.accepted_ms).collect::<Vec<_>>(),
                kept.iter().map(|kept| kept.last_seen_ms).collect::<Vec<_>>(),
                kept.iter()
                    .map(|kept| kept.duplicates.cast_signed())
                    .collect::<Vec<_>>(),
                kept.iter().map(|kept| kept.ends).collect::<Vec<_>>(),
                kept.iter()
                    .map(|kept| kept.memory.to_bytes())
                    .collect::<Vec<_>>(),
            ],
        ))
    }
}

fn stored(session: &Session, key: Key) -> Result<Option<Kept>, StoreError> {
    let row = session.first(
        format!(
            "SELECT {KEPT} FROM events e
             WHERE fingerprint = $1 AND starts_at = $2 AND occurrence = $3 AND status = $4"
        ),
        &[&key.0, &key.1, &key.2, &key.3],
    )?;
    row.map(|row| read_kept(&row, 0)).transpose()
}

/// Returns what is remembered of the current occurrence of a start.
pub(super) fn known(session: &Session, event: Event) -> Result<Known, StoreError> {
    let start = Start::from(event);
    let rows = session.query(
        format!(
            "SELECT e.occurrence, e.status, {KEPT} FROM events e
             WHERE fingerprint = $1 AND starts_at = $2
             ORDER BY occurrence DESC, status DESC LIMIT 2"
        ),
        &[&start.fingerprint.0.cast_signed(), &start.at],
    )?;
    let mut known = Known::default();
    for row in &rows {
        let kept = read_kept(row, 2)?;
        known.add(
            Occurrence::from_raw(row.count(0)?),
            status_of(row.int(1)?),
            || kept,
        );
    }
    Ok(known)
}

/// Returns how often an event was sent again and did not run again; 0 if it is not remembered.
pub(super) fn duplicates(session: &Session, event: Event) -> Result<u64, StoreError> {
    Ok(stored(session, key_of(event))?.map_or(0, |kept| kept.duplicates))
}

/// Returns at most `most` firings of a fingerprint that no resolved has ended, the latest first. Searches its latest
/// [`OPEN_AMONG`]. A resolved with this `startsAt` that ended another firing did not end this one.
pub(super) fn open_firings(
    session: &Session,
    of: Fingerprint,
    most: usize,
) -> Result<Vec<Event>, StoreError> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = session.query(
        "SELECT f.starts_at, f.occurrence
         FROM (SELECT starts_at, occurrence FROM events WHERE fingerprint = $1 AND status = 0
               ORDER BY starts_at DESC, occurrence DESC LIMIT $2) AS f
         WHERE NOT EXISTS (
             SELECT 1 FROM events r
             WHERE r.fingerprint = $1 AND r.starts_at = f.starts_at AND r.occurrence = f.occurrence
                 AND r.status = 1 AND r.ends IS NULL)
         ORDER BY f.starts_at DESC, f.occurrence DESC LIMIT $3",
        &[&of.0.cast_signed(), &i64::from(OPEN_AMONG), &most],
    )?;
    let event = |row: &tokio_postgres::Row| {
        Ok(Event {
            fingerprint: of,
            starts_at: from_nanos(row.int(0)?),
            status: Status::Firing,
            occurrence: Occurrence::from_raw(row.count(1)?),
        })
    };
    rows.iter().map(event).collect()
}

/// Returns the name of the alerts with a fingerprint, which is among what it is made of; nothing if none is remembered.
pub(super) fn alertname_of(
    session: &Session,
    of: Fingerprint,
) -> Result<Option<String>, StoreError> {
    let of = of.0.cast_signed();
    let latest = session.first(
        "SELECT runs FROM events WHERE fingerprint = $1 AND status = 0
         ORDER BY starts_at DESC, occurrence DESC LIMIT 1",
        &[&of],
    )?;
    let Some(latest) = latest else {
        return Ok(None);
    };
    let Some(run) = Memory::from_bytes(latest.column(0)?).latest() else {
        return Ok(None);
    };
    let found = session.first(
        "SELECT alertname FROM deliveries WHERE id = $1 AND fingerprint = $2",
        &[&run.delivery.as_raw(), &of],
    )?;
    found.map(|row| row.text(0)).transpose()
}

/// Returns the deliveries of the `events_max` events of a fingerprint up to a start, and of as many after it.
pub(super) fn deliveries_near(
    session: &Session,
    event: Event,
    events_max: u32,
) -> Result<Vec<DeliveryId>, StoreError> {
    let (fingerprint, starts_at, ..) = key_of(event);
    let mut found = Vec::new();
    for condition in ["<= $2 ORDER BY starts_at DESC", "> $2 ORDER BY starts_at"] {
        let sql = format!(
            "SELECT runs FROM events WHERE fingerprint = $1 AND starts_at {condition} LIMIT $3"
        );
        for row in session.query(sql, &[&fingerprint, &starts_at, &i64::from(events_max)])? {
            found.extend(Memory::from_bytes(row.column(0)?).deliveries());
        }
    }
    Ok(found)
}
