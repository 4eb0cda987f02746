//! Has a delivery that was given up told by the handlers that are configured for it, as an alert of its own.
//!
//! Whether one was told already is known by the store, not by this task: the alert about a death is an event
//! like any other, named by the delivery and the time of its death, so that handing it in again after a
//! restart makes a duplicate and no second message.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch;

use super::Shared;
use crate::alert::{Alert, Fingerprint, HandlerName, Labels, Origin, Priority, Status, Timestamp};
use crate::queue::{AcceptError, Delivery, Filter, Parcel, Plan, ReadError, State, Submission};
use crate::router::DEAD_LETTER;

/// The name of the alert about a delivery that was given up.
const ALERTNAME: &str = "AlertManagerDeadLetter";

/// What the queue says of a delivery that an operator cancelled.
const CANCELLED: &str = "cancelled";

/// Deaths come in crowds: they are looked for at most this often.
const PACE: Duration = Duration::from_millis(100);

/// After this long it is tried again where the store did not answer or was full.
const AGAIN: Duration = Duration::from_secs(5);

/// Deaths before this are not told after a start: just under the 7 days for which the store knows that it
/// has told them.
const AGE_MAX: Duration = Duration::from_secs(6 * 24 * 60 * 60);

/// Told in one commit, and listed in one question.
const PAGE: u32 = 1_000;

/// A time that no store lives for: the same death is never told as a reminder.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Why deaths could not be told now.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

/// One delivery and when it first died: sent again by a person, it may die anew. What dies once more after its sender sent it
/// again is told already.
type Death = (i64, Option<Timestamp>);

impl Shared {
    /// Hands in an alert for each delivery that is given up, those of the time before a crash too.
    pub(super) async fn tell_dead_letters(self) {
        self.ready().await;
        let mut deaths = self.queue.deaths();
        let mut reloads = self.reloads.subscribe();
        let mut told = HashSet::new();
        loop {
            deaths.mark_unchanged();
            reloads.mark_unchanged();
            let handlers = self.config.load().dead_letter.clone();
            if !handlers.is_empty()
                && let Err(error) = self.tell(&handlers, &mut told).await
            {
                tracing::error!(%error, "dead letters cannot be told yet");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            if changed(&mut deaths, &mut reloads).await.is_err() {
                return;
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Goes through all that are dead; `told` spares those that this process has told.
    async fn tell(
        &self,
        handlers: &[HandlerName],
        told: &mut HashSet<Death>,
    ) -> Result<(), TellError> {
        let oldest = Timestamp::now()
            .checked_sub(AGE_MAX)
            .unwrap_or(Timestamp::MIN);
        let mut dead = HashSet::new();
        let mut before = None;
        loop {
            let page = self
                .queue
                .list(Filter {
                    state: Some(State::Dead),
                    before,
                    limit: PAGE,
                    ..Filter::default()
                })
                .await?;
            let new: Vec<_> = page
                .deliveries
                .iter()
                // It would go the same way.
                .filter(|delivery| delivery.route != DEAD_LETTER)
                .filter(|delivery| died_at(delivery).is_some_and(|at| at > oldest))
                // Whoever cancelled it knows.
                .filter(|delivery| delivery.last_error.as_deref() != Some(CANCELLED))
                .filter(|delivery| !told.contains(&death(delivery)))
                .map(|delivery| notice(delivery, handlers))
                .collect();
            if !new.is_empty() {
                self.queue.accept(Parcel::new(new, Vec::new())).await?;
            }
            dead.extend(page.deliveries.iter().map(death));
            told.extend(dead.iter());
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        // What is no longer dead, or no longer there, is forgotten.
        *told = dead;
        Ok(())
    }
}

async fn changed(
    deaths: &mut watch::Receiver<u64>,
    reloads: &mut watch::Receiver<()>,
) -> Result<(), watch::error::RecvError> {
    tokio::select! {
        changed = deaths.changed() => changed,
        changed = reloads.changed() => changed,
    }
}

fn death(delivery: &Delivery) -> Death {
    (delivery.id.as_raw(), died_at(delivery))
}

fn died_at(delivery: &Delivery) -> Option<Timestamp> {
    delivery.first_died_at.or(delivery.settled_at)
}

fn notice(delivery: &Delivery, handlers: &[HandlerName]) -> Submission {
    let id = delivery.id.to_string();
    let died_at = died_at(delivery).unwrap_or(delivery.received_at);
    let why = delivery
        .last_error
        .as_deref()
        .unwrap_or("no reason is known");
    let name = match delivery.alertname.as_str() {
        "" => "without a name",
        name => name,
    };
    let labels = Labels::from_iter([
        ("alertname", ALERTNAME),
        ("dead_alertname", &delivery.alertname),
        ("delivery", &id),
        ("route", &delivery.route),
        ("severity", "critical"),
    ])
    .without_empty_values();
    let annotations = Labels::from_iter([
        ("summary", format!("The alert {name} was given up: {why}")),
        (
            "description",
            format!(
                "Nothing more is tried for it. `alert-manager explain {id}` tells its story; `alert-manager retry {id}` sends it again."
            ),
        ),
    ]);
    Submission {
        alert: Alert {
            fingerprint: Fingerprint::of(&labels),
            status: Status::Firing,
            labels,
            annotations,
            starts_at: died_at,
            ends_at: None,
            generator_url: None,
            received_at: Timestamp::now(),
            origin: Origin {
                sender: "json".into(),
                ..Origin::default()
            },
        },
        starts_at_missing: false,
        plans: vec![Plan {
            route: DEAD_LETTER.into(),
            handlers: handlers.to_vec(),
            priority: Priority::Critical,
            repeat_after: NEVER,
        }],
    }
}
