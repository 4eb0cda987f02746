//! The tables, and the migrations from earlier layouts.

use rusqlite::Connection;

use alert_manager_core::alert::Timestamp;

use super::grants;
use super::rows::STORED_BYTES_SQL;

/// `AlMg`, by which `file` and this program recognize a store.
pub(super) const APPLICATION_ID: i64 = 0x416c_4d67;

/// The number of the layout, which increases with every change of the tables.
pub(super) const LAYOUT: i64 = 8;

// `runs` has the latest lease of each delivery, and is a table with an integer key: such a row may fill a page. In one with a
// composed key (`earlier_runs`), what exceeds a quarter of a page goes to a page of its own.
// `events` sorts by time first, so that events of the same time are on the same pages.
// Each occurrence of an event has a row. `ends` is the start of the firing that a resolved has ended, if the resolved had another
// `startsAt`.
// `occurrence` and `sent_starts_at` (the `startsAt` that the sender gave, if it differs) are stored with a delivery so that events
// can be read from deliveries after a crash. `beside` has the other routes of the same alert (`model/delivery.rs`). `suspected` is
// how often the server died while this and others ran. `resent` is 1 after a re-send has revived the delivery, until a person
// retries it. `first_died_at` is the first death since that retry. Neither counts a death without a run: by backlog, or of a
// refused part.
// `effect` is 1 for an effect, 2 for one that may have happened twice because of a crash, 3 for the last read before the delivery
// was parked at a gate.
// `parked` says how the last lease that ended left the delivery (`codes.rs`). `storm_key` has the label values by which a storm is
// recognized, `storm` the storm that the delivery belongs to, and `representative` the delivery that runs in its place.
// The identifier of a storm is that of its first representative. `gates` has the gates that a service has closed.
// `timer_key` and `set_by` are of the timer that a delivery was made for: its key, and the delivery that has set it.
// `labels` has the labels as hashes (`labels.rs`), and `ends_at` is when the occurrence of a firing has ended (`history.rs`).
// `handlers` is `,a,b,`, so that `instr` finds one of them.
// `reason` is why a delivery has ended (`codes.rs`), or null if it has not.
// `dead_bytes` is the size of a dead delivery in all tables.
// `unreported` has the deaths without a notice, by reason and handlers (`unreported.rs`).
// Retention goes by `settled_at`, not by `id`: identifiers follow the order of acceptance even if the time of day is wrong.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    leases INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    suspected INTEGER NOT NULL DEFAULT 0,
    after_crash INTEGER NOT NULL DEFAULT 0,
    resent INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 2,
    status INTEGER,
    fingerprint INTEGER,
    starts_at INTEGER,
    occurrence INTEGER NOT NULL DEFAULT 1,
    sent_starts_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    accepted_at INTEGER NOT NULL,
    revived_at INTEGER,
    settled_at INTEGER,
    first_died_at INTEGER,
    not_before INTEGER,
    waits_for TEXT,
    alertname TEXT NOT NULL,
    route TEXT NOT NULL,
    beside TEXT,
    handlers TEXT NOT NULL,
    next_handler TEXT,
    last_error TEXT,
    dead_bytes INTEGER,
    reason INTEGER,
    parked INTEGER NOT NULL DEFAULT 0,
    storm_key TEXT,
    storm INTEGER,
    representative INTEGER,
    timer_key TEXT,
    set_by INTEGER,
    labels BLOB,
    ends_at INTEGER
) STRICT;
CREATE INDEX deliveries_unsettled ON deliveries (id) WHERE state < 3;
CREATE INDEX deliveries_dead ON deliveries (id, reason) WHERE state = 4;
CREATE INDEX deliveries_settled ON deliveries (state, settled_at) WHERE state >= 3;
CREATE INDEX deliveries_dead_by_handlers ON deliveries (handlers, settled_at, dead_bytes) WHERE state = 4;
CREATE TABLE alerts (id INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;
CREATE TABLE journal (
    delivery INTEGER NOT NULL,
    step INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    keyed INTEGER NOT NULL,
    name TEXT NOT NULL,
    effect INTEGER NOT NULL,
    request TEXT NOT NULL,
    result TEXT NOT NULL,
    reply TEXT NOT NULL,
    at INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    PRIMARY KEY (delivery, step, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE kv (
    handler TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (handler, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kv_expiry ON kv (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE unreported (
    class TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    since INTEGER NOT NULL,
    ids TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What deliveries wait for together, and what runs as one.
const GATES_AND_STORMS: &str = "
CREATE INDEX deliveries_members ON deliveries (representative) WHERE representative IS NOT NULL;
CREATE TABLE storms (
    id INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    storm_key TEXT NOT NULL,
    priority INTEGER NOT NULL,
    count INTEGER NOT NULL,
    resolved INTEGER NOT NULL DEFAULT 0,
    opened_at INTEGER NOT NULL,
    last_firing_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    closed_at INTEGER
) STRICT;
CREATE TABLE gates (name TEXT PRIMARY KEY, closed_until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// What is kept of occurrences whose deliveries are removed (`history.rs`), each with the identifier of its first delivery on a
/// route, and the timers that are not due yet (`timers.rs`).
const HISTORY_AND_TIMERS: &str = "
CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    alertname TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    ends_at INTEGER,
    died INTEGER NOT NULL DEFAULT 0,
    route TEXT NOT NULL,
    handlers TEXT NOT NULL,
    labels BLOB NOT NULL
) STRICT;
CREATE INDEX history_alerts ON history (alertname, starts_at, fingerprint, occurrence);
CREATE TABLE timers (
    id INTEGER PRIMARY KEY,
    handler TEXT NOT NULL,
    fingerprint INTEGER NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    set_by INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    alert TEXT NOT NULL,
    found TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX timers_keys ON timers (handler, fingerprint, route, key);
CREATE INDEX timers_bytes ON timers (handler, bytes);
CREATE INDEX timers_set_by ON timers (set_by);
";

const EVENTS: &str = "
CREATE TABLE events (
    starts_at INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    status INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    duplicates INTEGER NOT NULL DEFAULT 0,
    ends INTEGER,
    runs BLOB NOT NULL,
    PRIMARY KEY (starts_at, fingerprint, occurrence, status)
) STRICT, WITHOUT ROWID;
";

/// The index by which the open firings of a fingerprint are found. It is created when a store without it is opened, because its
/// creation would delay all alerts later.
pub(super) const EVENTS_FIRING: &str =
    "CREATE INDEX IF NOT EXISTS events_firing ON events (fingerprint) WHERE status = 0";

const RUNS: &str = "
CREATE TABLE runs (
    delivery INTEGER PRIMARY KEY,
    lease INTEGER NOT NULL,
    progress TEXT NOT NULL,
    story TEXT
) STRICT;
CREATE TABLE earlier_runs (
    delivery INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    story TEXT NOT NULL,
    PRIMARY KEY (delivery, lease)
) STRICT, WITHOUT ROWID;
";

/// From layout 1, which had all leases in one table, and no `starts_at` of deliveries.
const FROM_1: &str = "
ALTER TABLE deliveries ADD COLUMN starts_at INTEGER;
INSERT INTO meta SELECT 'events_before', coalesce(max(id), 0) + 1 FROM deliveries;
INSERT INTO runs SELECT delivery, max(lease), coalesce(progress, '{\"steps\":[]}'), story
    FROM runs_1 GROUP BY delivery;
INSERT INTO earlier_runs SELECT delivery, lease, story FROM runs_1
    WHERE story IS NOT NULL
        AND lease < (SELECT lease FROM runs WHERE runs.delivery = runs_1.delivery);
DROP TABLE runs_1;
";

/// Refused parts of bodies by the digest of their JSON (`refused.rs`).
const REFUSED_PARTS: &str = "
CREATE TABLE refused_parts (digest BLOB PRIMARY KEY, delivery INTEGER NOT NULL, last_seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX refused_parts_age ON refused_parts (last_seen);
";

/// From layout 2, which had one occurrence of each event, and no other routes of an alert: `beside` becomes "any". The acceptance
/// times of its resolved events are unknown, so they make no firing stale. It had no sizes of dead deliveries.
const FROM_2: &str = "
ALTER TABLE deliveries ADD COLUMN occurrence INTEGER NOT NULL DEFAULT 1;
ALTER TABLE deliveries ADD COLUMN sent_starts_at INTEGER;
ALTER TABLE deliveries ADD COLUMN beside TEXT DEFAULT '*';
ALTER TABLE deliveries ADD COLUMN suspected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN resent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN first_died_at INTEGER;
UPDATE deliveries SET first_died_at = settled_at WHERE state = 4;
INSERT INTO events SELECT starts_at, fingerprint, 1, status, 0, last_seen, duplicates, NULL, runs FROM events_2;
DROP TABLE events_2;
ALTER TABLE deliveries ADD COLUMN dead_bytes INTEGER;
CREATE INDEX deliveries_settled ON deliveries (state, settled_at) WHERE state >= 3;
CREATE INDEX deliveries_dead_by_handlers ON deliveries (handlers, settled_at, dead_bytes) WHERE state = 4;
CREATE TABLE unreported (class TEXT PRIMARY KEY, count INTEGER NOT NULL, since INTEGER NOT NULL, ids TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('earlier_deaths_until', CAST(unixepoch('subsec') * 1000 AS INTEGER));
";

/// From layout 3, which had no dependencies of waiting deliveries.
const FROM_3: &str = "ALTER TABLE deliveries ADD COLUMN waits_for TEXT;";

/// From layout 4, which had no reasons, only texts. The numbers are those of `codes.rs`.
const FROM_4: &str = "
ALTER TABLE deliveries ADD COLUMN reason INTEGER;
UPDATE deliveries SET reason = CASE
        WHEN handlers = '' THEN 1
        WHEN last_error = 'not sent: the delivery that it is about is no longer dead' THEN 3
        ELSE 0 END
    WHERE state = 3;
UPDATE deliveries SET reason = CASE
        WHEN last_error = 'cancelled' THEN 11
        WHEN fingerprint IS NULL THEN 13
        WHEN last_error GLOB 'backlog: half of the queue*' THEN 12
        WHEN deaths >= 3 THEN 14
        ELSE 10 END
    WHERE state = 4;
UPDATE unreported SET class = 'died' || substr(class, length('server-died') + 1) WHERE class GLOB 'server-died,*';
DROP INDEX deliveries_dead;
CREATE INDEX deliveries_dead ON deliveries (id, reason) WHERE state = 4;
";

/// From the fifth layout, which knew neither gates nor storms.
const FROM_5: &str = "
ALTER TABLE deliveries ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN storm_key TEXT;
ALTER TABLE deliveries ADD COLUMN storm INTEGER;
ALTER TABLE deliveries ADD COLUMN representative INTEGER;
";

/// From the sixth layout, which knew neither history nor timers. History begins with the first alert after the upgrade.
const FROM_6: &str = "
ALTER TABLE deliveries ADD COLUMN timer_key TEXT;
ALTER TABLE deliveries ADD COLUMN set_by INTEGER;
";

/// From the seventh layout, which had a row of history for each occurrence whose delivery was stored.
const FROM_7: &str = "
ALTER TABLE deliveries ADD COLUMN labels BLOB;
ALTER TABLE deliveries ADD COLUMN ends_at INTEGER;
";

/// The index by alertname, and how many rows history has, which is kept since a count reads them all.
const BY_ALERTNAME: &str = "
CREATE INDEX deliveries_alertname ON deliveries (alertname);
INSERT INTO meta SELECT 'history_rows', count(*) FROM history;
";

/// What was counted in each minute (`length` 1) or hour (`length` 60), by kind and key (`activity.rs`). `start` is in minutes since
/// 1970, `histogram` has the times.
const ACTIVITY: &str = "
CREATE TABLE activity (
    id INTEGER PRIMARY KEY,
    length INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    start INTEGER NOT NULL,
    key TEXT NOT NULL,
    count INTEGER NOT NULL,
    sum_ms INTEGER NOT NULL,
    histogram BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX activity_keys ON activity (length, kind, start, key);
";

/// The uses of grants (`grants.rs`).
const GRANTS_USED: &str = "
CREATE TABLE grants_used (
    handler TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    calls INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (handler, kind, name)
) STRICT, WITHOUT ROWID;
";

/// The audit log (`audit.rs`). `at` is in milliseconds since 1970.
const AUDIT: &str = "
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    person TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at);
";

/// Creates the tables.
pub(super) fn create(conn: &Connection) -> rusqlite::Result<()> {
    let secret: [u8; 32] = rand::random();
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute_batch(GATES_AND_STORMS)?;
    tx.execute_batch(HISTORY_AND_TIMERS)?;
    tx.execute_batch(EVENTS)?;
    tx.execute_batch(RUNS)?;
    tx.execute_batch(REFUSED_PARTS)?;
    tx.execute_batch(BY_ALERTNAME)?;
    tx.execute_batch(ACTIVITY)?;
    tx.execute_batch(GRANTS_USED)?;
    tx.execute_batch(AUDIT)?;
    grants::begin(&tx, Timestamp::now())?;
    tx.execute("INSERT INTO meta VALUES ('secret', ?1)", [&secret[..]])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", LAYOUT)?;
    tx.commit()
}

/// Migrates the tables from an earlier layout, in one transaction.
pub(super) fn upgrade(conn: &Connection, from: i64) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    if from < 2 {
        tx.execute_batch("ALTER TABLE runs RENAME TO runs_1")?;
        tx.execute_batch(RUNS)?;
        tx.execute_batch(FROM_1)?;
    }
    if from < 3 {
        tx.execute_batch(
            "DROP INDEX IF EXISTS events_firing;
             ALTER TABLE events RENAME TO events_2;",
        )?;
        tx.execute_batch(EVENTS)?;
        tx.execute_batch(REFUSED_PARTS)?;
        tx.execute_batch(FROM_2)?;
        tx.execute(
            &format!("UPDATE deliveries SET dead_bytes = {STORED_BYTES_SQL} WHERE state = 4"),
            [],
        )?;
    }
    if from < 4 {
        tx.execute_batch(FROM_3)?;
    }
    if from < 5 {
        tx.execute_batch(FROM_4)?;
    }
    if from < 6 {
        tx.execute_batch(FROM_5)?;
        tx.execute_batch(GATES_AND_STORMS)?;
    }
    if from < 7 {
        tx.execute_batch(FROM_6)?;
        tx.execute_batch(HISTORY_AND_TIMERS)?;
    }
    tx.execute_batch(FROM_7)?;
    tx.execute_batch(BY_ALERTNAME)?;
    tx.execute_batch(ACTIVITY)?;
    tx.execute_batch(GRANTS_USED)?;
    tx.execute_batch(AUDIT)?;
    grants::begin(&tx, Timestamp::now())?;
    tx.pragma_update(None, "user_version", LAYOUT)?;
    tx.commit()
}

#[cfg(test)]
mod tests;
