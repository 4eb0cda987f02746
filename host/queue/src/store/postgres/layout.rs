//! The tables, and the migrations from earlier layouts.
//!
//! They are in a schema of their own, so that a database may be shared with other programs. A migration only adds: a server of the
//! version before goes on with what it knows.

use crate::store::StoreError;

use super::session::{SCHEMA, Session};

/// The key of the advisory lock under which tables are created and migrated.
const LOCK: i64 = 0x416c_4d67_0000_0001;

/// What leads from each layout to the next one. Those that were released never change.
const STEPS: [&str; 3] = [FIRST, ARRIVALS, REPLICAS];

/// The number of the layout, which increases with every change of the tables.
pub(super) const LAYOUT: i64 = STEPS.len() as i64;

// The columns have the meaning that they have in SQLite's tables (`sqlite/layout.rs`), and codes are the same (`codes.rs`).
// `lanes` has a row for each connection that writes: `n` counts its transactions, and shows whether one was committed of which no
// answer came. `pid` and `backend_start` are of the process of the database that serves it, which another server ends before it takes
// over. `term` says which server schedules, `servers` how often each has shown that it lives.
// `fingerprints` has a row for each fingerprint, which a transaction locks before it reads what is known of it.
// `bytes` is the size of a settled delivery in all tables.
const FIRST: &str = "
CREATE TABLE meta (key text COLLATE \"C\" PRIMARY KEY, number bigint, bytes bytea);
CREATE TABLE term (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL,
    server bigint,
    ended_in_order boolean NOT NULL
);
INSERT INTO term VALUES (true, 0, NULL, true);
CREATE TABLE servers (
    server bigint PRIMARY KEY,
    epoch bigint NOT NULL,
    beat bigint NOT NULL DEFAULT 0
);
CREATE TABLE lanes (
    server bigint NOT NULL,
    lane bigint NOT NULL,
    n bigint NOT NULL DEFAULT 0,
    pid integer NOT NULL,
    backend_start timestamptz,
    PRIMARY KEY (server, lane)
);
CREATE TABLE fingerprints (fingerprint bigint PRIMARY KEY);
CREATE TABLE deliveries (
    id bigint PRIMARY KEY,
    state bigint NOT NULL,
    leases bigint NOT NULL DEFAULT 0,
    deaths bigint NOT NULL DEFAULT 0,
    suspected bigint NOT NULL DEFAULT 0,
    after_crash boolean NOT NULL DEFAULT false,
    resent boolean NOT NULL DEFAULT false,
    priority bigint NOT NULL DEFAULT 2,
    status bigint,
    fingerprint bigint,
    starts_at bigint,
    occurrence bigint NOT NULL DEFAULT 1,
    attempts bigint NOT NULL DEFAULT 0,
    accepted_at bigint NOT NULL,
    revived_at bigint,
    settled_at bigint,
    first_died_at bigint,
    not_before bigint,
    waits_for text,
    alertname text NOT NULL,
    route text NOT NULL,
    beside text,
    handlers text COLLATE \"C\" NOT NULL,
    next_handler text,
    last_error text,
    bytes bigint,
    reason bigint,
    parked bigint NOT NULL DEFAULT 0,
    storm_key text,
    storm bigint,
    representative bigint,
    timer_key text,
    set_by bigint,
    labels bytea,
    ends_at bigint
) WITH (fillfactor = 80);
CREATE INDEX deliveries_unsettled ON deliveries (id) WHERE state < 3;
CREATE INDEX deliveries_dead ON deliveries (id, reason) WHERE state = 4;
CREATE INDEX deliveries_settled ON deliveries (state, settled_at, id) INCLUDE (bytes) WHERE state >= 3;
CREATE INDEX deliveries_dead_by_handlers ON deliveries (handlers, settled_at, id) INCLUDE (bytes) WHERE state = 4;
CREATE INDEX deliveries_members ON deliveries (representative) WHERE representative IS NOT NULL;
CREATE INDEX deliveries_alertname ON deliveries (alertname, id);
CREATE TABLE alerts (id bigint PRIMARY KEY, json text NOT NULL);
CREATE TABLE runs (
    delivery bigint PRIMARY KEY,
    lease bigint NOT NULL,
    progress text NOT NULL,
    story text
) WITH (fillfactor = 70);
CREATE TABLE earlier_runs (
    delivery bigint NOT NULL,
    lease bigint NOT NULL,
    story text NOT NULL,
    PRIMARY KEY (delivery, lease)
);
CREATE TABLE journal (
    delivery bigint NOT NULL,
    step bigint NOT NULL,
    seq bigint NOT NULL,
    kind bigint NOT NULL,
    keyed boolean NOT NULL,
    name text NOT NULL,
    effect bigint NOT NULL,
    request text NOT NULL,
    result text NOT NULL,
    reply text NOT NULL,
    at bigint NOT NULL,
    clock bigint NOT NULL,
    PRIMARY KEY (delivery, step, seq)
);
CREATE TABLE events (
    fingerprint bigint NOT NULL,
    starts_at bigint NOT NULL,
    occurrence bigint NOT NULL,
    status bigint NOT NULL,
    accepted_at bigint NOT NULL,
    last_seen bigint NOT NULL,
    duplicates bigint NOT NULL DEFAULT 0,
    ends bigint,
    runs bytea NOT NULL,
    PRIMARY KEY (fingerprint, starts_at, occurrence, status)
) WITH (fillfactor = 80);
CREATE TABLE kv (
    handler text COLLATE \"C\" NOT NULL,
    key text COLLATE \"C\" NOT NULL,
    value bytea NOT NULL,
    expires_at bigint,
    PRIMARY KEY (handler, key)
);
CREATE INDEX kv_expiry ON kv (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE kv_usage (
    handler text COLLATE \"C\" PRIMARY KEY,
    bytes bigint NOT NULL,
    keys bigint NOT NULL
);
CREATE TABLE unreported (
    class text COLLATE \"C\" PRIMARY KEY,
    count bigint NOT NULL,
    since bigint NOT NULL,
    ids text NOT NULL
);
CREATE TABLE refused_parts (digest bytea PRIMARY KEY, delivery bigint NOT NULL, last_seen bigint NOT NULL);
CREATE INDEX refused_parts_age ON refused_parts (last_seen);
CREATE TABLE storms (
    id bigint PRIMARY KEY,
    route text NOT NULL,
    pipeline text NOT NULL,
    storm_key text NOT NULL,
    priority bigint NOT NULL,
    count bigint NOT NULL,
    resolved bigint NOT NULL DEFAULT 0,
    opened_at bigint NOT NULL,
    last_firing_at bigint NOT NULL,
    last_at bigint NOT NULL,
    closed_at bigint
);
CREATE TABLE gates (name text COLLATE \"C\" PRIMARY KEY, closed_until bigint NOT NULL);
CREATE TABLE history (
    id bigint PRIMARY KEY,
    alertname text COLLATE \"C\" NOT NULL,
    starts_at bigint NOT NULL,
    fingerprint bigint NOT NULL,
    occurrence bigint NOT NULL,
    accepted_at bigint NOT NULL,
    ends_at bigint,
    died boolean NOT NULL DEFAULT false,
    route text NOT NULL,
    handlers text NOT NULL,
    labels bytea NOT NULL
);
CREATE INDEX history_alerts ON history (alertname, starts_at, fingerprint, occurrence);
CREATE TABLE timers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handler text COLLATE \"C\" NOT NULL,
    fingerprint bigint NOT NULL,
    route text COLLATE \"C\" NOT NULL,
    key text COLLATE \"C\" NOT NULL,
    due_at bigint NOT NULL,
    set_by bigint NOT NULL,
    priority bigint NOT NULL,
    bytes bigint NOT NULL,
    alert text NOT NULL,
    found text NOT NULL,
    UNIQUE (handler, fingerprint, route, key)
);
CREATE INDEX timers_set_by ON timers (set_by);
CREATE TABLE activity (
    length bigint NOT NULL,
    kind bigint NOT NULL,
    start bigint NOT NULL,
    key text COLLATE \"C\" NOT NULL,
    count bigint NOT NULL,
    sum_ms bigint NOT NULL,
    histogram bytea NOT NULL,
    PRIMARY KEY (length, kind, start, key)
);
CREATE TABLE grants_used (
    handler text COLLATE \"C\" NOT NULL,
    kind text COLLATE \"C\" NOT NULL,
    name text COLLATE \"C\" NOT NULL,
    calls bigint NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    PRIMARY KEY (handler, kind, name)
);
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    what text COLLATE \"C\" NOT NULL,
    person text COLLATE \"C\" NOT NULL,
    subject text COLLATE \"C\" NOT NULL,
    detail text NOT NULL
);
CREATE INDEX audit_at ON audit (at);
INSERT INTO meta (key, number)
    VALUES ('grants_used_since', floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
";

// What servers without the term have accepted, in order: `json` is the alert or the refused part, `about` what was decided about it on
// its receipt.
const ARRIVALS: &str = "
CREATE TABLE arrivals (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server bigint NOT NULL,
    json text NOT NULL,
    about text NOT NULL
);
";

// `replicas` lists the servers that have the database open: each start of one has a row, and `server` is the number under which it
// takes part, in `servers`. `requests` has what servers ask the one that has the term.
const REPLICAS: &str = "
CREATE TABLE replicas (
    id bigint PRIMARY KEY,
    host text NOT NULL,
    version text NOT NULL,
    handlers text,
    beat bigint NOT NULL DEFAULT 0,
    since bigint NOT NULL,
    server bigint NOT NULL,
    server_since bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE requests (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asker bigint NOT NULL,
    request text NOT NULL,
    is_taken boolean NOT NULL DEFAULT false,
    answer text
);
";

/// Why the tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayoutError {
    /// A newer version of this program wrote them.
    #[error("layout {0}")]
    Newer(i64),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates the tables, or migrates them from an earlier layout, in one transaction and under a lock: of servers that start at the
/// same time one does it, and the others wait.
pub(super) fn prepare(session: &Session) -> Result<(), LayoutError> {
    let prepared = migrate(session);
    if prepared.is_err() {
        // The error before is the one to report.
        let _ = session.batch("ROLLBACK");
    }
    prepared
}

fn migrate(session: &Session) -> Result<(), LayoutError> {
    session.batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))?;
    let is_there = format!("SELECT to_regclass('{SCHEMA}.layout') IS NOT NULL");
    let is_there: bool = session
        .one(is_there, &[])?
        .try_get(0)
        .map_err(StoreError::from)?;
    if !is_there {
        session.batch(&format!(
            "CREATE SCHEMA IF NOT EXISTS {SCHEMA};
             CREATE TABLE layout (one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL);
             INSERT INTO layout VALUES (true, 0)"
        ))?;
    }
    let found = session.one("SELECT version FROM layout", &[])?;
    let found: i64 = found.try_get(0).map_err(StoreError::from)?;
    if found > LAYOUT {
        return Err(LayoutError::Newer(found));
    }
    let left = STEPS.iter().skip(usize::try_from(found).unwrap_or(0));
    for step in left {
        session.batch(step)?;
    }
    if found < LAYOUT {
        let secret: [u8; 32] = rand::random();
        session.query(
            "INSERT INTO meta (key, bytes) VALUES ('secret', $1) ON CONFLICT (key) DO NOTHING",
            &[&&secret[..]],
        )?;
        session.query("UPDATE layout SET version = $1", &[&LAYOUT])?;
    }
    session.batch("COMMIT")?;
    Ok(())
}
