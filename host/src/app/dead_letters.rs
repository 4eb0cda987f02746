//! Makes the alert about a dead letter, for the handlers that are configured for it. The queue stores it with the death.

use std::time::Duration;

use crate::alert::{Alert, Fingerprint, HandlerName, Labels, Origin, Priority, Status, Timestamp};
use crate::queue::{
    DeadLetter, DeadLetterNotices, DeadLetters, DeathKind, Delivery, Plan, Submission,
};
use crate::router::DEAD_LETTER;

/// The name of the alert about a delivery that was given up.
const ALERTNAME: &str = "AlertManagerDeadLetter";

/// A time that no store lives for: the same death is never told as a reminder.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// `dead_letter.handlers`.
#[derive(Debug)]
pub(super) struct Notices {
    handlers: Vec<HandlerName>,
}

impl Notices {
    /// Returns nothing if no handler is configured.
    pub(super) fn new(handlers: &[HandlerName]) -> Option<Self> {
        (!handlers.is_empty()).then(|| Self {
            handlers: handlers.to_vec(),
        })
    }
}

impl DeadLetterNotices for Notices {
    fn notice(&self, about: &DeadLetter<'_>, now: Timestamp) -> Submission {
        let (labels, annotations, starts_at) = match about {
            DeadLetter::One(delivery) => about_one(delivery),
            DeadLetter::Many(letters) => about_many(letters, now),
        };
        Submission {
            alert: Alert {
                fingerprint: Fingerprint::of(&labels),
                status: Status::Firing,
                labels,
                annotations,
                starts_at,
                ends_at: None,
                generator_url: None,
                received_at: now,
                origin: Origin {
                    sender: "json".into(),
                    ..Origin::default()
                },
            },
            starts_at_missing: false,
            plans: vec![Plan {
                route: DEAD_LETTER.into(),
                handlers: self.handlers.clone(),
                priority: Priority::Critical,
                repeat_after: NEVER,
            }],
        }
    }
}

fn about_one(delivery: &Delivery) -> (Labels, Labels, Timestamp) {
    let id = delivery.id.to_string();
    let died_at = delivery.first_died_at.or(delivery.settled_at);
    let died_at = died_at.unwrap_or(delivery.received_at);
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
    (labels, annotations, died_at)
}

fn about_many(letters: &DeadLetters<'_>, now: Timestamp) -> (Labels, Labels, Timestamp) {
    let handlers: Vec<_> = letters.handlers.iter().map(|h| h.as_str()).collect();
    let handlers = handlers.join(",");
    let (count, since) = (letters.count, letters.since);
    let why = match letters.kind {
        DeathKind::Backlog => "half of the queue already waited for their handlers",
        DeathKind::ServerDied => "the server died under each of them three times",
        DeathKind::Refused => "they are parts of bodies that are no alerts",
        DeathKind::Cancelled => "they were cancelled",
        DeathKind::Failed => "they failed",
    };
    let next = match letters.handlers.first() {
        Some(first) => format!(
            "`alert-manager deliveries --state dead --handler {first}` lists them; `alert-manager retry --handler {first}` sends them again."
        ),
        None => "`alert-manager deliveries --state dead` lists them.".to_owned(),
    };
    let labels = Labels::from_iter([
        ("alertname", ALERTNAME),
        ("handlers", &handlers),
        ("reason", letters.kind.as_str()),
        ("severity", "critical"),
    ])
    .without_empty_values();
    let annotations = Labels::from_iter([
        (
            "summary",
            format!("{count} deliveries were dead-lettered since {since}: {why}"),
        ),
        (
            "description",
            format!("Nothing more is tried for them. {next}"),
        ),
    ]);
    (labels, annotations, now)
}
