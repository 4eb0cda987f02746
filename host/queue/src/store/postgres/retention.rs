//! Retention: removes settled deliveries that are too old, or that make the store too large, in small steps that do not delay
//! commits.
//!
//! The rules are those of `SQLite`'s store (`sqlite/retention.rs`), except the size: it is the sum of what settled deliveries take
//! (`bytes`), since the tables do not shrink when rows are deleted. It is counted now and then, and in between what is removed is
//! subtracted.

use std::time::{Duration, Instant};

use alert_manager_core::alert::Timestamp;

use crate::model::{Options, Reason};
use crate::store::codes::{DEAD, DONE, reason_code};
use crate::store::{Committed, Removed, RetentionRun, Store as _, StoreError, Txn as _};

use super::session::{Call, Session, args};
use super::values::Columns as _;
use super::{PostgresStore, activity, audit, history, kv, meta, refused, rows, storms};

const DELIVERIES_A_STEP: u64 = 300;
const EVENTS_A_STEP: i64 = 500;
const REFUSED_A_STEP: i64 = 200;
const KV_A_STEP: i64 = 200;

/// How long an occurrence is kept, how many are removed at most in one step, which part of `retention.size` history takes at most if
/// the store is too large, and about how many bytes a row of it has.
const HISTORY_MEMORY: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const HISTORY_A_STEP: i64 = 500;
const HISTORY_SHARE: i64 = 8;
const HISTORY_ROW_BYTES: i64 = 256;

/// Dead deliveries are kept while they take less than `retention.size` divided by this.
const DEAD_SHARE: i64 = 2;

/// How long an event is remembered after it was last sent.
const EVENT_MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The pause between two steps if there is more to remove.
const PACE: Duration = Duration::from_millis(15);

/// The pause between two steps if there is not.
const REST: Duration = Duration::from_secs(10);

/// The pause between two scans of all events, which have no index by age.
const EVENTS_REST: Duration = Duration::from_secs(60 * 60);

/// Which part of the time at most the sizes are counted.
const COUNTED_SHARE: u32 = 200;

/// How often removals by size are logged at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The key of an event: fingerprint, start, occurrence and status.
type Key = (i64, i64, i64, i64);

/// A key that sorts before all events.
const NO_EVENT: Key = (i64::MIN, i64::MIN, i64::MIN, i64::MIN);

/// How large the store is.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    settled_bytes: i64,
    occurrences: i64,
    /// When they are counted again.
    until: Instant,
}

/// The state of retention between steps.
#[derive(Debug)]
pub(super) struct Retention {
    next: Instant,
    /// The last event that the scan has reached.
    events_to: Key,
    events_next: Instant,
    sizes: Option<Sizes>,
    /// Deliveries removed by size that are not logged yet.
    unlogged: Removed,
    log_next: Instant,
}

/// One step.
struct Step<'r> {
    retention: &'r mut Retention,
    session: &'r Session,
    options: &'r Options,
    now: Timestamp,
    removed: RetentionRun,
}

impl Retention {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            next: now + PACE,
            events_to: NO_EVENT,
            events_next: now,
            sizes: None,
            unlogged: Removed::default(),
            log_next: now,
        }
    }

    /// Returns when the next step is due.
    pub(super) fn next_step(&self) -> Instant {
        self.next
    }

    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Runs one step in a transaction of its own; returns what it has removed.
    pub(super) fn step(&mut self, store: &mut PostgresStore) -> Result<RetentionRun, StoreError> {
        // Set first, so that a failed step is retried after a pause.
        self.next = Instant::now() + REST;
        let options = store.options.clone();
        let txn = store.begin()?;
        let mut step = Step {
            session: txn.store.session()?,
            options: &options,
            now: txn.now(),
            removed: RetentionRun::default(),
            retention: self,
        };
        let ran = step.run();
        let removed = step.removed;
        let more = match ran {
            Ok(more) => more,
            Err(error) => {
                self.sizes = None;
                return Err(error);
            }
        };
        match txn.commit() {
            Committed::Yes => {}
            Committed::RolledBack(error) => {
                self.sizes = None;
                return Err(error);
            }
            // The next transaction reads what has become of it. What it may have removed is not counted.
            Committed::Unknown => {
                self.sizes = None;
                return Err(StoreError::Away("the commit was not answered".into()));
            }
        }
        let pace = if more { PACE } else { REST };
        self.next = Instant::now() + pace;
        self.unlogged.done += removed.by_size.done;
        self.unlogged.dead += removed.by_size.dead;
        if !more {
            self.log(&options);
        }
        Ok(removed)
    }

    /// Logs what was removed by size.
    fn log(&mut self, options: &Options) {
        let Removed { done, dead } = self.unlogged;
        if done + dead == 0 || Instant::now() < self.log_next {
            return;
        }
        self.log_next = Instant::now() + LOG_EVERY;
        self.unlogged = Removed::default();
        tracing::warn!(
            done,
            dead,
            bytes_max = options.retention_bytes_max,
            "the store is larger than retention.size: {done} done and {dead} dead deliveries were removed before \
             retention.time; raise retention.size, or lower retention.time"
        );
    }
}

/// A settled delivery that may be removed.
struct Old {
    id: i64,
    bytes: i64,
    is_dead_letter: bool,
}

impl Step<'_> {
    /// Runs the step; returns true if there is more to do.
    fn run(&mut self) -> Result<bool, StoreError> {
        self.remove_old()?;
        let old = before(self.now, HISTORY_MEMORY);
        let forgotten = history::forget(self.session, old, HISTORY_A_STEP)?;
        let mut more = forgotten == HISTORY_A_STEP;
        self.count()?;
        more |= self.remove_occurrences()?;
        self.remove_done()?;
        self.remove_dead()?;
        more |= self.left() == 0;
        more |= self.forget_events()?;
        more |= activity::roll_up(self.session, self.now)?;
        more |= audit::forget(self.session, old)?;
        let cutoff = before(self.now, self.options.retention_time);
        self.session.together(&[storms::forget(cutoff)])?;
        let cutoff = before(self.now, EVENT_MEMORY);
        more |= refused::forget(self.session, cutoff, REFUSED_A_STEP)? == REFUSED_A_STEP;
        more |= kv::expire(self.session, None, self.now, KV_A_STEP)? == KV_A_STEP;
        Ok(more)
    }

    /// Returns how many deliveries this step may still remove.
    fn left(&self) -> i64 {
        let RetentionRun {
            by_time, by_size, ..
        } = self.removed;
        let sum = by_time.done + by_time.dead + by_size.done + by_size.dead;
        DELIVERIES_A_STEP.saturating_sub(sum).cast_signed()
    }

    /// Counts how large the store is, if that was long ago.
    fn count(&mut self) -> Result<(), StoreError> {
        let counted = self.retention.sizes;
        if counted.is_some_and(|sizes| Instant::now() < sizes.until) {
            return Ok(());
        }
        let began = Instant::now();
        let row = self.session.one(
            "SELECT (SELECT coalesce(sum(bytes), 0)::bigint FROM deliveries WHERE state >= 3),
                 (SELECT count(*) FROM history)",
            &[],
        )?;
        self.retention.sizes = Some(Sizes {
            settled_bytes: row.int(0)?,
            occurrences: row.int(1)?,
            until: Instant::now() + (began.elapsed() * COUNTED_SHARE).max(REST),
        });
        Ok(())
    }

    /// Returns by how many bytes the store is too large; 0 or less if it is not.
    fn excess(&self) -> i64 {
        let bytes_max = i64::try_from(self.options.retention_bytes_max).unwrap_or(i64::MAX);
        self.retention.sizes.map_or(0, |sizes| {
            let bytes = sizes.settled_bytes + sizes.occurrences * HISTORY_ROW_BYTES;
            bytes - bytes_max
        })
    }

    /// Of a store that is too large, removes the oldest occurrences beyond their share. Returns true if there may be more.
    fn remove_occurrences(&mut self) -> Result<bool, StoreError> {
        let is_too_large = self.excess() > 0;
        let Some(sizes) = self.retention.sizes.as_mut().filter(|_| is_too_large) else {
            return Ok(false);
        };
        let bytes_max = i64::try_from(self.options.retention_bytes_max).unwrap_or(i64::MAX);
        let beyond = sizes.occurrences - bytes_max / HISTORY_SHARE / HISTORY_ROW_BYTES;
        let step = beyond.clamp(0, HISTORY_A_STEP);
        if step > 0 {
            history::remove_oldest(self.session, step)?;
            sizes.occurrences -= step;
        }
        Ok(beyond > step)
    }

    /// Removes deliveries that were settled too long ago.
    fn remove_old(&mut self) -> Result<(), StoreError> {
        let cutoff = before(self.now, self.options.retention_time);
        for state in [DONE, DEAD] {
            let old = self.oldest(state, cutoff, self.left())?;
            match state {
                DONE => self.removed.by_time.done += old.len() as u64,
                _ => self.removed.by_time.dead += old.len() as u64,
            }
            self.remove(&old, state == DEAD)?;
        }
        Ok(())
    }

    /// Removes done deliveries, the oldest first, while the store is too large.
    fn remove_done(&mut self) -> Result<(), StoreError> {
        let mut excess = self.excess();
        if excess <= 0 || self.left() == 0 {
            return Ok(());
        }
        let mut oldest = self.oldest(DONE, i64::MAX, self.left())?;
        let enough = oldest.iter().position(|old| {
            excess -= old.bytes;
            excess <= 0
        });
        oldest.truncate(enough.map_or(oldest.len(), |last| last + 1));
        self.removed.by_size.done += oldest.len() as u64;
        self.remove(&oldest, false)
    }

    /// Removes dead deliveries while the store is too large, no done delivery is left, and the dead ones take more than their share:
    /// the oldest of the pipeline whose dead deliveries take most.
    fn remove_dead(&mut self) -> Result<(), StoreError> {
        if self.excess() <= 0 || self.left() == 0 || !self.oldest(DONE, i64::MAX, 1)?.is_empty() {
            return Ok(());
        }
        let found = self.session.query(
            "SELECT handlers, coalesce(sum(bytes), 0)::bigint FROM deliveries
             WHERE state = 4 GROUP BY handlers",
            &[],
        )?;
        let mut pipelines = found
            .iter()
            .map(|row| Ok((row.text(0)?, row.int(1)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let share =
            i64::try_from(self.options.retention_bytes_max).unwrap_or(i64::MAX) / DEAD_SHARE;
        let mut dead_bytes: i64 = pipelines.iter().map(|(_, bytes)| bytes).sum();
        while self.left() > 0 && dead_bytes > share && self.excess() > 0 {
            let largest = (0..pipelines.len()).max_by_key(|index| pipelines[*index].1);
            let Some(largest) = largest else {
                break;
            };
            let found = self.session.query(
                format!(
                    "SELECT {OLD} FROM deliveries WHERE state = 4 AND handlers = $1
                     ORDER BY settled_at, id LIMIT 1"
                ),
                &[&pipelines[largest].0],
            )?;
            let Some(row) = found.first() else {
                pipelines.swap_remove(largest);
                continue;
            };
            let old = read_old(row)?;
            dead_bytes -= old.bytes;
            pipelines[largest].1 -= old.bytes;
            self.removed.by_size.dead += 1;
            self.remove(&[old], true)?;
        }
        Ok(())
    }

    /// Returns at most `count` deliveries in a state that were settled until `cutoff`, the oldest first.
    fn oldest(&self, state: i64, cutoff: i64, count: i64) -> Result<Vec<Old>, StoreError> {
        let found = self.session.query(
            format!(
                "SELECT {OLD} FROM deliveries
                 WHERE state >= 3 AND state = $1 AND settled_at <= $2 ORDER BY settled_at, id LIMIT $3"
            ),
            &[&state, &cutoff, &count],
        )?;
        found.iter().map(read_old).collect()
    }

    /// Removes deliveries with all that belongs to them.
    fn remove(&mut self, old: &[Old], is_dead: bool) -> Result<(), StoreError> {
        if old.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = old.iter().map(|old| old.id).collect();
        // The latest delivery may be removed, and identifiers must not be assigned again.
        let mut calls = vec![meta::keep_last_id()];
        calls.extend(history::keep(&ids));
        if is_dead {
            let letters = old.iter().filter(|old| old.is_dead_letter).count();
            self.removed.dead_letters += letters as u64;
        }
        calls.extend(rows::delete(&ids));
        self.session.together(&calls)?;
        if let Some(sizes) = &mut self.retention.sizes {
            sizes.settled_bytes -= old.iter().map(|old| old.bytes).sum::<i64>();
        }
        Ok(())
    }

    /// Deletes some events that are too old, and the rows of their fingerprints; returns true if the scan is not at its end.
    fn forget_events(&mut self) -> Result<bool, StoreError> {
        if Instant::now() < self.retention.events_next {
            return Ok(false);
        }
        let cutoff = before(self.now, EVENT_MEMORY);
        let from = self.retention.events_to;
        let scanned = self.session.query(
            "SELECT fingerprint, starts_at, occurrence, status, last_seen <= $5 FROM events
             WHERE (fingerprint, starts_at, occurrence, status) > ($1, $2, $3, $4)
             ORDER BY fingerprint, starts_at, occurrence, status LIMIT $6",
            &[&from.0, &from.1, &from.2, &from.3, &cutoff, &EVENTS_A_STEP],
        )?;
        let mut old: [Vec<i64>; 4] = Default::default();
        for row in &scanned {
            let key = (row.int(0)?, row.int(1)?, row.int(2)?, row.int(3)?);
            self.retention.events_to = key;
            if row.column(4)? {
                for (column, value) in old.iter_mut().zip([key.0, key.1, key.2, key.3]) {
                    column.push(value);
                }
            }
        }
        let [fingerprints, starts, occurrences, statuses] = old;
        if !fingerprints.is_empty() {
            self.session.together(&[
                Call::new(
                    "DELETE FROM events e
                     USING unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
                         AS v(fingerprint, starts_at, occurrence, status)
                     WHERE e.fingerprint = ANY($1) AND e.fingerprint = v.fingerprint
                         AND e.starts_at = v.starts_at AND e.occurrence = v.occurrence
                         AND e.status = v.status",
                    args![fingerprints.clone(), starts, occurrences, statuses],
                ),
                Call::new(
                    "DELETE FROM fingerprints f WHERE f.fingerprint = ANY($1)
                         AND NOT EXISTS (SELECT 1 FROM events e WHERE e.fingerprint = f.fingerprint)",
                    args![fingerprints],
                ),
            ])?;
        }
        let more = (scanned.len() as i64) == EVENTS_A_STEP;
        if !more {
            self.retention.events_to = NO_EVENT;
            self.retention.events_next = Instant::now() + EVENTS_REST;
        }
        Ok(more)
    }
}

/// The columns of [`Old`].
const OLD: &str = "id, coalesce(bytes, 0), reason";

fn read_old(row: &tokio_postgres::Row) -> Result<Old, StoreError> {
    Ok(Old {
        id: row.int(0)?,
        bytes: row.int(1)?,
        is_dead_letter: row.maybe_int(2)? != Some(reason_code(Reason::Cancelled)),
    })
}

/// Returns the time `ago` before `now`, in milliseconds since 1970.
fn before(now: Timestamp, ago: Duration) -> i64 {
    let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_sub(ago)
}
