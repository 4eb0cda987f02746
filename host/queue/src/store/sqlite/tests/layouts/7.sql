-- A store of layout 7 by its own statements, left by a server that was killed: one delivery is done, one dead, one waits for
-- another try, one ran, and two of one alert had not begun.
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
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
    set_by INTEGER
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
CREATE TABLE refused_parts (digest BLOB PRIMARY KEY, delivery INTEGER NOT NULL, last_seen INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX refused_parts_age ON refused_parts (last_seen);
PRAGMA application_id = 1097616743;
PRAGMA user_version = 7;
INSERT INTO meta VALUES ('secret', x'0707070707070707070707070707070707070707070707070707070707070707');
INSERT INTO deliveries (id, state, leases, status, fingerprint, attempts, accepted_at, settled_at, alertname, route, handlers, starts_at, reason)
    VALUES (7412281402982400001, 3, 1, 0, 3799257140749005364, 1, 1767225600001, 1767225600010, 'Done', 'route', ',notify,', 1767225600000000000, 0);
INSERT INTO alerts VALUES (7412281402982400001, '{"fingerprint":"34b9ac3d7cb5f234","status":"firing","labels":{"alertname":"Done"},"annotations":{"summary":"kept"},"starts_at":"2026-01-01T00:00:00Z","received_at":"2026-01-01T00:00:00Z","origin":{"sender":"alertmanager","receiver":"am","group_key":"{}:{}","group_labels":{"alertname":"Done"}}}');
INSERT INTO runs VALUES (7412281402982400001, 1, '{"steps":[{"handler":"notify","kind":"enrich","status":"done","attempts":1,"traps":0,"unavailable":0,"interrupted":false,"started_at":"2026-01-01T00:00:00Z","used_ms":0},{"handler":"notify","kind":"act","status":"done","attempts":1,"traps":0,"unavailable":0,"interrupted":false,"started_at":"2026-01-01T00:00:00Z","used_ms":0}]}', '{"lease":1}');
INSERT INTO deliveries (id, state, leases, status, fingerprint, attempts, accepted_at, settled_at, alertname, route, handlers, last_error, starts_at, first_died_at, dead_bytes, reason)
    VALUES (7412281402982400002, 4, 2, 0, -395261846852863814, 2, 1767225600002, 1767225600020, 'Dead', 'route', ',notify,', 'gave up', 1767225600000000000, 1767225600020, 2000, 10);
INSERT INTO alerts VALUES (7412281402982400002, '{"fingerprint":"fa83bf71c911f8ba","status":"firing","labels":{"alertname":"Dead"},"annotations":{"summary":"kept"},"starts_at":"2026-01-01T00:00:00Z","received_at":"2026-01-01T00:00:00Z","origin":{"sender":"alertmanager","receiver":"am","group_key":"{}:{}","group_labels":{"alertname":"Dead"}}}');
INSERT INTO earlier_runs VALUES (7412281402982400002, 1, '{"lease": 1}');
INSERT INTO runs VALUES (7412281402982400002, 2, '{"steps":[{"handler":"notify","kind":"enrich","status":"done","attempts":1,"traps":0,"unavailable":0,"interrupted":false,"started_at":"2026-01-01T00:00:00Z","used_ms":0},{"handler":"notify","kind":"act","status":"failed","attempts":10,"traps":0,"unavailable":0,"interrupted":false,"started_at":"2026-01-01T00:00:00Z","last_error":"gave up","used_ms":0}]}', '{"lease":2}');
INSERT INTO deliveries (id, state, leases, status, fingerprint, attempts, accepted_at, not_before, waits_for, alertname, route, handlers, next_handler, last_error, starts_at)
    VALUES (7412281402982400003, 2, 1, 0, -6810948041435351728, 1, 1767225600003, 1767226200000, 'origin https://slack.com', 'Retries', 'route', ',notify,', 'notify', '503', 1767225600000000000);
INSERT INTO alerts VALUES (7412281402982400003, '{"fingerprint":"a17aa6d79e9a7550","status":"firing","labels":{"alertname":"Retries"},"annotations":{"summary":"kept"},"starts_at":"2026-01-01T00:00:00Z","received_at":"2026-01-01T00:00:00Z","origin":{"sender":"alertmanager","receiver":"am","group_key":"{}:{}","group_labels":{"alertname":"Retries"}}}');
INSERT INTO runs VALUES (7412281402982400003, 1, '{"steps":[{"handler":"notify","kind":"enrich","status":"done","attempts":1,"traps":0,"unavailable":0,"interrupted":false,"started_at":"2026-01-01T00:00:00Z","used_ms":0},{"handler":"notify","kind":"act","status":"pending","attempts":1,"traps":0,"unavailable":0,"interrupted":false,"not_before":"2026-01-01T00:10:00Z","started_at":"2026-01-01T00:00:00Z","last_error":"503","used_ms":0}]}', '{"lease":1}');
INSERT INTO deliveries (id, state, leases, status, fingerprint, attempts, accepted_at, alertname, route, handlers, starts_at)
    VALUES (7412281402982400004, 1, 1, 0, 5549782338027247956, 0, 1767225600004, 'Interrupted', 'route', ',notify,', 1767225600000000000);
INSERT INTO alerts VALUES (7412281402982400004, '{"fingerprint":"4d04c9a1e6d9d954","status":"firing","labels":{"alertname":"Interrupted"},"annotations":{"summary":"kept"},"starts_at":"2026-01-01T00:00:00Z","received_at":"2026-01-01T00:00:00Z","origin":{"sender":"alertmanager","receiver":"am","group_key":"{}:{}","group_labels":{"alertname":"Interrupted"}}}');
INSERT INTO runs VALUES (7412281402982400004, 1, '{"steps":[{"handler":"notify","kind":"enrich","status":"done","attempts":1,"traps":0,"unavailable":0,"interrupted":false,"started_at":"2026-01-01T00:00:00Z","used_ms":0},{"handler":"notify","kind":"act","status":"pending","attempts":0,"traps":0,"unavailable":0,"interrupted":false,"started_at":"2026-01-01T00:00:00Z","used_ms":0}]}', NULL);
INSERT INTO deliveries (id, state, leases, status, fingerprint, attempts, accepted_at, alertname, route, handlers, starts_at)
    VALUES (7412281402982400005, 0, 0, 0, -1793608934799444248, 0, 1767225600005, 'Waits', 'route', ',notify,', 1767225600000000000);
INSERT INTO alerts VALUES (7412281402982400005, '{"fingerprint":"e71bd22d3f4ff6e8","status":"firing","labels":{"alertname":"Waits"},"annotations":{"summary":"kept"},"starts_at":"2026-01-01T00:00:00Z","received_at":"2026-01-01T00:00:00Z","origin":{"sender":"alertmanager","receiver":"am","group_key":"{}:{}","group_labels":{"alertname":"Waits"}}}');
INSERT INTO deliveries (id, state, leases, status, fingerprint, attempts, accepted_at, alertname, route, handlers, starts_at)
    VALUES (7412281402982400006, 0, 0, 1, -1793608934799444248, 0, 1767225600006, 'Waits', 'route', ',notify,', 1767225600000000000);
INSERT INTO alerts VALUES (7412281402982400006, '{"fingerprint":"e71bd22d3f4ff6e8","status":"resolved","labels":{"alertname":"Waits"},"annotations":{"summary":"kept"},"starts_at":"2026-01-01T00:00:00Z","ends_at":"2026-01-01T00:00:05Z","received_at":"2026-01-01T00:00:00Z","origin":{"sender":"alertmanager","receiver":"am","group_key":"{}:{}","group_labels":{"alertname":"Waits"}}}');
INSERT INTO journal (delivery, step, seq, kind, keyed, name, effect, request, result, reply, at, clock)
    VALUES (7412281402982400002, 1, 0, 1, 1, 'key', 1, 'post to alerts', 'ok', '{"Ok":"ref"}', 1767225600015000000, 1767225600000000000);
INSERT INTO kv VALUES ('notify', 'message', x'6869', NULL);
INSERT INTO history (id, alertname, starts_at, fingerprint, occurrence, accepted_at, ends_at, died, route, handlers, labels)
    VALUES (7412281402982300000, 'Done', 1767139200000000000, 3799257140749005364, 1, 1767139200000, 1767139260000000000, 0, 'route', ',notify,', x'0ad5072e63f34502'),
        (7412281402982400001, 'Done', 1767225600000000000, 3799257140749005364, 1, 1767225600001, NULL, 0, 'route', ',notify,', x'0ad5072e63f34502'),
        (7412281402982400002, 'Dead', 1767225600000000000, -395261846852863814, 1, 1767225600002, NULL, 0, 'route', ',notify,', x'0ad5072e938d6d34');
