//! Arrivals: what servers without the term have accepted. The one that has the term takes them, in order, and decides about them as
//! about what it accepts itself.
//!
//! An arrival is durable before its sender gets an answer. Its number comes from a sequence, so one that was answered before another
//! was sent has the lower number, and every later look sees it. Of those that are under way at the same time any may be first.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

use crate::model::{Arrived, NewAlert, Refused, StoredPlan};
use crate::store::StoreError;

use super::session::{Call, Session, args};
use super::values::{Columns as _, Stored};

/// The channel on which a server is notified that there are arrivals.
pub(super) const CHANNEL: &str = "alert_manager_arrivals";

/// What is stored of an arrival beside its JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum About {
    Alert {
        starts_at_missing: bool,
        plans: Vec<StoredPlan>,
    },
    Refused {
        error: String,
        digest: [u8; 32],
        alertname: String,
    },
}

impl About {
    fn of(arrived: &Arrived) -> Self {
        match arrived {
            Arrived::Alert(new) => Self::Alert {
                starts_at_missing: new.starts_at_missing,
                plans: new.plans.iter().map(StoredPlan::from).collect(),
            },
            Arrived::Refused(refused) => Self::Refused {
                error: refused.error.clone(),
                digest: refused.digest,
                alertname: refused.alertname.clone(),
            },
        }
    }

    fn with(self, json: String) -> Result<Arrived, serde_json::Error> {
        Ok(match self {
            Self::Alert {
                starts_at_missing,
                plans,
            } => Arrived::Alert(NewAlert {
                alert: serde_json::from_str::<alert_manager_core::alert::Alert>(&json)?.into(),
                json,
                starts_at_missing,
                plans: plans.into_iter().map(Into::into).collect(),
            }),
            Self::Refused {
                error,
                digest,
                alertname,
            } => Arrived::Refused(Refused {
                error,
                json,
                digest,
                alertname,
            }),
        })
    }
}

/// Returns what stores arrivals of a server, in order.
pub(super) fn put<'a>(server: i64, arrived: &'a [Arrived]) -> Result<Call<'a>, StoreError> {
    let json = arrived.iter().map(|one| match one {
        Arrived::Alert(new) => Stored(new.json.as_str()),
        Arrived::Refused(refused) => Stored(refused.json.as_str()),
    });
    let about = arrived
        .iter()
        .map(|one| serde_json::to_string(&About::of(one)));
    let about = about.collect::<Result<Vec<_>, _>>()?;
    Ok(Call::new(
        "INSERT INTO arrivals (server, json, about)
         SELECT $1, v.json, v.about
         FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS v(json, about, at) ORDER BY v.at",
        args![server, json.collect::<Vec<_>>(), about],
    ))
}

/// Takes at most `most` arrivals, in order. They are removed when the transaction is committed.
pub(super) fn take(session: &Session, most: i64) -> Result<Vec<Arrived>, StoreError> {
    let mut taken = session.query(
        "WITH first AS (SELECT n FROM arrivals ORDER BY n LIMIT $1)
         DELETE FROM arrivals a USING first WHERE a.n = first.n RETURNING a.n, a.json, a.about",
        &[&most],
    )?;
    let mut keyed = Vec::with_capacity(taken.len());
    for row in taken.drain(..) {
        keyed.push((row.int(0)?, row));
    }
    keyed.sort_unstable_by_key(|(n, _)| *n);
    keyed.iter().map(|(_, row)| read(row)).collect()
}

/// Reads an arrival. One that this version cannot read is refused, so that it is kept, reported, and holds up no other.
fn read(row: &tokio_postgres::Row) -> Result<Arrived, StoreError> {
    use sha2::Digest as _;
    let (json, about) = (row.text(1)?, row.text(2)?);
    let read = serde_json::from_str::<About>(&about).and_then(|about| about.with(json.clone()));
    Ok(read.unwrap_or_else(|error| {
        Arrived::Refused(Refused {
            error: format!("what another server has accepted cannot be read: {error}"),
            digest: sha2::Sha256::digest(&json).into(),
            json,
            alertname: String::new(),
        })
    }))
}

/// What a server knows of arrivals, and of itself, without a look at the tables.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    /// True if there are arrivals to take.
    is_due: AtomicBool,
    /// True if this server has the term.
    pub(super) leads: AtomicBool,
    /// The number under which it takes part now, in the table of servers.
    pub(super) server: AtomicI64,
}

impl Arriving {
    pub(super) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::SeqCst)
    }

    pub(super) fn set_due(&self, is_due: bool) {
        self.is_due.store(is_due, Ordering::SeqCst);
    }
}
