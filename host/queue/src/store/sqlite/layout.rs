//! The tables, and how those of earlier layouts become them.

use rusqlite::Connection;

use super::rows::DEAD_BYTES;

/// `AlMg`, so that `file` and this program tell a store from any other database.
pub(super) const APPLICATION_ID: i64 = 0x416c_4d67;

/// Raised with every change of the tables.
pub(super) const LAYOUT: i64 = 6;

// `runs` has the latest lease of each delivery: a row that is found by its number may fill a page, but one
// found by a composed key is cut at a quarter of it, and its rest takes a page alone.
// `events` begins with the time: those that come together lie together.
// An event has a row for each occurrence, so that what is remembered of one goes with it. `ends` is the start of the firing
// that a resolved has ended, if it named another one.
// `occurrence` and `sent_starts_at` (the start that the sender gave, if the event has another) are what the events of
// deliveries are read from after a crash. `beside` has the other routes that the same alert took (`model/delivery.rs`). `suspected`
// counts the times that the server died while this and others ran. `resent` is 1 from the revival by a re-send to the
// retry by a person; `first_died_at` is the first death since that retry. Neither counts a death before the first run: by
// backlog, or of what was refused.
// `effect` is 1 for an effect, 2 for one that a crash may have made happen twice, 3 for the last read before the delivery was
// parked.
// `parked` says how the last lease that ended left the delivery (`codes.rs`). `storm_key` has the values by which a storm is
// recognized, `storm` the storm that it belongs to, and `representative` the delivery that runs in its place.
// `storms` are called by their first representative. `gates` has those that a service has closed, and until when.
// `handlers` is `,a,b,`, so that one of them is found with `instr`.
// `reason` is why a delivery has ended (`codes.rs`), null before that.
// `dead_bytes` is what a dead delivery takes of the store, with everything that belongs to it.
// `unreported` has the deaths that no notice was made of yet, by why they died and their handlers (`unreported.rs`).
// Retention goes by when deliveries were settled, never by their ids: those follow the order of acceptance, also while the
// clock is wrong.
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
    representative INTEGER
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

/// For what names no start, as the end of a notice. Made when a store is opened that lacks it: made at need, it would hold up
/// everybody.
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

/// From the first layout, which had every lease in one table and knew no start of a delivery's event.
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

/// Refused parts of bodies by the digest of their JSON, so that one that is sent again is neither kept nor reported anew.
const REFUSED_PARTS: &str = "
CREATE TABLE refused_parts (digest BLOB PRIMARY KEY, delivery INTEGER NOT NULL, last_seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX refused_parts_age ON refused_parts (last_seen);
";

/// From the second layout, which knew one occurrence of each event, and no routes but a delivery's own: which others its
/// alert took is written as "any". When its resolved events were accepted is not known, so none makes a firing stale. Its
/// retention went by identifiers, and did not know what a dead letter takes.
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

/// From the third layout, which did not know what a delivery waits for besides its time.
const FROM_3: &str = "ALTER TABLE deliveries ADD COLUMN waits_for TEXT;";

/// From the fourth layout, in which a text alone said why a delivery had ended. Reasons have the numbers of `codes.rs`.
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

/// Makes the tables.
pub(super) fn create(conn: &Connection) -> rusqlite::Result<()> {
    let secret: [u8; 32] = rand::random();
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute_batch(GATES_AND_STORMS)?;
    tx.execute_batch(EVENTS)?;
    tx.execute_batch(RUNS)?;
    tx.execute_batch(REFUSED_PARTS)?;
    tx.execute("INSERT INTO meta VALUES ('secret', ?1)", [&secret[..]])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", LAYOUT)?;
    tx.commit()
}

/// Makes the tables of an earlier layout those of this one, in one transaction.
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
            &format!("UPDATE deliveries SET dead_bytes = {DEAD_BYTES} WHERE state = 4"),
            [],
        )?;
    }
    if from < 4 {
        tx.execute_batch(FROM_3)?;
    }
    if from < 5 {
        tx.execute_batch(FROM_4)?;
    }
    tx.execute_batch(FROM_5)?;
    tx.execute_batch(GATES_AND_STORMS)?;
    tx.pragma_update(None, "user_version", LAYOUT)?;
    tx.commit()
}

#[cfg(test)]
mod tests;
