//! What is moved: the tables and columns that both stores have. A test compares the list with the layouts of both.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The type of a column. Each may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    /// An integer in `SQLite`, a boolean in `PostgreSQL`.
    Flag,
    Text,
    Bytes,
}

/// A value of any column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The values of a row, in the order of the table's columns.
pub(crate) type Values = Vec<Value>;

/// A table that both stores have.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// The columns by which `SQLite` finds a row, in the order of its index.
    pub(crate) sqlite_key: &'static [&'static str],
    /// The same for `PostgreSQL`.
    pub(crate) postgres_key: &'static [&'static str],
}

impl Table {
    /// Returns the names of the columns, as in `SELECT`.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// Returns the place and the type of a column.
    pub(crate) fn column(&self, name: &str) -> (usize, Kind) {
        let found = self.columns.iter().position(|(known, _)| *known == name);
        let at = found.unwrap_or_default();
        (at, self.columns[at].1)
    }

    /// Returns the values of these columns of a row.
    pub(crate) fn key_of(&self, key: &[&str], row: &[Value]) -> Values {
        let value = |name: &&str| row[self.column(name).0].clone();
        key.iter().map(value).collect()
    }
}

/// A sum over rows that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) rows: u64,
    lanes: [u64; 4],
}

impl Sum {
    pub(crate) fn add(&mut self, row: &[Value]) {
        let mut digest = Sha256::new();
        for value in row {
            let (tag, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Int(n) => (1, &n.to_be_bytes()),
                Value::Text(text) => (2, text.as_bytes()),
                Value::Bytes(bytes) => (3, bytes),
            };
            digest.update([tag]);
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        let digest: [u8; 32] = digest.finalize().into();
        let (words, _) = digest.as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = lane.wrapping_add(u64::from_be_bytes(*word));
        }
        self.rows += 1;
    }

    pub(crate) fn hex(&self) -> String {
        let lanes = self.lanes.iter();
        lanes.map(|lane| format!("{lane:016x}")).collect()
    }
}

use Kind::{Bytes, Flag, Int, Text};

/// All tables, in the order in which they are moved.
pub(crate) const TABLES: &[Table] = &[
    DELIVERIES,
    Table {
        name: "alerts",
        columns: &[("id", Int), ("json", Text)],
        sqlite_key: &["id"],
        postgres_key: &["id"],
    },
    Table {
        name: "runs",
        columns: &[
            ("delivery", Int),
            ("lease", Int),
            ("progress", Text),
            ("story", Text),
        ],
        sqlite_key: &["delivery"],
        postgres_key: &["delivery"],
    },
    Table {
        name: "earlier_runs",
        columns: &[("delivery", Int), ("lease", Int), ("story", Text)],
        sqlite_key: &["delivery", "lease"],
        postgres_key: &["delivery", "lease"],
    },
    JOURNAL,
    EVENTS,
    Table {
        name: "kv",
        columns: &[
            ("handler", Text),
            ("key", Text),
            ("value", Bytes),
            ("expires_at", Int),
        ],
        sqlite_key: &["handler", "key"],
        postgres_key: &["handler", "key"],
    },
    Table {
        name: "unreported",
        columns: &[
            ("class", Text),
            ("count", Int),
            ("since", Int),
            ("ids", Text),
        ],
        sqlite_key: &["class"],
        postgres_key: &["class"],
    },
    Table {
        name: "refused_parts",
        columns: &[("digest", Bytes), ("delivery", Int), ("last_seen", Int)],
        sqlite_key: &["digest"],
        postgres_key: &["digest"],
    },
    STORMS,
    Table {
        name: "gates",
        columns: &[("name", Text), ("closed_until", Int)],
        sqlite_key: &["name"],
        postgres_key: &["name"],
    },
    HISTORY,
    TIMERS,
    Table {
        name: "activity",
        columns: &[
            ("length", Int),
            ("kind", Int),
            ("start", Int),
            ("key", Text),
            ("count", Int),
            ("sum_ms", Int),
            ("histogram", Bytes),
        ],
        sqlite_key: &["length", "kind", "start", "key"],
        postgres_key: &["length", "kind", "start", "key"],
    },
    Table {
        name: "audit",
        columns: &[
            ("id", Int),
            ("at", Int),
            ("what", Text),
            ("person", Text),
            ("subject", Text),
            ("detail", Text),
        ],
        sqlite_key: &["id"],
        postgres_key: &["id"],
    },
    Table {
        name: "grants_used",
        columns: &[
            ("handler", Text),
            ("kind", Text),
            ("name", Text),
            ("calls", Int),
            ("first_at", Int),
            ("last_at", Int),
        ],
        sqlite_key: &["handler", "kind", "name"],
        postgres_key: &["handler", "kind", "name"],
    },
];

const DELIVERIES: Table = Table {
    name: "deliveries",
    columns: &[
        ("id", Int),
        ("state", Int),
        ("leases", Int),
        ("deaths", Int),
        ("suspected", Int),
        ("after_crash", Flag),
        ("resent", Flag),
        ("priority", Int),
        ("status", Int),
        ("fingerprint", Int),
        ("starts_at", Int),
        ("occurrence", Int),
        ("attempts", Int),
        ("accepted_at", Int),
        ("revived_at", Int),
        ("settled_at", Int),
        ("first_died_at", Int),
        ("not_before", Int),
        ("waits_for", Text),
        ("alertname", Text),
        ("route", Text),
        ("beside", Text),
        ("handlers", Text),
        ("next_handler", Text),
        ("last_error", Text),
        ("reason", Int),
        ("parked", Int),
        ("storm_key", Text),
        ("storm", Int),
        ("representative", Int),
        ("timer_key", Text),
        ("set_by", Int),
        ("labels", Bytes),
        ("ends_at", Int),
    ],
    sqlite_key: &["id"],
    postgres_key: &["id"],
};

const JOURNAL: Table = Table {
    name: "journal",
    columns: &[
        ("delivery", Int),
        ("step", Int),
        ("seq", Int),
        ("kind", Int),
        ("keyed", Flag),
        ("name", Text),
        ("effect", Int),
        ("request", Text),
        ("result", Text),
        ("reply", Text),
        ("at", Int),
        ("clock", Int),
    ],
    sqlite_key: &["delivery", "step", "seq"],
    postgres_key: &["delivery", "step", "seq"],
};

const EVENTS: Table = Table {
    name: "events",
    columns: &[
        ("starts_at", Int),
        ("fingerprint", Int),
        ("occurrence", Int),
        ("status", Int),
        ("accepted_at", Int),
        ("last_seen", Int),
        ("duplicates", Int),
        ("ends", Int),
        ("runs", Bytes),
    ],
    sqlite_key: &["starts_at", "fingerprint", "occurrence", "status"],
    postgres_key: &["fingerprint", "starts_at", "occurrence", "status"],
};

const STORMS: Table = Table {
    name: "storms",
    columns: &[
        ("id", Int),
        ("route", Text),
        ("pipeline", Text),
        ("storm_key", Text),
        ("priority", Int),
        ("count", Int),
        ("resolved", Int),
        ("opened_at", Int),
        ("last_firing_at", Int),
        ("last_at", Int),
        ("closed_at", Int),
    ],
    sqlite_key: &["id"],
    postgres_key: &["id"],
};

const HISTORY: Table = Table {
    name: "history",
    columns: &[
        ("id", Int),
        ("alertname", Text),
        ("starts_at", Int),
        ("fingerprint", Int),
        ("occurrence", Int),
        ("accepted_at", Int),
        ("ends_at", Int),
        ("died", Flag),
        ("route", Text),
        ("handlers", Text),
        ("labels", Bytes),
    ],
    sqlite_key: &["id"],
    postgres_key: &["id"],
};

const TIMERS: Table = Table {
    name: "timers",
    columns: &[
        ("id", Int),
        ("handler", Text),
        ("fingerprint", Int),
        ("route", Text),
        ("key", Text),
        ("due_at", Int),
        ("set_by", Int),
        ("priority", Int),
        ("bytes", Int),
        ("alert", Text),
        ("found", Text),
    ],
    sqlite_key: &["id"],
    postgres_key: &["id"],
};

/// What is not moved, as `table.column` or `table`: each store makes it anew from what is moved, or only one of them needs it.
#[cfg(test)]
pub(crate) const SQLITE_ALONE: &[&str] = &[
    // Its keys are [`Facts`](super::whole::Facts).
    "meta",
    "activity.id",
    "deliveries.dead_bytes",
    // By it, events that the table lacks are read from deliveries. When a store is moved, it lacks none.
    "deliveries.sent_starts_at",
];

/// The same for `PostgreSQL`.
#[cfg(test)]
pub(crate) const POSTGRES_ALONE: &[&str] = &[
    "meta",
    "layout",
    "term",
    "servers",
    "lanes",
    // Empty when a store is moved.
    "arrivals",
    "replicas",
    "requests",
    "fingerprints",
    "kv_usage",
    "deliveries.bytes",
];
