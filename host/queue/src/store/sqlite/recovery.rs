//! Takes up where the last process ended: what it had under way when it died, and what was waiting.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rusqlite::{Connection, params};
use tokio::sync::mpsc;

use crate::Shared;
use crate::failpoint::Failpoint;
use crate::model::OpenError;
use crate::model::Reason;
use crate::model::clock::Clock;
use crate::model::{Caps, Options};
use crate::model::{Delivery, LastEnd, Recovered};
use crate::schedule::{Entrant, Scheduler};
use alert_manager_core::alert::{DeliveryId, Fingerprint, Timestamp};

use super::checkpoint::Checkpointer;
use super::committer::{Committer, Handed};
use super::deaths::{self, Reports};
use super::events::{Events, Gathering};
use super::notices;
use super::reader::Reader;
use super::retention::Retention;
use super::rows::{self, STORED, Shared as Texts, Stored};
use super::schema::{self, DEAD, PREFETCHED, QUEUED, RETRYING, RUNNING};

/// Deaths of the server under a delivery that ran alone that end it.
const DEATHS_MAX: u32 = 3;

/// JSON bytes of waiting alerts that are kept in memory; the rest is read when its turn comes.
const ALERT_BYTES_MAX: usize = 16 << 20;

/// The longest that a delivery waits after a start, whatever the clock was when it was told to wait.
const WAIT_MS_MAX: i64 = 60 * 60 * 1_000;

/// What is said of such a delivery ([`Reason::Died`]).
const DIED: &str = "the server died three times while it ran this alone, and a call that was under way may have \
                    happened; check the log, then retry it with `alert-manager retry`; a re-send of the alert does not \
                    retry it";

/// A store, ready to work.
pub(crate) struct Started {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reader: Reader,
    pub(crate) recovered: Recovered,
    pub(crate) committer: Committer,
    pub(crate) handed: mpsc::UnboundedReceiver<Handed>,
}

/// Opens the store at `path` and loads everything that is not settled.
pub(crate) fn start(
    path: &Path,
    gathering: Gathering,
    options: Options,
    caps: Caps,
    clock: Clock,
) -> Result<Started, OpenError> {
    let had = Remains::of(path);
    let opened = schema::open(path)?;
    let failed = |e: rusqlite::Error| schema::failed(path, &e);
    let mut texts = Texts::default();
    let mut scheduler = Scheduler::new(caps, options.queue_depth_max, ALERT_BYTES_MAX);
    let (under_lease, died) = take_up(&opened.conn, clock.now()).map_err(failed)?;
    let open = load(&opened.conn, &mut scheduler, &mut texts, &clock).map_err(failed)?;
    let last_id = last_id(&opened.conn).map_err(failed)?;
    let events = Events::load(&opened.conn, gathering).map_err(failed)?;
    let reports = Reports::load(&opened.conn).map_err(failed)?;
    let watched = notices::watched(&opened.conn).map_err(failed)?;
    let checkpointer = Checkpointer::start(path)?;
    let reader = Reader::new(path.into(), options.bounds.clone(), events.gathered());
    let dead = reader.count_dead().map_err(|e| OpenError::Failed {
        path: path.into(),
        reason: e.0,
    })?;
    let recovered = Recovered {
        last_end: had.last_end(under_lease),
        under_lease,
        died,
        queued: open.queued,
        retrying: open.retrying,
        dead,
        oldest: open.oldest,
    };
    let shared = Arc::new(Shared::new(
        scheduler,
        clock,
        options,
        AtomicU64::new(dead),
        opened.secret,
    ));
    let (sender, handed) = mpsc::unbounded_channel();
    let committer = Committer {
        conn: opened.conn,
        shared: Arc::clone(&shared),
        handed: sender,
        last_id,
        events,
        kv_usage: super::kv::Usage::new(),
        texts,
        retention: Retention::new(),
        reports,
        watched,
        retries: std::collections::VecDeque::new(),
        checkpointer,
        failing: None,
        unreported_settled: 0,
        _lock: opened.lock,
    };
    Ok(Started {
        shared,
        reader,
        recovered,
        committer,
        handed,
    })
}

/// What is on the disk before the store is opened.
#[derive(Clone, Copy, Debug)]
struct Remains {
    store: bool,
    /// The write-ahead log holds something: an orderly end writes it back.
    log: bool,
}

impl Remains {
    fn of(path: &Path) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let holds = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
        Self {
            store: holds(path),
            log: holds(Path::new(&log)),
        }
    }

    fn last_end(self, under_lease: u64) -> LastEnd {
        match self {
            Self { log: true, .. } => LastEnd::Crash,
            _ if under_lease > 0 => LastEnd::Crash,
            Self { store: true, .. } => LastEnd::Clean,
            Self { store: false, .. } => LastEnd::None,
        }
    }
}

/// What waits.
#[derive(Debug, Default)]
struct Open {
    queued: u64,
    retrying: u64,
    oldest: Option<Timestamp>,
}

/// What is still marked as running is what the last process died under. What an earlier version had prefetched waits again,
/// and no death counts against it: no effect had begun.
///
/// A death counts against a delivery that was under lease alone. Of several, each is suspected, and is to run alone
/// (`scheduler/alone.rs`).
///
/// Returns how many were under lease, and those that are dead now.
fn take_up(conn: &Connection, now: Timestamp) -> rusqlite::Result<(u64, Vec<Delivery>)> {
    let tx = conn.unchecked_transaction()?;
    let under_lease: i64 = tx.query_one(
        "SELECT count(*) FROM deliveries INDEXED BY deliveries_unsettled
         WHERE state < 3 AND state IN (?1, ?2)",
        [RUNNING, PREFETCHED],
        |row| row.get(0),
    )?;
    let alone = under_lease == 1;
    let died = tx
        .prepare(
            "UPDATE deliveries INDEXED BY deliveries_unsettled
             SET state = ?1, settled_at = ?2, last_error = ?3, reason = ?7, deaths = deaths + 1, after_crash = 1,
                 first_died_at = coalesce(first_died_at, ?2)
             WHERE ?6 AND state < 3 AND state = ?4 AND deaths + 1 >= ?5
             RETURNING id",
        )?
        .query_map(
            params![
                DEAD,
                now.as_millisecond(),
                DIED,
                RUNNING,
                DEATHS_MAX,
                alone,
                rows::reason_code(Reason::Died)
            ],
            |row| row.get(0).map(DeliveryId::from_raw),
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut dead = Vec::with_capacity(died.len());
    for id in died {
        dead.extend(deaths::found_dead(&tx, id)?);
    }
    tx.execute(
        "UPDATE deliveries INDEXED BY deliveries_unsettled
         SET state = ?1, deaths = deaths + (?4 AND state = ?2), suspected = suspected + 1,
             after_crash = after_crash OR state = ?2
         WHERE state < 3 AND state IN (?2, ?3)",
        params![QUEUED, RUNNING, PREFETCHED, alone],
    )?;
    tx.commit()?;
    Ok((u64::try_from(under_lease).unwrap_or_default(), dead))
}

fn load(
    conn: &Connection,
    scheduler: &mut Scheduler,
    texts: &mut Texts,
    clock: &Clock,
) -> rusqlite::Result<Open> {
    let mut open = Open::default();
    let (now, ticks) = (clock.now(), clock.ticks());
    let mut statement = conn.prepare(&format!(
        "SELECT {STORED} FROM deliveries INDEXED BY deliveries_unsettled
         WHERE state < 3 ORDER BY id"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let stored = Stored::read(row)?;
        match stored.state {
            RETRYING => open.retrying += 1,
            _ => open.queued += 1,
        }
        open.oldest = Some(open.oldest.map_or(stored.since, |at| at.min(stored.since)));
        let next = stored
            .next_handler
            .as_deref()
            .map(alert_manager_core::alert::HandlerName::new);
        let handler = next.or_else(|| stored.pipeline.first().cloned());
        let (Some(handler), Some(fingerprint)) = (handler, stored.fingerprint) else {
            tracing::error!(delivery = %stored.id, "delivery {} has no handler and cannot run; it is left as it is", stored.id);
            continue;
        };
        let fingerprint = match Failpoint::Unordered.is_set() {
            true => Fingerprint(stored.id.as_raw().unsigned_abs()),
            false => fingerprint,
        };
        let wait_ms = stored
            .not_before
            .map_or(0, |at| (at - now.as_millisecond()).clamp(0, WAIT_MS_MAX));
        let age_ms = (now.as_millisecond() - stored.since.as_millisecond()).max(0);
        let entrant = Entrant {
            id: stored.id,
            route: texts.route(&stored.route),
            beside: stored.beside.clone(),
            fingerprint,
            pipeline: texts.pipeline(&stored.pipeline),
            handler,
            priority: stored.priority,
            due: ticks + wait_ms,
            accepted_at: stored.since,
            since: ticks.saturating_sub(age_ms),
            leases: stored.leases,
            after_crash: stored.after_crash,
            suspected: stored.suspected,
            waits_for: stored.waits_for.clone(),
            alert: None,
            alert_bytes: 0,
        };
        scheduler.restore(entrant, ticks);
    }
    Ok(open)
}

fn last_id(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_one(
        // Events are known to be written up to an identifier that a failed transaction may have used last: what is
        // accepted from now on has to lie above, whatever the clock says.
        "SELECT max(coalesce((SELECT max(id) FROM deliveries), 0),
                    coalesce((SELECT value FROM meta WHERE key = 'last_id'), 0),
                    coalesce((SELECT value FROM meta WHERE key = 'events_before'), 0) - 1)",
        [],
        |row| row.get(0),
    )
}
